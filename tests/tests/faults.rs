//! Who dies or falls silent in a session: client, gateway or node, or the network between two of them, while upstream is dialled,
//! while the session runs and while it ends. The others notice within a bound, and keep nothing: no descriptor, no thread, no
//! process. What a client has got of the output is a part of it, and never passes for all of it.
//!
//! All of them at the same time: they wait.

use std::fmt::Display;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use strait::k8s::Subprotocol;
use strait_tests::{
    Counters, Dialect, End, Exec, Mode, Proxy, Server, Session, eventually_async, long_tests_are_wanted,
};
use tokio::task::JoinSet;

use Fault::{Cut, Killed, Stopped};
use Phase::{Dialing, Ending, Running};

/// What a death may take to be noticed everywhere.
const SOON: Duration = Duration::from_secs(5);
/// What silence may take: the time-out that the servers are given, the handshake's or the peer's, and some for a busy machine.
const SILENT: Duration = Duration::from_secs(5 + 10);
/// In which all peers have answered one.
const HEARTBEATS: Duration = Duration::from_secs(3);
/// More than what a client reads that does not read, less than the buffers on the way.
const BIG: usize = 1_000_000;

const TIME_OUTS: [&str; 6] = ["--ping-interval", "1", "--peer-timeout", "5", "--handshake-timeout", "5"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Translated,
    TranslatedBack,
    WebSocketPassedOn,
    SpdyPassedOn,
}

const WAYS: [Way; 4] = [Way::Translated, Way::TranslatedBack, Way::WebSocketPassedOn, Way::SpdyPassedOn];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Upstream has the request and does not answer.
    Dialing,
    /// The command is silent.
    Running,
    /// The process is gone, and its output and status are on their way to a client that does not read.
    Ending,
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

const FAULTS: [(Phase, Fault); 18] = [
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
    (Ending, Killed(Part::Client)),
    (Ending, Killed(Part::Gateway)),
    (Ending, Killed(Part::Node)),
];

/// A client, a wire, a gateway, a wire and a node.
struct Bench {
    way: Way,
    front: Proxy,
    gateway: Server,
    back: Proxy,
    node: Server,
    /// Of the gateway and the node.
    baseline: [Counters; 2],
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn whoever_is_lost_leaves_nothing_behind() {
    if !long_tests_are_wanted("whoever_is_lost_leaves_nothing_behind") {
        return;
    }
    let mut runs = JoinSet::new();
    for way in WAYS {
        for (phase, fault) in FAULTS {
            runs.spawn(async move {
                let run = async { Bench::start(way).await?.run(phase, fault).await };
                run.await.map_err(|error| format!("{way:?}, {phase:?}, {fault:?}: {error:#}"))
            });
        }
    }
    let failed: Vec<_> = runs.join_all().await.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

impl Way {
    fn client(self) -> Dialect {
        match self {
            Self::Translated | Self::WebSocketPassedOn => Dialect::WebSocket(Subprotocol::V5),
            Self::TranslatedBack | Self::SpdyPassedOn => Dialect::Spdy(Subprotocol::V4),
        }
    }

    fn protocol(self) -> [&'static str; 2] {
        match self {
            Self::Translated | Self::SpdyPassedOn => ["--upstream-protocol", "spdy"],
            Self::TranslatedBack | Self::WebSocketPassedOn => ["--upstream-protocol", "websocket"],
        }
    }

    /// The gateway is a peer of both ends, and speaks for one to the other.
    fn is_translated(self) -> bool {
        matches!(self, Self::Translated | Self::TranslatedBack)
    }
}

impl Bench {
    async fn start(way: Way) -> Result<Self> {
        let node = Server::node_with(&TIME_OUTS);
        let back = Proxy::start(node.address()).await;
        let gateway = Server::gateway(&back.url(), &[&TIME_OUTS[..], &way.protocol()].concat());
        let front = Proxy::start(gateway.address()).await;
        let mut bench =
            Self { way, front, baseline: [gateway.counters(), node.counters()], gateway, back, node };
        // What is allocated with the first session stays.
        bench.open(&Exec::command(&["echo", "warm"])).await?.finish().await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        bench.baseline = [bench.gateway.counters(), bench.node.counters()];
        Ok(bench)
    }

    async fn open(&self, exec: &Exec) -> Result<Session> {
        exec.open(self.front.address(), self.way.client()).await
    }

    async fn run(self, phase: Phase, fault: Fault) -> Result<()> {
        match phase {
            Dialing => self.dialing(fault).await,
            Running => {
                let mut session = self.open(&Exec::script("echo x; exec sleep 1000")).await?;
                ensure!(session.line().await? == "x");
                // Who has data to deal with may be busy with it for any time; who has answered a heartbeat is not.
                session.stays_silent(HEARTBEATS).await?;
                self.running(session, fault).await
            }
            Ending => {
                let script = format!("head -c {BIG} /dev/zero");
                let session = self.open(&Exec::script(&script).with_receive_buffer(4096)).await?;
                eventually_async(SOON, || match self.node.counters().children {
                    count if count <= self.baseline[1].children => Ok(()),
                    count => Err(format!("{count} processes")),
                })
                .await?;
                tokio::time::sleep(Duration::from_millis(300)).await;
                self.ending(session, fault).await
            }
        }
    }

    async fn dialing(mut self, fault: Fault) -> Result<()> {
        if fault == Cut(Part::Node, Mode::Swallow) {
            self.back.set(Mode::Swallow);
        } else {
            self.node.signal(Signal::STOP);
        }
        let exec = Exec::command(&["echo", "x"]);
        let (address, client) = (self.front.address(), self.way.client());
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
                // A client that is not answered yet is not looked at before upstream has answered, or has not in time.
                let limit = if self.way == Way::Translated { SOON } else { SILENT };
                self.gateway_returns(limit).await?;
                self.node.signal(Signal::CONT);
                self.node_returns(SOON).await
            }
            Killed(Part::Gateway) => {
                self.gateway.kill();
                failed(SOON, session).await?;
                self.node.signal(Signal::CONT);
                self.node_returns(SOON).await
            }
            Killed(Part::Node) => {
                self.node.kill();
                failed(SOON, session).await?;
                self.gateway_returns(SOON).await
            }
            _ => {
                failed(SILENT, session).await?;
                self.gateway_returns(SOON).await?;
                self.heal();
                self.node_returns(SOON).await
            }
        }
    }

    async fn running(mut self, session: Session, fault: Fault) -> Result<()> {
        match fault {
            Killed(Part::Client) => {
                drop(session);
                self.both_return(SOON).await
            }
            Killed(Part::Gateway) => {
                self.gateway.kill();
                ended(SOON, session, End::Cut).await?;
                self.node_returns(SOON).await
            }
            Killed(Part::Node) => {
                self.node.kill();
                ended(SOON, session, self.loss_of_upstream()).await?;
                self.gateway_returns(SOON).await
            }
            // It reads nothing and says nothing; what it is sent waits in its system's buffers.
            Stopped(Part::Client) => self.without_client(session).await,
            Stopped(Part::Gateway) => {
                self.gateway.signal(Signal::STOP);
                self.node_returns(SILENT).await?;
                drop(session);
                self.gateway.signal(Signal::CONT);
                self.gateway_returns(SOON).await
            }
            Stopped(Part::Node) => {
                self.node.signal(Signal::STOP);
                self.without_upstream(session).await?;
                self.heal();
                self.both_return(SOON).await
            }
            Cut(Part::Node, mode) => {
                self.back.set(mode);
                self.without_upstream(session).await?;
                self.node_returns(SILENT).await?;
                self.heal();
                self.gateway_returns(SOON).await
            }
            Cut(_, mode) => {
                self.front.set(mode);
                self.without_client(session).await
            }
        }
    }

    /// A silent client's process is ended. A gateway that passes bytes on waits for the client's end then, which it has not
    /// seen, for a minute; here it sees it.
    async fn without_client(&self, session: Session) -> Result<()> {
        self.node_returns(SILENT).await?;
        if self.way.is_translated() {
            self.gateway_returns(SILENT).await?;
        }
        drop(session);
        self.heal();
        self.gateway_returns(SOON).await
    }

    /// A silent upstream is an error for the client. A gateway that passes bytes on does not know what silence is; the client
    /// does, and closes.
    async fn without_upstream(&self, session: Session) -> Result<()> {
        if self.way.is_translated() {
            ended(SILENT, session, End::Clean).await?;
            return self.gateway_returns(SILENT).await;
        }
        drop(session);
        Ok(())
    }

    /// The network works again, and who was stopped goes on.
    fn heal(&self) {
        self.front.set(Mode::Pass);
        self.back.set(Mode::Pass);
        self.node.signal(Signal::CONT);
    }

    async fn ending(mut self, session: Session, fault: Fault) -> Result<()> {
        match fault {
            Killed(Part::Client) => {
                drop(session);
                self.both_return(SOON).await
            }
            Killed(Part::Gateway) => {
                self.gateway.kill();
                self.node_returns(SOON).await?;
                all_or_an_error(session).await
            }
            _ => {
                self.node.kill();
                all_or_an_error(session).await?;
                self.gateway_returns(SOON).await
            }
        }
    }

    const fn loss_of_upstream(&self) -> End {
        match self.way {
            Way::Translated | Way::TranslatedBack => End::Clean,
            Way::WebSocketPassedOn | Way::SpdyPassedOn => End::Cut,
        }
    }

    async fn both_return(&self, limit: Duration) -> Result<()> {
        self.node_returns(limit).await?;
        self.gateway_returns(limit).await
    }

    async fn gateway_returns(&self, limit: Duration) -> Result<()> {
        returns(&self.gateway, self.baseline[0], limit).await.context("the gateway")
    }

    async fn node_returns(&self, limit: Duration) -> Result<()> {
        returns(&self.node, self.baseline[1], limit).await.context("the node")
    }
}

async fn returns(server: &Server, baseline: Counters, limit: Duration) -> Result<()> {
    eventually_async(limit, || {
        let counters = server.counters();
        let more = || format!("{counters:?} is more than {baseline:?}");
        if counters.is_within(baseline) { Ok(()) } else { Err(more()) }
    })
    .await
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
async fn failed<T, E: Display>(
    limit: Duration,
    session: tokio::task::JoinHandle<Result<T, E>>,
) -> Result<()> {
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
