//! Sessions of the client over any connection.

use strait::Limits;
use strait::k8s::{StreamSet, Subprotocol, Verb};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Transport;
use super::session::Session;
use super::upgrade::Upgraded;

/// A session whose upgrade was granted.
pub(crate) fn session(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    protocol: Subprotocol,
    is_websocket: bool,
    streams: StreamSet,
    verb: Verb,
    limits: Limits,
) -> Session {
    let transport = if is_websocket { Transport::WebSocket } else { Transport::Spdy };
    let upgraded = Upgraded { io: Box::new(io), behind: Vec::new(), protocol, transport };
    Session::new(upgraded, streams, verb, limits)
}
