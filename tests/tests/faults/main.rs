//! Who dies or falls silent in a session: client, gateway or node, or the network between two of them, from the moment upstream is
//! dialled to the one where only the connections' ends are missing. The others notice within a bound, and keep nothing: no
//! descriptor, no thread, no process, no memory. What a client has got of the output is a part of it, and never passes for all of it.
//!
//! Many of them at the same time: they wait.

mod bench;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use strait_tests::{End, Exec, Mode, Server, Session, long_tests_are_wanted};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use bench::{Bench, Way};

use Fault::{Cut, Killed, Stopped};
use Phase::{Closing, Dialing, Ending, Receiving, Running, Sending};

/// What a death may take to be noticed everywhere.
const SOON: Duration = Duration::from_secs(5);
/// What silence may take: the time-out that the servers are given, the handshake's or the peer's, and some for a busy machine.
const SILENT: Duration = Duration::from_secs(5 + 10);
/// What a peer may take that may be busy with data: until the session is idle for too long.
const IDLE: Duration = Duration::from_secs(8 + 10);
/// What a peer may take that has everything and does not close. It is no option.
const CLOSE: Duration = Duration::from_secs(60 + 15);
/// Of two servers each.
const AT_A_TIME: usize = 40;
/// In which all peers have answered one.
const HEARTBEATS: Duration = Duration::from_secs(3);
/// More than what a client reads that does not read, less than the buffers on the way.
const BIG: usize = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Upstream has the request and does not answer.
    Dialing,
    /// The command is silent.
    Running,
    /// The command reads no input, and all buffers on the way are full of it.
    Sending,
    /// Output comes without end.
    Receiving,
    /// The process is gone, and its output and status are on their way to a client that does not read.
    Ending,
    /// The client has the status, and has not closed.
    Closing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// SIGKILL.
    Killed(Part),
    /// SIGSTOP.
    Stopped(Part),
    /// The network between the gateway and the part.
    Cut(Part, Mode),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Client,
    Gateway,
    Node,
}

/// What a peer does that is silent while data waits for it, or while what it sent waits, is its own affair: it is no fault (see
/// `stalls.rs`), but for a gateway that translates, whose sessions may not be idle for ever.
const FAULTS: [(Phase, Fault); 35] = [
    // The longest first.
    (Closing, Cut(Part::Client, Mode::Swallow)),
    (Dialing, Killed(Part::Client)),
    (Dialing, Killed(Part::Gateway)),
    (Dialing, Killed(Part::Node)),
    (Dialing, Stopped(Part::Node)),
    (Dialing, Cut(Part::Node, Mode::Swallow)),
    (Running, Killed(Part::Client)),
    (Running, Killed(Part::Gateway)),
    (Running, Killed(Part::Node)),
    (Running, Stopped(Part::Client)),
    (Running, Stopped(Part::Gateway)),
    (Running, Stopped(Part::Node)),
    (Running, Cut(Part::Client, Mode::Swallow)),
    (Running, Cut(Part::Client, Mode::Stall)),
    (Running, Cut(Part::Node, Mode::Swallow)),
    (Running, Cut(Part::Node, Mode::Stall)),
    (Sending, Killed(Part::Client)),
    (Sending, Killed(Part::Gateway)),
    (Sending, Killed(Part::Node)),
    (Sending, Stopped(Part::Client)),
    (Sending, Stopped(Part::Node)),
    (Sending, Cut(Part::Client, Mode::Swallow)),
    (Sending, Cut(Part::Node, Mode::Stall)),
    (Receiving, Killed(Part::Client)),
    (Receiving, Killed(Part::Gateway)),
    (Receiving, Killed(Part::Node)),
    (Receiving, Stopped(Part::Node)),
    (Receiving, Cut(Part::Node, Mode::Swallow)),
    (Receiving, Cut(Part::Node, Mode::Stall)),
    (Ending, Killed(Part::Client)),
    (Ending, Killed(Part::Gateway)),
    (Ending, Killed(Part::Node)),
    (Closing, Killed(Part::Client)),
    (Closing, Killed(Part::Gateway)),
    (Closing, Killed(Part::Node)),
];

/// Those that ordinary runs of the tests have, on the first way: each fault once, in one phase.
const SOME: [(Phase, Fault); 10] = [
    (Sending, Killed(Part::Client)),
    (Receiving, Killed(Part::Gateway)),
    (Ending, Killed(Part::Node)),
    (Running, Stopped(Part::Client)),
    (Running, Stopped(Part::Gateway)),
    (Dialing, Stopped(Part::Node)),
    (Running, Cut(Part::Client, Mode::Swallow)),
    (Running, Cut(Part::Client, Mode::Stall)),
    (Receiving, Cut(Part::Node, Mode::Swallow)),
    (Running, Cut(Part::Node, Mode::Stall)),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn whoever_is_lost_leaves_nothing_behind() {
    let test = "whoever_is_lost_leaves_nothing_behind, on every way and in every phase,";
    let (ways, faults) =
        if long_tests_are_wanted(test) { (&Way::ALL[..], &FAULTS[..]) } else { (&Way::ALL[..1], &SOME[..]) };
    let mut runs = JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    for &way in ways {
        for &(phase, fault) in faults.iter().filter(|(phase, fault)| is_bounded(way, *phase, *fault)) {
            let places = Arc::clone(&places);
            runs.spawn(async move {
                let _place = places.acquire().await;
                run(way, phase, fault)
                    .await
                    .map_err(|error| format!("{way:?}, {phase:?}, {fault:?}: {error:#}"))
            });
        }
    }
    let failed: Vec<_> = runs.join_all().await.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

/// What the client has sent fills what the node takes of it, but not the connection, so its system says that it is gone.
#[tokio::test]
async fn a_client_that_dies_behind_input_that_nobody_reads_needs_no_heartbeat() {
    static INPUT: [u8; 400 * 1024] = [0; 400 * 1024];
    for client in [Way::Translated.client(), Way::TranslatedBack.client()] {
        let node = Server::node_with(&["--ping-interval", "1000", "--metrics-listen", "127.0.0.1:0"]);
        Exec::command(&["echo", "warm"]).open(node.address(), client).await.unwrap().finish().await.unwrap();
        let baseline = node.held();
        let deaf = Exec::script("echo x; exec sleep 1000").with_stdin();
        let mut session = deaf.open(node.address(), client).await.unwrap();
        assert_eq!(session.line().await.unwrap(), "x");
        session.send(&INPUT).await.unwrap();
        drop(session);
        bench::returns(&node, &baseline, SOON).await.unwrap();
    }
}

/// A gateway that passes bytes on does not know what is idle.
fn is_bounded(way: Way, phase: Phase, fault: Fault) -> bool {
    way.is_translated() || phase != Sending || matches!(fault, Killed(_))
}

async fn run(way: Way, phase: Phase, fault: Fault) -> Result<()> {
    let idle = if phase == Sending && !matches!(fault, Killed(_)) { "8" } else { "1000" };
    let bench = Bench::start(way, idle, fault).await?;
    if phase == Dialing {
        return dialing(bench, fault).await;
    }
    let session = bench.reach(phase).await.context("the phase is not reached")?;
    match phase {
        Ending => ending(bench, session, fault).await,
        Closing => closing(bench, session, fault).await,
        _ => running(bench, session, phase, fault).await,
    }
}

async fn dialing(mut bench: Bench, fault: Fault) -> Result<()> {
    if fault == Cut(Part::Node, Mode::Swallow) {
        bench.back.set(Mode::Swallow);
    } else {
        bench.node.signal(Signal::STOP);
    }
    let exec = Exec::command(&["echo", "x"]);
    let (address, client) = (bench.front.address(), bench.way.client());
    // What opens at once ends with an error then.
    let session = tokio::spawn(async move {
        let all = exec.open(address, client).await?.finish().await?;
        ensure!(all.end == End::Clean, "the session is cut");
        ensure!(all.status()?["status"] == "Success", "the session fails");
        Ok(())
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    match fault {
        Killed(Part::Client) => {
            session.abort();
            bench.gateway_returns(SOON).await?;
            bench.node.signal(Signal::CONT);
            bench.node_returns(SOON).await
        }
        Killed(Part::Gateway) => {
            bench.gateway.kill();
            failed(SOON, session).await?;
            bench.node.signal(Signal::CONT);
            bench.node_returns(SOON).await
        }
        Killed(Part::Node) => {
            bench.node.kill();
            failed(SOON, session).await?;
            bench.gateway_returns(SOON).await
        }
        _ => {
            failed(SILENT, session).await?;
            bench.gateway_returns(SOON).await?;
            bench.heal();
            bench.node_returns(SOON).await
        }
    }
}

async fn running(mut bench: Bench, session: Session, phase: Phase, fault: Fault) -> Result<()> {
    match fault {
        Killed(Part::Client) => {
            drop(session);
            bench.both_return(SOON).await
        }
        Killed(Part::Gateway) => {
            bench.gateway.kill();
            ended(SOON, session, End::Cut).await?;
            bench.node_returns(SOON).await
        }
        Killed(Part::Node) => {
            bench.node.kill();
            ended(SOON, session, if bench.way.is_translated() { End::Clean } else { End::Cut }).await?;
            bench.gateway_returns(SOON).await
        }
        // It reads nothing and says nothing; what it is sent waits in its system's buffers.
        Stopped(Part::Client) => without_client(bench, session, phase).await,
        Stopped(Part::Gateway) => {
            bench.gateway.signal(Signal::STOP);
            bench.node_returns(SILENT).await?;
            drop(session);
            bench.heal();
            bench.gateway_returns(SOON).await
        }
        Stopped(Part::Node) => {
            bench.node.signal(Signal::STOP);
            without_upstream(bench, session, phase, fault).await
        }
        Cut(Part::Node, mode) => {
            bench.back.set(mode);
            without_upstream(bench, session, phase, fault).await
        }
        Cut(_, mode) => {
            bench.front.set(mode);
            without_client(bench, session, phase).await
        }
    }
}

/// A silent client's process is ended. A gateway that passes bytes on waits for the client's end then, which it has not
/// seen, for a minute; here it sees it.
async fn without_client(bench: Bench, session: Session, phase: Phase) -> Result<()> {
    let limit = if phase == Running { SILENT } else { IDLE };
    bench.node_returns(limit).await?;
    if bench.way.is_translated() && phase == Running {
        bench.gateway_returns(limit).await?;
    }
    drop(session);
    bench.heal();
    bench.gateway_returns(SOON).await
}

/// A silent upstream is an error for the client. A gateway that passes bytes on does not know what silence is; the client
/// does, and closes.
async fn without_upstream(bench: Bench, session: Session, phase: Phase, fault: Fault) -> Result<()> {
    if bench.way.is_translated() {
        let limit = if phase == Sending { IDLE } else { SILENT };
        ended(limit, session, End::Clean).await?;
        bench.gateway_returns(limit).await?;
    } else {
        drop(session);
    }
    // A node that sends output, or lets input wait, is in no hurry.
    if phase == Running && matches!(fault, Cut(..)) {
        bench.node_returns(SILENT).await?;
    }
    bench.heal();
    bench.both_return(SOON).await
}

async fn ending(mut bench: Bench, session: Session, fault: Fault) -> Result<()> {
    match fault {
        Killed(Part::Client) => {
            drop(session);
            bench.both_return(SOON).await
        }
        Killed(Part::Gateway) => {
            bench.gateway.kill();
            bench.node_returns(SOON).await?;
            all_or_an_error(session).await
        }
        _ => {
            bench.node.kill();
            all_or_an_error(session).await?;
            bench.gateway_returns(SOON).await
        }
    }
}

/// Whoever is left waits for the client, for a minute; one that passes bytes on, for another one behind that.
async fn closing(mut bench: Bench, session: Session, fault: Fault) -> Result<()> {
    match fault {
        Killed(Part::Client) => {
            drop(session);
            bench.both_return(SOON).await
        }
        Killed(Part::Gateway) => {
            bench.gateway.kill();
            bench.node_returns(SOON).await
        }
        Killed(Part::Node) => {
            bench.node.kill();
            drop(session);
            bench.gateway_returns(SOON).await
        }
        _ => {
            bench.front.set(Mode::Swallow);
            bench.node_returns(CLOSE).await?;
            bench.gateway_returns(CLOSE).await?;
            drop(session);
            Ok(())
        }
    }
}

/// The session ends so, without a success.
async fn ended(limit: Duration, session: Session, end: End) -> Result<()> {
    let all = tokio::time::timeout(limit, session.finish()).await.context("the client is not told")??;
    let error = String::from_utf8_lossy(&all.error);
    ensure!(all.end == end, "{:?}, not {end:?}: {error}", all.end);
    ensure!(!error.contains("Success"), "a success: {error}");
    ensure!(end != End::Clean || all.status()?["status"] == "Failure", "no failure: {error}");
    Ok(())
}

/// The session does not open, or ends with an error.
async fn failed<T, E: Display>(limit: Duration, session: JoinHandle<Result<T, E>>) -> Result<()> {
    let session = tokio::time::timeout(limit, session).await.context("the client is not told")??;
    ensure!(session.is_err(), "a session without upstream");
    Ok(())
}

async fn all_or_an_error(session: Session) -> Result<()> {
    let all = session.finish().await?;
    let is_success = all.end == End::Clean && all.status()?["status"] == "Success";
    ensure!(!is_success || all.stdout.len() == BIG, "a success with {} bytes", all.stdout.len());
    Ok(())
}
