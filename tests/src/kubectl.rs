use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Finished, Running, Server, Shores, old_kubectl};

/// How long a kubectl may take where a test says nothing else.
const PATIENCE: Duration = Duration::from_mins(3);

/// How often a kubectl may drop what it was sent.
const TRIALS: u32 = 5;

/// A real kubectl, or another client with a command line like it, without a past: its own home directory, an empty
/// configuration, no proxies.
#[derive(Debug)]
pub struct Kubectl {
    program: OsString,
    /// What stands in front of its own arguments: a script, where the program is an interpreter.
    leading: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    server: String,
    home: TempDir,
}

impl Kubectl {
    /// A kubectl that talks to `server`. `None`, said loudly, if there is none on this machine.
    pub fn find(server: &str) -> Option<Self> {
        let program = env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
        let probe = Command::new(&program).arg("--help").stdin(Stdio::null()).output();
        match probe {
            Ok(_) => Some(Self::at(program, &[], server)),
            Err(error) => missing(&format!("cannot run {}: {error}", program.display())),
        }
    }

    /// Debian's kubectl 1.20.2, which speaks SPDY only. `None`, said loudly, if it cannot be had.
    pub fn old(server: &str) -> Option<Self> {
        match old_kubectl::kubectl_1_20() {
            Ok(program) => Some(Self::at(program.into(), &[], server)),
            Err(reason) => missing(reason),
        }
    }

    /// A program that talks to `server`, with `leading` in front of all other arguments.
    pub fn at(program: OsString, leading: &[OsString], server: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(home.path().join("kubeconfig"), "").expect("an empty file");
        Self { program, leading: leading.to_vec(), variables: Vec::new(), server: server.into(), home }
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn with_variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// The program itself.
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// A kubectl with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        // Behind the subcommand, where everybody takes it.
        let (subcommand, rest) = arguments.split_at(1);
        command.args(&self.leading).args(subcommand).arg(format!("--server={}", self.server)).args(rest);
        command.env_clear();
        command.envs(self.environment()).stdin(Stdio::null());
        command
    }

    /// Starts it.
    pub fn start(&self, arguments: &[&str], stdin: impl Into<Stdio>, limit: Duration) -> Running {
        Running::start(self.command(arguments).stdin(stdin), limit)
    }

    /// Runs it to its end, without input.
    ///
    /// kubectl 1.32 reads its WebSocket before it has made its streams, and drops what has come by then, with a word of it
    /// on standard error. On this machine that is one very short session in some hundred. It is run again.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        let run = || self.start(arguments, Stdio::null(), PATIENCE).finish();
        let has_all = |finished: &Finished| !finished.stderr.contains("Unknown stream id");
        (1..TRIALS).map(|_| run()).find(has_all).unwrap_or_else(run)
    }

    /// All of its environment, for who starts it in another way. Without `KUBECTL_REMOTE_COMMAND_WEBSOCKETS`: what kubectl does
    /// by itself is tested.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut all = vec![
            ("PATH", env::var_os("PATH").unwrap_or_default()),
            ("HOME", self.home.path().into()),
            ("KUBECONFIG", self.home.path().join("kubeconfig").into()),
            ("TERM", "xterm".into()),
        ];
        all.extend(self.variables.iter().cloned());
        all
    }
}

/// What the tests do without a peer program: they fail where it is required, and say so where they are skipped.
pub fn missing<T>(reason: &str) -> Option<T> {
    assert!(env::var_os("STRAIT_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{reason}");
    // Not `eprintln`: the test harness would swallow it.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}; this proves nothing");
    None
}

/// A node, a gateway in front of it, and a kubectl in front of that.
#[derive(Debug)]
pub struct Rig {
    /// The kubectl.
    pub kubectl: Kubectl,
    /// The two servers.
    pub shores: Shores,
}

impl Rig {
    /// Starts the servers. `None`, said loudly, if there is no kubectl on this machine.
    pub fn start() -> Option<Self> {
        Self::with_node(&[])
    }

    /// Starts the servers, the node with these arguments. `None` likewise.
    pub fn with_node(arguments: &[&str]) -> Option<Self> {
        Self::with(Kubectl::find, arguments, &[])
    }

    /// Starts the servers with these arguments, and takes the kubectl that `find` finds for a server.
    pub fn with(find: fn(&str) -> Option<Kubectl>, node: &[&str], gateway: &[&str]) -> Option<Self> {
        find("http://127.0.0.1:0")?;
        let shores = Shores::behind_gateway(Server::node_with(node), gateway);
        Some(Self { kubectl: find(shores.gateway.url())?, shores })
    }
}
