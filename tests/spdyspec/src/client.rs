//! The suite as server, against a client.

mod frames;
mod outcome;
mod peer;
mod request;
mod websocket;

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::case::{Case, Kind, Stop};
use crate::wire::http::{self, Head};

/// All cases, section by section.
pub(crate) const CASES: &[&[Case]] = &[request::CASES, frames::CASES, outcome::CASES, websocket::CASES];

/// How long a client that is started by hand may take to come.
const BY_HAND: Duration = Duration::from_mins(1);

/// What a client may ask for before it asks for a session.
const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"demo","namespace":"default"},"spec":{"containers":[{"name":"main","stdin":true}]},"status":{"phase":"Running"}}"#;

/// How clients are started.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    /// Command line of one that speaks SPDY. Words are split at blanks; those in front that look like `NAME=VALUE` are
    /// environment variables, and `{server}` is `http://HOST:PORT`. It asks for stdin, stdout and stderr.
    pub spdy: Option<String>,
    /// Command line of one that speaks WebSocket.
    pub websocket: Option<String>,
    /// Where to listen for clients that are started by hand.
    pub listen: Option<String>,
    /// How long a client may take for each step.
    pub limit: Duration,
}

impl Programs {
    /// Clients at one address come one by one.
    pub(crate) const fn at_a_time(&self) -> usize {
        if self.listen.is_some() { 1 } else { usize::MAX }
    }
}

/// A client under test.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Nothing if it is started by hand.
    command: Option<String>,
    address: String,
    pub(crate) limit: Duration,
}

impl Client {
    pub(crate) fn new(programs: &Programs, kind: Kind) -> Result<Self, Stop> {
        let command = if kind == Kind::ClientWebSocket { &programs.websocket } else { &programs.spdy };
        let address = programs.listen.clone().unwrap_or_else(|| "127.0.0.1:0".into());
        match (command, &programs.listen) {
            (None, None) => Err(Stop::NotRun("no such client is given".into())),
            (None, Some(_)) => Ok(Self { command: None, address, limit: BY_HAND }),
            (Some(command), _) => Ok(Self { command: Some(command.clone()), address, limit: programs.limit }),
        }
    }

    /// Listens, and starts the client with this input; the input stays open if there is none.
    pub(crate) fn start(&self, input: Option<&[u8]>) -> Result<Started, Stop> {
        let listener = TcpListener::bind(&self.address)?;
        let server = format!("http://{}", listener.local_addr()?);
        let (sender, upgrades) = mpsc::channel();
        let limit = self.limit;
        thread::spawn(move || accept(&listener, &sender, limit));
        let program = if let Some(command) = &self.command {
            Some(Program::start(command, &server, input)?)
        } else {
            println!("start the client now, at {server}");
            None
        };
        Ok(Started { upgrades, program, limit })
    }
}

/// Takes connections as long as there is a case that wants upgrades.
fn accept(listener: &TcpListener, upgrades: &Sender<(TcpStream, Head, Vec<u8>)>, limit: Duration) {
    // Without connections it would wait for ever, long after its case.
    let deadline = Instant::now() + limit * 8;
    let _ = listener.set_nonblocking(true);
    while Instant::now() < deadline {
        let Ok((mut io, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(2));
            continue;
        };
        let mut behind = Vec::new();
        let ready = io.set_nonblocking(false).is_ok() && http::prepare(&io, limit).is_ok();
        let Ok(head) = http::head(&mut io, &mut behind, limit) else { continue };
        if !ready {
            continue;
        }
        let path = head.line.split(' ').nth(1).unwrap_or_default().to_owned();
        // The pod is asked for with the headers of an upgrade by old clients.
        let answer = if path.split('?').next().is_some_and(|path| path.ends_with("/pods/demo")) {
            answer("200 OK", POD)
        } else if path.starts_with("/version") {
            answer("200 OK", r#"{"major":"1","minor":"32","gitVersion":"v1.32.0"}"#)
        } else if head.get("upgrade").is_none() {
            answer("404 Not Found", "")
        } else {
            match upgrades.send((io, head, behind)) {
                Ok(()) => continue,
                // The case has all it wants: a second try is refused.
                Err(mpsc::SendError((refused, ..))) => {
                    io = refused;
                    answer("403 Forbidden", "")
                }
            }
        };
        let _ = io.write_all(answer.as_bytes());
    }
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A client that was started.
pub(crate) struct Started {
    upgrades: Receiver<(TcpStream, Head, Vec<u8>)>,
    program: Option<Program>,
    pub(crate) limit: Duration,
}

impl Started {
    /// The connection and the request with which the client asks for a session.
    pub(crate) fn asked(&self) -> Result<(TcpStream, Head, Vec<u8>), Stop> {
        self.upgrades.recv_timeout(self.limit).map_err(|_| Stop::Saw("the client asks for no upgrade".into()))
    }

    /// Waits for the client's end.
    pub(crate) fn exit(mut self) -> Result<Exit, Stop> {
        // From here on a second try is refused.
        self.upgrades = mpsc::channel().1;
        match self.program.take() {
            Some(program) => program.exit(self.limit),
            None => Err(Stop::NotRun("the end of a client that was started by hand is not seen".into())),
        }
    }
}

struct Program {
    child: Child,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
}

/// How a client ended.
#[derive(Debug, Clone)]
pub(crate) struct Exit {
    /// The exit code, or -1 of one that was killed.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Exit {
    /// `fails` for any code but 0: which one it is, is the client's business.
    pub(crate) const fn told(&self) -> &'static str {
        if self.code == 0 { "exit code 0" } else { "fails" }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl Program {
    fn start(command: &str, server: &str, input: Option<&[u8]>) -> Result<Self, Stop> {
        let words = command.split_whitespace().map(|word| word.replace("{server}", server));
        let (mut variables, mut words): (Vec<_>, Vec<_>) = (Vec::new(), words.collect());
        while let Some((name, value)) = words.first().and_then(|word| word.split_once('=')) {
            if !name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_') {
                break;
            }
            variables.push((name.to_owned(), value.to_owned()));
            words.remove(0);
        }
        let (program, arguments) = words.split_first().ok_or_else(|| Stop::NotRun("no command".into()))?;
        let mut command = Command::new(program);
        command.args(arguments).envs(variables);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| Stop::NotRun(format!("{program}: {error}")))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Stop::NotRun("no pipes".into()));
        };
        let (stdout, stderr) = (collect(stdout), collect(stderr));
        if let Some(input) = input {
            let (input, pipe) = (input.to_vec(), child.stdin.take());
            thread::spawn(move || pipe.map(|mut pipe| pipe.write_all(&input)));
        }
        Ok(Self { child, stdout, stderr })
    }

    fn exit(mut self, limit: Duration) -> Result<Exit, Stop> {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return Err(Stop::Saw("does not end".into()));
            }
            thread::sleep(Duration::from_millis(5));
        };
        let bytes = |thread: JoinHandle<Vec<u8>>| thread.join().unwrap_or_default();
        let stderr = String::from_utf8_lossy(&bytes(self.stderr)).into_owned();
        Ok(Exit { code: status.code().unwrap_or(-1), stdout: bytes(self.stdout), stderr })
    }
}

impl Drop for Started {
    /// No client outlives its case.
    fn drop(&mut self) {
        if let Some(program) = &mut self.program {
            let _ = program.child.kill();
            let _ = program.child.wait();
        }
    }
}

/// Reads to the end, in a thread of its own.
fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}
