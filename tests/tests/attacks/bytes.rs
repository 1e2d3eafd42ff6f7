//! Connections that do as they are told.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use strait_tests::EXEC_PATH;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(to).expect("the gateway accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket.set_write_timeout(Some(PATIENCE)).expect("a time-out");
    socket.set_nodelay(true).expect("an option");
    socket
}

/// What a connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// An answer with this status, and the end.
    Answered(u16),
    /// The end, with a reset or not.
    Closed,
    /// Bytes that are no answer of HTTP, and the end.
    Said,
}

/// Reads to the end, which has to come.
pub(crate) fn end(socket: &mut TcpStream) -> Ended {
    let mut bytes = Vec::new();
    if let Err(error) = socket.read_to_end(&mut bytes) {
        assert!(!is_timeout(&error), "it is not closed behind {} bytes", bytes.len());
    }
    let text = String::from_utf8_lossy(&bytes);
    match text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()) {
        Some(status) => Ended::Answered(status),
        None if bytes.is_empty() => Ended::Closed,
        None => Ended::Said,
    }
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Writes `piece` again and again, up to so many bytes and so long. How many were taken; false if the other side ended it.
pub(crate) fn flood(socket: &mut TcpStream, piece: &[u8], most: u64, time: Duration) -> (u64, bool) {
    let started = Instant::now();
    socket.set_write_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    let (mut sent, mut rest) = (0, piece);
    while sent < most && started.elapsed() < time {
        match socket.write(rest) {
            Ok(count) => {
                sent += count as u64;
                rest = &rest[count..];
                if rest.is_empty() {
                    rest = piece;
                }
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => return (sent, false),
        }
    }
    (sent, true)
}

/// An upgrade to SPDY of an exec. What came behind the head is left in the socket.
pub(crate) fn spdy(gateway: SocketAddr, query: &str) -> TcpStream {
    upgraded(
        gateway,
        &format!(
            "POST {EXEC_PATH}?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
             X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n"
        ),
    )
}

/// An upgrade to WebSocket of an exec.
pub(crate) fn websocket(gateway: SocketAddr, query: &str) -> TcpStream {
    upgraded(
        gateway,
        &format!(
            "GET {EXEC_PATH}?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
        ),
    )
}

fn upgraded(gateway: SocketAddr, request: &str) -> TcpStream {
    let mut socket = connect(gateway);
    socket.write_all(request.as_bytes()).expect("a request is taken");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    socket
}
