use core::time::Duration;

use super::liveness::{Due, Liveness};
use super::{Bridge, CANCEL, Carried, Flow, Lane, Memory, Outcome, Side, SideState, Turn};
use crate::k8s::Channel;
use crate::leg::{ByteStream, Close, Event, LegError};
use crate::limits::Limits;
use crate::step::Step;
use crate::time::Instant;

/// Joins two streams of bytes: the two ends of a tunnel, one a WebSocket and one a SPDY connection that nobody looks into
/// (`port-forward.md` section 2).
///
/// ```text
/// kubectl ── WebSocket: TunnelLeg ──► bridge ── SPDY: RawLeg ──► kubelet       or the other way round
/// ```
///
/// What one read brings leaves as one message, where it lies. The end of a stream is passed on behind all its bytes, and the
/// other direction goes on as long as the protocols let it: until the Close that answers ours. After the first end no peer
/// has longer than [`Limits::close`] without progress. Either side's failure is told to the other one: a WebSocket gets
/// another code than 1000, a raw connection just ends.
///
/// Heartbeats and the time-out of a silent peer are those of the WebSocket; a raw connection has TCP's. Anything that a
/// stream carries, SPDY's PINGs included, keeps the session from being idle.
#[derive(Debug)]
pub struct TunnelBridge<C, U> {
    client: C,
    upstream: Option<U>,
    phase: Phase,
    client_end: End,
    upstream_end: End,
    outcome: Option<Outcome>,
    carried: Carried,
    liveness: Liveness,
    close: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No upstream yet.
    Dialing,
    Running,
    /// One stream has ended at least. The peers get so long without progress; `until` is when that is over, `None` as long
    /// as the time has not been told since the last progress.
    Closing {
        grace: Duration,
        until: Option<Instant>,
    },
}

/// What the bridge knows of a connection. It has `ended` when the peer's stream has.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    state: SideState,
    /// The connection sends nothing more: so ends the stream, when what was read before is passed on.
    eof: bool,
    /// There was something to write to it, last time it was looked at.
    undelivered: bool,
}

impl End {
    const GONE: Self = Self { state: SideState::GONE, eof: true, undelivered: false };
}

impl<C: ByteStream, U: ByteStream> TunnelBridge<C, U> {
    /// A session whose client is connected and whose upstream is not yet.
    pub fn new(client: C, limits: &Limits) -> Self {
        Self {
            client,
            upstream: None,
            phase: Phase::Dialing,
            client_end: End::default(),
            upstream_end: End::GONE,
            outcome: None,
            carried: Carried::default(),
            liveness: Liveness::new(limits),
            close: limits.close,
        }
    }
}

impl<C: ByteStream, U: ByteStream> Bridge for TunnelBridge<C, U> {
    type Upstream = U;

    fn greet<B: Memory, const S: usize>(&mut self, _: &mut Lane<B, S>) {}

    fn connected(&mut self, upstream: U, now: Instant) {
        if self.phase != Phase::Dialing {
            return;
        }
        self.upstream = Some(upstream);
        self.upstream_end = End::default();
        self.phase = Phase::Running;
        self.liveness.start(now);
        for side in [Side::Client, Side::Upstream] {
            if !self.leg_of(side).has_close {
                self.liveness.mute(side);
            }
        }
    }

    /// There is no word for it in the protocol but the Close.
    fn refused(&mut self, _: &[u8]) {
        if self.phase == Phase::Dialing {
            self.end(Outcome::Refused, Close::Internal, self.close);
        }
    }

    #[inline]
    fn translate<B: Memory, const S: usize>(
        &mut self,
        from: Side,
        lane: &mut Lane<B, S>,
        now: Instant,
    ) -> Flow {
        if let Phase::Closing { grace, until } = &mut self.phase {
            until.get_or_insert(now.after(*grace));
        }
        if self.end_of(from).state.ended {
            lane.discard_input();
            return Flow::NeedInput;
        }
        let waits = self.phase == Phase::Dialing;
        let Passed { stopped, bytes, heard, answered } = match (from, &mut self.upstream) {
            (Side::Client, upstream) => pass_on(&mut self.client, upstream.as_mut(), waits, lane),
            (Side::Upstream, Some(upstream)) => pass_on(upstream, Some(&mut self.client), waits, lane),
            (Side::Upstream, None) => return Flow::NeedPeer,
        };
        if heard {
            self.liveness.heard(from, now);
        }
        if answered {
            self.liveness.answered(from, now);
        }
        if bytes > 0 {
            self.liveness.active(now);
            self.carried.add_forwarded(from, bytes);
        }
        self.end_of_mut(from.other()).undelivered = lane.has_output();
        let flow = match stopped {
            Stopped::For(Flow::NeedInput) if self.end_of(from).eof => {
                self.ended_with_connection(from);
                Flow::NeedInput
            }
            Stopped::For(flow) => flow,
            Stopped::Ended { clean } => {
                self.ended(from, if clean { Outcome::Completed } else { closed_by(from) });
                Flow::NeedInput
            }
            Stopped::Failed(error) => {
                self.close_leg(from, error.close());
                self.ended(from, failure_of(from, error));
                Flow::NeedInput
            }
        };
        self.liveness.hold(from, flow != Flow::NeedInput || lane.has_output(), now);
        flow
    }

    fn output<'a, B: Memory, const S: usize>(
        &'a self,
        side: Side,
        lane: &'a Lane<B, S>,
    ) -> impl Iterator<Item = &'a [u8]> {
        self.end_of(side).state.turn.output(self.pending(side), lane)
    }

    fn written<B: Memory, const S: usize>(&mut self, side: Side, lane: &mut Lane<B, S>, count: usize) {
        let pending = self.pending(side).len();
        let control = self.end_of_mut(side).state.turn.written(pending, lane, count);
        if control < count {
            self.liveness.told(side);
        }
        self.sent(side, control);
        self.end_of_mut(side).undelivered = self.has_output(side, lane);
        if let Phase::Closing { until, .. } = &mut self.phase
            && count > 0
        {
            *until = None;
        }
    }

    fn discard_output<B: Memory, const S: usize>(&mut self, side: Side, lane: &mut Lane<B, S>) {
        lane.discard_output();
        self.end_of_mut(side).state.turn = Turn::new();
        self.sent(side, self.pending(side).len());
    }

    fn has_output<B: Memory, const S: usize>(&self, side: Side, lane: &Lane<B, S>) -> bool {
        lane.has_output() || !self.pending(side).is_empty()
    }

    fn eof(&mut self, side: Side, _: Instant) {
        self.end_of_mut(side).eof = true;
        if self.phase == Phase::Dialing {
            self.ended(side, lost(side));
        }
    }

    fn lost(&mut self, side: Side, _: Instant) {
        if self.end_of(side).state.ended {
            self.undelivered_to(side);
        } else {
            self.ended(side, lost(side));
        }
        *self.end_of_mut(side) = End::GONE;
    }

    fn write_failed(&mut self, side: Side, now: Instant) {
        match side {
            Side::Client => self.lost(side, now),
            Side::Upstream => self.upstream_end.state.lost = true,
        }
    }

    fn is_writable(&self, side: Side) -> bool {
        !self.end_of(side).state.lost
    }

    fn shutdown_due(&self, side: Side) -> bool {
        let LegState { has_close, is_closed } = self.leg_of(side);
        is_closed && (!has_close || self.end_of(side).state.ended)
    }

    fn is_finished(&self) -> bool {
        let ended = [self.client_end, self.upstream_end].iter().all(|end| end.state.ended);
        ended && matches!(self.phase, Phase::Closing { .. })
    }

    fn carried(&self) -> Carried {
        self.carried
    }

    fn round_trip(&self, side: Side) -> Option<Duration> {
        self.liveness.round_trip(side)
    }

    fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Dialing => None,
            Phase::Running => self.liveness.deadline(),
            Phase::Closing { until, .. } => until,
        }
    }

    fn time(&mut self, now: Instant) {
        match self.phase {
            Phase::Running => self.keep_alive(now),
            Phase::Closing { until: Some(until), .. } if until <= now => {
                for side in [Side::Client, Side::Upstream] {
                    self.undelivered_to(side);
                    *self.end_of_mut(side) = End::GONE;
                }
            }
            Phase::Dialing | Phase::Closing { .. } => {}
        }
    }

    fn shut_down(&mut self) {
        if !matches!(self.phase, Phase::Closing { .. }) {
            self.end(Outcome::Shutdown, Close::GoingAway, self.close);
        }
    }
}

impl<C: ByteStream, U: ByteStream> TunnelBridge<C, U> {
    fn keep_alive(&mut self, now: Instant) {
        for side in [Side::Client, Side::Upstream] {
            if !self.pending(side).is_empty() {
                self.liveness.unasked(side, now);
            }
        }
        match self.liveness.due(now) {
            Due::Nothing => {}
            Due::Ping => {
                self.client.ping();
                if let Some(upstream) = &mut self.upstream {
                    upstream.ping();
                }
            }
            Due::Dead(side) => {
                self.ended(
                    side,
                    match side {
                        Side::Client => Outcome::ClientSilent,
                        Side::Upstream => Outcome::UpstreamSilent,
                    },
                );
                *self.end_of_mut(side) = End::GONE;
            }
            Due::Idle => self.end(Outcome::Idle, Close::GoingAway, self.close),
        }
    }

    /// The connection of `side` ended, and all that it sent is passed on.
    fn ended_with_connection(&mut self, side: Side) {
        let LegState { has_close, is_closed } = self.leg_of(side);
        // Some peers answer a Close with the end of the connection alone.
        let clean = (!has_close || is_closed) && !self.end_of(side).state.lost;
        self.ended(side, if clean { Outcome::Completed } else { lost(side) });
    }

    /// The stream of `side` has ended. If that is the first end, it is that of the session too.
    fn ended(&mut self, side: Side, outcome: Outcome) {
        self.end_of_mut(side).state.ended = true;
        if self.outcome.is_none() && outcome != Outcome::Completed {
            // Nobody waits for what a client that is gone would have got.
            let grace = if side == Side::Client { CANCEL } else { self.close };
            self.end(outcome, Close::Internal, grace);
        }
        self.outcome.get_or_insert(outcome);
        self.close_leg(side.other(), Close::Normal);
        self.start_closing(self.close);
    }

    /// Ends both directions.
    fn end(&mut self, outcome: Outcome, reason: Close, grace: Duration) {
        self.outcome.get_or_insert(outcome);
        self.close_leg(Side::Client, reason);
        self.close_leg(Side::Upstream, reason);
        self.start_closing(grace);
    }

    fn start_closing(&mut self, grace: Duration) {
        if !matches!(self.phase, Phase::Closing { .. }) {
            self.phase = Phase::Closing { grace, until: None };
        }
    }

    /// The connection of `side` is given up: a session that had something left for it is not complete.
    fn undelivered_to(&mut self, side: Side) {
        if self.end_of(side).undelivered && self.outcome == Some(Outcome::Completed) {
            self.outcome = Some(lost(side));
        }
    }

    fn close_leg(&mut self, side: Side, reason: Close) {
        match (side, &mut self.upstream) {
            (Side::Client, _) => self.client.close(reason),
            (Side::Upstream, Some(upstream)) => upstream.close(reason),
            (Side::Upstream, None) => {}
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

    fn leg_of(&self, side: Side) -> LegState {
        match (side, &self.upstream) {
            (Side::Client, _) => LegState::of(&self.client),
            (Side::Upstream, Some(upstream)) => LegState::of(upstream),
            (Side::Upstream, None) => LegState { has_close: false, is_closed: false },
        }
    }

    const fn end_of(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client_end,
            Side::Upstream => &self.upstream_end,
        }
    }

    const fn end_of_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client_end,
            Side::Upstream => &mut self.upstream_end,
        }
    }
}

/// What is asked of a leg, of whatever type.
struct LegState {
    has_close: bool,
    is_closed: bool,
}

impl LegState {
    fn of<L: ByteStream>(leg: &L) -> Self {
        Self { has_close: leg.has_close(), is_closed: is_closed(leg) }
    }
}

/// What [`pass_on`] did.
struct Passed {
    stopped: Stopped,
    bytes: usize,
    /// The peer sent something, and what it sent was understood.
    heard: bool,
    /// It answered a heartbeat.
    answered: bool,
}

enum Stopped {
    For(Flow),
    /// The peer closed its stream.
    Ended {
        clean: bool,
    },
    Failed(LegError),
}

/// Passes the input of `lane` on from one leg to the other, as far as it goes. Where there is nobody to take it, it
/// `waits`, or is dropped.
#[inline]
fn pass_on<A: ByteStream, Z: ByteStream, B: Memory, const S: usize>(
    from: &mut A,
    mut to: Option<&mut Z>,
    waits: bool,
    lane: &mut Lane<B, S>,
) -> Passed {
    let mut passed =
        Passed { stopped: Stopped::For(Flow::NeedInput), bytes: 0, heard: false, answered: false };
    passed.stopped = loop {
        if !from.can_receive() {
            break Stopped::For(Flow::NeedWrite);
        }
        let mut open = to.as_deref_mut().filter(|to| !is_closed(*to));
        let mut len = usize::MAX;
        match (from.lead(lane.peek()), &open) {
            (Some(_), None) if waits => break Stopped::For(Flow::NeedPeer),
            (Some(lead), Some(to)) if !lane.has_room(lead, *to) => {
                let Some(part) = lane.part_with_room(lead, *to) else {
                    break Stopped::For(Flow::NeedWrite);
                };
                len = part;
            }
            _ => {}
        }
        let Step { consumed, event } = match from.receive(lane.input_part(len)) {
            Ok(step) => step,
            Err(error) => break Stopped::Failed(error),
        };
        if consumed == 0 && event.is_none() {
            break Stopped::For(Flow::NeedInput);
        }
        passed.heard = true;
        let at = lane.consume(consumed);
        match event {
            Some(Event::Data { channel, range }) => {
                if let Some(to) = &mut open {
                    passed.bytes += range.len();
                    lane.data(*to, channel, at + range.start..at + range.end);
                }
            }
            Some(Event::Pong) => passed.answered = true,
            Some(Event::End { clean }) => break Stopped::Ended { clean },
            _ => {}
        }
    };
    if let Some(to) = to {
        lane.close_frame(to);
    }
    passed
}

/// True if this end's stream has ended.
fn is_closed<L: ByteStream>(leg: &L) -> bool {
    !leg.can_send(Channel::BYTES)
}

const fn closed_by(side: Side) -> Outcome {
    match side {
        Side::Client => Outcome::ClientClosed,
        Side::Upstream => Outcome::UpstreamLost,
    }
}

const fn lost(side: Side) -> Outcome {
    match side {
        Side::Client => Outcome::ClientLost,
        Side::Upstream => Outcome::UpstreamLost,
    }
}

const fn failure_of(side: Side, error: LegError) -> Outcome {
    match side {
        Side::Client => Outcome::ClientError(error),
        Side::Upstream => Outcome::UpstreamError(error),
    }
}

#[cfg(test)]
mod tests;
