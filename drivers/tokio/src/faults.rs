//! Whole sessions in memory, in virtual time, over connections that break: the client of this crate, the gateway's session, and a server.
//!
//! | session | client | server | behind the gateway | at the node itself |
//! |---|---|---|---|---|
//! | [`exec`] | `client::Session` | a command that sends back what it gets, and then fails with a warning | a few lines | the node's session |
//! | [`forward`] | `port_forward::client` | two targets that send back what they get, and then say goodbye | the node's | the node's |
//!
//! The rule: the client gets all output and the exit code, or an error; never silence, never a success with less. And everybody ends.

mod exec;
mod forward;
mod server;
mod transport;

use std::env;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strait::Limits;
use strait::bridge::Bridge;
use strait_tests::{Random, long_tests_are_wanted, write_down};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::passthrough::pass_on;
use crate::pool::Pool;
use crate::session::{Connected, Session};

use transport::{Fault, Faulty, Pace, Wire, wire};

/// Longer than any deadline of a session, but for the idle one.
const LIMIT: Duration = Duration::from_mins(10);

const LIMITS: Limits = Limits::HOST;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Exec,
    Forward,
}

/// From the client to the server, and what the gateway does between them. What a port-forward has of a WebSocket is a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Translated,
    TranslatedBack,
    WebSocketPassedOn,
    SpdyPassedOn,
    WebSocketToNode,
    SpdyToNode,
}

impl Way {
    const ALL: [Self; 6] = [
        Self::Translated,
        Self::TranslatedBack,
        Self::WebSocketPassedOn,
        Self::SpdyPassedOn,
        Self::WebSocketToNode,
        Self::SpdyToNode,
    ];

    const fn is_websocket_client(self) -> bool {
        matches!(self, Self::Translated | Self::WebSocketPassedOn | Self::WebSocketToNode)
    }

    const fn is_websocket_server(self) -> bool {
        matches!(self, Self::TranslatedBack | Self::WebSocketPassedOn | Self::WebSocketToNode)
    }

    const fn has_gateway(self) -> bool {
        !matches!(self, Self::WebSocketToNode | Self::SpdyToNode)
    }

    /// The halves that its connections have, as places in [`WRITERS`].
    const fn halves(self) -> &'static [usize] {
        if self.has_gateway() { &[0, 1, 2, 3] } else { &[0, 3] }
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

/// One session.
struct Case {
    /// Of what is random.
    seed: u64,
    work: Work,
    way: Way,
    input: Vec<u8>,
    /// What happens to the half of each [`Writer`].
    faults: [Fault; 4],
    pace: Pace,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, work, way, input, faults, pace } = self;
        write!(f, "seed {seed}: {work:?}, {way:?}, {} bytes of input, {faults:?}, {pace:?}", input.len())
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
    /// Runs it and checks the rule.
    async fn run(&self) -> Came {
        let (ends, counts) = self.ends();
        let played = async {
            match self.work {
                Work::Exec => Box::pin(exec::play(self, ends)).await,
                Work::Forward => Box::pin(forward::play(self, ends)).await,
            }
        };
        let ended = timeout(LIMIT, played).await;
        let result = ended.unwrap_or_else(|_| panic!("somebody does not end: {self}"));
        let is_harmless = self.faults.iter().all(Fault::is_harmless);
        assert!(result.is_ok() || !is_harmless, "{result:?}, and nothing was broken: {self}");
        let written = counts.map(|count| count.map_or(0, |count| count.load(Ordering::Relaxed)));
        Came { result, written }
    }

    /// True if it was complete.
    async fn is_complete(&self) -> bool {
        self.run().await.result.is_ok()
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
}

/// A gateway that translates.
async fn translate<B>(bridge: B, upstream: B::Upstream, front: Faulty, back: Faulty)
where
    B: Bridge + Send + 'static,
    B::Upstream: Send + 'static,
{
    let connected = Connected { io: back, leg: upstream, behind: Vec::new() };
    let dial = Box::pin(std::future::ready(Ok(connected)));
    Session::new(bridge, front, &[], dial, &Pool::new(0), CancellationToken::new()).run().await;
}

/// A gateway that does not look at the bytes.
async fn pass(front: Faulty, back: Faulty) {
    pass_on(front, back, LIMITS.close, &Pool::new(0), CancellationToken::new()).await;
}

/// With no fault, how many bytes each half has.
async fn lengths(work: Work, way: Way, input: &[u8]) -> [u64; 4] {
    let faults = [Fault::None; 4];
    Case { seed: 0, work, way, input: input.to_vec(), faults, pace: Pace::Fast }.run().await.written
}

/// What is done behind each byte, and the heading of its column.
const CUTS: [(&str, Fault); 3] = [
    ("FIN", Fault::Cut { reset: false, at: 0 }),
    ("RST", Fault::Cut { reset: true, at: 0 }),
    ("half-close", Fault::HalfClose { at: 0 }),
];

/// Cuts of each half that are tried where not all are.
const FEW: u64 = 25;

/// The lines of a table.
async fn cut_everywhere(work: Work, is_long: bool) -> String {
    let input = b"some input\n";
    let mut lines = String::new();
    for way in Way::ALL {
        let lengths = lengths(work, way, input).await;
        for &index in way.halves() {
            let writer = WRITERS[index];
            // Writing to a String does not fail.
            let _ = write!(lines, "| {work:?} | {way:?} | {writer:?} | {} |", lengths[index]);
            let step = if is_long { 1 } else { 1 + lengths[index] / FEW };
            for (name, fault) in CUTS {
                let (mut complete, mut errors) = (0, 0);
                for at in (0..=lengths[index]).step_by(step as usize) {
                    let mut faults = [Fault::None; 4];
                    faults[index] = fault.at(at);
                    let case = Case { seed: 0, work, way, input: input.to_vec(), faults, pace: Pace::Fast };
                    *(if case.is_complete().await { &mut complete } else { &mut errors }) += 1;
                }
                assert!(errors > 0, "nothing was cut: {work:?}, {way:?}, {writer:?}, {name}");
                let _ = write!(lines, " {complete} | {errors} |");
            }
            lines.push('\n');
        }
    }
    lines
}

/// The table is written down with `STRAIT_WRITE=1`: `cargo xtask cuts --write`.
///
/// Covers: KEP4006-10
#[tokio::test(start_paused = true)]
async fn a_session_cut_at_every_byte_is_complete_or_an_error() {
    let is_long = long_tests_are_wanted("a session cut at every byte, and not at 25 for each half,");
    let mut table = "| session | way | who writes the half that is cut | bytes |".to_owned();
    table.extend(CUTS.map(|(name, _)| format!(" {name}: complete | an error |")));
    table.push_str("\n|---|---|---|--:|--:|--:|--:|--:|--:|--:|\n");
    for work in [Work::Exec, Work::Forward] {
        table.push_str(&cut_everywhere(work, is_long).await);
    }
    println!("{table}");
    if is_long && env::var_os("STRAIT_WRITE").is_some() {
        write_down("ROBUSTNESS.md", "cuts", &format!("`cargo xtask cuts --write`:\n\n{table}"));
    }
}

/// It was sent the end of its output in front of the answer to the opening of the stream, ignored it, and waited.
///
/// Covers: SPDY-2.2.2-2
#[tokio::test(start_paused = true)]
async fn a_spdy_client_that_reads_slowly_gets_the_answers_before_the_output() {
    let stall = Fault::Stall { at: 7, seconds: 200 };
    let cut = Fault::Cut { reset: true, at: 5 };
    let faults = [Fault::None, stall, Fault::None, cut];
    let pace = Pace::Pieces { seed: 315, most: 16 };
    let (work, way) = (Work::Exec, Way::TranslatedBack);
    let case = Case { seed: 0, work, way, input: vec![b'x'; 81], faults, pace };
    assert!(!case.is_complete().await);
}

impl Case {
    /// One without a fault.
    fn random(seed: u64, work: Work, pace: Pace, random: &mut Random) -> Self {
        let length = random.length(pace.most_input());
        let input = random.bytes(length);
        let way = Way::ALL[random.below(Way::ALL.len())];
        Self { seed, work, way, input, faults: [Fault::None; 4], pace }
    }
}

/// Pieces, pauses, short writes and readiness that comes and goes change nothing.
async fn slow_sessions(work: Work) {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let pace = Pace::random(seed, &mut random);
        let case = Case::random(seed, work, pace, &mut random);
        assert!(case.is_complete().await, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_on_slow_connections_is_complete() {
    slow_sessions(Work::Exec).await;
}

#[tokio::test(start_paused = true)]
async fn a_port_forward_on_slow_connections_is_complete() {
    slow_sessions(Work::Forward).await;
}

/// All at once, anywhere.
async fn broken_sessions(work: Work) {
    let is_long = long_tests_are_wanted("random faults of 5,000 seeds, and not of 150,");
    let seeds = if is_long { 5_000 } else { 150 };
    let (mut complete, mut errors) = (0, 0);
    for seed in 0..seeds {
        let mut random = Random::new(seed);
        let pace = if random.below(2) == 0 { Pace::Fast } else { Pace::random(seed, &mut random) };
        let mut case = Case::random(seed, work, pace, &mut random);
        let most = 3 * case.input.len() as u64;
        for _ in 0..=random.below(2) {
            let halves = case.way.halves();
            case.faults[halves[random.below(halves.len())]] = Fault::random(&mut random, most);
        }
        *(if case.is_complete().await { &mut complete } else { &mut errors }) += 1;
    }
    println!("{work:?}, {seeds} seeds: {complete} complete, {errors} an error");
    assert!(complete > seeds / 10 && errors > seeds / 10, "{complete} complete, {errors} an error");
}

#[tokio::test(start_paused = true)]
async fn sessions_with_random_faults_are_complete_or_an_error() {
    broken_sessions(Work::Exec).await;
}

#[tokio::test(start_paused = true)]
async fn port_forwards_with_random_faults_are_complete_or_an_error() {
    broken_sessions(Work::Forward).await;
}
