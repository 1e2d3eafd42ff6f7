//! TLS on both legs, over real sockets.
#![cfg(target_os = "linux")]

mod rig;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rig::{Ca, PATIENCE, Server, eventually, exec, reply, soon, status, tcp, tls};
use strait::Limits;
use strait_tokio::gateway::Gateway;
use strait_tokio::node::Node;
use strait_tokio::tls::{ClientTls, Identity, ServerTls};
use strait_tokio::{Metrics, ServerOptions, Upstream, UpstreamError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

fn options(tls: ServerTls) -> ServerOptions {
    ServerOptions { tls: Some(tls), ..ServerOptions::default() }
}

async fn node(tls: ServerTls) -> Server {
    Server::node(Node::new("demo").with_options(options(tls)).unwrap()).await
}

async fn gateway(tls: ServerTls, upstream: SocketAddr, upstream_tls: ClientTls) -> Server {
    let upstream = Upstream::with_tls(&format!("https://{upstream}"), upstream_tls).unwrap();
    Server::gateway(Gateway::new(upstream).with_options(options(tls)).unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_crosses_tls_with_client_certificates_on_both_legs() {
    let (ca, clients) = (Ca::new("servers"), Ca::new("clients"));
    let node = node(ca.server_tls_with_clients(&clients, true)).await;
    let identity = clients.client("gateway");
    let tls_of_gateway = ca.server_tls_with_clients(&clients, true);
    let gateway = gateway(tls_of_gateway, node.address, ca.client_tls(Some(identity))).await;

    let stream = tls(&ca.connector(Some(&clients.client("user"))), gateway.address).await.unwrap();
    let mut session = exec(stream, "cat; exit 3", &[]).await.unwrap();
    session.send(b"across").await;
    session.half_close().await;
    let session = session.finish().await;
    assert_eq!(session.stdout, b"across");
    assert!(session.status.contains("NonZeroExitCode"), "{}", session.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_the_last_byte_over_tls() {
    const SIZE: usize = 20_000_000;
    let ca = Ca::new("servers");
    let node = node(ca.server_tls()).await;
    let gateway = gateway(ca.server_tls(), node.address, ca.client_tls(None)).await;
    let stream = tls(&ca.connector(None), gateway.address).await.unwrap();
    let mut session = exec(stream, &format!("head -c {SIZE} /dev/zero; cat"), &[]).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    // All of it, while the command still waits for its input to end.
    session.reads_bytes(SIZE).await;
    session.half_close().await;
    let session = session.finish().await;
    assert_eq!(session.stdout.len(), SIZE);
    assert!(session.status.contains("Success"), "{}", session.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_of_megabytes_arrives_over_tls() {
    const SIZE: usize = 8_000_000;
    let ca = Ca::new("servers");
    let node = node(ca.server_tls()).await;
    let gateway = gateway(ca.server_tls(), node.address, ca.client_tls(None)).await;
    let stream = tls(&ca.connector(None), gateway.address).await.unwrap();
    let mut session = exec(stream, "sleep 0.3; wc -c", &[]).await.unwrap();
    let piece = vec![7; 32_000];
    for _ in 0..SIZE / piece.len() {
        session.send(&piece).await;
    }
    session.half_close().await;
    assert_eq!(session.finish().await.stdout, format!("{SIZE}\n").into_bytes());
}

#[tokio::test]
async fn clients_without_a_right_certificate_are_refused() {
    let (ca, clients, strangers) = (Ca::new("servers"), Ca::new("clients"), Ca::new("strangers"));
    let node = node(ca.server_tls_with_clients(&clients, true)).await;
    let request = format!("GET /version HTTP/1.1\r\nHost: {}\r\n\r\n", node.address);
    for identity in [None, Some(strangers.client("stranger"))] {
        // In TLS 1.3 the client hears of it only when it reads.
        if let Ok(mut stream) = tls(&ca.connector(identity.as_ref()), node.address).await {
            let mut answer = Vec::new();
            let _ = stream.write_all(request.as_bytes()).await;
            let read = soon("an end", stream.read_to_end(&mut answer)).await;
            assert!(read.is_err() && answer.is_empty(), "{identity:?}: {read:?} {answer:?}");
        }
    }
    let stream = tls(&ca.connector(Some(&clients.client("user"))), node.address).await.unwrap();
    assert_eq!(status(&reply(stream, &request).await), 200);
}

#[tokio::test]
async fn an_upstream_of_another_ca_is_an_error_status_and_never_sees_the_request() {
    let (ca, others) = (Ca::new("servers"), Ca::new("others"));
    let node = node(others.server_tls()).await;
    let gateway = gateway(ca.server_tls(), node.address, ca.client_tls(None)).await;
    let stream = tls(&ca.connector(None), gateway.address).await.unwrap();
    let session = exec(stream, "echo x", &[]).await.unwrap().finish().await;
    assert!(session.stdout.is_empty());
    assert!(session.status.contains("error dialing backend: invalid peer certificate"), "{}", session.status);
}

#[tokio::test]
async fn an_unverified_upstream_is_taken_only_if_that_was_said() {
    let (ca, others) = (Ca::new("servers"), Ca::new("others"));
    let node = node(others.server_tls()).await;
    let anybody = ClientTls { insecure_skip_verify: true, ..ClientTls::default() };
    let gateway = gateway(ca.server_tls(), node.address, anybody).await;
    let stream = tls(&ca.connector(None), gateway.address).await.unwrap();
    let session = exec(stream, "echo x", &[]).await.unwrap().finish().await;
    assert_eq!(session.stdout, b"x\n");
}

#[tokio::test]
async fn the_name_in_upstreams_certificate_is_checked() {
    let ca = Ca::new("servers");
    let node = node(ca.server_tls()).await;
    for (name, good) in [("localhost", true), ("elsewhere.example", false)] {
        let tls_of_client = ClientTls { server_name: Some(name.into()), ..ca.client_tls(None) };
        let gateway = gateway(ca.server_tls(), node.address, tls_of_client).await;
        let stream = tls(&ca.connector(None), gateway.address).await.unwrap();
        let session = exec(stream, "echo x", &[]).await.unwrap().finish().await;
        assert_eq!(session.stdout == b"x\n", good, "{name}: {}", session.status);
    }
}

#[tokio::test]
async fn plain_requests_cross_tls_too() {
    let ca = Ca::new("servers");
    let node = node(ca.server_tls()).await;
    let gateway = gateway(ca.server_tls(), node.address, ca.client_tls(None)).await;
    let stream = tls(&ca.connector(None), gateway.address).await.unwrap();
    let answer = reply(stream, "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.contains("gitVersion"), "{answer}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() {
    let ca = Ca::new("servers");
    let node = node(ca.server_tls()).await;
    let shown = async || {
        let stream = tls(&ca.connector(None), node.address).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let first = shown().await;

    ca.write("server.pem", "no certificate\n");
    sleep(Duration::from_millis(2100)).await;
    assert_eq!(shown().await, first, "the broken file");

    let Identity { certificate, .. } = ca.server("server");
    let renewed = std::fs::read(&certificate).unwrap();
    eventually("the renewed certificate", async || shown().await != first).await;
    assert_eq!(std::fs::read(&certificate).unwrap(), renewed);
    assert_eq!(shown().await, shown().await);
}

#[tokio::test]
async fn the_time_for_the_handshake_includes_tls() {
    let ca = Ca::new("servers");
    let metrics = Metrics::new();
    let options = ServerOptions { metrics: metrics.clone(), ..options(ca.server_tls()) };
    let limits = Limits { handshake: Duration::from_millis(300), ..Limits::HOST };
    let node = Server::node(Node::new("demo").with_limits(limits).with_options(options).unwrap()).await;
    let mut silent = tcp(node.address).await;
    assert_eq!(soon("the end", silent.read(&mut [0; 16])).await.unwrap(), 0);
    let mut mute = tls(&ca.connector(None), node.address).await.unwrap();
    let mut answer = String::new();
    let _ = soon("the end", mute.read_to_string(&mut answer)).await;
    assert_eq!(status(&answer), 408);
    let text = metrics.to_text();
    assert!(text.contains("strait_limits_hit_total{limit=\"handshake_time\"} 2\n"), "{text}");
}

#[tokio::test]
async fn a_request_without_tls_gets_nothing_from_a_server_with_it() {
    let ca = Ca::new("servers");
    let metrics = Metrics::new();
    let options = ServerOptions { metrics: metrics.clone(), ..options(ca.server_tls()) };
    let node = Server::node(Node::new("demo").with_options(options).unwrap()).await;
    let mut stream = tcp(node.address).await;
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut answer).await;
    };
    soon("the end", exchange).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(metrics.to_text().contains("strait_tls_failures_total 1\n"));
}

#[tokio::test]
async fn alpn_is_http_1_1_and_nothing_else() {
    let ca = Ca::new("servers");
    let node = node(ca.server_tls()).await;
    for (offered, good) in [(&["h2", "http/1.1"][..], true), (&["h2"], false), (&[], true)] {
        let connector = ca.connector(None);
        let mut config = (**connector.config()).clone();
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = tls(&Arc::new(config).into(), node.address).await;
        assert_eq!(stream.is_ok(), good, "{offered:?}");
        if let Ok(stream) = stream {
            let chosen = stream.get_ref().1.alpn_protocol();
            assert_eq!(chosen, (!offered.is_empty()).then_some(&b"http/1.1"[..]));
        }
    }
}

#[tokio::test]
async fn options_for_tls_without_tls_are_an_error() {
    let ca = Ca::new("servers");
    let result = Upstream::with_tls("http://127.0.0.1:1", ca.client_tls(None));
    assert!(matches!(result, Err(UpstreamError::TlsIgnored)));
    let mixed = Identity { key: ca.server("other").key, ..ca.server("server") };
    let result = Gateway::new(Upstream::parse("http://127.0.0.1:1").unwrap())
        .with_options(options(ServerTls { identity: mixed, clients: None }));
    assert!(result.is_err(), "a key that does not fit its certificate");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_execs_over_tls_with_a_token() {
    let kubectl = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
    if let Err(error) = tokio::process::Command::new(&kubectl).arg("--help").output().await {
        assert!(std::env::var_os("STRAIT_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{error}");
        // Not `eprintln`: the test harness would swallow it.
        let _ = writeln!(std::io::stderr(), "SKIPPED: cannot run {}: {error}", kubectl.display());
        return;
    }
    let ca = Ca::new("servers");
    let token = ca.write("token", "letmein\n");
    let node = Node::new("demo").with_options(options(ca.server_tls())).unwrap();
    let node = Server::node(node.with_token_file(&token).unwrap()).await;
    let gateway = gateway(ca.server_tls(), node.address, ca.client_tls(None)).await;
    for (token, code, expected) in [("letmein", 7, "over TLS\n"), ("wrong", 1, "")] {
        let mut command = tokio::process::Command::new(&kubectl);
        command.arg(format!("--server=https://{}", gateway.address)).arg(format!("--token={token}"));
        command.arg("--certificate-authority").arg(&ca.file);
        command.args(["exec", "demo", "--", "sh", "-c", "echo over TLS; exit 7"]);
        command.env("HOME", ca.directory.path()).env("KUBECONFIG", ca.directory.path().join("none"));
        for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            command.env_remove(variable);
        }
        let output = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output());
        let output = output.await.expect("kubectl never ended").unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
    assert_eq!(status(&get_over_tls(&ca, gateway.address).await), 401);
}

async fn get_over_tls(ca: &Ca, address: SocketAddr) -> String {
    let stream = tls(&ca.connector(None), address).await.unwrap();
    reply(stream, &format!("GET /version HTTP/1.1\r\nHost: {address}\r\n\r\n")).await
}
