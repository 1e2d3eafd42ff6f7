use std::fmt;
use std::io::{BufRead as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process::Process;

/// What stands between the client and upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `strait gateway`.
    Strait,
    /// Upstream's handlers in Go.
    Go,
    /// Reads up to 64 KiB and writes them, on the runtime that `strait gateway` has.
    Relay,
    /// tokio's `copy_bidirectional_with_sizes` with 64 KiB, on the same runtime.
    Copy,
    /// `HAProxy` in TCP mode.
    HaProxy,
    /// Nothing.
    Direct,
    /// A command of the caller's.
    Other,
    /// The gateway of `strait-tokio` in a program that counts its allocations.
    Counted,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Strait, Self::Go, Self::Relay, Self::Copy, Self::HaProxy, Self::Direct];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Strait | Self::Counted => "strait",
            Self::Go => "go",
            Self::Relay => "relay",
            Self::Copy => "copy_bidirectional",
            Self::HaProxy => "haproxy",
            Self::Direct => "direct",
            Self::Other => "other",
        }
    }

    /// True if it is spoken to in WebSocket and speaks SPDY to upstream. The others get upstream's own bytes.
    pub(crate) const fn translates(self) -> bool {
        matches!(self, Self::Strait | Self::Counted | Self::Go | Self::Other)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) strait: PathBuf,
    pub(crate) go: Option<PathBuf>,
    /// Words of a command line; `{upstream}` among them stands for upstream's URL.
    pub(crate) other: Vec<String>,
}

/// A target that runs.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    /// Where clients connect to.
    pub(crate) address: SocketAddr,
    process: Option<Process>,
    /// Configuration of `HAProxy`, removed with this value.
    _configuration: Option<tempfile::NamedTempFile>,
}

impl Target {
    pub(crate) fn start(kind: Kind, programs: &Programs, upstream: SocketAddr) -> Result<Self> {
        let url = format!("http://{upstream}");
        let mut command = match kind {
            Kind::Direct => {
                return Ok(Self { kind, address: upstream, process: None, _configuration: None });
            }
            Kind::HaProxy => return Self::haproxy(upstream),
            Kind::Strait => {
                let mut command = Command::new(&programs.strait);
                command.args(["gateway", "--listen", "127.0.0.1:0", "--upstream", &url]);
                command.args(["--drain-timeout", "0", "--max-connections", "40000"]);
                command
            }
            Kind::Go => {
                let mut command = Command::new(programs.go.as_ref().context("there is no Go")?);
                command.arg(&url);
                command
            }
            Kind::Relay | Kind::Copy | Kind::Counted => {
                let what = if kind == Kind::Counted { "counted" } else { kind.name() };
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["--serve", what, "--upstream", &upstream.to_string()]);
                command
            }
            Kind::Other => {
                let words = programs
                    .other
                    .iter()
                    .map(|word| word.replace("{upstream}", &url).replace("{address}", &upstream.to_string()));
                let words: Vec<String> = words.collect();
                let (program, arguments) = words.split_first().context("no command")?;
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
        };
        let (process, address) = Process::start(&mut command)?;
        Ok(Self { kind, address, process: Some(process), _configuration: None })
    }

    fn haproxy(upstream: SocketAddr) -> Result<Self> {
        // Nobody else takes a port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut file = tempfile::Builder::new().suffix(".cfg").tempfile()?;
        write!(
            file,
            "global\n  maxconn 9900\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
             frontend client\n  bind {address}\n  default_backend upstream\nbackend upstream\n  server one {upstream}\n"
        )?;
        let mut process = Process::spawn(Command::new("haproxy").args(["-db", "-f"]).arg(file.path()))?;
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            process.is_running()?;
            if begun.elapsed() > Duration::from_secs(10) {
                bail!("HAProxy does not listen");
            }
            thread::sleep(Duration::from_millis(10));
        }
        let kind = Kind::HaProxy;
        Ok(Self { kind, address, process: Some(process), _configuration: Some(file) })
    }

    /// The process that is measured; there is none without a target.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Allocations of a [`Kind::Counted`] so far.
    pub(crate) fn allocations(&self) -> Result<u64> {
        let process = self.process.as_ref().context("no process")?;
        (&process.stdin).write_all(b"\n")?;
        let mut line = String::new();
        process.stdout.lock().unwrap_or_else(PoisonError::into_inner).read_line(&mut line)?;
        line.trim().parse().with_context(|| format!("not a number: {line}"))
    }

    /// Fails if it has ended.
    pub(crate) fn is_running(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::is_running)
    }
}
