use strait::Limits;
use strait::bridge::{Bridge, PortsBridge, TunnelBridge};
use strait::gateway::Then;
use strait::k8s::{Ports, Target};
use strait::leg::{RawLeg, SpdyPorts, TunnelLeg, WebSocketPorts};
use strait::upgrade::{Accepted, Refusal};

use super::ask::{Granted, ask};
use super::{Asked, Ended, connect, refuse_upgrade, welcome};
use crate::connection::Connection;
use crate::session::{Filled, Session};
use crate::socket::Dial;

/// Ports of one port-forward over WebSocket channels. Clients that speak it ask for one or two.
const PORTS: usize = 8;

/// True if port-forward is translated, and not passed on as it is.
pub(super) const IS_TRANSLATED: bool = true;

/// A port-forward over WebSocket.
pub(super) enum Forward {
    /// In a tunnel.
    Tunnel,
    /// Over channels, to these ports.
    Channels(Ports<PORTS>),
}

impl Forward {
    /// What has to be done `then`.
    pub(super) fn of(then: Then, target: &str, agreed: &Accepted) -> Result<Self, Refusal<'static>> {
        match then {
            Then::TunnelToSpdy => Ok(Self::Tunnel),
            Then::PortsToSpdy => Ok(Self::Channels(Ports::of(&Target::parse(target)?, agreed.protocol)?)),
            _ => Err(Refusal::UnknownUpgrade),
        }
    }

    pub(super) async fn serve<C: Connection, D: Dial, S: Future<Output = ()>>(
        self,
        asked: Asked<'_, C, D, S>,
    ) -> Ended {
        let (limits, agreed) = (asked.limits, asked.agreed);
        match self {
            Self::Tunnel => join(asked, || tunnel(limits), RawLeg::new).await,
            Self::Channels(ports) => {
                let leg = || SpdyPorts::client(ports.clone(), limits);
                join(asked, || channels(agreed, ports.clone(), limits), leg).await
            }
        }
    }
}

/// Port-forward: upstream is asked, and the client gets its answer, whatever it is.
async fn join<C: Connection, D: Dial, S: Future<Output = ()>, B: Bridge>(
    asked: Asked<'_, C, D, S>,
    bridge: impl FnOnce() -> B,
    leg: impl FnOnce() -> B::Upstream,
) -> Ended {
    let Asked { client, upstream, mut up, down, request, attempt, agreed, limits, stop } = asked;
    let Granted { io, head, .. } = match ask(upstream, down, request, &attempt, limits).await {
        Ok(granted) => granted,
        Err(refused) => return refuse_upgrade(client, &refused, up, down).await,
    };
    if welcome(client, &agreed, up.room()).await.is_err() {
        return Ended::Left;
    }
    let mut bridge = bridge();
    connect(&mut bridge, leg);
    let down = Filled::behind_head(down, head.len, head.filled);
    Ended::Session(Session::new(&mut bridge, client, Some(io), up, down).run(stop).await)
}

#[inline(never)]
fn tunnel(limits: &Limits) -> TunnelBridge<TunnelLeg, RawLeg> {
    TunnelBridge::new(TunnelLeg::server(limits), limits)
}

#[inline(never)]
fn channels(agreed: Accepted, ports: Ports<PORTS>, limits: &Limits) -> PortsBridge<SpdyPorts<PORTS>, PORTS> {
    PortsBridge::new(WebSocketPorts::server(agreed.protocol, limits), ports, limits)
}
