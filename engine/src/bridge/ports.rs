mod port;
mod translate;

use core::time::Duration;

use self::port::{Notice, Port, Text};
use super::joint::Joint;
use super::liveness::Due;
use super::{Bridge, CANCEL, Carried, Flow, Lane, Memory, Outcome, Side};
use crate::k8s::{PortChannel, PortStream, Ports};
use crate::leg::{Close, Framing, PortsLeg, WebSocketPorts};
use crate::limits::Limits;
use crate::time::{Instant, Millis};

/// How long a legacy client that sends to a port has been quiet when its half of the connection is ended, after upstream has
/// ended the other one. Its protocol has no word for either.
const LINGER: Millis = Millis::of(Duration::from_secs(1));

/// Joins a legacy WebSocket client, with one connection a port, and an upstream that opens a pair of streams for each
/// (`port-forward.md` sections 1 and 3).
///
/// ```text
/// kube-rs, Python, JavaScript ── WebSocketPorts ──► bridge ── SpdyPorts, Tunnelled ──► kubelet
/// ```
///
/// The client gets the port messages first, at once. Its data waits until all streams are told to upstream, and goes ahead of
/// their acceptance. What upstream says on the error stream of a port is one message on its channel of errors, cut if it is
/// longer than a leg [says](crate::leg::MAX_TEXT) at once, and concerns no other port.
///
/// A connection has ended when upstream has ended both of its streams. As the client cannot end its half, the bridge does,
/// once upstream has ended the other and the client has sent nothing for a second. When all have ended the client gets
/// Close 1000; a client that leaves resets all streams.
///
/// `N` is the most ports of one session, of which there can be 128.
#[derive(Debug)]
pub struct PortsBridge<U, const N: usize = 128> {
    joint: Joint<WebSocketPorts, U>,
    ports: Ports<N>,
    states: [Port; N],
    phase: Phase,
    /// Port messages that were said.
    announced: usize,
    /// They have left: data may follow.
    greeted: bool,
    text: Text,
    /// When streams that upstream has not accepted are given up.
    acceptance: Option<Instant>,
    carried: Carried,
    stream_creation: Millis,
    close: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No upstream yet.
    Dialing,
    Running,
    /// Upstream is over: the client gets what is left to be said, and then the Close.
    Finishing {
        reason: Close,
    },
    /// Both legs are closed.
    Over,
}

impl<U: PortsLeg, const N: usize> PortsBridge<U, N> {
    /// A session whose client is connected and whose upstream is not yet. The upstream leg has to be one for the same
    /// `ports`.
    pub fn new(client: WebSocketPorts, ports: Ports<N>, limits: &Limits) -> Self {
        Self {
            joint: Joint::new(client, limits),
            ports,
            states: [Port::OPENING; N],
            phase: Phase::Dialing,
            announced: 0,
            greeted: false,
            text: Text::new(),
            acceptance: None,
            carried: Carried::default(),
            stream_creation: Millis::of(limits.stream_creation),
            close: Millis::of(limits.close),
        }
    }
}

impl<U: PortsLeg, const N: usize> Bridge for PortsBridge<U, N> {
    type Upstream = U;

    fn lane_to<B: Memory, const S: usize>(&self, side: Side, memory: B) -> Lane<B, S> {
        match side {
            Side::Client => Lane::to_leg(memory, &self.joint.client),
            Side::Upstream => Lane::new(memory),
        }
    }

    /// The port messages, as far as there is room now.
    fn greet<B: Memory, const S: usize>(&mut self, _: &mut Lane<B, S>) {
        self.speak();
    }

    fn connected(&mut self, upstream: U, now: Instant) {
        if self.phase == Phase::Dialing {
            self.joint.connected(upstream, now);
            self.phase = Phase::Running;
            self.acceptance = Some(now.plus(self.stream_creation));
        }
    }

    fn refused<B: Memory, const S: usize>(&mut self, _: &[u8], _: &mut Lane<B, S>) {
        if self.phase == Phase::Dialing {
            self.upstream_gone(Outcome::Refused);
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
        let flow = match from {
            Side::Client => self.translate_client(lane, now),
            Side::Upstream => self.translate_upstream(lane, now),
        };
        self.joint.filled(from.other(), lane);
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
        match (side, self.phase) {
            (Side::Client, Phase::Dialing) => self.client_gone(Outcome::ClientLost),
            (_, Phase::Finishing { .. } | Phase::Over) => self.joint.end_of_mut(side).state.ended = true,
            _ => {}
        }
    }

    fn lost(&mut self, side: Side, now: Instant) {
        self.eof(side, now);
        if side == Side::Client && !self.is_over() {
            self.client_gone(Outcome::ClientLost);
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
        match side {
            Side::Client => self.phase == Phase::Over && self.joint.end_of(side).state.ended,
            Side::Upstream => self.is_over(),
        }
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
        let own = (!self.is_over()).then(|| {
            let ports = self.states.iter().filter_map(|port| port.until);
            ports.chain(self.acceptance).chain(self.text.until).min()
        });
        own.flatten().into_iter().chain(self.joint.deadline()).min()
    }

    fn time(&mut self, now: Instant) {
        if !self.is_over() {
            self.expire(now);
        }
        match self.joint.time(now) {
            Due::Nothing | Due::Ping => {}
            Due::Dead(Side::Client) => {
                self.client_gone(Outcome::ClientSilent);
                self.joint.give_up(Side::Client);
            }
            Due::Dead(Side::Upstream) => {
                self.upstream_gone(Outcome::UpstreamSilent);
                self.joint.give_up(Side::Upstream);
            }
            Due::Idle => self.finish(Outcome::Idle, Close::GoingAway),
        }
    }

    fn ask_client(&mut self) {
        self.joint.client.ping();
    }

    fn shut_down(&mut self) {
        if !self.is_over() {
            self.finish(Outcome::Shutdown, Close::GoingAway);
        }
    }
}

impl<U: PortsLeg, const N: usize> PortsBridge<U, N> {
    /// True if the session is over, whatever is left to be written.
    const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Finishing { .. } | Phase::Over)
    }

    /// A stream of a port has ended: the whole port may have, and the whole session.
    fn settle(&mut self, index: u8, now: Instant) {
        if let Some(port) = self.states.get_mut(usize::from(index)) {
            port.settle(now, self.close);
        }
        let mut ports = self.states.iter().take(self.ports.as_slice().len());
        if self.phase == Phase::Running && ports.all(Port::has_ended) {
            self.finish(Outcome::Completed, Close::Normal);
        }
    }

    /// Acts on the deadlines of ports and of their streams.
    fn expire(&mut self, now: Instant) {
        let is_past = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        self.text.is_due |= is_past(self.text.until);
        let unaccepted = is_past(self.acceptance);
        if unaccepted {
            self.acceptance = None;
        }
        for index in (0..).take(self.ports.as_slice().len()) {
            let Some(port) = self.states.get_mut(usize::from(index)) else { return };
            let [data, error] =
                [PortStream::Data, PortStream::Error].map(|stream| PortChannel { index, stream }.channel());
            let Some(upstream) = &mut self.joint.upstream else { return };
            if unaccepted && port.unaccepted > 0 && !port.has_ended() {
                port.end_with(Notice::TimedOut);
            } else if !is_past(port.until) {
                continue;
            } else if port.lingers() {
                port.input = false;
                upstream.half_close(data);
                self.settle(index, now);
                continue;
            } else {
                port.end_with(Notice::Reset);
            }
            upstream.reset(data);
            upstream.reset(error);
            self.settle(index, now);
        }
    }

    /// The client is no longer there, or no longer wants the session.
    fn client_gone(&mut self, outcome: Outcome) {
        // Nobody waits for what a client that is gone would have got.
        let grace = if matches!(outcome, Outcome::Completed) { self.close } else { CANCEL };
        let is_lost = matches!(outcome, Outcome::ClientLost);
        self.joint.outcome.get_or_insert(outcome);
        self.joint.end_of_mut(Side::Client).state.ended = true;
        // One that has ended its half without a word may still read: nothing may look to it like the end of all ports.
        self.joint.close_leg(Side::Client, if is_lost { Close::Internal } else { Close::Normal });
        self.joint.close_leg(Side::Upstream, Close::Normal);
        self.joint.start_closing(grace);
        self.phase = Phase::Over;
    }

    /// Upstream sends nothing more that counts: that is an error of every port that has not ended.
    fn upstream_gone(&mut self, outcome: Outcome) {
        for port in self.states.iter_mut().take(self.ports.as_slice().len()) {
            if !port.has_ended() {
                port.end_with(Notice::Lost);
            }
        }
        self.joint.end_of_mut(Side::Upstream).state.ended = true;
        self.finish(outcome, Close::Internal);
    }

    /// Upstream is told at once, the client when it has all output.
    fn finish(&mut self, outcome: Outcome, reason: Close) {
        self.joint.outcome.get_or_insert(outcome);
        self.joint.close_leg(Side::Upstream, Close::Normal);
        self.joint.start_closing(self.close);
        self.text.is_due = true;
        self.phase = Phase::Finishing { reason };
    }

    /// Says what the client has to be told beside the data. True if that was all, and there is room for another message.
    fn speak(&mut self) -> bool {
        if self.joint.client.is_closing() {
            return true;
        }
        while let Some((channel, port)) = self.ports.channels().nth(self.announced) {
            if !self.joint.client.say(channel.channel(), &crate::k8s::ports::port_message(port)) {
                return false;
            }
            self.announced += 1;
        }
        if !self.greeted {
            self.greeted = self.joint.client.pending().is_empty();
            if !self.greeted {
                return false;
            }
        }
        self.say_text() && self.say_notices() && self.joint.client.can_say()
    }

    /// Says the text that upstream has said, if all of it is there.
    fn say_text(&mut self) -> bool {
        if !self.text.is_due {
            return true;
        }
        if let Some(index) = self.text.port {
            let channel = PortChannel { index, stream: PortStream::Error }.channel();
            if !self.joint.client.say(channel, &self.text.bytes) {
                return false;
            }
        }
        self.text = Text::new();
        true
    }

    fn say_notices(&mut self) -> bool {
        for (index, (port, state)) in (0..).zip(self.ports.as_slice().iter().zip(&mut self.states)) {
            let Some(notice) = state.notice else { continue };
            let channel = PortChannel { index, stream: PortStream::Error }.channel();
            if !self.joint.client.say(channel, notice.text(*port).as_bytes()) {
                return false;
            }
            state.notice = None;
        }
        true
    }
}

#[cfg(test)]
mod tests;
