//! Many sessions: one after the other, beside each other, and all at once while the gateway is told to stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use strait::k8s::Subprotocol;
use strait_tests::{
    Dialect, End, Exec, Server, Session, Shores, Transcript, eventually_async, long_tests_are_wanted,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What the end of a session may take to be seen in the counters of both servers.
const SOON: Duration = Duration::from_secs(5);

const NEW: Dialect = Dialect::WebSocket(Subprotocol::V5);
const OLD: Dialect = Dialect::Spdy(Subprotocol::V4);

/// Where memory may have grown: an allocator's habits.
const GROWTH_KIB: u64 = 10 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_translated_sessions_leave_nothing_behind() {
    if !long_tests_are_wanted("a_thousand_translated_sessions_leave_nothing_behind") {
        return;
    }
    let shores = Shores::behind_gateway(Server::node_with(&["--websocket-protocols", ""]), &[]);
    leave_nothing_behind(&shores, NEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions_translated_back_leave_nothing_behind() {
    if !long_tests_are_wanted("a_thousand_sessions_translated_back_leave_nothing_behind") {
        return;
    }
    let node = Server::node_with(&["--spdy-protocols", ""]);
    let shores = Shores::behind_gateway(node, &["--upstream-protocol", "websocket"]);
    leave_nothing_behind(&shores, OLD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions_passed_on_leave_nothing_behind() {
    if !long_tests_are_wanted("a_thousand_sessions_passed_on_leave_nothing_behind") {
        return;
    }
    let shores = Shores::behind_gateway(Server::node_with(&["--websocket-protocols", ""]), &[]);
    leave_nothing_behind(&shores, OLD).await;
}

/// 800 sessions, 20 at a time, and 200 one after the other; some of them half-close, some are dropped while they run.
async fn leave_nothing_behind(shores: &Shores, client: Dialect) {
    const AT_A_TIME: usize = 20;
    // What a server keeps for its next sessions is there after some.
    sessions(shores, client, 100, AT_A_TIME).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let counters = [shores.gateway.counters(), shores.node.counters()];
    let resident = [shores.gateway.resident_kib(), shores.node.resident_kib()];
    sessions(shores, client, 800, AT_A_TIME).await;
    sessions(shores, client, 200, 1).await;
    shores.return_to(counters, SOON);
    let after = [shores.gateway.resident_kib(), shores.node.resident_kib()];
    let is_bounded = resident.iter().zip(&after).all(|(before, after)| *after <= before + GROWTH_KIB);
    assert!(is_bounded, "KiB of the gateway and the node: {resident:?} became {after:?}");
}

async fn sessions(shores: &Shores, client: Dialect, count: usize, at_a_time: usize) {
    let (gateway, places) = (shores.gateway.address(), Arc::new(Semaphore::new(at_a_time)));
    let mut sessions = JoinSet::new();
    for number in 0..count {
        let places = Arc::clone(&places);
        sessions.spawn(async move {
            let _place = places.acquire().await?;
            let exec = Exec::script("cat; echo end; exit 7").with_stdin();
            let mut session = exec.open(gateway, client).await?;
            session.send(b"line\n").await?;
            if number % 8 == 7 {
                return Ok(());
            }
            session.half_close().await?;
            exited_with(&session.finish().await?, "line\nend\n", "7")
        });
    }
    all_succeed(sessions).await;
}

/// Every session has got its line by the time of the signal, and gets its last line and its exit code behind it. New ones are
/// refused. More than two thousand connections and a thousand processes, within 20,000 descriptors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions_at_a_time_end_as_they_should_when_the_gateway_is_told_to_stop() {
    const SESSIONS: usize = 1000;
    /// At a time while they begin: a process's start is work for the machine.
    const BEGINNING: usize = 50;
    if !long_tests_are_wanted(
        "a_thousand_sessions_at_a_time_end_as_they_should_when_the_gateway_is_told_to_stop",
    ) {
        return;
    }
    let node = Server::node();
    let own = node.counters().children;
    let gateway = Server::spawn(&[
        "gateway",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        node.url(),
        "--drain-timeout",
        "20",
    ]);
    let (address, places) = (gateway.address(), Arc::new(Semaphore::new(BEGINNING)));
    let mut opening = JoinSet::new();
    for number in 0..SESSIONS {
        let places = Arc::clone(&places);
        opening.spawn(async move {
            let _place = places.acquire().await?;
            let client = if number % 2 == 0 { NEW } else { OLD };
            let mut session =
                begin(address, client, number).await.with_context(|| format!("session {number}"))?;
            session.send(format!("{number}\n").as_bytes()).await?;
            ensure!(session.line().await? == format!("got {number}"), "session {number}");
            Ok((number, session))
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
    assert_eq!(node.counters().children, own + SESSIONS);

    let told = Instant::now();
    gateway.signal(Signal::TERM);
    let refused = || {
        let connected = std::net::TcpStream::connect(address);
        if connected.is_err() { Ok(()) } else { Err("it takes new connections") }
    };
    eventually_async(SOON, refused).await.expect("new sessions are refused");
    let mut ending = JoinSet::new();
    for (number, mut session) in open {
        ending.spawn(async move {
            session.send(b"last\n").await?;
            let all = session.finish().await?;
            exited_with(&all, &format!("{number} says last\n"), &(number % 250 + 1).to_string())
                .with_context(|| format!("session {number}"))
        });
    }
    all_succeed(ending).await;
    let took = told.elapsed();
    let finished = gateway.end_by(Signal::CONT);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert!(took < Duration::from_secs(19), "the deadline was what ended them: {took:?}");
    eventually_async(SOON, || match node.counters().children {
        count if count == own => Ok(()),
        count => Err(format!("{count} processes")),
    })
    .await
    .expect("all processes are gone");
}

async fn begin(gateway: std::net::SocketAddr, client: Dialect, number: usize) -> Result<Session> {
    let code = number % 250 + 1;
    let script = format!("read line; echo got $line; read last; echo $line says $last; exit {code}");
    Exec::script(&script).with_stdin().open(gateway, client).await
}

fn exited_with(all: &Transcript, stdout: &str, code: &str) -> Result<()> {
    let (printed, error) = (String::from_utf8_lossy(&all.stdout), String::from_utf8_lossy(&all.error));
    ensure!(printed == stdout && all.end == End::Clean, "{:?} behind {printed:?}, {error:?}", all.end);
    let status = all.status()?;
    ensure!(status["details"]["causes"][0]["message"] == code, "{status}");
    Ok(())
}

async fn all_succeed(tasks: JoinSet<Result<()>>) {
    let total = tasks.len();
    let failed = tasks.join_all().await.into_iter().filter_map(Result::err);
    let failed: Vec<_> = failed.map(|error| format!("{error:#}")).collect();
    assert!(failed.is_empty(), "{} of {total} failed:\n{}", failed.len(), failed.join("\n"));
}
