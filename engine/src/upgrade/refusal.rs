use core::fmt;

use super::Upgrade;
use crate::http::{HeadWriter, Request, WriteError, reason, write_text};
use crate::k8s::{Lossy, Refused, RequestError, Subprotocol};

/// Why a client gets no session. [`write`](Self::write) writes its answer, after which its connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal<'k> {
    /// What is asked for is nothing of ours, or lacks something.
    Request(RequestError),
    /// It is an upgrade to neither WebSocket nor SPDY/3.1.
    UnknownUpgrade,
    /// A WebSocket is asked for with another method than GET.
    NotGet,
    /// The headers of a WebSocket upgrade do not say that it is one.
    NotWebSocket,
    /// A WebSocket upgrade has no key.
    NoKey,
    /// A WebSocket upgrade names another version than 13.
    WebSocketVersion,
    /// The headers of a SPDY upgrade do not say that it is one.
    NotSpdy,
    /// No subprotocol can be agreed on.
    Protocols {
        /// For what it was to be.
        upgrade: Upgrade,
        /// What is wrong with the client's offer.
        refused: Refused,
        /// What would have been taken.
        known: &'k [Subprotocol],
    },
    /// A tunnel is asked for, and for no protocol that can be tunnelled.
    NoTunnelProtocol,
    /// The request has a body of unknown length.
    NoLength,
    /// The head for upstream cannot be written.
    CannotPass(WriteError),
}

impl Refusal<'_> {
    /// HTTP status of the answer.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Request(error) => error.status(),
            Self::UnknownUpgrade
            | Self::NotWebSocket
            | Self::NoKey
            | Self::WebSocketVersion
            | Self::NotSpdy
            | Self::NoTunnelProtocol => 400,
            Self::NotGet => 405,
            Self::Protocols { upgrade: Upgrade::WebSocket, refused, .. } => refused.websocket_status(),
            Self::Protocols { upgrade: Upgrade::Spdy, refused, .. } => refused.spdy_status(),
            Self::NoLength => 411,
            Self::CannotPass(error) => error.status(),
        }
    }

    /// Writes the whole answer to `request` and returns its length.
    ///
    /// A refused WebSocket gets what upstream's servers write, byte for byte: clients look for these texts
    /// (`http-upgrade.md` section 3.3). Other texts are cut if `out` is too small for them.
    pub fn write<const H: usize>(
        &self,
        request: &Request<'_, H>,
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        match *self {
            Self::Protocols { upgrade: upgrade @ Upgrade::Spdy, refused, known } => {
                let reason = Reason { request, upgrade, refused, known };
                let is_told = matches!(refused, Refused::OnlyBearer | Refused::NothingInCommon);
                let known = known.iter().filter(|_| is_told);
                let headers = known.map(|known| ("X-Accepted-Stream-Protocol-Versions", known.name()));
                write_text(self.status(), headers, reason, out)
            }
            _ => self.write_websocket(out),
        }
    }

    /// The same for whatever is no SPDY, whose answer alone tells what was offered.
    pub fn write_websocket(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        let (version, body) = match self {
            Self::NotGet => (None, "bad method"),
            Self::NotWebSocket => (None, "not websocket protocol"),
            Self::NoKey => (None, "mismatch challenge/response"),
            Self::WebSocketVersion => (Some("13"), "missing or bad WebSocket Version"),
            Self::Protocols { upgrade: Upgrade::WebSocket, .. } => (None, ""),
            _ => return write_text(self.status(), [], self, out),
        };
        let head = HeadWriter::response(out, self.status(), reason(self.status()));
        let head =
            version.into_iter().fold(head, |head, version| head.header("Sec-WebSocket-Version", version));
        let length = head.finish()?;
        let end = length + body.len();
        let room = out.get_mut(length..end).ok_or(WriteError::Full { needed: end })?;
        room.copy_from_slice(body.as_bytes());
        Ok(end)
    }
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => error.fmt(f),
            Self::UnknownUpgrade => {
                f.write_str("unable to upgrade: only WebSocket and SPDY/3.1 are known here")
            }
            Self::NotGet => f.write_str("bad method"),
            Self::NotWebSocket => f.write_str("not websocket protocol"),
            Self::NoKey => f.write_str("mismatch challenge/response"),
            Self::WebSocketVersion => f.write_str("missing or bad WebSocket Version"),
            Self::NotSpdy => f.write_str("unable to upgrade: missing upgrade headers in request"),
            Self::Protocols { refused, .. } => refused.fmt(f),
            Self::NoTunnelProtocol => f.write_str("unable to upgrade: no tunneling spdy protocols provided"),
            Self::NoLength => f.write_str("a body of unknown length is not passed on: send Content-Length"),
            Self::CannotPass(error) => write!(f, "the request cannot be passed on: {error}"),
        }
    }
}

impl core::error::Error for Refusal<'_> {}

impl From<RequestError> for Refusal<'_> {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

/// Why no subprotocol was agreed on over SPDY, in the words of upstream's servers (`http-upgrade.md` section 2.2).
struct Reason<'a, 'r, const H: usize> {
    request: &'a Request<'r, H>,
    upgrade: Upgrade,
    refused: Refused,
    known: &'a [Subprotocol],
}

impl<const H: usize> Reason<'_, '_, H> {
    /// The values of all lines, with blanks between them.
    fn write_offer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.request.headers.lines(self.upgrade.header()).enumerate() {
            let blank = if index == 0 { "" } else { " " };
            write!(f, "{blank}{}", Lossy(line))?;
        }
        Ok(())
    }
}

impl<const H: usize> fmt::Display for Reason<'_, '_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.upgrade.header();
        f.write_str("unable to upgrade: ")?;
        match self.refused {
            Refused::Missing => {
                let count = self.request.headers.len();
                write!(f, "header {header} does not exist in request with {count} headers")
            }
            Refused::NoItem => {
                write!(f, "header {header} contains [")?;
                self.write_offer(f)?;
                f.write_str("], but no valid protocols")
            }
            Refused::OnlyBearer | Refused::NothingInCommon => {
                f.write_str("unable to negotiate protocol: client supports [")?;
                self.write_offer(f)?;
                f.write_str("], server accepts [")?;
                for (index, known) in self.known.iter().enumerate() {
                    write!(f, "{}{known}", if index == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
        }
    }
}
