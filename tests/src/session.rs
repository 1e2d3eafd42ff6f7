use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use strait::k8s::{Channel, StreamSet, Subprotocol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::EXEC_PATH;
use crate::spdy_wire::SpdyWire;
use crate::websocket_wire::WebSocketWire;

/// How long a peer may be silent where a test does not say otherwise.
///
/// Longer than the system may pause: a receiver whose buffer is full may drop a segment (`TCPRcvQDrop`), and the sender comes back with it when
/// as much time has passed again as the receiver did not read, 72 s in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// RFC 6455 section 1.3: the example key and its answer.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// WebSocket, offering only this subprotocol.
    WebSocket(Subprotocol),
    /// SPDY/3.1, offering only this subprotocol.
    Spdy(Subprotocol),
}

/// A command, or the main process, and how its session is asked for.
#[derive(Debug, Clone)]
pub struct Exec {
    path: String,
    command: Vec<String>,
    container: Option<&'static str>,
    streams: StreamSet,
    receive_buffer: Option<u32>,
    opening: Opening,
}

/// How a SPDY client opens its streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Opening {
    /// All in one write.
    #[default]
    AtOnce,
    /// Each when the one before is accepted, as Go clients do.
    OneByOne,
    /// The same, and the frames come in small pieces.
    InPieces,
    /// The same as [`OneByOne`](Self::OneByOne), with a line of input as soon as there is a stream for it.
    WithInput,
}

/// A client without a kubectl: an upgraded connection that says what comes.
///
/// No method waits for longer than half a minute without a byte.
pub struct Session(Wire);

enum Wire {
    WebSocket(Box<WebSocketWire>),
    Spdy(Box<SpdyWire>),
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Bytes of a channel; none is how a WebSocket server says that it is ready.
    Data(Channel, Vec<u8>),
    /// Nothing more comes.
    End(End),
}

/// How a session ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum End {
    /// In order: a Close with 1000, or the end of all SPDY streams.
    Clean,
    /// A Close with another code, or a GOAWAY that is not OK.
    Failed,
    /// The connection ended before that.
    #[default]
    Cut,
}

/// A whole session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transcript {
    /// All of stdout.
    pub stdout: Vec<u8>,
    /// All of stderr.
    pub stderr: Vec<u8>,
    /// All of the error channel: a Status or a text.
    pub error: Vec<u8>,
    /// How it ended.
    pub end: End,
}

/// No session: the answer to its upgrade was another one.
#[derive(Debug)]
pub struct Refusal {
    /// The status code of the answer.
    pub status: u16,
    /// Its body.
    pub body: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused with {}: {}", self.status, self.body)
    }
}

impl std::error::Error for Refusal {}

impl Exec {
    /// A script of the shell, with its stdout and stderr.
    pub fn script(script: &str) -> Self {
        Self::command(&["sh", "-c", script])
    }

    /// A command, with its stdout and stderr.
    pub fn command(command: &[&str]) -> Self {
        let streams = StreamSet { stdin: false, stdout: true, stderr: true, tty: false };
        let command = command.iter().map(|&word| word.into()).collect();
        let (path, opening) = (EXEC_PATH.into(), Opening::default());
        Self { path, command, container: None, streams, receive_buffer: None, opening }
    }

    /// The main process, with its stdout and stderr.
    pub fn attach() -> Self {
        let path = format!("{}/attach", EXEC_PATH.trim_end_matches("/exec"));
        Self { path, ..Self::command(&[]) }
    }

    /// In this container.
    #[must_use]
    pub fn in_container(mut self, name: &'static str) -> Self {
        self.container = Some(name);
        self
    }

    /// With stdin.
    #[must_use]
    pub fn with_stdin(mut self) -> Self {
        self.streams.stdin = true;
        self
    }

    /// On a terminal, with stdin.
    #[must_use]
    pub fn on_terminal(mut self) -> Self {
        self.streams = StreamSet { stdin: true, stdout: true, stderr: false, tty: true };
        self
    }

    /// On a connection whose receive buffer has that many bytes, as far as the system allows it.
    #[must_use]
    pub fn with_receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Opening the streams of a SPDY session in another way than at once.
    #[must_use]
    pub fn with_opening(mut self, opening: Opening) -> Self {
        self.opening = opening;
        self
    }

    /// Opens the session. An answer that is no upgrade is a [`Refusal`].
    pub async fn open(&self, server: SocketAddr, dialect: Dialect) -> Result<Session> {
        timeout(PATIENCE, self.upgrade(server, dialect)).await.context("the upgrade is not answered")?
    }

    async fn upgrade(&self, server: SocketAddr, dialect: Dialect) -> Result<Session> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let mut io = socket.connect(server).await?;
        io.set_nodelay(true)?;
        io.write_all(self.head(dialect).as_bytes()).await?;
        let (head, behind) = read_head(&mut io).await?;
        ensure!(head.starts_with("HTTP/1.1 "), "not HTTP: {head:?}");
        if !head.starts_with("HTTP/1.1 101 ") {
            return Err(refusal(&head, behind, io).await?.into());
        }
        let (header, protocol) = match dialect {
            Dialect::WebSocket(protocol) => ("sec-websocket-protocol", protocol),
            Dialect::Spdy(protocol) => ("x-stream-protocol-version", protocol),
        };
        ensure!(value(&head, header).unwrap_or("") == protocol.name(), "another protocol: {head}");
        Ok(Session(match dialect {
            Dialect::WebSocket(protocol) => {
                ensure!(value(&head, "sec-websocket-accept") == Some(ACCEPT), "another key: {head}");
                Wire::WebSocket(Box::new(WebSocketWire::new(io, behind, protocol).await))
            }
            Dialect::Spdy(protocol) => {
                Wire::Spdy(Box::new(SpdyWire::open(io, behind, protocol, self.streams, self.opening).await?))
            }
        }))
    }

    fn head(&self, dialect: Dialect) -> String {
        let path = format!("{}?{}", self.path, self.query());
        match dialect {
            Dialect::WebSocket(protocol) => {
                let offer = match protocol {
                    Subprotocol::None => String::new(),
                    named => format!("Sec-WebSocket-Protocol: {named}\r\n"),
                };
                format!(
                    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
                )
            }
            Dialect::Spdy(protocol) => format!(
                "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                 X-Stream-Protocol-Version: {protocol}\r\nContent-Length: 0\r\n\r\n"
            ),
        }
    }

    fn query(&self) -> String {
        let StreamSet { stdin, stdout, stderr, tty } = self.streams;
        let words = self.command.iter().map(|word| format!("command={}", encode(word)));
        let flags = [("stdin", stdin), ("stdout", stdout), ("stderr", stderr), ("tty", tty)];
        let flags = flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| format!("{name}=true"));
        let container = self.container.map(|name| format!("container={name}"));
        words.chain(container).chain(flags).collect::<Vec<_>>().join("&")
    }
}

impl Session {
    /// What comes next. Heartbeats are answered and not told.
    pub async fn next(&mut self) -> Result<Said> {
        let next = async {
            match &mut self.0 {
                Wire::WebSocket(wire) => wire.next().await,
                Wire::Spdy(wire) => wire.next().await,
            }
        };
        timeout(PATIENCE, next).await.context("nothing comes")?
    }

    /// Sends a piece of stdin.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        ensure!(self.try_send(bytes, PATIENCE).await?, "nothing is taken");
        Ok(())
    }

    /// Sends a piece of stdin; false if it is not taken within `limit`. The rest of it is sent later then.
    pub async fn try_send(&mut self, bytes: &[u8], limit: Duration) -> Result<bool> {
        let send = async {
            match &mut self.0 {
                Wire::WebSocket(wire) => wire.send(Channel::STDIN, bytes).await,
                Wire::Spdy(wire) => wire.send(Channel::STDIN, bytes, false).await,
            }
        };
        timeout(limit, send).await.map_or(Ok(false), |sent| sent.map(|()| true))
    }

    /// Ends stdin. Over WebSocket that needs v5.
    pub async fn half_close(&mut self) -> Result<()> {
        match &mut self.0 {
            Wire::WebSocket(wire) => wire.half_close(Channel::STDIN).await,
            Wire::Spdy(wire) => wire.send(Channel::STDIN, &[], true).await,
        }
    }

    /// The terminal has another size. Over SPDY that needs v3.
    pub async fn resize(&mut self, columns: u16, rows: u16) -> Result<()> {
        let json = format!("{{\"Width\":{columns},\"Height\":{rows}}}\n");
        match &mut self.0 {
            Wire::WebSocket(wire) => wire.send(Channel::RESIZE, json.as_bytes()).await,
            Wire::Spdy(wire) => wire.send(Channel::RESIZE, json.as_bytes(), false).await,
        }
    }

    /// Sends a heartbeat, as Go clients do every 5 s.
    pub async fn ping(&mut self) -> Result<()> {
        match &mut self.0 {
            Wire::WebSocket(wire) => wire.ping().await,
            Wire::Spdy(wire) => wire.ping().await,
        }
    }

    /// Lives on for `time`, in which nothing comes but heartbeats.
    pub async fn stays_silent(&mut self, time: Duration) -> Result<()> {
        match timeout(time, self.next()).await {
            Ok(said) => bail!("not silent: {:?}", said?),
            Err(_) => Ok(()),
        }
    }

    /// Reads to the end of the first line of stdout.
    pub async fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            match self.next().await? {
                Said::Data(Channel::STDOUT, bytes) => line.extend_from_slice(&bytes),
                Said::Data(channel, bytes) => {
                    bail!("channel {channel:?} says {:?}", String::from_utf8_lossy(&bytes))
                }
                Said::End(end) => bail!("{end:?} behind {:?}", String::from_utf8_lossy(&line)),
            }
        }
        Ok(String::from_utf8(line)?.trim_end().into())
    }

    /// Reads to the end.
    pub async fn finish(mut self) -> Result<Transcript> {
        let mut all = Transcript::default();
        while all.add(self.next().await?)? {}
        Ok(all)
    }
}

impl Transcript {
    /// Adds what came next; false if that was the end.
    pub fn add(&mut self, said: Said) -> Result<bool> {
        let (channel, bytes) = match said {
            Said::Data(channel, bytes) => (channel, bytes),
            Said::End(end) => {
                self.end = end;
                return Ok(false);
            }
        };
        match channel {
            Channel::STDOUT => self.stdout.extend_from_slice(&bytes),
            Channel::STDERR => self.stderr.extend_from_slice(&bytes),
            Channel::ERROR => self.error.extend_from_slice(&bytes),
            other => bail!("channel {other:?} says something"),
        }
        Ok(true)
    }

    /// The error channel as a Status.
    pub fn status(&self) -> Result<serde_json::Value> {
        let text = String::from_utf8_lossy(&self.error);
        serde_json::from_str(&text).with_context(|| format!("no Status: {text:?}"))
    }
}

fn encode(word: &str) -> String {
    word.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' => char::from(byte).into(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// A head as text with its blank line, and the bytes behind it.
pub(crate) async fn read_head(io: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let behind = bytes.split_off(end + 4);
            return Ok((String::from_utf8(bytes)?, behind));
        }
        ensure!(bytes.len() < 100_000, "an endless head");
        let count = io.read_buf(&mut bytes).await?;
        ensure!(count > 0, "the connection is closed behind {:?}", String::from_utf8_lossy(&bytes));
    }
}

fn value<'a>(head: &'a str, header: &str) -> Option<&'a str> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find_map(|(name, value)| name.eq_ignore_ascii_case(header).then_some(value.trim()))
}

async fn refusal(head: &str, mut body: Vec<u8>, mut io: TcpStream) -> Result<Refusal> {
    let status = head.get(9..12).context("no status code")?.parse()?;
    if let Some(length) = value(head, "content-length") {
        while body.len() < length.parse()? && io.read_buf(&mut body).await? > 0 {}
    } else {
        io.read_to_end(&mut body).await?;
    }
    Ok(Refusal { status, body: String::from_utf8_lossy(&body).into() })
}
