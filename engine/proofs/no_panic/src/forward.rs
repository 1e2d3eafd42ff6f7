//! Port-forwards, in every pair of protocols.

use core::hint::black_box;

use strait::bridge::{PortsBridge, TunnelBridge};
use strait::k8s::Ports;
use strait::leg::{RawLeg, SpdyPorts, Tunnelled, TunnelLeg, WebSocketPorts};
use strait::ws::MaskKeys;

use crate::Peers;
use crate::exec::{join, limits, protocol};

/// Most ports of a session.
const PORTS: usize = 8;

/// Every pair that a gateway joins.
pub fn run(peers: &Peers) {
    match peers.number() {
        0 => join(peers, TunnelBridge::new(TunnelLeg::server(&limits()), &limits()), RawLeg::new()),
        1 => join(peers, TunnelBridge::new(RawLeg::new(), &limits()), TunnelLeg::client(&limits(), keys())),
        2 => join(peers, ports(), spdy()),
        _ => join(peers, ports(), Tunnelled::client(spdy(), &limits(), keys())),
    }
}

fn ports<U: strait::leg::PortsLeg>() -> PortsBridge<U, PORTS> {
    PortsBridge::new(WebSocketPorts::server(protocol(), &limits()), some(), &limits())
}

fn spdy() -> SpdyPorts<PORTS> {
    SpdyPorts::client(some(), &limits())
}

/// Any ports.
fn some() -> Ports<PORTS> {
    black_box(Ports::default())
}

fn keys() -> MaskKeys {
    MaskKeys::new(black_box([0; 16]))
}
