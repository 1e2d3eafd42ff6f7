//! Many sessions: one after the other, beside each other, and all at once while the gateway is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use strait::k8s::Subprotocol;
use strait_tests::{
    Dialect, End, Exec, Held, Server, Session, Transcript, eventually_async, long_tests_are_wanted,
};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

/// What the end of a session may take to be seen in the counters of all servers.
const SOON: Duration = Duration::from_secs(10);

const NEW: Dialect = Dialect::WebSocket(Subprotocol::V5);
const OLD: Dialect = Dialect::Spdy(Subprotocol::V4);

/// Each of these tests takes the whole machine.
static MACHINE: Mutex<()> = Mutex::const_new(());

/// A node, and a gateway for each protocol that it speaks: four ways of a session, two of them translated.
struct Rig {
    to_spdy: Server,
    to_websocket: Server,
    node: Server,
}

impl Rig {
    fn start() -> Self {
        let metrics = ["--metrics-listen", "127.0.0.1:0"];
        let node = Server::node_with(&metrics);
        let gateway = |protocol| {
            Server::gateway(node.url(), &[&metrics[..], &["--upstream-protocol", protocol]].concat())
        };
        Self { to_spdy: gateway("spdy"), to_websocket: gateway("websocket"), node }
    }

    fn servers(&self) -> [(&'static str, &Server); 3] {
        [("to SPDY", &self.to_spdy), ("to WebSocket", &self.to_websocket), ("the node", &self.node)]
    }
}

/// A thousand in ordinary runs. On all four ways in turn; some are refused, and some are dropped while they run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_leave_nothing_behind() {
    let is_long =
        long_tests_are_wanted("ten_thousand_sessions_leave_nothing_behind, with more than a thousand,");
    let count = if is_long { 10_000 } else { 1000 };
    let _machine = MACHINE.lock().await;
    let rig = Rig::start();
    let own = rig.node.counters().children;
    // What a server keeps for its next sessions is there after some.
    sessions(&rig, 200, 20).await;
    processes_are(&rig.node, own).await;
    let baseline = rig.servers().map(|(name, server)| (name, server.held()));
    sessions(&rig, count - 100, 20).await;
    sessions(&rig, 100, 1).await;
    for ((name, server), (_, baseline)) in rig.servers().into_iter().zip(&baseline) {
        returns(server, baseline).await.unwrap_or_else(|error| panic!("{name} after {count}: {error}"));
    }
    let after = rig.servers().map(|(name, server)| (name, server.held()));
    // For the reader of the test's output.
    println!("before {baseline:#?}\nafter {count} sessions {after:#?}");
}

async fn returns(server: &Server, baseline: &Held) -> Result<()> {
    eventually_async(SOON, || {
        let held = server.held();
        if held.is_within(baseline) { Ok(()) } else { Err(format!("{held:?} is more than {baseline:?}")) }
    })
    .await
}

async fn sessions(rig: &Rig, count: usize, at_a_time: usize) {
    let gateways = [rig.to_spdy.address(), rig.to_websocket.address()];
    let places = Arc::new(Semaphore::new(at_a_time));
    let mut sessions = JoinSet::new();
    for number in 0..count {
        let places = Arc::clone(&places);
        sessions.spawn(async move {
            let _place = places.acquire().await?;
            let client = if number & 1 == 0 { NEW } else { OLD };
            let gateway = gateways[number >> 1 & 1];
            one(gateway, client, number >> 2).await.with_context(|| format!("session {number}"))
        });
    }
    all_succeed(sessions).await;
}

async fn one(gateway: SocketAddr, client: Dialect, number: usize) -> Result<()> {
    if number % 16 == 3 {
        let all = Exec::command(&["/does/not/exist"]).open(gateway, client).await?.finish().await?;
        ensure!(all.status()?["status"] == "Failure", "{all:?}");
        return Ok(());
    }
    let exec = Exec::script("cat; echo end; exit 7").with_stdin();
    let mut session = exec.open(gateway, client).await?;
    session.send(b"line\n").await?;
    if number % 8 == 7 {
        return Ok(());
    }
    session.half_close().await?;
    exited_with(&session.finish().await?, "line\nend\n", "7")
}

/// More than four thousand connections and two thousand processes, within 20,000 descriptors. In long runs once more over
/// WebSocket: sessions that are translated back, or passed on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_sessions_get_all_of_their_output_when_the_gateway_is_told_to_stop() {
    let _machine = MACHINE.lock().await;
    two_thousand_sessions_are_drained("spdy").await;
    if long_tests_are_wanted("two_thousand_sessions_get_all_of_their_output..., to a WebSocket upstream,") {
        two_thousand_sessions_are_drained("websocket").await;
    }
}

/// By the time of the signal every session has the first line of its output, and nobody reads the rest, which is on its way. New
/// sessions are refused from then on.
async fn two_thousand_sessions_are_drained(protocol: &str) {
    const SESSIONS: usize = 2000;
    const DRAIN: Duration = Duration::from_secs(100);
    let node = Server::node();
    let own = node.counters().children;
    let drain = DRAIN.as_secs().to_string();
    let options = ["--drain-timeout", &drain, "--upstream-protocol", protocol, "--upstream", node.url()];
    let gateway = Server::spawn(&[&["gateway", "--listen", "127.0.0.1:0"], &options[..]].concat());
    let open = begin_all(gateway.address(), SESSIONS).await;
    let told = Instant::now();
    gateway.signal(Signal::TERM);
    let refused = || {
        let connected = std::net::TcpStream::connect(gateway.address());
        if connected.is_err() { Ok(()) } else { Err("it takes new connections") }
    };
    eventually_async(SOON, refused).await.expect("new sessions are refused");
    let mut ending = JoinSet::new();
    for (number, session) in open {
        ending.spawn(async move {
            let (output, code) = (output(number), code(number).to_string());
            exited_with(&session.finish().await?, &output, &code).with_context(|| format!("session {number}"))
        });
    }
    all_succeed(ending).await;
    let took = told.elapsed();
    assert!(took < DRAIN, "the deadline was what ended them: {took:?}");
    let finished = gateway.end();
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    processes_are(&node, own).await;
    println!("{SESSIONS} sessions drained in {took:?}");
}

async fn processes_are(node: &Server, own: usize) {
    let left = || match node.counters().children {
        count if count == own => Ok(()),
        count => Err(format!("{count} processes")),
    };
    eventually_async(SOON, left).await.expect("all processes are gone");
}

/// Opens that many sessions, on both ways in turn, and lets all of their commands print.
async fn begin_all(gateway: SocketAddr, count: usize) -> Vec<(usize, Session)> {
    /// At a time while they begin: a process's start is work for the machine.
    const BEGINNING: usize = 50;
    let places = Arc::new(Semaphore::new(BEGINNING));
    let mut opening = JoinSet::new();
    for number in 0..count {
        let places = Arc::clone(&places);
        opening.spawn(async move {
            let _place = places.acquire().await?;
            begin(gateway, number).await.with_context(|| format!("session {number}"))
        });
    }
    let (mut open, mut failed) = (Vec::new(), Vec::new());
    for session in opening.join_all().await {
        match session {
            Ok(session) => open.push(session),
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    assert!(failed.is_empty(), "{} do not begin:\n{}", failed.len(), failed.join("\n"));
    for (_, session) in &mut open {
        session.send(b"go on\n").await.expect("it runs");
    }
    open
}

async fn begin(gateway: SocketAddr, number: usize) -> Result<(usize, Session)> {
    let script = format!("echo ready; read line; seq {number} {}; exit {}", number + LINES, code(number));
    let client = if number.is_multiple_of(2) { NEW } else { OLD };
    let mut session = Exec::script(&script).with_stdin().open(gateway, client).await?;
    ensure!(session.line().await? == "ready");
    Ok((number, session))
}

/// Of one session's output: some 60 KiB in all, which is more than a process's pipe holds.
const LINES: usize = 12_000;

fn output(number: usize) -> String {
    (number..=number + LINES).flat_map(|line| [line.to_string(), "\n".into()]).collect()
}

const fn code(number: usize) -> usize {
    number % 250 + 1
}

fn exited_with(all: &Transcript, stdout: &str, code: &str) -> Result<()> {
    let (printed, error) = (String::from_utf8_lossy(&all.stdout), String::from_utf8_lossy(&all.error));
    let tail = printed.get(printed.len().saturating_sub(20)..);
    let (got, wanted) = (printed.len(), stdout.len());
    ensure!(printed == stdout, "{got} bytes of {wanted}, to {tail:?}, and {:?} behind {error:?}", all.end);
    ensure!(all.end == End::Clean, "{:?} behind {error:?}", all.end);
    let status = all.status()?;
    ensure!(status["details"]["causes"][0]["message"] == code, "{status}");
    Ok(())
}

async fn all_succeed(tasks: JoinSet<Result<()>>) {
    let total = tasks.len();
    let failed = tasks.join_all().await.into_iter().filter_map(Result::err);
    let failed: Vec<_> = failed.map(|error| format!("{error:#}")).collect();
    let some = failed.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(failed.is_empty(), "{} of {total} failed:\n{some}", failed.len());
}
