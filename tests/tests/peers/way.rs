use std::ffi::OsString;
use std::process::Command;
use std::sync::Arc;

use strait_tests::{Kubectl, Server};

use crate::containerd::Runtime;
use crate::install::GoPeers;
use crate::scenario::{Difference, Scenario};
use crate::table::{Cell, Cells, Row};

/// A client program with a command line like kubectl's.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) program: OsString,
    pub(crate) leading: Vec<OsString>,
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

/// What stands between a client and a node.
#[derive(Debug, Clone)]
pub(crate) enum Proxy {
    /// Nothing.
    None,
    /// `strait gateway` with these arguments.
    Strait(&'static [&'static str]),
    /// Upstream's handlers.
    Go(GoPeers),
}

/// What runs commands.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// `strait node` with these arguments.
    Strait(&'static [&'static str]),
    /// Upstream's streaming server.
    Go(GoPeers),
    /// containerd behind a kubelet, with Strait between the two or without.
    Containerd { runtime: Arc<Runtime>, peers: GoPeers, strait: bool },
}

/// One way from a client to a process.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) proxy: Proxy,
    pub(crate) node: Node,
}

/// A way whose servers run.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) client: Kubectl,
    /// From the one that the client talks to. Dropped in this order, so that an end is not an error.
    servers: Vec<Server>,
}

impl Client {
    pub(crate) fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), leading: Vec::new(), variables: Vec::new() }
    }

    pub(crate) fn with(mut self, argument: impl Into<OsString>) -> Self {
        self.leading.push(argument.into());
        self
    }

    pub(crate) fn with_variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn to(&self, server: &str) -> Kubectl {
        let client = Kubectl::at(self.program.clone(), &self.leading, server);
        self.variables.iter().fold(client, |client, (name, value)| client.with_variable(name, value))
    }
}

impl Node {
    fn start(&self) -> Vec<Server> {
        match self {
            Self::Strait(arguments) => vec![Server::node_with(arguments)],
            // What a shell runs in its background has ^C ignored, and Go's server hands that on to its commands.
            Self::Go(peers) => {
                let mut command = Command::new("env");
                command.arg("--default-signal=INT").arg(peers.program("server")).env("MAIN", "cat");
                vec![Server::of(&mut command)]
            }
            Self::Containerd { runtime, peers, strait: false } => vec![runtime.kubelet(peers, None)],
            Self::Containerd { runtime, peers, strait: true } => {
                let gateway = Server::gateway(&runtime.streaming(), &[]);
                vec![runtime.kubelet(peers, Some(&gateway)), gateway]
            }
        }
    }
}

impl Proxy {
    fn start(&self, node: &str) -> Option<Server> {
        match self {
            Self::None => None,
            Self::Strait(arguments) => Some(Server::gateway(node, arguments)),
            Self::Go(peers) => Some(Server::of(Command::new(peers.program("proxy")).arg(node))),
        }
    }
}

impl Way {
    fn start(&self) -> Rig {
        let mut servers = self.node.start();
        if let Some(proxy) = self.proxy.start(servers[0].url()) {
            servers.insert(0, proxy);
        }
        Rig { client: self.client.to(servers[0].url()), servers }
    }

    /// Goes this way with each scenario. What `differences` explain must be just as they say.
    pub(crate) fn row(self, scenarios: &'static [Scenario], differences: &'static [Difference]) -> Row {
        let name = self.name.clone();
        let fill = move |cells: &Cells<'_>| {
            let rig = self.start();
            for scenario in scenarios {
                let explained = differences.iter().find(|difference| difference.applies(&self, scenario));
                cells.check(scenario.name, || rig.check(scenario, explained));
            }
        };
        Row { name, fill: Box::new(fill) }
    }
}

impl Rig {
    fn check(&self, scenario: &Scenario, explained: Option<&Difference>) -> Cell {
        let logs = || {
            let logs = self.servers.iter().map(|server| format!("--- {}\n{}", server.url(), server.log()));
            logs.collect::<String>()
        };
        if let Some(Difference { absent: true, .. }) = explained {
            return Cell::Absent;
        }
        let seen = (scenario.run)(&self.client);
        match explained {
            None if (scenario.expects)(&seen) => Cell::Same,
            None => Cell::Failed(format!("{seen:?}\n{}", logs())),
            Some(difference) if (difference.expects)(&seen) => Cell::Differs(difference.note),
            Some(difference) => {
                Cell::Failed(format!("not as in note {}: {seen:?}\n{}", difference.note, logs()))
            }
        }
    }
}
