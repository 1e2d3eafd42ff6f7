//! What is measured is right.

#[test]
fn every_peer_does_what_it_is_measured_at() {
    strait_bench_peers::verify();
}

#[test]
fn every_case_runs_and_ours_comes_first() {
    let cases = strait_bench_peers::cases();
    for group in cases.chunk_by(|one, other| one.scenario == other.scenario) {
        assert_eq!(group[0].target, "strait", "{}", group[0].scenario);
    }
    let all: Vec<_> = cases.into_iter().chain(strait_bench_peers::limits()).collect();
    for (index, case) in all.iter().enumerate() {
        let is_same = |other: &strait_bench_peers::Case| {
            (&other.scenario, other.target) == (&case.scenario, case.target)
        };
        assert!(!all[..index].iter().any(is_same), "{} twice at {}", case.target, case.scenario);
        case.run();
    }
}
