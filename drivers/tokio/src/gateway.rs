//! The gateway: accepts kubectl's WebSocket, speaks SPDY/3.1 to what is behind it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use strait::Limits;
use strait::bridge::ExecBridge;
use strait::http::{HeadWriter, Request, reason};
use strait::k8s::{RequestError, Server, StreamSet, Subprotocol, Target, Verb, negotiate};
use strait::leg::WebSocketLeg;
use strait::ws;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::answer;
use crate::head::Head;
use crate::listener;
use crate::metrics::{Metrics, ProxyType};
use crate::origin;
use crate::pool::Pool;
use crate::relay::{PlainRequest, relay};
use crate::server::{Door, Exposed, Permit, ServerOptions, Visitor};
use crate::session::{Session, Summary};
use crate::shutdown::Shutdown;
use crate::stream::Stream;
use crate::tls::TlsError;
use crate::upstream::{self, Upstream};

/// Buffers that are kept for the next sessions: 64 sessions' worth, 8 MiB.
const KEPT_BUFFERS: usize = 128;

/// Called at the end of each session.
type Observer = dyn Fn(&Summary) + Send + Sync;

/// The translator as a server: client legs accepted on a listener, upstream legs dialled.
#[derive(Clone)]
pub struct Gateway {
    upstream: Upstream,
    limits: Limits,
    pool: Pool,
    observer: Option<Arc<Observer>>,
    door: Arc<Door>,
}

impl Gateway {
    /// A gateway in front of `upstream`, with [`ServerOptions::default`].
    pub fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            limits: Limits::HOST,
            pool: Pool::new(KEPT_BUFFERS),
            observer: None,
            door: Arc::default(),
        }
    }

    /// With other options; their files are read here for the first time.
    pub fn with_options(mut self, options: ServerOptions) -> Result<Self, TlsError> {
        self.door = Arc::new(Door::new(options)?);
        Ok(self)
    }

    /// With other limits than [`Limits::HOST`].
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Calls `observer` at the end of each session.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&Summary) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Whether these options are closed enough to listen at `address`.
    pub fn check(&self, address: SocketAddr) -> Result<(), Exposed> {
        self.door.check_plaintext(address)?;
        if self.upstream.is_exposed() && !self.door.options.insecure_allow_plaintext {
            return Err(Exposed::PlaintextUpstream);
        }
        if self.upstream.lends_identity()
            && !self.door.demands_certificates()
            && !crate::server::is_loopback(address)
        {
            return Err(Exposed::LentIdentity(address));
        }
        Ok(())
    }

    /// Serves until `shutdown` says to drain and all sessions have ended; see [`Shutdown`] for how long that is.
    ///
    /// Fails with an [`Exposed`] if the listener's address does not pass the [`check`](Self::check).
    pub async fn serve(self, listener: TcpListener, shutdown: impl Into<Shutdown>) -> io::Result<()> {
        self.check(listener.local_addr()?)?;
        let gateway = Arc::new(self);
        listener::serve(listener, &gateway.door.options, &shutdown.into(), |stream, peer, shutdown| {
            let gateway = Arc::clone(&gateway);
            async move { gateway.connection(stream, peer, shutdown).await }
        })
        .await
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr, shutdown: Shutdown) {
        let Some(visitor) = self.door.enter(stream, peer, &self.limits, &shutdown).await else { return };
        let route = self.route(&visitor, peer);
        let Visitor { stream: client, head } = visitor;
        match route {
            Route::Plain(request) => tokio::select! {
                () = relay(&self.upstream, client, &head, request, &self.limits) => {}
                () = shutdown.closed() => {}
            },
            Route::Session(accepted) => match self.door.admit(&shutdown) {
                Ok(permit) => self.session(client, peer, &head, accepted, permit, &shutdown).await,
                Err(answer) => self.door.answer(client, &answer).await,
            },
            Route::Answer(answer) => self.door.answer(client, &answer).await,
        }
    }

    fn route(&self, visitor: &Visitor, peer: SocketAddr) -> Route {
        let request: Request = match Request::parse(visitor.head.head()) {
            Ok(request) => request,
            Err(error) => {
                tracing::info!(%peer, %error, "request refused");
                return Route::Answer(answer::text(error.status(), &error.to_string()));
            }
        };
        let checked = self.door.check(&request, &visitor.stream, peer);
        if let Err(answer) = checked.and_then(|()| self.check_host(&request)) {
            return Route::Answer(answer);
        }
        if request.headers.tokens("Upgrade").next().is_none() {
            return PlainRequest::of(&request, &self.upstream, peer).map_or_else(Route::Answer, Route::Plain);
        }
        match Accepted::of(&request, &self.upstream, peer) {
            Ok(accepted) => Route::Session(accepted),
            Err(refusal) => {
                let (method, path) = (request.method, request.path());
                tracing::info!(%peer, method, path, answer = answer::start_line(&refusal.0), "upgrade refused");
                if request.headers.has_token("Upgrade", "websocket") {
                    self.metrics().translator_refused();
                }
                Route::Answer(refusal.0)
            }
        }
    }

    /// A gateway that lends its own certificate lends it to no page whose name was pointed at this host's
    /// address: requests of such a page come with that name and, where they only read, without an `Origin`.
    fn check_host(&self, request: &Request<'_>) -> Result<(), Vec<u8>> {
        let lends = self.upstream.lends_identity() && !self.door.demands_certificates();
        if lends && !request.headers.get_str("Host").is_some_and(origin::is_unambiguous) {
            return Err(answer::text(403, "Host has to be an address or localhost"));
        }
        Ok(())
    }

    fn metrics(&self) -> &Metrics {
        &self.door.options.metrics
    }

    async fn session(
        &self,
        mut client: Stream,
        peer: SocketAddr,
        head: &Head,
        accepted: Accepted,
        permit: Permit,
        shutdown: &Shutdown,
    ) {
        let Accepted { answer, streams, path, request } = accepted;
        self.count_request(&path);
        if let Err(error) = client.write_all(&answer).await {
            tracing::debug!(%peer, %error, "client left before it was answered");
            return;
        }
        let leg = WebSocketLeg::server(Subprotocol::V5, &self.limits);
        let bridge = ExecBridge::new(leg, streams, &self.limits);
        let dial = upstream::dial(self.upstream.clone(), request, streams, self.limits);
        let dial = Box::pin(timed(dial, self.metrics().clone()));
        let session = Session::new(bridge, client, head.behind(), dial, &self.pool, shutdown.closing());
        let summary = Box::pin(session.run()).await;
        tracing::info!(
            %peer,
            path,
            legs = "WebSocket to SPDY/3.1",
            end = %summary.outcome,
            from_client = summary.from_client,
            to_client = summary.to_client,
            from_upstream = summary.from_upstream,
            to_upstream = summary.to_upstream,
            duration_ms = u64::try_from(summary.duration.as_millis()).unwrap_or(u64::MAX),
            "session ended",
        );
        self.metrics().translated(&summary);
        drop(permit);
        if let Some(observer) = &self.observer {
            observer(&summary);
        }
    }

    fn count_request(&self, path: &str) {
        match Target::parse(path) {
            Ok(Target { server: Server::Api, verb, .. }) => {
                self.metrics().api_streaming_request(verb, ProxyType::Translated);
            }
            Ok(Target { server: Server::Kubelet, verb, .. }) => {
                self.metrics().kubelet_streaming_request(verb);
            }
            Ok(Target { server: Server::Cri, .. }) | Err(_) => {}
        }
    }
}

/// Tells the metrics how long upstream took.
async fn timed<T, E>(dial: impl Future<Output = Result<T, E>>, metrics: Metrics) -> Result<T, E> {
    let started = Instant::now();
    let result = dial.await;
    metrics.upstream_connected(started.elapsed(), result.is_ok());
    result
}

/// What a request gets.
enum Route {
    /// It is passed on as it is.
    Plain(PlainRequest),
    /// A session.
    Session(Accepted),
    /// This answer.
    Answer(Vec<u8>),
}

/// A session that was accepted: what the client is answered and what upstream is asked for.
struct Accepted {
    answer: Vec<u8>,
    streams: StreamSet,
    path: String,
    request: Vec<u8>,
}

/// The answer to an upgrade that is refused.
struct Refusal(Vec<u8>);

impl Refusal {
    /// A WebSocket handshake's refusal, byte for byte as upstream's servers answer (`http-upgrade.md`
    /// section 3.3): clients look for these.
    fn handshake(status: u16, header: &str, body: &str) -> Self {
        Self(format!("HTTP/1.1 {status} {}\r\n{header}\r\n{body}", reason(status)).into_bytes())
    }

    fn text(status: u16, message: &str) -> Self {
        Self(answer::text(status, message))
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        Self::text(error.status(), &error.to_string())
    }
}

impl Accepted {
    /// Checks an upgrade, in the order in which upstream's servers do.
    fn of(request: &Request<'_>, upstream: &Upstream, peer: SocketAddr) -> Result<Self, Refusal> {
        if !request.headers.has_token("Upgrade", "websocket") {
            return Err(Refusal::text(501, "only upgrades to WebSocket are translated"));
        }
        let key = check_handshake(request)?;
        let target = Target::parse(request.target)?;
        if target.verb == Verb::PortForward {
            return Err(Refusal::handshake(403, "", ""));
        }
        let offered = request.headers.lines("Sec-WebSocket-Protocol");
        let protocol = negotiate(offered, Subprotocol::TRANSLATOR)
            .map_err(|refused| Refusal::handshake(refused.websocket_status(), "", ""))?;
        let streams = target.streams()?;
        let answer = write_101(&ws::accept_key(key), protocol)
            .ok_or_else(|| Refusal::text(500, "the answer cannot be written"))?;
        let request_upstream = upstream
            .spdy_request(request, peer)
            .map_err(|error| Refusal::text(error.status(), &error.to_string()))?;
        Ok(Self { answer, streams, path: request.path().into(), request: request_upstream })
    }
}

/// The checks of RFC 6455 section 4.2.1. Returns the key.
fn check_handshake<'a>(request: &Request<'a>) -> Result<&'a [u8], Refusal> {
    if request.method != "GET" {
        return Err(Refusal::handshake(405, "", "bad method"));
    }
    if !request.wants_upgrade() {
        return Err(Refusal::handshake(400, "", "not websocket protocol"));
    }
    let key = request.headers.get("Sec-WebSocket-Key").filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Refusal::handshake(400, "", "mismatch challenge/response"))?;
    if request.headers.get("Sec-WebSocket-Version") != Some(b"13") {
        let header = "Sec-WebSocket-Version: 13\r\n";
        return Err(Refusal::handshake(400, header, "missing or bad WebSocket Version"));
    }
    Ok(key)
}

fn write_101(accept: &[u8], protocol: Subprotocol) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 512];
    let head = HeadWriter::response(&mut bytes, 101, reason(101))
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Accept", accept)
        .header("Sec-WebSocket-Protocol", protocol.name());
    let len = head.finish().ok()?;
    bytes.truncate(len);
    Some(bytes)
}
