use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use strait::Limits;
use strait::http::{HeadWriter, Request, Response, WriteError};
use strait::k8s::{Outcome, Server, Subprotocol, Target, status};
use strait::ws;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::{Host, Url};

use crate::answer;
use crate::handshake;
use crate::head::{Head, HeadFailure, read_head};
use crate::listener::prepare;
use crate::session::Refused;
use crate::stream::Stream;
use crate::tls::{ClientTls, Connector, TlsError};
use crate::token;

/// Most bytes of a refusal's body that are read.
const REFUSAL_BODY: u64 = 64 * 1024;

/// Room for what the gateway adds to a request's head.
const ADDED: usize = 1024;

/// Headers of the client's request that concern its connection to the gateway only, or its WebSocket handshake.
/// `Origin` is one: the gateway has answered for it, and to upstream it would be a foreign one.
const NOT_FORWARDED: [&str; 16] = [
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
];

/// The server behind the gateway.
#[derive(Debug, Clone)]
pub struct Upstream {
    host: String,
    port: u16,
    /// In front of every request's path; empty, or `/...` without a slash at its end.
    prefix: String,
    tls: Option<Arc<Connector>>,
    is_loopback: bool,
    kind: UpstreamKind,
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

/// Why a URL cannot be an upstream.
#[derive(Debug)]
pub enum UpstreamError {
    /// It is no URL.
    Url(url::ParseError),
    /// Its scheme is neither `http` nor `https`.
    Scheme(String),
    /// It names no host.
    NoHost,
    /// It carries a user, a query or a fragment.
    Excess(&'static str),
    /// TLS cannot be set up.
    Tls(TlsError),
    /// Its scheme is `http`, so what was said of TLS would be ignored.
    TlsIgnored,
}

impl Upstream {
    /// The upstream at a URL such as `https://127.0.0.1:10250` or `http://host/prefix`. With `https`, its certificate
    /// has to be signed by a CA that this system trusts.
    pub fn parse(url: &str) -> Result<Self, UpstreamError> {
        Self::with_tls(url, ClientTls::default())
    }

    /// The upstream at a URL whose scheme is `https`, or `http` if `tls` is the default.
    pub fn with_tls(url: &str, tls: ClientTls) -> Result<Self, UpstreamError> {
        let url = Url::parse(url).map_err(UpstreamError::Url)?;
        let with_tls = match url.scheme() {
            "https" => true,
            "http" if tls == ClientTls::default() => false,
            "http" => return Err(UpstreamError::TlsIgnored),
            other => return Err(UpstreamError::Scheme(other.into())),
        };
        let excess = [
            (!url.username().is_empty() || url.password().is_some(), "a user"),
            (url.query().is_some(), "a query"),
            (url.fragment().is_some(), "a fragment"),
        ];
        if let Some((_, what)) = excess.into_iter().find(|(found, _)| *found) {
            return Err(UpstreamError::Excess(what));
        }
        let host: String = url.host_str().ok_or(UpstreamError::NoHost)?.into();
        let is_loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        let tls = if with_tls {
            Some(Arc::new(Connector::new(tls, without_brackets(&host)).map_err(UpstreamError::Tls)?))
        } else {
            None
        };
        Ok(Self {
            host,
            port: url.port_or_known_default().unwrap_or(80),
            prefix: url.path().trim_end_matches('/').into(),
            tls,
            is_loopback,
            kind: UpstreamKind::default(),
        })
    }

    /// The same upstream, of this kind.
    #[must_use]
    pub fn with_kind(mut self, kind: UpstreamKind) -> Self {
        self.kind = kind;
        self
    }

    /// The target of an upgrade as upstream knows it; `None` if it cannot be said so.
    fn target(&self, request: &Request<'_>) -> Option<String> {
        let mapped = match (self.kind, Target::parse(request.target)) {
            (UpstreamKind::Kubelet, Ok(target)) if target.server == Server::Api => {
                let mut bytes = vec![0; request.target.len() + 64];
                let len = target.write_kubelet(&mut bytes).ok()?;
                bytes.truncate(len);
                String::from_utf8(bytes).ok()?
            }
            _ => request.target.to_owned(),
        };
        Some(format!("{}{mapped}", self.prefix))
    }

    /// What is sent to it can be read on the way.
    pub(crate) const fn is_exposed(&self) -> bool {
        self.tls.is_none() && !self.is_loopback
    }

    /// Clients act with a certificate of this end's.
    pub(crate) fn lends_identity(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_identity)
    }

    pub(crate) async fn connect(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect((without_brackets(&self.host), self.port)).await?;
        prepare(&stream)?;
        Ok(match &self.tls {
            None => Stream::Plain(stream),
            Some(tls) => Stream::Tls(Box::new(tls.connect(stream).await?)),
        })
    }

    /// The head of a request that is passed on as it is, but on a connection of its own.
    pub(crate) fn plain_request(
        &self,
        request: &Request<'_>,
        peer: SocketAddr,
        length: Option<u64>,
    ) -> Result<Vec<u8>, WriteError> {
        self.write(request, request.method, peer, |head| {
            let head = head.header("Connection", "close");
            match length {
                Some(length) => head.content_length(length),
                None => head,
            }
        })
    }

    fn write(
        &self,
        request: &Request<'_>,
        method: &str,
        peer: SocketAddr,
        own: impl FnOnce(HeadWriter<'_>) -> HeadWriter<'_>,
    ) -> Result<Vec<u8>, WriteError> {
        let headers: usize = request.headers.iter().map(|line| line.name.len() + line.value.len() + 4).sum();
        let target = self.target(request).ok_or(WriteError::Target)?;
        let mut bytes = vec![0; headers + target.len() + self.host.len() + ADDED];
        let mut head = HeadWriter::request(&mut bytes, method, &target)
            .header("Host", format!("{}:{}", self.host, self.port));
        for line in request.headers.iter() {
            let dropped = NOT_FORWARDED.iter().any(|name| name.eq_ignore_ascii_case(line.name))
                || line.name.eq_ignore_ascii_case("Sec-WebSocket-Protocol")
                || names_a_user(line.name);
            if !dropped {
                head = head.header(line.name, line.value);
            }
        }
        if request.headers.get("Authorization").is_none()
            && let Some(token) = token::of_browser(request)
        {
            // Towards SPDY there are no subprotocols to carry it.
            head = head.header("Authorization", [b"Bearer ", &token[..]].concat());
        }
        let came_through =
            request.headers.lines("X-Forwarded-For").filter_map(|value| str::from_utf8(value).ok());
        let path: Vec<String> =
            came_through.map(str::to_owned).chain([peer.ip().to_canonical().to_string()]).collect();
        let len = own(head.header("X-Forwarded-For", path.join(", "))).finish()?;
        bytes.truncate(len);
        Ok(bytes)
    }
}

/// True for the headers by which an API server is told who a user is by a proxy that it trusts: a client that sent
/// them through a gateway with such a certificate would be whoever it likes.
fn names_a_user(header: &str) -> bool {
    header.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("X-Remote-"))
}

/// The host of a URL as resolvers and certificates know it.
fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// On SPDY v5 behaves as v4, and today's servers choose v4 (`http-upgrade.md` section 2.1).
const SPDY_OFFER: &[Subprotocol] = Subprotocol::SPDY_CLIENT_OFFER;

/// An upgrade that upstream was asked for and granted.
pub(crate) struct Upgraded {
    pub(crate) io: Stream,
    /// The 101, and what came behind it.
    pub(crate) head: Head,
    pub(crate) protocol: Subprotocol,
}

/// Sends an upgrade and reads its answer, all within the handshake's deadline.
pub(crate) async fn upgrade(
    upstream: &Upstream,
    request: &UpgradeRequest,
    limits: &Limits,
) -> Result<Upgraded, DialError> {
    timeout(limits.handshake, send_upgrade(upstream, request, limits))
        .await
        .unwrap_or(Err(DialError::Timeout))
}

async fn send_upgrade(
    upstream: &Upstream,
    request: &UpgradeRequest,
    limits: &Limits,
) -> Result<Upgraded, DialError> {
    let mut io = upstream.connect().await.map_err(DialError::Connect)?;
    io.write_all(&request.head).await.map_err(DialError::Connect)?;
    io.flush().await.map_err(DialError::Connect)?;
    let head = read_head(&mut io, limits.head_bytes, limits.handshake).await.map_err(DialError::Head)?;
    let response: Response =
        Response::parse(head.head()).map_err(|error| DialError::Head(HeadFailure::Malformed(error)))?;
    if (300..400).contains(&response.status) {
        // Never followed: it would carry the client's credentials to wherever upstream points (CVE-2020-8559).
        return Err(DialError::Redirect { status: response.status });
    }
    if response.status != 101 {
        let status = response.status;
        let body = read_body(&mut io, &head, limits).await;
        return Err(DialError::Refused { status, head: head.head().to_vec(), body });
    }
    let protocol = request.check(&response)?;
    Ok(Upgraded { io, head, protocol })
}

/// An upgrade that upstream is asked for.
pub(crate) struct UpgradeRequest {
    head: Vec<u8>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Spdy,
    /// What the answer to our key must be.
    WebSocket {
        accept: [u8; 28],
    },
}

impl UpgradeRequest {
    /// An upgrade to SPDY with every version. Always POST (`http-upgrade.md` section 1.2).
    pub(crate) fn spdy(
        upstream: &Upstream,
        request: &Request<'_>,
        peer: SocketAddr,
    ) -> Result<Self, WriteError> {
        let head = upstream.write(request, "POST", peer, |head| {
            let mut head = head.header("Connection", "Upgrade").header("Upgrade", "SPDY/3.1");
            for protocol in SPDY_OFFER {
                head = head.header(handshake::SPDY_PROTOCOLS, protocol.name());
            }
            head.content_length(0)
        })?;
        Ok(Self { head, kind: Kind::Spdy })
    }

    /// An upgrade to WebSocket with `protocols`, under `key`: the client's if the answer is passed on to it.
    pub(crate) fn websocket(
        upstream: &Upstream,
        request: &Request<'_>,
        peer: SocketAddr,
        key: &[u8],
        protocols: &[&str],
    ) -> Result<Self, WriteError> {
        let head = upstream.write(request, "GET", peer, |head| {
            head.header("Connection", "Upgrade")
                .header("Upgrade", "websocket")
                .header("Sec-WebSocket-Key", key)
                .header("Sec-WebSocket-Version", "13")
                .list(handshake::WEBSOCKET_PROTOCOLS, protocols)
        })?;
        Ok(Self { head, kind: Kind::WebSocket { accept: ws::accept_key(key) } })
    }

    /// The upgrade that the client asked for, as it is.
    pub(crate) fn same(
        upstream: &Upstream,
        request: &Request<'_>,
        peer: SocketAddr,
    ) -> Result<Self, WriteError> {
        if let Some(key) = request.headers.get("Sec-WebSocket-Key") {
            let protocols: Vec<_> = request.headers.tokens(handshake::WEBSOCKET_PROTOCOLS).collect();
            return Self::websocket(upstream, request, peer, key, &protocols);
        }
        let head = upstream.write(request, request.method, peer, |head| {
            let mut head = head.header("Connection", "Upgrade").header("Upgrade", "SPDY/3.1");
            for line in request.headers.lines(handshake::SPDY_PROTOCOLS) {
                head = head.header(handshake::SPDY_PROTOCOLS, line);
            }
            head.content_length(0)
        })?;
        Ok(Self { head, kind: Kind::Spdy })
    }

    /// Checks that a 101 is the one that was asked for, and says the protocol that it chose.
    fn check(&self, response: &Response<'_>) -> Result<Subprotocol, DialError> {
        let (name, header) = match self.kind {
            Kind::Spdy => ("SPDY/3.1", handshake::SPDY_PROTOCOLS),
            Kind::WebSocket { .. } => ("websocket", handshake::WEBSOCKET_PROTOCOLS),
        };
        if !response.headers.has_token("Connection", "upgrade")
            || !response.headers.has_token("Upgrade", name)
        {
            return Err(DialError::NotUpgraded);
        }
        if let Kind::WebSocket { accept } = self.kind
            && response.headers.get("Sec-WebSocket-Accept") != Some(&accept)
        {
            return Err(DialError::Accept);
        }
        let chosen = response.headers.get_str(header).filter(|chosen| !chosen.is_empty());
        match (chosen, self.kind) {
            // `http-upgrade.md` section 2.3.
            (None, Kind::Spdy) => Ok(Subprotocol::V1),
            (None, Kind::WebSocket { .. }) => Ok(Subprotocol::None),
            (Some(chosen), _) => {
                Subprotocol::from_name(chosen).ok_or_else(|| DialError::Protocol(chosen.to_owned()))
            }
        }
    }
}

/// What a refusal says, as far as it comes within the deadline and the limit.
async fn read_body(io: &mut Stream, head: &Head, limits: &Limits) -> Vec<u8> {
    let response: Result<Response<'_>, _> = Response::parse(head.head());
    let length = match response.map(|response| response.body("POST")) {
        Ok(strait::http::Body::Length(length)) => length.min(REFUSAL_BODY),
        Ok(strait::http::Body::None) => 0,
        _ => REFUSAL_BODY,
    };
    let mut body = head.behind().to_vec();
    let missing = length.saturating_sub(body.len() as u64);
    let _ = timeout(limits.handshake / 3, io.take(missing).read_to_end(&mut body)).await;
    body
}

#[derive(Debug)]
pub(crate) enum DialError {
    Connect(io::Error),
    Timeout,
    Head(HeadFailure),
    Refused { status: u16, head: Vec<u8>, body: Vec<u8> },
    Redirect { status: u16 },
    NotUpgraded,
    Accept,
    Protocol(String),
}

impl DialError {
    /// True if another protocol may work where this one did not: upstream has answered, and not with an upgrade
    /// (`http-upgrade.md` section 4).
    pub(crate) const fn is_about_the_protocol(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::NotUpgraded | Self::Accept | Self::Protocol(_))
    }

    /// The answer for a client that was not answered yet: upstream's own, if it gave one.
    pub(crate) fn into_answer(self) -> Vec<u8> {
        match &self {
            Self::Refused { status, head, body } => {
                let response: Result<Response<'_>, _> = Response::parse(head);
                let kind = response.ok().and_then(|response| response.headers.get_str("Content-Type"));
                answer::response(*status, &[], kind.unwrap_or("text/plain; charset=utf-8"), body)
            }
            Self::Timeout | Self::Head(HeadFailure::Timeout) => answer::text(504, &self.to_string()),
            Self::Connect(_) | Self::Head(_) => answer::text(502, &self.to_string()),
            Self::Redirect { .. } | Self::NotUpgraded | Self::Accept | Self::Protocol(_) => {
                answer::text(500, &self.to_string())
            }
        }
    }

    /// The status that the session ends with. What upstream said keeps its code and reason.
    pub(crate) fn into_refused(self) -> Refused {
        tracing::debug!(error = %self, "upstream cannot be used");
        let mut json = vec![0; 4096];
        let written = match &self {
            Self::Refused { status: code, body, .. } => match Outcome::parse(body) {
                Ok(outcome @ Outcome::Failure(_)) => outcome.write(&mut json),
                _ => status::failure(*code, reason(*code), self.to_string(), &mut json),
            },
            _ => status::internal_error(self.to_string(), &mut json),
        };
        json.truncate(written.unwrap_or(0));
        Refused(json)
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "error dialing backend: {error}"),
            Self::Timeout => f.write_str("error dialing backend: timed out"),
            Self::Head(HeadFailure::Closed) => {
                f.write_str("upstream closed the connection before it answered")
            }
            Self::Head(HeadFailure::Timeout) => f.write_str("upstream did not answer in time"),
            Self::Head(HeadFailure::Malformed(error)) => write!(f, "upstream's answer is malformed: {error}"),
            Self::Head(HeadFailure::Io(error)) => write!(f, "upstream did not answer: {error}"),
            Self::Refused { body, .. } if body.is_empty() => {
                f.write_str("unable to upgrade connection: empty server response")
            }
            Self::Refused { body, .. } => {
                write!(f, "unable to upgrade connection: {}", String::from_utf8_lossy(body).trim_end())
            }
            Self::Redirect { status } => write!(f, "redirect not allowed: upstream answered {status}"),
            Self::NotUpgraded => f.write_str("unable to upgrade: missing upgrade headers in response"),
            Self::Accept => f.write_str("unable to upgrade: wrong Sec-WebSocket-Accept in response"),
            Self::Protocol(name) => write!(f, "upstream chose the unknown protocol {name}"),
        }
    }
}

/// The reason of a Status for an HTTP status code, as API servers give it.
const fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        500..=599 => "InternalError",
        _ => "Unknown",
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => write!(f, "not a URL: {error}"),
            Self::Scheme(scheme) => write!(f, "scheme {scheme} is not supported, only http and https"),
            Self::NoHost => f.write_str("the URL names no host"),
            Self::Excess(what) => write!(f, "the URL carries {what}"),
            Self::Tls(error) => write!(f, "{error}"),
            Self::TlsIgnored => f.write_str("the scheme is http, but there are options for TLS"),
        }
    }
}

impl std::error::Error for UpstreamError {}
