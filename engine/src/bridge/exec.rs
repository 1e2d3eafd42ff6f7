mod translate;

use core::time::Duration;

use super::liveness::{Due, Liveness, earlier};
use super::status::{SessionStatus, UpstreamEnd};
use super::{Bridge, CANCEL, Carried, Flow, Lane, Memory, Outcome, Side, SideState, Turn};
use crate::k8s::{Channel, ChannelSet, StreamSet, Subprotocol};
use crate::leg::{Close, Leg, LegError};
use crate::limits::Limits;
use crate::time::{Instant, Millis};

/// Joins a client's leg and an upstream's leg for one exec or attach session (`remotecommand.md`).
///
/// A session ends when upstream has ended stdout, stderr and its error stream. Its status is sent after all
/// output, exactly once; a session that ends without a status is an error for the client. When one
/// side is lost the other is ended.
///
/// A status of up to 4 KiB is passed on unchanged, or as much as the lane to the client has room for beside some 200 bytes: it may
/// come before the end of the output, and lies there until then.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts of two peers, of which any combination occurs")]
pub struct ExecBridge<C, U> {
    client: C,
    upstream: Option<U>,
    phase: Phase,
    /// Input channels of the session that the client has not ended.
    inputs: ChannelSet,
    /// Those whose end upstream has not been told yet.
    ending: ChannelSet,
    /// Output channels of the session that upstream has not ended.
    outputs: ChannelSet,
    status: SessionStatus,
    client_side: SideState,
    upstream_side: SideState,
    outcome: Option<Outcome>,
    carried: Carried,
    /// All of the client's streams are open, and it was written the answers: one that gets DATA in front of them drops it.
    is_answered: bool,
    /// The client was written all that there was.
    is_delivered: bool,
    /// It was sent a ping behind that.
    is_asked: bool,
    /// Upstream has accepted all streams.
    is_accepted: bool,
    ready_channel: Channel,
    liveness: Liveness,
    stream_creation: Millis,
    close: Millis,
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
    /// The status waits until all output before it is written, and until then for a client that has not opened
    /// the stream on which the status comes.
    Finishing {
        until: Option<Instant>,
    },
    /// Both legs are closing; peers get until then. If they have `grace`, each sign of life begins it anew.
    Closing {
        until: Instant,
        grace: Option<Millis>,
    },
}

impl<C: Leg, U: Leg> ExecBridge<C, U> {
    /// A session of `streams` whose client is connected and whose upstream is not yet.
    pub fn new(client: C, streams: StreamSet, limits: &Limits) -> Self {
        let channels = streams.channel_set(Subprotocol::V4);
        Self {
            is_answered: client.is_ready() && client.pending().is_empty(),
            client,
            upstream: None,
            phase: Phase::Dialing,
            inputs: channels.of_inputs(),
            ending: ChannelSet::default(),
            outputs: channels.of_outputs(),
            status: SessionStatus::Json,
            client_side: SideState::default(),
            upstream_side: SideState::GONE,
            outcome: None,
            carried: Carried::default(),
            is_delivered: false,
            is_asked: false,
            is_accepted: false,
            ready_channel: streams.ready_channel(),
            liveness: Liveness::new(limits),
            stream_creation: Millis::of(limits.stream_creation),
            close: Millis::of(limits.close),
        }
    }
}

impl<C: Leg, U: Leg> Bridge for ExecBridge<C, U> {
    type Upstream = U;

    fn lane_to<B: Memory, const S: usize>(&self, side: Side, memory: B) -> Lane<B, S> {
        match side {
            Side::Client => Lane::to_leg(memory, &self.client),
            Side::Upstream => Lane::new(memory),
        }
    }

    /// That its session is accepted: an empty message on the lowest channel that it reads, the only signal that a client can
    /// wait for (`websocket-channels.md` section 3).
    fn greet<B: Memory, const S: usize>(&mut self, lane: &mut Lane<B, S>) {
        if self.client.greets() {
            lane.payload_space();
            lane.payload(&mut self.client, self.ready_channel, false, 0);
        }
    }

    /// `leg` has queued the opening of its streams.
    fn connected(&mut self, leg: U, now: Instant) {
        if !matches!(self.phase, Phase::Dialing) {
            return;
        }
        self.upstream = Some(leg);
        self.upstream_side = SideState::default();
        self.phase = Phase::Opening { until: now.plus(self.stream_creation) };
        self.liveness.start(now);
        self.opened();
    }

    /// `status` becomes the session's status. Its message is cut if it is longer than the lane can hold; anything but a
    /// failure is replaced by one that says as much.
    fn refused<B: Memory, const S: usize>(&mut self, status: &[u8], lane: &mut Lane<B, S>) {
        if !matches!(self.phase, Phase::Dialing) {
            return;
        }
        self.status = SessionStatus::refused(status, lane);
        self.finish(Outcome::Refused);
    }

    #[inline]
    fn translate<B: Memory, const S: usize>(
        &mut self,
        from: Side,
        lane: &mut Lane<B, S>,
        now: Instant,
    ) -> Flow {
        let flow = match from {
            Side::Client => self.translate_client(lane, now),
            Side::Upstream => self.translate_upstream(lane, now),
        };
        self.liveness.hold(from, flow != Flow::NeedInput || lane.has_output(), now);
        flow
    }

    fn output<'a, B: Memory, const S: usize>(
        &'a self,
        side: Side,
        lane: &'a Lane<B, S>,
    ) -> impl Iterator<Item = &'a [u8]> {
        self.side(side).turn.output(self.pending(side), lane)
    }

    fn written<B: Memory, const S: usize>(&mut self, side: Side, lane: &mut Lane<B, S>, count: usize) {
        let pending = self.pending(side).len();
        let control = self.side_mut(side).turn.written(pending, lane, count);
        if control < count {
            self.liveness.told(side);
        }
        self.sent(side, control);
        self.is_delivered |= side == Side::Client && !self.has_output(side, lane);
    }

    // Not inlined: it is for sides that are lost.
    #[inline(never)]
    fn discard_output<B: Memory, const S: usize>(&mut self, side: Side, lane: &mut Lane<B, S>) {
        lane.discard_output();
        self.side_mut(side).turn = Turn::new();
        // A leg may have more to say than its outbox holds.
        loop {
            match self.pending(side).len() {
                0 => break,
                count => self.sent(side, count),
            }
        }
    }

    fn has_output<B: Memory, const S: usize>(&self, side: Side, lane: &Lane<B, S>) -> bool {
        lane.has_output() || !self.pending(side).is_empty()
    }

    fn eof(&mut self, side: Side, now: Instant) {
        self.side_mut(side).ended = true;
        // What the end of upstream means is seen by the next translation, which has the status.
        if side == Side::Client && !self.is_over() {
            self.end_without_client(Outcome::ClientLost, now);
        }
    }

    fn lost(&mut self, side: Side, now: Instant) {
        let undelivered = self.is_undelivered();
        self.eof(side, now);
        self.side_mut(side).lost = true;
        if side == Side::Client && undelivered {
            self.end_without_client(Outcome::ClientLost, now);
        }
    }

    fn write_failed(&mut self, side: Side, now: Instant) {
        match side {
            Side::Client => self.lost(side, now),
            Side::Upstream => self.upstream_side.lost = true,
        }
    }

    fn is_writable(&self, side: Side) -> bool {
        !self.side(side).lost
    }

    fn shutdown_due(&self, side: Side) -> bool {
        match side {
            Side::Client => matches!(self.phase, Phase::Closing { .. }) && self.client_side.ended,
            Side::Upstream => self.is_over(),
        }
    }

    fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. }) && self.client_side.ended && self.upstream_side.ended
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
        let phase = match self.phase {
            Phase::Closing { .. } if self.client_side.lost && self.upstream_side.lost => None,
            Phase::Closing { until, .. } => Some(until),
            Phase::Opening { until } => earlier(Some(until), self.liveness.deadline()),
            Phase::Running => self.liveness.deadline(),
            Phase::Finishing { until } => until.filter(|_| self.awaits_client()),
            Phase::Dialing => None,
        };
        let delivery = self.is_undelivered().then(|| self.liveness.idle_deadline()).flatten();
        earlier(earlier(phase, delivery), self.cancel_deadline())
    }

    fn time(&mut self, now: Instant) {
        if self.cancel_deadline().is_some_and(|cancel| cancel <= now) {
            self.upstream_side = SideState::GONE;
        }
        if self.is_undelivered() && self.liveness.is_stalled(now) {
            self.end_without_client(Outcome::Idle, now);
        }
        match self.phase {
            Phase::Opening { until } if until <= now => {
                self.status = SessionStatus::Error(if self.client.is_ready() {
                    "timed out waiting for upstream to accept the streams"
                } else {
                    "timed out waiting for the client to open its streams"
                });
                self.finish(Outcome::StreamCreationTimeout);
            }
            Phase::Closing { until, grace } if until <= now => {
                self.upstream_side = SideState::GONE;
                match grace.filter(|_| self.is_undelivered() && !self.is_shut_down()) {
                    // The client does not read now: that is its right, as it was before the end.
                    Some(grace) => self.start_closing(Some(grace), now),
                    None => self.client_side = SideState::GONE,
                }
            }
            Phase::Finishing { until: Some(until) } if until <= now && self.awaits_client() => {
                self.client.close(Close::Internal);
                self.start_closing(Some(self.close), now);
            }
            Phase::Opening { .. } | Phase::Running => self.keep_alive(now),
            _ => {}
        }
    }

    fn is_done_with_upstream(&self) -> bool {
        self.is_over() && self.upstream_side.lost
    }

    fn ask_client(&mut self) {
        self.client.ping();
    }

    fn shut_down(&mut self) {
        if !self.is_over() {
            self.status = SessionStatus::Error("the gateway is shutting down");
            self.finish(Outcome::Shutdown);
        }
    }
}

impl<C: Leg, U: Leg> ExecBridge<C, U> {
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
            Due::Dead(Side::Client) => {
                self.lost(Side::Client, now);
                self.outcome = Some(Outcome::ClientSilent);
            }
            Due::Dead(Side::Upstream) => {
                self.status = SessionStatus::Error("upstream does not answer any more");
                self.finish(Outcome::UpstreamSilent);
                self.upstream_side = SideState::GONE;
            }
            Due::Idle => {
                self.status = SessionStatus::Error("the session was idle for too long");
                self.finish(Outcome::Idle);
                self.liveness.active(now);
            }
        }
    }

    /// When an upstream that was given up has had its time. It may be deaf behind input that it does not read, and the
    /// client's Close waits behind more of that.
    fn cancel_deadline(&self) -> Option<Instant> {
        let is_given_up = matches!(self.outcome, Some(Outcome::Idle)) && !self.upstream_side.lost;
        Some(self.liveness.last_active().filter(|_| is_given_up)?.plus(CANCEL))
    }

    /// Lets data flow when all streams of both sides are open.
    fn opened(&mut self) {
        self.look_for_answers();
        self.is_accepted |= self.upstream.as_ref().is_some_and(Leg::is_ready);
        let ready = self.client.is_ready() && self.is_accepted;
        if matches!(self.phase, Phase::Opening { .. }) && ready {
            self.phase = Phase::Running;
        }
    }

    /// Upstream will send nothing more that belongs to the session. `in_order` says that it ended its streams,
    /// rather than that its connection ended.
    fn upstream_ended<B: Memory, const S: usize>(&mut self, in_order: bool, lane: &mut Lane<B, S>) {
        lane.close_frame(&mut self.client);
        let is_json = self.upstream.as_ref().is_none_or(Leg::status_is_json);
        // Before v4 silence is success, but not that of streams which were never accepted.
        let in_order = in_order && (is_json || self.is_accepted);
        let all_output = in_order || self.outputs.is_only(Channel::ERROR);
        let end = UpstreamEnd { in_order, all_output, is_json };
        let is_complete = self.status.settle(lane.held(), end);
        self.finish(if is_complete { Outcome::Completed } else { Outcome::UpstreamLost });
    }

    fn upstream_failed(&mut self, error: LegError) {
        self.status = SessionStatus::Error(match error {
            LegError::Spdy(_) => "upstream broke the SPDY/3.1 protocol",
            _ => "upstream broke the WebSocket protocol",
        });
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

    /// The session is over: upstream is told at once, the client when it has all output.
    fn finish(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
        let until = if let Phase::Opening { until } = self.phase { Some(until) } else { None };
        self.phase = Phase::Finishing { until };
        if let Some(upstream) = &mut self.upstream {
            upstream.close(Close::Normal);
        }
    }

    /// True if the session is over, whatever is left to be written.
    const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Finishing { .. } | Phase::Closing { .. })
    }

    // Outcomes are not compared: what an error says would be compared with it, which is code.
    const fn is_shut_down(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Shutdown))
    }

    /// True if the client may still open the stream on which the status comes.
    fn awaits_client(&self) -> bool {
        !self.is_answered && !self.client_side.ended && !self.is_shut_down()
    }

    /// Looks whether the client has opened its streams, and the answers have left.
    fn look_for_answers(&mut self) {
        self.is_answered = self.is_answered || (self.client.is_ready() && self.client.pending().is_empty());
    }

    /// True if the session is over and the client does not have all of it: its Close comes last.
    fn is_undelivered(&self) -> bool {
        let waits = match self.phase {
            Phase::Finishing { .. } => true,
            Phase::Closing { .. } => !self.is_delivered,
            _ => false,
        };
        waits && !self.client_side.ended
    }

    /// The client is no longer there, or no longer wants the session: upstream's streams are cancelled.
    fn end_without_client(&mut self, outcome: Outcome, now: Instant) {
        // A status that did not reach it was not passed on.
        self.outcome =
            self.outcome.filter(|earlier| !matches!(earlier, Outcome::Completed)).or(Some(outcome));
        self.start_closing(None, now);
    }

    fn start_closing(&mut self, grace: Option<Millis>, now: Instant) {
        if let Some(upstream) = &mut self.upstream {
            upstream.close(Close::Normal);
        }
        self.phase = Phase::Closing { until: now.plus(grace.unwrap_or(CANCEL)), grace };
    }

    /// A peer that sends is not cut while the session closes: its kernel may still hold our last output. But no session lasts for longer than
    /// it may be without data.
    // Not inlined: a running session has nothing of it.
    #[inline(never)]
    fn alive(&mut self, now: Instant) {
        if let Phase::Closing { until, grace: Some(grace) } = &mut self.phase {
            let most = self.liveness.idle_until();
            *until = (*until).max(most.min(now.plus(*grace)));
        }
    }

    /// Asks a client that goes on sending, and that has to close the connection, whether it has got everything.
    fn ask_for_close(&mut self) {
        // First of all, so that a bridge whose clients are WebSockets has nothing of this.
        if self.client.closes_first() {
            return;
        }
        let is_due = matches!(self.phase, Phase::Closing { grace: Some(_), .. }) && self.is_delivered;
        if is_due && !self.is_asked && self.client.pending().is_empty() {
            self.client.ping();
            self.is_asked = !self.client.pending().is_empty();
        }
    }

    /// The client has answered a ping. If that was behind everything else it has no more reason to stay.
    fn answered(&mut self, now: Instant) {
        self.liveness.answered(Side::Client, now);
        if !self.client.closes_first()
            && let Phase::Closing { until, grace } = &mut self.phase
            && self.is_asked
            && grace.take().is_some()
        {
            *until = now.plus(self.close);
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
            (Side::Client, _) => {
                self.client.sent(count);
                self.look_for_answers();
            }
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

#[cfg(test)]
mod tests;
