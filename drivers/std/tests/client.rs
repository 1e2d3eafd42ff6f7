//! The blocking client: which answers make it fall back, and sessions with a node, directly and through gateways.
#![cfg(target_os = "linux")]

mod rig;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use strait::Limits;
use strait::k8s::{StreamSet, Subprotocol, TerminalSize};
use strait_std::client::{
    ConnectError, Connection, Executor, Exit, Pod, Process, Server, SessionError, Transport,
};
use strait_tests::{FALLBACK, SPDY_101, Script, Server as Program, websocket_101};

use rig::{Wire, ways};

const POD: Pod<'static> = Pod { namespace: "default", name: "demo", container: None };
const OUTPUT: StreamSet = StreamSet { stdin: false, stdout: true, stderr: true, tty: false };
const ALL: StreamSet = StreamSet { stdin: true, ..OUTPUT };

/// Every wait ends after this at the latest.
const PATIENCE: Duration = Duration::from_mins(1);

fn executor(address: SocketAddr, transport: Transport) -> Executor {
    Executor::new(Server::new(address.to_string())).with_transport(transport)
}

/// Does something that must not take for ever.
#[track_caller]
fn soon<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let acting = thread::spawn(move || done.send(act()));
    match result.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("{what}: not within {PATIENCE:?}"),
        Err(RecvTimeoutError::Disconnected) => panic!("{what}: {:?}", acting.join().err()),
    }
}

#[track_caller]
fn wait(what: &str, process: Process) -> Result<Exit, SessionError> {
    soon(what, move || process.wait())
}

/// Standard output and standard error of a script that gets this input, and how it ended.
#[track_caller]
fn run(
    executor: &Executor,
    script: &str,
    stdin: &[u8],
    asked: StreamSet,
) -> (Vec<u8>, Vec<u8>, Result<Exit, SessionError>) {
    let mut process = executor.exec(&POD, ["sh", "-c", script], asked).expect(script);
    let (input, writer) = (stdin.to_vec(), process.stdin.take());
    // A command that does not read its input breaks the pipe when it has ended.
    thread::spawn(move || writer.map(|mut writer| writer.write_all(&input)));
    let mut errors = process.stderr.take().unwrap();
    let errors = thread::spawn(move || {
        let mut bytes = Vec::new();
        errors.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut output = process.stdout.take().unwrap();
    let stdout = soon(script, move || {
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes).map(|_| bytes)
    });
    (stdout.unwrap(), errors.join().unwrap().unwrap(), wait(script, process))
}

/// `http-upgrade.md` section 4: what falls back, and what does not.
#[test]
fn the_fallback_falls_back_exactly_when_the_upgrade_failed() {
    for (case, falls_back, answer) in FALLBACK {
        let script =
            Script::start(move |head| if head.starts_with("POST") { SPDY_101.into() } else { answer(head) });
        let session = executor(script.address(), Transport::Fallback).exec(&POD, ["date"], OUTPUT);
        let expected: &[&str] = if falls_back { &["GET", "POST"] } else { &["GET"] };
        assert_eq!(script.methods(), expected, "{case}: {session:?}");
        match session {
            Ok(session) if falls_back => {
                let agreed = (session.transport(), session.protocol());
                assert_eq!(agreed, (Transport::Spdy, Subprotocol::V4), "{case}");
            }
            Ok(session) => assert_eq!(session.transport(), Transport::WebSocket, "{case}"),
            Err(error) => {
                assert!(!falls_back && matches!(error, ConnectError::Answer(_)), "{case}: {error:?}");
            }
        }
    }
}

#[test]
fn nothing_that_spdy_would_meet_again_makes_it_fall_back() {
    // Nobody listens.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = executor(free, Transport::Fallback).exec(&POD, ["date"], OUTPUT).unwrap_err();
    assert!(matches!(error, ConnectError::Dial { .. }), "{error:?}");
    // Nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let limits = Limits { handshake: Duration::from_millis(100), ..Limits::HOST };
    let silent = executor(listener.local_addr().unwrap(), Transport::Fallback).with_limits(limits);
    let error = silent.exec(&POD, ["date"], OUTPUT).unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error:?}");
    listener.accept().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::sleep(Duration::from_millis(100));
    assert!(listener.accept().is_err(), "it asked again");
    // The caller cannot connect.
    let refused = || Err(std::io::Error::other("the proxy refuses"));
    let error = Executor::new(Server::new("api.example:6443").dialled_by(refused));
    let error = error.exec(&POD, ["date"], OUTPUT).unwrap_err();
    assert!(matches!(&error, ConnectError::Dial { error, .. } if error.to_string().contains("proxy")));
}

#[test]
fn what_spdy_says_is_what_the_user_gets() {
    let script = Script::start(|head| {
        let method = head.split(' ').next().unwrap();
        let json = format!(r#"{{"kind":"Status","status":"Failure","message":"{method} is refused"}}"#);
        format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{json}", json.len())
    });
    let refused = |transport| {
        let error = executor(script.address(), transport).exec(&POD, ["date"], OUTPUT).unwrap_err();
        assert!(matches!(error, ConnectError::Refused { status: 403, .. }), "{error:?}");
        error.to_string()
    };
    assert_eq!(refused(Transport::Fallback), "unable to upgrade connection: POST is refused");
    assert_eq!(refused(Transport::WebSocket), "unable to upgrade connection: GET is refused");
    assert_eq!(script.methods(), ["GET", "POST", "GET"]);
}

/// `http-upgrade.md` sections 2.1 and 3.1.
#[test]
fn requests_are_those_of_kubectl_with_the_callers_headers() {
    let script = Script::start(|_| "HTTP/1.1 403 Forbidden\r\n\r\n".into());
    let server = Server::new(script.address().to_string()).with_prefix("/api/").with_token("secret");
    let server = server.with_header("user-agent", "me");
    let pod = Pod { container: Some("c"), ..POD };
    Executor::new(server).exec(&pod, ["echo", "a b"], OUTPUT).unwrap_err();
    let heads = script.heads();
    let [websocket, spdy] = &heads[..] else { panic!("{heads:?}") };
    let target = "/api/api/v1/namespaces/default/pods/demo/exec?command=echo&command=a+b&container=c&stderr=true&stdout=true";
    for (head, method, upgrade) in [(websocket, "GET", "websocket"), (spdy, "POST", "SPDY/3.1")] {
        assert!(head.starts_with(&format!("{method} {target} HTTP/1.1\r\n")), "{head}");
        for line in ["Authorization: Bearer secret", "user-agent: me", &format!("Upgrade: {upgrade}")] {
            assert_eq!(head.lines().filter(|seen| *seen == line).count(), 1, "{line} in {head}");
        }
        assert!(!head.contains("User-Agent: strait"), "{head}");
    }
    assert!(websocket.contains("\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n"), "{websocket}");
    assert_eq!(spdy.matches("X-Stream-Protocol-Version: ").count(), 5, "{spdy}");
}

#[test]
fn output_errors_and_exit_codes_come_over_every_way() {
    for way in ways() {
        let executor = executor(way.address(), way.transport);
        for code in [0, 1, 7, 126, 255] {
            let script = format!("echo out; echo err >&2; exit {code}");
            let (stdout, stderr, result) = run(&executor, &script, b"", OUTPUT);
            assert_eq!((&stdout[..], &stderr[..]), (&b"out\n"[..], &b"err\n"[..]), "{}", way.name);
            assert_eq!(result.map_err(|error| error.to_string()), Ok(Exit { code }), "{}", way.name);
        }
        let output = executor.exec(&POD, ["sh", "-c", "echo out; echo err >&2; exit 3"], OUTPUT).unwrap();
        let output = soon(way.name, move || output.wait_with_output()).unwrap();
        assert_eq!((&*output.stdout, &*output.stderr, output.exit.code), (&b"out\n"[..], &b"err\n"[..], 3));
        let error = wait(way.name, executor.exec(&POD, ["/no/such/program"], OUTPUT).unwrap()).unwrap_err();
        let SessionError::Failed { message, .. } = &error else { panic!("{}: {error:?}", way.name) };
        assert!(message.contains("/no/such/program"), "{}: {message}", way.name);
    }
}

#[test]
fn the_end_of_input_is_passed_on_and_output_goes_on() {
    let input: Vec<u8> = (0..3_000_000_u32).map(|at| (at * 7 / 3) as u8).collect();
    for way in ways() {
        let executor = executor(way.address(), way.transport);
        let (stdout, _, result) = run(&executor, "cat; echo end; exit 9", &input, ALL);
        assert!(stdout.strip_suffix(b"end\n") == Some(&input[..]), "{}: {} bytes", way.name, stdout.len());
        assert_eq!(result.unwrap().code, 9, "{}", way.name);
        // Input that nobody reads does not keep the command from ending.
        let (stdout, _, result) = run(&executor, "echo done; exit 4", &input, ALL);
        assert_eq!((&stdout[..], result.unwrap().code), (&b"done\n"[..], 4), "{}", way.name);
    }
}

#[test]
fn a_dialogue_and_a_terminal_with_sizes() {
    for way in ways() {
        let executor = executor(way.address(), way.transport);
        let mut process = executor.exec(&POD, ["cat"], ALL).unwrap();
        let (mut stdin, mut stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        for word in ["one\n", "two\n"] {
            stdin.write_all(word.as_bytes()).unwrap();
            stdout = reads(stdout, word);
        }
        drop(stdin);
        assert_eq!(soon(way.name, move || stdout.read(&mut [0])).unwrap(), 0, "{}", way.name);
        assert_eq!(wait(way.name, process).unwrap().code, 0, "{}", way.name);

        let asked = StreamSet { stdin: true, stdout: true, stderr: true, tty: true };
        let script = "trap 'stty size' WINCH; echo ready; while :; do read -r line && exit 3; done";
        let mut process = executor.exec(&POD, ["sh", "-c", script], asked).unwrap();
        assert!(process.stderr.is_none());
        let screen = reads(process.stdout.take().unwrap(), "ready");
        let control = process.control();
        control.resize(TerminalSize { columns: 123, rows: 45 });
        let screen = reads(screen, "45 123");
        control.resize(TerminalSize { columns: 90, rows: 20 });
        reads(screen, "20 90");
        process.stdin.as_mut().unwrap().write_all(b"line\r").unwrap();
        assert_eq!(wait(way.name, process).unwrap().code, 3, "{}", way.name);
    }
}

/// Reads until `text` has come, and gives the pipe back.
#[track_caller]
fn reads<R: std::io::Read + Send + 'static>(mut from: R, text: &str) -> R {
    let wanted = text.to_owned();
    soon(text, move || {
        let mut seen = String::new();
        while !seen.contains(&wanted) {
            let mut buffer = [0; 1024];
            let count = from.read(&mut buffer).unwrap();
            assert!(count > 0, "no {wanted:?} in {seen:?}");
            seen += &String::from_utf8_lossy(&buffer[..count]);
        }
        from
    })
}

#[test]
fn a_lost_connection_is_an_error_and_a_detached_one_says_so() {
    let node = Program::node();
    let command = ["sh", "-c", "echo up; sleep 100"];
    for transport in [Transport::WebSocket, Transport::Spdy] {
        let wire = Wire::to(node.address());
        let mut process = executor(wire.address, transport).exec(&POD, command, OUTPUT).unwrap();
        reads(process.stdout.take().unwrap(), "up");
        wire.cut();
        let error = wait("the loss", process).unwrap_err();
        assert!(matches!(error, SessionError::Lost { .. }), "{transport}: {error:?}");

        let executor = executor(node.address(), transport);
        let mut process = executor.exec(&POD, command, OUTPUT).unwrap();
        reads(process.stdout.take().unwrap(), "up");
        let control = process.control();
        thread::spawn(move || control.detach());
        let error = wait("the end", process).unwrap_err();
        assert!(matches!(error, SessionError::Detached), "{transport}: {error:?}");
        // Dropped, it ends too: the pipe does.
        let mut process = executor.exec(&POD, command, OUTPUT).unwrap();
        let mut stdout = reads(process.stdout.take().unwrap(), "up");
        drop(process);
        assert_eq!(soon("its end", move || stdout.read(&mut [0])).unwrap(), 0, "{transport}");
    }
}

#[test]
fn a_session_that_ends_without_a_status_has_failed() {
    let table: [(&str, &[u8], &str); 7] = [
        ("nothing", b"", "connection closed before"),
        ("output and Close 1000", b"\x82\x04\x01out\x88\x02\x03\xe8", "the exit status"),
        ("output and the end of the connection", b"\x82\x04\x01out", "connection closed before"),
        ("half a status", b"\x02\x04\x03{\"s", "connection closed before"),
        ("no JSON", b"\x82\x03\x03hi\x88\x02\x03\xe8", "no proper exit status"),
        ("a broken frame", b"\xff\xff\xff\xff", "broke the protocol"),
        ("Close 1011", b"\x88\x02\x03\xf3", "connection closed before"),
    ];
    for (case, bytes, expected) in table {
        let script =
            Script::ending(move |head| [websocket_101(head, "v5.channel.k8s.io").as_bytes(), bytes].concat());
        let process = executor(script.address(), Transport::Fallback).exec(&POD, ["x"], OUTPUT).unwrap();
        let error = wait(case, process).expect_err(case).to_string();
        assert!(error.contains(expected), "{case}: {error}");
    }
}

#[test]
fn a_silent_server_is_given_up_and_a_stopped_reader_is_not() {
    let script = Script::start(|head| websocket_101(head, "v5.channel.k8s.io"));
    let limits = Limits {
        ping_interval: Duration::from_millis(50),
        peer_timeout: Duration::from_millis(300),
        ..Limits::HOST
    };
    let silent = executor(script.address(), Transport::Fallback).with_limits(limits);
    let error = wait("silence", silent.exec(&POD, ["date"], OUTPUT).unwrap()).unwrap_err();
    assert!(matches!(error, SessionError::Silent), "{error:?}");

    let node = Program::node();
    let executor = executor(node.address(), Transport::Fallback).with_limits(limits);
    let command = ["sh", "-c", "head -c 5000000 /dev/zero; exit 6"];
    let mut process = executor.exec(&POD, command, OUTPUT).unwrap();
    let mut stdout = process.stdout.take().unwrap();
    thread::sleep(Duration::from_millis(900));
    let output = soon("all output", move || {
        let mut output = Vec::new();
        stdout.read_to_end(&mut output).map(|_| output.len())
    });
    assert_eq!((output.unwrap(), wait("its end", process).unwrap().code), (5_000_000, 6));
}

#[test]
fn output_that_is_dropped_is_thrown_away() {
    let node = Program::node();
    let executor = executor(node.address(), Transport::Fallback);
    let mut process = executor.exec(&POD, ["sh", "-c", "head -c 5000000 /dev/zero; exit 6"], OUTPUT).unwrap();
    process.stdout = None;
    assert_eq!(wait("its end", process).unwrap().code, 6);
}

/// The caller's own TLS, by rustls over a socket that is slept on.
#[test]
fn tls_of_the_callers_carries_a_session() {
    let ca = rig::Ca::new();
    let arguments = ["node", "--listen", "127.0.0.1:0", "--drain-timeout", "0"];
    let tls = ["--tls-cert-file", &ca.certificate, "--tls-private-key-file", &ca.key];
    let node = Program::of(Command::new(strait_tests::strait()).args(arguments).args(tls));
    let address: SocketAddr = node.url().strip_prefix("https://").unwrap().parse().unwrap();
    let config = ca.client();
    let dial = move || {
        let socket = TcpStream::connect(address)?;
        let name = "127.0.0.1".try_into().unwrap();
        let session =
            rustls::ClientConnection::new(Arc::clone(&config), name).map_err(std::io::Error::other)?;
        let mut stream = rustls::StreamOwned::new(session, socket.try_clone()?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Connection::over(stream, socket)
    };
    let server = Server::new(address.to_string()).dialled_by(dial);
    let input: Vec<u8> = (0..2_000_000_u32).map(|at| (at * 5 / 3) as u8).collect();
    for transport in [Transport::WebSocket, Transport::Spdy] {
        let executor = Executor::new(server.clone()).with_transport(transport);
        let (stdout, _, result) = run(&executor, "cat; exit 9", &input, ALL);
        assert!(stdout == input, "{transport}: {} bytes", stdout.len());
        assert_eq!(result.unwrap().code, 9, "{transport}");
    }
}
