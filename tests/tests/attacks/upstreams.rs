//! Attacks by what is behind the gateway.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use strait::spdy::frame;
use strait_tests::{SPDY_101, Shores};

use crate::bytes::{connect, flood, websocket};
use crate::{Attack, Cost};

pub(crate) const ATTACKS: [Attack; 3] = [
    Attack {
        name: "upstream: answers whose head never ends",
        bound: "`--max-header-bytes`",
        upstream: Some(|socket| {
            let _ = socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\n");
            flood(socket, &b"X-Line: 0123456789abcdef\r\n".repeat(1000), 16 << 20, FLOOD).0
        }),
        ..Attack::new(30, refused)
    },
    Attack {
        name: "upstream: control frames of 16 MiB",
        bound: "`Limits::spdy_block_bytes` (64 KiB), by the header alone",
        upstream: Some(|socket| {
            let _ = socket.write_all(SPDY_101.as_bytes());
            let _ = socket.write_all(&[0x80, 3, 0, 2, 0, 0xff, 0xff, 0xff]);
            flood(socket, &[0; 16_384], 16 << 20, FLOOD).0
        }),
        ..Attack::new(8, refused)
    },
    Attack {
        name: "upstream: ping flood of a server that reads nothing",
        bound: "no room for a PING, no further frame is read",
        upstream: Some(|socket| {
            let _ = socket.write_all(SPDY_101.as_bytes());
            flood(socket, &frame::ping(2).repeat(2000), u64::MAX, FLOOD).0
        }),
        ..Attack::new(8, refused)
    },
];

const CONNECTIONS: usize = 10;
const FLOOD: Duration = Duration::from_secs(2);

/// What a gateway asks for with this word in its target meets the attack, and everything else the node.
const WORD: &str = "hostile";

/// Sessions that meet the attack: each ends with an error for its client.
fn refused(shores: &Shores) -> Cost {
    let query = format!("command={WORD}&stdout=true");
    let mut sockets: Vec<_> = (0..CONNECTIONS).map(|_| websocket(shores.gateway.address(), &query)).collect();
    for socket in &mut sockets {
        let mut said = String::new();
        while !said.contains(r#""status":"Failure""#) {
            let mut buffer = [0; 4096];
            let count = socket.read(&mut buffer).unwrap_or_else(|error| panic!("{error} behind {said}"));
            assert!(count > 0, "a session that ends without a word: {said}");
            said.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }
    Cost { connections: CONNECTIONS, bytes: 0, answer: "a Status with the reason, and Close".into() }
}

/// What an upstream does to a session: so many bytes are sent.
pub(crate) type Hostile = fn(&mut TcpStream) -> u64;

/// A server in front of `node` that does `attack` to some, and counts what it sends to them.
pub(crate) fn mixed(node: SocketAddr, attack: Hostile, sent: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let sent = Arc::clone(&sent);
            thread::spawn(move || {
                let mut head = [0; 16 * 1024];
                let count = socket.read(&mut head).unwrap_or(0);
                if String::from_utf8_lossy(&head[..count]).contains(WORD) {
                    sent.fetch_add(attack(&mut socket), Ordering::Relaxed);
                    return;
                }
                let mut to_node = connect(node);
                let _ = to_node.write_all(&head[..count]);
                relay(&socket, &to_node);
            });
        }
    });
    address
}

fn relay(one: &TcpStream, other: &TcpStream) {
    let pass = |mut from: &TcpStream, mut to: &TcpStream| {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    thread::scope(|scope| {
        scope.spawn(|| pass(one, other));
        pass(other, one);
    });
}
