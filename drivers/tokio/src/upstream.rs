use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use strait::Limits;
use strait::gateway::{self, Attempt, Hop, UpstreamKind};
use strait::http::Response;
use strait::k8s::Subprotocol;
use strait::upgrade::UpgradeError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::{Host, Url};

use crate::answer;
use crate::head::{Head, HeadFailure, read_head};
use crate::listener::prepare;
use crate::session::Refused;
use crate::stream::Stream;
use crate::tls::{ClientTls, Connector, TlsError};

/// Most bytes of a refusal's body that are read.
const REFUSAL_BODY: u64 = 64 * 1024;

/// The server behind the gateway.
#[derive(Debug, Clone)]
pub struct Upstream {
    host: String,
    port: u16,
    authority: String,
    /// In front of every request's path; empty, or `/...` without a slash at its end.
    prefix: String,
    tls: Option<Arc<Connector>>,
    is_loopback: bool,
    kind: UpstreamKind,
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
        let port = url.port_or_known_default().unwrap_or(80);
        Ok(Self {
            authority: format!("{host}:{port}"),
            host,
            port,
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

    pub(crate) const fn kind(&self) -> UpstreamKind {
        self.kind
    }

    /// What a request that is passed on for the client at `peer` tells of its way.
    pub(crate) fn hop(&self, peer: SocketAddr) -> Hop<'_> {
        Hop {
            authority: &self.authority,
            prefix: &self.prefix,
            client: Some(peer.ip().to_canonical()),
            authorization: None,
        }
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
}

/// The host of a URL as resolvers and certificates know it.
fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

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
    attempt: &Attempt,
    request: &[u8],
    limits: &Limits,
) -> Result<Upgraded, DialError> {
    timeout(limits.handshake, send_upgrade(upstream, attempt, request, limits))
        .await
        .unwrap_or(Err(DialError::Timeout))
}

async fn send_upgrade(
    upstream: &Upstream,
    attempt: &Attempt,
    request: &[u8],
    limits: &Limits,
) -> Result<Upgraded, DialError> {
    let mut io = upstream.connect().await.map_err(DialError::Connect)?;
    io.write_all(request).await.map_err(DialError::Connect)?;
    io.flush().await.map_err(DialError::Connect)?;
    let head = read_head(&mut io, limits.head_bytes, limits.handshake).await.map_err(no_head)?;
    let checked = match Response::<64>::parse(head.head()) {
        Ok(response) => attempt.check_answer(&response),
        Err(error) => return Err(DialError::Malformed(error)),
    };
    match checked {
        Ok(protocol) => Ok(Upgraded { io, head, protocol }),
        Err(error @ UpgradeError::Refused { .. }) => {
            let body = read_body(&mut io, &head, limits).await;
            Err(DialError::Upgrade { error, body })
        }
        Err(error) => Err(DialError::Upgrade { error, body: Vec::new() }),
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

/// Why there is no upstream for a session.
pub(crate) type DialError = gateway::DialError<io::Error, Vec<u8>>;

fn no_head(failure: HeadFailure) -> DialError {
    match failure {
        HeadFailure::Closed => DialError::Closed,
        HeadFailure::Timeout => DialError::Silent,
        HeadFailure::Malformed(error) => DialError::Malformed(error),
        HeadFailure::Io(error) => DialError::Io(error),
    }
}

/// The answer for a client that was not answered yet.
pub(crate) fn to_answer(error: &DialError) -> Vec<u8> {
    answer::written(|out| error.write_answer(out))
}

/// The status that a session ends with whose client was answered already.
pub(crate) fn to_refused(error: &DialError) -> Refused {
    tracing::debug!(%error, "upstream cannot be used");
    let mut json = vec![0; 4096];
    let written = error.write_status(&mut json);
    json.truncate(written.unwrap_or(0));
    Refused(json)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_known_by_its_address_of_version_4() {
        let upstream = Upstream::parse("http://127.0.0.1:1").unwrap();
        let hop = upstream.hop("[::ffff:10.0.0.7]:1".parse().unwrap());
        assert_eq!(hop.client, Some([10, 0, 0, 7].into()));
    }
}
