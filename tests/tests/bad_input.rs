//! What a gateway answers to clients that are broken, slow or hostile, byte for byte on the socket.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use strait_tests::{EXEC_PATH, Random, Reply, Shores, exchange, exec_prints};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const PROTOCOL: &str = "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n";

/// A request for a session, with these header lines behind the ones that ask for a WebSocket.
fn upgrade(method: &str, headers: &[&str]) -> Vec<u8> {
    let headers = headers.concat();
    format!(
        "{method} {EXEC_PATH}?command=date&stdout=true HTTP/1.1\r\nHost: x\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\n{headers}\r\n"
    )
    .into_bytes()
}

/// The reply of a fresh gateway; behind it a good session must still work.
#[track_caller]
fn reply_to(request: &[u8]) -> Reply {
    let shores = Shores::start(&["--handshake-timeout", "1"]);
    let reply = exchange(shores.gateway.address(), request);
    exec_prints(shores.gateway.address(), "still-works");
    reply
}

#[track_caller]
fn assert_refused(request: &[u8], status: u16) {
    let reply = reply_to(request);
    assert_eq!(reply.status(), Some(status), "{reply:?}");
    assert!(!reply.reset, "the answer may be lost: {reply:?}");
    assert!(reply.text().contains("\r\n\r\n"), "half an answer: {reply:?}");
}

#[track_caller]
fn assert_answer(request: &[u8], answer: &str) {
    let reply = reply_to(request);
    assert_eq!(reply.text(), answer);
    assert!(!reply.reset, "the answer may be lost: {reply:?}");
}

/// Covers: RFC9112-3-1
#[test]
fn what_is_not_http_is_refused() {
    assert_refused(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", 400);
}

/// A TLS client's hello has no end that HTTP knows, so it may also run into the deadline.
#[test]
fn a_tls_hello_is_refused() {
    let mut hello = vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    hello.extend(Random::new(1).bytes(500));
    let reply = reply_to(&hello);
    assert!(matches!(reply.status(), Some(400 | 408)), "{reply:?}");
    assert!(reply.time < Duration::from_secs(4), "{reply:?}");
}

#[test]
fn an_unknown_path_gets_the_answer_of_the_node() {
    let reply = reply_to(b"GET /no/such/path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(reply.status(), Some(404), "{reply:?}");
    let text = reply.text();
    let (_, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    assert!(body.contains(r#""kind":"Status""#) && body.contains(r#""code":404"#), "{text}");
}

/// Covers: RFC6455-4.2.2-2
#[test]
fn a_websocket_of_another_version_is_refused() {
    assert_answer(
        &upgrade("GET", &[KEY, "Sec-WebSocket-Version: 8\r\n", PROTOCOL]),
        "HTTP/1.1 400 Bad Request\r\nSec-WebSocket-Version: 13\r\n\r\nmissing or bad WebSocket Version",
    );
}

#[test]
fn a_websocket_without_a_version_is_refused() {
    assert_answer(
        &upgrade("GET", &[KEY, PROTOCOL]),
        "HTTP/1.1 400 Bad Request\r\nSec-WebSocket-Version: 13\r\n\r\nmissing or bad WebSocket Version",
    );
}

/// Covers: RFC6455-4.2.1-1
#[test]
fn a_websocket_without_a_key_is_refused() {
    assert_answer(
        &upgrade("GET", &[VERSION, PROTOCOL]),
        "HTTP/1.1 400 Bad Request\r\n\r\nmismatch challenge/response",
    );
}

/// Covers: RFC6455-4.2.1-1
#[test]
fn a_websocket_by_post_is_refused() {
    assert_answer(
        &upgrade("POST", &[KEY, VERSION, PROTOCOL]),
        "HTTP/1.1 405 Method Not Allowed\r\n\r\nbad method",
    );
}

#[test]
fn an_unknown_subprotocol_is_refused() {
    assert_answer(
        &upgrade("GET", &[KEY, VERSION, "Sec-WebSocket-Protocol: v9.channel.k8s.io, chat\r\n"]),
        "HTTP/1.1 403 Forbidden\r\n\r\n",
    );
}

#[test]
fn a_head_of_a_mebibyte_is_refused() {
    let padding = format!("X-Padding: {}\r\n", "x".repeat(1 << 20));
    let reply = reply_to(&upgrade("GET", &[&padding, KEY, VERSION, PROTOCOL]));
    assert_eq!(reply.status(), Some(431), "{reply:?}");
}

#[test]
fn a_head_of_many_lines_is_refused() {
    let lines = "X-Line: x\r\n".repeat(10_000);
    let reply = reply_to(&upgrade("GET", &[&lines, KEY, VERSION, PROTOCOL]));
    assert_eq!(reply.status(), Some(431), "{reply:?}");
}

#[test]
fn half_a_head_gets_no_more_than_its_time() {
    let reply = reply_to(format!("GET {EXEC_PATH} HTTP/1.1\r\nHost: x\r\nX-Un").as_bytes());
    assert_eq!(reply.status(), Some(408), "{reply:?}");
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&reply.time), "{reply:?}");
}

#[test]
fn a_silent_client_gets_no_more_than_its_time() {
    let reply = reply_to(b"");
    assert!(matches!(reply.status(), None | Some(408)), "{reply:?}");
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&reply.time), "{reply:?}");
}

/// One byte now and then must not count as progress.
#[test]
fn a_trickled_head_gets_no_more_than_its_time() {
    let shores = Shores::start(&["--handshake-timeout", "1"]);
    let mut socket = TcpStream::connect(shores.gateway.address()).expect("the gateway accepts");
    let started = Instant::now();
    let mut sent = 0;
    // A write to a closed connection fails once its reset has come back.
    while socket.write_all(b"G").is_ok() {
        sent += 1;
        assert!(started.elapsed() < Duration::from_secs(4), "{sent} bytes were waited for");
        thread::sleep(Duration::from_millis(100));
    }
    exec_prints(shores.gateway.address(), "still-works");
}

#[test]
fn garbage_in_a_spdy_upgrade_is_refused() {
    let request = format!(
        "POST {EXEC_PATH}?command=date&stdout=true HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\
         Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: garbage, , ;;\r\n\r\n"
    );
    let reply = reply_to(request.as_bytes());
    assert!(matches!(reply.status(), Some(400..=499 | 501)), "{reply:?}");
}

/// Covers: RFC9110-7.8-2
#[test]
fn an_upgrade_to_something_unknown_is_not_a_tunnel() {
    let request = format!(
        "GET {EXEC_PATH}?command=date&stdout=true HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\n\
         Upgrade: h2c\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n"
    );
    let reply = reply_to(request.as_bytes());
    assert!(matches!(reply.status(), Some(400..=499 | 501)), "{reply:?}");
}

#[test]
fn control_bytes_in_a_header_are_refused() {
    assert_refused(b"GET /version HTTP/1.1\r\nHost: x\r\nUpgrade: \x01\x00\x7f\r\n\r\n", 400);
}

/// Covers: RFC9112-6.3-1
#[test]
fn two_lengths_are_refused() {
    assert_refused(
        b"POST /version HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n",
        400,
    );
}

/// Covers: RFC9112-6.1-1
#[test]
fn a_length_and_chunks_are_refused() {
    assert_refused(
        b"POST /version HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    );
}

/// Covers: RFC9112-3.2-1
#[test]
fn a_request_without_a_host_is_refused() {
    assert_refused(b"GET /version HTTP/1.1\r\n\r\n", 400);
}

#[test]
fn two_hundred_bad_connections_leave_nothing_behind() {
    let shores = Shores::start(&["--handshake-timeout", "1"]);
    let baseline = shores.baseline();
    let requests = [
        b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n".to_vec(),
        upgrade("POST", &[KEY, VERSION, PROTOCOL]),
        upgrade("GET", &[VERSION, PROTOCOL]),
        b"POST /version HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n".to_vec(),
        b"GET /no/such/path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
    ];
    let mut silent = Vec::new();
    for (number, request) in requests.iter().cycle().take(200).enumerate() {
        match number % 4 {
            // Closed by the client, in the middle of a head or behind it.
            0 => drop(
                TcpStream::connect(shores.gateway.address()).and_then(|mut to| to.write_all(&request[..20])),
            ),
            1 => drop(TcpStream::connect(shores.gateway.address()).and_then(|mut to| to.write_all(request))),
            // Left open: the gateway has to close these.
            2 => silent.push(TcpStream::connect(shores.gateway.address()).expect("the gateway accepts")),
            _ => drop(exchange(shores.gateway.address(), request)),
        }
    }
    shores.return_to(baseline, Duration::from_secs(5));
    exec_prints(shores.gateway.address(), "still-works");
}
