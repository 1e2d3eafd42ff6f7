use super::Then;
use crate::bridge::{Bridge, ExecBridge, PortsBridge, TunnelBridge};
use crate::http::Request;
use crate::k8s::{Ports, StreamSet, Subprotocol, Target};
use crate::leg::{PortsLeg, RawLeg, SpdyLeg, SpdyPorts, TunnelLeg, Tunnelled, WebSocketLeg, WebSocketPorts};
use crate::limits::Limits;
use crate::spdy::HeaderBlocks;
use crate::upgrade::Accepted;
use crate::ws::MaskKeys;

/// Two connections behind their upgrades: what is known of them decides which bridge joins them.
#[derive(Debug, Clone, Copy)]
pub struct Met<'a> {
    /// What follows the upgrade that upstream has granted.
    pub then: Then,
    /// What the client gets, if its session ends here.
    pub agreed: Option<Accepted>,
    /// What upstream chose.
    pub chosen: Subprotocol,
    /// The streams of exec or attach.
    pub streams: StreamSet,
    /// The client's request, which names the ports of a legacy port-forward.
    pub request: &'a [u8],
    /// 16 bytes that nobody can predict, for the mask keys of a WebSocket to upstream.
    pub seed: [u8; 16],
}

/// A driver with two connections to be joined: it runs a session of whichever bridge it is given.
pub trait Join: Sized {
    /// What inflates the headers of a SPDY client.
    type Blocks: HeaderBlocks + Send + 'static;

    /// What becomes of a session.
    type Output;

    /// Memory for a SPDY client's headers.
    fn blocks(&mut self) -> Self::Blocks;

    /// Runs a session whose client is to be answered with the 101 that was agreed on. `legs` is for people.
    fn run<B>(self, legs: &'static str, bridge: B, upstream: B::Upstream) -> Self::Output
    where
        B: Bridge + Send + 'static,
        B::Upstream: Send + 'static;

    /// Passes upstream's answer and then all bytes on as they are.
    fn pass_on(self) -> Self::Output;
}

impl Met<'_> {
    /// The client's 101, unless bytes are passed on.
    pub fn agreed(&self) -> Option<Accepted> {
        self.agreed.filter(|agreed| match self.then {
            Then::PassOn => false,
            Then::PassOnOrTranslate => agreed.protocol != self.chosen,
            _ => true,
        })
    }

    /// Has `driver` run the session that these connections make. `None` if the request names no ports where it has to, which
    /// its plan has checked.
    pub fn join<J: Join>(&self, limits: &Limits, mut driver: J) -> Option<J::Output> {
        let Some(Accepted { protocol: spoken, .. }) = self.agreed() else { return Some(driver.pass_on()) };
        let Self { streams, chosen, .. } = *self;
        let keys = MaskKeys::new(self.seed);
        let websocket = || WebSocketLeg::server(spoken, limits);
        Some(match self.then {
            Then::ToSpdy => {
                let bridge: ExecBridge<_, _> = ExecBridge::new(websocket(), streams, limits);
                driver.run("WebSocket to SPDY/3.1", bridge, SpdyLeg::client(streams, chosen, limits))
            }
            Then::PassOn | Then::PassOnOrTranslate => {
                let bridge: ExecBridge<_, _> = ExecBridge::new(websocket(), streams, limits);
                driver.run("WebSocket to WebSocket", bridge, WebSocketLeg::client(chosen, limits, keys))
            }
            Then::ToWebSocket => {
                let leg = SpdyLeg::server(streams, spoken, limits, driver.blocks());
                let bridge: ExecBridge<_, _> = ExecBridge::new(leg, streams, limits);
                driver.run("SPDY/3.1 to WebSocket", bridge, WebSocketLeg::client(chosen, limits, keys))
            }
            Then::TunnelToSpdy => {
                let bridge = TunnelBridge::new(TunnelLeg::server(limits), limits);
                driver.run("tunnel to SPDY/3.1", bridge, RawLeg::new())
            }
            Then::SpdyToTunnel => {
                let bridge = TunnelBridge::new(RawLeg::new(), limits);
                driver.run("SPDY/3.1 to tunnel", bridge, TunnelLeg::client(limits, keys))
            }
            Then::PortsToSpdy => {
                let (bridge, leg) = self.ports(spoken, limits)?;
                driver.run("ports to SPDY/3.1", bridge, leg)
            }
            Then::PortsToTunnel => {
                let (bridge, leg) = self.ports(spoken, limits)?;
                driver.run("ports to tunnel", bridge, Tunnelled::client(leg, limits, keys))
            }
        })
    }

    fn ports<U: PortsLeg>(
        &self,
        spoken: Subprotocol,
        limits: &Limits,
    ) -> Option<(PortsBridge<U, 128>, SpdyPorts)> {
        let request: Request = Request::parse(self.request).ok()?;
        let ports = Ports::of(&Target::parse(request.target).ok()?, spoken).ok()?;
        let leg = WebSocketPorts::server(spoken, limits);
        Some((PortsBridge::new(leg, ports.clone(), limits), SpdyPorts::client(ports, limits)))
    }
}
