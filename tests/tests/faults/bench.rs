//! A client, a wire, a gateway, a wire and a node; and what the servers hold.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use strait::k8s::{Channel, Subprotocol};
use strait_tests::{Dialect, Exec, Held, Mode, Proxy, Said, Server, Session, eventually_async};

use crate::{BIG, Fault, HEARTBEATS, Phase, SOON};

const OPTIONS: [&str; 8] = [
    "--ping-interval",
    "1",
    "--peer-timeout",
    "5",
    "--handshake-timeout",
    "5",
    "--metrics-listen",
    "127.0.0.1:0",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Translated,
    TranslatedBack,
    WebSocketPassedOn,
    SpdyPassedOn,
}

impl Way {
    pub(crate) const ALL: [Self; 4] =
        [Self::Translated, Self::TranslatedBack, Self::WebSocketPassedOn, Self::SpdyPassedOn];

    pub(crate) const fn client(self) -> Dialect {
        match self {
            Self::Translated | Self::WebSocketPassedOn => Dialect::WebSocket(Subprotocol::V5),
            Self::TranslatedBack | Self::SpdyPassedOn => Dialect::Spdy(Subprotocol::V4),
        }
    }

    const fn protocol(self) -> [&'static str; 2] {
        match self {
            Self::Translated | Self::SpdyPassedOn => ["--upstream-protocol", "spdy"],
            Self::TranslatedBack | Self::WebSocketPassedOn => ["--upstream-protocol", "websocket"],
        }
    }

    /// The gateway is a peer of both ends, and speaks for one to the other.
    pub(crate) const fn is_translated(self) -> bool {
        matches!(self, Self::Translated | Self::TranslatedBack)
    }
}

pub(crate) struct Bench {
    pub(crate) way: Way,
    pub(crate) front: Wire,
    pub(crate) gateway: Server,
    pub(crate) back: Wire,
    pub(crate) node: Server,
    /// Of the gateway and the node, without a session.
    baseline: [Held; 2],
}

/// What connects two of them. A proxy that waits to pass input on notices no end, so there is one only where it has to break.
pub(crate) enum Wire {
    Direct(SocketAddr),
    Breakable(Proxy),
}

impl Wire {
    async fn start(to: &Server, fault: Fault) -> Self {
        if matches!(fault, Fault::Cut(..)) {
            Self::Breakable(Proxy::start(to.address()).await)
        } else {
            Self::Direct(to.address())
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        match self {
            Self::Direct(address) => *address,
            Self::Breakable(proxy) => proxy.address(),
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        if let Self::Breakable(proxy) = self {
            proxy.set(mode);
        }
    }
}

impl Bench {
    /// Gateways that translate take a session without data for abandoned after `idle` seconds.
    pub(crate) async fn start(way: Way, idle: &str, fault: Fault) -> Result<Self> {
        let node = Server::node_with(&OPTIONS);
        let back = Wire::start(&node, fault).await;
        let options = [&OPTIONS[..], &way.protocol(), &["--idle-timeout", idle]].concat();
        let gateway = Server::gateway(&format!("http://{}", back.address()), &options);
        let front = Wire::start(&gateway, fault).await;
        let baseline = [gateway.held(), node.held()];
        let mut bench = Self { way, front, gateway, back, node, baseline };
        // What is allocated with the first session stays.
        bench.open(&Exec::command(&["echo", "warm"])).await?.finish().await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        bench.baseline = [bench.gateway.held(), bench.node.held()];
        Ok(bench)
    }

    async fn open(&self, exec: &Exec) -> Result<Session> {
        exec.open(self.front.address(), self.way.client()).await
    }

    /// A session in that phase.
    pub(crate) async fn reach(&self, phase: Phase) -> Result<Session> {
        match phase {
            Phase::Dialing => anyhow::bail!("there is no session yet"),
            Phase::Running => {
                let mut session = self.open(&Exec::script("echo x; exec sleep 1000")).await?;
                ensure!(session.line().await? == "x");
                // Who has data to deal with may be busy with it for any time; who has answered a heartbeat is not.
                session.stays_silent(HEARTBEATS).await?;
                Ok(session)
            }
            Phase::Sending => {
                let deaf = Exec::script("echo x; exec sleep 1000").with_stdin();
                let mut session = self.open(&deaf).await?;
                ensure!(session.line().await? == "x");
                let zeros = vec![0; 32 * 1024];
                while session.try_send(&zeros, Duration::from_secs(1)).await? {}
                session.stays_silent(HEARTBEATS).await?;
                Ok(session)
            }
            Phase::Receiving => {
                let mut session = self.open(&Exec::command(&["yes"])).await?;
                let mut count = 0;
                while count < BIG {
                    let Said::Data(Channel::STDOUT, bytes) = session.next().await? else {
                        anyhow::bail!("no output");
                    };
                    count += bytes.len();
                }
                Ok(session)
            }
            Phase::Ending => {
                let script = format!("head -c {BIG} /dev/zero");
                let session = self.open(&Exec::script(&script).with_receive_buffer(4096)).await?;
                eventually_async(SOON, || match self.node.counters().children {
                    count if count <= self.baseline[1].counters.children => Ok(()),
                    count => Err(format!("{count} processes")),
                })
                .await?;
                tokio::time::sleep(Duration::from_millis(300)).await;
                Ok(session)
            }
            Phase::Closing => {
                let mut session = self.open(&Exec::script("echo x; exit 3")).await?;
                while !matches!(session.next().await?, Said::Data(Channel::ERROR, _)) {}
                Ok(session)
            }
        }
    }

    /// The network works again, and who was stopped goes on.
    pub(crate) fn heal(&self) {
        self.front.set(Mode::Pass);
        self.back.set(Mode::Pass);
        self.node.signal(Signal::CONT);
        self.gateway.signal(Signal::CONT);
    }

    pub(crate) async fn both_return(&self, limit: Duration) -> Result<()> {
        self.node_returns(limit).await?;
        self.gateway_returns(limit).await
    }

    pub(crate) async fn gateway_returns(&self, limit: Duration) -> Result<()> {
        returns(&self.gateway, &self.baseline[0], limit).await.context("the gateway")
    }

    pub(crate) async fn node_returns(&self, limit: Duration) -> Result<()> {
        returns(&self.node, &self.baseline[1], limit).await.context("the node")
    }
}

pub(crate) async fn returns(server: &Server, baseline: &Held, limit: Duration) -> Result<()> {
    eventually_async(limit, || {
        // Asking it is work for it.
        let counters = server.counters();
        if !counters.is_within(baseline.counters) {
            return Err(format!("{counters:?} is more than {baseline:?}"));
        }
        let now = server.held();
        if now.is_within(baseline) { Ok(()) } else { Err(format!("{now:?} is more than {baseline:?}")) }
    })
    .await
}
