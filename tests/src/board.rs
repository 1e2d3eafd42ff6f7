use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::{Running, eventually};

/// How long an emulated board may take to be ready.
const READY: Duration = Duration::from_secs(30);
/// How long it may live: longer than any test.
const LIFE: Duration = Duration::from_mins(10);

/// The firmware's gateway on a board that QEMU emulates, in front of a server on this host; ended when this value is dropped.
///
/// The board's network is QEMU's own: what comes to a port of this host is led to the board, and what the board sends to 10.0.2.2
/// is led to this host's loopback.
#[derive(Debug)]
pub struct Board {
    running: Running,
    console: Arc<Mutex<Vec<String>>>,
    address: SocketAddr,
}

/// What the firmware has counted, as its console tells it once a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BoardCounters {
    /// Connections that were accepted.
    pub connections: u32,
    /// Connections that are open.
    pub open: u32,
    /// Sessions that came to their own end.
    pub completed: u32,
    /// Sessions that ended in another way.
    pub failed: u32,
    /// Sessions that were passed on as they are.
    pub passed_on: u32,
    /// Most bytes of stack that were in use at any time.
    pub stack: u32,
}

impl Board {
    /// Starts `image` with `upstream`, which listens on loopback, and waits until it serves.
    pub fn start(image: &Path, upstream: SocketAddr) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let network = format!("user,hostfwd=tcp:{address}-:8080");
        let mut command = Command::new("qemu-system-arm");
        command
            .args([
                "-M",
                "mps2-an385",
                "-display",
                "none",
                "-monitor",
                "none",
                "-serial",
                "stdio",
                "-no-reboot",
            ])
            .args(["-semihosting-config", "enable=on,target=native", "-nic", &network, "-kernel"])
            .arg(image)
            .args(["-append", &upstream.port().to_string()])
            .stdin(Stdio::null());
        let mut running = Running::start(&mut command, LIFE);
        let stdout = running.stdout.take().expect("standard output is a pipe");
        let console = Arc::<Mutex<Vec<String>>>::default();
        let lines = Arc::clone(&console);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let board = Self { running, console, address };
        eventually(READY, || {
            let console = board.console();
            let said = || format!("not ready: {console}{}", board.running.stderr());
            console.contains("ready ").then_some(()).ok_or_else(said)
        });
        board
    }

    /// Where this host reaches it.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that it has written to its console.
    pub fn console(&self) -> String {
        self.console.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// The last counters that it has told.
    pub fn counters(&self) -> BoardCounters {
        let console = self.console();
        let told =
            console.lines().rev().find(|line| line.contains(" connections ") && line.contains(" stack "));
        let words: Vec<&str> = told.unwrap_or_default().split_whitespace().collect();
        let number = |name| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1)?.parse().ok()
        };
        BoardCounters {
            connections: number("connections").unwrap_or_default(),
            open: number("open").unwrap_or_default(),
            completed: number("completed").unwrap_or_default(),
            failed: number("failed").unwrap_or_default(),
            passed_on: number("passed_on").unwrap_or_default(),
            stack: number("stack").unwrap_or_default(),
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let is_running = !self.running.ends_within(Duration::ZERO);
        self.running.kill();
        let console = self.console();
        if thread::panicking() {
            eprintln!("--- console of the board\n{console}\n---");
            return;
        }
        assert!(is_running, "the board was reset\n{console}");
        let failed = ["PANIC", "FAULT", "STACK OVERFLOW"].iter().any(|word| console.contains(word));
        assert!(!failed, "{console}");
    }
}
