//! Every client dialect, on every upstream, through everything that can happen in a session. What has to come of it follows from
//! the rules that are written down here; where a protocol cannot say something, the rule says so.
//!
//! One gateway and one node serve all cells of an upstream, many at a time. Between them is a wire that can be cut.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use strait::k8s::Subprotocol;
use strait_tests::{
    Dialect, End, Exec, Opening, Proxy, Refusal, Server, Session, Transcript, eventually_async, is_alive,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use Dialect::{Spdy, WebSocket};
use Scenario::{
    Exit, HalfClose, LostClient, LostUpstream, Missing, Refused, Short, Stderr, Stdin, Stdout, Terminal,
};

/// Sessions at a time.
const AT_A_TIME: usize = 16;
/// What the end of a session may take to be noticed everywhere.
const SOON: Duration = Duration::from_secs(10);
/// More than a frame, less than the buffers on the way: one task writes and reads.
const PIECE: usize = 100_000;

const CLIENTS: [Dialect; 10] = [
    WebSocket(Subprotocol::V5),
    WebSocket(Subprotocol::V4),
    WebSocket(Subprotocol::None),
    WebSocket(Subprotocol::V1),
    WebSocket(Subprotocol::V1Base64),
    WebSocket(Subprotocol::V4Base64),
    Spdy(Subprotocol::V1),
    Spdy(Subprotocol::V2),
    Spdy(Subprotocol::V3),
    Spdy(Subprotocol::V4),
];

const SCENARIOS: [Scenario; 16] = [
    Stdout,
    Stderr,
    Stdin,
    HalfClose,
    Terminal,
    Exit(0),
    Exit(7),
    Exit(255),
    Short(Opening::OneByOne),
    Short(Opening::InPieces),
    Missing,
    Refused(403),
    Refused(404),
    Refused(500),
    LostUpstream,
    LostClient,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upstream {
    /// SPDY v4 and older.
    Spdy,
    /// WebSocket v5, v4 and older.
    WebSocketV5,
    /// WebSocket v4 and older, as container runtimes serve it.
    WebSocketV4,
}

#[derive(Debug, Clone, Copy)]
enum Scenario {
    Stdout,
    Stderr,
    Stdin,
    HalfClose,
    Terminal,
    Exit(u8),
    /// The command has ended before the client has opened all of its streams.
    Short(Opening),
    Missing,
    Refused(u16),
    LostUpstream,
    LostClient,
}

/// What a gateway does with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Both ends speak the same, byte for byte.
    PassedOn,
    /// The gateway is the server of the client and the client of upstream.
    Translated,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    client: Dialect,
    upstream: Upstream,
    scenario: Scenario,
}

impl Upstream {
    fn node(self) -> &'static [&'static str] {
        match self {
            Self::Spdy => &["--websocket-protocols", ""],
            Self::WebSocketV5 => &["--spdy-protocols", ""],
            Self::WebSocketV4 => &[
                "--spdy-protocols",
                "",
                "--websocket-protocols",
                "v4.channel.k8s.io,v4.base64.channel.k8s.io,channel.k8s.io,base64.channel.k8s.io,none",
            ],
        }
    }

    fn gateway(self) -> &'static [&'static str] {
        match self {
            Self::Spdy => &["--upstream-protocol", "spdy"],
            Self::WebSocketV5 | Self::WebSocketV4 => &["--upstream-protocol", "websocket"],
        }
    }
}

/// The rules.
impl Cell {
    fn way(self) -> Way {
        match (self.client, self.upstream) {
            // Upstream is offered v5 and v4, and chooses.
            (WebSocket(Subprotocol::V5), Upstream::WebSocketV4)
            | (Spdy(_), Upstream::WebSocketV5 | Upstream::WebSocketV4)
            | (WebSocket(_), Upstream::Spdy) => Way::Translated,
            (Spdy(_), Upstream::Spdy) | (WebSocket(_), Upstream::WebSocketV5 | Upstream::WebSocketV4) => {
                Way::PassedOn
            }
        }
    }

    /// What the client's protocol or upstream's has no word for.
    fn cannot_say(self) -> Option<&'static str> {
        match (self.scenario, self.client, self.upstream) {
            (HalfClose, WebSocket(protocol), _) if protocol != Subprotocol::V5 => {
                Some("WebSocket before v5 has no half-close")
            }
            (HalfClose, Spdy(Subprotocol::V1), _) => Some("SPDY v1 has no half-close that works"),
            (HalfClose, _, Upstream::WebSocketV4) => Some("upstream's WebSocket has no half-close"),
            (Terminal, Spdy(Subprotocol::V1 | Subprotocol::V2), _) => Some("SPDY before v3 has no sizes"),
            (Short(_), WebSocket(_), _) => Some("WebSocket opens no streams"),
            _ => None,
        }
    }

    /// The client is answered before upstream is asked, so that a refusal is a status of the session.
    fn is_answered_first(self) -> bool {
        matches!((self.client, self.upstream), (WebSocket(_), Upstream::Spdy))
    }

    const fn protocol(self) -> Subprotocol {
        match self.client {
            WebSocket(protocol) | Spdy(protocol) => protocol,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_in_front_of_spdy() {
    run(Upstream::Spdy, &SCENARIOS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_in_front_of_websocket() {
    run(Upstream::WebSocketV5, &SCENARIOS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_in_front_of_an_older_websocket() {
    run(Upstream::WebSocketV4, &SCENARIOS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_may_come_before_all_streams_are_open() {
    run(Upstream::WebSocketV5, &[Short(Opening::WithInput)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_that_is_passed_on_may_come_before_all_streams_are_open() {
    run(Upstream::Spdy, &[Short(Opening::WithInput)]).await;
}

/// Runs all cells of an upstream, and fails with all that fail.
async fn run(upstream: Upstream, scenarios: &[Scenario]) {
    let node = Server::node_with(upstream.node());
    let wire = Arc::new(Proxy::start(node.address()).await);
    let gateway = Server::gateway(&wire.url(), upstream.gateway());
    let (address, places) = (gateway.address(), Arc::new(Semaphore::new(AT_A_TIME)));
    let (mut cells, mut said) = (JoinSet::new(), Vec::new());
    for client in CLIENTS {
        for &scenario in scenarios {
            let cell = Cell { client, upstream, scenario };
            if let Some(reason) = cell.cannot_say() {
                said.push(format!("{client:?} {scenario:?}: {reason}"));
                continue;
            }
            let (places, wire) = (Arc::clone(&places), Arc::clone(&wire));
            cells.spawn(async move {
                let _place = places.acquire().await.expect("nobody closes it");
                let end = Run { cell, gateway: address, wire: &wire }.run().await;
                end.map_err(|error| format!("{cell:?}: {error:#}"))
            });
        }
    }
    let total = cells.len();
    let failed: Vec<_> = cells.join_all().await.into_iter().filter_map(Result::err).collect();
    println!("{total} cells; not said:\n{}", said.join("\n"));
    assert!(failed.is_empty(), "{} of {total} failed:\n{}", failed.len(), failed.join("\n"));
}

struct Run<'a> {
    cell: Cell,
    gateway: std::net::SocketAddr,
    wire: &'a Proxy,
}

impl Run<'_> {
    async fn run(self) -> Result<()> {
        match self.cell.scenario {
            Stdout => self.output("seq 1 20000", false).await,
            Stderr => self.output("seq 1 20000 >&2", true).await,
            Stdin => self.input("head -c 100000; echo end", false).await,
            HalfClose => self.input("cat; echo end", true).await,
            Terminal => self.terminal().await,
            Exit(code) => {
                let all = self.open(&Exec::script(&format!("exit {code}"))).await?.finish().await?;
                self.ended_with(&all, code)
            }
            Short(opening) => {
                let is_early = opening == Opening::WithInput && matches!(self.cell.client, Spdy(_));
                let (script, expected) = if is_early {
                    ("read -r line; echo \"$line\"; exit 3", "early\n")
                } else {
                    ("echo x; exit 3", "x\n")
                };
                let exec = Exec::script(script).with_stdin().with_opening(opening);
                let all = self.open(&exec).await?.finish().await?;
                ensure!(all.stdout == expected.as_bytes(), "other output: {:?}", all.stdout);
                self.ended_with(&all, 3)
            }
            Missing => self.missing().await,
            Refused(code) => self.refused(code).await,
            LostUpstream => self.lost_upstream().await,
            LostClient => self.lost_client().await,
        }
    }

    async fn open(&self, exec: &Exec) -> Result<Session> {
        exec.open(self.gateway, self.cell.client).await
    }

    async fn output(&self, script: &str, is_stderr: bool) -> Result<()> {
        let all = self.open(&Exec::script(script)).await?.finish().await?;
        let lines: Vec<_> = (1..=20_000).map(|number: u32| number.to_string()).collect();
        let expected = lines.join("\n") + "\n";
        let (full, empty) = if is_stderr { (&all.stderr, &all.stdout) } else { (&all.stdout, &all.stderr) };
        ensure!(full == expected.as_bytes(), "other output: {} bytes", full.len());
        ensure!(empty.is_empty(), "output on the other channel");
        self.ended_with(&all, 0)
    }

    async fn input(&self, script: &str, half_close: bool) -> Result<()> {
        let mut session = self.open(&Exec::script(script).with_stdin()).await?;
        let input: Vec<u8> = (0..PIECE).map(|index| (index % 251) as u8).collect();
        for piece in input.chunks(PIECE / 3) {
            session.send(piece).await?;
        }
        if half_close {
            session.half_close().await?;
        }
        let all = session.finish().await?;
        ensure!(all.stdout == [&input[..], b"end\n"].concat(), "other output: {} bytes", all.stdout.len());
        self.ended_with(&all, 0)
    }

    async fn terminal(&self) -> Result<()> {
        let script = "until [ \"$(stty size)\" = '31 77' ]; do sleep 0.02; done; read line; echo \"got $line\" >&2; exit 5";
        let mut session = self.open(&Exec::script(script).on_terminal()).await?;
        session.resize(77, 31).await?;
        session.send(b"keys\r").await?;
        let all = session.finish().await?;
        let screen = String::from_utf8_lossy(&all.stdout);
        ensure!(screen.contains("keys\r\n") && screen.contains("got keys\r\n"), "another screen: {screen:?}");
        ensure!(all.stderr.is_empty(), "a terminal has no stderr");
        self.ended_with(&all, 5)
    }

    async fn missing(&self) -> Result<()> {
        let all = self.open(&Exec::command(&["/no/such/program"])).await?.finish().await?;
        ensure!(all.stdout.is_empty() && all.stderr.is_empty(), "output of nothing");
        let message = self.failed_with(&all, 500)?;
        ensure!(message.contains("/no/such/program"), "no program in {message:?}");
        ensure!(message.contains("no such file or directory"), "no reason in {message:?}");
        Ok(())
    }

    async fn refused(&self, code: u16) -> Result<()> {
        let exec = Exec::command(&["echo", &format!("refuse{code}")]);
        let message = if self.cell.is_answered_first() {
            let all = self.open(&exec).await?.finish().await?;
            ensure!(all.stdout.is_empty() && all.stderr.is_empty(), "output of nothing");
            self.failed_with(&all, code)?
        } else {
            let Err(error) = self.open(&exec).await else { bail!("a session of nothing") };
            let refusal: Refusal = error.downcast()?;
            ensure!(refusal.status == code, "{refusal}");
            refusal.body
        };
        ensure!(message.contains(&format!("no {code}")), "upstream's words are not in {message:?}");
        Ok(())
    }

    async fn lost_upstream(&self) -> Result<()> {
        let word = format!("lose-{:?}", self.cell.client).replace(['(', ')'], "-");
        let script = format!("echo {word}; exec sleep 1000");
        let mut session = self.open(&Exec::script(&script)).await?;
        let line = session.line().await?;
        ensure!(line == word, "another line: {line:?}");
        self.wire.cut(&word);
        let all = session.finish().await?;
        ensure!(all.stdout.is_empty() && all.stderr.is_empty(), "output of nothing");
        if self.cell.way() == Way::PassedOn {
            // The gateway has no words of its own here; what ends without a status is an error for who looks.
            ensure!(all.end == End::Cut && all.error.is_empty(), "not cut: {all:?}");
            return Ok(());
        }
        self.failed_with(&all, 500)?;
        Ok(())
    }

    async fn lost_client(&self) -> Result<()> {
        let mut session = self.open(&Exec::script("echo $$; exec sleep 1000")).await?;
        let process = session.line().await?.parse().context("a process id")?;
        ensure!(is_alive(process), "the process is gone before its client");
        drop(session);
        eventually_async(SOON, || if is_alive(process) { Err("the process lives on") } else { Ok(()) }).await
    }

    /// The session ended in order, with this exit code, as far as the protocol has words for it.
    fn ended_with(&self, all: &Transcript, code: u8) -> Result<()> {
        let error = String::from_utf8_lossy(&all.error).into_owned();
        ensure!(all.end == End::Clean, "{:?} behind {error:?}", all.end);
        if self.cell.protocol().status_is_json() {
            let status = all.status()?;
            let cause = &status["details"]["causes"][0];
            let is_so = match code {
                0 => status["status"] == "Success",
                _ => cause["reason"] == "ExitCode" && cause["message"].as_str() == Some(&code.to_string()),
            };
            ensure!(is_so, "not exit code {code}: {status}");
        } else if code == 0 {
            ensure!(error.is_empty(), "success is no text: {error:?}");
        } else {
            ensure!(error.ends_with(&format!("exit code: {code}")), "not exit code {code}: {error:?}");
        }
        Ok(())
    }

    /// The session ended in order, with a failure that is no exit code; what it says. In text there is no code.
    fn failed_with(&self, all: &Transcript, code: u16) -> Result<String> {
        let error = String::from_utf8_lossy(&all.error).into_owned();
        ensure!(all.end == End::Clean, "{:?} behind {error:?}", all.end);
        if !self.cell.protocol().status_is_json() {
            ensure!(!error.is_empty(), "success");
            return Ok(error);
        }
        let status = all.status()?;
        ensure!(status["status"] == "Failure", "no failure: {status}");
        ensure!(status["code"] == code, "another code: {status}");
        ensure!(status["reason"] != "NonZeroExitCode", "an exit code: {status}");
        Ok(status["message"].as_str().context("no message")?.into())
    }
}
