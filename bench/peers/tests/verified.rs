//! What is measured is right.

#[test]
fn every_peer_does_what_it_is_measured_at() {
    strait_bench_peers::verify();
}
