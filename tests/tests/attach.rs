//! Every client dialect attached to one main process, on every upstream, all at the same time.

use anyhow::{Context as _, Result, ensure};
use strait::k8s::Subprotocol;
use strait_tests::{Dialect, End, Exec, Session, Shores};

use Dialect::{Spdy, WebSocket};

const CLIENTS: [Dialect; 10] = [
    WebSocket(Subprotocol::V5),
    WebSocket(Subprotocol::V4),
    WebSocket(Subprotocol::None),
    WebSocket(Subprotocol::V1),
    WebSocket(Subprotocol::V1Base64),
    WebSocket(Subprotocol::V4Base64),
    Spdy(Subprotocol::V1),
    Spdy(Subprotocol::V2),
    Spdy(Subprotocol::V3),
    Spdy(Subprotocol::V4),
];

const MAIN: &str = "while read line; do [ \"$line\" = end ] && echo bye && exit 7; echo \"got $line\"; done";

#[tokio::test]
async fn every_client_in_front_of_spdy() {
    attach_all(&["--websocket-protocols", ""], "spdy").await;
}

#[tokio::test]
async fn every_client_in_front_of_websocket() {
    attach_all(&["--spdy-protocols", ""], "websocket").await;
}

#[tokio::test]
async fn every_client_in_front_of_an_older_websocket() {
    let older = "v4.channel.k8s.io,v4.base64.channel.k8s.io,channel.k8s.io,base64.channel.k8s.io,none";
    attach_all(&["--spdy-protocols", "", "--websocket-protocols", older], "websocket").await;
}

async fn attach_all(protocols: &[&str], upstream: &str) {
    let node = strait_tests::Server::node_with(&[protocols, &["--main", MAIN]].concat());
    let shores = Shores::behind_gateway(node, &["--upstream-protocol", upstream]);
    let mut attached = Vec::new();
    for client in CLIENTS {
        let session = attach(&shores, client).await;
        attached.push((client, session.unwrap_or_else(|error| panic!("{client:?}: {error:?}"))));
    }
    let (_, first) = &mut attached[0];
    first.send(b"all\n").await.expect("it takes input");
    first.send(b"end\n").await.expect("it takes input");
    for (client, session) in attached {
        ends(session, client).await.unwrap_or_else(|error| panic!("{client:?}: {error:?}"));
    }
}

/// A client that is attached: the process has answered it.
async fn attach(shores: &Shores, client: Dialect) -> Result<Session> {
    let mut session = Exec::attach().with_stdin().open(shores.gateway.address(), client).await?;
    session.send(format!("{client:?}\n").as_bytes()).await?;
    let line = session.line().await?;
    ensure!(line == format!("got {client:?}"), "another line, or what was earlier: {line:?}");
    Ok(session)
}

/// Everybody reads what the last ones said, and how it ended.
async fn ends(session: Session, client: Dialect) -> Result<()> {
    let (WebSocket(protocol) | Spdy(protocol)) = client;
    let all = session.finish().await?;
    let (stdout, error) = (String::from_utf8(all.stdout.clone())?, String::from_utf8(all.error.clone())?);
    let later = CLIENTS.iter().skip_while(|other| **other != client).skip(1);
    let lines: String = later.map(|other| format!("got {other:?}\n")).collect::<Vec<_>>().concat();
    ensure!(stdout == format!("{lines}got all\nbye\n"), "other output: {stdout:?}");
    ensure!(all.stderr.is_empty() && all.end == End::Clean, "{:?} behind {error:?}", all.end);
    if protocol.status_is_json() {
        let status = all.status()?;
        let cause = status["details"]["causes"].get(0).context("no cause")?;
        ensure!(cause["reason"] == "ExitCode" && cause["message"] == "7", "not exit code 7: {status}");
    } else {
        ensure!(error.ends_with("exit code: 7"), "not exit code 7: {error:?}");
    }
    Ok(())
}
