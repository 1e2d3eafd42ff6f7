use core::time::Duration;

use super::joint::Joint;
use super::liveness::Due;
use super::{Bridge, CANCEL, Carried, Flow, Lane, Memory, Outcome, Side};
use crate::k8s::Channel;
use crate::leg::{ByteStream, Close, Event, LegError};
use crate::limits::Limits;
use crate::step::Step;
use crate::time::{Instant, Millis};

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
    joint: Joint<C, U>,
    carried: Carried,
    close: Millis,
}

impl<C: ByteStream, U: ByteStream> TunnelBridge<C, U> {
    /// A session whose client is connected and whose upstream is not yet.
    pub fn new(client: C, limits: &Limits) -> Self {
        Self {
            joint: Joint::new(client, limits),
            carried: Carried::default(),
            close: Millis::of(limits.close),
        }
    }
}

impl<C: ByteStream, U: ByteStream> Bridge for TunnelBridge<C, U> {
    type Upstream = U;

    fn greet<B: Memory, const S: usize>(&mut self, _: &mut Lane<B, S>) {}

    fn connected(&mut self, upstream: U, now: Instant) {
        if !self.joint.is_dialing() {
            return;
        }
        self.joint.connected(upstream, now);
        for side in [Side::Client, Side::Upstream] {
            if !self.leg_of(side).has_close {
                self.joint.liveness.mute(side);
            }
        }
    }

    /// There is no word for it in the protocol but the Close.
    fn refused<B: Memory, const S: usize>(&mut self, _: &[u8], _: &mut Lane<B, S>) {
        if self.joint.is_dialing() {
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
        self.joint.tick(now);
        if self.joint.end_of(from).state.ended {
            lane.discard_input();
            return Flow::NeedInput;
        }
        let waits = self.joint.is_dialing();
        let Joint { client, upstream, liveness, .. } = &mut self.joint;
        let Passed { stopped, bytes, heard, answered } = match (from, upstream) {
            (Side::Client, upstream) => pass_on(client, upstream.as_mut(), waits, lane),
            (Side::Upstream, Some(upstream)) => pass_on(upstream, Some(client), waits, lane),
            (Side::Upstream, None) => return Flow::NeedPeer,
        };
        if heard {
            liveness.heard(from, now);
        }
        if answered {
            liveness.answered(from, now);
        }
        if bytes > 0 {
            liveness.active(now);
            self.carried.add_forwarded(from, bytes);
        }
        self.joint.filled(from.other(), lane);
        let flow = match stopped {
            Stopped::For(Flow::NeedInput) if self.joint.end_of(from).eof => {
                self.ended_with_connection(from);
                Flow::NeedInput
            }
            Stopped::For(flow) => flow,
            Stopped::Ended { clean } => {
                lane.discard_input();
                self.ended(from, if clean { Outcome::Completed } else { Outcome::closed_by(from) });
                Flow::NeedInput
            }
            Stopped::Failed(error) => {
                lane.discard_input();
                self.joint.close_leg(from, error.close());
                self.ended(from, Outcome::failure_of(from, error));
                Flow::NeedInput
            }
        };
        self.joint.liveness.hold(from, flow != Flow::NeedInput || lane.has_output(), now);
        flow
    }

    fn output<'a, B: Memory, const S: usize>(
        &'a self,
        side: Side,
        lane: &'a Lane<B, S>,
    ) -> impl Iterator<Item = &'a [u8]> {
        self.joint.output(side, lane)
    }

    fn written<B: Memory, const S: usize>(&mut self, side: Side, lane: &mut Lane<B, S>, count: usize) {
        self.joint.written(side, lane, count);
    }

    fn discard_output<B: Memory, const S: usize>(&mut self, side: Side, lane: &mut Lane<B, S>) {
        self.joint.discard_output(side, lane);
    }

    fn has_output<B: Memory, const S: usize>(&self, side: Side, lane: &Lane<B, S>) -> bool {
        self.joint.has_output(side, lane)
    }

    fn eof(&mut self, side: Side, _: Instant) {
        self.joint.end_of_mut(side).eof = true;
        if self.joint.is_dialing() {
            self.ended(side, Outcome::lost(side));
        }
    }

    fn lost(&mut self, side: Side, _: Instant) {
        if !self.joint.end_of(side).state.ended {
            self.ended(side, Outcome::lost(side));
        }
        self.joint.give_up(side);
    }

    fn write_failed(&mut self, side: Side, now: Instant) {
        match side {
            Side::Client => self.lost(side, now),
            Side::Upstream => self.joint.end_of_mut(side).state.lost = true,
        }
    }

    fn is_writable(&self, side: Side) -> bool {
        !self.joint.end_of(side).state.lost
    }

    fn shutdown_due(&self, side: Side) -> bool {
        let LegState { has_close, is_closed } = self.leg_of(side);
        is_closed && (!has_close || self.joint.end_of(side).state.ended)
    }

    fn is_finished(&self) -> bool {
        self.joint.is_finished()
    }

    fn carried(&self) -> Carried {
        self.carried
    }

    fn round_trip(&self, side: Side) -> Option<Duration> {
        self.joint.liveness.round_trip(side)
    }

    fn outcome(&self) -> Option<Outcome> {
        self.joint.outcome
    }

    fn deadline(&self) -> Option<Instant> {
        self.joint.deadline()
    }

    fn time(&mut self, now: Instant) {
        match self.joint.time(now) {
            Due::Nothing | Due::Ping => {}
            Due::Dead(side) => {
                self.ended(side, Outcome::silent(side));
                self.joint.give_up(side);
            }
            Due::Idle => self.end(Outcome::Idle, Close::GoingAway, self.close),
        }
    }

    fn ask_client(&mut self) {
        self.joint.client.ping();
    }

    fn shut_down(&mut self) {
        if !self.joint.is_closing() {
            self.end(Outcome::Shutdown, Close::GoingAway, self.close);
        }
    }
}

impl<C: ByteStream, U: ByteStream> TunnelBridge<C, U> {
    /// The connection of `side` ended, and all that it sent is passed on.
    fn ended_with_connection(&mut self, side: Side) {
        let LegState { has_close, is_closed } = self.leg_of(side);
        // Some peers answer a Close with the end of the connection alone.
        let clean = (!has_close || is_closed) && !self.joint.end_of(side).state.lost;
        self.ended(side, if clean { Outcome::Completed } else { Outcome::lost(side) });
    }

    /// The stream of `side` has ended. If that is the first end, it is that of the session too.
    fn ended(&mut self, side: Side, outcome: Outcome) {
        self.joint.end_of_mut(side).state.ended = true;
        if self.joint.outcome.is_none() && !matches!(outcome, Outcome::Completed) {
            // Nobody waits for what a client that is gone would have got.
            let grace = if side == Side::Client { CANCEL } else { self.close };
            return self.end(outcome, Close::Internal, grace);
        }
        self.joint.outcome.get_or_insert(outcome);
        self.joint.close_leg(side.other(), Close::Normal);
        self.joint.start_closing(self.close);
    }

    /// Ends both directions.
    fn end(&mut self, outcome: Outcome, reason: Close, grace: Millis) {
        self.joint.outcome.get_or_insert(outcome);
        self.joint.close_leg(Side::Client, reason);
        self.joint.close_leg(Side::Upstream, reason);
        self.joint.start_closing(grace);
    }

    fn leg_of(&self, side: Side) -> LegState {
        match (side, &self.joint.upstream) {
            (Side::Client, _) => LegState::of(&self.joint.client),
            (Side::Upstream, Some(upstream)) => LegState::of(upstream),
            (Side::Upstream, None) => LegState { has_close: false, is_closed: false },
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

#[cfg(test)]
mod tests;
