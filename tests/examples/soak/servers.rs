//! The servers: three gateways and a node that live from the beginning to the end and have to return to what they held, and a gateway and
//! a node that are killed, told to stop and replaced.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use strait_tests::{Random, Server};
use tokio::runtime::Handle;

use crate::certificates::Certificates;
use crate::wire::{Plan, Wire};

/// In front of a number in a request's target: what happens to the connection of a gateway with a node.
pub(crate) const MARK: &str = "wire";

const OPTIONS: [&str; 8] = [
    "--ping-interval",
    "1",
    "--peer-timeout",
    "6",
    "--handshake-timeout",
    "10",
    "--metrics-listen",
    "127.0.0.1:0",
];

/// How long a server may take to load files that were replaced: it looks every 2 s, when somebody comes.
const RELOAD: Duration = Duration::from_secs(20);

/// What a gateway that is told to stop gives its sessions, before it ends them.
const DRAIN: Duration = Duration::from_secs(2);

/// Which node a marked request goes to is the lowest bit of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Steady,
    Replaced,
}

impl Node {
    pub(crate) const fn of(number: u64) -> Self {
        if number.is_multiple_of(4) { Self::Replaced } else { Self::Steady }
    }
}

/// Which gateway a client goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gateway {
    /// It asks nodes for SPDY.
    ToSpdy,
    /// It asks nodes for WebSocket.
    ToWebSocket,
    /// It asks for either, and is replaced.
    Replaced,
    /// It asks for either, and speaks TLS with clients.
    Tls,
}

/// A server that is replaced.
struct Place {
    server: Mutex<Option<Server>>,
    address: Mutex<SocketAddr>,
    /// How often something was done to it.
    disturbances: AtomicUsize,
}

impl Place {
    fn of(server: Server) -> Self {
        let address = Mutex::new(server.address());
        Self { server: Mutex::new(Some(server)), address, disturbances: AtomicUsize::new(0) }
    }

    fn address(&self) -> SocketAddr {
        *self.address.lock().expect("no panic holds it")
    }

    fn disturbances(&self) -> usize {
        self.disturbances.load(Ordering::SeqCst)
    }

    /// Puts another server there, and returns the one before.
    fn replace(&self, with: Server) -> Server {
        self.disturbances.fetch_add(1, Ordering::SeqCst);
        *self.address.lock().expect("no panic holds it") = with.address();
        let before = self.server.lock().expect("no panic holds it").replace(with);
        before.expect("there is one")
    }
}

pub(crate) struct Servers {
    to_spdy: Server,
    to_websocket: Server,
    replaced_gateway: Place,
    with_tls: Server,
    certificates: Certificates,
    node: Server,
    replaced_node: std::sync::Arc<Place>,
    back: Wire,
}

/// What was done to the servers before a session. Anything more, and it need not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disturbances([usize; 2]);

/// What can be done to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    NodeKilled,
    NodeStopped,
    GatewayKilled,
    GatewayDrained,
    CertificateReplaced,
}

impl Blow {
    pub(crate) const ALL: [Self; 5] = [
        Self::NodeKilled,
        Self::NodeStopped,
        Self::GatewayKilled,
        Self::GatewayDrained,
        Self::CertificateReplaced,
    ];
}

impl Servers {
    pub(crate) fn start(runtime: &Handle) -> Result<Self> {
        let node = Server::node_with(&OPTIONS);
        let replaced_node = std::sync::Arc::new(Place::of(Server::node_with(&OPTIONS)));
        let (steady, other) = (node.address(), std::sync::Arc::clone(&replaced_node));
        let back = runtime.block_on(Wire::by_head(move |head| match marked(head) {
            Some(number) if Node::of(number) == Node::Replaced => (other.address(), Plan::of(number)),
            Some(number) => (steady, Plan::of(number)),
            None => (steady, Plan::CLEAN),
        }))?;
        let url = format!("http://{}", back.address);
        let certificates = Certificates::new()?;
        Ok(Self {
            to_spdy: gateway(&url, "spdy", &[]),
            to_websocket: gateway(&url, "websocket", &[]),
            replaced_gateway: Place::of(gateway(&url, "auto", &[])),
            with_tls: with_tls(&url, &certificates),
            certificates,
            node,
            replaced_node,
            back,
        })
    }

    pub(crate) fn address(&self, gateway: Gateway) -> SocketAddr {
        match gateway {
            Gateway::ToSpdy => self.to_spdy.address(),
            Gateway::ToWebSocket => self.to_websocket.address(),
            Gateway::Replaced => self.replaced_gateway.address(),
            Gateway::Tls => self.with_tls.address(),
        }
    }

    /// Who has signed its certificate, if it has one.
    pub(crate) fn ca(&self, gateway: Gateway) -> Option<PathBuf> {
        (gateway == Gateway::Tls).then(|| self.certificates.ca())
    }

    /// Those that live from the beginning to the end.
    pub(crate) const fn steady(&self) -> [(&'static str, &Server); 4] {
        [
            ("gateway to SPDY", &self.to_spdy),
            ("gateway to WebSocket", &self.to_websocket),
            ("gateway with TLS", &self.with_tls),
            ("node", &self.node),
        ]
    }

    /// What was done so far to those that a session depends on.
    pub(crate) fn disturbances(&self, gateway: Gateway, node: Node) -> Disturbances {
        let gateway = if gateway == Gateway::Replaced { self.replaced_gateway.disturbances() } else { 0 };
        let node = if node == Node::Replaced { self.replaced_node.disturbances() } else { 0 };
        Disturbances([gateway, node])
    }

    pub(crate) fn strike(&self, blow: Blow, random: &mut Random) -> Result<()> {
        match blow {
            Blow::NodeKilled => self.replaced_node.replace(Server::node_with(&OPTIONS)).kill(),
            Blow::NodeStopped => {
                let ended = self.replaced_node.replace(Server::node_with(&OPTIONS)).end_by(Signal::TERM);
                ensure!(ended.status.success(), "a node that is told to stop: {ended:?}");
            }
            Blow::GatewayKilled | Blow::GatewayDrained => {
                let protocol = ["auto", "spdy", "websocket"][random.below(3)];
                let new = gateway(&format!("http://{}", self.back.address), protocol, &[]);
                let mut old = self.replaced_gateway.replace(new);
                if blow == Blow::GatewayKilled {
                    old.kill();
                } else {
                    let ended = old.end_by(Signal::TERM);
                    ensure!(ended.status.success(), "a gateway that is told to stop: {ended:?}");
                }
            }
            Blow::CertificateReplaced => {
                let before = self.loaded();
                self.certificates.replace()?;
                let end = Instant::now() + RELOAD;
                while self.loaded() == before {
                    ensure!(Instant::now() < end, "a certificate that was replaced is not loaded");
                    // It looks at its files when somebody comes.
                    TcpStream::connect(self.with_tls.address())?;
                    thread::sleep(Duration::from_millis(500));
                }
            }
        }
        Ok(())
    }

    /// How often certificates were loaded again.
    fn loaded(&self) -> usize {
        self.with_tls.log().matches("loaded again").count()
    }
}

fn with_tls(upstream: &str, certificates: &Certificates) -> Server {
    let [certificate, key] =
        [certificates.certificate(), certificates.key()].map(|file| file.display().to_string());
    gateway(upstream, "auto", &["--tls-cert-file", &certificate, "--tls-private-key-file", &key])
}

fn gateway(upstream: &str, protocol: &str, arguments: &[&str]) -> Server {
    let drain = DRAIN.as_secs().to_string();
    let own =
        ["gateway", "--listen", "127.0.0.1:0", "--drain-timeout", &drain, "--upstream-protocol", protocol];
    Server::spawn(&[&own[..], &["--upstream", upstream], &OPTIONS, arguments].concat())
}

/// The number behind the mark in a request's target.
fn marked(head: &str) -> Option<u64> {
    let target = head.lines().next()?;
    let digits = target.split(MARK).nth(1)?;
    digits[..digits.find(|digit: char| !digit.is_ascii_digit())?].parse().ok()
}
