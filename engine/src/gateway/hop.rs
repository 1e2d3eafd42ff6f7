use core::fmt::Write as _;
use core::net::IpAddr;

use super::{Planner, UpstreamKind};
use crate::http::{Body, HeadWriter, Request, WriteError};
use crate::k8s::{RequestError, Server, Target};
use crate::upgrade::{Refusal, bearer_token};

/// Headers of the client's request that concern its connection to the gateway only, or its handshake. `Origin` is one:
/// the gateway has answered for it, and to upstream it would be a foreign one.
const NOT_FORWARDED: [&str; 17] = [
    "Host",
    "Origin",
    "Connection",
    "Upgrade",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authorization",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Content-Length",
    "X-Forwarded-For",
    "X-Stream-Protocol-Version",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Protocol",
];

/// Bytes of the longest address.
const ADDRESS: usize = 46;

/// The way from a client through this gateway to upstream, as the request that is passed on tells it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hop<'a> {
    /// Upstream's host and port, for `Host`: `10.0.0.1:10250`.
    pub authority: &'a str,
    /// What stands in front of every path there: nothing, or `/...` without a slash at its end.
    pub prefix: &'a str,
    /// The client's address, which is added to `X-Forwarded-For` as it is: in its [canonical](IpAddr::to_canonical) form it is
    /// what others know it by.
    pub client: Option<IpAddr>,
    /// A value for `Authorization` in place of the client's own: every client then acts with it. Without one the client's
    /// is passed on, or the token that a browser shows among its subprotocols.
    pub authorization: Option<&'a [u8]>,
}

impl Hop<'_> {
    /// Begins a request with all that is passed on of the client's.
    pub(super) fn head<'o, const H: usize>(
        &self,
        kind: UpstreamKind,
        request: &Request<'_, H>,
        method: &str,
        out: &'o mut [u8],
    ) -> HeadWriter<'o> {
        // Towards SPDY there are no subprotocols to carry it.
        self.head_with(kind, request, method, |room| bearer_token(request, room), out)
    }

    /// The same, where `token` writes what a browser showed as its token.
    pub(super) fn head_with<'o, const H: usize>(
        &self,
        kind: UpstreamKind,
        request: &Request<'_, H>,
        method: &str,
        token: impl FnOnce(&mut [u8]) -> Option<usize>,
        out: &'o mut [u8],
    ) -> HeadWriter<'o> {
        let target = |room: &mut [u8]| self.write_target(kind, request.target, room);
        let mut head = HeadWriter::request_with(out, method, target).header("Host", self.authority);
        for line in request.headers.iter().filter(|line| self.is_forwarded(line.name)) {
            head = head.header(line.name, line.value);
        }
        head = match self.authorization {
            Some(own) => head.header("Authorization", own),
            None if request.headers.get("Authorization").is_some() => head,
            None => head.header_with("Authorization", "Bearer ", token),
        };
        let mut client = heapless::String::<ADDRESS>::new();
        if let Some(address) = self.client {
            // There is room for any address.
            let _ = write!(client, "{address}");
        }
        let client = Some(client.as_str()).filter(|client| !client.is_empty());
        head.list("X-Forwarded-For", request.headers.tokens("X-Forwarded-For").chain(client))
    }

    fn is_forwarded(&self, header: &str) -> bool {
        let is_replaced = self.authorization.is_some() && header.eq_ignore_ascii_case("Authorization");
        let is_dropped = NOT_FORWARDED.iter().any(|name| name.eq_ignore_ascii_case(header));
        !is_replaced && !is_dropped && !names_a_user(header)
    }

    /// Writes the target as upstream knows it, and returns its length, also if there is not enough room for it; `None` if
    /// it cannot be said so.
    fn write_target(&self, kind: UpstreamKind, target: &str, room: &mut [u8]) -> Option<usize> {
        let start = self.prefix.len();
        if let Some(room) = room.get_mut(..start) {
            room.copy_from_slice(self.prefix.as_bytes());
        }
        let behind = room.get_mut(start..).unwrap_or_default();
        let of_api = match kind {
            UpstreamKind::Kubelet => Target::parse(target).ok().filter(|parsed| parsed.server == Server::Api),
            UpstreamKind::Api => None,
        };
        let mapped = if let Some(parsed) = of_api {
            match parsed.write_kubelet(behind) {
                // No name is longer there.
                Err(RequestError::TooLong) => behind.len().max(target.len()) + 1,
                written => written.ok()?,
            }
        } else {
            if let Some(room) = behind.get_mut(..target.len()) {
                room.copy_from_slice(target.as_bytes());
            }
            target.len()
        };
        Some(start + mapped)
    }
}

/// True for the headers by which an API server is told who a user is by a proxy that it trusts: a client that sent
/// them through a gateway with such a certificate would be whoever it likes.
fn names_a_user(header: &str) -> bool {
    header.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("X-Remote-"))
}

/// A request that is no upgrade, as upstream gets it: on a connection of its own, which ends with the answer, so that
/// nothing can follow the request that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainRequest {
    kind: UpstreamKind,
    length: Option<u64>,
}

impl Planner {
    /// How a request that is no upgrade can go to upstream.
    pub fn plain<const H: usize>(&self, request: &Request<'_, H>) -> Result<PlainRequest, Refusal<'static>> {
        let length = match request.body() {
            Body::None => None,
            Body::Length(length) => Some(length),
            Body::Chunked | Body::UntilClose => return Err(Refusal::NoLength),
        };
        Ok(PlainRequest { kind: self.kind, length })
    }
}

impl PlainRequest {
    /// Bytes of its body, which are to be passed on behind the head: exactly so many.
    pub const fn body(&self) -> u64 {
        match self.length {
            Some(length) => length,
            None => 0,
        }
    }

    /// Writes its head, and returns the length.
    pub fn write_request<const H: usize>(
        &self,
        request: &Request<'_, H>,
        hop: &Hop<'_>,
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        let head = hop.head(self.kind, request, request.method, out).header("Connection", "close");
        self.length.into_iter().fold(head, HeadWriter::content_length).finish()
    }
}
