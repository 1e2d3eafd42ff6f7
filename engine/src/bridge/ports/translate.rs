use super::{Phase, PortsBridge};
use crate::bridge::joint::End;
use crate::bridge::{Flow, Lane, Memory, Outcome, Side};
use crate::k8s::{Channel, PortChannel, PortStream};
use crate::leg::{Event, Framing as _, PortsLeg};
use crate::step::Step;
use crate::time::Instant;

impl<U: PortsLeg, const N: usize> PortsBridge<U, N> {
    pub(super) fn translate_client<B: Memory, const S: usize>(
        &mut self,
        lane: &mut Lane<B, S>,
        now: Instant,
    ) -> Flow {
        let End { state, eof, .. } = *self.joint.end_of(Side::Client);
        if state.ended {
            lane.discard_input();
            return Flow::NeedInput;
        }
        let flow = loop {
            if !self.joint.client.can_receive() {
                break Flow::NeedWrite;
            }
            let upstream = self.joint.upstream.as_mut().filter(|_| self.phase == Phase::Running);
            let mut len = usize::MAX;
            match (self.joint.client.lead(lane.peek()), &upstream) {
                (Some(_), None) if self.phase == Phase::Dialing => break Flow::NeedPeer,
                (Some(_), Some(upstream)) if !upstream.is_ready() => break Flow::NeedPeer,
                (Some(lead), Some(upstream)) if !lane.has_room(lead, *upstream) => {
                    let Some(part) = lane.part_with_room(lead, *upstream) else { break Flow::NeedWrite };
                    len = part;
                }
                // Pings are answered and a Close is seen whether data can go on or not.
                _ => {}
            }
            let Step { consumed, event } = match self.joint.client.receive(lane.input_part(len)) {
                Ok(step) => step,
                Err(error) => {
                    if let Some(upstream) = upstream {
                        lane.close_frame(upstream);
                    }
                    lane.discard_input();
                    self.joint.client.close(error.close());
                    self.client_ends(Outcome::ClientError(error));
                    break Flow::NeedInput;
                }
            };
            if consumed == 0 && event.is_none() {
                if eof {
                    if let Some(upstream) = upstream {
                        lane.close_frame(upstream);
                    }
                    self.client_ends(Outcome::ClientLost);
                }
                break Flow::NeedInput;
            }
            let at = lane.consume(consumed);
            self.joint.liveness.heard(Side::Client, now);
            match (event, upstream) {
                (Some(Event::Data { channel, range }), Some(upstream)) => {
                    let index = usize::from(PortChannel::of(channel).index);
                    if let Some(port) = self.states.get_mut(index).filter(|port| port.input)
                        && upstream.can_send(channel)
                    {
                        port.sent(now);
                        self.joint.liveness.active(now);
                        self.carried.add_forwarded(Side::Client, range.len());
                        lane.data(upstream, channel, at + range.start..at + range.end);
                    }
                }
                (Some(Event::Pong), _) => self.joint.liveness.answered(Side::Client, now),
                (Some(Event::End { clean }), upstream) => {
                    if let Some(upstream) = upstream {
                        lane.close_frame(upstream);
                    }
                    lane.discard_input();
                    self.client_ends(if clean { Outcome::Completed } else { Outcome::ClientClosed });
                    break Flow::NeedInput;
                }
                _ => {}
            }
        };
        if let Some(upstream) = &mut self.joint.upstream {
            lane.close_frame(upstream);
        }
        flow
    }

    /// The client sends nothing more: the end of the session, unless that has begun.
    fn client_ends(&mut self, outcome: Outcome) {
        if self.is_over() {
            self.joint.end_of_mut(Side::Client).state.ended = true;
        } else {
            self.client_gone(outcome);
        }
    }

    pub(super) fn translate_upstream<B: Memory, const S: usize>(
        &mut self,
        lane: &mut Lane<B, S>,
        now: Instant,
    ) -> Flow {
        let flow = loop {
            if self.phase == Phase::Over {
                lane.discard_input();
                // It may have ended before the session did, in the same round.
                let End { state, eof, .. } = self.joint.end_of_mut(Side::Upstream);
                state.ended |= *eof;
                break Flow::NeedInput;
            }
            if !self.speak() {
                break Flow::NeedWrite;
            }
            if let Phase::Finishing { reason } = self.phase {
                lane.close_frame(&mut self.joint.client);
                self.joint.client.close(reason);
                self.phase = Phase::Over;
                continue;
            }
            let Some(upstream) = &mut self.joint.upstream else { break Flow::NeedPeer };
            if !upstream.can_receive() {
                break Flow::NeedWrite;
            }
            let mut len = usize::MAX;
            if let Some(lead) = upstream.lead(lane.peek())
                && !lane.has_room(lead, &self.joint.client)
            {
                let Some(part) = lane.part_with_room(lead, &self.joint.client) else {
                    break Flow::NeedWrite;
                };
                len = part;
            }
            let Step { consumed, event } = match upstream.receive(lane.input_part(len)) {
                Ok(step) => step,
                Err(error) => {
                    upstream.close(error.close());
                    self.upstream_gone(Outcome::UpstreamError(error));
                    continue;
                }
            };
            if consumed == 0 && event.is_none() {
                if self.joint.end_of(Side::Upstream).eof {
                    self.upstream_gone(Outcome::UpstreamLost);
                    continue;
                }
                break Flow::NeedInput;
            }
            let at = lane.consume(consumed);
            self.joint.liveness.heard(Side::Upstream, now);
            match event {
                Some(Event::Data { channel, range }) => {
                    let range = at + range.start..at + range.end;
                    match PortChannel::of(channel) {
                        PortChannel { stream: PortStream::Data, .. } => {
                            self.joint.liveness.active(now);
                            self.carried.add_forwarded(Side::Upstream, range.len());
                            lane.data(&mut self.joint.client, channel, range);
                        }
                        PortChannel { index, stream: PortStream::Error } => {
                            self.collect(index, lane.consumed(range), now);
                        }
                    }
                }
                Some(Event::Accepted(channel)) => self.accepted(channel),
                Some(Event::HalfClosed(channel)) => self.stream_ended(channel, false, now),
                Some(Event::Reset(channel, _)) => self.stream_ended(channel, true, now),
                Some(Event::Pong) => self.joint.liveness.answered(Side::Upstream, now),
                Some(Event::End { .. }) => self.upstream_gone(Outcome::UpstreamLost),
                _ => {}
            }
        };
        lane.close_frame(&mut self.joint.client);
        flow
    }

    fn collect(&mut self, index: u8, piece: &[u8], now: Instant) {
        let Some(port) = self.states.get_mut(usize::from(index)) else { return };
        port.is_told = true;
        if self.text.port.is_some_and(|other| other != index) {
            // There is room for it: `speak` was asked.
            self.text.is_due = true;
            self.say_text();
        }
        self.text.collect(index, piece, now);
    }

    fn accepted(&mut self, channel: Channel) {
        if let Some(port) = self.states.get_mut(usize::from(PortChannel::of(channel).index)) {
            port.unaccepted = port.unaccepted.saturating_sub(1);
        }
        let count = self.ports.as_slice().len();
        if self.states.iter().take(count).all(|port| port.unaccepted == 0 || port.has_ended()) {
            self.acceptance = None;
        }
    }

    fn stream_ended(&mut self, channel: Channel, is_reset: bool, now: Instant) {
        let PortChannel { index, stream } = PortChannel::of(channel);
        let Some(port) = self.states.get_mut(usize::from(index)) else { return };
        port.was_reset |= is_reset;
        match stream {
            PortStream::Data => {
                port.output = false;
                if is_reset {
                    port.input = false;
                    port.unaccepted = 0;
                }
            }
            PortStream::Error => {
                port.error = false;
                self.text.is_due |= self.text.port == Some(index);
            }
        }
        self.settle(index, now);
    }
}
