//! How servers stop, and what operators see of them.
#![cfg(target_os = "linux")]

mod rig;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rig::{Exec, Server, eventually, exec, get, refusal, soon, status, tcp};
use strait_tokio::node::Node;
use strait_tokio::{Metrics, ServerOptions, Shutdown, operations};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

async fn gateway_and_node(drain_timeout: Duration) -> (Server, Server, Metrics) {
    let node = Server::node(Node::new("demo")).await;
    let metrics = Metrics::new();
    let options = ServerOptions { drain_timeout, metrics: metrics.clone(), ..ServerOptions::default() };
    let gateway = node.behind_gateway(options).await;
    (node, gateway, metrics)
}

async fn operations_of(metrics: &Metrics, shutdown: &Shutdown) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(operations::serve(listener, metrics.clone(), shutdown.clone()));
    address
}

async fn running(gateway: &Server) -> Exec<TcpStream> {
    let mut session =
        exec(tcp(gateway.address).await, "echo ready; read line; echo got $line", &[]).await.unwrap();
    session.reads("ready\n").await;
    session
}

#[tokio::test]
async fn a_running_session_finishes_while_nothing_new_is_taken() {
    let (_node, gateway, metrics) = gateway_and_node(Duration::from_mins(1)).await;
    let operations = operations_of(&metrics, &gateway.shutdown).await;
    let mut session = running(&gateway).await;
    let mut early = tcp(gateway.address).await;
    assert_eq!(status(&get(operations, "/readyz", "").await), 200);

    gateway.shutdown.drain();
    eventually("no connection", async || TcpStream::connect(gateway.address).await.is_err()).await;
    assert_eq!(status(&get(operations, "/readyz", "").await), 503);
    assert_eq!(status(&get(operations, "/healthz", "").await), 200);
    let mut answer = String::new();
    soon("an answer", early.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(status(&answer), 503, "who was accepted before and has not asked yet");
    drop(early);

    session.send(b"word\n").await;
    let session = session.finish().await;
    assert_eq!(session.stdout, b"ready\ngot word\n");
    assert!(session.status.contains("Success"), "{}", session.status);
    gateway.stopped().await;
}

/// The close code stays 1000 behind a status: kubectl drops the status in front of any other one.
#[tokio::test]
async fn after_the_drain_timeout_the_client_gets_a_status_and_a_close() {
    let (_node, gateway, metrics) = gateway_and_node(Duration::from_millis(200)).await;
    let session = running(&gateway).await;
    let started = Instant::now();
    gateway.shutdown.drain();
    let session = session.finish().await;
    assert!(started.elapsed() >= Duration::from_millis(200), "it was given its time");
    assert!(session.status.contains("the gateway is shutting down"), "{}", session.status);
    assert_eq!(session.close, Some(CloseCode::Normal));
    gateway.stopped().await;
    assert!(metrics.to_text().contains("strait_sessions_ended_total{reason=\"shutdown\"} 1\n"));
}

#[tokio::test]
async fn a_node_that_closes_tells_its_clients() {
    let (node, gateway, _) = gateway_and_node(Duration::from_mins(1)).await;
    let session = running(&gateway).await;
    node.shutdown.close();
    let session = session.finish().await;
    assert!(session.status.contains("the node is shutting down"), "{}", session.status);
    node.stopped().await;
}

#[tokio::test]
async fn closing_does_not_wait_for_the_drain_timeout() {
    let (_node, gateway, _) = gateway_and_node(Duration::from_hours(1)).await;
    let session = running(&gateway).await;
    gateway.shutdown.drain();
    gateway.shutdown.close();
    let session = session.finish().await;
    assert!(session.status.contains("shutting down"), "{}", session.status);
    gateway.stopped().await;
}

/// Values by name and labels, as they are written.
fn parsed(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let samples = text.lines().filter(|line| !line.starts_with("# "));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
            let plain = name.split('{').next().unwrap_or_default();
            assert!(plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line:?}");
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line:?}")))
        })
        .collect()
}

#[tokio::test]
async fn metrics_tell_one_good_session_from_one_refused() {
    let (_node, gateway, metrics) = gateway_and_node(Duration::ZERO).await;
    let operations = operations_of(&metrics, &gateway.shutdown).await;
    let mut good = exec(tcp(gateway.address).await, "echo ready; cat", &[]).await.unwrap();
    good.reads("ready\n").await;
    let scrape = async || {
        let answer = get(operations, "/metrics", "").await;
        assert_eq!(status(&answer), 200);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Content-Type: application/openmetrics-text; version=1.0.0"), "{head}");
        parsed(body)
    };
    let is = async |name: &str, value: f64| scrape().await.get(name) == Some(&value);
    assert!(is("strait_sessions_active", 1.0).await);
    assert!(is("strait_connections_open", 1.0).await);
    good.half_close().await;
    good.finish().await;
    let old_version = [("Sec-WebSocket-Version", "12")];
    assert_eq!(refusal(exec(tcp(gateway.address).await, "x", &old_version).await, "x").0, 400);

    eventually("all is counted", async || is("strait_connections_open", 0.0).await).await;
    let samples = scrape().await;
    for (name, expected) in [
        ("apiserver_stream_translator_requests_total{code=\"200\"}", 1.0),
        ("apiserver_stream_translator_requests_total{code=\"400\"}", 1.0),
        (
            "apiserver_websocket_streaming_requests_total{subresource=\"exec\",proxy_type=\"translated_at_apiserver\"}",
            1.0,
        ),
        ("strait_answers_total{code=\"400\"}", 1.0),
        ("strait_connections_total", 2.0),
        ("strait_session_duration_seconds_count", 1.0),
        ("strait_sessions_active", 0.0),
        ("strait_sessions_ended_total{reason=\"completed\"}", 1.0),
        ("strait_upstream_connect_seconds_count", 1.0),
        ("strait_upstream_refused_total", 0.0),
    ] {
        assert_eq!(samples.get(name), Some(&expected), "{name} in {samples:#?}");
    }
    for leg in ["client", "upstream"] {
        for direction in ["sent", "received"] {
            let name = format!("strait_bytes_total{{leg=\"{leg}\",direction=\"{direction}\"}}");
            assert!(samples[&name] > 0.0, "{name}");
        }
    }
}

#[tokio::test]
async fn the_operations_listener_serves_nothing_else() {
    let operations = operations_of(&Metrics::new(), &Shutdown::new()).await;
    assert_eq!(status(&get(operations, "/", "").await), 404);
    let post = format!("POST /metrics HTTP/1.1\r\nHost: {operations}\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&rig::reply(tcp(operations).await, &post).await), 405);
}
