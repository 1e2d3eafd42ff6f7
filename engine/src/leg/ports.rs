//! The legs of a port-forward whose connections are looked into: a pair of channels or of streams for each port
//! (`port-forward.md` sections 1 and 3).

mod spdy;
mod tunnelled;
mod websocket;

pub use self::spdy::SpdyPorts;
pub use self::tunnelled::Tunnelled;
pub use self::websocket::{MAX_TEXT, WebSocketPorts};

use super::Framing;
use crate::k8s::Channel;

/// The client's end of a connection that forwards ports, one connection each: as channels of the legacy protocol number
/// them ([`PortChannel`](crate::k8s::PortChannel)).
pub trait PortsLeg: Framing {
    /// True once the streams of all ports are told to the peer: data may follow.
    fn is_ready(&self) -> bool;

    /// Queues the end of this side's half of a channel, behind its data.
    fn half_close(&mut self, channel: Channel);

    /// Queues the end of both directions of a channel.
    fn reset(&mut self, channel: Channel);
}
