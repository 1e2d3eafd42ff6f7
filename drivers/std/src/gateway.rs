use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use strait::Limits;
use strait::bridge::{Bridge, ExecBridge, TunnelBridge};
use strait::gateway::{
    Attempt, DialError, FeatureGates, Found, Hop, Plan, Planner, Then, UpstreamKind, UpstreamProtocol,
};
use strait::http::{Body, Request, Response, WriteError, write_text};
use strait::k8s::Subprotocol;
use strait::leg::{RawLeg, SpdyLeg, TunnelLeg, WebSocketLeg};
use strait::spdy::{Inflate, LentBlocks};
use strait::upgrade::{Upgrade, UpgradeError};
use strait::ws::MaskKeys;

use crate::head::{Head, HeadFailure, until};
use crate::relay::relay;
use crate::session::{Session, Summary};
use crate::stop::{LOOK, Stop};

/// Most bytes of upstream's refusal that are kept.
const REFUSAL: usize = 64 * 1024;

/// Bytes that a session's thread has for its stack.
const STACK: usize = 256 * 1024;

/// The translator as a server, with a thread for each connection: client legs accepted on a listener, upstream legs
/// dialled, nothing encrypted. Exec, attach and port-forward; other requests are passed on.
#[derive(Debug)]
pub struct Gateway {
    /// `host:port`.
    authority: String,
    kind: UpstreamKind,
    protocol: UpstreamProtocol,
    gates: FeatureGates,
    found: Mutex<Found>,
    limits: Limits,
}

type Failure = DialError<io::Error, Vec<u8>>;

/// Upstream's connection after its upgrade.
struct Upgraded<'p> {
    io: TcpStream,
    answer: Head,
    protocol: Subprotocol,
    attempt: &'p Attempt,
}

impl Gateway {
    /// A gateway in front of the API server at `authority`, `host:port`, which it speaks SPDY to.
    pub fn new(authority: impl Into<String>) -> Self {
        Self {
            authority: authority.into(),
            kind: UpstreamKind::default(),
            protocol: UpstreamProtocol::default(),
            gates: FeatureGates::default(),
            found: Mutex::default(),
            limits: Limits::HOST,
        }
    }

    /// In front of something else than an API server.
    #[must_use]
    pub fn with_upstream_kind(mut self, kind: UpstreamKind) -> Self {
        self.kind = kind;
        self
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

    /// Serves until `stop` says to drain and all sessions have ended.
    pub fn serve(&self, listener: &TcpListener, stop: &Stop) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        thread::scope(|threads| {
            while !stop.is_draining() {
                match listener.accept() {
                    Ok((client, _)) => {
                        let thread = thread::Builder::new().name("session".into()).stack_size(STACK);
                        let spawned = thread.spawn_scoped(threads, || {
                            if let Err(error) = self.connection(client, stop) {
                                tracing::debug!(%error, "connection failed");
                            }
                        });
                        if let Err(error) = spawned {
                            tracing::warn!(%error, "no thread for a connection");
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for(listener),
                    Err(error) => {
                        // Descriptors may be free again soon.
                        tracing::warn!(%error, "cannot accept");
                        thread::sleep(LOOK);
                    }
                }
            }
        });
        Ok(())
    }

    /// Serves one connection: its request, and the session that follows if upstream agrees. `None` if there was none.
    pub fn connection(&self, client: TcpStream, stop: &Stop) -> io::Result<Option<Summary>> {
        client.set_nonblocking(false)?;
        let deadline = Instant::now() + self.limits.handshake;
        let head = match Head::read(&client, self.limits.head_bytes, deadline) {
            Ok(head) => head,
            Err(HeadFailure::Malformed(error)) => return answer(&client, error.status(), error),
            Err(HeadFailure::Timeout) => return answer(&client, 408, "the request was not whole in time"),
            Err(HeadFailure::Closed) => return Ok(None),
            Err(HeadFailure::Io(error)) => return Err(error),
        };
        let request: Request = match Request::parse(head.head()) {
            Ok(request) => request,
            Err(error) => return answer(&client, error.status(), error),
        };
        if !(request.wants_upgrade() && Upgrade::is_asked_for(&request)) {
            return self.pass_plain(&client, &head, &request);
        }
        let plan = match self.planner().plan(&request, random()?) {
            Ok(plan) => plan,
            Err(refusal) => {
                send(&client, &written(|out| refusal.write(&request, out)), deadline)?;
                return Ok(None);
            }
        };
        if plan.attempts.iter().all(|attempt| is_of_ports(attempt.then)) {
            return answer(&client, 501, "this gateway does not translate ports in channels");
        }
        let summary = if plan.answers_first() {
            self.answer_then_dial(client, &head, &request, &plan, stop)?
        } else {
            self.dial_then_answer(client, &head, &request, &plan, stop)?
        };
        if let Some(summary) = summary {
            tracing::info!(path = request.path(), end = %summary.outcome, "session ended");
        }
        Ok(summary)
    }

    /// A request that is no upgrade.
    fn pass_plain(
        &self,
        client: &TcpStream,
        head: &Head,
        request: &Request<'_>,
    ) -> io::Result<Option<Summary>> {
        let plain = match self.planner().plain(request) {
            Ok(plain) => plain,
            Err(refusal) => {
                send(client, &written(|out| refusal.write(request, out)), self.deadline())?;
                return Ok(None);
            }
        };
        let hop = Hop { authority: &self.authority, ..Hop::default() };
        let to_upstream = written(|out| plain.write_request(request, &hop, out));
        match self.connect(self.deadline()) {
            Ok(upstream) => relay(client, head, &to_upstream, plain.body(), &upstream).map(|()| None),
            Err(error) => answer(client, 502, format_args!("error dialing backend: {error}")),
        }
    }

    fn planner(&self) -> Planner {
        let found = *self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let Self { kind, protocol, gates, .. } = *self;
        Planner { kind, protocol, found, gates, ..Planner::default() }
    }

    /// The translator as upstream has it: the client gets its 101, then upstream is asked.
    fn answer_then_dial(
        &self,
        client: TcpStream,
        head: &Head,
        request: &Request<'_>,
        plan: &Plan,
        stop: &Stop,
    ) -> io::Result<Option<Summary>> {
        let Some(agreed) = plan.agreed else { return Ok(None) };
        send(&client, &written(|out| agreed.write(out)), self.deadline())?;
        let limits = &self.limits;
        let leg = WebSocketLeg::server(agreed.protocol, limits);
        let bridge: ExecBridge<_, _> = ExecBridge::new(leg, plan.streams, limits);
        let mut session = Session::new(bridge, client, head.behind())?;
        match self.dial(request, plan) {
            Ok(Upgraded { io, answer, protocol, .. }) => {
                session.connected(io, SpdyLeg::client(plan.streams, protocol, limits), answer.behind())?;
            }
            Err(error) => {
                let mut status = vec![0; REFUSAL];
                let length = error.write_status(&mut status).unwrap_or(0);
                session.refused(status.get(..length).unwrap_or_default());
            }
        }
        Ok(Some(session.run(stop)))
    }

    /// Upstream is asked first, in all ways that it may know, and the client gets what comes of it.
    fn dial_then_answer(
        &self,
        client: TcpStream,
        head: &Head,
        request: &Request<'_>,
        plan: &Plan,
        stop: &Stop,
    ) -> io::Result<Option<Summary>> {
        let upgraded = match self.dial(request, plan) {
            Ok(upgraded) => upgraded,
            Err(error) => {
                send(&client, &written(|out| error.write_answer(out)), self.deadline())?;
                return Ok(None);
            }
        };
        let joined = Joined { client, head, upgraded, stop };
        let Upgraded { protocol, attempt: &Attempt { then, .. }, .. } = joined.upgraded;
        let (limits, streams) = (&self.limits, plan.streams);
        let Some(agreed) = plan.agreed.filter(|agreed| match then {
            Then::PassOn => false,
            Then::PassOnOrTranslate => agreed.protocol != protocol,
            _ => true,
        }) else {
            send(&joined.client, joined.upgraded.answer.head(), self.deadline())?;
            return joined.run(TunnelBridge::new(RawLeg::new(), limits), RawLeg::new());
        };
        send(&joined.client, &written(|out| agreed.write(out)), self.deadline())?;
        let keys = || random().map(MaskKeys::new);
        match then {
            Then::ToSpdy => {
                let leg = WebSocketLeg::server(agreed.protocol, limits);
                let bridge: ExecBridge<_, _> = ExecBridge::new(leg, streams, limits);
                joined.run(bridge, SpdyLeg::client(streams, protocol, limits))
            }
            Then::ToWebSocket => {
                let blocks = LentBlocks(Some(Box::<Inflate>::default()));
                let leg = SpdyLeg::server(streams, agreed.protocol, limits, blocks);
                let bridge: ExecBridge<_, _> = ExecBridge::new(leg, streams, limits);
                joined.run(bridge, WebSocketLeg::client(protocol, limits, keys()?))
            }
            Then::PassOnOrTranslate => {
                let leg = WebSocketLeg::server(agreed.protocol, limits);
                let bridge: ExecBridge<_, _> = ExecBridge::new(leg, streams, limits);
                joined.run(bridge, WebSocketLeg::client(protocol, limits, keys()?))
            }
            Then::TunnelToSpdy => {
                joined.run(TunnelBridge::new(TunnelLeg::server(limits), limits), RawLeg::new())
            }
            Then::SpdyToTunnel => {
                joined.run(TunnelBridge::new(RawLeg::new(), limits), TunnelLeg::client(limits, keys()?))
            }
            Then::PassOn | Then::PortsToSpdy | Then::PortsToTunnel => Ok(None),
        }
    }

    /// Asks upstream in all ways of the plan, until it grants one or says something else than that it does not know it.
    fn dial<'p>(&self, request: &Request<'_>, plan: &'p Plan) -> Result<Upgraded<'p>, Failure> {
        let mut result = Err(DialError::Closed);
        for attempt in plan.attempts.iter().filter(|attempt| !is_of_ports(attempt.then)) {
            result = self.try_one(request, attempt);
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            match &result {
                Ok(_) => {
                    found.learn(plan.verb, attempt.proves);
                    break;
                }
                Err(error) if error.is_about_the_protocol() => found.doubt(plan.verb),
                Err(_) => break,
            }
        }
        result
    }

    fn try_one<'p>(&self, request: &Request<'_>, attempt: &'p Attempt) -> Result<Upgraded<'p>, Failure> {
        let deadline = self.deadline();
        let io = self.connect(deadline).map_err(DialError::Connect)?;
        let hop = Hop { authority: &self.authority, ..Hop::default() };
        let head = written(|out| attempt.write_request(request, &hop, out));
        send(&io, &head, deadline).map_err(DialError::Io)?;
        let answer = Head::read(&io, self.limits.head_bytes, deadline).map_err(|failure| match failure {
            HeadFailure::Closed => DialError::Closed,
            HeadFailure::Timeout => DialError::Silent,
            HeadFailure::Malformed(error) => DialError::Malformed(error),
            HeadFailure::Io(error) => DialError::Io(error),
        })?;
        let response: Response = Response::parse(answer.head()).map_err(DialError::Malformed)?;
        match attempt.check_answer(&response) {
            Ok(protocol) => Ok(Upgraded { io, answer, protocol, attempt }),
            Err(error) => {
                let length = match response.body(request.method) {
                    Body::Length(length) => usize::try_from(length).unwrap_or(REFUSAL).min(REFUSAL),
                    Body::None => 0,
                    _ => REFUSAL,
                };
                let is_kept = matches!(error, UpgradeError::Refused { .. });
                let body = if is_kept { answer.body(&io, length, deadline) } else { Vec::new() };
                Err(DialError::Upgrade { error, body })
            }
        }
    }

    fn connect(&self, deadline: Instant) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in self.authority.to_socket_addrs()? {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match TcpStream::connect_timeout(&address, left) {
                Ok(io) => return Ok(io),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.limits.handshake
    }
}

/// Two connections behind their upgrades.
struct Joined<'a> {
    client: TcpStream,
    head: &'a Head,
    upgraded: Upgraded<'a>,
    stop: &'a Stop,
}

impl Joined<'_> {
    fn run<B: Bridge>(self, bridge: B, upstream: B::Upstream) -> io::Result<Option<Summary>> {
        let mut session = Session::new(bridge, self.client, self.head.behind())?;
        session.connected(self.upgraded.io, upstream, self.upgraded.answer.behind())?;
        Ok(Some(session.run(self.stop)))
    }
}

/// A port-forward of old clients, which has no bridge here yet.
const fn is_of_ports(then: Then) -> bool {
    matches!(then, Then::PortsToSpdy | Then::PortsToTunnel)
}

fn wait_for(listener: &TcpListener) {
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
    // Whatever comes of it, `accept` says it.
    let _ = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&timeout));
}

/// Answers without a session.
fn answer(client: &TcpStream, status: u16, text: impl std::fmt::Display) -> io::Result<Option<Summary>> {
    let answer = written(|out| write_text(status, [], &text, out));
    send(client, &answer, Instant::now() + Duration::from_secs(5))?;
    Ok(None)
}

fn send(mut io: &TcpStream, bytes: &[u8], deadline: Instant) -> io::Result<()> {
    until(io, deadline)?;
    io.write_all(bytes)
}

/// What `write` writes, with as much room as it asks for.
fn written(write: impl Fn(&mut [u8]) -> Result<usize, WriteError>) -> Vec<u8> {
    let mut out = vec![0; 4096];
    loop {
        match write(&mut out) {
            Ok(length) => {
                out.truncate(length);
                return out;
            }
            Err(WriteError::Full { needed }) if needed > out.len() => out.resize(needed, 0),
            Err(_) => return Vec::new(),
        }
    }
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
