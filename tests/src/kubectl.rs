use std::env;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Finished, Running, Server, Shores};

/// How long a kubectl may take where a test says nothing else.
const PATIENCE: Duration = Duration::from_mins(1);

/// A real kubectl without a past: its own home directory, an empty configuration, no proxies.
#[derive(Debug)]
pub struct Kubectl {
    server: String,
    home: TempDir,
}

impl Kubectl {
    /// A kubectl that talks to `server`. `None`, said loudly, if there is none on this machine.
    pub fn find(server: &str) -> Option<Self> {
        let probe = Command::new(program()).arg("--help").stdin(Stdio::null()).output();
        if let Err(error) = probe {
            let reason = format!("cannot run {}: {error}", program().display());
            assert!(env::var_os("STRAIT_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{reason}");
            // Not `eprintln`: the test harness would swallow it.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}; this proves nothing");
            return None;
        }
        let home = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(home.path().join("kubeconfig"), "").expect("an empty file");
        Some(Self { server: server.into(), home })
    }

    /// A kubectl with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg(format!("--server={}", self.server)).args(arguments).env_clear();
        command.envs(self.environment()).stdin(Stdio::null());
        command
    }

    /// Starts it.
    pub fn start(&self, arguments: &[&str], stdin: impl Into<Stdio>, limit: Duration) -> Running {
        Running::start(self.command(arguments).stdin(stdin), limit)
    }

    /// Runs it to its end, without input.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.start(arguments, Stdio::null(), PATIENCE).finish()
    }

    /// All of its environment, for who starts it in another way. Without `KUBECTL_REMOTE_COMMAND_WEBSOCKETS`: what kubectl does
    /// by itself is tested.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("PATH", env::var_os("PATH").unwrap_or_default()),
            ("HOME", self.home.path().into()),
            ("KUBECONFIG", self.home.path().join("kubeconfig").into()),
            ("TERM", "xterm".into()),
        ]
    }
}

/// What `KUBECTL` says, or the one in `PATH`.
pub(crate) fn program() -> OsString {
    env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into())
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
        Kubectl::find("http://127.0.0.1:0")?;
        let shores = Shores::behind_gateway(Server::node_with(arguments), &[]);
        Some(Self { kubectl: Kubectl::find(shores.gateway.url())?, shores })
    }
}
