//! The node: a kubelet-like streaming server that runs commands on this host, with just enough of the
//! Kubernetes API around it that a stock kubectl talks to it without a cluster.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use strait::Limits;
use strait::http::{self, Body, HeadWriter, Request};
use strait::k8s::{Refused, Subprotocol, Target, Verb, negotiate};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::answer;
use crate::head::Head;
use crate::kubernetes_api::{self, Answer, Pod};
use crate::listener;
use crate::node_session::{End, NodeSession};
use crate::pool::Pool;
use crate::process::Command;
use crate::server::{Door, Exposed, Permit, ServerOptions, Visitor, is_loopback};
use crate::shutdown::Shutdown;
use crate::stream::Stream;
use crate::tls::TlsError;
use crate::token::TokenError;

/// Buffers that are kept for the next sessions.
const KEPT_BUFFERS: usize = 64;

/// A streaming server for the processes of this host.
#[derive(Debug)]
pub struct Node {
    pods: Vec<Pod>,
    limits: Limits,
    pool: Pool,
    door: Door,
}

impl Node {
    /// A node that answers as the pod `name` in the namespace `default`, with [`ServerOptions::default`].
    pub fn new(name: &str) -> Self {
        Self {
            pods: vec![Pod::new(name, SystemTime::now())],
            limits: Limits::HOST,
            pool: Pool::new(KEPT_BUFFERS),
            door: Door::default(),
        }
    }

    /// With other limits than [`Limits::HOST`].
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With other options; their files are read here for the first time.
    pub fn with_options(mut self, options: ServerOptions) -> Result<Self, TlsError> {
        self.door.set_options(options)?;
        Ok(self)
    }

    /// Demands the bearer token in a file from every client that has shown no certificate, and from every client if
    /// all have to show one. The file is read again when it changes.
    pub fn with_token_file(mut self, file: &Path) -> Result<Self, TokenError> {
        self.door.demand_token(file)?;
        Ok(self)
    }

    /// Whether this node is closed enough to listen at `address`.
    pub fn check(&self, address: SocketAddr) -> Result<(), Exposed> {
        self.door.check_plaintext(address)?;
        if self.door.authenticates() || is_loopback(address) {
            return Ok(());
        }
        Err(Exposed::Unauthenticated(address))
    }

    /// Serves until `shutdown` says to drain and all sessions have ended; see [`Shutdown`] for how long that is.
    ///
    /// Fails with an [`Exposed`] if the listener's address does not pass the [`check`](Self::check).
    pub async fn serve(self, listener: TcpListener, shutdown: impl Into<Shutdown>) -> io::Result<()> {
        self.check(listener.local_addr()?)?;
        let node = Arc::new(self);
        listener::serve(listener, &node.door.options, &shutdown.into(), |stream, peer, shutdown| {
            let node = Arc::clone(&node);
            async move { node.connection(stream, peer, shutdown).await }
        })
        .await
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr, shutdown: Shutdown) {
        let Some(visitor) = self.door.enter(stream, peer, &self.limits, &shutdown).await else { return };
        let accepted = self.route(&visitor, peer);
        let Visitor { stream: client, head } = visitor;
        match accepted.and_then(|accepted| Ok((accepted, self.door.admit(&shutdown)?))) {
            Ok((accepted, permit)) => self.session(client, peer, &head, accepted, permit, &shutdown).await,
            Err(answer) => self.door.answer(client, &answer).await,
        }
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
        let started = Instant::now();
        if client.write_all(&accepted.answer).await.is_err() {
            return;
        }
        // Not its arguments: they may be secrets.
        let program = accepted.command.argv.first().cloned().unwrap_or_default();
        let session = NodeSession::new(
            client,
            head.behind(),
            accepted.command,
            accepted.protocol,
            &self.limits,
            &self.pool,
            shutdown.closing(),
        );
        let end = session.run().await;
        let duration = started.elapsed();
        self.door.options.metrics.session_ended(reason(end), duration);
        drop(permit);
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(%peer, ?program, %end, duration_ms, "session ended");
    }

    /// What a client gets: a session, or this answer.
    fn route(&self, visitor: &Visitor, peer: SocketAddr) -> Result<Accepted, Vec<u8>> {
        let request: Request = Request::parse(visitor.head.head())
            .map_err(|error| answer::text(error.status(), &error.to_string()))?;
        self.door.check(&request, &visitor.stream, peer)?;
        self.accept(&request)
    }

    /// What to do with a request: run a command, or send this answer.
    fn accept(&self, request: &Request<'_>) -> Result<Accepted, Vec<u8>> {
        if !request.headers.tokens("Upgrade").any(|_| true) {
            return Err(self.plain(request));
        }
        let target = Target::parse(request.target)
            .map_err(|error| answer::text(error.status(), &error.to_string()))?;
        let Some(pod) = kubernetes_api::find(&self.pods, target.namespace, target.pod) else {
            return Err(to_bytes(&Answer::pod_not_found(target.pod)));
        };
        if target.container.is_some_and(|name| name != pod.container) {
            let message =
                format!("container {} is not valid for pod {}", target.container.unwrap_or(""), pod.name);
            return Err(to_bytes(&Answer::bad_request(&message)));
        }
        if target.verb != Verb::Exec {
            return Err(answer::text(501, "this node serves exec only"));
        }
        if request.headers.has_token("Upgrade", "websocket") {
            // As a CRI streaming server answers a protocol that it does not know.
            return Err(b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec());
        }
        let streams = target.streams().map_err(|error| answer::text(error.status(), &error.to_string()))?;
        let protocol = negotiate_spdy(request)?;
        let argv = target.command().map(|argument| OsString::from_vec(argument.bytes().collect())).collect();
        let command = Command {
            argv,
            tty: streams.tty,
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr,
        };
        let answer = write_101(protocol).ok_or_else(|| answer::text(500, "the answer cannot be written"))?;
        Ok(Accepted { answer, command, protocol })
    }

    fn plain(&self, request: &Request<'_>) -> Vec<u8> {
        if !matches!(request.body(), Body::None | Body::Length(0)) {
            return answer::text(413, "this node takes no request bodies");
        }
        to_bytes(&kubernetes_api::answer(request.method, request.path(), request.query(), &self.pods))
    }
}

/// A command to run for a client whose upgrade is accepted.
struct Accepted {
    answer: Vec<u8>,
    command: Command,
    protocol: Subprotocol,
}

/// The versions that this node speaks over SPDY.
const SPOKEN: &[Subprotocol] = &[Subprotocol::V4];

/// The checks of a SPDY upgrade, in the order in which upstream's servers do them, with their answers
/// (`http-upgrade.md` section 2.2).
fn negotiate_spdy(request: &Request<'_>) -> Result<Subprotocol, Vec<u8>> {
    const NAME: &str = "X-Stream-Protocol-Version";
    let offered = || request.headers.lines(NAME);
    let list = offered().map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
    let protocol = negotiate(offered(), SPOKEN).map_err(|refused| match refused {
        Refused::Missing => answer::text(
            400,
            &format!(
                "unable to upgrade: header {NAME} does not exist in request with {} headers",
                request.headers.len()
            ),
        ),
        Refused::NoItem => {
            answer::text(400, &format!("unable to upgrade: header {NAME} contains [{list}], but no valid protocols"))
        }
        Refused::OnlyBearer | Refused::NothingInCommon => {
            let accepted: Vec<_> = SPOKEN.iter().map(|known| known.name()).collect();
            let headers: Vec<_> =
                accepted.iter().map(|name| ("X-Accepted-Stream-Protocol-Versions", *name)).collect();
            let message = format!(
                "unable to upgrade: unable to negotiate protocol: client supports [{list}], server accepts [{}]\n",
                accepted.join(" ")
            );
            answer::response(403, &headers, "text/plain; charset=utf-8", message)
        }
    })?;
    if !request.wants_upgrade() || !request.headers.has_token("Upgrade", "SPDY/3.1") {
        return Err(answer::text(400, "unable to upgrade: missing upgrade headers in request"));
    }
    Ok(protocol)
}

/// How a session ended, without the details that would make a label of every session.
const fn reason(end: End) -> &'static str {
    match end {
        End::Exited(_) => "completed",
        End::NotStarted => "not_started",
        End::ClientGone => "client_lost",
        End::StreamCreationTimeout => "stream_creation_timeout",
        End::Broken(_) => "client_error",
        End::Stopped => "shutdown",
    }
}

fn write_101(protocol: Subprotocol) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 256];
    let head = HeadWriter::response(&mut bytes, 101, http::reason(101))
        .header("Connection", "Upgrade")
        .header("Upgrade", "SPDY/3.1")
        .header("X-Stream-Protocol-Version", protocol.name());
    let len = head.finish().ok()?;
    bytes.truncate(len);
    Some(bytes)
}

fn to_bytes(answer: &Answer) -> Vec<u8> {
    let allow: Vec<_> = answer.allow.iter().map(|methods| ("Allow", *methods)).collect();
    answer::response(answer.status, &allow, answer.content_type, &answer.body)
}
