use core::time::Duration;

use crate::bridge::Side;
use crate::limits::Limits;
use crate::time::{Instant, Millis};

/// Heartbeats, and what their absence means, from the moment that both connections stand.
#[derive(Debug)]
pub(super) struct Liveness {
    ping_interval: Millis,
    peer_timeout: Millis,
    idle: Millis,
    /// `None` before the session runs.
    running: Option<Running>,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    /// When the last heartbeats were sent, or the session began.
    pinged: Instant,
    /// When data went either way last.
    active: Instant,
    /// The client was written data since it was looked at whether it takes any.
    client_took: bool,
    client: Peer,
    upstream: Peer,
}

#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "four facts, of which any combination occurs")]
struct Peer {
    /// When it sent something last.
    heard: Instant,
    /// Data was written to it since: it may be busy with it, and deaf behind it. A process that reads no stdin
    /// keeps a Go server from answering pings, and a full pager keeps a Go client from it.
    busy: bool,
    /// What it sent waits to be passed on, so that nothing more is read from it: it is not silent, but unheard.
    held: bool,
    /// It cannot be asked: its silence means nothing.
    mute: bool,
    /// It has not answered the last heartbeat.
    asked: bool,
    round_trip: Option<Millis>,
}

/// What has to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    /// This peer is silent for too long.
    Dead(Side),
    /// No data for too long.
    Idle,
}

impl Liveness {
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a bridge is made in its place, unless a call gets the address of a part of it"
    )]
    pub(super) const fn new(limits: &Limits) -> Self {
        Self {
            ping_interval: Millis::of(limits.ping_interval),
            peer_timeout: Millis::of(limits.peer_timeout),
            idle: Millis::of(limits.idle),
            running: None,
        }
    }

    /// Both connections stand.
    pub(super) fn start(&mut self, now: Instant) {
        let peer = Peer { heard: now, busy: false, held: false, mute: false, asked: false, round_trip: None };
        self.running =
            Some(Running { pinged: now, active: now, client_took: false, client: peer, upstream: peer });
    }

    /// The protocol of `side` has no heartbeats.
    pub(super) fn mute(&mut self, side: Side) {
        if let Some(running) = &mut self.running {
            running.peer_mut(side).mute = true;
        }
    }

    /// Something came from `side`.
    #[inline]
    pub(super) fn heard(&mut self, side: Side, now: Instant) {
        if let Some(running) = &mut self.running {
            let peer = running.peer_mut(side);
            peer.heard = now;
            peer.busy = false;
        }
    }

    /// `side` answered a heartbeat.
    pub(super) fn answered(&mut self, side: Side, now: Instant) {
        if let Some(running) = &mut self.running {
            let pinged = running.pinged;
            let peer = running.peer_mut(side);
            if core::mem::take(&mut peer.asked) {
                peer.round_trip = Some(now.span_since(pinged));
            }
        }
    }

    /// How long the last answer of `side` took.
    pub(super) fn round_trip(&self, side: Side) -> Option<Duration> {
        self.running.as_ref()?.peer(side).round_trip.map(Millis::duration)
    }

    /// Whether `side` is read from. Its silence counts from when it is.
    #[inline]
    pub(super) fn hold(&mut self, side: Side, held: bool, now: Instant) {
        if let Some(running) = &mut self.running {
            let peer = running.peer_mut(side);
            if core::mem::replace(&mut peer.held, held) && !held {
                peer.heard = now;
            }
        }
    }

    /// The heartbeat for `side` has not left: it has nothing to answer.
    pub(super) fn unasked(&mut self, side: Side, now: Instant) {
        if let Some(running) = &mut self.running {
            running.peer_mut(side).heard = now;
        }
    }

    /// Data was written to `side`.
    #[inline]
    pub(super) fn told(&mut self, side: Side) {
        if let Some(running) = &mut self.running {
            running.peer_mut(side).busy = true;
            running.client_took |= side == Side::Client;
        }
    }

    /// Data went either way.
    #[inline]
    pub(super) fn active(&mut self, now: Instant) {
        if let Some(running) = &mut self.running {
            running.active = now;
        }
    }

    /// When data went either way last, or the session began to be over for want of it.
    pub(super) fn last_active(&self) -> Option<Instant> {
        Some(self.running.as_ref()?.active)
    }

    /// When a session is idle for too long.
    pub(super) fn idle_deadline(&self) -> Option<Instant> {
        self.idle_until().if_ever()
    }

    /// The same; [`Instant::NEVER`] if it never is.
    pub(super) fn idle_until(&self) -> Instant {
        self.running.as_ref().map_or(Instant::NEVER, |running| self.idle_end(running))
    }

    /// True if the client has taken nothing for as long as a session may be idle, or up to twice as long.
    pub(super) fn is_stalled(&mut self, now: Instant) -> bool {
        let is_due = self.idle_deadline().is_some_and(|deadline| deadline <= now);
        let Some(running) = self.running.as_mut().filter(|_| is_due) else { return false };
        if core::mem::take(&mut running.client_took) {
            running.active = now;
            return false;
        }
        true
    }

    /// When [`due`](Self::due) has something next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        let deaths = self.death(&running.client).min(self.death(&running.upstream));
        deaths.min(self.ping(running)).min(self.idle_end(running)).if_ever()
    }

    /// What has to be done now; a ping that is due is counted as sent.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        let Some(running) = self.running.as_ref() else { return Due::Nothing };
        for side in [Side::Client, Side::Upstream] {
            if self.death(running.peer(side)) <= now {
                return Due::Dead(side);
            }
        }
        if self.idle_end(running) <= now {
            return Due::Idle;
        }
        if self.ping(running) > now {
            return Due::Nothing;
        }
        if let Some(running) = &mut self.running {
            running.pinged = now;
            running.client.asked = true;
            running.upstream.asked = true;
        }
        Due::Ping
    }

    fn ping(&self, running: &Running) -> Instant {
        running.pinged.plus_unless_zero(self.ping_interval)
    }

    fn idle_end(&self, running: &Running) -> Instant {
        running.active.plus_unless_zero(self.idle)
    }

    /// When a peer is taken for dead unless it is heard before.
    fn death(&self, peer: &Peer) -> Instant {
        // Without pings nobody has to say anything.
        let waits = peer.busy || peer.held || peer.mute || self.ping_interval.is_zero();
        if waits { Instant::NEVER } else { peer.heard.plus_unless_zero(self.peer_timeout) }
    }
}

/// The earlier one of those that there are.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Running {
    const fn peer(&self, side: Side) -> &Peer {
        match side {
            Side::Client => &self.client,
            Side::Upstream => &self.upstream,
        }
    }

    const fn peer_mut(&mut self, side: Side) -> &mut Peer {
        match side {
            Side::Client => &mut self.client,
            Side::Upstream => &mut self.upstream,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        ping_interval: Duration::from_secs(5),
        peer_timeout: Duration::from_secs(30),
        idle: Duration::from_secs(100),
        ..Limits::HOST
    };

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn started() -> Liveness {
        let mut liveness = Liveness::new(&LIMITS);
        liveness.start(at(10));
        liveness
    }

    #[test]
    fn pings_go_out_in_their_interval() {
        let mut liveness = started();
        assert_eq!((liveness.deadline(), liveness.due(at(14))), (Some(at(15)), Due::Nothing));
        assert_eq!((liveness.due(at(15)), liveness.due(at(15))), (Due::Ping, Due::Nothing));
        assert_eq!(liveness.deadline(), Some(at(20)));
    }

    #[test]
    fn a_silent_peer_is_dead_but_a_busy_one_is_not() {
        let mut liveness = started();
        liveness.heard(Side::Client, at(20));
        assert_eq!(liveness.due(at(40)), Due::Dead(Side::Upstream));
        liveness.told(Side::Upstream);
        assert_eq!(liveness.due(at(49)), Due::Ping);
        assert_eq!(liveness.due(at(50)), Due::Dead(Side::Client));
        liveness.heard(Side::Upstream, at(50));
        liveness.told(Side::Client);
        assert_eq!(liveness.due(at(80)), Due::Dead(Side::Upstream));
    }

    #[test]
    fn a_peer_that_is_not_read_from_is_not_silent() {
        let mut liveness = started();
        liveness.heard(Side::Upstream, at(60));
        liveness.hold(Side::Client, true, at(20));
        assert_eq!(liveness.due(at(60)), Due::Ping);
        liveness.hold(Side::Client, false, at(60));
        liveness.hold(Side::Client, false, at(80));
        liveness.unasked(Side::Upstream, at(80));
        assert_eq!((liveness.due(at(89)), liveness.due(at(90))), (Due::Ping, Due::Dead(Side::Client)));
    }

    #[test]
    fn only_data_keeps_a_session_from_being_idle() {
        let mut liveness = started();
        liveness.active(at(20));
        liveness.heard(Side::Client, at(119));
        liveness.heard(Side::Upstream, at(119));
        assert_eq!((liveness.due(at(119)), liveness.due(at(120))), (Due::Ping, Due::Idle));
    }

    #[test]
    fn the_round_trip_is_from_a_ping_to_its_first_answer() {
        let mut liveness = started();
        liveness.answered(Side::Client, at(14));
        assert_eq!(liveness.round_trip(Side::Client), None, "nothing was asked");
        assert_eq!(liveness.due(at(15)), Due::Ping);
        liveness.answered(Side::Client, at(18));
        liveness.answered(Side::Client, at(19));
        assert_eq!(liveness.round_trip(Side::Client), Some(Duration::from_secs(3)));
        assert_eq!(liveness.round_trip(Side::Upstream), None);
    }

    #[test]
    fn zero_switches_each_of_them_off() {
        let zero = Duration::ZERO;
        let mut liveness = Liveness::new(&Limits { ping_interval: zero, idle: zero, ..LIMITS });
        liveness.start(at(0));
        assert_eq!((liveness.deadline(), liveness.due(at(10_000))), (None, Due::Nothing));
    }
}
