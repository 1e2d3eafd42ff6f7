use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// The answer of a server that upgrades to SPDY.
pub const SPDY_101: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                            X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";

/// What a server may answer to the WebSocket v5 upgrade of an exec, and whether a client then has to ask for SPDY: `http-upgrade.md`
/// section 4.
pub const FALLBACK: [(&str, bool, Answer); 16] = [
    ("the v5 upgrade", false, |head| websocket_101(head, "v5.channel.k8s.io")),
    ("200", true, |_| "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into()),
    ("400", true, |_| "HTTP/1.1 400 Bad Request\r\n\r\nnot websocket protocol".into()),
    ("403 without a body", true, |_| "HTTP/1.1 403 Forbidden\r\n\r\n".into()),
    ("404 with a Status", true, |_| {
        let json = r#"{"kind":"Status","message":"pods \"demo\" not found","code":404}"#;
        format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n{json}", json.len())
    }),
    ("500", true, |_| "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".into()),
    ("503", true, |_| "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".into()),
    ("a redirect", true, |_| "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".into()),
    ("a wrong accept key", true, |head| {
        websocket_101(head, "v5.channel.k8s.io").replace("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x")
    }),
    ("no accept key", true, |head| {
        websocket_101(head, "v5.channel.k8s.io").replace("Sec-WebSocket-Accept", "X-Accept")
    }),
    ("a 101 to SPDY", true, |_| SPDY_101.into()),
    ("a 101 without Connection", true, |head| {
        websocket_101(head, "v5.channel.k8s.io").replace("Connection", "X-Connection")
    }),
    ("a protocol that was not offered", true, |head| websocket_101(head, "v4.channel.k8s.io")),
    ("no protocol", true, |head| websocket_101(head, "")),
    ("no HTTP", false, |_| "SSH-2.0-OpenSSH_9.2\r\n\r\n".into()),
    ("a connection that ends", false, |_| String::new()),
];

/// What a request's head is answered.
pub type Answer = fn(&str) -> String;

/// A server that answers each request with what its script says of the head, one at a time, and then nothing more.
#[derive(Debug)]
pub struct Script {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl Script {
    /// One that keeps the connections that it upgrades.
    pub fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        Self::serve(move |head| {
            let answer = answer(head);
            let is_kept = answer.starts_with("HTTP/1.1 101");
            (answer.into_bytes(), is_kept)
        })
    }

    /// One that ends every connection behind its answer.
    pub fn ending(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        Self::serve(move |head| (answer(head), false))
    }

    fn serve(answer: impl Fn(&str) -> (Vec<u8>, bool) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let script = Self { address, heads: Arc::default(), stopped: Arc::default() };
        let (heads, stopped) = (Arc::clone(&script.heads), Arc::clone(&script.stopped));
        thread::spawn(move || {
            let mut kept = Vec::new();
            for mut io in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let head = read_head(&mut io);
                let (answer, is_kept) = answer(&head);
                heads.lock().expect("no test panics with it").push(head);
                io.write_all(&answer).expect("the client reads");
                if is_kept {
                    kept.push(io);
                } else {
                    // A connection with unread bytes would be reset.
                    let _ = io.shutdown(Shutdown::Write);
                    thread::spawn(move || io::copy(&mut io, &mut io::sink()));
                }
            }
        });
        script
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no test panics with it").clone()
    }

    /// Their methods.
    pub fn methods(&self) -> Vec<String> {
        let heads = self.heads();
        heads.iter().filter_map(|head| head.split(' ').next()).map(str::to_owned).collect()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // So that it looks.
        let _ = TcpStream::connect(self.address);
    }
}

/// The answer of a server that upgrades to a WebSocket, with this subprotocol or none.
pub fn websocket_101(head: &str, protocol: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept = strait::ws::accept_key(key.unwrap_or_else(|| panic!("no key in {head}")).as_bytes());
    let accept = String::from_utf8_lossy(&accept).into_owned();
    let protocol =
        if protocol.is_empty() { String::new() } else { format!("Sec-WebSocket-Protocol: {protocol}\r\n") };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
    )
}

fn read_head(io: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && matches!(io.read(&mut byte), Ok(1)) {
        bytes.extend(byte);
    }
    String::from_utf8(bytes).expect("a head is text")
}
