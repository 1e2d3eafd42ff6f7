use super::{ExecBridge, Phase};
use crate::bridge::{Flow, Lane, Memory, Outcome, Side};
use crate::k8s::Channel;
use crate::leg::{Close, Event, Leg};
use crate::step::Step;
use crate::time::Instant;

impl<C: Leg, U: Leg> ExecBridge<C, U> {
    pub(super) fn translate_client<B: Memory, const S: usize>(
        &mut self,
        lane: &mut Lane<B, S>,
        now: Instant,
    ) -> Flow {
        // Its half may be shut down by now: an answer would follow the end.
        if self.client_side.ended && matches!(self.phase, Phase::Closing { .. }) {
            lane.discard_input();
            return Flow::NeedInput;
        }
        if lane.has_input() {
            self.ask_for_close();
        }
        let flow = loop {
            if !self.client.can_receive() || !self.end_inputs(lane) {
                break Flow::NeedWrite;
            }
            // A client that writes before it has opened all its streams waits for no other peer than upstream.
            let flows = matches!(self.phase, Phase::Opening { .. } | Phase::Running);
            let mut upstream = self.upstream.as_mut().filter(|upstream| flows && upstream.is_ready());
            if let Some(upstream) = &mut upstream
                && upstream.can_send(Channel::STDIN)
                && lane.pass(&mut self.client, *upstream, self.inputs.of_bytes(), &mut self.carried)
            {
                self.liveness.heard(Side::Client, now);
                self.liveness.active(now);
                if !lane.has_input() {
                    break Flow::NeedInput;
                }
            }
            let mut len = usize::MAX;
            match (self.client.lead(lane.peek()), &upstream) {
                (Some(_), None) if matches!(self.phase, Phase::Dialing | Phase::Opening { .. }) => {
                    break Flow::NeedPeer;
                }
                (Some(lead), Some(upstream)) if !lane.has_room(lead, *upstream) => {
                    let Some(part) = lane.part_with_room(lead, *upstream) else { break Flow::NeedWrite };
                    len = part;
                }
                // Pings are answered and a Close is seen whether data can go on or not.
                _ => {}
            }
            let Step { consumed, event } = match self.client.receive(lane.input_part(len)) {
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
            self.liveness.heard(Side::Client, now);
            match (event, upstream) {
                (Some(Event::Data { channel: Channel::STDIN, range }), Some(upstream))
                    if self.inputs.contains(Channel::STDIN) && upstream.can_send(Channel::STDIN) =>
                {
                    self.liveness.active(now);
                    self.carried.add(Channel::STDIN, range.len());
                    lane.data(upstream, Channel::STDIN, at + range.start..at + range.end);
                }
                (Some(Event::HalfClosed(channel) | Event::Reset(channel, _)), _)
                    if self.inputs.contains(channel) =>
                {
                    self.inputs.remove(channel);
                    self.ending.insert(channel);
                }
                // Upstream's server blocks the session when sizes come that nobody reads.
                (Some(Event::Resize(size)), Some(upstream)) if self.inputs.contains(Channel::RESIZE) => {
                    upstream.resize(size);
                    self.upstream_side.turn.first(upstream.pending().len());
                }
                (Some(Event::Opened(_)), _) => self.opened(),
                (Some(Event::Pong), _) => self.answered(now),
                (Some(Event::End { .. }), upstream) => {
                    if let Some(upstream) = upstream {
                        lane.close_frame(upstream);
                    }
                    lane.discard_input();
                    self.client_side.ended = true;
                    self.client.close(Close::Normal);
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

    /// Passes on which inputs the client has ended. False if the output has to be written first, to make room.
    #[inline]
    fn end_inputs<B: Memory, const S: usize>(&mut self, lane: &mut Lane<B, S>) -> bool {
        self.ending.is_empty() || !matches!(self.phase, Phase::Running) || self.end_inputs_now(lane)
    }

    fn end_inputs_now<B: Memory, const S: usize>(&mut self, lane: &mut Lane<B, S>) -> bool {
        let Some(upstream) = &mut self.upstream else { return true };
        for channel in [Channel::STDIN, Channel::RESIZE] {
            if !self.ending.contains(channel) {
                continue;
            }
            if channel == Channel::RESIZE {
                upstream.end_sizes();
            } else if upstream.can_half_close(channel) {
                // A protocol without a half-close leaves the channel open.
                if !lane.has_room_for_end(upstream) {
                    return false;
                }
                lane.half_close(upstream, channel);
            }
            self.ending.remove(channel);
        }
        true
    }

    pub(super) fn translate_upstream<B: Memory, const S: usize>(
        &mut self,
        lane: &mut Lane<B, S>,
        now: Instant,
    ) -> Flow {
        let flow = loop {
            match self.phase {
                Phase::Finishing { .. } if lane.has_output() => break Flow::NeedWrite,
                Phase::Finishing { until } if self.awaits_client() => {
                    let until = until.unwrap_or_else(|| now.plus(self.stream_creation));
                    self.phase = Phase::Finishing { until: Some(until) };
                    break Flow::NeedPeer;
                }
                Phase::Finishing { .. } => {
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
            if self.is_answered
                && lane.pass(upstream, &mut self.client, self.outputs.of_bytes(), &mut self.carried)
            {
                self.liveness.heard(Side::Upstream, now);
                self.liveness.active(now);
                if !lane.has_input() && !self.upstream_side.ended {
                    break Flow::NeedInput;
                }
            }
            let mut len = usize::MAX;
            if let Some(lead) = upstream.lead(lane.peek()) {
                if !self.is_answered {
                    break Flow::NeedPeer;
                }
                if !lane.has_room(lead, &self.client) {
                    let Some(part) = lane.part_with_room(lead, &self.client) else { break Flow::NeedWrite };
                    len = part;
                }
            }
            let Step { consumed, event } = match upstream.receive(lane.input_part(len)) {
                Ok(step) => step,
                Err(error) => {
                    lane.close_frame(&mut self.client);
                    lane.discard_input();
                    self.upstream_failed(error);
                    continue;
                }
            };
            if consumed == 0 && event.is_none() {
                if self.upstream_side.ended {
                    self.upstream_ended(false, lane);
                    continue;
                }
                if lane.release() {
                    self.status.collected(false);
                }
                break Flow::NeedInput;
            }
            let at = lane.consume(consumed);
            self.liveness.heard(Side::Upstream, now);
            match event {
                Some(Event::Data { channel: Channel::ERROR, range }) => {
                    self.status.collected(lane.hold(at + range.start..at + range.end));
                }
                Some(Event::Data { channel, range }) if self.outputs.contains(channel) => {
                    self.liveness.active(now);
                    self.carried.add(channel, range.len());
                    lane.data(&mut self.client, channel, at + range.start..at + range.end);
                }
                Some(Event::Accepted(_)) => self.opened(),
                Some(Event::Pong) => self.liveness.answered(Side::Upstream, now),
                Some(Event::HalfClosed(channel) | Event::Reset(channel, _)) => {
                    self.outputs.remove(channel);
                    if self.outputs.is_empty() {
                        self.upstream_ended(true, lane);
                    } else {
                        self.opened();
                    }
                }
                Some(Event::End { clean }) => {
                    self.upstream_side.ended = true;
                    self.upstream_ended(clean, lane);
                    lane.discard_input();
                }
                Some(Event::Status) => {
                    self.upstream_ended(true, lane);
                }
                Some(Event::Opened(_) | Event::Data { .. } | Event::Resize(_)) | None => {}
            }
        };
        lane.close_frame(&mut self.client);
        flow
    }

    fn send_status<B: Memory, const S: usize>(&mut self, lane: &mut Lane<B, S>, now: Instant) {
        lane.discard_input();
        self.is_delivered = false;
        let (status, is_json) = (self.status, self.client.status_is_json());
        let is_sent = lane.end_session_held(&mut self.client, |room, held| status.write(is_json, room, held));
        match is_sent {
            false => self.client.close(Close::Internal),
            true if self.client.closes_first() => self.client.close(Close::Normal),
            true => {}
        }
        self.start_closing(Some(self.close), now);
    }
}
