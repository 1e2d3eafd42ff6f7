//! The gateway: accepts kubectl's WebSocket, speaks SPDY/3.1 to what is behind it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use strait::Limits;
use strait::bridge::{Carried, ExecBridge, Outcome};
use strait::http::Request;
use strait::k8s::{Server, StreamSet, Verb};
use strait::leg::{Leg, SpdyLeg, WebSocketLeg};
use strait::spdy::{Inflate, LentBlocks};
use strait::ws::MaskKeys;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::answer;
use crate::handshake;
use crate::head::Head;
use crate::listener;
use crate::metrics::{Metrics, ProxyType};
use crate::origin;
use crate::passthrough::{self, PassedOn};
use crate::pool::Pool;
use crate::relay::{PlainRequest, relay};
use crate::route::{Attempt, Client, Plan, Planner, Then};
use crate::server::{Door, Exposed, Permit, ServerOptions, Visitor};
use crate::session::{Connected, Dial, Session, Summary};
use crate::shutdown::Shutdown;
use crate::stream::Stream;
use crate::tls::TlsError;
use crate::upstream::{self, DialError, Upgraded, Upstream};

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
    protocol: UpstreamProtocol,
    gates: FeatureGates,
    /// What upstream was found to speak, where `protocol` is `Auto`.
    found: Arc<AtomicU8>,
}

/// What a gateway speaks to its upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// WebSocket if upstream takes it, else SPDY; what it takes is remembered.
    Auto,
    /// SPDY/3.1 only, which every upstream speaks.
    #[default]
    Spdy,
    /// WebSocket only.
    WebSocket,
}

/// Kubernetes' feature gates that concern a gateway, under their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureGates {
    /// `TranslateStreamCloseWebsocketRequests`: off, WebSocket v5 requests are passed on as they are.
    pub translate_stream_close_websocket_requests: bool,
}

impl Default for FeatureGates {
    fn default() -> Self {
        Self { translate_stream_close_websocket_requests: true }
    }
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
            protocol: UpstreamProtocol::default(),
            gates: FeatureGates::default(),
            found: Arc::default(),
        }
    }

    /// With other options; their files are read here for the first time.
    pub fn with_options(mut self, options: ServerOptions) -> Result<Self, TlsError> {
        self.door = Arc::new(Door::new(options)?);
        Ok(self)
    }

    /// Speaking `protocol` to upstream.
    #[must_use]
    pub fn with_upstream_protocol(mut self, protocol: UpstreamProtocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// With other feature gates than the defaults.
    #[must_use]
    pub fn with_feature_gates(mut self, gates: FeatureGates) -> Self {
        self.gates = gates;
        self
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
            Route::Upgrade(plan) => match self.door.admit(&shutdown) {
                Ok(permit) => Box::pin(self.upgrade(client, peer, &head, plan, permit, &shutdown)).await,
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
        let planner = Planner {
            upstream: &self.upstream,
            peer,
            gates: self.gates,
            protocol: self.known_protocol(),
            nonce: random(),
        };
        match planner.plan(&request) {
            Ok(plan) => Route::Upgrade(plan),
            Err(answer) => {
                let (method, path) = (request.method, request.path());
                tracing::info!(%peer, method, path, answer = answer::start_line(&answer), "upgrade refused");
                if handshake::is_websocket(&request) {
                    self.metrics().translator_refused();
                }
                Route::Answer(answer)
            }
        }
    }

    fn known_protocol(&self) -> UpstreamProtocol {
        match (self.protocol, self.found.load(Ordering::Relaxed)) {
            (UpstreamProtocol::Auto, SPDY) => UpstreamProtocol::Spdy,
            (UpstreamProtocol::Auto, WEBSOCKET) => UpstreamProtocol::WebSocket,
            (protocol, _) => protocol,
        }
    }

    fn learn(&self, proven: Option<UpstreamProtocol>) {
        let found = match proven {
            Some(UpstreamProtocol::Spdy) => SPDY,
            Some(UpstreamProtocol::WebSocket) => WEBSOCKET,
            Some(UpstreamProtocol::Auto) | None => return,
        };
        if self.protocol == UpstreamProtocol::Auto && self.found.swap(found, Ordering::Relaxed) != found {
            tracing::info!(protocol = ?proven, "upstream's protocol found");
        }
    }

    /// Upstream may be another one by now, or an older or newer version: what was found about it is found again.
    fn doubt(&self, error: &DialError) {
        if error.is_about_the_protocol() {
            self.found.store(UNKNOWN, Ordering::Relaxed);
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

    async fn upgrade(
        &self,
        client: Stream,
        peer: SocketAddr,
        head: &Head,
        plan: Plan,
        permit: Permit,
        shutdown: &Shutdown,
    ) {
        let Plan { server, verb, streams, .. } = plan;
        let path = plan.path.clone();
        let ended = if plan.answers_first() {
            self.answer_then_dial(client, head, plan, shutdown).await
        } else {
            self.dial_then_answer(client, head, plan, shutdown).await
        };
        let Some(Ended { legs, summary }) = ended else { return };
        tracing::info!(
            %peer,
            path,
            legs,
            tty = streams.tty,
            end = %summary.outcome,
            from_client = summary.from_client,
            to_client = summary.to_client,
            from_upstream = summary.from_upstream,
            to_upstream = summary.to_upstream,
            duration_ms = u64::try_from(summary.duration.as_millis()).unwrap_or(u64::MAX),
            "session ended",
        );
        let is_translated = legs != PASSED_ON;
        self.count_request(server, verb, is_translated);
        self.metrics().carried(&summary, is_translated);
        drop(permit);
        if let Some(observer) = &self.observer {
            observer(&summary);
        }
    }

    /// The translator as upstream has it: the client gets its 101, then upstream is asked.
    async fn answer_then_dial(
        &self,
        mut client: Stream,
        head: &Head,
        plan: Plan,
        shutdown: &Shutdown,
    ) -> Option<Ended> {
        let Client::WebSocket(Some(agreed)) = plan.client else { return None };
        send(&mut client, &agreed.answer).await?;
        let Attempt { request, proves, .. } = plan.attempts.into_iter().next()?;
        let (gateway, streams, limits) = (self.clone(), plan.streams, self.limits);
        let dial = async move {
            match timed(upstream::upgrade(&gateway.upstream, &request, &limits), gateway.metrics()).await {
                Ok(Upgraded { io, head, protocol }) => {
                    gateway.learn(proves);
                    let leg = SpdyLeg::client(streams, protocol, &limits);
                    Ok(Connected { io, leg, behind: head.behind().to_vec() })
                }
                Err(error) => {
                    gateway.doubt(&error);
                    Err(error.into_refused())
                }
            }
        };
        let leg = WebSocketLeg::server(agreed.protocol, &self.limits);
        let summary = self.translate(leg, streams, client, head.behind(), Box::pin(dial), shutdown).await;
        Some(Ended { legs: "WebSocket to SPDY/3.1", summary })
    }

    /// Upstream is asked first, in all ways that it may know, and the client gets what comes of it.
    async fn dial_then_answer(
        &self,
        client: Stream,
        head: &Head,
        plan: Plan,
        shutdown: &Shutdown,
    ) -> Option<Ended> {
        let mut last = None;
        let is_tunnel = plan.verb == Verb::PortForward && matches!(plan.client, Client::WebSocket(_));
        for Attempt { request, then, proves } in plan.attempts {
            match timed(upstream::upgrade(&self.upstream, &request, &self.limits), self.metrics()).await {
                Ok(upgraded) => {
                    self.learn(proves);
                    if is_tunnel {
                        self.metrics().tunnel_request(101);
                    }
                    return self
                        .join(client, head, plan.client, plan.streams, upgraded, then, shutdown)
                        .await;
                }
                Err(error) => {
                    tracing::debug!(%error, "upstream cannot be used so");
                    self.doubt(&error);
                    let is_final = !error.is_about_the_protocol();
                    last = Some(error);
                    if is_final {
                        break;
                    }
                }
            }
        }
        let answer = last.map_or_else(|| answer::text(502, "upstream was not asked"), DialError::into_answer);
        if is_tunnel {
            self.metrics().tunnel_request(answer::status(&answer).unwrap_or(500));
        }
        self.door.answer(client, &answer).await;
        None
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "both ends of a session, as they stand after their upgrades"
    )]
    async fn join(
        &self,
        mut client: Stream,
        head: &Head,
        asked: Client,
        streams: StreamSet,
        upgraded: Upgraded,
        then: Then,
        shutdown: &Shutdown,
    ) -> Option<Ended> {
        let Upgraded { io, head: answer, protocol } = upgraded;
        let limits = &self.limits;
        let behind = answer.behind().to_vec();
        match (asked, then) {
            (Client::WebSocket(Some(agreed)), Then::ToSpdy) => {
                send(&mut client, &agreed.answer).await?;
                let dial = connected(io, SpdyLeg::client(streams, protocol, limits), behind);
                let leg = WebSocketLeg::server(agreed.protocol, limits);
                let summary = self.translate(leg, streams, client, head.behind(), dial, shutdown).await;
                Some(Ended { legs: "WebSocket to SPDY/3.1", summary })
            }
            (Client::WebSocket(Some(agreed)), Then::PassOnOrTranslate) if protocol != agreed.protocol => {
                send(&mut client, &agreed.answer).await?;
                let dial =
                    connected(io, WebSocketLeg::client(protocol, limits, MaskKeys::new(random())), behind);
                let leg = WebSocketLeg::server(agreed.protocol, limits);
                let summary = self.translate(leg, streams, client, head.behind(), dial, shutdown).await;
                Some(Ended { legs: "WebSocket to WebSocket", summary })
            }
            (Client::Spdy(Some(agreed)), Then::ToWebSocket) => {
                send(&mut client, &agreed.answer).await?;
                let dial =
                    connected(io, WebSocketLeg::client(protocol, limits, MaskKeys::new(random())), behind);
                let blocks = LentBlocks(Some(Box::<Inflate>::default()));
                let leg = SpdyLeg::server(streams, agreed.protocol, limits, blocks);
                let summary = self.translate(leg, streams, client, head.behind(), dial, shutdown).await;
                Some(Ended { legs: "SPDY/3.1 to WebSocket", summary })
            }
            _ => self.pass_on(client, head, io, &answer, shutdown).await,
        }
    }

    async fn translate<A: Leg, B: Leg>(
        &self,
        leg: A,
        streams: StreamSet,
        client: Stream,
        behind: &[u8],
        dial: Dial<Stream, B>,
        shutdown: &Shutdown,
    ) -> Summary {
        let bridge: ExecBridge<A, B> = ExecBridge::new(leg, streams, &self.limits);
        let session = Session::new(bridge, client, behind, dial, &self.pool, shutdown.closing());
        Box::pin(session.run()).await
    }

    async fn pass_on(
        &self,
        mut client: Stream,
        head: &Head,
        mut io: Stream,
        answer: &Head,
        shutdown: &Shutdown,
    ) -> Option<Ended> {
        let started = Instant::now();
        send(&mut client, &[answer.head(), answer.behind()].concat()).await?;
        send(&mut io, head.behind()).await?;
        let passing = passthrough::pass_on(client, io, self.limits.close, &self.pool);
        let (passed, outcome) = tokio::select! {
            passed = passing => (passed, if passed.cut { Outcome::ClientLost } else { Outcome::Completed }),
            () = shutdown.closed() => (PassedOn::default(), Outcome::Shutdown),
        };
        let summary = Summary {
            outcome,
            from_client: passed.from_client,
            to_client: passed.from_upstream,
            from_upstream: passed.from_upstream,
            to_upstream: passed.from_client,
            duration: started.elapsed(),
            carried: Carried::default(),
            client_round_trip: None,
            upstream_round_trip: None,
        };
        Some(Ended { legs: PASSED_ON, summary })
    }

    fn count_request(&self, server: Server, verb: Verb, is_translated: bool) {
        let proxy = if is_translated { ProxyType::Translated } else { ProxyType::PassedOn };
        match server {
            Server::Api => self.metrics().api_streaming_request(verb, proxy),
            Server::Kubelet => self.metrics().kubelet_streaming_request(verb),
            Server::Cri => {}
        }
    }
}

/// A session that has ended.
struct Ended {
    legs: &'static str,
    summary: Summary,
}

/// The legs of a session whose bytes nobody looked at.
const PASSED_ON: &str = "passed on";

const UNKNOWN: u8 = 0;
const SPDY: u8 = 1;
const WEBSOCKET: u8 = 2;

/// Sends what comes before a session. `None` if the peer is gone.
async fn send(stream: &mut Stream, bytes: &[u8]) -> Option<()> {
    let sent = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    sent.await.inspect_err(|error| tracing::debug!(%error, "peer left before its session")).ok()
}

/// A connection that stands already.
fn connected<L: Leg + Send + 'static>(io: Stream, leg: L, behind: Vec<u8>) -> Dial<Stream, L> {
    Box::pin(std::future::ready(Ok(Connected { io, leg, behind })))
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // Without randomness of the system nothing here is safe; the same source feeds TLS.
    getrandom::fill(&mut bytes).unwrap_or_else(|error| panic!("no randomness: {error}"));
    bytes
}

/// Tells the metrics how long upstream took.
async fn timed<T, E>(dial: impl Future<Output = Result<T, E>>, metrics: &Metrics) -> Result<T, E> {
    let started = Instant::now();
    let result = dial.await;
    metrics.upstream_connected(started.elapsed(), result.is_ok());
    result
}

/// What a request gets.
enum Route {
    /// It is passed on as it is.
    Plain(PlainRequest),
    /// A session, if upstream agrees.
    Upgrade(Plan),
    /// This answer.
    Answer(Vec<u8>),
}
