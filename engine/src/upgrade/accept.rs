use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Refusal, Upgrade};
use crate::http::{HeadWriter, Request, WriteError, reason};
use crate::k8s::{Subprotocol, negotiate};
use crate::ws;

/// How an item of `Sec-WebSocket-Protocol` begins that is no protocol but a token: browsers cannot send
/// `Authorization` with a WebSocket (`http-upgrade.md` section 3.1).
const BEARER: &str = "base64url.bearer.authorization.k8s.io.";

/// An upgrade that a server agrees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// What the connection becomes.
    pub upgrade: Upgrade,
    /// What is spoken on it.
    pub protocol: Subprotocol,
    /// The answer to a WebSocket client's key; zeros for SPDY, which has none.
    accept: [u8; 28],
}

impl Accepted {
    /// Agrees to an upgrade with the first of the client's subprotocols that is in the list for its kind of upgrade.
    pub fn of<'k, const H: usize>(
        request: &Request<'_, H>,
        websocket: &'k [Subprotocol],
        spdy: &'k [Subprotocol],
    ) -> Result<Self, Refusal<'k>> {
        match Upgrade::of(request) {
            Some(Upgrade::WebSocket) => Self::websocket(request, websocket),
            Some(Upgrade::Spdy) => Self::spdy(request, spdy),
            None => Err(Refusal::UnknownUpgrade),
        }
    }

    /// Agrees to a WebSocket: the checks of RFC 6455 section 4.2.1, in the order in which upstream's servers do them.
    pub fn websocket<'k, const H: usize>(
        request: &Request<'_, H>,
        known: &'k [Subprotocol],
    ) -> Result<Self, Refusal<'k>> {
        let key = check_websocket(request)?;
        let upgrade = Upgrade::WebSocket;
        let protocol = negotiate(request.headers.lines(upgrade.header()), known)
            .map_err(|refused| Refusal::Protocols { upgrade, refused, known })?;
        Ok(Self { upgrade, protocol, accept: ws::accept_key(key) })
    }

    /// Agrees to SPDY/3.1: the checks of upstream's servers, in their order (`http-upgrade.md` section 2.2).
    pub fn spdy<'k, const H: usize>(
        request: &Request<'_, H>,
        known: &'k [Subprotocol],
    ) -> Result<Self, Refusal<'k>> {
        let upgrade = Upgrade::Spdy;
        let protocol = negotiate(request.headers.lines(upgrade.header()), known)
            .map_err(|refused| Refusal::Protocols { upgrade, refused, known })?;
        if !request.wants_upgrade() || !request.headers.has_token("Upgrade", upgrade.name()) {
            return Err(Refusal::NotSpdy);
        }
        Ok(Self { upgrade, protocol, accept: [0; 28] })
    }

    /// Writes the 101, to be sent when the session can begin, and returns its length: at most 256 bytes.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        let head = HeadWriter::response(out, 101, reason(101));
        let name = self.upgrade.name();
        // In the order in which upstream's servers have them.
        let head = match self.upgrade {
            Upgrade::WebSocket => head
                .header("Upgrade", name)
                .header("Connection", "Upgrade")
                .header("Sec-WebSocket-Accept", self.accept),
            Upgrade::Spdy => head.header("Connection", "Upgrade").header("Upgrade", name),
        };
        match self.protocol {
            Subprotocol::None => head,
            protocol => head.header(self.upgrade.header(), protocol.name()),
        }
        .finish()
    }
}

/// What RFC 6455 section 4.2.1 demands of a request; returns its key.
pub(crate) fn check_websocket<'a, const H: usize>(
    request: &Request<'a, H>,
) -> Result<&'a [u8], Refusal<'static>> {
    if request.method != "GET" {
        return Err(Refusal::NotGet);
    }
    if !request.wants_upgrade() {
        return Err(Refusal::NotWebSocket);
    }
    let key = request.headers.get("Sec-WebSocket-Key").filter(|key| !key.is_empty());
    let key = key.ok_or(Refusal::NoKey)?;
    if request.headers.get("Sec-WebSocket-Version") != Some(b"13") {
        return Err(Refusal::WebSocketVersion);
    }
    Ok(key)
}

/// Decodes the bearer token that a browser shows among its subprotocols, if there is one and it is one word of visible
/// ASCII (`http-upgrade.md` section 3.1).
///
/// Returns its length, also if `out` was too small for it: then nothing in `out` counts.
pub fn bearer_token<const H: usize>(request: &Request<'_, H>, out: &mut [u8]) -> Option<usize> {
    let mut shown =
        request.headers.tokens(Upgrade::WebSocket.header()).filter_map(|item| item.strip_prefix(BEARER));
    // With two of them, who looks at one would not know of the other.
    let (Some(encoded), None) = (shown.next(), shown.next()) else { return None };
    let length = encoded.len() * 3 / 4;
    let Some(room) = out.get_mut(..length) else { return Some(length) };
    let decoded = URL_SAFE_NO_PAD.decode_slice(encoded, room).ok()?;
    (decoded > 0 && room.iter().take(decoded).all(u8::is_ascii_graphic)).then_some(decoded)
}
