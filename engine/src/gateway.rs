//! What a gateway decides: which upgrades it asks upstream for in whose name, and what its client is answered.
//!
//! | client asks for | SPDY upstream | WebSocket upstream |
//! |---|---|---|
//! | exec, attach: WebSocket v5 | translate | pass on, or re-frame where upstream only knows v4 |
//! | exec, attach: WebSocket v4 and older, base64, none | translate | pass on |
//! | exec, attach: SPDY | pass on | translate |
//! | port-forward: tunnel (`SPDY/3.1+portforward.k8s.io`) | unwrap | pass on |
//! | port-forward: legacy WebSocket (v4, base64, none) | translate | pass on; translate inside a tunnel |
//! | port-forward: SPDY | pass on | wrap in a tunnel |
//!
//! A [`Planner`] makes a [`Plan`] of a request: some [`Attempt`]s, best first. A driver writes the request of each to a
//! connection of its own, lets the attempt check the answer, and does what [`Then`] says with the first that is granted:
//! [`Met`] has the bridge for each.
//! `http-upgrade.md`, `translator.md`, `port-forward.md`.
//!
//! ```
//! use strait::gateway::{Hop, Planner, Then, UpstreamProtocol};
//! use strait::http::{Request, Response};
//! use strait::k8s::Subprotocol;
//!
//! let client = b"GET /api/v1/namespaces/default/pods/p/exec?command=date&stdout=true HTTP/1.1\r\n\
//!     Host: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
//!     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n";
//! let mut out = [0; 2048];
//! let request: Request = Request::parse(client)?;
//! let planner = Planner { protocol: UpstreamProtocol::Spdy, ..Planner::default() };
//! let nonce = [7; 16]; // a real driver takes random bytes
//! let plan = match planner.plan(&request, nonce) {
//!     Ok(plan) => plan,
//!     Err(refusal) => {
//!         let length = refusal.write(&request, &mut out)?;
//!         panic!("send {} and close", out[..length].escape_ascii());
//!     }
//! };
//!
//! let attempt = &plan.attempts[0];
//! let hop = Hop { authority: "10.0.0.1:10250", ..Hop::default() };
//! let length = attempt.write_request(&request, &hop, &mut out)?;
//! assert!(out[..length].starts_with(b"POST /api/v1/namespaces/default/pods/p/exec?command=date&stdout=true "));
//!
//! // ... send it, and read the answer
//! let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
//!     X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";
//! let response: Response = Response::parse(answer)?;
//! assert_eq!(attempt.check_answer(&response)?, Subprotocol::V4);
//! assert_eq!(attempt.then, Then::ToSpdy);
//!
//! let length = plan.agreed.expect("it is translated").write(&mut out)?;
//! assert!(out[..length].starts_with(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod attempt;
mod dial;
mod found;
mod gates;
mod hop;
mod join;
#[cfg(test)]
mod tests;
mod translation;

pub use self::attempt::{Attempt, Then};
pub use self::dial::DialError;
pub use self::found::Found;
pub use self::gates::{FeatureGates, GateError};
pub use self::hop::{Hop, PlainRequest};
pub use self::join::{Join, Met};
pub use self::translation::Translation;

use self::attempt::Offer;
use crate::http::Request;
use crate::k8s::{Ports, RequestError, Server, StreamSet, Subprotocol, Target, Verb};
use crate::upgrade::{Accepted, ClientUpgrade, Refusal, Upgrade, check_websocket};
use crate::ws;

/// What a WebSocket client's exec or attach can be translated from.
const FROM_WEBSOCKET: &[Subprotocol] = &[
    Subprotocol::V5,
    Subprotocol::V4,
    Subprotocol::V4Base64,
    Subprotocol::V1,
    Subprotocol::V1Base64,
    Subprotocol::None,
];

/// What a gateway speaks to its upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// WebSocket if upstream takes it, else SPDY; what it takes is remembered in [`Found`].
    Auto,
    /// SPDY/3.1 only, which every upstream speaks.
    #[default]
    Spdy,
    /// WebSocket only.
    WebSocket,
}

/// What upstream is, which decides the targets of the upgrades that it gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpstreamKind {
    /// An API server, or a strait node: targets stay as they are.
    #[default]
    Api,
    /// A kubelet: targets of the API server are mapped to its own (`http-upgrade.md` section 1.2).
    Kubelet,
}

/// What plans are made from. The default suits an API server behind SPDY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planner {
    /// What upstream is.
    pub kind: UpstreamKind,
    /// What upstream speaks.
    pub protocol: UpstreamProtocol,
    /// What it was found to speak, where `protocol` is [`Auto`](UpstreamProtocol::Auto).
    pub found: Found,
    /// Which of upstream's features are on.
    pub gates: FeatureGates,
    /// Off for a driver without bridges for port-forward: all of it is then passed on in the client's own form.
    pub translates_port_forward: bool,
}

impl Default for Planner {
    fn default() -> Self {
        Self {
            kind: UpstreamKind::default(),
            protocol: UpstreamProtocol::default(),
            found: Found::default(),
            gates: FeatureGates::default(),
            translates_port_forward: true,
        }
    }
}

/// How an upgrade can go to upstream. It borrows nothing and has at most 400 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Whose API the target belongs to.
    pub server: Server,
    /// What is asked for.
    pub verb: Verb,
    /// The streams of exec or attach; none for port-forward, and none where the session is not looked at.
    pub streams: StreamSet,
    /// What the client asks for.
    pub upgrade: Upgrade,
    /// The client's 101 and what is spoken behind it, if the session ends here; `None` if all attempts pass it on.
    pub agreed: Option<Accepted>,
    /// It is a port-forward in a tunnel.
    pub is_tunnel: bool,
    /// In the order in which they are tried; never empty.
    pub attempts: Attempts,
}

/// The attempts of a plan.
type Attempts = heapless::Vec<Attempt, 3>;

impl Plan {
    /// True if the client is answered before upstream is asked, as upstream's translator does: whatever upstream
    /// says then is the session's status. In all other cases upstream is asked first, so that its HTTP status stays
    /// visible and another attempt can be made.
    pub fn answers_first(&self) -> bool {
        self.agreed.is_some_and(|agreed| agreed.upgrade == Upgrade::WebSocket)
            && matches!(&self.attempts[..], [only] if only.then == Then::ToSpdy)
    }
}

impl Planner {
    /// The ways in which an upgrade can go to upstream. `nonce`, 16 random bytes, is for a WebSocket to upstream that has
    /// no key of the client's.
    #[inline(never)]
    pub fn plan<const H: usize>(
        &self,
        request: &Request<'_, H>,
        nonce: [u8; 16],
    ) -> Result<Plan, Refusal<'static>> {
        let target = Target::parse(request.target)?;
        let asked = Asked { planner: self, request, target, nonce };
        let upgrade = Upgrade::of(request).ok_or(Refusal::UnknownUpgrade)?;
        if upgrade == Upgrade::WebSocket {
            check_websocket(request)?;
        }
        let plan = match (target.verb, upgrade) {
            _ if asked.is_passed_on(upgrade)? => Ok(asked.passed_on(upgrade)),
            (Verb::PortForward, Upgrade::WebSocket) if asked.is_tunnel() => asked.tunnel(),
            (Verb::PortForward, Upgrade::WebSocket) => asked.legacy_ports(),
            (Verb::PortForward, Upgrade::Spdy) => asked.spdy_ports(),
            (Verb::Exec | Verb::Attach, Upgrade::WebSocket) => asked.websocket(),
            (Verb::Exec | Verb::Attach, Upgrade::Spdy) => asked.spdy(),
        };
        // A plan is large: it is not moved.
        if plan.is_ok() {
            self.check_target(&target)?;
        }
        plan
    }

    /// What upstream is asked for, as far as it is known what it speaks.
    fn protocol(&self, verb: Verb) -> UpstreamProtocol {
        match (self.protocol, self.found.get(verb)) {
            (UpstreamProtocol::Auto, _)
                if self.kind == UpstreamKind::Kubelet && !self.gates.extend_websockets_to_kubelet =>
            {
                UpstreamProtocol::Spdy
            }
            (UpstreamProtocol::Auto, Some(Upgrade::Spdy)) => UpstreamProtocol::Spdy,
            (UpstreamProtocol::Auto, Some(Upgrade::WebSocket)) => UpstreamProtocol::WebSocket,
            (protocol, _) => protocol,
        }
    }

    /// A kubelet has to be told the container, and only the pod knows it.
    fn check_target(&self, target: &Target<'_>) -> Result<(), RequestError> {
        let is_mapped = self.kind == UpstreamKind::Kubelet && target.server == Server::Api;
        if is_mapped && target.verb != Verb::PortForward && target.container.is_none() {
            return Err(RequestError::NoContainer);
        }
        Ok(())
    }
}

/// A request that a plan is made for.
struct Asked<'a, 'r, const H: usize> {
    planner: &'a Planner,
    request: &'a Request<'r, H>,
    target: Target<'r>,
    nonce: [u8; 16],
}

// What plans are made by are functions of their own: inlined into one, all of them would take their stack at once, which is
// two kilobytes.
impl<const H: usize> Asked<'_, '_, H> {
    /// True for a session that nobody looks at, whatever upstream speaks.
    #[inline(never)]
    fn is_passed_on(&self, upgrade: Upgrade) -> Result<bool, Refusal<'static>> {
        let Self { planner, request, target, .. } = self;
        Ok(match (target.verb, upgrade) {
            (Verb::PortForward, _) if !planner.translates_port_forward => true,
            (Verb::PortForward, Upgrade::WebSocket) if self.is_tunnel() => {
                !planner.gates.port_forward_websockets
            }
            (Verb::PortForward, Upgrade::WebSocket) => {
                Accepted::websocket(request, Subprotocol::WEBSOCKET_PORT_FORWARD)?;
                // Its ports were arguments of the RPC.
                target.server == Server::Cri
            }
            (_, Upgrade::WebSocket) if !planner.gates.translate_stream_close_websocket_requests => {
                Accepted::websocket(request, FROM_WEBSOCKET)
                    .is_ok_and(|agreed| agreed.protocol == Subprotocol::V5)
            }
            _ => false,
        })
    }

    #[inline(never)]
    fn websocket(&self) -> Result<Plan, Refusal<'static>> {
        let agreed = Accepted::websocket(self.request, FROM_WEBSOCKET)?;
        let is_v5 = agreed.protocol == Subprotocol::V5;
        let streams = self.target.streams()?;
        let over_websocket = || {
            if is_v5 {
                self.under_clients_key(Subprotocol::WEBSOCKET_CLIENT_OFFER, Then::PassOnOrTranslate)
            } else {
                self.same(Upgrade::WebSocket)
            }
        };
        let to_spdy = || self.over_spdy(Subprotocol::SPDY_CLIENT_OFFER, Then::ToSpdy);
        // The header of the KEP's first draft, which is older than v5.
        let asks_for_translation =
            self.request.headers.get("K8s-Websocket-Protocol") == Some(b"stream-translate");
        let mut plan = self.plan_of(agreed.upgrade, Some(agreed), streams);
        if asks_for_translation {
            let _ = plan.attempts.push(to_spdy());
        } else {
            self.add(&mut plan.attempts, &[&over_websocket], &to_spdy);
        }
        Ok(plan)
    }

    #[inline(never)]
    fn spdy(&self) -> Result<Plan, Refusal<'static>> {
        let agreed = Accepted::spdy(self.request, Subprotocol::SPDY_SERVER)?;
        let streams = self.target.streams()?;
        let to_websocket = || self.under_own_key(Subprotocol::WEBSOCKET_CLIENT_OFFER, Then::ToWebSocket);
        Ok(self.plan(agreed, streams, &[&to_websocket], &|| self.same(Upgrade::Spdy)))
    }

    /// Port-forward of kubectl from 1.31 on: SPDY inside WebSocket messages.
    #[inline(never)]
    fn tunnel(&self) -> Result<Plan, Refusal<'static>> {
        let agreed =
            Accepted::websocket(self.request, Subprotocol::TUNNEL).map_err(|refusal| match refusal {
                Refusal::Protocols { .. } => Refusal::NoTunnelProtocol,
                other => other,
            })?;
        let pass_on = || self.under_clients_key(Subprotocol::TUNNEL, Then::PassOn);
        let to_spdy = || self.over_spdy(Subprotocol::SPDY_PORT_FORWARD, Then::TunnelToSpdy);
        Ok(self.plan(agreed, StreamSet::default(), &[&pass_on], &to_spdy))
    }

    /// Port-forward of kube-rs and of the Python and JavaScript clients: two channels a port. What they offer in front of
    /// these versions, v5 above all, is not served here (`port-forward.md` section 3).
    #[inline(never)]
    fn legacy_ports(&self) -> Result<Plan, Refusal<'static>> {
        let agreed = Accepted::websocket(self.request, Subprotocol::WEBSOCKET_PORT_FORWARD)?;
        let _: Ports = Ports::of(&self.target, agreed.protocol)?;
        let same = || self.same(Upgrade::WebSocket);
        let to_tunnel = || self.under_own_key(Subprotocol::TUNNEL, Then::PortsToTunnel);
        let to_spdy = || self.over_spdy(Subprotocol::SPDY_PORT_FORWARD, Then::PortsToSpdy);
        Ok(self.plan(agreed, StreamSet::default(), &[&same, &to_tunnel], &to_spdy))
    }

    #[inline(never)]
    fn spdy_ports(&self) -> Result<Plan, Refusal<'static>> {
        let agreed = Accepted::spdy(self.request, Subprotocol::SPDY_PORT_FORWARD)?;
        let to_tunnel = || self.under_own_key(Subprotocol::TUNNEL, Then::SpdyToTunnel);
        Ok(self.plan(agreed, StreamSet::default(), &[&to_tunnel], &|| self.same(Upgrade::Spdy)))
    }

    fn is_tunnel(&self) -> bool {
        let mut offered = self.request.headers.tokens(Upgrade::WebSocket.header());
        offered.any(|item| item.starts_with("SPDY/3.1+") && item.ends_with(".k8s.io"))
    }

    /// A session that nobody looks at here: upstream gets the client's upgrade as it is, and the client its answer.
    #[inline(never)]
    fn passed_on(&self, upgrade: Upgrade) -> Plan {
        let mut plan = self.plan_of(upgrade, None, StreamSet::default());
        let _ = plan.attempts.push(Attempt { proves: None, ..self.same(upgrade) });
        plan
    }

    fn plan(
        &self,
        agreed: Accepted,
        streams: StreamSet,
        websocket: &[&dyn Fn() -> Attempt],
        spdy: &dyn Fn() -> Attempt,
    ) -> Plan {
        let mut plan = self.plan_of(agreed.upgrade, Some(agreed), streams);
        self.add(&mut plan.attempts, websocket, spdy);
        plan
    }

    /// A plan without attempts.
    fn plan_of(&self, upgrade: Upgrade, agreed: Option<Accepted>, streams: StreamSet) -> Plan {
        let Target { server, verb, .. } = self.target;
        let is_tunnel = verb == Verb::PortForward && self.is_tunnel();
        Plan { server, verb, streams, upgrade, agreed, is_tunnel, attempts: Attempts::new() }
    }

    /// Adds those attempts that are made with what upstream speaks, WebSocket first.
    #[inline(never)]
    fn add(&self, attempts: &mut Attempts, websocket: &[&dyn Fn() -> Attempt], spdy: &dyn Fn() -> Attempt) {
        let protocol = self.planner.protocol(self.target.verb);
        // There are at most two, so there is room for all.
        for attempt in websocket.iter().filter(|_| protocol != UpstreamProtocol::Spdy) {
            let _ = attempts.push(attempt());
        }
        if protocol != UpstreamProtocol::WebSocket {
            let _ = attempts.push(spdy());
        }
    }

    /// The upgrade that the client asked for, as it is.
    fn same(&self, upgrade: Upgrade) -> Attempt {
        match upgrade {
            Upgrade::WebSocket => self.under_clients_key(Offer::Clients, Then::PassOn),
            Upgrade::Spdy => self.attempt(ClientUpgrade::Spdy, Offer::Clients, Then::PassOn),
        }
    }

    /// A WebSocket under the client's own key, so that upstream's answer can be passed on.
    fn under_clients_key(&self, offer: impl Into<Offer>, then: Then) -> Attempt {
        let key = self.request.headers.get("Sec-WebSocket-Key").unwrap_or_default();
        self.attempt(ClientUpgrade::WebSocket { key }, offer, then)
    }

    fn under_own_key(&self, offer: &'static [Subprotocol], then: Then) -> Attempt {
        let key = ws::client_key(self.nonce);
        self.attempt(ClientUpgrade::WebSocket { key: &key }, offer, then)
    }

    /// SPDY/3.1 in this end's own words. Always POST, as upstream's proxies send it, so that an API server demands the
    /// permission `create`; without the gate for that, the client's method.
    fn over_spdy(&self, offer: &'static [Subprotocol], then: Then) -> Attempt {
        let demands_create = self.planner.gates.authorize_pod_websocket_upgrade_create_permission;
        Attempt { is_clients_method: !demands_create, ..self.attempt(ClientUpgrade::Spdy, offer, then) }
    }

    #[inline(never)]
    fn attempt(&self, upgrade: ClientUpgrade<'_>, offer: impl Into<Offer>, then: Then) -> Attempt {
        let offer = offer.into();
        let expected = match offer {
            Offer::Clients => upgrade.expects(&[]).of_any(),
            Offer::Ours(offered) => upgrade.expects(offered),
        };
        Attempt {
            then,
            proves: Some(upgrade.upgrade()),
            kind: self.planner.kind,
            is_clients_method: matches!(offer, Offer::Clients),
            offer,
            expected,
        }
    }
}
