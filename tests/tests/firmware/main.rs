//! The firmware on an emulated board: kubectl on this host, the gateway on a Cortex-M3 with 128 KiB of memory, a node on this
//! host. `cargo xtask firmware test` builds the image and runs these.

mod forward;

use std::env;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use strait::k8s::Subprotocol;
use strait_tests::{
    Board, BoardCounters, Dialect, End, Exec, Finished, Kubectl, Random, Server, Terminal, Transcript,
    eventually, long_tests_are_wanted,
};
use tokio::task::JoinSet;

const V5: Dialect = Dialect::WebSocket(Subprotocol::V5);

/// What the end of a session or the loss of a peer may take to be noticed everywhere.
const SOON: Duration = Duration::from_secs(15);
/// What a transfer may take.
const TRANSFER: Duration = Duration::from_mins(2);
const BIG: usize = 10_000_000;

/// Most bytes of stack that any of these sessions may take, as the board finds them painted over.
const STACK: &str = include_str!("../../../drivers/embassy/firmware/stack.txt");

struct Rig {
    board: Board,
    node: Server,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let most: u32 = STACK.trim().parse().expect("stack.txt is a number of bytes");
        let stack = self.board.counters().stack;
        println!("{stack} bytes of stack, of {most}");
        assert!(thread::panicking() || stack <= most, "{stack} bytes of stack, stack.txt has {most}");
    }
}

impl Rig {
    fn start() -> Self {
        let image = env::var_os("STRAIT_FIRMWARE").map(PathBuf::from);
        let image = image.expect("STRAIT_FIRMWARE names the image: run `cargo xtask firmware test`");
        let node = Server::node();
        Self { board: Board::start(&image, node.address()), node }
    }

    fn kubectl(&self) -> Option<Kubectl> {
        Kubectl::find(&self.board.url())
    }

    async fn run(&self, script: &str) -> Transcript {
        Exec::script(script).open(self.board.address(), V5).await.unwrap().finish().await.unwrap()
    }

    /// Waits until no connection is left, and says what was counted.
    #[track_caller]
    fn rests(&self, connections: u32) -> BoardCounters {
        eventually(SOON, || match self.board.counters() {
            counters if counters.open == 0 && counters.connections >= connections => Ok(counters),
            counters => Err(format!("{counters:?}")),
        })
    }

    #[track_caller]
    fn assert_exit(&self, finished: &Finished, code: i32) {
        assert_eq!(finished.status.code(), Some(code), "{finished:?}\n{}", self.board.console());
    }
}

#[test]
#[ignore = "run by cargo xtask firmware test"]
fn kubectl_executes_commands_through_the_board() {
    let rig = Rig::start();
    let Some(kubectl) = rig.kubectl() else { return };
    let finished = kubectl.run(&["exec", "demo", "--", "date"]);
    rig.assert_exit(&finished, 0);
    assert!(!finished.text().is_empty());

    let finished = kubectl.run(&["exec", "demo", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    rig.assert_exit(&finished, 7);
    assert_eq!(finished.text(), "out\n");
    assert_eq!(finished.stderr, "err\ncommand terminated with exit code 7\n");

    let finished = kubectl.run(&["exec", "demo", "--", "/no/such/program"]);
    rig.assert_exit(&finished, 1);
    assert!(finished.stderr.contains("no such file"), "{}", finished.stderr);
    println!("{:?}", rig.board.counters());
}

#[test]
#[ignore = "run by cargo xtask firmware test"]
fn kubectl_carries_ten_megabytes_each_way() {
    let rig = Rig::start();
    let Some(kubectl) = rig.kubectl() else { return };
    let input = Random::of_this_run().bytes(BIG);
    let mut running = kubectl.start(&["exec", "-i", "demo", "--", "cat"], Stdio::piped(), TRANSFER);
    let mut stdin = running.stdin.take().expect("standard input is a pipe");
    let sent = input.clone();
    let writer = thread::spawn(move || stdin.write_all(&sent).expect("the input is taken"));
    let started = Instant::now();
    let finished = running.finish();
    writer.join().expect("all input was written, and ended by its end");
    rig.assert_exit(&finished, 0);
    assert!(finished.stdout == input, "{} bytes of {BIG}", finished.stdout.len());
    println!("{BIG} bytes in and out: {:?}, {:?}", started.elapsed(), rig.board.counters());
}

#[test]
#[ignore = "run by cargo xtask firmware test"]
fn a_terminal_prompts_and_resizes() {
    let rig = Rig::start();
    let Some(kubectl) = rig.kubectl() else { return };
    let arguments = ["exec", "-it", "demo", "--", "env", "PS1=prompt> ", "sh"];
    let mut terminal = Terminal::start(&kubectl, &arguments, (30, 100));
    // No prompt is waited for: what comes before kubectl has made its streams, it drops. So it may stand in front of anything.
    terminal.types("until [ \"$(stty size)\" = '30 100' ]; do sleep 0.05; done; echo si''zed\r");
    terminal.reads("sized\r\n");
    terminal.reads("prompt> ");
    terminal.resize(41, 123);
    terminal.types("until [ \"$(stty size)\" = '41 123' ]; do sleep 0.05; done; echo re''sized\r");
    terminal.reads("\r\nresized\r\n");
    terminal.reads("prompt> ");
    terminal.types("exit 42\r");
    rig.assert_exit(&terminal.finish(), 42);
}

#[test]
#[ignore = "run by cargo xtask firmware test"]
fn four_kubectls_are_served_at_a_time() {
    let rig = Rig::start();
    let Some(kubectl) = rig.kubectl() else { return };
    let script = "read line; echo got $line; read line; echo got $line";
    let arguments = ["exec", "-i", "demo", "--", "sh", "-c", script];
    let mut running: Vec<_> = (0..4).map(|_| kubectl.start(&arguments, Stdio::piped(), TRANSFER)).collect();
    let children = |rig: &Rig| rig.node.children().len();
    for running in &mut running {
        running.write(b"one\n");
    }
    // The node's main process is one more.
    eventually(SOON, || match children(&rig) {
        5.. => Ok(()),
        count => Err(format!("{count} processes\n{}", rig.board.console())),
    });
    for running in &mut running {
        running.write(b"two\n");
    }
    for running in running {
        let finished = running.finish();
        rig.assert_exit(&finished, 0);
        assert_eq!(finished.text(), "got one\ngot two\n");
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask firmware test"]
async fn clients_that_come_at_once_wait_for_their_turn() {
    // As many as have a place. More would ask again, for which QEMU's network takes half a minute.
    const ROUNDS: [u32; 3] = [12; 3];
    let rig = Rig::start();
    let mut count = 0;
    for clients in ROUNDS {
        let started = Instant::now();
        let mut running = JoinSet::new();
        for number in 0..clients {
            let address = rig.board.address();
            running.spawn(async move {
                let exec = Exec::script(&format!("echo {number}; sleep 0.1"));
                (number, exec.open(address, V5).await.unwrap().finish().await.unwrap())
            });
        }
        while let Some(ran) = running.join_next().await {
            let (number, transcript) = ran.unwrap();
            assert_eq!(transcript.stdout, format!("{number}\n").as_bytes(), "{}", rig.board.console());
        }
        println!("{clients} clients at once in {:?}", started.elapsed());
        count += clients;
        assert_eq!(rig.rests(count).completed, count);
    }
    println!("{:?}", rig.board.counters());
}

#[tokio::test]
#[ignore = "run by cargo xtask firmware test"]
async fn sessions_one_after_the_other_leave_nothing_behind() {
    let rig = Rig::start();
    let count = 1000;
    let started = Instant::now();
    for number in 0..count {
        let transcript = rig.run(&format!("echo {number}")).await;
        assert_eq!(
            transcript.stdout,
            format!("{number}\n").as_bytes(),
            "{transcript:?}\n{}",
            rig.board.console()
        );
        assert_eq!(
            (&transcript.status().unwrap()["status"], transcript.end),
            (&"Success".into(), End::Clean)
        );
    }
    let counters = rig.rests(count);
    println!("{count} sessions in {:?}: {counters:?}", started.elapsed());
    assert_eq!((counters.connections, counters.completed, counters.failed), (count, count, 0));
}

#[tokio::test]
#[ignore = "run by cargo xtask firmware test"]
async fn frames_larger_than_a_sessions_memory_stream_through_it() {
    let rig = Rig::start();
    let mut session = Exec::script("cat").with_stdin().open(rig.board.address(), V5).await.unwrap();
    let sent = Random::of_this_run().bytes(2 << 20);
    let mut received = Transcript::default();
    for frame in sent.chunks(1 << 20) {
        let mut is_taken = session.try_send(frame, Duration::from_millis(20)).await.unwrap();
        while !is_taken {
            received.add(session.next().await.unwrap()).unwrap();
            is_taken = session.try_send(&[], Duration::from_millis(20)).await.unwrap();
        }
    }
    session.half_close().await.unwrap();
    while received.add(session.next().await.unwrap()).unwrap() {}
    assert!(received.stdout == sent, "{} bytes of {}", received.stdout.len(), sent.len());
    assert_eq!(received.status().unwrap()["status"], "Success");
}

#[tokio::test]
#[ignore = "run by cargo xtask firmware test"]
async fn the_board_serves_on_whatever_its_peers_do() {
    let mut rig = Rig::start();
    // Clients that vanish, in the middle of a session and in the middle of a frame.
    let before = rig.node.children().len();
    for _ in 0..8 {
        let mut session =
            Exec::script("echo ready; cat").with_stdin().open(rig.board.address(), V5).await.unwrap();
        assert_eq!(session.line().await.unwrap(), "ready");
        session.try_send(&vec![0; 5_000_000], Duration::from_millis(10)).await.unwrap();
        drop(session);
        eventually(SOON, || match rig.node.children().len() - before {
            0 => Ok(()),
            running => Err(format!("{running} commands run on\n{}", rig.board.console())),
        });
    }
    // Garbage, in requests and behind them.
    let mut random = Random::of_this_run();
    let seconds = if long_tests_are_wanted("a minute of garbage") { 60 } else { 8 };
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        let mut io = TcpStream::connect(rig.board.address()).expect("the board's port");
        let request =
            b"GET /api/v1/namespaces/default/pods/demo/exec?command=cat&stdin=true&stdout=true HTTP/1.1\r\n\
            Host: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n";
        let garbage = random.bytes(3000);
        let is_request = garbage[0] & 1 == 0;
        let _ = io.write_all(if is_request { request } else { b"" });
        let _ = io.write_all(&garbage);
        let _ = io.shutdown(Shutdown::Write);
        thread::sleep(Duration::from_millis(20));
    }
    eventually(SOON, || match rig.board.counters() {
        BoardCounters { open: 0, .. } => Ok(()),
        counters => Err(format!("{counters:?}")),
    });
    assert_eq!(rig.run("echo still here").await.stdout, b"still here\n");
    // Upstream vanishes.
    let mut session =
        Exec::script("echo ready; cat").with_stdin().open(rig.board.address(), V5).await.unwrap();
    assert_eq!(session.line().await.unwrap(), "ready");
    rig.node.kill();
    let transcript = session.finish().await.unwrap();
    assert_eq!(transcript.status().unwrap()["status"], "Failure");
    let transcript = rig.run("true").await;
    assert_eq!(transcript.status().unwrap()["code"], 500, "nobody is there, and the board says so");
    println!("{:?}", rig.board.counters());
}
