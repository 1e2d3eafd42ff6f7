//! Upgrades to WebSocket and to SPDY/3.1 with a subprotocol of Kubernetes: a server's end and a client's.
//!
//! ```text
//! GET /... HTTP/1.1                                POST /... HTTP/1.1
//! Connection: Upgrade                              Connection: Upgrade
//! Upgrade: websocket                               Upgrade: SPDY/3.1
//! Sec-WebSocket-Key: {16 bytes in base64}          X-Stream-Protocol-Version: v4.channel.k8s.io
//! Sec-WebSocket-Version: 13                        X-Stream-Protocol-Version: v3.channel.k8s.io
//! Sec-WebSocket-Protocol: {name}, {name}           Content-Length: 0
//!
//! HTTP/1.1 101 Switching Protocols                 HTTP/1.1 101 Switching Protocols
//! Upgrade: websocket                               Connection: Upgrade
//! Connection: Upgrade                              Upgrade: SPDY/3.1
//! Sec-WebSocket-Accept: {28 characters}            X-Stream-Protocol-Version: v4.channel.k8s.io
//! Sec-WebSocket-Protocol: {name}
//! ```
//!
//! A server asks [`Accepted::of`] whether it can agree, and writes the 101 or the [`Refusal`]. A client writes the headers
//! of a [`ClientUpgrade`] and lets it check the answer. `http-upgrade.md` sections 2 and 3.
//!
//! ```
//! use strait::http::{HeadWriter, Request, Response};
//! use strait::k8s::Subprotocol;
//! use strait::upgrade::{Accepted, ClientUpgrade};
//!
//! let (mut out, mut answer) = ([0; 512], [0; 512]);
//! let key = strait::ws::client_key([7; 16]);
//! let upgrade = ClientUpgrade::WebSocket { key: &key };
//! let head = HeadWriter::request(&mut out, upgrade.method(), "/exec/default/p/c?command=date&output=1");
//! let offer = Subprotocol::WEBSOCKET_CLIENT_OFFER;
//! let length = upgrade.headers(head.header("Host", "node"), offer.iter().map(|it| it.name())).finish()?;
//!
//! let request: Request = Request::parse(&out[..length])?;
//! let accepted = Accepted::of(&request, Subprotocol::WEBSOCKET_SERVER, &[]).expect("it is an upgrade of ours");
//! let length = accepted.write(&mut answer)?;
//!
//! let response: Response = Response::parse(&answer[..length])?;
//! assert_eq!(upgrade.expects(offer).check(&response)?, Subprotocol::V4);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod accept;
mod ask;
mod refusal;
mod transport;

pub use self::accept::{Accepted, bearer_token};
pub use self::ask::{ClientUpgrade, Expected, UpgradeError};
pub use self::refusal::Refusal;
pub use self::transport::Transport;

pub(crate) use self::accept::check_websocket;

use crate::http::Request;
use crate::k8s::{RequestError, Target};

/// What a connection is upgraded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Upgrade {
    /// WebSocket (RFC 6455).
    WebSocket,
    /// SPDY/3.1.
    Spdy,
}

impl Upgrade {
    /// What a request asks for, rightly or not.
    pub fn of<const H: usize>(request: &Request<'_, H>) -> Option<Self> {
        [Self::WebSocket, Self::Spdy]
            .into_iter()
            .find(|upgrade| request.headers.has_token("Upgrade", upgrade.name()))
    }

    /// True if a request asks for an upgrade, rightly or not, and is to be answered as one.
    ///
    /// SPDY at a target without streams is ignored, as a server may (RFC 9110 section 7.8): kubectl 1.22's `cp` sends the
    /// headers of its upgrade with its look at the pod, too.
    pub fn is_asked_for<const H: usize>(request: &Request<'_, H>) -> bool {
        let is_strayed = || {
            Self::of(request) == Some(Self::Spdy)
                && Target::parse(request.target) == Err(RequestError::NotFound)
        };
        request.headers.tokens("Upgrade").next().is_some() && !is_strayed()
    }

    /// Its name in the header `Upgrade`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Spdy => "SPDY/3.1",
        }
    }

    /// The header with its subprotocols: one line each, a list, or both.
    pub const fn header(self) -> &'static str {
        match self {
            Self::WebSocket => "Sec-WebSocket-Protocol",
            Self::Spdy => "X-Stream-Protocol-Version",
        }
    }
}

#[cfg(test)]
mod tests;
