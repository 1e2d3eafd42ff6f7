//! Attacks in front of a session.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strait_tests::{Random, Shores};

use crate::bytes::{Ended, PATIENCE, connect, end, flood};
use crate::{Attack, Cost, scaled};

const SHORT: [&str; 2] = ["--handshake-timeout", "2"];
/// What it says, and some for a busy machine.
const HANDSHAKE: Duration = Duration::from_secs(2 + 6);

pub(crate) const ATTACKS: [Attack; 6] = [
    Attack {
        name: "heads that never end, at the limit",
        bound: "`--max-header-bytes` (512 KiB) for each connection, `--handshake-timeout`",
        gateway: &SHORT,
        ..Attack::new(40, heads_at_the_limit)
    },
    Attack {
        name: "header bomb: 64 MiB of header lines",
        bound: "`--max-header-bytes`",
        ..Attack::new(30, header_bomb)
    },
    Attack {
        name: "slow heads (slowloris), one byte now and then",
        bound: "`--handshake-timeout`, whatever comes",
        gateway: &SHORT,
        ..Attack::new(40, slow_heads)
    },
    Attack {
        name: "half-open: connections that say nothing",
        bound: "`--handshake-timeout`",
        gateway: &SHORT,
        ..Attack::new(48, silence)
    },
    Attack {
        name: "all places taken by connections that say nothing, again and again",
        bound: "`--max-connections` (20 here), then the kernel's queue, in order; `--handshake-timeout`",
        gateway: &["--max-connections", "20", "--handshake-timeout", "1"],
        ..Attack::new(4, all_places)
    },
    Attack {
        name: "bad connections in a row",
        bound: "4xx and closed, or just closed",
        gateway: &SHORT,
        ..Attack::new(12, bad_connections)
    },
];

/// Waits for the end of all, which has to come in time.
fn ends(sockets: Vec<TcpStream>, is_right: impl Fn(Ended) -> bool) -> usize {
    let started = Instant::now();
    let ends: Vec<_> = sockets.into_iter().map(|mut socket| end(&mut socket)).collect();
    assert!(started.elapsed() < HANDSHAKE, "{:?}", started.elapsed());
    for ended in &ends {
        assert!(is_right(*ended), "{ended:?}");
    }
    ends.len()
}

fn heads_at_the_limit(shores: &Shores) -> Cost {
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{}", "X-Line: 0123456789abcdef\r\n".repeat(20_000));
    let head = &head.as_bytes()[..500_000];
    let sockets: Vec<_> = (0..30)
        .map(|_| {
            let mut socket = connect(shores.gateway.address());
            socket.write_all(head).expect("it is within the limit");
            socket
        })
        .collect();
    let connections = ends(sockets, |ended| matches!(ended, Ended::Answered(408 | 431)));
    Cost { connections, bytes: 30 * 500_000, answer: "408, or 431 for too many lines".into() }
}

fn header_bomb(shores: &Shores) -> Cost {
    let lines = "X-Line: 0123456789abcdef\r\n".repeat(1000);
    let mut bytes = 0;
    for _ in 0..10 {
        let mut socket = connect(shores.gateway.address());
        socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").expect("a beginning");
        let (sent, goes_on) = flood(&mut socket, lines.as_bytes(), 64 << 20, PATIENCE);
        // What is in the buffers of both kernels was not read.
        assert!(!goes_on && sent < 16 << 20, "{sent} bytes are taken");
        bytes += sent;
    }
    Cost { connections: 10, bytes, answer: "431, and closed".into() }
}

fn slow_heads(shores: &Shores) -> Cost {
    let mut sockets: Vec<_> = (0..scaled(300, 2000)).map(|_| connect(shores.gateway.address())).collect();
    let (started, mut bytes) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(2) {
        for socket in &mut sockets {
            bytes += u64::from(socket.write_all(b"G").is_ok());
        }
        thread::sleep(Duration::from_millis(100));
    }
    let connections = ends(sockets, |ended| matches!(ended, Ended::Answered(408) | Ended::Closed));
    Cost { connections, bytes, answer: "408, and closed in time".into() }
}

fn silence(shores: &Shores) -> Cost {
    let sockets: Vec<_> = (0..scaled(800, 4000)).map(|_| connect(shores.gateway.address())).collect();
    let connections = ends(sockets, |ended| matches!(ended, Ended::Answered(408) | Ended::Closed));
    Cost { connections, bytes: 0, answer: "closed in time".into() }
}

fn all_places(shores: &Shores) -> Cost {
    let mut connections = 0;
    for _ in 0..3 {
        let sockets: Vec<_> = (0..30).map(|_| connect(shores.gateway.address())).collect();
        connections += ends(sockets, |ended| matches!(ended, Ended::Answered(408) | Ended::Closed));
    }
    Cost { connections, bytes: 0, answer: "closed in time; who waits is served".into() }
}

fn bad_connections(shores: &Shores) -> Cost {
    const AT_A_TIME: usize = 4;
    let all = scaled(3_000, 100_000);
    let (next, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= all {
                        return;
                    }
                    bytes.fetch_add(bad_connection(shores, number), Ordering::Relaxed);
                }
            });
        }
    });
    let bytes = bytes.into_inner() as u64;
    Cost { connections: all, bytes, answer: "4xx, or closed".into() }
}

fn bad_connection(shores: &Shores, number: usize) -> usize {
    let mut random = Random::new(number as u64);
    let request = match number % 5 {
        0 => random.bytes(200),
        1 => b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        2 => b"GET /no/such/path HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
            .to_vec(),
        // Half a head, and away.
        3 => b"GET /api/v1/namespaces/default/pods/demo/exec?command=x HTTP/1.1\r\nHo".to_vec(),
        // A session, without a word behind it.
        _ => {
            b"GET /api/v1/namespaces/default/pods/demo/exec?command=true&stdout=true HTTP/1.1\r\nHost: x\r\n\
               Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
                .to_vec()
        }
    };
    let mut socket = connect(shores.gateway.address());
    // Refused in the middle is right.
    let _ = socket.write_all(&request);
    if !matches!(number % 5, 0 | 3) {
        let ended = end(&mut socket);
        assert!(matches!(ended, Ended::Answered(400..=499) | Ended::Closed), "{number}: {ended:?}");
    }
    request.len()
}
