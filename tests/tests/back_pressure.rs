//! Peers that do not read: what they do not take waits on their side of the gateway, not in its memory.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use strait_tests::{Server, Shores, raw_session};

/// Buffers of one session and of its sockets, with room for an allocator's habits.
const GROWTH_KIB: u64 = 4 * 1024;
/// How long a sender is tried: enough for gigabytes.
const TRIAL: Duration = Duration::from_secs(2);

#[test]
fn output_for_a_client_that_does_not_read_is_not_collected() {
    let shores = Shores::start(&[]);
    shores.baseline();
    let before = resident(&shores);
    let _client = connect(&shores.gateway, "command=yes&stdout=true");
    thread::sleep(TRIAL);
    assert_bounded(&shores, before);
}

#[test]
fn input_for_a_process_that_does_not_read_is_not_collected() {
    let shores = Shores::start(&[]);
    shores.baseline();
    let before = resident(&shores);
    let mut client = connect(&shores.gateway, "command=sleep&command=1000&stdin=true&stdout=true");
    client.set_write_timeout(Some(Duration::from_millis(100))).expect("a time-out");
    // One frame of 32 MiB, which the gateway has to pass on piece by piece, up to where the way is full.
    client.write_all(&[0x82, 0xff, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]).expect("the gateway takes a header");
    let (started, zeros) = (Instant::now(), vec![0; 64 * 1024]);
    let mut sent = 0;
    while started.elapsed() < TRIAL {
        sent += client.write(&zeros).unwrap_or(0);
        assert!(sent < 32 << 20, "all of it was taken");
    }
    assert_bounded(&shores, before);
}

/// A session that has got its first bytes.
fn connect(gateway: &Server, query: &str) -> TcpStream {
    let mut client = raw_session(gateway.address(), query, &[]);
    let mut first = [0; 12];
    client.read_exact(&mut first).expect("the gateway answers");
    assert_eq!(&first, b"HTTP/1.1 101");
    client
}

fn resident(shores: &Shores) -> [u64; 2] {
    [shores.gateway.resident_kib(), shores.node.resident_kib()]
}

#[track_caller]
fn assert_bounded(shores: &Shores, before: [u64; 2]) {
    let after = resident(shores);
    let bounded = before.iter().zip(&after).all(|(before, after)| *after <= before + GROWTH_KIB);
    assert!(bounded, "KiB of the gateway and the node: {before:?} became {after:?}");
}
