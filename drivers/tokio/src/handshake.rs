use strait::http::{HeadWriter, Request, reason};
use strait::k8s::{Refused, Subprotocol, negotiate};
use strait::ws;

use crate::answer;

/// The header with a SPDY client's protocols, one line each or a list.
pub(crate) const SPDY_PROTOCOLS: &str = "X-Stream-Protocol-Version";

/// The header with a WebSocket client's protocols.
pub(crate) const WEBSOCKET_PROTOCOLS: &str = "Sec-WebSocket-Protocol";

/// An upgrade that a server agrees to.
#[derive(Debug)]
pub(crate) struct Agreed {
    /// The 101, to be sent when the session can begin.
    pub(crate) answer: Vec<u8>,
    pub(crate) protocol: Subprotocol,
}

/// True if the request asks for a WebSocket, rightly or not.
pub(crate) fn is_websocket(request: &Request<'_>) -> bool {
    request.headers.has_token("Upgrade", "websocket")
}

/// True if the request asks for SPDY/3.1, rightly or not.
pub(crate) fn is_spdy(request: &Request<'_>) -> bool {
    request.headers.has_token("Upgrade", "SPDY/3.1")
}

/// Agrees to a WebSocket upgrade with one of the `known` protocols, or says the answer.
pub(crate) fn websocket(request: &Request<'_>, known: &[Subprotocol]) -> Result<Agreed, Vec<u8>> {
    let key = check_websocket(request)?;
    let offered = request.headers.lines(WEBSOCKET_PROTOCOLS);
    let protocol =
        negotiate(offered, known).map_err(|refused| websocket_refusal(refused.websocket_status(), "", ""))?;
    let answer = websocket_101(&ws::accept_key(key), protocol).ok_or_else(cannot_write)?;
    Ok(Agreed { answer, protocol })
}

/// The checks of RFC 6455 section 4.2.1, in the order in which upstream's servers do them. Returns the key.
pub(crate) fn check_websocket<'a>(request: &Request<'a>) -> Result<&'a [u8], Vec<u8>> {
    if request.method != "GET" {
        return Err(websocket_refusal(405, "", "bad method"));
    }
    if !request.wants_upgrade() {
        return Err(websocket_refusal(400, "", "not websocket protocol"));
    }
    let key = request.headers.get("Sec-WebSocket-Key").filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| websocket_refusal(400, "", "mismatch challenge/response"))?;
    if request.headers.get("Sec-WebSocket-Version") != Some(b"13") {
        let header = "Sec-WebSocket-Version: 13\r\n";
        return Err(websocket_refusal(400, header, "missing or bad WebSocket Version"));
    }
    Ok(key)
}

/// A refusal byte for byte as upstream's servers write it (`http-upgrade.md` section 3.3): clients look for these.
pub(crate) fn websocket_refusal(status: u16, header: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} {}\r\n{header}\r\n{body}", reason(status)).into_bytes()
}

fn websocket_101(accept: &[u8], protocol: Subprotocol) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 512];
    let mut head = HeadWriter::response(&mut bytes, 101, reason(101))
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Accept", accept);
    if protocol != Subprotocol::None {
        head = head.header(WEBSOCKET_PROTOCOLS, protocol.name());
    }
    let len = head.finish().ok()?;
    bytes.truncate(len);
    Some(bytes)
}

/// Agrees to a SPDY upgrade with one of the `known` protocols, or says the answer: the checks of upstream's servers,
/// in their order (`http-upgrade.md` section 2.2).
pub(crate) fn spdy(request: &Request<'_>, known: &[Subprotocol]) -> Result<Agreed, Vec<u8>> {
    let protocol = negotiate(request.headers.lines(SPDY_PROTOCOLS), known)
        .map_err(|refused| spdy_refusal(request, refused, known))?;
    if !request.wants_upgrade() || !is_spdy(request) {
        return Err(answer::text(400, "unable to upgrade: missing upgrade headers in request"));
    }
    let answer = spdy_101(protocol).ok_or_else(cannot_write)?;
    Ok(Agreed { answer, protocol })
}

fn spdy_refusal(request: &Request<'_>, refused: Refused, known: &[Subprotocol]) -> Vec<u8> {
    let list =
        request.headers.lines(SPDY_PROTOCOLS).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
    let count = request.headers.len();
    match refused {
        Refused::Missing => answer::text(
            400,
            &format!(
                "unable to upgrade: header {SPDY_PROTOCOLS} does not exist in request with {count} headers"
            ),
        ),
        Refused::NoItem => answer::text(
            400,
            &format!("unable to upgrade: header {SPDY_PROTOCOLS} contains [{list}], but no valid protocols"),
        ),
        Refused::OnlyBearer | Refused::NothingInCommon => {
            let accepted: Vec<_> = known.iter().map(|known| known.name()).collect();
            let headers: Vec<_> =
                accepted.iter().map(|name| ("X-Accepted-Stream-Protocol-Versions", *name)).collect();
            let message = format!(
                "unable to upgrade: unable to negotiate protocol: client supports [{list}], server accepts [{}]\n",
                accepted.join(" ")
            );
            answer::response(403, &headers, "text/plain; charset=utf-8", message)
        }
    }
}

fn spdy_101(protocol: Subprotocol) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 256];
    let head = HeadWriter::response(&mut bytes, 101, reason(101))
        .header("Connection", "Upgrade")
        .header("Upgrade", "SPDY/3.1")
        .header(SPDY_PROTOCOLS, protocol.name());
    let len = head.finish().ok()?;
    bytes.truncate(len);
    Some(bytes)
}

fn cannot_write() -> Vec<u8> {
    answer::text(500, "the answer cannot be written")
}
