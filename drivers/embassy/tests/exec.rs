//! A node's commands through a gateway on `embassy-net`, whose sessions have lanes and rings of 2 KiB.

mod rig;

use std::time::Duration;

use strait::k8s::{Channel, Subprotocol};
use strait_tests::{Dialect, End, Exec, Said, Server, Transcript, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::rig::Rig;
use crate::rig::client::{SOON, V5, exit, reply, returns_to_rest, run, shell, start, upgrade};

/// Bytes that show where they belong.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[tokio::test]
async fn both_streams_stay_apart_and_the_exit_code_arrives() {
    let (_node, rig) = start();
    let transcript = run(&rig, "echo out; echo err >&2; exit 7").await;
    assert_eq!((&transcript.stdout[..], &transcript.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!((exit(&transcript), transcript.end), (7, End::Clean));
    let counters = returns_to_rest(&rig);
    assert_eq!((counters.completed, counters.failed, counters.output), (1, 0, 8));
}

#[tokio::test]
async fn a_command_that_is_not_there_is_an_error() {
    let (_node, rig) = start();
    let session = Exec::command(&["/no/such/program"]).open(rig.address, V5).await.unwrap();
    let transcript = session.finish().await.unwrap();
    assert_eq!(transcript.status().unwrap()["status"], "Failure");
    assert_eq!(transcript.end, End::Clean);
}

#[tokio::test]
async fn frames_larger_than_all_memory_stream_through_it_unchanged() {
    let (_node, rig) = start();
    let mut session = shell(&rig, "cat").await;
    let sent = pattern(3 << 20);
    let mut received = Transcript::default();
    for frame in sent.chunks(1 << 20) {
        // A frame of 1 MiB is not taken whole before some of it has come back.
        let mut is_taken = session.try_send(frame, Duration::from_millis(20)).await.unwrap();
        while !is_taken {
            received.add(session.next().await.unwrap()).unwrap();
            is_taken = session.try_send(&[], Duration::from_millis(20)).await.unwrap();
        }
    }
    session.half_close().await.unwrap();
    while received.add(session.next().await.unwrap()).unwrap() {}
    assert!(received.stdout == sent, "{} bytes of {}", received.stdout.len(), sent.len());
    assert_eq!((exit(&received), received.end), (0, End::Clean));
    assert_eq!(returns_to_rest(&rig).stdin, 3 << 20);
}

#[tokio::test]
async fn all_output_comes_before_the_status() {
    let (_node, rig) = start();
    let transcript = run(&rig, "head -c 10000000 /dev/zero; echo the last line; exit 3").await;
    assert_eq!(transcript.stdout.len(), 10_000_014);
    assert!(transcript.stdout.ends_with(b"\0the last line\n"));
    assert_eq!(exit(&transcript), 3);
}

#[tokio::test]
async fn a_client_that_reads_late_loses_nothing() {
    let (_node, rig) = start();
    let mut session = Exec::script("head -c 3000000 /dev/zero")
        .with_receive_buffer(4096)
        .open(rig.address, V5)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut count = 0;
    while let Said::Data(channel, bytes) = session.next().await.unwrap() {
        count += if channel == Channel::STDOUT { bytes.len() } else { 0 };
    }
    assert_eq!(count, 3_000_000);
}

#[tokio::test]
async fn a_terminal_has_its_size() {
    let (_node, rig) = start();
    let exec = Exec::script("read line; stty size; exit 4").on_terminal();
    let mut session = exec.open(rig.address, V5).await.unwrap();
    session.resize(91, 37).await.unwrap();
    session.send(b"go\n").await.unwrap();
    let transcript = session.finish().await.unwrap();
    let printed = String::from_utf8_lossy(&transcript.stdout);
    assert!(printed.contains("37 91"), "{printed}");
    assert_eq!(exit(&transcript), 4);
}

#[tokio::test]
async fn every_protocol_of_clients_is_served() {
    let (_node, rig) = start();
    let websocket = [
        Subprotocol::V5,
        Subprotocol::V4,
        Subprotocol::V4Base64,
        Subprotocol::V1,
        Subprotocol::V1Base64,
        Subprotocol::None,
    ];
    let dialects = websocket
        .map(Dialect::WebSocket)
        .into_iter()
        .chain([Dialect::Spdy(Subprotocol::V4), Dialect::Spdy(Subprotocol::V1)])
        .filter(|dialect| cfg!(feature = "pass-on") || matches!(dialect, Dialect::WebSocket(_)));
    for dialect in dialects {
        let session = Exec::script("echo hello; head -c 100000 /dev/zero").open(rig.address, dialect).await;
        let transcript = session.unwrap().finish().await.unwrap();
        assert_eq!(transcript.stdout.len(), 100_006, "{dialect:?}");
        assert!(transcript.stdout.starts_with(b"hello\n\0"), "{dialect:?}");
    }
    let counters = returns_to_rest(&rig);
    let passed_on = if cfg!(feature = "pass-on") { 2 } else { 0 };
    assert_eq!((counters.completed, counters.passed_on), (6, passed_on), "{counters:?}");
}

#[tokio::test]
async fn four_sessions_run_at_a_time() {
    let (_node, rig) = start();
    let mut sessions = Vec::new();
    for number in 0..4 {
        let mut session = shell(&rig, &format!("read line; echo {number} $line; cat")).await;
        session.send(format!("line {number}\n").as_bytes()).await.unwrap();
        sessions.push(session);
    }
    for (number, session) in sessions.iter_mut().enumerate() {
        assert_eq!(session.line().await.unwrap(), format!("{number} line {number}"));
    }
    for mut session in sessions {
        session.half_close().await.unwrap();
        assert_eq!(exit(&session.finish().await.unwrap()), 0);
    }
    assert_eq!(returns_to_rest(&rig).completed, 4);
}

#[tokio::test]
async fn sessions_one_after_the_other_leave_nothing_behind() {
    let (_node, rig) = start();
    for number in 0..100 {
        let transcript = run(&rig, &format!("echo {number}")).await;
        assert_eq!(transcript.stdout, format!("{number}\n").as_bytes(), "{transcript:?}");
        assert_eq!(exit(&transcript), 0);
    }
    let counters = returns_to_rest(&rig);
    assert_eq!((counters.connections, counters.completed, counters.failed), (100, 100, 0));
}

#[tokio::test]
async fn a_client_that_vanishes_ends_its_command() {
    let (node, rig) = start();
    let before = node.children().len();
    let mut session = shell(&rig, "echo ready; cat").await;
    assert_eq!(session.line().await.unwrap(), "ready");
    assert_eq!(node.children().len(), before + 1);
    drop(session);
    eventually(SOON, || match node.children().len() - before {
        0 => Ok(()),
        running => Err(format!("{running} commands run on")),
    });
    assert_eq!(returns_to_rest(&rig).failed, 1);
    assert_eq!(exit(&run(&rig, "exit 5").await), 5);
}

#[tokio::test]
async fn an_upstream_that_vanishes_is_an_error_for_the_client() {
    let (mut node, rig) = start();
    let mut session = shell(&rig, "echo ready; cat").await;
    assert_eq!(session.line().await.unwrap(), "ready");
    node.kill();
    let transcript = session.finish().await.unwrap();
    assert_eq!(transcript.status().unwrap()["status"], "Failure");
    assert_eq!(returns_to_rest(&rig).failed, 1);
    // The next one gets its 101, and is told.
    let transcript = run(&rig, "true").await;
    let status = transcript.status().unwrap();
    assert_eq!((&status["code"], transcript.end), (&500.into(), End::Clean), "{status}");
}

#[tokio::test]
async fn what_upstream_says_to_a_refused_upgrade_reaches_the_client() {
    let (_node, rig) = start();
    let request = upgrade("/api/v1/namespaces/default/pods/unknown/exec?command=date&stdout=true", "");
    let mut io = TcpStream::connect(rig.address).await.unwrap();
    io.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(3), io.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("\"code\":404"), "{answer}");
}

#[cfg(not(feature = "pass-on"))]
#[tokio::test]
async fn what_would_be_passed_on_is_refused() {
    let (_node, rig) = start();
    let pod = "/api/v1/namespaces/default/pods/demo";
    let spdy = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n";
    for request in [
        format!("GET {pod} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("POST {pod}/exec?command=date&stdout=true HTTP/1.1\r\nHost: a\r\n{spdy}\r\n"),
        upgrade(&format!("{pod}/portforward?ports=80"), ""),
    ] {
        assert_eq!(reply(&rig, request.as_bytes()).await.get(9..12), Some("501"), "{request}");
    }
    assert_eq!(returns_to_rest(&rig).refused, 3);
    assert_eq!(exit(&run(&rig, "exit 6").await), 6);
}

#[cfg(feature = "pass-on")]
#[tokio::test]
async fn a_plain_request_is_passed_on_with_exactly_its_body() {
    let (_node, rig) = start();
    let answer =
        reply(&rig, b"GET /api/v1/namespaces/default/pods/demo HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"kind\":\"Pod\""), "{answer}");
    let smuggled = b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabcGET /readyz HTTP/1.1\r\n\r\n";
    let answer = reply(&rig, smuggled).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert_eq!(returns_to_rest(&rig).plain, 2);
}

#[cfg(feature = "pass-on")]
#[tokio::test]
async fn what_is_no_request_is_answered_and_forgotten() {
    let (_node, rig) = start();
    let refused: [(&[u8], &str); 6] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        (b"GET /exec/default/demo/main?command=a HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "411"),
        (&[b"GET / HTTP/1.1\r\nA: ".as_slice(), &[b'a'; 3000]].concat(), "431"),
        (&[b"GET / HTTP/1.1\r\n".as_slice(), &b"A: b\r\n".repeat(40), b"\r\n"].concat(), "431"),
    ];
    for (bytes, status) in refused {
        let answer = reply(&rig, bytes).await;
        assert_eq!(answer.get(9..12), Some(status), "{answer:?} to {}", bytes.escape_ascii());
    }
    let page = upgrade(
        "/api/v1/namespaces/default/pods/demo/exec?command=date&stdout=true",
        "Origin: http://evil\r\n",
    );
    assert_eq!(reply(&rig, page.as_bytes()).await.get(9..12), Some("403"));
    assert_eq!(returns_to_rest(&rig).refused, 7);
    assert_eq!(exit(&run(&rig, "exit 6").await), 6);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_sent_away() {
    let node = Server::node();
    let rig =
        Rig::start_with(node.address(), |options| options.limits.handshake = Duration::from_millis(300));
    assert_eq!(reply(&rig, b"GET / HT").await.get(9..12), Some("408"));
    returns_to_rest(&rig);
}

#[tokio::test]
async fn an_upstream_that_says_nothing_is_given_up() {
    // It listens, and nobody accepts.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = Rig::start_with(silent.local_addr().unwrap(), |options| {
        options.limits.handshake = Duration::from_millis(500);
    });
    let transcript = run(&rig, "true").await;
    assert_eq!(transcript.status().unwrap()["status"], "Failure");
    returns_to_rest(&rig);
}

#[tokio::test]
async fn a_gateway_that_closes_tells_its_clients() {
    let (_node, rig) = start();
    let mut session = shell(&rig, "echo ready; cat").await;
    assert_eq!(session.line().await.unwrap(), "ready");
    rig.gateway().drain();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(Exec::script("true").open(rig.address, V5).await.is_err(), "nobody new is let in");
    session.send(b"still here\n").await.unwrap();
    assert_eq!(session.line().await.unwrap(), "still here");
    rig.gateway().close();
    let transcript = session.finish().await.unwrap();
    let message = transcript.status().unwrap()["message"].to_string();
    assert!(message.contains("shutting down"), "{message}");
    timeout(SOON, rig.gateway().drained()).await.unwrap();
}

#[tokio::test]
async fn upstreams_heartbeat_keeps_an_idle_session_alive() {
    let node = Server::node();
    let rig = Rig::start_with(node.address(), |options| {
        options.limits.ping_interval = Duration::from_millis(100);
        options.limits.peer_timeout = Duration::from_millis(500);
    });
    let mut session = shell(&rig, "cat").await;
    session.stays_silent(Duration::from_secs(2)).await.ok();
    session.send(b"alive\n").await.unwrap();
    assert_eq!(session.line().await.unwrap(), "alive");
    session.half_close().await.unwrap();
    assert_eq!(exit(&session.finish().await.unwrap()), 0);
}
