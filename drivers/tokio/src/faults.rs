//! Whole sessions in memory, in virtual time, over connections that break: the client of this crate, the gateway's session, and a server
//! that sends back what it gets.
//!
//! The rule: the client gets all output and the exit code, or an error; never silence, never a success with less. And everybody ends.

mod server;
mod transport;

use std::env;
use std::fmt::{self, Write as _};
use std::sync::atomic::Ordering;
use std::time::Duration;

use strait::Limits;
use strait::bridge::{Bridge, ExecBridge, Outcome};
use strait::k8s::{StreamSet, Subprotocol, Verb};
use strait::leg::{Leg, SpdyLeg, WebSocketLeg};
use strait::spdy::{Inflate, LentBlocks, SkipBlocks};
use strait::ws::MaskKeys;
use strait_tests::{Random, long_tests_are_wanted, write_down};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::client::faults::session;
use crate::client::{Exit, SessionError, Streams};
use crate::passthrough::pass_on;
use crate::pool::Pool;
use crate::session::{Connected, Session};

use server::{CODE, ERRORS, serve};
use transport::{Fault, Faulty, Pace, Wire, wire};

/// Longer than any deadline of a session, but for the idle one.
const LIMIT: Duration = Duration::from_mins(10);

const STREAMS: StreamSet = StreamSet { stdin: true, stdout: true, stderr: true, tty: false };

/// From the client to the server, and what the gateway does between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Translated,
    TranslatedBack,
    WebSocketPassedOn,
    SpdyPassedOn,
}

/// A half of one of the two connections, by who writes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Client,
    GatewayToClient,
    GatewayToServer,
    Server,
}

const WAYS: [Way; 4] = [Way::Translated, Way::TranslatedBack, Way::WebSocketPassedOn, Way::SpdyPassedOn];
const WRITERS: [Writer; 4] =
    [Writer::Client, Writer::GatewayToClient, Writer::GatewayToServer, Writer::Server];

/// One session.
struct Case {
    /// Of what is random.
    seed: u64,
    way: Way,
    input: Vec<u8>,
    /// What happens to the half of each [`Writer`].
    faults: [Fault; 4],
    pace: Pace,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, way, input, faults, pace } = self;
        write!(f, "seed {seed}: {way:?}, {} bytes of input, {faults:?}, {pace:?}", input.len())
    }
}

/// What came of it.
struct Came {
    result: Result<Exit, SessionError>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// What the server got.
    received: Vec<u8>,
    /// Bytes that each [`Writer`] has written.
    written: [u64; 4],
}

impl Case {
    async fn run(&self) -> Came {
        let limits = Limits::HOST;
        let [client_fault, down_fault, up_fault, server_fault] = self.faults;
        let Wire { near: client, far: front } = wire(client_fault, down_fault, self.pace.with(1));
        let Wire { near: back, far: server } = wire(up_fault, server_fault, self.pace.with(2));
        let counts = [client.count(), front.count(), back.count(), server.count()];
        let (is_websocket_client, is_websocket_server) = match self.way {
            Way::Translated => (true, false),
            Way::TranslatedBack => (false, true),
            Way::WebSocketPassedOn => (true, true),
            Way::SpdyPassedOn => (false, false),
        };
        let keys = || MaskKeys::new([7; 16]);
        let gateway = async {
            let stop = CancellationToken::new();
            match self.way {
                Way::Translated => {
                    let leg = WebSocketLeg::server(Subprotocol::V5, &limits);
                    let upstream: SpdyLeg<SkipBlocks> = SpdyLeg::client(STREAMS, Subprotocol::V4, &limits);
                    Box::pin(translate(leg, upstream, front, back, stop)).await
                }
                Way::TranslatedBack => {
                    let blocks = LentBlocks(Some(Box::<Inflate>::default()));
                    let leg = SpdyLeg::server(STREAMS, Subprotocol::V4, &limits, blocks);
                    let upstream = WebSocketLeg::client(Subprotocol::V5, &limits, keys());
                    Box::pin(translate(leg, upstream, front, back, stop)).await
                }
                Way::WebSocketPassedOn | Way::SpdyPassedOn => {
                    pass_on(front, back, limits.close, &Pool::new(0), stop).await.outcome
                }
            }
        };
        let serving = async {
            if is_websocket_server {
                serve(server, WebSocketLeg::server(Subprotocol::V5, &limits), &limits).await
            } else {
                let blocks = LentBlocks(Some(Box::<Inflate>::default()));
                serve(server, SpdyLeg::server(STREAMS, Subprotocol::V4, &limits, blocks), &limits).await
            }
        };
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let running = async {
            let streams = Streams::new().stdin(&self.input[..]).stdout(&mut stdout).stderr(&mut stderr);
            let protocol = if is_websocket_client { Subprotocol::V5 } else { Subprotocol::V4 };
            session(client, protocol, is_websocket_client, STREAMS, Verb::Exec, limits).run(streams).await
        };
        let all = Box::pin(async { tokio::join!(running, gateway, serving) });
        let ended = timeout(LIMIT, all).await;
        let (result, _, received) = ended.unwrap_or_else(|_| panic!("somebody does not end: {self}"));
        let written = counts.map(|count| count.load(Ordering::Relaxed));
        Came { result, stdout, stderr, received, written }
    }

    /// Runs it and checks the rule. True if it was complete.
    async fn check(&self) -> bool {
        let came = self.run().await;
        let Came { result, stdout, stderr, received, .. } = &came;
        assert!(self.input.starts_with(stdout), "other output: {self}");
        assert!(ERRORS.starts_with(stderr), "other errors: {self}");
        assert!(self.input.starts_with(received), "other input: {self}");
        match result {
            Ok(Exit { code }) => {
                assert_eq!(*code, CODE, "{self}");
                assert!(
                    *stdout == self.input && stderr == ERRORS,
                    "a part of the output and its exit code: {self}"
                );
                true
            }
            Err(error) => {
                let is_harmless = self.faults.iter().all(Fault::is_harmless);
                assert!(!is_harmless, "{error}, and nothing was broken: {self}");
                false
            }
        }
    }
}

async fn translate<C, U>(leg: C, upstream: U, front: Faulty, back: Faulty, stop: CancellationToken) -> Outcome
where
    C: Leg + Send + 'static,
    U: Leg + Send + 'static,
    ExecBridge<C, U>: Bridge<Upstream = U>,
{
    let bridge: ExecBridge<C, U> = ExecBridge::new(leg, STREAMS, &Limits::HOST);
    let connected = Connected { io: back, leg: upstream, behind: Vec::new() };
    let dial = Box::pin(std::future::ready(Ok(connected)));
    Session::new(bridge, front, &[], dial, &Pool::new(0), stop).run().await.outcome
}

/// With no fault, how many bytes each half has.
async fn lengths(way: Way, input: &[u8]) -> [u64; 4] {
    let case = Case { seed: 0, way, input: input.to_vec(), faults: [Fault::None; 4], pace: Pace::Fast };
    let Came { result, written, .. } = case.run().await;
    assert!(result.is_ok(), "{result:?}: {case}");
    written
}

/// What is done behind each byte, and the heading of its column.
const CUTS: [(&str, Fault); 3] = [
    ("FIN", Fault::Cut { reset: false, at: 0 }),
    ("RST", Fault::Cut { reset: true, at: 0 }),
    ("half-close", Fault::HalfClose { at: 0 }),
];

/// The table is written down with `STRAIT_WRITE=1`: `cargo xtask cuts --write`.
///
/// Covers: KEP4006-10
#[tokio::test(start_paused = true)]
async fn a_session_cut_at_every_byte_is_complete_or_an_error() {
    let is_long = long_tests_are_wanted("a session cut at every byte, and not at every tenth,");
    let mut table = "| way | who writes the half that is cut | bytes |".to_owned();
    table.extend(CUTS.map(|(name, _)| format!(" {name}: complete | an error |")));
    table.push_str("\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n");
    let input = b"some input\n";
    for way in WAYS {
        let lengths = lengths(way, input).await;
        for (index, writer) in WRITERS.into_iter().enumerate() {
            // Writing to a String does not fail.
            let _ = write!(table, "| {way:?} | {writer:?} | {} |", lengths[index]);
            for (name, fault) in CUTS {
                let (mut complete, mut errors) = (0, 0);
                for at in (0..=lengths[index]).step_by(if is_long { 1 } else { 10 }) {
                    let mut faults = [Fault::None; 4];
                    faults[index] = fault.at(at);
                    let case = Case { seed: 0, way, input: input.to_vec(), faults, pace: Pace::Fast };
                    *(if case.check().await { &mut complete } else { &mut errors }) += 1;
                }
                assert!(errors > 0, "nothing was cut: {way:?}, {writer:?}, {name}");
                let _ = write!(table, " {complete} | {errors} |");
            }
            table.push('\n');
        }
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
    let case = Case { seed: 0, way: Way::TranslatedBack, input: vec![b'x'; 81], faults, pace };
    assert!(!case.check().await);
}

/// Pieces, pauses, short writes and readiness that comes and goes change nothing.
#[tokio::test(start_paused = true)]
async fn a_session_on_slow_connections_is_complete() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let pace = Pace::random(seed, &mut random);
        let length = random.length(pace.most_input());
        let input = random.bytes(length);
        let case = Case { seed, way: WAYS[random.below(4)], input, faults: [Fault::None; 4], pace };
        assert!(case.check().await, "{case}");
    }
}

/// All at once, anywhere.
#[tokio::test(start_paused = true)]
async fn sessions_with_random_faults_are_complete_or_an_error() {
    let is_long = long_tests_are_wanted("random faults of 5,000 seeds, and not of 150,");
    let seeds = if is_long { 5_000 } else { 150 };
    let (mut complete, mut errors) = (0, 0);
    for seed in 0..seeds {
        let mut random = Random::new(seed);
        let pace = if random.below(2) == 0 { Pace::Fast } else { Pace::random(seed, &mut random) };
        let length = random.length(pace.most_input());
        let input = random.bytes(length);
        let mut faults = [Fault::None; 4];
        for _ in 0..=random.below(2) {
            faults[random.below(4)] = Fault::random(&mut random, 3 * length as u64);
        }
        let case = Case { seed, way: WAYS[random.below(4)], input, faults, pace };
        *(if case.check().await { &mut complete } else { &mut errors }) += 1;
    }
    println!("{seeds} seeds: {complete} complete, {errors} an error");
    assert!(complete > seeds / 10 && errors > seeds / 10, "{complete} complete, {errors} an error");
}
