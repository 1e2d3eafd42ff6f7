use strait::Limits;
use strait::bridge::{PortsBridge, TunnelBridge};
use strait::k8s::Ports;
use strait::leg::{RawLeg, SpdyPorts, TunnelLeg, WebSocketPorts};
use strait::upgrade::Accepted;

use super::{Ended, connect};
use crate::connection::Connection;
use crate::session::{Filled, Session};

/// Ports of one port-forward over WebSocket channels. Clients that speak it ask for one or two.
const PORTS: usize = 8;

/// A port-forward that is translated.
pub(super) enum Forward {
    /// In a tunnel.
    Tunnel,
    /// Over WebSocket channels, to these ports.
    Ports(Ports<PORTS>),
}

/// A session that both sides have granted, to its end.
#[expect(clippy::too_many_arguments, reason = "two connections with their memory, and what joins them")]
pub(super) async fn run<C: Connection, U: Connection>(
    client: &mut C,
    io: &mut U,
    up: Filled<'_>,
    down: Filled<'_>,
    forward: Forward,
    agreed: &Accepted,
    limits: &Limits,
    stop: impl Future<Output = ()>,
) -> Ended {
    match forward {
        Forward::Tunnel => {
            let mut bridge = tunnel(limits);
            connect(&mut bridge, RawLeg::new);
            Ended::Session(Session::new(&mut bridge, client, Ok(io), up, down).run(stop).await)
        }
        Forward::Ports(ports) => {
            let mut bridge = channels(agreed, ports.clone(), limits);
            connect(&mut bridge, || SpdyPorts::client(ports, limits));
            Ended::Session(Session::new(&mut bridge, client, Ok(io), up, down).run(stop).await)
        }
    }
}

// What makes a bridge is a function of its own, as for exec.
#[inline(never)]
fn tunnel(limits: &Limits) -> TunnelBridge<TunnelLeg, RawLeg> {
    TunnelBridge::new(TunnelLeg::server(limits), limits)
}

#[inline(never)]
fn channels(agreed: &Accepted, ports: Ports<PORTS>, limits: &Limits) -> PortsBridge<SpdyPorts<PORTS>, PORTS> {
    PortsBridge::new(WebSocketPorts::server(agreed.protocol, limits), ports, limits)
}
