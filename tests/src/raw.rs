use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::EXEC_PATH;

/// How long a server may keep a connection that has nothing to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a server answered to bytes, up to the moment when it closed the connection.
#[derive(Debug)]
pub struct Reply {
    /// All bytes.
    pub bytes: Vec<u8>,
    /// From the connection's start to its end.
    pub time: Duration,
    /// True if the connection was reset: the server closed it with input unread.
    pub reset: bool,
}

impl Reply {
    /// The bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The status code of the answer.
    pub fn status(&self) -> Option<u16> {
        self.text().strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }
}

/// Asks for a session over `v5.channel.k8s.io`, and sends `behind` with the request without waiting for the answer.
pub fn raw_session(server: SocketAddr, query: &str, behind: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(server).expect("the server accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let head = format!(
        "GET {EXEC_PATH}?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
    );
    socket.write_all(&[head.as_bytes(), behind].concat()).expect("the server takes a request");
    socket
}

/// Sends `bytes` on a connection of their own and reads until the server closes it, which it must do. This end closes nothing.
#[track_caller]
pub fn exchange(server: SocketAddr, bytes: &[u8]) -> Reply {
    let started = Instant::now();
    let socket = TcpStream::connect(server).expect("the server accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket.set_write_timeout(Some(PATIENCE)).expect("a time-out");
    let mut reply = Reply { bytes: Vec::new(), time: Duration::ZERO, reset: false };
    let result = thread::scope(|scope| {
        // Refused early, the rest of a long request cannot be written, which is right.
        scope.spawn(|| (&socket).write_all(bytes));
        (&socket).read_to_end(&mut reply.bytes)
    });
    reply.time = started.elapsed();
    match result {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => reply.reset = true,
        Err(error) => panic!("the connection is not closed: {error}\n{}", reply.text()),
    }
    reply
}
