//! The gateway: accepts kubectl's WebSocket, speaks SPDY/3.1 to what is behind it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use strait::Limits;
use strait::bridge::ExecBridge;
use strait::http::{HeadWriter, Request, reason};
use strait::k8s::{RequestError, StreamSet, Subprotocol, Target, Verb, negotiate};
use strait::leg::WebSocketLeg;
use strait::ws;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::answer;
use crate::head::{Head, read_head};
use crate::listener;
use crate::pool::Pool;
use crate::relay::{PlainRequest, relay};
use crate::session::{Session, Summary};
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
}

impl Gateway {
    /// A gateway in front of `upstream`.
    pub fn new(upstream: Upstream) -> Self {
        Self { upstream, limits: Limits::HOST, pool: Pool::new(KEPT_BUFFERS), observer: None }
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

    /// Serves until `stop` is cancelled; sessions that run then are ended with a status, and cut after 5 s.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let gateway = Arc::new(self);
        listener::serve(listener, stop.clone(), move |stream, peer| {
            let (gateway, stop) = (Arc::clone(&gateway), stop.clone());
            async move { gateway.connection(stream, peer, stop).await }
        })
        .await
    }

    async fn connection(&self, mut client: TcpStream, peer: SocketAddr, stop: CancellationToken) {
        let head = match read_head(&mut client, self.limits.head_bytes, self.limits.handshake).await {
            Ok(head) => head,
            Err(failure) => {
                tracing::debug!(%peer, ?failure, "no request");
                if let Some(answer) = answer::to_failed_head(&failure) {
                    answer::send_and_close(client, &answer).await;
                }
                return;
            }
        };
        match self.route(&head, peer) {
            Route::Plain(request) => relay(&self.upstream, client, &head, request, &self.limits).await,
            Route::Session(accepted) => self.session(client, peer, &head, accepted, stop).await,
            Route::Answer(answer) => answer::send_and_close(client, &answer).await,
        }
    }

    fn route(&self, head: &Head, peer: SocketAddr) -> Route {
        let request: Request = match Request::parse(head.head()) {
            Ok(request) => request,
            Err(error) => {
                tracing::info!(%peer, %error, "request refused");
                return Route::Answer(answer::text(error.status(), &error.to_string()));
            }
        };
        if request.headers.tokens("Upgrade").next().is_none() {
            return PlainRequest::of(&request, &self.upstream, peer).map_or_else(Route::Answer, Route::Plain);
        }
        match Accepted::of(&request, &self.upstream, peer) {
            Ok(accepted) => Route::Session(accepted),
            Err(refusal) => {
                let (method, path) = (request.method, request.path());
                tracing::info!(%peer, method, path, answer = refusal.start_line(), "upgrade refused");
                Route::Answer(refusal.0)
            }
        }
    }

    async fn session(
        &self,
        mut client: TcpStream,
        peer: SocketAddr,
        head: &Head,
        accepted: Accepted,
        stop: CancellationToken,
    ) {
        let Accepted { answer, streams, path, request } = accepted;
        if let Err(error) = client.write_all(&answer).await {
            tracing::debug!(%peer, %error, "client left before it was answered");
            return;
        }
        let leg = WebSocketLeg::server(Subprotocol::V5, &self.limits);
        let bridge = ExecBridge::new(leg, streams, &self.limits);
        let dial = Box::pin(upstream::dial(self.upstream.clone(), request, streams, self.limits));
        let session = Session::new(bridge, client, head.behind(), dial, &self.pool, stop);
        let summary = Box::pin(session.run()).await;
        tracing::info!(
            %peer,
            path,
            end = %summary.outcome,
            from_client = summary.from_client,
            to_client = summary.to_client,
            from_upstream = summary.from_upstream,
            to_upstream = summary.to_upstream,
            duration_ms = u64::try_from(summary.duration.as_millis()).unwrap_or(u64::MAX),
            "session ended",
        );
        if let Some(observer) = &self.observer {
            observer(&summary);
        }
    }
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

    fn start_line(&self) -> &str {
        let line = self.0.split(|&byte| byte == b'\r').next().unwrap_or_default();
        str::from_utf8(line).unwrap_or_default()
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
