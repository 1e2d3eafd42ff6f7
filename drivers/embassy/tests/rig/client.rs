//! What tests do as clients of a gateway.

use std::time::Duration;

use strait::k8s::Subprotocol;
use strait_embassy::Counters;
use strait_tests::{Dialect, Exec, Server, Session, Transcript, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Rig;

pub(crate) const V5: Dialect = Dialect::WebSocket(Subprotocol::V5);

/// What a lost peer or the end of a session may take to be noticed everywhere.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) fn start() -> (Server, Rig) {
    let node = Server::node();
    let rig = Rig::start(node.address());
    (node, rig)
}

/// A session whose command is a script of the shell with stdin.
pub(crate) async fn shell(rig: &Rig, script: &str) -> Session {
    Exec::script(script).with_stdin().open(rig.address, V5).await.unwrap()
}

pub(crate) async fn run(rig: &Rig, script: &str) -> Transcript {
    Exec::script(script).open(rig.address, V5).await.unwrap().finish().await.unwrap()
}

/// The exit code of a session, 0 for a success.
#[track_caller]
pub(crate) fn exit(transcript: &Transcript) -> u64 {
    let status = transcript.status().unwrap();
    match (status["status"].as_str(), status["details"]["causes"][0]["message"].as_str()) {
        (Some("Success"), _) => 0,
        (_, Some(code)) => code.parse().unwrap_or_else(|_| panic!("{status}")),
        _ => panic!("{status}"),
    }
}

#[track_caller]
pub(crate) fn returns_to_rest(rig: &Rig) -> Counters {
    eventually(SOON, || match rig.counters() {
        Counters { open: 0, .. } => Ok(()),
        counters => Err(format!("{counters:?}")),
    });
    rig.counters()
}

pub(crate) fn upgrade(target: &str, headers: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n{headers}\r\n"
    )
}

/// Sends some bytes and reads to the end.
pub(crate) async fn reply(rig: &Rig, bytes: &[u8]) -> String {
    let mut io = TcpStream::connect(rig.address).await.unwrap();
    io.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(SOON, io.read_to_end(&mut answer)).await.expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}
