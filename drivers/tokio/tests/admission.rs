//! Who gets in, and how many.
#![cfg(target_os = "linux")]

mod rig;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use rig::{Ca, Server, eventually, exec, get, refusal, reply, soon, status, tcp, tls};
use strait::Limits;
use strait_tokio::gateway::Gateway;
use strait_tokio::node::Node;
use strait_tokio::{Exposed, Metrics, ServerOptions, Shutdown, Upstream, operations};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

async fn open_node() -> Server {
    Server::node(Node::new("demo")).await
}

#[tokio::test]
async fn a_node_with_a_token_answers_nobody_without_it() {
    let ca = Ca::new("none");
    let token = ca.write("token", "letmein\n");
    let node = Server::node(Node::new("demo").with_token_file(&token).unwrap()).await;
    for wrong in ["", "Authorization: Bearer wrong\r\n", "Authorization: Basic letmein\r\n"] {
        let answer = get(node.address, "/version", wrong).await;
        assert_eq!(status(&answer), 401, "{wrong:?}");
        assert!(answer.contains("\r\nWWW-Authenticate: Bearer\r\n"), "{answer}");
        assert!(answer.contains("\"reason\":\"Unauthorized\""), "{answer}");
    }
    let right = "Authorization: Bearer letmein\r\n";
    assert_eq!(status(&get(node.address, "/version", right).await), 200);

    ca.write("token", "changed\n");
    eventually("the changed token", async || status(&get(node.address, "/version", right).await) == 401)
        .await;
}

#[tokio::test]
async fn a_session_through_a_gateway_needs_the_nodes_token() {
    let ca = Ca::new("none");
    let token = ca.write("token", "letmein");
    let node = Server::node(Node::new("demo").with_token_file(&token).unwrap()).await;
    let gateway = node.behind_gateway(ServerOptions::default()).await;
    let right = [("Authorization", "Bearer letmein")];
    let session = exec(tcp(gateway.address).await, "echo in", &right).await.unwrap().finish().await;
    assert_eq!(session.stdout, b"in\n");
    let browser = "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.bGV0bWVpbg";
    let browser = [("Sec-WebSocket-Protocol", browser)];
    let session = exec(tcp(gateway.address).await, "echo in", &browser).await.unwrap().finish().await;
    assert_eq!(session.stdout, b"in\n", "{}", session.status);
    let session = exec(tcp(gateway.address).await, "echo in", &[]).await.unwrap().finish().await;
    assert!(session.stdout.is_empty());
    assert!(session.status.contains("\"code\":401"), "{}", session.status);
}

#[tokio::test]
async fn a_client_certificate_stands_for_the_token_unless_all_have_to_show_one() {
    let (ca, clients) = (Ca::new("servers"), Ca::new("clients"));
    let token = ca.write("token", "letmein");
    let user = clients.client("user");
    for (required, with_both, with_certificate) in [(false, 200, 200), (true, 200, 401)] {
        let tls_of_node = ca.server_tls_with_clients(&clients, required);
        let options = ServerOptions { tls: Some(tls_of_node), ..ServerOptions::default() };
        let node = Node::new("demo").with_options(options).unwrap().with_token_file(&token).unwrap();
        let node = Server::node(node).await;
        for (header, expected) in [("Authorization: Bearer letmein\r\n", with_both), ("", with_certificate)] {
            let stream = tls(&ca.connector(Some(&user)), node.address).await.unwrap();
            let request = format!("GET /version HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
            assert_eq!(status(&reply(stream, &request).await), expected, "{required} {header:?}");
        }
        if !required {
            let stream = tls(&ca.connector(None), node.address).await.unwrap();
            let request = "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n";
            assert_eq!(status(&reply(stream, request).await), 401);
        }
    }
}

/// Covers: RFC6455-4.2.2-4
#[tokio::test]
async fn web_pages_of_other_origins_are_refused_by_gateway_and_node() {
    let node = open_node().await;
    let allowed_origins = vec!["https://console.example".into()];
    let options = ServerOptions { allowed_origins, ..ServerOptions::default() };
    let gateway = node.behind_gateway(options).await;
    for (server, origin, expected) in [
        (&gateway, "http://evil.example".to_owned(), 403),
        (&gateway, "null".into(), 403),
        (&gateway, format!("http://{}", gateway.address), 200),
        (&gateway, "https://console.example".into(), 200),
        (&node, "https://console.example".into(), 403),
        (&node, format!("http://{}", node.address), 200),
    ] {
        let answer = get(server.address, "/version", &format!("Origin: {origin}\r\n")).await;
        assert_eq!(status(&answer), expected, "{origin}: {answer}");
    }
    let evil = [("Origin", "http://evil.example")];
    let refused = exec(tcp(gateway.address).await, "echo x", &evil).await;
    assert_eq!(refusal(refused, "x").0, 403);
    // As Python's client does.
    let own = format!("http://{}", gateway.address);
    let host = gateway.address.to_string();
    let own = [("Origin", own.as_str()), ("Host", host.as_str())];
    let session = exec(tcp(gateway.address).await, "echo x", &own).await.unwrap().finish().await;
    assert_eq!(session.stdout, b"x\n", "{}", session.status);
}

#[tokio::test]
async fn nothing_listens_in_plain_text_beyond_loopback() {
    let upstream = || Upstream::parse("http://127.0.0.1:1").unwrap();
    let anywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let loopback: [SocketAddr; 3] =
        ["127.0.0.1:0", "[::1]:0", "[::ffff:127.0.0.1]:0"].map(|address| address.parse().unwrap());
    assert_eq!(Gateway::new(upstream()).check(anywhere), Err(Exposed::Plaintext(anywhere)));
    assert_eq!(Node::new("demo").check(anywhere), Err(Exposed::Plaintext(anywhere)));
    assert_eq!(operations::check(anywhere, false), Err(Exposed::Plaintext(anywhere)));
    for address in loopback {
        assert_eq!(Gateway::new(upstream()).check(address), Ok(()));
        assert_eq!(Node::new("demo").check(address), Ok(()));
    }
    let listener = TcpListener::bind(anywhere).await.unwrap();
    let served = soon("a refusal", Node::new("demo").serve(listener, Shutdown::new())).await;
    assert_eq!(served.unwrap_err().kind(), ErrorKind::InvalidInput);

    let plaintext = ServerOptions { insecure_allow_plaintext: true, ..ServerOptions::default() };
    let gateway = Gateway::new(upstream()).with_options(plaintext.clone()).unwrap();
    assert_eq!(gateway.check(anywhere), Ok(()));
    let node = Node::new("demo").with_options(plaintext).unwrap();
    assert_eq!(node.check(anywhere), Err(Exposed::Unauthenticated(anywhere)));
    let token = Ca::new("none").directory;
    std::fs::write(token.path().join("token"), "t").unwrap();
    assert_eq!(node.with_token_file(&token.path().join("token")).unwrap().check(anywhere), Ok(()));
}

#[tokio::test]
async fn who_authenticates_nobody_and_who_lends_its_certificate_stays_on_loopback() {
    let (ca, clients) = (Ca::new("servers"), Ca::new("clients"));
    let anywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let identity = || Some(clients.client("gateway"));
    for (tls, node_may, gateway_may) in [
        (ca.server_tls(), false, false),
        (ca.server_tls_with_clients(&clients, false), false, false),
        (ca.server_tls_with_clients(&clients, true), true, true),
    ] {
        let options = ServerOptions { tls: Some(tls.clone()), ..ServerOptions::default() };
        let node = Node::new("demo").with_options(options.clone()).unwrap();
        assert_eq!(node.check(anywhere).is_ok(), node_may, "{tls:?}");
        let upstream = Upstream::with_tls("https://127.0.0.1:1", ca.client_tls(identity())).unwrap();
        let gateway = Gateway::new(upstream).with_options(options.clone()).unwrap();
        assert_eq!(gateway.check(anywhere).is_ok(), gateway_may, "{tls:?}");
        let upstream = Upstream::with_tls("https://127.0.0.1:1", ca.client_tls(None)).unwrap();
        assert_eq!(Gateway::new(upstream).with_options(options).unwrap().check(anywhere), Ok(()));
    }
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let exposed = Gateway::new(Upstream::parse("http://192.0.2.1:10250").unwrap());
    assert_eq!(exposed.check(loopback), Err(Exposed::PlaintextUpstream));
}

#[tokio::test]
async fn a_gateway_that_lends_its_certificate_does_not_answer_to_foreign_names() {
    let (ca, clients) = (Ca::new("servers"), Ca::new("clients"));
    let tls_of_node = ca.server_tls_with_clients(&clients, true);
    let options = ServerOptions { tls: Some(tls_of_node), ..ServerOptions::default() };
    let node = Server::node(Node::new("demo").with_options(options).unwrap()).await;
    let tls_of_gateway = ca.client_tls(Some(clients.client("gateway")));
    let upstream = Upstream::with_tls(&format!("https://{}", node.address), tls_of_gateway).unwrap();
    let gateway = Server::gateway(Gateway::new(upstream)).await;
    for (host, expected) in [("rebound.example", 403), ("localhost:8001", 200), ("127.0.0.1", 200)] {
        let request = format!("GET /version HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(status(&reply(tcp(gateway.address).await, &request).await), expected, "{host}");
    }
}

#[tokio::test]
async fn one_session_too_many_is_told_to_come_back_and_may() {
    let node = open_node().await;
    let metrics = Metrics::new();
    let options = ServerOptions { max_sessions: 1, metrics: metrics.clone(), ..ServerOptions::default() };
    let gateway = node.behind_gateway(options).await;
    let mut first = exec(tcp(gateway.address).await, "echo ready; cat", &[]).await.unwrap();
    first.reads("ready").await;
    let second = exec(tcp(gateway.address).await, "echo x", &[]).await;
    assert_eq!(refusal(second, "Retry-After"), (503, Some("5".into())));
    assert!(metrics.to_text().contains("strait_limits_hit_total{limit=\"sessions\"} 1\n"));
    first.half_close().await;
    assert!(first.finish().await.status.contains("Success"));
    eventually("a free place", async || exec(tcp(gateway.address).await, "echo x", &[]).await.is_ok()).await;
}

#[tokio::test]
async fn one_connection_too_many_waits_until_another_ends() {
    let options = ServerOptions { max_connections: 1, ..ServerOptions::default() };
    let node = Server::node(Node::new("demo").with_options(options).unwrap()).await;
    let idle = tcp(node.address).await;
    // So that the server has it before the other one.
    sleep(Duration::from_millis(100)).await;
    let mut waiting = tokio::spawn(async move { get(node.address, "/version", "").await });
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut waiting).await.is_err());
    drop(idle);
    assert_eq!(status(&soon("an answer", waiting).await.unwrap()), 200);
}

#[tokio::test]
async fn heads_and_bodies_have_limits() {
    let node = open_node().await;
    let options = ServerOptions { max_body_bytes: 10, ..ServerOptions::default() };
    let limits = Limits { head_bytes: 4096, ..Limits::HOST };
    let upstream = Upstream::parse(&format!("http://{}", node.address)).unwrap();
    let gateway = Gateway::new(upstream).with_limits(limits).with_options(options).unwrap();
    let gateway = Server::gateway(gateway).await;
    let long = format!("X-Long: {}\r\n", "x".repeat(5000));
    assert_eq!(status(&get(gateway.address, "/version", &long).await), 431);
    assert_eq!(status(&get(gateway.address, "/version", "Content-Length: 11\r\n").await), 413);
}

#[tokio::test]
async fn a_redirect_of_upstream_is_an_error_and_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let location = elsewhere.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = upstream.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let answer = format!("HTTP/1.1 307 Go\r\nLocation: http://{location}/\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let upstream = Upstream::parse(&format!("http://{address}")).unwrap();
    let gateway = Server::gateway(Gateway::new(upstream)).await;
    let session = exec(tcp(gateway.address).await, "echo x", &[]).await.unwrap().finish().await;
    assert!(session.status.contains("redirect not allowed"), "{}", session.status);
    assert!(tokio::time::timeout(Duration::from_millis(200), elsewhere.accept()).await.is_err());
}

#[tokio::test]
async fn headers_that_name_a_user_do_not_pass_the_gateway() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let received = tokio::spawn(async move {
        let (mut stream, _): (TcpStream, _) = upstream.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let count = stream.read(&mut head).await.unwrap();
        String::from_utf8_lossy(&head[..count]).into_owned()
    });
    let gateway = Gateway::new(Upstream::parse(&format!("http://{address}")).unwrap());
    let gateway = Server::gateway(gateway).await;
    let headers =
        "X-Remote-User: admin\r\nx-remote-extra-a: b\r\nX-Forwarded-For: 192.0.2.7\r\nX-Own: kept\r\n";
    let request = format!("GET /version HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    tcp(gateway.address).await.write_all(request.as_bytes()).await.unwrap();
    let received = soon("a request", received).await.unwrap().to_lowercase();
    assert!(!received.contains("x-remote"), "{received}");
    assert!(received.contains("x-own: kept") && received.contains("x-forwarded-for: 192.0.2.7, 127.0.0.1"));
}
