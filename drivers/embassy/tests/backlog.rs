//! More clients at once than a gateway on `embassy-net` serves at a time.

mod rig;

use std::time::Duration;

use strait_tests::{Exec, Server};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::rig::client::{SOON, V5, exit, reply, returns_to_rest, run, shell, start};
use crate::rig::{CLIENTS, CONNECTIONS, Rig};

#[tokio::test]
async fn clients_that_come_at_once_are_all_served() {
    let (_node, rig) = start();
    for round in 1..=5 {
        let mut running = JoinSet::new();
        for number in 0..CLIENTS {
            let address = rig.address;
            running.spawn(async move {
                let exec = Exec::script(&format!("echo {number}; sleep 0.02"));
                (number, exec.open(address, V5).await.unwrap().finish().await.unwrap())
            });
        }
        while let Some(ran) = running.join_next().await {
            let (number, transcript) = ran.unwrap();
            assert_eq!(transcript.stdout, format!("{number}\n").as_bytes());
            assert_eq!(exit(&transcript), 0);
        }
        let counters = returns_to_rest(&rig);
        assert_eq!((counters.completed as usize, counters.refused), (round * CLIENTS, 0), "{counters:?}");
    }
}

#[tokio::test]
async fn clients_for_whom_there_is_no_place_ask_again() {
    let (_node, rig) = start();
    let mut running = JoinSet::new();
    for number in 0..3 * CLIENTS {
        let address = rig.address;
        running.spawn(async move {
            let exec = Exec::script(&format!("echo {number}"));
            (number, exec.open(address, V5).await.unwrap().finish().await.unwrap())
        });
    }
    while let Some(ran) = running.join_next().await {
        let (number, transcript) = ran.unwrap();
        assert_eq!(transcript.stdout, format!("{number}\n").as_bytes());
    }
    assert_eq!(returns_to_rest(&rig).completed as usize, 3 * CLIENTS);
}

#[tokio::test]
async fn a_client_waits_until_another_one_has_ended() {
    let (_node, rig) = start();
    let mut sessions = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut session = shell(&rig, "echo ready; cat").await;
        assert_eq!(session.line().await.unwrap(), "ready");
        sessions.push(session);
    }
    let mut waiting = Box::pin(run(&rig, "echo at last"));
    assert!(timeout(Duration::from_millis(500), &mut waiting).await.is_err(), "nobody is free");
    sessions.pop().unwrap().half_close().await.unwrap();
    assert_eq!(timeout(SOON, waiting).await.unwrap().stdout, b"at last\n");
}

#[tokio::test]
async fn a_client_for_which_nobody_is_free_in_time_is_told() {
    let node = Server::node();
    let rig = Rig::start_with(node.address(), |options| options.limits.handshake = Duration::from_secs(3));
    let mut sessions = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut session = shell(&rig, "echo ready; cat").await;
        assert_eq!(session.line().await.unwrap(), "ready");
        sessions.push(session);
    }
    let answer = reply(&rig, b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("are busy"), "{answer}");
    assert_eq!(rig.counters().refused, 1);
    for mut session in sessions {
        session.half_close().await.unwrap();
        assert_eq!(exit(&session.finish().await.unwrap()), 0);
    }
    assert_eq!(exit(&run(&rig, "exit 8").await), 8);
    returns_to_rest(&rig);
}

#[tokio::test]
async fn clients_that_say_nothing_keep_nobody_from_being_served() {
    const SILENT: usize = CLIENTS / 2;
    const { assert!(SILENT > CONNECTIONS) }
    let (_node, rig) = start();
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(rig.address).await.unwrap());
    }
    sleep(Duration::from_millis(100)).await;
    for code in 0..10 {
        assert_eq!(exit(&run(&rig, &format!("exit {code}")).await), code);
    }
    drop(silent);
    assert_eq!(returns_to_rest(&rig).connections as usize, SILENT + 10);
}

#[tokio::test]
async fn clients_that_leave_while_they_wait_leave_nothing_behind() {
    let (_node, rig) = start();
    let mut sessions = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut session = shell(&rig, "echo ready; cat").await;
        assert_eq!(session.line().await.unwrap(), "ready");
        sessions.push(session);
    }
    for _ in 0..CLIENTS - CONNECTIONS {
        let waiting = run(&rig, "echo never");
        assert!(timeout(Duration::from_millis(100), waiting).await.is_err());
    }
    drop(sessions);
    returns_to_rest(&rig);
    assert_eq!(exit(&run(&rig, "exit 9").await), 9);
}
