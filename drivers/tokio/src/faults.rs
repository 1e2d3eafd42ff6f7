//! Whole sessions in memory, in virtual time, over connections that break: the client of this crate, the gateway's session, and a server.
//!
//! | session | client | server | behind the gateway | at the node itself |
//! |---|---|---|---|---|
//! | [`exec`] | `client::Session`, with a terminal or without | a command that sends back what it gets, and then ends with a warning | a few lines | the node's session |
//! | [`forward`] | `port_forward::client` | two targets that send back what they get, and then say goodbye | the node's | the node's |
//! | [`channels`] | tungstenite's | the same targets, for the legacy channels | the node's | the node's |
//! | [`attach`] | three of `client::Session` at a time | a main process that says some lines, and then ends | the node's sessions | the node's sessions |
//!
//! The rule: the client gets all output and the exit code, or an error; never silence, never a success with less. And everybody ends.

mod attach;
mod channels;
mod cuts;
mod exec;
mod forward;
mod random;
mod server;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strait::Limits;
use strait::bridge::Bridge;
use strait::k8s::{StreamSet, Subprotocol};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::passthrough::pass_on;
use crate::pool::Pool;
use crate::session::{Connected, Session};

use transport::{Fault, Faulty, Pace, Wire, wire};

/// Longer than any deadline of a session, but for the idle one.
const LIMIT: Duration = Duration::from_mins(10);

const LIMITS: Limits = Limits::HOST;

/// The exit code, where the protocol has one.
const CODE: u32 = 5;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Exec,
    /// An exec with a terminal.
    Terminal,
    Forward,
    /// The legacy port-forward.
    Channels,
}

/// From the client to the server, and what the gateway does between them. What a port-forward has of a WebSocket is a tunnel, or the legacy
/// channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Translated,
    TranslatedBack,
    /// From legacy channels.
    ToTunnel,
    /// Translated, if the protocols are two.
    WebSocketPassedOn,
    SpdyPassedOn,
    WebSocketToNode,
    SpdyToNode,
}

impl Way {
    /// Of all sessions but those with legacy channels.
    const ALL: [Self; 6] = [
        Self::Translated,
        Self::TranslatedBack,
        Self::WebSocketPassedOn,
        Self::SpdyPassedOn,
        Self::WebSocketToNode,
        Self::SpdyToNode,
    ];

    /// Of legacy channels.
    const OF_CHANNELS: [Self; 4] =
        [Self::Translated, Self::ToTunnel, Self::WebSocketPassedOn, Self::WebSocketToNode];

    const fn is_websocket_client(self) -> bool {
        !matches!(self, Self::TranslatedBack | Self::SpdyPassedOn | Self::SpdyToNode)
    }

    const fn is_websocket_server(self) -> bool {
        !matches!(self, Self::Translated | Self::SpdyPassedOn | Self::SpdyToNode)
    }

    const fn has_gateway(self) -> bool {
        !matches!(self, Self::WebSocketToNode | Self::SpdyToNode)
    }

    /// The halves that its connections have, as places in [`WRITERS`].
    const fn halves(self) -> &'static [usize] {
        if self.has_gateway() { &[0, 1, 2, 3] } else { &[0, 3] }
    }

    /// Of the client's connection and of the server's: the newest.
    fn protocols(self) -> [Subprotocol; 2] {
        let newest = |is_websocket| if is_websocket { Subprotocol::V5 } else { Subprotocol::V4 };
        [newest(self.is_websocket_client()), newest(self.is_websocket_server())]
    }
}

/// A half of one of the two connections, by who writes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Client,
    GatewayToClient,
    GatewayToServer,
    Server,
}

const WRITERS: [Writer; 4] =
    [Writer::Client, Writer::GatewayToClient, Writer::GatewayToServer, Writer::Server];

/// Who is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Gateway,
    /// The node.
    Server,
}

/// One session.
#[derive(Clone)]
struct Case {
    /// Of what is random.
    seed: u64,
    work: Work,
    way: Way,
    /// Of the client's connection and of the server's.
    protocols: [Subprotocol; 2],
    input: Vec<u8>,
    /// The command's exit code.
    code: u32,
    /// Between the end of the input and the end of the command.
    pause: Duration,
    /// Of who reads the client's output.
    reader: Pace,
    /// Who is told to stop, and when.
    stop: Option<(Who, Duration)>,
    /// What happens to the half of each [`Writer`].
    faults: [Fault; 4],
    pace: Pace,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, work, way, protocols, input, code, pause, reader, stop, faults, pace } = self;
        write!(f, "seed {seed}: {work:?}, {way:?}, {protocols:?}, {} bytes of input, ", input.len())?;
        write!(f, "code {code} after {pause:?}, read {reader:?}, stop {stop:?}, {faults:?}, {pace:?}")
    }
}

/// The ends of a session's connections.
struct Ends {
    client: Faulty,
    /// To the client, and to the server.
    gateway: Option<(Faulty, Faulty)>,
    server: Faulty,
}

/// What came of a session that keeps the rule.
struct Came {
    /// An error that says so, unless it was complete.
    result: Result<(), String>,
    /// Bytes that each [`Writer`] has written.
    written: [u64; 4],
}

impl Case {
    /// The newest protocols, and nothing that goes wrong.
    fn new(work: Work, way: Way, input: Vec<u8>) -> Self {
        Self {
            seed: 0,
            work,
            way,
            protocols: way.protocols(),
            input,
            code: CODE,
            pause: Duration::ZERO,
            reader: Pace::Fast,
            stop: None,
            faults: [Fault::None; 4],
            pace: Pace::Fast,
        }
    }

    /// Runs it and checks the rule.
    async fn run(&self) -> Came {
        let (ends, counts) = self.ends();
        let played = async {
            match self.work {
                Work::Exec | Work::Terminal => Box::pin(exec::play(self, ends)).await,
                Work::Forward => Box::pin(forward::play(self, ends)).await,
                Work::Channels => Box::pin(channels::play(self, ends)).await,
            }
        };
        let ended = timeout(LIMIT, played).await;
        let result = ended.unwrap_or_else(|_| panic!("somebody does not end: {self}"));
        assert!(result.is_ok() || !self.is_harmless(), "{result:?}, and nothing was broken: {self}");
        let written = counts.map(|count| count.map_or(0, |count| count.load(Ordering::Relaxed)));
        Came { result, written }
    }

    /// True if it was complete.
    async fn is_complete(&self) -> bool {
        self.run().await.result.is_ok()
    }

    /// Nothing keeps it from being complete.
    fn is_harmless(&self) -> bool {
        self.stop.is_none() && self.faults.iter().all(Fault::is_harmless)
    }

    /// Nothing is late either.
    fn is_calm(&self) -> bool {
        self.stop.is_none() && self.faults == [Fault::None; 4] && self.pace == Pace::Fast
    }

    fn ends(&self) -> (Ends, [Option<Arc<AtomicU64>>; 4]) {
        let [client_fault, down_fault, up_fault, server_fault] = self.faults;
        if self.way.has_gateway() {
            let Wire { near: client, far: front } = wire(client_fault, down_fault, self.pace.with(1));
            let Wire { near: back, far: server } = wire(up_fault, server_fault, self.pace.with(2));
            let counts = [&client, &front, &back, &server].map(|end| Some(end.count()));
            (Ends { client, gateway: Some((front, back)), server }, counts)
        } else {
            let Wire { near: client, far: server } = wire(client_fault, server_fault, self.pace.with(1));
            let counts = [Some(client.count()), None, None, Some(server.count())];
            (Ends { client, gateway: None, server }, counts)
        }
    }

    /// Of its command.
    fn streams(&self) -> StreamSet {
        let tty = self.work == Work::Terminal;
        StreamSet { stdin: true, stdout: true, stderr: !tty, tty }
    }

    /// All that its command has to say on standard error.
    fn errors(&self) -> &'static [u8] {
        if self.streams().stderr { exec::ERRORS } else { &[] }
    }

    /// The protocols of its connections, and whether these are on a WebSocket.
    fn hops(&self) -> impl Iterator<Item = (Subprotocol, bool)> {
        self.protocols.into_iter().zip([self.way.is_websocket_client(), self.way.is_websocket_server()])
    }

    /// The server is told where the input ends.
    fn can_half_close(&self) -> bool {
        self.work != Work::Channels
            && self.hops().all(|(protocol, is_websocket)| !is_websocket || protocol.has_close())
    }

    /// So much is known to be all of the input, because nobody says where it ends.
    fn is_all_input(&self, len: usize) -> bool {
        !self.can_half_close() && len >= self.input.len()
    }

    /// Sizes of the terminal reach the server.
    fn has_sizes(&self) -> bool {
        let passes =
            |(protocol, is_websocket): (Subprotocol, bool)| is_websocket || protocol.has_resize_on_spdy();
        self.work == Work::Terminal && self.hops().all(passes)
    }

    fn has_text_status(&self) -> bool {
        self.protocols.iter().any(|protocol| !protocol.status_is_json())
    }

    /// What tells one of them to stop, when it is time.
    fn stop_of(&self, who: Who) -> CancellationToken {
        let stop = CancellationToken::new();
        if let Some((_, time)) = self.stop.filter(|(stopped, _)| *stopped == who) {
            let stop = stop.clone();
            tokio::spawn(async move {
                sleep(time).await;
                stop.cancel();
            });
        }
        stop
    }
}

/// A gateway that translates.
async fn translate<B>(bridge: B, upstream: B::Upstream, front: Faulty, back: Faulty, stop: CancellationToken)
where
    B: Bridge + Send + 'static,
    B::Upstream: Send + 'static,
{
    let connected = Connected { io: back, leg: upstream, behind: Vec::new() };
    let dial = Box::pin(std::future::ready(Ok(connected)));
    Session::new(bridge, front, &[], dial, &Pool::new(0), stop).run().await;
}

/// A gateway that does not look at the bytes.
async fn pass(front: Faulty, back: Faulty, stop: CancellationToken) {
    pass_on(front, back, LIMITS.close, &Pool::new(0), stop).await;
}
