//! Whom the blocking gateway lets in, how many, and what it does for one that leaves.
#![cfg(target_os = "linux")]

mod rig;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use strait::k8s::StreamSet;
use strait_std::client::{ConnectError, Executor, Pod, Server, Transport};
use strait_std::{Gateway, ServerOptions, Stop};
use strait_tests::{Server as Program, eventually};

use rig::StdGateway;

const POD: Pod<'static> = Pod { namespace: "default", name: "demo", container: None };
const OUTPUT: StreamSet = StreamSet { stdin: false, stdout: true, stderr: true, tty: false };
const PATIENCE: Duration = Duration::from_mins(1);

fn connect(address: SocketAddr) -> TcpStream {
    let io = TcpStream::connect(address).unwrap();
    io.set_read_timeout(Some(PATIENCE)).unwrap();
    io
}

/// The status of the answer to a plain request with these headers.
#[track_caller]
fn status(address: SocketAddr, headers: &str) -> u16 {
    let mut io = connect(address);
    write!(io, "GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    io.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer}")).parse().unwrap()
}

#[test]
fn pages_of_other_origins_and_large_bodies_are_refused() {
    let node = Program::node();
    let allowed_origins = vec!["https://console.example".to_owned()];
    let options = ServerOptions { allowed_origins, max_body_bytes: 100, ..ServerOptions::default() };
    let gateway = StdGateway::with(node.address(), options);
    for (headers, expected) in [
        ("", 200),
        ("Origin: http://127.0.0.1\r\n", 200),
        ("Origin: https://console.example\r\n", 200),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Content-Length: 101\r\n", 413),
    ] {
        assert_eq!(status(gateway.address, headers), expected, "{headers:?}");
    }
}

#[test]
fn one_session_too_many_is_refused_and_its_place_is_free_again() {
    let node = Program::node();
    let options = ServerOptions { max_sessions: 1, ..ServerOptions::default() };
    let gateway = StdGateway::with(node.address(), options);
    let executor =
        Executor::new(Server::new(gateway.address.to_string())).with_transport(Transport::WebSocket);
    let first = executor.exec(&POD, ["sleep", "100"], OUTPUT).unwrap();
    let error = executor.exec(&POD, ["true"], OUTPUT).unwrap_err();
    assert!(matches!(error, ConnectError::Refused { status: 503, .. }), "{error:?}");
    assert_eq!(status(gateway.address, ""), 200, "a plain request is no session");
    drop(first);
    let second = eventually(PATIENCE, || executor.exec(&POD, ["sh", "-c", "exit 3"], OUTPUT));
    assert_eq!(second.wait().unwrap().code, 3);
}

#[test]
fn one_connection_too_many_waits() {
    let node = Program::node();
    let options = ServerOptions { max_connections: 1, ..ServerOptions::default() };
    let gateway = StdGateway::with(node.address(), options);
    let first = connect(gateway.address);
    thread::sleep(Duration::from_millis(300));
    let mut second = connect(gateway.address);
    second.write_all(b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    second.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert_eq!(second.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(first);
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_gateway_that_drains_accepts_nobody_and_ends_sessions_in_time() {
    let node = Program::node();
    let options = ServerOptions { drain_timeout: Duration::from_secs(2), ..ServerOptions::default() };
    let gateway = StdGateway::with(node.address(), options);
    let executor = Executor::new(Server::new(gateway.address.to_string()));
    let mut long = executor.exec(&POD, ["sh", "-c", "echo up; sleep 100"], OUTPUT).unwrap();
    let mut short = executor.exec(&POD, ["sh", "-c", "echo up; sleep 1; exit 3"], OUTPUT).unwrap();
    for process in [&mut long, &mut short] {
        process.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
    }
    let mut waiting = connect(gateway.address);
    thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    gateway.stop.drain();
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(short.wait().unwrap().code, 3);
    let error = long.wait().unwrap_err().to_string();
    assert!(error.contains("shutting down") || error.contains("stopp"), "{error}");
    assert!((2..20).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    let error = TcpStream::connect(gateway.address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// Upstream is not waited for on behalf of a client that is gone.
#[test]
fn a_client_that_leaves_ends_the_dialling() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = StdGateway::start(silent.local_addr().unwrap());
    let upgrade = |method: &str, headers: &str| {
        let target = "/api/v1/namespaces/default/pods/demo/exec?command=date&stdout=true";
        format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n{headers}\r\n")
    };
    let websocket = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let spdy = "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n";
    for request in [upgrade("GET", websocket), upgrade("POST", spdy)] {
        let mut client = connect(gateway.address);
        client.write_all(request.as_bytes()).unwrap();
        let (mut upstream, _) = silent.accept().unwrap();
        upstream.set_read_timeout(Some(PATIENCE)).unwrap();
        if request.starts_with("GET") {
            // The 101, and the message that the session is accepted.
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n\x82\x01\x01") {
                let mut byte = [0];
                client
                    .read_exact(&mut byte)
                    .unwrap_or_else(|error| panic!("{error}: {}", answer.escape_ascii()));
                answer.extend(byte);
            }
        }
        let started = Instant::now();
        drop(client);
        upstream.read_to_end(&mut Vec::new()).unwrap();
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
}

#[test]
fn it_does_not_serve_beyond_loopback_in_plain_text_by_itself() {
    let listener = || TcpListener::bind("0.0.0.0:0").unwrap();
    let error = Gateway::new("127.0.0.1:1").serve(listener(), &Stop::new()).unwrap_err();
    assert!(error.to_string().contains("not a loopback address"), "{error}");
    let options = ServerOptions { insecure_allow_plaintext: true, ..ServerOptions::default() };
    let stop = Stop::new();
    stop.drain();
    Gateway::new("127.0.0.1:1").with_options(options).serve(listener(), &stop).unwrap();
}
