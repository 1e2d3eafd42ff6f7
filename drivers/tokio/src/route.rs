use std::net::SocketAddr;

use strait::http::{Request, WriteError};
use strait::k8s::{RequestError, Server, StreamSet, Subprotocol, Target, Verb};

use crate::answer;
use crate::gateway::{FeatureGates, UpstreamProtocol};
use crate::handshake::{self, Agreed};
use crate::upstream::{UpgradeRequest, Upstream};

/// What a WebSocket client's session can be translated from.
const FROM_WEBSOCKET: &[Subprotocol] = &[
    Subprotocol::V5,
    Subprotocol::V4,
    Subprotocol::V4Base64,
    Subprotocol::V1,
    Subprotocol::V1Base64,
    Subprotocol::None,
];

/// What an upstream is offered over WebSocket.
const TO_WEBSOCKET: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

/// An upgrade that can be tried.
pub(crate) struct Plan {
    /// The request's path, without its query: commands may be secrets.
    pub(crate) path: String,
    pub(crate) server: Server,
    pub(crate) verb: Verb,
    pub(crate) streams: StreamSet,
    pub(crate) client: Client,
    /// In the order in which they are tried; never empty.
    pub(crate) attempts: Vec<Attempt>,
}

/// Who asks.
pub(crate) enum Client {
    /// A WebSocket client, and what its session is answered if it ends here.
    WebSocket(Option<Agreed>),
    /// A SPDY client, likewise.
    Spdy(Option<Agreed>),
}

/// One way to upstream.
pub(crate) struct Attempt {
    pub(crate) request: UpgradeRequest,
    pub(crate) then: Then,
    /// What upstream is known to speak when it works.
    pub(crate) proves: Option<UpstreamProtocol>,
}

/// What follows the upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Upstream's answer and all bytes are passed on as they are.
    PassOn,
    /// They are if upstream chose what the client would have got here; otherwise frames are translated.
    PassOnOrTranslate,
    /// Translate to SPDY.
    ToSpdy,
    /// Translate to WebSocket.
    ToWebSocket,
}

/// What a plan is made from.
pub(crate) struct Planner<'a> {
    pub(crate) upstream: &'a Upstream,
    pub(crate) peer: SocketAddr,
    pub(crate) gates: FeatureGates,
    /// What upstream speaks, or `Auto` if that is not known yet.
    pub(crate) protocol: UpstreamProtocol,
    /// A key for a WebSocket to upstream that has none of the client's.
    pub(crate) nonce: [u8; 16],
}

impl Planner<'_> {
    /// The ways in which an upgrade can go to upstream, or its answer.
    pub(crate) fn plan(&self, request: &Request<'_>) -> Result<Plan, Vec<u8>> {
        let target = Target::parse(request.target).map_err(refuse)?;
        if handshake::is_websocket(request) {
            handshake::check_websocket(request)?;
            if target.verb == Verb::PortForward {
                return self.passed_on(request, &target, Client::WebSocket(None));
            }
            return self.websocket(request, &target);
        }
        if !handshake::is_spdy(request) {
            return Err(answer::text(400, "unable to upgrade: only WebSocket and SPDY/3.1 are known here"));
        }
        if target.verb == Verb::PortForward {
            return self.passed_on(request, &target, Client::Spdy(None));
        }
        self.spdy(request, &target)
    }

    fn websocket(&self, request: &Request<'_>, target: &Target<'_>) -> Result<Plan, Vec<u8>> {
        let agreed = handshake::websocket(request, FROM_WEBSOCKET);
        let is_v5 = agreed.as_ref().is_ok_and(|agreed| agreed.protocol == Subprotocol::V5);
        if is_v5 && !self.gates.translate_stream_close_websocket_requests {
            return self.passed_on(request, target, Client::WebSocket(None));
        }
        let (agreed, streams) = (agreed?, target.streams().map_err(refuse)?);
        let asks_for_translation = request.headers.get("K8s-Websocket-Protocol") == Some(b"stream-translate");
        let mut attempts = Vec::new();
        if self.protocol != UpstreamProtocol::Spdy && !asks_for_translation {
            attempts.push(self.over_websocket(request, is_v5)?);
        }
        if self.protocol != UpstreamProtocol::WebSocket || asks_for_translation {
            let request = UpgradeRequest::spdy(self.upstream, request, self.peer).map_err(cannot_pass)?;
            attempts.push(Attempt { request, then: Then::ToSpdy, proves: Some(UpstreamProtocol::Spdy) });
        }
        Ok(Plan::of(request, target, streams, Client::WebSocket(Some(agreed)), attempts))
    }

    /// A WebSocket client's session on a WebSocket to upstream, under the client's own key, so that upstream's answer
    /// can be passed on.
    fn over_websocket(&self, request: &Request<'_>, is_v5: bool) -> Result<Attempt, Vec<u8>> {
        let key = request.headers.get("Sec-WebSocket-Key").unwrap_or_default();
        let proves = Some(UpstreamProtocol::WebSocket);
        if is_v5 {
            let request = UpgradeRequest::websocket(self.upstream, request, self.peer, key, &TO_WEBSOCKET);
            return Ok(Attempt {
                request: request.map_err(cannot_pass)?,
                then: Then::PassOnOrTranslate,
                proves,
            });
        }
        let request = UpgradeRequest::same(self.upstream, request, self.peer).map_err(cannot_pass)?;
        Ok(Attempt { request, then: Then::PassOn, proves })
    }

    fn spdy(&self, request: &Request<'_>, target: &Target<'_>) -> Result<Plan, Vec<u8>> {
        let agreed = handshake::spdy(request, Subprotocol::SPDY_SERVER)?;
        let streams = target.streams().map_err(refuse)?;
        let mut attempts = Vec::new();
        if self.protocol != UpstreamProtocol::Spdy {
            let key = strait::ws::client_key(self.nonce);
            let request = UpgradeRequest::websocket(self.upstream, request, self.peer, &key, &TO_WEBSOCKET)
                .map_err(cannot_pass)?;
            let proves = Some(UpstreamProtocol::WebSocket);
            attempts.push(Attempt { request, then: Then::ToWebSocket, proves });
        }
        if self.protocol != UpstreamProtocol::WebSocket {
            let request = UpgradeRequest::same(self.upstream, request, self.peer).map_err(cannot_pass)?;
            attempts.push(Attempt { request, then: Then::PassOn, proves: Some(UpstreamProtocol::Spdy) });
        }
        Ok(Plan::of(request, target, streams, Client::Spdy(Some(agreed)), attempts))
    }

    fn passed_on(&self, request: &Request<'_>, target: &Target<'_>, client: Client) -> Result<Plan, Vec<u8>> {
        let same = UpgradeRequest::same(self.upstream, request, self.peer).map_err(cannot_pass)?;
        let attempt = Attempt { request: same, then: Then::PassOn, proves: None };
        Ok(Plan::of(request, target, StreamSet::default(), client, vec![attempt]))
    }
}

impl Plan {
    fn of(
        request: &Request<'_>,
        target: &Target<'_>,
        streams: StreamSet,
        client: Client,
        attempts: Vec<Attempt>,
    ) -> Self {
        Self {
            path: request.path().into(),
            server: target.server,
            verb: target.verb,
            streams,
            client,
            attempts,
        }
    }

    /// True if the client is answered before upstream is asked, as upstream's translator does: whatever upstream
    /// says then is the session's status.
    pub(crate) fn answers_first(&self) -> bool {
        matches!((&self.client, &self.attempts[..]), (Client::WebSocket(Some(_)), [only]) if only.then == Then::ToSpdy)
    }
}

fn refuse(error: RequestError) -> Vec<u8> {
    answer::text(error.status(), &error.to_string())
}

/// What the request itself lacks was checked before, but for one thing: a kubelet wants the container named.
fn cannot_pass(error: WriteError) -> Vec<u8> {
    answer::text(error.status(), &format!("the request cannot be passed on: {error}"))
}
