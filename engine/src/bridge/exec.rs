use core::fmt;
use core::time::Duration;

use heapless::Vec;

use super::{Lane, Side};
use crate::k8s::{self, Channel, ChannelSet, StreamSet, Subprotocol, status};
use crate::leg::{Close, Event, Leg, LegError};
use crate::limits::Limits;
use crate::step::Step;
use crate::time::Instant;

/// How long a connection that outlived its session is kept for its last bytes once the other one is lost.
const CANCEL: Duration = Duration::from_secs(1);

/// Joins a client's leg and an upstream's leg for one exec or attach session (`remotecommand.md`).
///
/// The bridge owns both legs and no I/O. Its driver owns two sockets, one [`Lane`] a direction and
/// the clock, and does this until [`is_finished`](Self::is_finished) and all output is written:
///
/// 1. [`translate`](Self::translate) what was read from upstream, **then** what was read from the client: what
///    upstream says may set free what the client has sent;
/// 2. for each side, write its [`output`](Self::output) and tell how much of it was [`written`](Self::written); shut
///    its sending half down when all is written and [`shutdown_due`](Self::shutdown_due);
/// 3. for each side whose translation did not ask for a write, read; tell [`eof`](Self::eof) or
///    [`lost`](Self::lost);
/// 4. begin again if a byte was moved or something was told; otherwise sleep until a socket is ready or the
///    [`deadline`](Self::deadline) has passed, and tell the [`time`](Self::time).
///
/// A session ends when upstream has ended stdout, stderr and its error stream. Its status is sent after all
/// output, exactly once; a session that ends without a status is an error for the client. When one
/// side is lost the other is ended.
///
/// `STATUS` is the room for the session's status, which may come before the end of the output.
#[derive(Debug)]
pub struct ExecBridge<C, U, const STATUS: usize = 4096> {
    client: C,
    upstream: Option<U>,
    phase: Phase,
    /// Output channels that upstream has not ended.
    outputs: ChannelSet,
    status: Vec<u8, STATUS>,
    status_too_long: bool,
    client_side: SideState,
    upstream_side: SideState,
    outcome: Option<Outcome>,
    ready_channel: Channel,
    stream_creation: Duration,
    close: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No upstream yet.
    Dialing,
    /// Streams are opened, and not all of them accepted.
    Opening {
        until: Instant,
    },
    Running,
    /// The status waits until all output before it is written.
    Finishing,
    /// Both legs are closing; peers get until then. If they have `grace`, each sign of life begins it anew.
    Closing {
        until: Instant,
        grace: Option<Duration>,
    },
}

/// What the bridge knows of a connection.
#[derive(Debug, Clone, Copy, Default)]
struct SideState {
    /// The peer sends nothing more.
    ended: bool,
    /// The connection is gone, in both directions.
    lost: bool,
    /// So many of the pending control bytes come before the next data frame: the frames of which a part is
    /// written already. What is queued later comes after the data, so that a Close stays the last.
    begun: usize,
}

impl SideState {
    const GONE: Self = Self { ended: true, lost: true, begun: 0 };
}

/// What [`ExecBridge::translate`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// All input that can be understood is consumed: read more.
    NeedInput,
    /// The output, and the pending bytes of both legs, have to be written first.
    NeedWrite,
    /// The other leg is not ready to take data.
    NeedPeer,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Upstream ended it and its status was passed on.
    Completed,
    /// Upstream refused it, or could not be reached.
    Refused,
    /// The client closed it before it was complete.
    ClientClosed,
    /// The client's connection was cut.
    ClientLost,
    /// Upstream's connection was cut, or it ended the session without a status.
    UpstreamLost,
    /// Upstream did not accept the session's streams in time.
    StreamCreationTimeout,
    /// The client broke its protocol.
    ClientError(LegError),
    /// Upstream broke its protocol.
    UpstreamError(LegError),
    /// This end shut down.
    Shutdown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::Refused => f.write_str("refused by upstream"),
            Self::ClientClosed => f.write_str("closed by the client"),
            Self::ClientLost => f.write_str("lost the client"),
            Self::UpstreamLost => f.write_str("lost upstream"),
            Self::StreamCreationTimeout => f.write_str("upstream did not accept the streams in time"),
            Self::ClientError(error) => write!(f, "client error: {error}"),
            Self::UpstreamError(error) => write!(f, "upstream error: {error}"),
            Self::Shutdown => f.write_str("shut down"),
        }
    }
}

impl<C: Leg, U: Leg, const STATUS: usize> ExecBridge<C, U, STATUS> {
    /// A session of `streams` whose client is connected and whose upstream is not yet.
    pub fn new(client: C, streams: StreamSet, limits: &Limits) -> Self {
        const { assert!(STATUS >= status::MIN_OUT, "the bridge holds the statuses that it writes itself") }
        Self {
            client,
            upstream: None,
            phase: Phase::Dialing,
            outputs: outputs_of(streams),
            status: Vec::new(),
            status_too_long: false,
            client_side: SideState::default(),
            upstream_side: SideState::GONE,
            outcome: None,
            ready_channel: streams.ready_channel(),
            stream_creation: limits.stream_creation,
            close: limits.close,
        }
    }

    /// Tells the client that its session is accepted: an empty message on the lowest channel that it reads, the
    /// only signal that a client can wait for (`websocket-channels.md` section 3). Call it first, with
    /// the empty lane that carries what is for the client.
    pub fn greet<B, const S: usize>(&mut self, lane: &mut Lane<B, S>)
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
    {
        lane.payload_space();
        lane.payload(&mut self.client, self.ready_channel, false, 0);
    }

    /// Upstream has answered the upgrade; `leg` has queued the opening of its streams. If the session has
    /// [ended](Self::outcome) meanwhile, `leg` is dropped: its connection is not needed any more.
    pub fn connected(&mut self, leg: U, now: Instant) {
        if self.phase != Phase::Dialing {
            return;
        }
        self.upstream = Some(leg);
        self.upstream_side = SideState::default();
        self.phase = Phase::Opening { until: now.after(self.stream_creation) };
    }

    /// Upstream cannot be reached, or refused. `status` is sent to the client as the session's status: a JSON
    /// Status of a failure, whose message is cut if it is longer than the bridge can hold. Anything
    /// else is replaced by one that says as much.
    pub fn refused(&mut self, status: &[u8]) {
        if self.phase != Phase::Dialing {
            return;
        }
        match k8s::Outcome::parse(status) {
            Ok(failure @ k8s::Outcome::Failure(_)) => self.set_status(status, &failure),
            _ => self.set_error_status("upstream refused the session"),
        }
        self.finish(Outcome::Refused);
    }

    /// Translates the bytes that came from `from`, which lie in `lane`'s input.
    #[inline]
    pub fn translate<B, const S: usize>(&mut self, from: Side, lane: &mut Lane<B, S>, now: Instant) -> Flow
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
    {
        match from {
            Side::Client => self.translate_client(lane, now),
            Side::Upstream => self.translate_upstream(lane, now),
        }
    }

    /// What has to be written to `side` next, in order: the output of `lane`, which carries what is for `side`,
    /// and the control bytes of its leg. Control bytes come between data frames, and last, so that
    /// a Close or a GOAWAY follows all output.
    pub fn output<'a, B, const S: usize>(
        &'a self,
        side: Side,
        lane: &'a Lane<B, S>,
    ) -> impl Iterator<Item = &'a [u8]>
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
    {
        let pending = self.pending(side);
        let (first, last) = pending.split_at_checked(self.side(side).begun).unwrap_or((pending, &[]));
        let slices = core::iter::once(first).chain(lane.output()).chain(core::iter::once(last));
        slices.filter(|slice| !slice.is_empty())
    }

    /// The first `count` bytes of [`output`](Self::output) were written.
    pub fn written<B, const S: usize>(&mut self, side: Side, lane: &mut Lane<B, S>, mut count: usize)
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
    {
        let first = count.min(self.side(side).begun);
        self.side_mut(side).begun -= first;
        count -= first;
        let last = lane.written(count);
        if last > 0 {
            self.side_mut(side).begun = self.pending(side).len().saturating_sub(first + last);
        }
        self.sent(side, first + last);
    }

    /// Forgets what is to be written to `side`, which is [no longer writable](Self::is_writable).
    pub fn discard_output<B, const S: usize>(&mut self, side: Side, lane: &mut Lane<B, S>)
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
    {
        lane.discard_output();
        self.side_mut(side).begun = 0;
        self.sent(side, self.pending(side).len());
    }

    /// True if there is something to write to `side`.
    pub fn has_output<B, const S: usize>(&self, side: Side, lane: &Lane<B, S>) -> bool
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
    {
        lane.has_output() || !self.pending(side).is_empty()
    }

    /// The peer of `side` ended its sending half, and everything that it sent is translated.
    pub fn eof(&mut self, side: Side, now: Instant) {
        self.side_mut(side).ended = true;
        match (side, self.phase) {
            (_, Phase::Finishing | Phase::Closing { .. }) => {}
            (Side::Client, _) => self.end_without_client(Outcome::ClientLost, now),
            (Side::Upstream, _) => self.upstream_ended(false),
        }
    }

    /// The connection of `side` is gone: nothing can be read from it or written to it.
    ///
    /// If only writing failed, tell [`write_failed`](Self::write_failed) instead.
    pub fn lost(&mut self, side: Side, now: Instant) {
        let undelivered = self.is_undelivered();
        self.eof(side, now);
        self.side_mut(side).lost = true;
        if side == Side::Client && undelivered {
            self.end_without_client(Outcome::ClientLost, now);
        }
    }

    /// Writing to `side` failed. From upstream the rest is still read, until [`eof`](Self::eof) or
    /// [`lost`](Self::lost): a command that ends without reading its input closes its connection
    /// while input is on its way, and its output and status are in our socket already.
    pub fn write_failed(&mut self, side: Side, now: Instant) {
        match side {
            Side::Client => self.lost(side, now),
            Side::Upstream => self.upstream_side.lost = true,
        }
    }

    /// True if `side` can be written to.
    pub fn is_writable(&self, side: Side) -> bool {
        !self.side(side).lost
    }

    /// True if nothing will be written to `side` beyond what is pending: its sending half may be shut
    /// down. A WebSocket client is given the time to answer the Close first (RFC 6455 section 7.1.1).
    pub fn shutdown_due(&self, side: Side) -> bool {
        match side {
            Side::Client => matches!(self.phase, Phase::Closing { .. }) && self.client_side.ended,
            Side::Upstream => self.is_over(),
        }
    }

    /// True if both connections are done with and may be dropped.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. }) && self.client_side.ended && self.upstream_side.ended
    }

    /// How the session ended, once it has.
    pub const fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// When [`time`](Self::time) has to be called.
    pub const fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Closing { .. } if self.client_side.lost && self.upstream_side.lost => None,
            Phase::Opening { until } | Phase::Closing { until, .. } => Some(until),
            Phase::Dialing | Phase::Running | Phase::Finishing => None,
        }
    }

    /// Acts on a deadline that has passed.
    pub fn time(&mut self, now: Instant) {
        match self.phase {
            Phase::Opening { until } if until <= now => {
                self.set_error_status("timed out waiting for upstream to accept the streams");
                self.finish(Outcome::StreamCreationTimeout);
            }
            Phase::Closing { until, grace } if until <= now => {
                self.upstream_side = SideState::GONE;
                match grace.filter(|_| self.is_undelivered() && self.outcome != Some(Outcome::Shutdown)) {
                    // The client does not read now: that is its right, as it was before the end.
                    Some(grace) => self.start_closing(Some(grace), now),
                    None => self.client_side = SideState::GONE,
                }
            }
            _ => {}
        }
    }

    /// Ends the session because this end shuts down: the client gets an error status.
    pub fn shut_down(&mut self) {
        if !self.is_over() {
            self.set_error_status("the gateway is shutting down");
            self.finish(Outcome::Shutdown);
        }
    }

    /// The client's leg.
    pub const fn client(&self) -> &C {
        &self.client
    }

    fn translate_client<B, const S: usize>(&mut self, lane: &mut Lane<B, S>, now: Instant) -> Flow
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
    {
        let flow = loop {
            if !self.client.can_receive() {
                break Flow::NeedWrite;
            }
            let upstream = self.upstream.as_mut().filter(|_| self.phase == Phase::Running);
            match (self.client.lead(lane.peek()), &upstream) {
                (Some(_), _) if matches!(self.phase, Phase::Dialing | Phase::Opening { .. }) => {
                    break Flow::NeedPeer;
                }
                (Some(lead), Some(upstream)) if !lane.has_room(lead, *upstream) => break Flow::NeedWrite,
                // Pings are answered and a Close is seen whether data can go on or not.
                _ => {}
            }
            let Step { consumed, event } = match self.client.receive(lane.input()) {
                Ok(step) => step,
                Err(error) => {
                    if let Some(upstream) = upstream {
                        lane.close_frame(upstream);
                    }
                    lane.discard_input();
                    self.client_failed(error, now);
                    break Flow::NeedInput;
                }
            };
            if consumed == 0 && event.is_none() {
                break Flow::NeedInput;
            }
            let at = lane.consume(consumed);
            match (event, upstream) {
                (Some(Event::Data { channel: Channel::STDIN, range }), Some(upstream))
                    if upstream.can_send(Channel::STDIN) =>
                {
                    lane.data(upstream, Channel::STDIN, at + range.start..at + range.end);
                }
                (Some(Event::HalfClosed(Channel::STDIN)), Some(upstream))
                    if upstream.can_send(Channel::STDIN) =>
                {
                    lane.half_close(upstream, Channel::STDIN);
                }
                (Some(Event::HalfClosed(Channel::RESIZE)), Some(upstream)) => upstream.end_sizes(),
                (Some(Event::Resize(size)), Some(upstream)) => upstream.resize(size),
                (Some(Event::End), upstream) => {
                    if let Some(upstream) = upstream {
                        lane.close_frame(upstream);
                    }
                    lane.discard_input();
                    self.client_side.ended = true;
                    if !matches!(self.phase, Phase::Closing { .. }) {
                        self.end_without_client(Outcome::ClientClosed, now);
                    }
                }
                _ => {}
            }
            self.alive(now);
        };
        if let Some(upstream) = &mut self.upstream {
            lane.close_frame(upstream);
        }
        flow
    }

    fn translate_upstream<B, const S: usize>(&mut self, lane: &mut Lane<B, S>, now: Instant) -> Flow
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
    {
        let flow = loop {
            match self.phase {
                Phase::Finishing if lane.has_output() => break Flow::NeedWrite,
                Phase::Finishing => {
                    self.send_status(lane, now);
                    break Flow::NeedInput;
                }
                Phase::Closing { .. } => {
                    if lane.has_input() {
                        self.alive(now);
                    }
                    lane.discard_input();
                    break Flow::NeedInput;
                }
                Phase::Dialing => break Flow::NeedPeer,
                Phase::Opening { .. } | Phase::Running => {}
            }
            let Some(upstream) = &mut self.upstream else { break Flow::NeedInput };
            if !upstream.can_receive() {
                break Flow::NeedWrite;
            }
            if let Some(lead) = upstream.lead(lane.peek())
                && !lane.has_room(lead, &self.client)
            {
                break Flow::NeedWrite;
            }
            let Step { consumed, event } = match upstream.receive(lane.input()) {
                Ok(step) => step,
                Err(error) => {
                    lane.close_frame(&mut self.client);
                    lane.discard_input();
                    self.upstream_failed(error);
                    continue;
                }
            };
            if consumed == 0 && event.is_none() {
                break Flow::NeedInput;
            }
            let at = lane.consume(consumed);
            match event {
                Some(Event::Data { channel: Channel::ERROR, range }) => {
                    self.hold_status(lane.consumed(at + range.start..at + range.end));
                }
                Some(Event::Data { channel: channel @ (Channel::STDOUT | Channel::STDERR), range }) => {
                    lane.data(&mut self.client, channel, at + range.start..at + range.end);
                }
                Some(Event::Accepted(_)) => self.accepted(),
                Some(Event::HalfClosed(channel) | Event::Reset(channel, _)) => {
                    self.outputs.remove(channel);
                    self.accepted();
                    if self.outputs.is_empty() {
                        lane.close_frame(&mut self.client);
                        self.upstream_ended(true);
                    }
                }
                Some(Event::End) => {
                    lane.close_frame(&mut self.client);
                    lane.discard_input();
                    self.upstream_side.ended = true;
                    self.upstream_ended(true);
                }
                Some(Event::Opened(_) | Event::Data { .. } | Event::Resize(_)) | None => {}
            }
        };
        lane.close_frame(&mut self.client);
        flow
    }

    fn accepted(&mut self) {
        if matches!(self.phase, Phase::Opening { .. }) && self.upstream.as_ref().is_some_and(Leg::is_ready) {
            self.phase = Phase::Running;
        }
    }

    fn hold_status(&mut self, piece: &[u8]) {
        if self.status.extend_from_slice(piece).is_err() {
            self.status_too_long = true;
        }
    }

    /// Upstream will send nothing more that belongs to the session. `in_order` says that it ended its streams,
    /// rather than that its connection ended.
    fn upstream_ended(&mut self, in_order: bool) {
        let outcome = if self.status_too_long {
            self.set_error_status("the exit status of the command is longer than the gateway can hold");
            Outcome::UpstreamLost
        } else if !(in_order || self.outputs.is_only(Channel::ERROR)) {
            self.set_error_status("connection to upstream closed before the end of the output was received");
            Outcome::UpstreamLost
        } else if self.status.is_empty() {
            self.set_error_status("connection to upstream closed before the exit status was received");
            Outcome::UpstreamLost
        } else if k8s::Outcome::parse(&self.status).is_err() {
            self.set_error_status("upstream sent an exit status that is not a Status");
            Outcome::UpstreamLost
        } else {
            Outcome::Completed
        };
        self.finish(outcome);
    }

    fn upstream_failed(&mut self, error: LegError) {
        self.set_error_status("upstream broke the SPDY/3.1 protocol");
        if let Some(upstream) = &mut self.upstream {
            upstream.close(error.close());
        }
        self.finish(Outcome::UpstreamError(error));
    }

    fn client_failed(&mut self, error: LegError, now: Instant) {
        self.client.close(error.close());
        if !matches!(self.phase, Phase::Closing { .. }) {
            self.end_without_client(Outcome::ClientError(error), now);
        }
    }

    fn set_error_status(&mut self, message: &str) {
        let mut json = [0; STATUS];
        // There is room for it, see `new`.
        let len = status::internal_error(message, &mut json).unwrap_or(0);
        self.status.clear();
        let _ = self.status.extend_from_slice(json.get(..len).unwrap_or_default());
    }

    /// The status is `json`, or as much of `outcome`, which it says, as can be held.
    fn set_status(&mut self, json: &[u8], outcome: &k8s::Outcome<'_>) {
        self.status.clear();
        if self.status.extend_from_slice(json).is_err() {
            let mut shorter = [0; STATUS];
            let len = outcome.write(&mut shorter).unwrap_or(0);
            let _ = self.status.extend_from_slice(shorter.get(..len).unwrap_or_default());
        }
    }

    /// The session is over: upstream is told at once, the client when it has all output.
    fn finish(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
        self.phase = Phase::Finishing;
        if let Some(upstream) = &mut self.upstream {
            upstream.close(Close::Normal);
        }
    }

    fn send_status<B, const S: usize>(&mut self, lane: &mut Lane<B, S>, now: Instant)
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
    {
        lane.discard_input();
        let room = lane.payload_space();
        let len = if let Some(room) = room.get_mut(..self.status.len()) {
            room.copy_from_slice(&self.status);
            self.status.len()
        } else {
            status::internal_error("the exit status is longer than the gateway can hold", room).unwrap_or(0)
        };
        // An empty status would read as success.
        let told = len > 0 && lane.payload(&mut self.client, Channel::ERROR, false, len);
        self.client.close(if told { Close::Normal } else { Close::Internal });
        self.start_closing(Some(self.close), now);
    }

    /// True if the session is over, whatever is left to be written.
    const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Finishing | Phase::Closing { .. })
    }

    /// True if the session is over and the client does not have all of it: its Close comes last.
    fn is_undelivered(&self) -> bool {
        let waits = match self.phase {
            Phase::Finishing => true,
            Phase::Closing { .. } => !self.client.pending().is_empty(),
            _ => false,
        };
        waits && !self.client_side.ended
    }

    /// The client is no longer there, or no longer wants the session: upstream's streams are cancelled.
    fn end_without_client(&mut self, outcome: Outcome, now: Instant) {
        // A status that did not reach it was not passed on.
        self.outcome = self.outcome.filter(|&earlier| earlier != Outcome::Completed).or(Some(outcome));
        self.start_closing(None, now);
    }

    fn start_closing(&mut self, grace: Option<Duration>, now: Instant) {
        if let Some(upstream) = &mut self.upstream {
            upstream.close(Close::Normal);
        }
        self.phase = Phase::Closing { until: now.after(grace.unwrap_or(CANCEL)), grace };
    }

    /// A peer that sends is not cut while the session closes: its kernel may still hold our last output.
    fn alive(&mut self, now: Instant) {
        if let Phase::Closing { until, grace: Some(grace) } = &mut self.phase {
            *until = now.after(*grace);
        }
    }

    fn pending(&self, side: Side) -> &[u8] {
        match (side, &self.upstream) {
            (Side::Client, _) => self.client.pending(),
            (Side::Upstream, Some(upstream)) => upstream.pending(),
            (Side::Upstream, None) => &[],
        }
    }

    fn sent(&mut self, side: Side, count: usize) {
        match (side, &mut self.upstream) {
            (Side::Client, _) => self.client.sent(count),
            (Side::Upstream, Some(upstream)) => upstream.sent(count),
            (Side::Upstream, None) => {}
        }
    }

    const fn side(&self, side: Side) -> &SideState {
        match side {
            Side::Client => &self.client_side,
            Side::Upstream => &self.upstream_side,
        }
    }

    const fn side_mut(&mut self, side: Side) -> &mut SideState {
        match side {
            Side::Client => &mut self.client_side,
            Side::Upstream => &mut self.upstream_side,
        }
    }
}

/// The channels on which upstream sends what the client has to get.
fn outputs_of(streams: StreamSet) -> ChannelSet {
    let outputs = [Channel::ERROR, Channel::STDOUT, Channel::STDERR];
    streams.channels(Subprotocol::V4).filter(|channel| outputs.contains(channel)).collect()
}

#[cfg(test)]
mod tests;
