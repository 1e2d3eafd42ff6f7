use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use strait::spdy::{Event, HeaderWriter, Receiver, RstStatus, SkipBlocks, StreamId, frame};
use strait::{Limits, Role};
use tokio_tungstenite::tungstenite::client::{IntoClientRequest as _, client};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

/// Where the node's pod forwards ports.
pub const PORT_FORWARD_PATH: &str = "/api/v1/namespaces/default/pods/demo/portforward";

/// How long an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long a read may take before other things are looked at.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// What carries the SPDY connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// TCP, after an upgrade to SPDY/3.1.
    Spdy,
    /// The messages of a WebSocket.
    Tunnel,
}

/// A SPDY client for port-forward that sends exactly what it is told: no pairs but those that a test makes.
#[derive(Debug)]
pub struct PairClient {
    wire: Wire,
    writer: HeaderWriter,
    receiver: Receiver<SkipBlocks>,
    input: Vec<u8>,
    next: u32,
    request: u64,
    streams: HashMap<u32, Came>,
    /// PINGs are answered.
    pub answers_pings: bool,
    /// PINGs that came.
    pub pings: usize,
    /// A GOAWAY, or the end of the connection, came.
    pub gone: bool,
}

#[derive(Debug)]
enum Wire {
    Spdy(TcpStream),
    Tunnel(Box<WebSocket<TcpStream>>),
}

/// What came on a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Came {
    /// A `SYN_REPLY`.
    pub replied: bool,
    /// The payload of all DATA.
    pub data: Vec<u8>,
    /// FIN.
    pub finished: bool,
    /// The status of an `RST_STREAM`.
    pub reset: Option<RstStatus>,
}

impl Came {
    /// The payload as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }

    /// Nothing more comes.
    pub const fn is_over(&self) -> bool {
        self.finished || self.reset.is_some()
    }
}

impl PairClient {
    /// Upgrades a connection to the node's pod.
    pub fn connect(server: SocketAddr, carrier: Carrier) -> Self {
        let socket = TcpStream::connect(server).expect("the server accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        socket.set_nodelay(true).expect("an option");
        let mut input = Vec::new();
        let wire = match carrier {
            Carrier::Spdy => {
                let mut socket = socket;
                input = upgrade(&mut socket);
                socket.set_read_timeout(Some(POLL)).expect("a time-out");
                Wire::Spdy(socket)
            }
            Carrier::Tunnel => {
                let url = format!("ws://{server}{PORT_FORWARD_PATH}");
                let mut request = url.into_client_request().expect("a request");
                let protocol = HeaderValue::from_static("SPDY/3.1+portforward.k8s.io");
                request.headers_mut().insert("sec-websocket-protocol", protocol);
                let (websocket, _) = client(request, socket).expect("the upgrade succeeds");
                websocket.get_ref().set_read_timeout(Some(POLL)).expect("a time-out");
                Wire::Tunnel(Box::new(websocket))
            }
        };
        Self {
            wire,
            writer: HeaderWriter::new(),
            receiver: Receiver::new(Role::Client, &Limits::HOST, SkipBlocks),
            input,
            next: 1,
            request: 0,
            streams: HashMap::new(),
            answers_pings: true,
            pings: 0,
            gone: false,
        }
    }

    /// Opens a stream with these headers; its number.
    pub fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        let id = self.next;
        self.next += 2;
        let mut wire = [0; 512];
        let len = self.writer.syn_stream(stream_id(id), false, headers, &mut wire).expect("it fits");
        self.write(&wire[..len]);
        self.streams.insert(id, Came::default());
        id
    }

    /// Opens a pair as upstream's clients do: its error stream, half-closed, and its data stream.
    pub fn pair(&mut self, port: u16) -> (u32, u32) {
        let (port, request) = (port.to_string(), self.request.to_string());
        self.request += 1;
        let headers =
            |stream| [("streamtype", stream), ("port", port.as_str()), ("requestid", request.as_str())];
        let error = self.open(&headers("error"));
        self.send(error, b"", true);
        (error, self.open(&headers("data")))
    }

    /// Sends DATA.
    pub fn send(&mut self, id: u32, payload: &[u8], fin: bool) {
        let header = frame::data_header(stream_id(id), fin, payload.len() as u32);
        self.write(&[&header, payload].concat());
    }

    /// Resets a stream.
    pub fn reset(&mut self, id: u32) {
        self.write(&frame::rst_stream(stream_id(id), RstStatus::CANCEL));
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        assert!(self.try_write(bytes), "the server takes nothing");
    }

    /// Sends as much as the server takes: false if that was not all of it. Nothing can be sent then.
    pub fn try_write(&mut self, bytes: &[u8]) -> bool {
        match &mut self.wire {
            Wire::Spdy(socket) => socket.write_all(bytes).is_ok(),
            Wire::Tunnel(websocket) => websocket.send(Message::binary(bytes.to_vec())).is_ok(),
        }
    }

    /// What came on a stream so far.
    pub fn came(&self, id: u32) -> &Came {
        &self.streams[&id]
    }

    /// Reads until it is so, and panics if that takes too long.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        assert!(self.within(PATIENCE, &mut is_so), "not {what}: {:?}, gone: {}", self.short(), self.gone);
    }

    /// Reads until it is so: false if it is not within `limit`.
    pub fn within(&mut self, limit: Duration, mut is_so: impl FnMut(&Self) -> bool) -> bool {
        let started = Instant::now();
        loop {
            self.receive();
            if is_so(self) {
                return true;
            }
            if started.elapsed() > limit {
                return false;
            }
            self.read();
        }
    }

    /// Reads for so long.
    pub fn read_for(&mut self, time: Duration) {
        self.within(time, |_| false);
    }

    fn short(&self) -> Vec<String> {
        let streams = self.streams.iter();
        streams
            .map(|(id, came)| {
                format!("{id}: {} bytes, fin {}, {:?}", came.data.len(), came.finished, came.reset)
            })
            .collect()
    }

    /// Reads once, for a moment.
    pub(crate) fn read(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        let count = match &mut self.wire {
            Wire::Spdy(socket) => socket.read(&mut buffer),
            Wire::Tunnel(websocket) => match websocket.read() {
                Ok(Message::Binary(message)) => {
                    self.input.extend_from_slice(&message);
                    return;
                }
                Ok(Message::Ping(_) | Message::Pong(_)) => return,
                Ok(Message::Close(_)) => Ok(0),
                Ok(other) => panic!("an unexpected message: {other:?}"),
                Err(Error::Io(error)) => Err(error),
                Err(_) => Ok(0),
            },
        };
        match count {
            Ok(0) => self.gone = true,
            Ok(count) => self.input.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => self.gone = true,
        }
        if self.gone {
            std::thread::sleep(POLL);
        }
    }

    /// Takes in what was read.
    pub(crate) fn receive(&mut self) {
        let mut at = 0;
        let mut answers = Vec::new();
        loop {
            let input = &self.input[at..];
            let step = self.receiver.receive(input).expect("the server speaks SPDY");
            if step.consumed == 0 && step.event.is_none() {
                break;
            }
            match step.event {
                Some(Event::SynReply { stream, .. }) => {
                    self.streams.entry(stream.get()).or_default().replied = true;
                }
                Some(Event::Data { stream, range, fin, .. }) => {
                    let came = self.streams.entry(stream.get()).or_default();
                    came.data.extend_from_slice(&input[range]);
                    came.finished |= fin;
                }
                Some(Event::RstStream { stream, status }) => {
                    self.streams.entry(stream.get()).or_default().reset = Some(status);
                }
                Some(Event::Ping { id }) => {
                    self.pings += 1;
                    answers.extend_from_slice(&frame::ping(id));
                }
                Some(Event::GoAway { .. }) => self.gone = true,
                _ => {}
            }
            at += step.consumed;
        }
        self.input.drain(..at);
        if self.answers_pings && !answers.is_empty() {
            self.try_write(&answers);
        }
    }
}

fn stream_id(id: u32) -> StreamId {
    StreamId::new(id).expect("a stream id")
}

/// Upgrades to SPDY. What came behind the answer's head.
fn upgrade(socket: &mut TcpStream) -> Vec<u8> {
    let head = format!(
        "POST {PORT_FORWARD_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: portforward.k8s.io\r\nContent-Length: 0\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).expect("the server takes a request");
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("the server answers");
        bytes.push(byte[0]);
        if bytes.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8_lossy(&bytes);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("X-Stream-Protocol-Version: portforward.k8s.io\r\n"), "{head}");
    Vec::new()
}
