//! The blocking port-forward: in a tunnel, over SPDY, and fallen back, to a node directly and through gateways.
#![cfg(target_os = "linux")]

mod rig;

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use strait::Limits;
use strait_std::client::{ConnectError, Executor, Forwarded, Pod, Server, SessionError, Transport};
use strait_tests::{Script, Server as Program, Target, refused_port, reset};

use rig::{Wire, ways};

const POD: Pod<'static> = Pod { namespace: "default", name: "demo", container: None };

/// Nothing of a connection takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

fn executor(address: SocketAddr, transport: Transport) -> Executor {
    Executor::new(Server::new(address.to_string())).with_transport(transport)
}

#[track_caller]
fn open(executor: &Executor, port: u16) -> Forwarded {
    let forwarded = executor.port_forward(&POD, port).expect("an upgrade").spawn().expect("a thread");
    forwarded.stream().set_read_timeout(Some(PATIENCE)).unwrap();
    forwarded.stream().set_write_timeout(Some(PATIENCE)).unwrap();
    forwarded
}

/// What comes until the end.
#[track_caller]
fn rest(forwarded: &mut Forwarded) -> Vec<u8> {
    let mut bytes = Vec::new();
    forwarded.read_to_end(&mut bytes).expect("an end");
    bytes
}

/// Waits until a target has so many connections.
#[track_caller]
fn becomes(target: &Target, open: usize) {
    strait_tests::eventually(PATIENCE, || match target.open() {
        now if now == open => Ok(()),
        other => Err(format!("{other} are open, not {open}")),
    });
}

fn pattern(len: u32) -> Vec<u8> {
    (0..len).map(|at| (at * 7 / 3) as u8).collect()
}

#[test]
fn bytes_and_half_closes_cross_every_way() {
    let echo = Target::echo();
    let sent = pattern(3_000_000);
    for way in ways() {
        let executor = executor(way.address(), way.transport);
        let mut forwarded = open(&executor, echo.port());
        let mut writer = forwarded.stream().try_clone().unwrap();
        let written = sent.clone();
        let writing = thread::spawn(move || {
            writer.write_all(&written).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let got = rest(&mut forwarded);
        assert!(got == sent, "{}: {} bytes", way.name, got.len());
        writing.join().unwrap();
        forwarded.result().unwrap_or_else(|error| panic!("{}: {error}", way.name));
    }
}

/// Nothing of a node's tunnel when it has none.
#[test]
fn each_dial_falls_back_for_itself() {
    let echo = Target::echo();
    let node = Program::node_with(&["--websocket-protocols", ""]);
    let both = Program::node();
    for (node, expected) in [(&node, Transport::Spdy), (&both, Transport::WebSocket)] {
        let executor = executor(node.address(), Transport::Fallback);
        for _ in 0..2 {
            let forwarding = executor.port_forward(&POD, echo.port()).unwrap();
            assert_eq!(forwarding.transport(), expected);
            let mut forwarded = forwarding.spawn().unwrap();
            forwarded.write_all(b"hello").unwrap();
            forwarded.shutdown().unwrap();
            assert_eq!(rest(&mut forwarded), b"hello");
            forwarded.result().unwrap();
        }
    }
    let script = Script::start(|_| "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".into());
    let error = executor(script.address(), Transport::Fallback).port_forward(&POD, 80).unwrap_err();
    assert!(matches!(&error, ConnectError::Refused { status: 403, message } if message == "no"), "{error:?}");
    let heads = script.heads();
    assert_eq!(script.methods(), ["GET", "POST"]);
    assert!(heads[0].contains("Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n"), "{heads:?}");
    assert!(heads[1].contains("X-Stream-Protocol-Version: portforward.k8s.io\r\n"), "{heads:?}");
}

#[test]
fn a_half_closed_connection_goes_on_in_the_other_direction() {
    // Each end ends its half first, and the other one goes on for a while.
    let late = Target::start(|mut stream| {
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        thread::sleep(Duration::from_millis(1500));
        let _ = stream.write_all(&got);
    });
    let early = Target::start(|mut stream| {
        stream.write_all(b"first").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"and last");
    });
    let node = Program::node();
    for transport in [Transport::WebSocket, Transport::Spdy] {
        let executor = executor(node.address(), transport);
        let mut forwarded = open(&executor, late.port());
        forwarded.write_all(b"asked").unwrap();
        forwarded.shutdown().unwrap();
        assert_eq!(rest(&mut forwarded), b"asked", "{transport}");
        forwarded.result().unwrap();

        let mut forwarded = open(&executor, early.port());
        assert_eq!(rest(&mut forwarded), b"first", "{transport}");
        thread::sleep(Duration::from_millis(500));
        forwarded.write_all(b"and last").unwrap();
        forwarded.shutdown().unwrap();
        becomes(&early, 0);
        forwarded.result().unwrap();
    }
}

#[test]
fn a_port_that_refuses_says_so_and_a_target_that_resets_is_an_error() {
    let resetting = Target::start(|mut stream| {
        stream.read_exact(&mut [0; 3]).unwrap();
        reset(stream);
    });
    for way in ways() {
        let executor = executor(way.address(), way.transport);
        let mut forwarded = open(&executor, refused_port());
        assert_eq!(rest(&mut forwarded), b"", "{}", way.name);
        let error = forwarded.result().unwrap_err();
        let SessionError::Failed { message, .. } = &error else { panic!("{}: {error:?}", way.name) };
        assert!(message.contains("refused"), "{}: {message}", way.name);

        let mut forwarded = open(&executor, resetting.port());
        forwarded.write_all(b"now").unwrap();
        rest(&mut forwarded);
        let error = forwarded.result().unwrap_err();
        assert!(matches!(error, SessionError::Failed { .. }), "{}: {error:?}", way.name);
    }
}

/// Everything that a reader has not taken waits where it is, and none of it is lost, however late it reads.
#[test]
fn a_slow_reader_gets_all_and_holds_nobody_else_up() {
    let many = pattern(30_000_000);
    let sent = many.clone();
    let source = Target::start(move |mut stream| {
        let _ = stream.write_all(&sent);
        let _ = stream.shutdown(Shutdown::Write);
    });
    let echo = Target::echo();
    let node = Program::node();
    let limits = Limits {
        ping_interval: Duration::from_millis(100),
        peer_timeout: Duration::from_millis(500),
        ..Limits::HOST
    };
    for transport in [Transport::WebSocket, Transport::Spdy] {
        let executor = executor(node.address(), transport).with_limits(limits);
        let mut slow = open(&executor, source.port());
        thread::sleep(Duration::from_millis(1500));
        let started = Instant::now();
        let mut quick = open(&executor, echo.port());
        quick.write_all(b"quick").unwrap();
        quick.shutdown().unwrap();
        assert_eq!(rest(&mut quick), b"quick");
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        slow.shutdown().unwrap();
        let got = rest(&mut slow);
        assert!(got == many, "{transport}: {} bytes", got.len());
        slow.result().unwrap();
    }
}

#[test]
fn a_lost_connection_is_an_error_and_so_is_a_silent_one() {
    let echo = Target::echo();
    let node = Program::node();
    for transport in [Transport::WebSocket, Transport::Spdy] {
        let wire = Wire::to(node.address());
        let mut forwarded = open(&executor(wire.address, transport), echo.port());
        forwarded.write_all(b"hello").unwrap();
        forwarded.read_exact(&mut [0; 5]).unwrap();
        wire.cut();
        assert_eq!(rest(&mut forwarded), b"");
        let error = forwarded.result().unwrap_err();
        assert!(matches!(error, SessionError::Lost { .. }), "{transport}: {error:?}");
    }
    let silent = Script::start(|_| strait_tests::SPDY_101.replace("v4.channel", "portforward"));
    let limits = Limits {
        ping_interval: Duration::from_millis(50),
        peer_timeout: Duration::from_millis(300),
        ..Limits::HOST
    };
    let executor = executor(silent.address(), Transport::Spdy);
    let forwarded = executor.clone().with_limits(limits).port_forward(&POD, 80).unwrap().spawn().unwrap();
    let mut stream = forwarded.stream().try_clone().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let error = forwarded.result().unwrap_err();
    assert!(matches!(error, SessionError::Silent), "{error:?}");
    let limits = Limits { stream_creation: Duration::from_millis(300), ..Limits::HOST };
    let mut forwarded = open(&executor.with_limits(limits), 80);
    assert_eq!(rest(&mut forwarded), b"");
    let error = forwarded.result().unwrap_err();
    assert!(matches!(error, SessionError::StreamCreationTimeout), "{error:?}");
}

/// What its user leaves, the target hears of, and nothing is left behind.
#[test]
fn a_connection_that_is_dropped_ends_at_the_target() {
    let endless = Target::start(|mut stream| while stream.write_all(&[7; 1024]).is_ok() {});
    let quiet = Target::start(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
        // It has ended its half only when nobody reads the other one any more.
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let node = Program::node();
    for transport in [Transport::WebSocket, Transport::Spdy] {
        for target in [&endless, &quiet] {
            let mut forwarded = open(&executor(node.address(), transport), target.port());
            forwarded.write_all(b"hello").unwrap();
            becomes(target, 1);
            drop(forwarded);
            becomes(target, 0);
        }
    }
}

/// The ten lines of the documentation: a listener, and a thread for each connection.
#[test]
fn connections_of_a_listener_are_joined() {
    let echo = Target::echo();
    let node = Program::node();
    let executor = executor(node.address(), Transport::Fallback);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let port = echo.port();
    let serving: JoinHandle<io::Result<()>> = thread::spawn(move || {
        for _ in 0..8 {
            let (local, executor) = (listener.accept()?.0, executor.clone());
            thread::spawn(move || executor.port_forward(&POD, port).unwrap().join(local).unwrap());
        }
        Ok(())
    });
    let clients = (0..8_u32).map(|number| {
        thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let sent = pattern(100_000 + number);
            let mut writer = stream.try_clone().unwrap();
            let written = sent.clone();
            let writing = thread::spawn(move || {
                writer.write_all(&written).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            assert!(got == sent, "{} bytes", got.len());
            writing.join().unwrap();
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        client.join().unwrap();
    }
    serving.join().unwrap().unwrap();
}
