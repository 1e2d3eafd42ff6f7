use super::liveness::{Due, Liveness};
use super::{Lane, Memory, Outcome, Side, SideState, Turn};
use crate::leg::{Close, Framing};
use crate::limits::Limits;
use crate::time::{Instant, Millis};

/// The two connections of a port-forward's bridge: what is written to them, how they stay alive, and how they end.
///
/// After the end has begun no peer gets longer than a grace without taking anything.
#[derive(Debug)]
pub(super) struct Joint<C, U> {
    pub(super) client: C,
    pub(super) upstream: Option<U>,
    client_end: End,
    upstream_end: End,
    pub(super) outcome: Option<Outcome>,
    pub(super) liveness: Liveness,
    closing: Option<Closing>,
}

/// What is known of a connection. It has `ended` when nothing that its peer may still send counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct End {
    pub(super) state: SideState,
    /// The connection sends nothing more: what was read before may still have to be passed on.
    pub(super) eof: bool,
    /// There was something to write to it, last time it was looked at.
    undelivered: bool,
}

impl End {
    const GONE: Self = Self { state: SideState::GONE, eof: true, undelivered: false };
}

#[derive(Debug, Clone, Copy)]
struct Closing {
    grace: Millis,
    /// When the grace is over; `None` as long as the time has not been told since the last progress.
    until: Option<Instant>,
}

impl<C: Framing, U: Framing> Joint<C, U> {
    pub(super) fn new(client: C, limits: &Limits) -> Self {
        Self {
            client,
            upstream: None,
            client_end: End::default(),
            upstream_end: End::GONE,
            outcome: None,
            liveness: Liveness::new(limits),
            closing: None,
        }
    }

    pub(super) fn connected(&mut self, upstream: U, now: Instant) {
        self.upstream = Some(upstream);
        self.upstream_end = End::default();
        self.liveness.start(now);
    }

    /// True if there is neither an upstream nor an end.
    pub(super) const fn is_dialing(&self) -> bool {
        self.upstream.is_none() && self.closing.is_none()
    }

    pub(super) const fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// The end begins, if it has not yet. Peers get `grace` from the next [`tick`](Self::tick) on.
    pub(super) fn start_closing(&mut self, grace: Millis) {
        self.closing.get_or_insert(Closing { grace, until: None });
    }

    /// Tells the time, for the grace to begin.
    #[inline]
    pub(super) fn tick(&mut self, now: Instant) {
        if let Some(Closing { grace, until }) = &mut self.closing {
            until.get_or_insert(now.plus(*grace));
        }
    }

    /// What [`Bridge::output`](super::Bridge::output) says.
    pub(super) fn output<'a, B: Memory, const S: usize>(
        &'a self,
        side: Side,
        lane: &'a Lane<B, S>,
    ) -> impl Iterator<Item = &'a [u8]> {
        self.end_of(side).state.turn.output(self.pending(side), lane)
    }

    pub(super) fn written<B: Memory, const S: usize>(
        &mut self,
        side: Side,
        lane: &mut Lane<B, S>,
        count: usize,
    ) {
        let pending = self.pending(side).len();
        let control = self.end_of_mut(side).state.turn.written(pending, lane, count);
        if control < count {
            self.liveness.told(side);
        }
        self.sent(side, control);
        self.end_of_mut(side).undelivered = self.has_output(side, lane);
        if let Some(Closing { until, .. }) = &mut self.closing
            && count > 0
        {
            *until = None;
        }
    }

    pub(super) fn discard_output<B: Memory, const S: usize>(&mut self, side: Side, lane: &mut Lane<B, S>) {
        lane.discard_output();
        self.end_of_mut(side).state.turn = Turn::new();
        // A leg may have more to say than its outbox holds.
        while !self.pending(side).is_empty() {
            self.sent(side, self.pending(side).len());
        }
    }

    pub(super) fn has_output<B: Memory, const S: usize>(&self, side: Side, lane: &Lane<B, S>) -> bool {
        lane.has_output() || !self.pending(side).is_empty()
    }

    /// `lane`, which carries what goes to `side`, was translated into.
    #[inline]
    pub(super) fn filled<B: Memory, const S: usize>(&mut self, side: Side, lane: &Lane<B, S>) {
        self.end_of_mut(side).undelivered = self.has_output(side, lane);
    }

    /// The connection of `side` is given up: a session that had something left for it is not complete.
    pub(super) fn give_up(&mut self, side: Side) {
        if self.end_of(side).undelivered && matches!(self.outcome, Some(Outcome::Completed)) {
            self.outcome = Some(Outcome::lost(side));
        }
        *self.end_of_mut(side) = End::GONE;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.is_closing() && self.client_end.state.ended && self.upstream_end.state.ended
    }

    /// When [`time`](Self::time) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.closing {
            Some(closing) => closing.until,
            None => self.liveness.deadline(),
        }
    }

    /// Acts on a deadline: gives both peers up when their grace is over, and sends heartbeats. Says what the bridge has to
    /// act on.
    pub(super) fn time(&mut self, now: Instant) -> Due {
        if let Some(Closing { until, .. }) = self.closing {
            if until.is_some_and(|until| until <= now) {
                self.give_up(Side::Client);
                self.give_up(Side::Upstream);
            }
            return Due::Nothing;
        }
        for side in [Side::Client, Side::Upstream] {
            if !self.pending(side).is_empty() {
                self.liveness.unasked(side, now);
            }
        }
        let due = self.liveness.due(now);
        if due == Due::Ping {
            self.client.ping();
            if let Some(upstream) = &mut self.upstream {
                upstream.ping();
            }
        }
        due
    }

    pub(super) fn close_leg(&mut self, side: Side, reason: Close) {
        match (side, &mut self.upstream) {
            (Side::Client, _) => self.client.close(reason),
            (Side::Upstream, Some(upstream)) => upstream.close(reason),
            (Side::Upstream, None) => {}
        }
    }

    pub(super) const fn end_of(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client_end,
            Side::Upstream => &self.upstream_end,
        }
    }

    pub(super) const fn end_of_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client_end,
            Side::Upstream => &mut self.upstream_end,
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
}
