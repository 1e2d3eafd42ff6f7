use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use strait_tests::{Running, Server, eventually, strait};
use tempfile::TempDir;

use crate::install::{GoPeers, source, step};
use crate::scenario::{
    ATTACH, COPY, DATE, Difference, FORWARD, MISSING, REFUSED, STDIN, STREAMS, Scenario, TAIL, TERMINAL,
};
use crate::table::{Suite, Table};
use crate::way::{Client, Node, Proxy, Way};

/// containerd and runc with a container of their own: the runtime that most sessions end at.
pub(crate) const SUITE: Suite = Suite { name: "containerd", tables, required: false, sliced: false };

const SCENARIOS: &[Scenario] =
    &[DATE, STREAMS, STDIN, TAIL, MISSING, TERMINAL, ATTACH, COPY, FORWARD, REFUSED];

/// As `kubelet/main.go` has it.
const IMAGE: &str = "strait.test/busybox:1";

/// How long containerd may live: it waits for the suites in front of its own, too.
const LIFE: Duration = Duration::from_mins(30);
const READY: Duration = Duration::from_secs(30);

const KUBELET: &[&str] = &["--upstream-kind", "kubelet"];

fn tables(_full: bool) -> Result<Vec<Table>, String> {
    let version =
        step(Command::new("containerd").arg("--version")).map_err(|why| format!("no containerd: {why}"))?;
    let version = version.split(' ').nth(2).unwrap_or_default().split('~').next().unwrap_or_default();
    let peers = GoPeers::build("go")?;
    let runtime = Runtime::start()?;
    // Whether a container can be made on this machine at all has nothing to do with Strait.
    drop(runtime.kubelet(&peers, None));
    let runtime = Arc::new(runtime);
    let behind = |strait| Node::Containerd { runtime: Arc::clone(&runtime), peers: peers.clone(), strait };
    let proxies = [
        ("Go → kubelet → containerd", Proxy::Go(peers.clone()), behind(false)),
        ("Strait → kubelet → containerd", Proxy::Strait(KUBELET), behind(false)),
        ("kubelet → Strait → containerd", Proxy::None, behind(true)),
    ];
    let switches = ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS"];
    let speaking = |program: PathBuf, switch: &str| {
        switches.iter().fold(Client::new(program), |client, name| client.with_variable(name, switch))
    };
    let kubectl: PathBuf = env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into()).into();
    let clients = [
        ("kubectl, WebSocket on", speaking(kubectl.clone(), "true")),
        ("kubectl, WebSocket off", speaking(kubectl, "false")),
        ("Strait WebSocket", speaking(strait().into(), "true")),
    ];
    let rows = clients.iter().flat_map(|(client_name, client)| {
        proxies.iter().map(move |(name, proxy, node)| {
            let name = format!("{client_name} → {name}");
            Way { name, client: client.clone(), proxy: proxy.clone(), node: node.clone() }
                .row(SCENARIOS, DIFFERENCES)
        })
    });
    Ok(vec![Table {
        about: format!(
            "containerd {version} with runc, a container made of busybox. The kubelet is a program of ours with upstream's proxy handler."
        ),
        columns: SCENARIOS.iter().map(|scenario| scenario.name.into()).collect(),
        rows: rows.collect(),
        notes: Difference::notes(DIFFERENCES),
    }])
}

const DIFFERENCES: &[Difference] = &[];

/// A containerd with everything that is its own in one directory.
#[derive(Debug)]
pub(crate) struct Runtime {
    /// Dropped first.
    _daemon: Running,
    home: TempDir,
    streaming: u16,
}

impl Runtime {
    fn start() -> Result<Self, String> {
        let home = tempfile::tempdir().map_err(|error| error.to_string())?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let streaming = free.map_err(|error| error.to_string())?.port();
        let config = home.path().join("config.toml");
        fs::write(&config, configuration(home.path(), streaming)).map_err(|error| error.to_string())?;
        let mut command = Command::new("containerd");
        let daemon = Running::start(command.arg("--config").arg(config).stdin(Stdio::null()), LIFE);
        let runtime = Self { _daemon: daemon, home, streaming };
        eventually(READY, || runtime.ctr(&["version"]));
        let image = runtime.home.path().join("image.tar");
        step(Command::new("python3").arg(source("containerd/image.py")).arg(IMAGE).arg(&image))?;
        runtime.ctr(&["images", "import", "--snapshotter", "native", &image.to_string_lossy()])?;
        Ok(runtime)
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("socket")
    }

    fn ctr(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("ctr");
        step(command.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io"]).args(arguments))
    }

    /// A kubelet with a pod of its own, which takes sessions straight to the streaming server, or to a gateway in front of it.
    pub(crate) fn kubelet(&self, peers: &GoPeers, gateway: Option<&Server>) -> Server {
        let mut command = Command::new(peers.program("kubelet"));
        // The scenarios make files in the directory for temporary ones.
        command.arg(self.socket()).arg(env::temp_dir()).args(gateway.map(Server::url));
        Server::of(&mut command)
    }

    /// The URL of its streaming server.
    pub(crate) fn streaming(&self) -> String {
        format!("http://127.0.0.1:{}", self.streaming)
    }
}

/// Without a CNI, `AppArmor`, or a right to lower anybody's out-of-memory score: none of these is needed.
fn configuration(home: &Path, streaming: u16) -> String {
    let home = home.display();
    format!(
        r#"
version = 2
root = "{home}/root"
state = "{home}/state"
[grpc]
address = "{home}/socket"
[plugins."io.containerd.internal.v1.opt"]
path = "{home}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{IMAGE}"
restrict_oom_score_adj = true
disable_apparmor = true
stream_server_address = "127.0.0.1"
stream_server_port = "{streaming}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
"#
    )
}
