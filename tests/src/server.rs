use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::counters::{children, cpu_time, descriptors, metric, peak_kib, resident_kib};
use crate::{Counters, Finished, Held, Running, eventually, exec_prints, gateway, is_alive, strait};

/// How long a server may take to be ready.
const READY: Duration = Duration::from_secs(30);
/// How long a server may live: longer than any test, and any soak.
const LIFE: Duration = Duration::from_hours(24);
/// How long a server may take to end when it is asked to: it cuts its sessions after 5 s.
const ORDERLY_END: Duration = Duration::from_secs(8);

/// The binary `strait` as a server, or a peer, ended when this value is dropped.
#[derive(Debug)]
pub struct Server {
    /// Nothing once it was waited for.
    running: Option<Running>,
    pid: u32,
    _guard: Guard,
    url: String,
    /// Where it tells its metrics, once that was looked for.
    metrics: OnceLock<SocketAddr>,
}

impl Server {
    /// Starts `strait` with these arguments and waits until it says that it is ready.
    pub fn spawn(arguments: &[&str]) -> Self {
        let mut command = Command::new(strait());
        command.args(arguments);
        Self::of(&mut command)
    }

    /// Starts another server that says in the same way when it is ready.
    pub fn of(command: &mut Command) -> Self {
        let mut running = Running::start(command.stdin(Stdio::null()), LIFE);
        let guard = Guard::of(running.pid());
        let stdout = running.stdout.take().expect("standard output is a pipe");
        let (lines, printed) = mpsc::channel();
        thread::spawn(move || forward(BufReader::new(stdout), &lines));
        let url = eventually(READY, || {
            let news = printed.try_iter().find_map(|line| line.strip_prefix("ready ").map(String::from));
            news.ok_or_else(|| format!("{command:?} is not ready: {}", running.stderr()))
        });
        Self { pid: running.pid(), _guard: guard, url, running: Some(running), metrics: OnceLock::new() }
    }

    /// A node on a free port whose main process runs, for whoever counts its processes.
    pub fn node() -> Self {
        let node = Self::node_with(&[]);
        eventually(READY, || if node.children().is_empty() { Err("no main process") } else { Ok(()) });
        node
    }

    /// A node on a free port, with these arguments besides.
    pub fn node_with(arguments: &[&str]) -> Self {
        Self::spawn(&[&["node", "--listen", "127.0.0.1:0", "--drain-timeout", "0"], arguments].concat())
    }

    /// A gateway on a free port, in front of `upstream`.
    pub fn gateway(upstream: &str, arguments: &[&str]) -> Self {
        let own = ["gateway", "--listen", "127.0.0.1:0", "--drain-timeout", "0", "--upstream", upstream];
        Self::of(Command::new(gateway()).args(own).args(arguments))
    }

    /// `http://HOST:PORT`, or `https`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        let address = self.url.split_once("://").and_then(|(_, address)| address.parse().ok());
        address.unwrap_or_else(|| panic!("not an address: {}", self.url))
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.running.as_ref().map(Running::stderr).unwrap_or_default()
    }

    /// What it holds of the system now.
    pub fn counters(&self) -> Counters {
        Counters::of(self.pid)
    }

    /// Memory that it occupies now, in KiB.
    pub fn resident_kib(&self) -> u64 {
        resident_kib(self.pid).expect("it runs")
    }

    /// Its process.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The most memory that it has occupied, in KiB.
    pub fn peak_kib(&self) -> u64 {
        peak_kib(self.pid).expect("it runs")
    }

    /// The CPU time that it has taken.
    pub fn cpu_time(&self) -> Duration {
        cpu_time(self.pid).expect("it runs")
    }

    /// All that it holds now. It has to listen for metrics, and to answer.
    #[track_caller]
    pub fn held(&self) -> Held {
        Held { counters: self.counters(), tasks: self.tasks(), resident_kib: self.resident_kib() }
    }

    #[track_caller]
    fn tasks(&self) -> usize {
        // What it logs may come later than what it prints.
        let look = || {
            let log = self.log();
            let listener = log.lines().find_map(|line| line.split_once(" metrics address=")?.1.parse().ok());
            listener.ok_or_else(|| format!("it does not listen for metrics: {log}"))
        };
        let listener = self.metrics.get_or_init(|| eventually(READY, look));
        let tasks = metric(*listener, "strait_tasks ").unwrap_or_else(|error| panic!("no metrics: {error}"));
        tasks.expect("a metric")
    }

    /// Its child processes.
    pub fn children(&self) -> Vec<u32> {
        children(self.pid)
    }

    /// Waits until it holds no more than in `baseline`.
    #[track_caller]
    pub fn returns_to(&self, baseline: Counters, limit: Duration) {
        eventually(limit, || {
            let counters = self.counters();
            if counters.is_within(baseline) {
                return Ok(());
            }
            let open = descriptors(self.pid);
            Err(format!("{counters:?} is more than {baseline:?}\n{open}\n{}", self.log()))
        });
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.running.as_ref().expect("it was not waited for").signal(signal);
    }

    /// Sends it a signal and waits for its end.
    #[track_caller]
    pub fn end_by(self, signal: Signal) -> Finished {
        self.signal(signal);
        self.end()
    }

    /// Waits for its end, of which it was told before.
    #[track_caller]
    pub fn end(mut self) -> Finished {
        let running = self.running.take().expect("only this takes it");
        assert!(running.ends_within(ORDERLY_END), "it lives on: {}", running.stderr());
        running.finish()
    }

    /// Kills it at once, as the out-of-memory killer would.
    pub fn kill(&mut self) {
        if let Some(running) = &mut self.running {
            running.kill();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        if is_alive(self.pid) {
            // A test may have stopped it.
            running.signal(Signal::CONT);
            running.signal(Signal::TERM);
            running.ends_within(ORDERLY_END);
            running.kill();
        }
        let log = running.stderr();
        if thread::panicking() {
            // Past the harness, which would keep it from the reader if the test's thread is not the main one.
            let _ = writeln!(std::io::stderr(), "--- log of {}\n{log}---", self.url);
        } else {
            // A panic in one session would otherwise pass for an error of that session.
            assert!(!log.contains("panicked at"), "{log}");
        }
    }
}

/// Ends a server whose test, or soak, is gone without a word: killed, that is. A server has no part in whoever started it.
///
/// It is a shell that waits for the end of its input, which this process holds.
#[derive(Debug)]
struct Guard {
    shell: Child,
    /// A line says that there is nothing more to be guarded.
    input: ChildStdin,
}

impl Guard {
    /// In order first, so that the server's own processes end, too.
    const ORDER: &str = "read -r over || { kill $0; sleep 8; kill -KILL $0; } 2>/dev/null";

    fn of(pid: u32) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", Self::ORDER, &pid.to_string()]).stdin(Stdio::piped());
        let mut shell = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let input = shell.stdin.take().expect("it is a pipe");
        Self { shell, input }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.input.write_all(b"over\n");
        let _ = self.shell.wait();
    }
}

/// A node and a gateway in front of it.
#[derive(Debug)]
pub struct Shores {
    /// The gateway. Dropped first, so that its end is not an error.
    pub gateway: Server,
    /// The node.
    pub node: Server,
}

impl Shores {
    /// Starts both.
    pub fn start(gateway_arguments: &[&str]) -> Self {
        Self::behind_gateway(Server::node(), gateway_arguments)
    }

    /// Starts a gateway in front of `node`.
    pub fn behind_gateway(node: Server, gateway_arguments: &[&str]) -> Self {
        Self { gateway: Server::gateway(node.url(), gateway_arguments), node }
    }

    /// What the gateway and the node hold once what is allocated with the first session is there.
    pub fn baseline(&self) -> [Counters; 2] {
        exec_prints(self.gateway.address(), "warm");
        thread::sleep(Duration::from_millis(500));
        [self.gateway.counters(), self.node.counters()]
    }

    /// Waits until both hold no more than in `baseline`.
    #[track_caller]
    pub fn return_to(&self, [gateway, node]: [Counters; 2], limit: Duration) {
        self.gateway.returns_to(gateway, limit);
        self.node.returns_to(node, limit);
    }
}

/// Goes on to the end of the output, whoever listens: a server must not be stopped by a full pipe.
fn forward(lines: impl BufRead, to: &Sender<String>) {
    for line in lines.lines().map_while(Result::ok) {
        let _ = to.send(line);
    }
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    /// With it this test is the one that is killed.
    const VICTIM: &str = "STRAIT_VICTIM";

    #[test]
    fn a_server_ends_when_its_test_is_killed() {
        if env::var_os(VICTIM).is_some() {
            let server = Server::of(Command::new("sh").args(["-c", "echo ready here; exec sleep 600"]));
            println!("server {}", server.pid());
            thread::sleep(READY);
            return;
        }
        let mut command = Command::new(env::current_exe().expect("the path of the running test"));
        command.args(["--exact", "server::tests::a_server_ends_when_its_test_is_killed", "--nocapture"]);
        let mut victim = Running::start(command.env(VICTIM, "1"), READY);
        let stdout = BufReader::new(victim.stdout.take().expect("standard output is a pipe"));
        let mut said = stdout.lines().map_while(Result::ok);
        let pid = said.find_map(|line| line.rsplit_once("server ")?.1.parse().ok());
        let pid = pid.expect("it says which process its server is");
        assert!(is_alive(pid), "it has ended already");
        victim.kill();
        eventually(READY, || if is_alive(pid) { Err("it lives on") } else { Ok(()) });
    }
}
