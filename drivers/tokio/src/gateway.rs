//! The gateway: accepts kubectl's WebSocket, speaks SPDY/3.1 to what is behind it.

mod join;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strait::Limits;
use strait::gateway::{Found, Plan, Planner};
use strait::http::{Request, origin};
use strait::k8s::{Server, Verb};
use strait::leg::{SpdyLeg, WebSocketLeg};
use strait::upgrade::Upgrade;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::answer;
use crate::hangup;
use crate::head::Head;
use crate::listener;
use crate::metrics::{Metrics, ProxyType};
use crate::pool::Pool;
use crate::relay::{PlainRequest, relay};
use crate::route::Route;
use crate::server::{Door, Exposed, Permit, ServerOptions, Visitor};
use crate::session::{Connected, Summary};
use crate::shutdown::Shutdown;
use crate::stream::Stream;
use crate::tls::TlsError;
use crate::upstream::{self, DialError, Upgraded, Upstream};

use self::join::{Begun, Ends, Exec, PASSED_ON, send, to_101};

pub use strait::gateway::{FeatureGates, GateError, UpstreamProtocol};

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
    found: Arc<Mutex<Found>>,
}

impl Gateway {
    /// A gateway in front of `upstream`, with [`ServerOptions::default`].
    pub fn new(upstream: Upstream) -> Self {
        strait_simd::install();
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
            Arc::clone(&gateway).connection(stream, peer, shutdown)
        })
        .await
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, shutdown: Shutdown) {
        // Boxed: what came before a session is dropped, so that it waits in no more memory than it needs itself.
        let Some(session) = Box::pin(self.begin(stream, peer, &shutdown)).await else { return };
        let Session { begun: Begun { legs, session }, path, server, verb, tty, permit } = session;
        let summary = session.await;
        tracing::info!(
            %peer,
            path,
            legs,
            tty,
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
        self.metrics().carried(&summary, is_translated && verb != Verb::PortForward);
        drop(permit);
        if let Some(observer) = &self.observer {
            observer(&summary);
        }
    }

    /// All that comes before a session. `None` if none comes.
    async fn begin<'a>(
        &'a self,
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: &'a Shutdown,
    ) -> Option<Session<'a>> {
        // Boxed, as what follows: the larger futures of the way in are not there together.
        let entering = Box::pin(self.door.enter(stream, peer, &self.limits, shutdown));
        let visitor = entering.await?;
        let route = self.route(&visitor, peer);
        let Visitor { stream: client, head } = visitor;
        let answer = match route {
            Way::Plain(request) => {
                tokio::select! {
                    () = Box::pin(relay(&self.upstream, client, &head, request, &self.limits)) => {}
                    () = shutdown.closed() => {}
                }
                return None;
            }
            Way::Upgrade(route) => match self.door.admit(shutdown) {
                Ok(permit) => return Box::pin(self.upgrade(client, head, route, permit, shutdown)).await,
                Err(answer) => answer,
            },
            Way::Answer(answer) => answer,
        };
        Box::pin(self.door.answer(client, &answer)).await;
        None
    }

    fn route(&self, visitor: &Visitor, peer: SocketAddr) -> Way {
        let request: Request = match Request::parse(visitor.head.head()) {
            Ok(request) => request,
            Err(error) => {
                tracing::info!(%peer, %error, "request refused");
                return Way::Answer(answer::text(error.status(), &error.to_string()));
            }
        };
        let checked = self.door.check(&request, &visitor.stream, peer);
        if let Err(answer) = checked.and_then(|()| self.check_host(&request)) {
            return Way::Answer(answer);
        }
        let (planner, upstream) = (self.planner(), &self.upstream);
        if !Upgrade::is_asked_for(&request) {
            return PlainRequest::of(&planner, upstream, &request, peer).map_or_else(Way::Answer, Way::Plain);
        }
        match Route::of(&planner, upstream, &request, peer, random()) {
            Ok(route) => Way::Upgrade(Box::new(route)),
            Err(answer) => {
                let (method, path) = (request.method, request.path());
                tracing::info!(%peer, method, path, answer = answer::start_line(&answer), "upgrade refused");
                if Upgrade::of(&request) == Some(Upgrade::WebSocket) {
                    self.metrics().translator_refused();
                }
                Way::Answer(answer)
            }
        }
    }

    fn planner(&self) -> Planner {
        Planner {
            kind: self.upstream.kind(),
            protocol: self.protocol,
            found: *self.found(),
            gates: self.gates,
            translates_port_forward: true,
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, verb: Verb, proves: Option<Upgrade>) {
        if self.found().learn(verb, proves) && self.protocol == UpstreamProtocol::Auto {
            tracing::info!(protocol = ?proves, "upstream's protocol found");
        }
    }

    fn doubt(&self, verb: Verb, error: &DialError) {
        if error.is_about_the_protocol() {
            self.found().doubt(verb);
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

    async fn upgrade<'a>(
        &'a self,
        client: Stream,
        head: Head,
        route: Box<Route>,
        permit: Permit,
        shutdown: &'a Shutdown,
    ) -> Option<Session<'a>> {
        let Plan { server, verb, streams, .. } = route.plan;
        let path = route.path.clone();
        let begun = if route.plan.answers_first() {
            self.answer_then_dial(client, head, route, shutdown).await
        } else {
            Box::pin(self.dial_then_answer(client, head, route, shutdown)).await
        };
        Some(Session { begun: begun?, path, server, verb, tty: streams.tty, permit })
    }

    /// The translator as upstream has it: the client gets its 101, then upstream is asked.
    async fn answer_then_dial<'a>(
        &'a self,
        mut client: Stream,
        head: Head,
        route: Box<Route>,
        shutdown: &Shutdown,
    ) -> Option<Begun<'a>> {
        let Plan { verb, streams, agreed, .. } = route.plan;
        let agreed = agreed?;
        send(&mut client, &to_101(&agreed)).await?;
        let (gateway, limits) = (self.clone(), self.limits);
        let dial = async move {
            // A plan has one attempt at least.
            let Some((attempt, request)) = route.attempts().next() else {
                return Err(upstream::to_refused(&DialError::Closed));
            };
            let upgraded = upstream::upgrade(&gateway.upstream, attempt, request, &limits);
            match timed(upgraded, gateway.metrics()).await {
                Ok(Upgraded { io, head, protocol }) => {
                    gateway.learn(verb, attempt.proves);
                    let leg = SpdyLeg::client(streams, protocol, &limits);
                    Ok(Connected { io, leg, behind: head.behind().to_vec() })
                }
                Err(error) => {
                    gateway.doubt(verb, &error);
                    Err(upstream::to_refused(&error))
                }
            }
        };
        let session = self.session(
            || Exec::new(WebSocketLeg::server(agreed.protocol, &self.limits), streams, &self.limits),
            client,
            head.behind(),
            Box::pin(dial),
            shutdown,
        );
        Some(Begun { legs: "WebSocket to SPDY/3.1", session })
    }

    /// Upstream is asked first, in all ways that it may know, and the client gets what comes of it.
    async fn dial_then_answer<'a>(
        &'a self,
        client: Stream,
        head: Head,
        route: Box<Route>,
        shutdown: &'a Shutdown,
    ) -> Option<Begun<'a>> {
        let mut result = Err(None);
        let Plan { verb, is_tunnel, agreed, streams, .. } = route.plan;
        for (attempt, request) in route.attempts() {
            let upgraded = upstream::upgrade(&self.upstream, attempt, request, &self.limits);
            let answered = tokio::select! {
                answered = timed(upgraded, self.metrics()) => answered,
                () = hangup::gone(&client) => return None,
            };
            match answered {
                Ok(upgraded) => {
                    self.learn(verb, attempt.proves);
                    result = Ok((upgraded, attempt.then));
                    break;
                }
                Err(error) => {
                    tracing::debug!(%error, "upstream cannot be used so");
                    self.doubt(verb, &error);
                    let is_final = !error.is_about_the_protocol();
                    result = Err(Some(error));
                    if is_final {
                        break;
                    }
                }
            }
        }
        let answer = match result {
            Ok((upgraded, then)) => {
                if is_tunnel {
                    self.metrics().tunnel_request(101);
                }
                let ends = Ends { client, head, agreed, streams, upgraded, then };
                return self.join(ends, shutdown).await;
            }
            Err(Some(error)) => upstream::to_answer(&error),
            Err(None) => answer::text(502, "upstream was not asked"),
        };
        if is_tunnel {
            self.metrics().tunnel_request(answer::status(&answer).unwrap_or(500));
        }
        self.door.answer(client, &answer).await;
        None
    }

    fn count_request(&self, server: Server, verb: Verb, is_translated: bool) {
        let proxy = match (is_translated, verb) {
            (false, _) => ProxyType::PassedOn,
            (true, Verb::PortForward) => ProxyType::Tunneled,
            (true, Verb::Exec | Verb::Attach) => ProxyType::Translated,
        };
        match server {
            Server::Api => self.metrics().api_streaming_request(verb, proxy),
            Server::Kubelet => self.metrics().kubelet_streaming_request(verb),
            Server::Cri => {}
        }
    }
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

/// A session that runs, and what is told of it at its end.
struct Session<'a> {
    begun: Begun<'a>,
    path: String,
    server: Server,
    verb: Verb,
    tty: bool,
    permit: Permit,
}

/// What a request gets.
enum Way {
    /// It is passed on as it is.
    Plain(PlainRequest),
    /// A session, if upstream agrees.
    Upgrade(Box<Route>),
    /// This answer.
    Answer(Vec<u8>),
}
