//! Port-forward over WebSocket channels, as kube-rs, Python and JavaScript speak it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strait_tests::{PORT_FORWARD_PATH, Server, Target, eventually, exchange, refused_port};
use tokio_tungstenite::tungstenite::client::{IntoClientRequest as _, client};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

const PATIENCE: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(5);

/// What clients offer, and what they get.
const OFFERS: [(&str, &str); 4] = [
    ("v4.channel.k8s.io", "v4.channel.k8s.io"),
    ("v5.channel.k8s.io,v4.channel.k8s.io", "v4.channel.k8s.io"),
    ("v4.base64.channel.k8s.io", "v4.base64.channel.k8s.io"),
    ("", ""),
];

struct Client {
    socket: WebSocket<TcpStream>,
    is_base64: bool,
}

impl Client {
    #[track_caller]
    fn connect(node: &Server, query: &str, (offer, expected): (&str, &'static str)) -> Self {
        let socket = TcpStream::connect(node.address()).expect("the node accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let url = format!("ws://{}{PORT_FORWARD_PATH}?{query}", node.address());
        let mut request = url.into_client_request().expect("a request");
        if !offer.is_empty() {
            let offer = HeaderValue::from_str(offer).expect("a header");
            request.headers_mut().insert("sec-websocket-protocol", offer);
        }
        let (socket, answer) = client(request, socket).expect("the upgrade succeeds");
        let chosen = answer.headers().get("sec-websocket-protocol").map_or(&b""[..], HeaderValue::as_bytes);
        assert_eq!(String::from_utf8_lossy(chosen), expected);
        Self { socket, is_base64: expected.contains("base64") }
    }

    /// The next message's channel and payload; `None` is the Close, which has the code 1000.
    #[track_caller]
    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            match self.socket.read() {
                Ok(Message::Binary(message)) if !self.is_base64 => {
                    let (channel, payload) = message.split_first().expect("a channel");
                    return Some((*channel, payload.to_vec()));
                }
                Ok(Message::Text(message)) if self.is_base64 => {
                    let (channel, text) = message.split_at(1);
                    return Some((channel.as_bytes()[0] - b'0', STANDARD.decode(text).expect("base64")));
                }
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(frame)) => {
                    assert_eq!(frame.map(|frame| u16::from(frame.code)), Some(1000));
                    while self.socket.read().is_ok() {}
                    return None;
                }
                Ok(other) => panic!("an unexpected message: {other:?}"),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn send(&mut self, channel: u8, payload: &[u8]) {
        let message = if self.is_base64 {
            Message::text(format!("{}{}", char::from(b'0' + channel), STANDARD.encode(payload)))
        } else {
            Message::binary([&[channel], payload].concat())
        };
        self.socket.send(message).expect("the node takes it");
    }

    /// The messages with which a server begins every channel.
    #[track_caller]
    fn begins(&mut self, ports: &[u16]) {
        for (channel, port) in (0..).zip(ports.iter().flat_map(|port| [port, port])) {
            assert_eq!(self.next(), Some((channel, port.to_le_bytes().to_vec())));
        }
    }

    /// Bytes of a channel, as many as these, and nothing else meanwhile.
    #[track_caller]
    fn reads(&mut self, channel: u8, expected: &[u8]) {
        let mut got = Vec::new();
        while got.len() < expected.len() {
            let (from, payload) = self.next().expect("the session goes on");
            assert_eq!(from, channel);
            got.extend(payload);
        }
        assert_eq!(got, expected);
    }
}

/// Says what it is, and echoes until it is told to end.
fn named(name: &'static str) -> Target {
    Target::start(move |mut stream| {
        let mut byte = [0];
        while let Ok(1) = stream.read(&mut byte) {
            if byte == *b"." {
                let _ = write!(stream, "{name} ends");
                return;
            }
            let _ = stream.write_all(&byte);
        }
    })
}

#[test]
fn two_ports_are_two_pairs_of_channels() {
    let (one, two) = (named("one"), named("two"));
    for offer in OFFERS {
        let node = Server::node();
        let ports = [one.port(), two.port()];
        let mut client = Client::connect(&node, &format!("ports={}&ports={}", ports[0], ports[1]), offer);
        client.begins(&ports);
        client.send(0, b"to one");
        client.reads(0, b"to one");
        client.send(2, b"to two");
        client.reads(2, b"to two");
        let long = vec![b'x'; 100_000];
        client.send(2, &long);
        client.reads(2, &long);
        client.send(0, b".");
        client.reads(0, b"one ends");
        client.send(2, b"on");
        client.reads(2, b"on");
        client.send(2, b".");
        client.reads(2, b"two ends");
        assert_eq!(client.next(), None, "closed when all have ended");
        eventually(SOON, || if one.open() + two.open() == 0 { Ok(()) } else { Err("connections are left") });
        eventually(SOON, || {
            let said = node.log();
            if said.contains("session ended") { Ok(()) } else { Err(said) }
        });
    }
}

#[test]
fn a_port_that_refuses_is_told_on_its_error_channel_and_the_others_go_on() {
    let (target, refused) = (named("one"), refused_port());
    for offer in OFFERS {
        let node = Server::node();
        let mut client = Client::connect(&node, &format!("ports={refused},{}", target.port()), offer);
        client.begins(&[refused, target.port()]);
        let (channel, text) = client.next().expect("an error");
        let text = String::from_utf8_lossy(&text).into_owned();
        let expected = format!("error forwarding port {refused} to pod demo, uid strait-default-demo: ");
        assert!(channel == 1 && text.starts_with(&expected), "{channel}: {text}");
        client.send(2, b"x.");
        client.reads(2, b"xone ends");
        assert_eq!(client.next(), None);
    }
}

#[test]
fn a_client_that_closes_closes_its_connections() {
    let target = Target::echo();
    let node = Server::node();
    let mut client = Client::connect(&node, &format!("ports={}", target.port()), OFFERS[0]);
    client.begins(&[target.port()]);
    client.send(0, b"x");
    client.reads(0, b"x");
    client.socket.close(None).expect("a Close can be sent");
    loop {
        match client.socket.read() {
            Ok(_) => {}
            Err(Error::ConnectionClosed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    eventually(SOON, || if target.open() == 0 { Ok(()) } else { Err("a connection is left") });
}

/// Heartbeats are WebSocket pings, which libraries answer by themselves while they read.
#[test]
fn an_idle_session_outlives_the_peer_timeout() {
    let target = Target::echo();
    let node = Server::node_with(&["--ping-interval", "1", "--peer-timeout", "3"]);
    let mut client = Client::connect(&node, &format!("ports={}", target.port()), OFFERS[1]);
    client.begins(&[target.port()]);
    client.socket.get_ref().set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(6) {
        // A ping is answered with the next call.
        let _ = client.socket.read();
        let _ = client.socket.flush();
        thread::sleep(Duration::from_millis(50));
    }
    client.socket.get_ref().set_read_timeout(Some(PATIENCE)).expect("a time-out");
    client.send(0, b"still there");
    client.reads(0, b"still there");
}

#[test]
fn ports_that_are_none_are_refused_before_the_upgrade() {
    let node = Server::node();
    for query in ["", "?ports=", "?ports=0", "?ports=65536", "?ports=http", "?ports=80,"] {
        let head = format!(
            "GET {PORT_FORWARD_PATH}{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
        );
        let reply = exchange(node.address(), head.as_bytes());
        assert_eq!(reply.status(), Some(400), "{query}: {}", reply.text());
    }
}
