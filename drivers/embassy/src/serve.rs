use core::net::IpAddr;

use embassy_time::{Duration, with_timeout};
use embedded_io_async::ErrorKind;
use strait::Limits;
use strait::bridge::{Bridge, ExecBridge, Outcome};
use strait::gateway::{Attempt, DialError, Hop, Planner, Then, UpstreamProtocol};
use strait::http::{Body, HeadError, Request, Response, origin, write_text};
use strait::k8s::{StreamSet, Subprotocol};
use strait::leg::{SpdyLeg, WebSocketLeg};
use strait::spdy::SkipBlocks;
use strait::upgrade::{Accepted, Refusal, Upgrade, UpgradeError};

use crate::connection::{self, Connection};
use crate::head::{Head, HeadFailure, read_head};
use crate::pass_on::{self, PassedOn, pass_on};
use crate::session::{Filled, Session, Summary};
use crate::socket::Dial;

/// Header lines of a request or an answer that are understood. kubectl sends a dozen, a browser 20.
const HEADERS: usize = 24;

/// Room for the status of a session, which may come in front of the end of its output. A command's has some 200 bytes.
const STATUS: usize = 512;

/// How long a peer that was refused may still send before it is cut.
const LINGER: Duration = Duration::from_secs(2);

/// How a gateway treats its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options<'a> {
    /// Upstream's host and port, as it is told in `Host`: `10.0.0.1:10250`.
    pub authority: &'a str,
    /// What stands in front of every path there: nothing, or `/...` without a slash at its end.
    pub prefix: &'a str,
    /// A value for `Authorization` in place of the client's own: every client then acts with it.
    pub authorization: Option<&'a [u8]>,
    /// What peers may send and how long they may take.
    pub limits: Limits,
}

impl<'a> Options<'a> {
    /// A gateway to the upstream of this name, whose clients and upstream speak plain text: for networks on which nobody
    /// listens. TLS is not to be had here yet, because there is no TLS server for microcontrollers.
    pub const fn insecure_plaintext(authority: &'a str) -> Self {
        Self { authority, prefix: "", authorization: None, limits: Limits::MICROCONTROLLER }
    }
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A session whose bytes were translated.
    Session(Summary),
    /// A session whose bytes were passed on as they are.
    PassedOn(PassedOn),
    /// A request that is no upgrade; true if it was answered to its end.
    Plain(bool),
    /// The client was refused, with this HTTP status.
    Refused(u16),
    /// The client left before it had asked for anything.
    Left,
}

/// One connection of a client, from its first byte to its last.
///
/// `up` and `down` are the memory of the two directions. The heads of all messages have to fit into them: a client's head,
/// and about 250 bytes more for upstream's. `stop` becomes ready when sessions have to end.
pub async fn serve<C: Connection, D: Dial>(
    client: &mut C,
    peer: Option<IpAddr>,
    upstream: &mut D,
    memory: (&mut [u8], &mut [u8]),
    options: &Options<'_>,
    stop: impl Future<Output = ()>,
) -> Ended {
    let (up, down) = memory;
    let limits = &options.limits;
    let head = match read_head(client, up, limits.head_bytes, deadline(limits)).await {
        Ok(head) => head,
        Err(failure) => {
            let Some((status, length)) = to_failed_head(failure, down) else { return Ended::Left };
            return refuse(client, status, down, length).await;
        }
    };
    match route(up.get(..head.len).unwrap_or_default(), peer, options, down) {
        Way::Answer { status, length } => refuse(client, status, down, length).await,
        Way::Plain { request, body } => {
            plain(client, upstream, up, head, down, request, body, options, stop).await
        }
        Way::Translate { request, answer, streams, agreed, attempt } => {
            let written = down.get(request..request + answer).unwrap_or_default();
            if connection::write(client, written).await.is_err() {
                return Ended::Left;
            }
            let behind = Filled::behind_head(up, head.len, head.filled);
            let asked = ask(upstream, down, request, &attempt, limits).await;
            let mut bridge = translator(streams, agreed, limits);
            let (io, behind, down) = match asked {
                Ok(Granted { io, head, protocol }) => {
                    connect(&mut bridge, streams, protocol, limits);
                    (Some(io), behind, Filled::behind_head(down, head.len, head.filled))
                }
                Err(refused) => {
                    let mut behind = behind;
                    refuse_session(&mut bridge, &refused, down, behind.room());
                    (None, behind, Filled::empty(down))
                }
            };
            Ended::Session(Session::new(&mut bridge, client, io, behind, down).run(stop).await)
        }
        Way::PassOn { request, attempt } => {
            let behind = Filled::behind_head(up, head.len, head.filled);
            match ask(upstream, down, request, &attempt, limits).await {
                Ok(granted) => join(client, granted, behind, down, limits, stop).await,
                Err(refused) => {
                    let (room, _) = behind.into_parts();
                    let (status, length) = to_answer(&refused, down, room);
                    refuse(client, status, room, length).await
                }
            }
        }
    }
}

/// What a request gets. What is to be sent lies in memory.
enum Way {
    /// This answer, after which the connection is closed.
    Answer { status: u16, length: usize },
    /// It is passed on, with `body` bytes behind it.
    Plain { request: usize, body: u64 },
    /// A session of exec or attach. The client's answer lies behind the request for upstream.
    Translate { request: usize, answer: usize, streams: StreamSet, agreed: Accepted, attempt: Attempt },
    /// A session that nobody looks at.
    PassOn { request: usize, attempt: Attempt },
}

/// Decides what a request gets. On the stack, and not in the memory of the session: it is large, and soon over.
#[inline(never)]
fn route(head: &[u8], peer: Option<IpAddr>, options: &Options<'_>, out: &mut [u8]) -> Way {
    let request = match parse(head) {
        Ok(request) => request,
        Err(error) => return answer(error.status(), error, out),
    };
    if !origin::is_allowed(&request, false, &[""; 0]) {
        return answer(403, "requests of web pages from this Origin are not allowed", out);
    }
    let hop = Hop {
        authority: options.authority,
        prefix: options.prefix,
        client: peer,
        authorization: options.authorization,
    };
    // Port-forward is passed on as it is: SPDY in SPDY, and a tunnel in a tunnel.
    let planner =
        Planner { protocol: UpstreamProtocol::Spdy, translates_port_forward: false, ..Planner::default() };
    plan(&planner, &request, &hop, out).unwrap_or_else(|refused| refusal(&refused, &request, out))
}

// Each step is a function of its own: on the stack, what one takes is free again for the next.
#[inline(never)]
fn parse(head: &[u8]) -> Result<Request<'_, HEADERS>, HeadError> {
    Request::parse(head)
}

#[inline(never)]
fn refusal(refused: &Refusal<'_>, request: &Request<'_, HEADERS>, out: &mut [u8]) -> Way {
    match refused.write(request, out) {
        Ok(length) => Way::Answer { status: refused.status(), length },
        Err(_) => answer(refused.status(), refused, out),
    }
}

#[inline(never)]
fn plan(
    planner: &Planner,
    request: &Request<'_, HEADERS>,
    hop: &Hop<'_>,
    out: &mut [u8],
) -> Result<Way, Refusal<'static>> {
    if !Upgrade::is_asked_for(request) {
        let plain = planner.plain(request)?;
        let length = plain.write_request(request, hop, out).map_err(Refusal::CannotPass)?;
        return Ok(Way::Plain { request: length, body: plain.body() });
    }
    let Chosen { attempt, streams, agreed } = choose(planner, request)?;
    let length = attempt.write_request(request, hop, out).map_err(Refusal::CannotPass)?;
    match agreed {
        Some(agreed) => {
            let behind = out.get_mut(length..).unwrap_or_default();
            let answer = agreed.write(behind).map_err(Refusal::CannotPass)?;
            Ok(Way::Translate { request: length, answer, streams, agreed, attempt })
        }
        None => Ok(Way::PassOn { request: length, attempt }),
    }
}

/// What is taken of a plan.
struct Chosen {
    attempt: Attempt,
    streams: StreamSet,
    /// Only for a session that is translated.
    agreed: Option<Accepted>,
}

#[inline(never)]
fn choose(planner: &Planner, request: &Request<'_, HEADERS>) -> Result<Chosen, Refusal<'static>> {
    // No key of this end's is needed: upstream is asked for SPDY, or for what the client asked for.
    let plan = planner.plan(request, [0; 16])?;
    let agreed = plan.agreed.filter(|_| plan.answers_first());
    let attempt = plan.attempts.first().cloned().ok_or(Refusal::UnknownUpgrade)?;
    if agreed.is_none() && attempt.then != Then::PassOn {
        return Err(Refusal::UnknownUpgrade);
    }
    Ok(Chosen { attempt, streams: plan.streams, agreed })
}

#[inline(never)]
fn answer(status: u16, message: impl core::fmt::Display, out: &mut [u8]) -> Way {
    // Without room for any answer the connection is closed without one.
    let length = write_text(status, [], message, out).unwrap_or_default();
    Way::Answer { status, length }
}

/// The answer to a request whose head could not be read; `None` if there is nobody to answer.
fn to_failed_head(failure: HeadFailure, out: &mut [u8]) -> Option<(u16, usize)> {
    let way = match failure {
        HeadFailure::Closed | HeadFailure::Io(_) => return None,
        HeadFailure::Timeout => answer(408, "the request's head was not complete in time", out),
        HeadFailure::Malformed(error) => answer(error.status(), error, out),
    };
    match way {
        Way::Answer { status, length } => Some((status, length)),
        _ => None,
    }
}

/// An upstream that has granted its upgrade: its connection, the head of its answer, which lies in memory, and what is spoken.
struct Granted<'a, U> {
    io: &'a mut U,
    head: Head,
    protocol: Subprotocol,
}

/// An upstream that has not: why, and where in memory the body of its answer lies.
struct NotGranted {
    error: DialError<ErrorKind, ()>,
    body: core::ops::Range<usize>,
}

impl NotGranted {
    /// The error with its body.
    fn in_memory<'a>(&self, memory: &'a [u8]) -> DialError<ErrorKind, &'a [u8]> {
        match &self.error {
            DialError::Connect(error) => DialError::Connect(*error),
            DialError::Timeout => DialError::Timeout,
            DialError::Closed => DialError::Closed,
            DialError::Silent => DialError::Silent,
            DialError::Malformed(error) => DialError::Malformed(*error),
            DialError::Io(error) => DialError::Io(*error),
            DialError::Upgrade { error, .. } => DialError::Upgrade {
                error: error.clone(),
                body: memory.get(self.body.clone()).unwrap_or_default(),
            },
        }
    }
}

impl From<DialError<ErrorKind, ()>> for NotGranted {
    fn from(error: DialError<ErrorKind, ()>) -> Self {
        Self { error, body: 0..0 }
    }
}

/// Connects to upstream, sends it the first `request` bytes of `memory`, and reads its answer into their place.
async fn ask<'d, D: Dial>(
    upstream: &'d mut D,
    memory: &mut [u8],
    request: usize,
    attempt: &Attempt,
    limits: &Limits,
) -> Result<Granted<'d, D::Connection>, NotGranted> {
    let asking = async {
        let io = upstream.dial().await.map_err(DialError::Connect)?;
        connection::write(io, memory.get(..request).unwrap_or_default()).await.map_err(DialError::Connect)?;
        // A quarter stays free for what the session writes in front of what came behind the head.
        let room = memory.len() - memory.len() / 4;
        let room = memory.get_mut(..room).unwrap_or_default();
        let head = read_head(io, room, limits.head_bytes, deadline(limits)).await.map_err(to_dial_error)?;
        Ok::<_, DialError<ErrorKind, ()>>((io, head))
    };
    let (io, head) = with_timeout(deadline(limits), asking).await.unwrap_or(Err(DialError::Timeout))?;
    match judge(memory.get(..head.len).unwrap_or_default(), attempt) {
        Ok(protocol) => Ok(Granted { io, head, protocol }),
        Err((error, length)) => {
            let filled = read_body(io, memory, head, length, limits).await;
            Err(NotGranted { error, body: head.len..filled })
        }
    }
}

fn to_dial_error(failure: HeadFailure) -> DialError<ErrorKind, ()> {
    match failure {
        HeadFailure::Closed => DialError::Closed,
        HeadFailure::Timeout => DialError::Silent,
        HeadFailure::Malformed(error) => DialError::Malformed(error),
        HeadFailure::Io(error) => DialError::Io(error),
    }
}

/// What upstream's answer means: the protocol that it chose, or the error and how many bytes of body it announces.
#[inline(never)]
fn judge(head: &[u8], attempt: &Attempt) -> Result<Subprotocol, (DialError<ErrorKind, ()>, u64)> {
    let response: Response<'_, HEADERS> = match Response::parse(head) {
        Ok(response) => response,
        Err(error) => return Err((DialError::Malformed(error), 0)),
    };
    attempt.check_answer(&response).map_err(|error| {
        let length = match (&error, response.body("POST")) {
            (UpgradeError::Refused { .. }, Body::Length(length)) => length,
            (UpgradeError::Refused { .. }, Body::Chunked | Body::UntilClose) => u64::MAX,
            _ => 0,
        };
        (DialError::Upgrade { error, body: () }, length)
    })
}

/// Reads the body of a refusal, as far as it comes within the deadline and as there is room. Returns where it ends.
async fn read_body(
    io: &mut impl Connection,
    memory: &mut [u8],
    head: Head,
    length: u64,
    limits: &Limits,
) -> usize {
    let end = memory.len().min(head.len.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)));
    let mut filled = head.filled.min(end);
    let reading = async {
        while let Some(space) = memory.get_mut(filled..end).filter(|space| !space.is_empty()) {
            match connection::read(io, space).await {
                Ok(count @ 1..) => filled += count,
                _ => return,
            }
        }
    };
    let _ = with_timeout(deadline(limits) / 3, reading).await;
    filled
}

/// Writes what a client gets whose upgrade upstream did not grant, and says the HTTP status.
#[inline(never)]
fn to_answer(refused: &NotGranted, memory: &[u8], out: &mut [u8]) -> (u16, usize) {
    let error = refused.in_memory(memory);
    info!("upgrade refused by upstream: {}", error.status());
    (error.status(), error.write_answer(out).unwrap_or_default())
}

/// What joins a session of exec or attach.
type Translator = ExecBridge<WebSocketLeg, SpdyLeg<SkipBlocks>, STATUS>;

// This and the next are functions of their own, so that what they make is on the stack once, and then in its place only.
#[inline(never)]
fn translator(streams: StreamSet, agreed: Accepted, limits: &Limits) -> Translator {
    ExecBridge::new(WebSocketLeg::server(agreed.protocol, limits), streams, limits)
}

#[inline(never)]
fn connect(bridge: &mut Translator, streams: StreamSet, protocol: Subprotocol, limits: &Limits) {
    bridge.connected(SpdyLeg::client(streams, protocol, limits), strait::Instant::ZERO);
}

/// Tells a bridge why there is no upstream. `room` is for its words.
#[inline(never)]
fn refuse_session<B: Bridge>(bridge: &mut B, refused: &NotGranted, memory: &[u8], room: &mut [u8]) {
    let length = refused.in_memory(memory).write_status(room).unwrap_or_default();
    bridge.refused(room.get(..length).unwrap_or_default());
}

/// A session that nobody looks at: the client gets upstream's answer, and from then on all bytes are passed on.
async fn join<C: Connection, U: Connection>(
    client: &mut C,
    granted: Granted<'_, U>,
    up: Filled<'_>,
    down: &mut [u8],
    limits: &Limits,
    stop: impl Future<Output = ()>,
) -> Ended {
    let Granted { io, head, .. } = granted;
    if connection::write(client, down.get(..head.len).unwrap_or_default()).await.is_err() {
        return Ended::Left;
    }
    let down = Filled::behind_head(down, head.len, head.filled);
    Ended::PassedOn(pass_on(client, io, up, down, millis(limits.close), stop).await)
}

/// A request that is no upgrade, on a connection of its own to upstream: exactly its body is passed on, and then the answer to
/// the end of that connection.
#[expect(clippy::too_many_arguments, reason = "a request as it lies in memory, and where it goes")]
async fn plain<C: Connection, D: Dial>(
    client: &mut C,
    upstream: &mut D,
    up: &mut [u8],
    head: Head,
    down: &mut [u8],
    request: usize,
    body: u64,
    options: &Options<'_>,
    stop: impl Future<Output = ()>,
) -> Ended {
    let limits = &options.limits;
    let sending = async {
        let io = with_timeout(deadline(limits), upstream.dial())
            .await
            .unwrap_or(Err(ErrorKind::TimedOut))
            .map_err(DialError::<_, &[u8]>::Connect)?;
        connection::write(io, down.get(..request).unwrap_or_default()).await.map_err(DialError::Connect)?;
        let mut left = body;
        let (mut start, mut end) = (head.len, head.filled);
        while left > 0 {
            if start == end {
                let reading = with_timeout(deadline(limits), connection::read(client, up)).await;
                (start, end) = (0, reading.unwrap_or(Ok(0)).unwrap_or(0));
                if end == 0 {
                    return Err(DialError::Closed);
                }
            }
            end = end.min(start.saturating_add(usize::try_from(left).unwrap_or(usize::MAX)));
            let piece = up.get(start..end).unwrap_or_default();
            let writing = with_timeout(deadline(limits), connection::write(io, piece)).await;
            writing.unwrap_or(Err(ErrorKind::TimedOut)).map_err(DialError::Io)?;
            left = left.saturating_sub(piece.len() as u64);
            start = end;
        }
        Ok(io)
    };
    match sending.await {
        Ok(io) => {
            let is_whole = pass_on::answer(client, io, down, millis(limits.idle), stop).await;
            Ended::Plain(is_whole)
        }
        Err(error) => {
            let length = error.write_answer(down).unwrap_or_default();
            refuse(client, error.status(), down, length).await
        }
    }
}

/// Sends the last bytes of a connection so that they arrive: what the peer still sends is read for a while.
async fn refuse(client: &mut impl Connection, status: u16, memory: &mut [u8], length: usize) -> Ended {
    debug!("answer {}", status);
    let answering = async {
        connection::write(client, memory.get(..length).unwrap_or_default()).await?;
        client.end();
        while connection::read(client, memory).await? > 0 {}
        Ok::<_, ErrorKind>(())
    };
    let _ = with_timeout(LINGER, answering).await;
    Ended::Refused(status)
}

/// Time for an upgrade.
pub(crate) fn deadline(limits: &Limits) -> Duration {
    millis(limits.handshake)
}

fn millis(duration: core::time::Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 1_000_000))
}

impl Ended {
    /// True for a session that came to its own end.
    pub const fn is_complete(&self) -> bool {
        matches!(self, Self::Session(Summary { outcome: Outcome::Completed, .. }))
    }
}
