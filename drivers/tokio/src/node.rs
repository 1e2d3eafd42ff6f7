//! The node: a kubelet-like streaming server that runs commands on this host, shares a main process among those
//! who attach, and forwards the host's ports, with just enough of the Kubernetes API around it that a stock kubectl talks to it without a cluster.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use strait::Limits;
use strait::http::{Body, Request};
use strait::k8s::{Ports, Subprotocol, Target, Verb};
use strait::leg::WebSocketLeg;
use strait::spdy::LentBlocks;
use strait::upgrade::{Accepted, Upgrade};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::answer;
use crate::forward_session::{self, ChannelStream, Named, dial};
use crate::head::Head;
use crate::kubernetes_api::{self, Answer, Pod};
use crate::listener;
use crate::main_process::Keeper;
use crate::node_session::{End, NodeSession, SpdyServer};
use crate::pool::Pool;
use crate::port_forward;
use crate::process::Command;
use crate::server::{Door, Exposed, Permit, ServerOptions, Visitor, is_loopback};
use crate::shutdown::Shutdown;
use crate::stream::Stream;
use crate::subject::Aim;
use crate::tls::TlsError;
use crate::token::TokenError;
use crate::tunnel::TunnelStream;

pub use crate::main_process::MainProcess;

/// Buffers that are kept for the next sessions.
const KEPT_BUFFERS: usize = 64;

/// A streaming server for the processes of this host.
#[derive(Debug)]
pub struct Node {
    pods: Vec<Pod>,
    main: Option<Arc<Keeper>>,
    limits: Limits,
    pool: Pool,
    door: Door,
    spdy: Vec<Subprotocol>,
    websocket: Vec<Subprotocol>,
}

/// What a node speaks over SPDY.
const SPDY: [Subprotocol; 5] =
    [Subprotocol::V4, Subprotocol::V3, Subprotocol::V2, Subprotocol::V1, Subprotocol::PortForward];

/// What a node speaks over WebSocket: all that a CRI streaming server knows, v5, and the tunnel.
const WEBSOCKET: [Subprotocol; 7] = [
    Subprotocol::V5,
    Subprotocol::V4,
    Subprotocol::V4Base64,
    Subprotocol::V1,
    Subprotocol::V1Base64,
    Subprotocol::None,
    Subprotocol::TunnelPortForward,
];

/// What port-forward knows of them, over SPDY and over WebSocket; exec and attach know the others and the last three.
const FORWARD: [Subprotocol; 2] = [Subprotocol::PortForward, Subprotocol::TunnelPortForward];
const FORWARD_LEGACY: [Subprotocol; 3] = [Subprotocol::V4, Subprotocol::V4Base64, Subprotocol::None];

impl Node {
    /// A node that answers as the pod `name` in the namespace `default`, with [`ServerOptions::default`] and
    /// without a main process: commands can be run in the pod, but there is nothing to attach to.
    pub fn new(name: &str) -> Self {
        strait_simd::install();
        Self {
            pods: vec![Pod { stdin: false, tty: false, ..Pod::new(name, SystemTime::now()) }],
            main: None,
            limits: Limits::HOST,
            pool: Pool::new(KEPT_BUFFERS),
            door: Door::default(),
            spdy: SPDY.to_vec(),
            websocket: WEBSOCKET.to_vec(),
        }
    }

    /// With a main process, which runs as long as the node serves: it is started again when it ends, after a while
    /// if that was soon. Clients attach to it.
    #[must_use]
    pub fn with_main_process(mut self, process: MainProcess) -> Self {
        for pod in &mut self.pods {
            (pod.stdin, pod.tty) = (true, process.tty());
        }
        self.main = Some(Arc::new(Keeper::new(process)));
        self
    }

    /// Speaks only these protocols over SPDY and over WebSocket: an upgrade to any other is refused.
    #[must_use]
    pub fn with_protocols(mut self, spdy: &[Subprotocol], websocket: &[Subprotocol]) -> Self {
        self.spdy.retain(|known| spdy.contains(known));
        self.websocket.retain(|known| websocket.contains(known));
        self
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
        let shutdown = shutdown.into();
        let stop_main = CancellationToken::new();
        let main = async {
            if let Some(main) = &node.main {
                main.keep(&stop_main).await;
            }
        };
        let sessions = async {
            let served =
                listener::serve(listener, &node.door.options, &shutdown, |stream, peer, shutdown| {
                    let node = Arc::clone(&node);
                    async move { node.connection(stream, peer, shutdown).await }
                })
                .await;
            // Behind the sessions, so that they end because the node stops.
            stop_main.cancel();
            served
        };
        // In this order at first: the process runs when the first client comes.
        let ((), served) = tokio::join!(main, sessions);
        served
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr, shutdown: Shutdown) {
        let Some(visitor) = self.door.enter(stream, peer, &self.limits, &shutdown).await else { return };
        let admitted = self.route(&visitor, peer);
        let Visitor { stream: client, head } = visitor;
        match admitted.and_then(|admitted| Ok((admitted, self.door.admit(&shutdown)?))) {
            Ok((admitted, permit)) => self.session(client, peer, &head, admitted, permit, &shutdown).await,
            Err(answer) => self.door.answer(client, &answer).await,
        }
    }

    async fn session(
        &self,
        mut client: Stream,
        peer: SocketAddr,
        head: &Head,
        admitted: Admitted,
        permit: Permit,
        shutdown: &Shutdown,
    ) {
        let started = Instant::now();
        let Admitted { agreed, verb, task } = admitted;
        if client.write_all(&answer::written(|out| agreed.write(out))).await.is_err() {
            return;
        }
        let (limits, behind) = (&self.limits, head.behind());
        let stop = shutdown.closing();
        let (reason, end, program, connections) = match task {
            Task::Command { aim, protocol, upgrade } => {
                let program = aim.program().map(OsStr::to_owned);
                let end = if upgrade == Upgrade::WebSocket {
                    let leg = WebSocketLeg::server(protocol, limits);
                    NodeSession::new(client, behind, leg, aim, limits, &self.pool, stop).run().await
                } else {
                    let blocks = LentBlocks(Some(Box::default()));
                    let leg = SpdyServer::server(aim.streams(), protocol, limits, blocks);
                    NodeSession::new(client, behind, leg, aim, limits, &self.pool, stop).run().await
                };
                (reason(end), end.to_string(), program, None)
            }
            Task::Forward(named, carrier) => {
                let (end, count) = match carrier {
                    Carrier::Spdy => {
                        forward_session::serve(client, behind, &named, limits, &stop, dial).await
                    }
                    Carrier::Tunnel => {
                        let tunnel = TunnelStream::server(client, behind, limits);
                        forward_session::serve(tunnel, &[], &named, limits, &stop, dial).await
                    }
                    Carrier::Channels(ports, protocol) => {
                        let channels = ChannelStream::new(client, behind, *ports, protocol, limits);
                        forward_session::serve(channels, &[], &named, limits, &stop, dial).await
                    }
                };
                (forward_reason(end), end.to_string(), None, Some(count))
            }
        };
        let duration = started.elapsed();
        self.door.options.metrics.session_ended(reason, duration);
        drop(permit);
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(%peer, ?verb, ?program, connections, %end, duration_ms, "session ended");
    }

    /// What a client gets: a session, or this answer.
    fn route(&self, visitor: &Visitor, peer: SocketAddr) -> Result<Admitted, Vec<u8>> {
        let request: Request = Request::parse(visitor.head.head())
            .map_err(|error| answer::text(error.status(), &error.to_string()))?;
        self.door.check(&request, &visitor.stream, peer)?;
        self.accept(&request)
    }

    /// What to do with a request: run a command, attach to the main process, or send this answer.
    fn accept(&self, request: &Request<'_>) -> Result<Admitted, Vec<u8>> {
        if !Upgrade::is_asked_for(request) {
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
        if target.verb == Verb::PortForward {
            return self.accept_forward(request, &target, pod);
        }
        let aim = self.aim(&target)?;
        let agreed = self.agree(request, |known| !FORWARD.contains(&known))?;
        let task = Task::Command { aim, protocol: agreed.protocol, upgrade: agreed.upgrade };
        Ok(Admitted { agreed, verb: target.verb, task })
    }

    /// How ports are forwarded for a client.
    fn accept_forward(
        &self,
        request: &Request<'_>,
        target: &Target<'_>,
        pod: &Pod,
    ) -> Result<Admitted, Vec<u8>> {
        let is_websocket = Upgrade::of(request) == Some(Upgrade::WebSocket);
        let agreed = self.agree(request, |known| {
            FORWARD.contains(&known) || (is_websocket && FORWARD_LEGACY.contains(&known))
        })?;
        let carrier = match agreed.protocol {
            Subprotocol::PortForward => Carrier::Spdy,
            Subprotocol::TunnelPortForward => Carrier::Tunnel,
            protocol => {
                let ports = Ports::of(target, protocol);
                let ports = ports.map_err(|error| answer::text(error.status(), &error.to_string()))?;
                Carrier::Channels(Box::new(ports), protocol)
            }
        };
        let named = Named { pod: pod.name.clone(), uid: pod.uid() };
        Ok(Admitted { agreed, verb: Verb::PortForward, task: Task::Forward(named, carrier) })
    }

    /// The upgrade that a request gets, to a protocol that this node speaks and that is `wanted`.
    fn agree(
        &self,
        request: &Request<'_>,
        wanted: impl Fn(Subprotocol) -> bool,
    ) -> Result<Accepted, Vec<u8>> {
        let is_websocket = Upgrade::of(request) == Some(Upgrade::WebSocket);
        let known = if is_websocket { &self.websocket } else { &self.spdy };
        let known: Vec<Subprotocol> = known.iter().copied().filter(|&known| wanted(known)).collect();
        let agreed =
            if is_websocket { Accepted::websocket(request, &known) } else { Accepted::spdy(request, &known) };
        agreed.map_err(|refusal| answer::refusal(&refusal, request))
    }

    /// What a session is for.
    fn aim(&self, target: &Target<'_>) -> Result<Aim, Vec<u8>> {
        let streams = target.streams().map_err(|error| answer::text(error.status(), &error.to_string()))?;
        if target.verb == Verb::Attach {
            let main = self
                .main
                .as_ref()
                .ok_or_else(|| to_bytes(&Answer::bad_request("this pod has no main process to attach to")))?;
            return Ok(Aim::Attach(Arc::clone(main), streams));
        }
        let argv = target.command().map(|argument| OsString::from_vec(argument.bytes().collect()));
        Ok(Aim::Exec(Command {
            argv: argv.collect(),
            tty: streams.tty,
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr,
        }))
    }

    fn plain(&self, request: &Request<'_>) -> Vec<u8> {
        if !matches!(request.body(), Body::None | Body::Length(0)) {
            return answer::text(413, "this node takes no request bodies");
        }
        to_bytes(&kubernetes_api::answer(request.method, request.path(), request.query(), &self.pods))
    }
}

/// What to do for a client whose upgrade is accepted.
struct Admitted {
    agreed: Accepted,
    verb: Verb,
    task: Task,
}

/// What a session does.
enum Task {
    /// Exec or attach.
    Command { aim: Aim, protocol: Subprotocol, upgrade: Upgrade },
    /// Port-forward.
    Forward(Named, Carrier),
}

/// How ports are forwarded.
enum Carrier {
    Spdy,
    Tunnel,
    /// The legacy form, which names its ports beforehand.
    Channels(Box<Ports>, Subprotocol),
}

/// How a session ended, without the details that would make a label of every session.
const fn reason(end: End) -> &'static str {
    match end {
        End::Exited(_) => "completed",
        End::NotStarted => "not_started",
        End::Stalled => "stalled",
        End::ClientGone => "client_lost",
        End::StreamCreationTimeout => "stream_creation_timeout",
        End::Broken(_) => "client_error",
        End::Stopped => "shutdown",
    }
}

/// The same for a port-forward.
const fn forward_reason(end: port_forward::End) -> &'static str {
    use port_forward::End;
    match end {
        End::Finished => "completed",
        End::Lost(_) | End::PeerTimeout => "client_lost",
        End::Broken(_) => "client_error",
        End::Idle => "idle",
        End::Closed => "shutdown",
    }
}

fn to_bytes(answer: &Answer) -> Vec<u8> {
    let allow: Vec<_> = answer.allow.iter().map(|methods| ("Allow", *methods)).collect();
    answer::response(answer.status, &allow, answer.content_type, &answer.body)
}
