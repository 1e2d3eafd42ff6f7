use super::{Hop, UpstreamKind};
use crate::http::{Request, Response, WriteError};
use crate::k8s::Subprotocol;
use crate::k8s::subprotocol::is_bearer;
use crate::upgrade::{ClientUpgrade, Expected, Upgrade, UpgradeError};

/// One way to upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What follows if it is granted.
    pub then: Then,
    /// What upstream is known to speak if it is granted, for [`Found`](super::Found).
    pub proves: Option<Upgrade>,
    pub(super) kind: UpstreamKind,
    /// The client's method is kept, where the upgrade has one of its own otherwise.
    pub(super) is_clients_method: bool,
    pub(super) offer: Offer,
    pub(super) expected: Expected,
}

/// What follows an upgrade that was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Upstream's answer and all bytes are passed on as they are.
    PassOn,
    /// They are if upstream chose what the client would have got here; otherwise exec or attach is translated between
    /// two versions over WebSocket.
    PassOnOrTranslate,
    /// Exec or attach: a WebSocket client, upstream SPDY.
    ToSpdy,
    /// Exec or attach: a SPDY client, upstream WebSocket.
    ToWebSocket,
    /// Port-forward: a client's tunnel ends here, upstream gets the SPDY that is in it.
    TunnelToSpdy,
    /// Port-forward: a SPDY client, upstream gets its SPDY inside a tunnel.
    SpdyToTunnel,
    /// Port-forward: a legacy client's channels, upstream SPDY. [`Ports::of`](crate::k8s::Ports::of) has its ports.
    PortsToSpdy,
    /// Port-forward: a legacy client's channels, upstream SPDY inside a tunnel.
    PortsToTunnel,
}

/// The subprotocols that upstream is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// Those of the client, as it has them.
    Clients,
    Ours(&'static [Subprotocol]),
}

impl From<&'static [Subprotocol]> for Offer {
    fn from(offered: &'static [Subprotocol]) -> Self {
        Self::Ours(offered)
    }
}

impl Attempt {
    /// What upstream has to answer.
    pub const fn expected(&self) -> &Expected {
        &self.expected
    }

    /// What upstream is asked for.
    pub const fn upgrade(&self) -> Upgrade {
        self.expected.upgrade()
    }

    /// Writes the head that asks upstream, and returns its length. `request` is the one that the plan was made for.
    ///
    /// # Errors
    /// [`WriteError::Full`] tells how much room it needs: about 250 bytes more than the client's head.
    pub fn write_request<const H: usize>(
        &self,
        request: &Request<'_, H>,
        hop: &Hop<'_>,
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        let upgrade = match self.upgrade() {
            Upgrade::Spdy => ClientUpgrade::Spdy,
            Upgrade::WebSocket => ClientUpgrade::WebSocket { key: self.expected.key() },
        };
        let method = if self.is_clients_method { request.method } else { upgrade.method() };
        let head = hop.head(self.kind, request, method, out);
        match (self.offer, upgrade) {
            (Offer::Ours(offered), _) => upgrade.headers(head, offered.iter().map(|offered| offered.name())),
            // A browser's token among them goes where this end's own does not.
            (Offer::Clients, ClientUpgrade::WebSocket { .. }) => {
                let offered = request.headers.tokens(Upgrade::WebSocket.header());
                let is_shown = hop.authorization.is_none();
                upgrade.headers(head, offered.filter(|item| is_shown || !is_bearer(item.as_bytes())))
            }
            (Offer::Clients, ClientUpgrade::Spdy) => {
                upgrade.headers(head, request.headers.lines(Upgrade::Spdy.header()))
            }
        }
        .finish()
    }

    /// Checks that upstream's answer is the one that was asked for, and says the protocol that it chose.
    pub fn check_answer<const H: usize>(
        &self,
        response: &Response<'_, H>,
    ) -> Result<Subprotocol, UpgradeError> {
        self.expected.check(response)
    }
}
