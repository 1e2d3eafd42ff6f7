//! Port-forward of every client through a gateway on `embassy-net`, whose sessions have lanes and rings of 2 KiB: tunnels and channels are
//! translated to SPDY, SPDY is passed on.
#![cfg(feature = "port-forward")]

mod rig;

use std::io::{Read as _, Write as _};
use std::time::Duration;

use strait::k8s::Subprotocol;
use strait_embassy::Counters;
use strait_tests::{Carrier, ForwardClient, Forwards, Target, eventually, refused_port};

use crate::rig::Rig;
use crate::rig::client::{SOON, returns_to_rest, start, upgrade};

/// More than all memory of a session, less than the buffers of this host: one thread writes and reads.
const PIECE: usize = 300_000;

fn connect(rig: &Rig, forwards: Forwards, ports: &[u16]) -> ForwardClient {
    ForwardClient::connect(rig.address, forwards, ports)
}

#[track_caller]
fn closes(target: &Target) {
    eventually(SOON, || match target.open() {
        0 => Ok(()),
        open => Err(format!("{open} connections are left")),
    });
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8).collect()
}

#[test]
fn every_client_is_served() {
    let (_node, rig) = start();
    let (one, two) = (Target::echo(), Target::echo());
    let bytes = pattern(PIECE);
    for forwards in Forwards::ALL {
        let mut client = connect(&rig, forwards, &[one.port(), two.port()]);
        client.assert_echo(0, b"small");
        client.send(1, &bytes);
        client.until("all of it", |client| client.data(1).len() >= PIECE);
        assert!(client.data(1) == bytes, "another echo");
        client.assert_echo(0, b"still there");
        assert_eq!((client.error(0), client.error(1)), (String::new(), String::new()), "{forwards:?}");
        drop(client);
        closes(&one);
        closes(&two);
    }
    let Counters { completed, failed, passed_on, .. } = returns_to_rest(&rig);
    assert_eq!((completed + failed, passed_on), (4, 1), "only SPDY is passed on");
}

#[test]
fn a_half_close_arrives_and_the_answer_comes_back() {
    let (_node, rig) = start();
    let target = Target::start(|mut stream| {
        let mut question = String::new();
        let _ = stream.read_to_string(&mut question);
        let _ = write!(stream, "got {question}");
    });
    for carrier in [Carrier::Tunnel, Carrier::Spdy] {
        let mut client = connect(&rig, Forwards::Pairs(carrier), &[target.port()]);
        client.send(0, b"question");
        client.half_close(0);
        client.until("its end", |client| client.is_finished(0));
        assert_eq!(client.data(0), b"got question");
        // The session goes on.
        let next = client.open(target.port()).unwrap();
        client.half_close(next);
        client.until("its end", |client| client.is_finished(next));
        assert_eq!(client.data(next), b"got ");
    }
    returns_to_rest(&rig);
}

#[test]
fn a_refused_connection_is_told_and_others_go_on() {
    let (_node, rig) = start();
    for forwards in Forwards::ALL {
        let (refused, other) = (refused_port(), Target::echo());
        let mut client = connect(&rig, forwards, &[refused, other.port()]);
        client.until("a failure", |client| client.has_failed(0));
        let error = client.error(0);
        assert!(error.to_lowercase().contains("connection refused"), "{error}");
        client.assert_echo(1, b"goes on");
    }
    returns_to_rest(&rig);
}

#[test]
fn many_connections_share_a_session() {
    const CONNECTIONS: usize = 20;
    let (_node, rig) = start();
    let target = Target::echo();
    let ports = [target.port(); CONNECTIONS];
    for carrier in [Carrier::Tunnel, Carrier::Spdy] {
        let mut client = connect(&rig, Forwards::Pairs(carrier), &ports);
        for index in 0..CONNECTIONS {
            client.assert_echo(index, format!("number {index}").as_bytes());
        }
    }
    // A client of channels names its ports in advance, and has its memory here.
    let mut client = connect(&rig, Forwards::Channels(Subprotocol::V4), &ports[..8]);
    for index in 0..8 {
        client.assert_echo(index, format!("number {index}").as_bytes());
    }
    drop(client);
    closes(&target);
    returns_to_rest(&rig);
}

#[tokio::test]
async fn more_ports_than_there_is_memory_for_are_refused() {
    let (_node, rig) = start();
    let query = "ports=".to_owned() + &["80"; 9].join(",");
    let request = upgrade(&format!("/api/v1/namespaces/default/pods/demo/portforward?{query}"), "");
    let request = request.replace("v5.channel", "v4.channel");
    let answer = rig::client::reply(&rig, request.as_bytes()).await;
    assert_eq!(answer.get(9..12), Some("400"), "{answer}");
    returns_to_rest(&rig);
}

#[test]
fn a_node_that_is_killed_ends_all_sessions() {
    let (mut node, rig) = start();
    let target = Target::echo();
    let connect = |forwards| connect(&rig, forwards, &[target.port()]);
    let mut clients: Vec<_> = Forwards::ALL[..4].iter().map(|&forwards| connect(forwards)).collect();
    for client in &mut clients {
        client.assert_echo(0, b"begins");
    }
    node.kill();
    for client in &mut clients {
        client.until("over", ForwardClient::is_gone);
    }
    drop(clients);
    returns_to_rest(&rig);
}

#[test]
fn clients_that_vanish_with_data_on_its_way_leave_nothing_behind() {
    let (_node, rig) = start();
    let stream = Target::start(|mut stream| {
        while stream.write_all(&[7; 10_000]).is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    for forwards in Forwards::ALL {
        let mut client = connect(&rig, forwards, &[stream.port()]);
        client.until("busy", |client| client.data(0).len() > 20_000);
        drop(client);
        closes(&stream);
        returns_to_rest(&rig);
    }
}

#[tokio::test]
async fn what_upstream_says_to_a_refused_port_forward_is_the_answer() {
    let (_node, rig) = start();
    let request = upgrade("/api/v1/namespaces/default/pods/unknown/portforward?ports=80", "");
    for protocol in ["SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io"] {
        let request = request.replace("v5.channel.k8s.io", protocol);
        let answer = rig::client::reply(&rig, request.as_bytes()).await;
        assert_eq!(answer.get(9..12), Some("404"), "{answer}");
        assert!(answer.contains("unknown"), "{answer}");
    }
    assert_eq!(returns_to_rest(&rig).refused, 2);
}

#[test]
fn a_gateway_that_closes_ends_all_sessions() {
    let (_node, rig) = start();
    let target = Target::echo();
    let connect = |forwards| connect(&rig, forwards, &[target.port()]);
    let mut clients: Vec<_> = Forwards::ALL[..4].iter().map(|&forwards| connect(forwards)).collect();
    for client in &mut clients {
        client.assert_echo(0, b"begins");
    }
    rig.gateway().close();
    for client in &mut clients {
        client.until("over", ForwardClient::is_gone);
    }
    closes(&target);
    drop(clients);
    returns_to_rest(&rig);
}
