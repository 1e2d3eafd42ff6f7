use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use strait::Limits;
use strait::k8s::{Pod, Subprotocol};

use super::Transport;
use super::connect::{ConnectError, Connection, random};
use super::executor::{Executor, target};
use super::upgrade::Upgraded;
use crate::port_forward::{self, End, Forwarder};
use crate::tunnel::TunnelStream;

/// The connection that carries what is forwarded to a pod: a future that has to run, and ends with the connection. Dropped, it ends the
/// connection at once.
pub struct Forwarding(port_forward::Connection<Connection>);

impl Future for Forwarding {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl fmt::Debug for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forwarding(..)")
    }
}

impl Executor {
    /// Opens a connection on which any number of connections to ports of `pod` can be [forwarded](Forwarder::open): in a WebSocket tunnel, or, if the
    /// server refuses that, over SPDY. Each call falls back for itself.
    pub async fn port_forward(&self, pod: &Pod<'_>) -> Result<(Forwarder, Forwarding), ConnectError> {
        let target = target(2048, |out| pod.write_port_forward(&[], out))?;
        let offers = (Subprotocol::TUNNEL, Subprotocol::SPDY_PORT_FORWARD);
        let upgraded = self.upgrade(&target, offers).await?;
        forward(upgraded, self.limits())
    }
}

fn forward(upgraded: Upgraded, limits: &Limits) -> Result<(Forwarder, Forwarding), ConnectError> {
    let Upgraded { io, behind, transport, .. } = upgraded;
    if transport == Transport::Spdy {
        let (forwarder, connection) = port_forward::client(io, &behind, limits);
        return Ok((forwarder, Forwarding(connection)));
    }
    let tunnel: Connection = Box::new(TunnelStream::client(io, &behind, random()?, limits));
    let (forwarder, connection) = port_forward::client(tunnel, &[], limits);
    Ok((forwarder, Forwarding(connection)))
}
