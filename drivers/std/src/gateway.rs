mod dial;
mod join;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use strait::Limits;
use strait::bridge::{ExecBridge, Peer};
use strait::gateway::{Found, Hop, Plan, Planner};
use strait::http::{Body, Request, origin};
use strait::leg::{SpdyLeg, WebSocketLeg};
use strait::upgrade::Upgrade;

use self::dial::{Upgraded, status_of};
use self::join::Ended;
use crate::answer::{send_and_close, text, written};
use crate::head::{Head, HeadFailure};
use crate::options::ServerOptions;
use crate::places::Places;
use crate::relay::relay;
use crate::session::{Session, Summary};
use crate::stop::Stop;
use crate::wait::{LOOK, Patience, peer, prepare, sleep_on};

/// Bytes that a session's thread has for its stack. What is not used is not there.
const STACK: usize = 512 * 1024;

/// The translator as a server, with a thread for each connection: client legs accepted on a listener, upstream legs
/// dialled, nothing encrypted. Exec, attach and port-forward; other requests are passed on.
#[derive(Debug)]
pub struct Gateway {
    /// `host:port`.
    authority: String,
    planner: Planner,
    found: Mutex<Found>,
    limits: Limits,
    options: ServerOptions,
    sessions: Places,
}

impl Gateway {
    /// A gateway in front of the API server at `authority`, `host:port`, which it speaks SPDY to.
    pub fn new(authority: impl Into<String>) -> Self {
        strait_simd::install();
        let options = ServerOptions::default();
        Self {
            authority: authority.into(),
            planner: Planner::default(),
            found: Mutex::default(),
            limits: Limits::HOST,
            sessions: Places::new(options.max_sessions),
            options,
        }
    }

    /// In front of something else than an API server, or asking for other upgrades than SPDY's. What it
    /// [has found](Planner::found) so far is what it begins with.
    #[must_use]
    pub fn with_planner(mut self, planner: Planner) -> Self {
        self.found = Mutex::new(planner.found);
        self.planner = planner;
        self
    }

    /// With other limits than [`Limits::HOST`].
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With other options.
    #[must_use]
    pub fn with_options(mut self, options: ServerOptions) -> Self {
        self.sessions = Places::new(options.max_sessions);
        self.options = options;
        self
    }

    /// Serves until `stop` says to drain and all sessions have ended. They have the drain timeout to do so by themselves, and 5 s
    /// more when they are told to.
    ///
    /// # Errors
    /// `InvalidInput` if the listener or upstream is beyond loopback and plain text is not allowed there.
    pub fn serve(&self, listener: TcpListener, stop: &Stop) -> io::Result<()> {
        self.options.check(listener.local_addr()?, &self.authority)?;
        listener.set_nonblocking(true)?;
        let stop = stop.child();
        let connections = Places::new(self.options.max_connections);
        thread::scope(|threads| {
            while !stop.is_draining() {
                // Nobody pays for a connection that cannot be served: more wait in the kernel's queue.
                let Some(place) = connections.take_within(LOOK) else { continue };
                let client = match listener.accept() {
                    Ok((client, _)) => client,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        // Whatever comes of it, `accept` says it.
                        let _ = sleep_on(&mut [PollFd::new(&listener.as_fd(), PollFlags::IN)], LOOK);
                        continue;
                    }
                    Err(error) => {
                        // Descriptors may be free again soon.
                        tracing::warn!(%error, "cannot accept");
                        thread::sleep(LOOK);
                        continue;
                    }
                };
                let thread = thread::Builder::new().name("session".into()).stack_size(STACK);
                let stop = &stop;
                let spawned = thread.spawn_scoped(threads, move || {
                    let _place = place;
                    if let Err(error) = self.connection(client, stop) {
                        tracing::debug!(%error, "connection failed");
                    }
                });
                if let Err(error) = spawned {
                    tracing::warn!(%error, "no thread for a connection");
                }
            }
            drop(listener);
            self.drain(&connections, &stop);
        });
        Ok(())
    }

    /// Waits for the connections that are left, and ends them when it is time.
    fn drain(&self, connections: &Places, stop: &Stop) {
        let deadline = Instant::now() + self.options.drain_timeout;
        while !stop.is_closing() {
            let left = deadline.saturating_duration_since(Instant::now());
            if connections.all_free_within(left.min(LOOK)) {
                return;
            }
            if left.is_zero() {
                tracing::info!("drain timeout: running sessions are ended");
                stop.close();
            }
        }
    }

    /// Serves one connection: its request, and the session that follows if upstream agrees. `None` if there was none.
    pub fn connection(&self, client: TcpStream, stop: &Stop) -> io::Result<Option<Summary>> {
        prepare(&client)?;
        let from = client.peer_addr()?;
        let head = match self.head(&client, stop) {
            Ok(head) => head,
            Err(answer) => return Ok(refuse(&client, &answer?, stop)),
        };
        let request: Request = match Request::parse(head.head()) {
            Ok(request) => request,
            Err(error) => return Ok(refuse(&client, &text(error.status(), error), stop)),
        };
        if let Err(answer) = self.judge(&request) {
            tracing::info!(%from, path = request.path(), "request refused");
            return Ok(refuse(&client, &answer, stop));
        }
        let hop =
            Hop { authority: &self.authority, client: Some(from.ip().to_canonical()), ..Hop::default() };
        let way = Way { client, head: &head, request: &request, hop, stop };
        if !Upgrade::is_asked_for(&request) {
            return self.pass_plain(&way).map(|()| None);
        }
        let plan = match self.planner().plan(&request, random()?) {
            Ok(plan) => plan,
            Err(refusal) => {
                let answer = written(|out| refusal.write(&request, out));
                return Ok(refuse(&way.client, &answer, stop));
            }
        };
        let _place = match self.admit(stop) {
            Ok(place) => place,
            Err(answer) => return Ok(refuse(&way.client, &answer, stop)),
        };
        self.upgrade(way, &plan, from)
    }

    fn upgrade(&self, way: Way<'_>, plan: &Plan, from: SocketAddr) -> io::Result<Option<Summary>> {
        let path = way.request.path();
        let ended = if plan.answers_first() {
            self.answer_then_dial(way, plan)?
        } else {
            self.dial_then_answer(way, plan)?
        };
        let Some(Ended { legs, summary }) = ended else { return Ok(None) };
        let duration_ms = u64::try_from(summary.duration.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            %from,
            path,
            legs,
            tty = plan.streams.tty,
            end = %summary.outcome,
            duration_ms,
            "session ended"
        );
        Ok(Some(summary))
    }

    /// The request's head. The error is the answer, which is empty if there is nobody to answer.
    fn head(&self, mut client: &TcpStream, stop: &Stop) -> Result<Head, io::Result<Vec<u8>>> {
        let draining = || stop.is_draining();
        let patience = Patience::new(self.limits.handshake, &draining);
        Head::read(&mut client, self.limits.head_bytes, &patience).map_err(|failure| match failure {
            HeadFailure::Malformed(error) => Ok(text(error.status(), error)),
            HeadFailure::Timeout => Ok(text(408, "the request's head was not complete in time")),
            HeadFailure::Closed => Ok(Vec::new()),
            HeadFailure::Io(_) if stop.is_draining() => Ok(stopping()),
            HeadFailure::Io(error) => Err(error),
        })
    }

    /// Checks who asks, before anything is looked at that is asked for. The error is the answer.
    fn judge(&self, request: &Request<'_>) -> Result<(), Vec<u8>> {
        if !origin::is_allowed(request, false, &self.options.allowed_origins) {
            return Err(text(403, "requests of web pages from this Origin are not allowed"));
        }
        let most = self.options.max_body_bytes;
        if matches!(request.body(), Body::Length(length) if length > most) {
            return Err(text(413, format_args!("a body may have up to {most} bytes")));
        }
        Ok(())
    }

    /// The right to run one session more. The error is the answer.
    fn admit(&self, stop: &Stop) -> Result<crate::places::Place<'_>, Vec<u8>> {
        if stop.is_draining() {
            return Err(stopping());
        }
        self.sessions.take().ok_or_else(|| {
            tracing::warn!(limit = self.options.max_sessions, "session refused: there are too many");
            text(503, "too many sessions")
        })
    }

    /// A request that is no upgrade.
    fn pass_plain(&self, way: &Way<'_>) -> io::Result<()> {
        let Way { client, head, request, hop, stop } = way;
        let plain = match self.planner().plain(request) {
            Ok(plain) => plain,
            Err(refusal) => {
                send_and_close(client, &written(|out| refusal.write(request, out)), stop);
                return Ok(());
            }
        };
        let to_upstream = written(|out| plain.write_request(request, hop, out));
        let is_over = || way.is_over();
        match self.connect(&Patience::new(self.limits.handshake, &is_over)) {
            Ok(upstream) => relay(client, head, &to_upstream, plain.body(), &upstream, stop),
            Err(error) => {
                send_and_close(client, &text(502, format_args!("error dialing backend: {error}")), stop);
                Ok(())
            }
        }
    }

    fn planner(&self) -> Planner {
        Planner { found: *self.found(), ..self.planner }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The translator as upstream has it: the client gets its 101, then upstream is asked.
    fn answer_then_dial(&self, way: Way<'_>, plan: &Plan) -> io::Result<Option<Ended>> {
        let Some(agreed) = plan.agreed else { return Ok(None) };
        self.send(&way, &written(|out| agreed.write(out)))?;
        let limits = &self.limits;
        let bridge: ExecBridge<_, _> =
            ExecBridge::new(WebSocketLeg::server(agreed.protocol, limits), plan.streams, limits);
        let (head, request, hop, stop) = (way.head, way.request, way.hop, way.stop);
        let mut session = Session::new(bridge, way.client, head.behind());
        session.greet();
        let dialled = {
            let client = session.client();
            let is_over = || stop.is_closing() || peer(client) != Peer::Connected;
            self.dial(request, &hop, plan, &is_over)
        };
        match dialled {
            Ok(Upgraded { io, answer, protocol, .. }) => {
                session.connected(io, SpdyLeg::client(plan.streams, protocol, limits), answer.behind());
            }
            Err(error) => session.refused(&status_of(&error)),
        }
        Ok(Some(Ended { legs: "WebSocket to SPDY/3.1", summary: session.run(stop) }))
    }

    /// Upstream is asked first, in all ways that it may know, and the client gets what comes of it.
    fn dial_then_answer(&self, way: Way<'_>, plan: &Plan) -> io::Result<Option<Ended>> {
        let is_over = || way.is_over();
        let dialled = self.dial(way.request, &way.hop, plan, &is_over);
        match dialled {
            Ok(upgraded) => self.join(way, plan, upgraded),
            Err(_) if peer(&way.client) != Peer::Connected => Ok(None),
            Err(error) => {
                send_and_close(&way.client, &written(|out| error.write_answer(out)), way.stop);
                Ok(None)
            }
        }
    }

    fn send(&self, way: &Way<'_>, bytes: &[u8]) -> io::Result<()> {
        let is_over = || way.stop.is_closing();
        Patience::new(self.limits.handshake, &is_over).write_all(&mut &way.client, bytes)
    }
}

/// A client and what it asks for.
struct Way<'a> {
    client: TcpStream,
    head: &'a Head,
    request: &'a Request<'a>,
    hop: Hop<'a>,
    stop: &'a Stop,
}

impl Way<'_> {
    /// Nobody waits for upstream any more. (A client that has sent its request and closes its sending half wants no answer: so
    /// does Go's HTTP server take it, and with it upstream.)
    fn is_over(&self) -> bool {
        self.stop.is_closing() || peer(&self.client) != Peer::Connected
    }
}

/// The one answer of a connection that gets no session.
fn refuse(client: &TcpStream, answer: &[u8], stop: &Stop) -> Option<Summary> {
    send_and_close(client, answer, stop);
    None
}

fn stopping() -> Vec<u8> {
    text(503, "this server is stopping")
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
