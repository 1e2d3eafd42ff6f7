//! `strait port-forward`, with a node directly and through a gateway.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use strait_tests::{Random, Running, Server, Shores, Target, eventually, strait};

const LIFE: Duration = Duration::from_mins(2);
const SOON: Duration = Duration::from_secs(30);

/// A running `strait port-forward`, and what it prints.
struct Forward {
    running: Running,
    lines: Receiver<String>,
}

impl Forward {
    fn start(url: &str, websockets: &str, ports: &[String]) -> Self {
        let mut command = Command::new(strait());
        command.env_clear().env("HOME", "/nonexistent").env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets);
        command.args(["port-forward", "--server", url, "demo", "--address", "127.0.0.1"]).args(ports);
        let mut running = Running::start(command.stdin(Stdio::null()), LIFE);
        let stdout = BufReader::new(running.stdout.take().expect("standard output is a pipe"));
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self { running, lines }
    }

    /// Where it listens for this port of the pod.
    #[track_caller]
    fn address(&self, remote: u16) -> SocketAddr {
        eventually(SOON, || {
            let line =
                self.lines.try_recv().map_err(|error| format!("{error}: {}", self.running.stderr()))?;
            let rest = line.strip_prefix("Forwarding from ").ok_or_else(|| line.clone())?;
            let (address, port) = rest.split_once(" -> ").ok_or_else(|| line.clone())?;
            assert_eq!(port, remote.to_string());
            address.parse().map_err(|error| format!("{line}: {error}"))
        })
    }
}

/// A server that sends back what it gets, behind a word, when its client has half-closed.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).expect("input");
                stream.write_all(b"echo:").and_then(|()| stream.write_all(&bytes)).expect("output");
            });
        }
    });
    port
}

fn exchange(address: SocketAddr, input: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    let mut sender = stream.try_clone()?;
    let input = input.to_vec();
    let sending = thread::spawn(move || {
        sender.write_all(&input)?;
        sender.shutdown(Shutdown::Write)
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let _ = sending.join().expect("no panic");
    Ok(answer)
}

#[test]
fn connections_go_both_ways_with_half_closes_and_one_that_fails_concerns_no_other() {
    let shores = Shores::start(&[]);
    let (one, two) = (echo(), echo());
    let free =
        TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address").port();
    for (url, websockets) in
        [(shores.node.url(), "true"), (shores.node.url(), "false"), (shores.gateway.url(), "true")]
    {
        let forward =
            Forward::start(url, websockets, &[format!(":{one}"), format!("0:{two}"), format!(":{free}")]);
        let (one, two, refused) = (forward.address(one), forward.address(two), forward.address(free));
        let mut input = vec![0; 3_000_000];
        Random::of_this_run().fill(&mut input);
        for address in [one, two, one] {
            let answer = exchange(address, &input).expect("an answer");
            assert!(answer.strip_prefix(b"echo:") == Some(&input[..]), "{} bytes", answer.len());
        }
        let nothing = exchange(refused, b"x").unwrap_or_default();
        assert_eq!(nothing, b"");
        eventually(SOON, || {
            let said = forward.running.stderr();
            if said.contains(&format!("error forwarding port {free}")) { Ok(()) } else { Err(said) }
        });
        assert_eq!(exchange(two, b"still").expect("an answer"), b"echo:still");
        forward.running.signal(Signal::TERM);
        let finished = forward.running.finish();
        assert!(finished.status.success(), "{finished:?}");
        assert!(finished.stderr.contains("connections forwarded, 1 failed"), "{finished:?}");
    }
}

#[test]
fn a_server_that_comes_back_is_connected_to_again() {
    let mut node = Server::node();
    let (address, port) = (node.address().to_string(), echo());
    let forward = Forward::start(node.url(), "true", &[format!(":{port}")]);
    let local = forward.address(port);
    assert_eq!(exchange(local, b"before").expect("an answer"), b"echo:before");
    node.kill();
    eventually(SOON, || {
        let said = forward.running.stderr();
        if said.contains("lost connection to pod") { Ok(()) } else { Err(said) }
    });
    // It comes while there is no connection, and waits for one.
    let waiting = thread::spawn(move || exchange(local, b"waited"));
    let _again = Server::spawn(&["node", "--listen", &address, "--drain-timeout", "0"]);
    assert_eq!(waiting.join().expect("no panic").expect("an answer"), b"echo:waited");
    assert_eq!(exchange(local, b"after").expect("an answer"), b"echo:after");
    forward.running.signal(Signal::INT);
    let finished = forward.running.finish();
    assert!(finished.status.success() && finished.stderr.contains("again 1 times"), "{finished:?}");
}

/// Neither program may take what it has got for all there is.
#[test]
fn a_connection_that_is_lost_ends_with_a_reset_at_both_ends() {
    let (ends, ended) = mpsc::channel();
    let target = Target::start(move |mut stream| {
        let echoed = stream.read_exact(&mut [0]).and_then(|()| stream.write_all(b"x"));
        let _ = ends.send(echoed.and_then(|()| stream.read(&mut [0])).map_err(|error| error.kind()));
    });
    for websockets in ["true", "false"] {
        let connect = |url| {
            let forward = Forward::start(url, websockets, &[format!(":{}", target.port())]);
            let mut local = TcpStream::connect(forward.address(target.port())).expect("it listens");
            local.set_read_timeout(Some(SOON)).expect("a time-out");
            local.write_all(b"x").and_then(|()| local.read_exact(&mut [0])).expect("an echo");
            (forward, local)
        };
        let reset = Err(std::io::ErrorKind::ConnectionReset);
        let mut shores = Shores::start(&[]);
        let (mut forward, local) = connect(shores.gateway.url());
        forward.running.kill();
        assert_eq!(ended.recv_timeout(SOON).expect("the target's end"), reset, "{websockets}");
        drop(local);
        let (_forward, mut local) = connect(shores.gateway.url());
        shores.node.kill();
        let read = local.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(read, reset, "{websockets}");
        // What the target of a node that was killed sees is up to the system.
        let _ = ended.recv_timeout(SOON);
    }
}

#[test]
fn what_cannot_be_forwarded_is_said_at_once() {
    let node = Server::node();
    for (arguments, expected) in [(vec!["other", "80"], "NotFound"), (vec!["demo", "80:x"], "no port")] {
        let mut command = Command::new(strait());
        command
            .env_clear()
            .env("HOME", "/nonexistent")
            .args(["port-forward", "--server", node.url()])
            .args(arguments);
        let finished = Running::start(command.stdin(Stdio::null()), SOON).finish();
        assert!(!finished.status.success() && finished.stderr.contains(expected), "{finished:?}");
    }
}
