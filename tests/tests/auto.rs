//! A gateway that finds out what its upstream speaks, and an upstream that is replaced by a newer or an older one.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use strait::k8s::Subprotocol;
use strait_tests::{Dialect, Exec, Server, eventually};

const NO_SPDY: [&str; 2] = ["--spdy-protocols", ""];
const NO_WEBSOCKET: [&str; 2] = ["--websocket-protocols", ""];

/// What a gateway may take to say that a session has ended.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn an_upstream_that_forgets_websocket_is_found_again() {
    is_found_again(&NO_SPDY, &NO_WEBSOCKET).await;
}

#[tokio::test]
async fn an_upstream_that_learns_websocket_is_found_again() {
    is_found_again(&NO_WEBSOCKET, &NO_SPDY).await;
}

async fn is_found_again(first: &[&str], second: &[&str]) {
    let node = Server::node_with(first);
    let (address, url) = (node.address(), node.url().to_owned());
    let gateway = Server::gateway(&url, &["--upstream-protocol", "auto"]);
    for client in [Dialect::WebSocket(Subprotocol::V5), Dialect::Spdy(Subprotocol::V4)] {
        session(gateway.address(), client).await.expect("upstream is found");
    }
    drop(node);
    let _node = Server::spawn(&[&["node", "--listen", &address.to_string()], second].concat());
    // The first one may find that upstream has changed, but no more than that one.
    let _ = session(gateway.address(), Dialect::WebSocket(Subprotocol::V5)).await;
    for client in [Dialect::WebSocket(Subprotocol::V5), Dialect::Spdy(Subprotocol::V4)] {
        session(gateway.address(), client).await.expect("upstream is found again");
    }
}

/// What was found is remembered: an upstream without WebSocket is asked for it once.
#[tokio::test]
async fn what_upstream_speaks_is_remembered() {
    let node = Server::node_with(&NO_WEBSOCKET);
    let gateway = Server::gateway(node.url(), &["--upstream-protocol", "auto", "-v"]);
    for _ in 0..3 {
        session(gateway.address(), Dialect::WebSocket(Subprotocol::V5)).await.expect("upstream is found");
    }
    let log = eventually(SOON, || {
        let log = gateway.log();
        if log.matches("session ended").count() == 3 { Ok(log) } else { Err(log) }
    });
    assert_eq!(log.matches("upstream cannot be used so").count(), 1, "{log}");
}

async fn session(gateway: SocketAddr, client: Dialect) -> Result<()> {
    let all = Exec::command(&["echo", "hello"]).open(gateway, client).await?.finish().await?;
    ensure!(all.stdout == b"hello\n" && all.status()?["status"] == "Success", "{all:?}");
    Ok(())
}
