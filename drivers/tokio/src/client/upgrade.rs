use strait::Limits;
use strait::http::{Body, Response};
use strait::k8s::Subprotocol;
use strait::upgrade::{ClientUpgrade, UpgradeError};
use strait::ws;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::Transport;
use super::connect::{ConnectError, Connection, random};
use super::server::Server;
use crate::head::{Head, read_head};

/// Most bytes of a refusal's body that are read.
const REFUSAL_BODY: u64 = 64 * 1024;

/// A connection whose upgrade was granted.
pub(super) struct Upgraded {
    pub(super) io: Connection,
    /// What came behind the 101.
    pub(super) behind: Vec<u8>,
    pub(super) protocol: Subprotocol,
    pub(super) transport: Transport,
}

/// Asks `server` for an upgrade of `target` with one of the `offered` protocols, all within the handshake's deadline.
pub(super) async fn upgrade(
    server: &Server,
    target: &str,
    transport: Transport,
    offered: &'static [Subprotocol],
    limits: &Limits,
) -> Result<Upgraded, ConnectError> {
    timeout(limits.handshake, ask(server, target, transport, offered, limits))
        .await
        .unwrap_or(Err(ConnectError::Timeout))
}

async fn ask(
    server: &Server,
    target: &str,
    transport: Transport,
    offered: &'static [Subprotocol],
    limits: &Limits,
) -> Result<Upgraded, ConnectError> {
    let key = ws::client_key(random()?);
    let upgrade = match transport {
        Transport::Spdy => ClientUpgrade::Spdy,
        Transport::WebSocket | Transport::Fallback => ClientUpgrade::WebSocket { key: &key },
    };
    let method = upgrade.method();
    let names = offered.iter().map(|protocol| protocol.name());
    let request = server.request(method, target, |head| upgrade.headers(head, names));
    let request = request.await?;
    let mut io = server.connect().await?;
    tracing::debug!(target: "strait::request", "{method} {}{target} ({transport})", server.url());
    tracing::trace!(target: "strait::request", "{}", Shown(&request));
    io.write_all(&request).await.map_err(ConnectError::Answer)?;
    io.flush().await.map_err(ConnectError::Answer)?;
    let head =
        read_head(&mut io, limits.head_bytes, limits.handshake).await.map_err(ConnectError::of_head)?;
    let response = parse(&head)?;
    tracing::debug!(target: "strait::request", "{} {} {method} {}{target}", response.status, response.reason, server.url());
    tracing::trace!(target: "strait::request", "{}", Shown(head.head()));
    let protocol = match upgrade.expects(offered).check(&response) {
        Ok(protocol) => protocol,
        Err(UpgradeError::Refused { status, .. } | UpgradeError::Status { status }) => {
            let length = response.body(method);
            let body = read_body(&mut io, &head, length, limits).await;
            return Err(ConnectError::refused(status, &body));
        }
        Err(error) => return Err(ConnectError::of_upgrade(error)),
    };
    let behind = head.behind().to_vec();
    Ok(Upgraded { io, behind, protocol, transport })
}

pub(super) fn parse(head: &Head) -> Result<Response<'_>, ConnectError> {
    Response::parse(head.head()).map_err(|error| ConnectError::malformed(&error))
}

/// What a refusal says, as far as it comes within the deadline and the limit.
async fn read_body(io: &mut Connection, head: &Head, body: Body, limits: &Limits) -> Vec<u8> {
    let length = match body {
        Body::Length(length) => length.min(REFUSAL_BODY),
        Body::None => 0,
        _ => REFUSAL_BODY,
    };
    let mut bytes = head.behind().to_vec();
    let missing = length.saturating_sub(bytes.len() as u64);
    let _ = timeout(limits.handshake / 3, io.take(missing).read_to_end(&mut bytes)).await;
    bytes
}

/// A head for the log: without the values of headers that prove who somebody is.
struct Shown<'a>(&'a [u8]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in String::from_utf8_lossy(self.0).lines().filter(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default();
            let secret = ["authorization", "cookie", "token", "secret", "password"];
            let name_is_secret = secret.iter().any(|word| name.to_ascii_lowercase().contains(word));
            if line.contains(": ") && name_is_secret {
                writeln!(f, "    {name}: <masked>")?;
            } else {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_shows_no_credentials() {
        let head = b"GET /x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\nproxy-authorization: Basic abc\r\nX-Token: abc\r\n\r\n";
        let shown = Shown(head).to_string();
        assert!(!shown.contains("abc"), "{shown}");
        assert!(shown.contains("Authorization: <masked>") && shown.contains("Host: h"), "{shown}");
    }
}
