use core::ops::Range;

use super::PortsLeg;
use crate::k8s::Channel;
use crate::leg::messages::{Messages, Received};
use crate::leg::{Close, Event, Framing, LegError};
use crate::limits::Limits;
use crate::spdy::frame::DATA_HEADER;
use crate::step::Step;
use crate::ws::{FrameHeader, MaskKeys, Masking, NoMask, Opcode};

/// Control frames of the leg inside, as messages, and two control frames of the WebSocket.
const OUTBOX: usize = 1024;

/// Most control bytes that are put into one message.
const PIECE: usize = 256;

/// A leg whose bytes are carried in the binary messages of a WebSocket: SPDY in a tunnel (`port-forward.md` section 2).
///
/// ```text
/// | WebSocket frame header | SPDY frame header | payload ...      sent: a message for each frame
/// | WebSocket frame header | any piece of the SPDY connection     received
/// ```
///
/// Everything stays in place. Where a message ends within a frame's header, the few bytes that wait for the rest are moved
/// up to it, over the WebSocket header between them.
///
/// `M` is the end of the WebSocket that it plays: a client's leg has [`MaskKeys`], a server's [`NoMask`].
#[derive(Debug)]
pub struct Tunnelled<L, M: Masking = MaskKeys> {
    leg: L,
    messages: Messages<M, OUTBOX>,
    /// Bytes at the front of the input that are unwrapped, and wait for more of what they belong to.
    front: usize,
    /// The streams of all ports have left.
    ready: bool,
    /// The connection is to be closed behind the last control bytes of the leg inside.
    closing: Option<Close>,
}

impl<L: PortsLeg> Tunnelled<L> {
    /// The client's end.
    pub fn client(leg: L, limits: &Limits, keys: MaskKeys) -> Self {
        Self::new(leg, Messages::new(limits, keys))
    }
}

impl<L: PortsLeg> Tunnelled<L, NoMask> {
    /// The server's end.
    pub fn server(leg: L, limits: &Limits) -> Self {
        Self::new(leg, Messages::new(limits, NoMask))
    }
}

impl<L: PortsLeg, M: Masking> Tunnelled<L, M> {
    fn new(leg: L, messages: Messages<M, OUTBOX>) -> Self {
        let mut tunnelled = Self { leg, messages, front: 0, ready: false, closing: None };
        tunnelled.wrap();
        tunnelled
    }

    /// Puts what the leg inside has to say into messages, as far as there is room.
    fn wrap(&mut self) {
        loop {
            let pending = self.leg.pending();
            let mut message = [0; FrameHeader::MAX + PIECE];
            let room = self.messages.room().saturating_sub(FrameHeader::MAX).min(PIECE);
            let len = pending.len().min(room);
            if len == 0 {
                break;
            }
            let payload = message.get_mut(FrameHeader::MAX..).unwrap_or_default();
            for (to, from) in payload.iter_mut().zip(pending).take(len) {
                *to = *from;
            }
            if !self.messages.is_closing() {
                let end = FrameHeader::MAX + len;
                let framed = self.messages.frame(Opcode::Binary, &mut message, FrameHeader::MAX..end);
                self.messages.push(framed.and_then(|start| message.get(start..end)).unwrap_or_default());
            }
            self.leg.sent(len);
        }
        if let Some(reason) = self.closing
            && self.leg.pending().is_empty()
        {
            self.messages.close(reason);
        }
    }

    /// Takes `header` bytes of the WebSocket out from between what is unwrapped, from `base` on, and what follows.
    fn take_out(&self, input: &mut [u8], base: usize, header: usize) {
        let Some(bytes) = input.get_mut(base..) else { return };
        let Some(bytes) = bytes.get_mut(..self.front + header) else { return };
        for at in (0..self.front).rev() {
            let Some(&byte) = bytes.get(at) else { return };
            if let Some(to) = bytes.get_mut(at + header) {
                *to = byte;
            }
        }
    }
}

impl<L: PortsLeg, M: Masking> Framing for Tunnelled<L, M> {
    fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, LegError> {
        let mut base = 0;
        loop {
            if !self.can_receive() {
                return Ok(Step::skip(base));
            }
            let end = (base + self.front).min(input.len());
            let Step { consumed, event } = self.leg.receive(input.get_mut(base..end).unwrap_or_default())?;
            if consumed > 0 || event.is_some() {
                self.front = self.front.saturating_sub(consumed);
                self.wrap();
                let event = event.map(|event| match event {
                    Event::Data { channel, range } => {
                        Event::Data { channel, range: base + range.start..base + range.end }
                    }
                    other => other,
                });
                return Ok(Step { consumed: base + consumed, event });
            }
            let Step { consumed, event } = self.messages.receive(input.get_mut(end..).unwrap_or_default())?;
            if consumed == 0 && event.is_none() {
                return Ok(Step::skip(base));
            }
            let (header, payload, event) = match event {
                Some(Received::Data { opcode: Opcode::Text, .. }) => return Err(LegError::Text),
                Some(Received::Data { range, .. }) => (range.start, range.len(), None),
                None => (consumed, 0, None),
                Some(Received::Pong) => (consumed, 0, Some(Event::Pong)),
                Some(Received::End { clean }) => (consumed, 0, Some(Event::End { clean })),
            };
            self.take_out(input, base, header);
            base += header;
            self.front += payload;
            if event.is_some() {
                return Ok(Step { consumed: base, event });
            }
        }
    }

    fn can_receive(&self) -> bool {
        self.leg.can_receive() && self.messages.can_receive()
    }

    /// At least so many: a message may end anywhere.
    fn lead(&self, input: &[u8]) -> Option<usize> {
        if input.is_empty() {
            return None;
        }
        let inside = self.leg.lead(&[0; DATA_HEADER])?;
        Some(if self.front == 0 { inside + self.messages.least_lead() } else { inside })
    }

    fn header_max(&self, len: usize) -> usize {
        let inside = self.leg.header_max(len);
        inside + self.messages.header(inside + len)
    }

    fn frame(
        &mut self,
        channel: Channel,
        fin: bool,
        buffer: &mut [u8],
        payload: Range<usize>,
    ) -> Option<usize> {
        if !self.can_send(channel) {
            return None;
        }
        let end = payload.end;
        let start = self.leg.frame(channel, fin, buffer, payload)?;
        self.messages.frame(Opcode::Binary, buffer, start..end)
    }

    fn can_send(&self, channel: Channel) -> bool {
        self.ready && !self.messages.is_closing() && self.leg.can_send(channel)
    }

    fn can_half_close(&self, channel: Channel) -> bool {
        self.can_send(channel) && self.leg.can_half_close(channel)
    }

    /// Both of the WebSocket and of the connection inside, which may go further.
    fn ping(&mut self) {
        self.messages.ping();
        self.leg.ping();
        self.wrap();
    }

    fn close(&mut self, reason: Close) {
        self.closing.get_or_insert(reason);
        self.leg.close(reason);
        self.wrap();
    }

    fn pending(&self) -> &[u8] {
        self.messages.pending()
    }

    fn sent(&mut self, count: usize) {
        self.messages.sent(count);
        self.ready |= self.leg.is_ready() && self.messages.pending().is_empty();
        self.wrap();
    }
}

impl<L: PortsLeg, M: Masking> PortsLeg for Tunnelled<L, M> {
    fn is_ready(&self) -> bool {
        self.ready
    }

    fn half_close(&mut self, channel: Channel) {
        self.leg.half_close(channel);
        self.wrap();
    }

    fn reset(&mut self, channel: Channel) {
        self.leg.reset(channel);
        self.wrap();
    }
}

#[cfg(test)]
mod tests;
