//! What the gateway and the node have in common: how they accept connections, whom they let in, and when they refuse
//! to listen at all.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use strait::Limits;
use strait::http::{Body, HeadError, Request};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::answer;
use crate::head::{Head, HeadFailure, read_head};
use crate::kubernetes_api::Answer;
use crate::metrics::{Limit, Metrics, Open};
use crate::reload::Reloaded;
use crate::shutdown::Shutdown;
use crate::stream::Stream;
use crate::tls::{Acceptor, ServerTls, TlsError};
use crate::token::{Token, TokenError};
use strait::http::origin;

/// How a server accepts connections. The default is closed: without TLS, for loopback.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// TLS, if it is spoken.
    pub tls: Option<ServerTls>,
    /// Plain text is spoken beyond loopback too, to clients and to upstream.
    pub insecure_allow_plaintext: bool,
    /// Values of `Origin` that are allowed beside the server's own; `*` is all.
    pub allowed_origins: Vec<String>,
    /// Connections at one time. More wait in the kernel's queue.
    pub max_connections: usize,
    /// Sessions at one time. More are answered 503. Bounds memory and, on a node, processes.
    pub max_sessions: usize,
    /// Bytes of the body of a request that is no upgrade. More are answered 413.
    pub max_body_bytes: u64,
    /// How long sessions may go on that run when the server [drains](Shutdown::drain).
    pub drain_timeout: Duration,
    /// What counts.
    pub metrics: Metrics,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            tls: None,
            insecure_allow_plaintext: false,
            allowed_origins: Vec::new(),
            max_connections: 20_000,
            max_sessions: 10_000,
            max_body_bytes: 64 * 1024 * 1024,
            drain_timeout: Duration::from_secs(30),
            metrics: Metrics::new(),
        }
    }
}

/// Why a server does not listen where it was told to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exposed {
    /// What clients send and get could be read on the way.
    Plaintext(SocketAddr),
    /// Anybody could run commands.
    Unauthenticated(SocketAddr),
    /// Anybody could use the certificate with which the gateway authenticates itself to upstream.
    LentIdentity(SocketAddr),
    /// What upstream is sent, credentials of clients included, could be read on the way.
    PlaintextUpstream,
}

/// The way in of a server.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) options: ServerOptions,
    acceptor: Option<Acceptor>,
    token: Option<Reloaded<Token, TokenError>>,
    sessions: Arc<Semaphore>,
}

/// A client that has sent a request.
pub(crate) struct Visitor {
    pub(crate) stream: Stream,
    pub(crate) head: Head,
}

/// The right to run a session.
pub(crate) struct Permit {
    _slot: OwnedSemaphorePermit,
    _active: Open,
}

impl Door {
    pub(crate) fn new(options: ServerOptions) -> Result<Self, TlsError> {
        let mut door = Self::default();
        door.set_options(options)?;
        Ok(door)
    }

    pub(crate) fn set_options(&mut self, options: ServerOptions) -> Result<(), TlsError> {
        self.acceptor = options.tls.clone().map(Acceptor::new).transpose()?;
        self.sessions = Arc::new(Semaphore::new(options.max_sessions.min(Semaphore::MAX_PERMITS)));
        self.options = options;
        Ok(())
    }

    /// Demands the token in this file from every client that has shown no certificate, and from every client if all
    /// have to show one.
    pub(crate) fn demand_token(&mut self, file: &Path) -> Result<(), TokenError> {
        let path = file.to_owned();
        self.token = Some(Reloaded::new(vec![path.clone()], move || Token::from_file(&path))?);
        Ok(())
    }

    /// Clients are asked who they are.
    pub(crate) const fn authenticates(&self) -> bool {
        self.token.is_some() || self.demands_certificates()
    }

    /// No client gets in without a certificate.
    pub(crate) const fn demands_certificates(&self) -> bool {
        matches!(&self.options.tls, Some(ServerTls { clients: Some(clients), .. }) if clients.required)
    }

    pub(crate) fn check_plaintext(&self, address: SocketAddr) -> Result<(), Exposed> {
        if is_loopback(address) || self.acceptor.is_some() || self.options.insecure_allow_plaintext {
            return Ok(());
        }
        Err(Exposed::Plaintext(address))
    }

    /// Lets a connection in as far as its first request's head, all within the time for the handshake.
    pub(crate) async fn enter(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        limits: &Limits,
        shutdown: &Shutdown,
    ) -> Option<Visitor> {
        let deadline = Instant::now() + limits.handshake;
        let secured = tokio::select! {
            secured = timeout_at(deadline, self.secure(stream, peer)) => secured,
            () = shutdown.drained() => return None,
        };
        let Ok(secured) = secured else {
            self.options.metrics.limit_hit(Limit::Handshake);
            tracing::debug!(%peer, "the TLS handshake was not complete in time");
            return None;
        };
        let mut stream = secured?;
        let left = deadline.saturating_duration_since(Instant::now());
        let head = tokio::select! {
            head = read_head(&mut stream, limits.head_bytes, left) => head,
            () = shutdown.drained() => {
                self.answer(stream, &stopping()).await;
                return None;
            }
        };
        match head {
            Ok(head) => Some(Visitor { stream, head }),
            Err(failure) => {
                tracing::debug!(%peer, ?failure, "no request");
                self.count_failure(&failure);
                if let Some(answer) = answer::to_failed_head(&failure) {
                    self.answer(stream, &answer).await;
                }
                None
            }
        }
    }

    async fn secure(&self, stream: TcpStream, peer: SocketAddr) -> Option<Stream> {
        let Some(acceptor) = &self.acceptor else { return Some(Stream::Plain(stream)) };
        match acceptor.accept(stream).await {
            Ok(stream) => Some(Stream::Tls(Box::new(stream))),
            Err(error) => {
                self.options.metrics.tls_failed();
                tracing::debug!(%peer, %error, "the TLS handshake failed");
                None
            }
        }
    }

    fn count_failure(&self, failure: &HeadFailure) {
        match failure {
            HeadFailure::Timeout => self.options.metrics.limit_hit(Limit::Handshake),
            HeadFailure::Malformed(HeadError::TooLarge { .. }) => self.options.metrics.limit_hit(Limit::Head),
            HeadFailure::Malformed(_) | HeadFailure::Closed | HeadFailure::Io(_) => {}
        }
    }

    /// Checks who asks, before anything is looked at that is asked for. The error is the answer.
    pub(crate) fn check(
        &self,
        request: &Request<'_>,
        stream: &Stream,
        peer: SocketAddr,
    ) -> Result<(), Vec<u8>> {
        self.judge(request, stream).inspect_err(|answer| {
            // The path only: queries carry commands, and commands carry secrets.
            let path = request.path();
            tracing::info!(%peer, path, answer = answer::start_line(answer), "request refused");
        })
    }

    fn judge(&self, request: &Request<'_>, stream: &Stream) -> Result<(), Vec<u8>> {
        if !origin::is_allowed(request, stream.is_tls(), &self.options.allowed_origins) {
            return Err(answer::text(403, "requests of web pages from this Origin are not allowed"));
        }
        if !self.is_authenticated(request, stream) {
            let answer = Answer::unauthorized();
            let challenge = [("WWW-Authenticate", "Bearer")];
            return Err(answer::response(answer.status, &challenge, answer.content_type, answer.body));
        }
        if let Body::Length(length) = request.body()
            && length > self.options.max_body_bytes
        {
            self.options.metrics.limit_hit(Limit::Body);
            let message = format!("a body may have up to {} bytes", self.options.max_body_bytes);
            return Err(answer::text(413, &message));
        }
        Ok(())
    }

    fn is_authenticated(&self, request: &Request<'_>, stream: &Stream) -> bool {
        let Some(token) = &self.token else { return true };
        if stream.has_peer_certificate() && !self.demands_certificates() {
            return true;
        }
        token.current().is_shown_by(request)
    }

    /// The right to run one session more. The error is the answer.
    pub(crate) fn admit(&self, shutdown: &Shutdown) -> Result<Permit, Vec<u8>> {
        if shutdown.is_draining() {
            return Err(stopping());
        }
        let Ok(slot) = Arc::clone(&self.sessions).try_acquire_owned() else {
            self.options.metrics.limit_hit(Limit::Sessions);
            tracing::warn!(limit = self.options.max_sessions, "session refused: there are too many");
            return Err(answer::text(503, "too many sessions"));
        };
        Ok(Permit { _slot: slot, _active: self.options.metrics.session() })
    }

    /// Sends the one answer of a connection, and closes it.
    pub(crate) async fn answer(&self, stream: Stream, answer: &[u8]) {
        self.options.metrics.answered(answer);
        answer::send_and_close(stream, answer).await;
    }
}

impl Default for Door {
    fn default() -> Self {
        let options = ServerOptions::default();
        let sessions = Arc::new(Semaphore::new(options.max_sessions));
        Self { options, acceptor: None, token: None, sessions }
    }
}

fn stopping() -> Vec<u8> {
    answer::text(503, "this server is stopping")
}

/// True for the addresses that nobody else can reach.
pub(crate) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plaintext(address) => write!(
                f,
                "{address} is not a loopback address, and without TLS everything could be read on the way: give a \
                 certificate and a key, or allow plain text explicitly"
            ),
            Self::Unauthenticated(address) => write!(
                f,
                "{address} is not a loopback address, and anybody could run commands there: demand a token or client \
                 certificates"
            ),
            Self::LentIdentity(address) => write!(
                f,
                "{address} is not a loopback address, and anybody there could act with the gateway's own client \
                 certificate: demand client certificates"
            ),
            Self::PlaintextUpstream => f.write_str(
                "upstream is not on loopback, and without TLS the credentials of clients could be read on the way: use \
                 https, or allow plain text explicitly",
            ),
        }
    }
}

impl std::error::Error for Exposed {}

impl From<Exposed> for std::io::Error {
    fn from(exposed: Exposed) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, exposed)
    }
}
