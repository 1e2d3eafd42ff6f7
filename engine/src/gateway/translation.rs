use super::{FROM_WEBSOCKET, Hop, UpstreamKind};
use crate::http::{Request, WriteError};
use crate::k8s::{StreamSet, Subprotocol, Target, Verb};
use crate::upgrade::{Accepted, ClientUpgrade, Expected, Refusal, Upgrade};

/// An exec or attach of a WebSocket client for an API server behind SPDY: the one pair of the table above that needs no plan.
/// It is for drivers that serve nothing else, for want of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Translation {
    /// The client's 101 and what is spoken behind it.
    pub agreed: Accepted,
    /// The streams that it asks for.
    pub streams: StreamSet,
}

impl Translation {
    /// What a request asks for, with a target of the API server; `None` if that is a port-forward or no WebSocket.
    pub fn of<const H: usize>(request: &Request<'_, H>) -> Result<Option<Self>, Refusal<'static>> {
        if Upgrade::of(request) != Some(Upgrade::WebSocket) {
            return Ok(None);
        }
        let target = Target::parse_api(request.target)?;
        if target.verb == Verb::PortForward {
            return Ok(None);
        }
        let agreed = Accepted::websocket(request, FROM_WEBSOCKET)?;
        Ok(Some(Self { agreed, streams: target.streams()? }))
    }

    /// Writes the head that asks upstream, and returns its length, as [`Attempt::write_request`](super::Attempt::write_request)
    /// does, but for the token that a browser shows among its subprotocols, which is not read: upstream sees no credential then.
    pub fn write_request<const H: usize>(
        request: &Request<'_, H>,
        hop: &Hop<'_>,
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        let upgrade = ClientUpgrade::Spdy;
        let head = hop.head_with(UpstreamKind::Api, request, upgrade.method(), |_| None, out);
        upgrade.headers(head, Subprotocol::SPDY_CLIENT_OFFER.iter().map(|offered| offered.name())).finish()
    }

    /// What upstream has to answer.
    pub fn expected() -> Expected {
        ClientUpgrade::Spdy.expects(Subprotocol::SPDY_CLIENT_OFFER)
    }
}
