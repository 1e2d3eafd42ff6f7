use core::ops::Range;

use super::messages::{Messages, Received};
use super::{ByteStream, Close, Event, Framing, LegError};
use crate::k8s::Channel;
use crate::limits::Limits;
use crate::step::Step;
use crate::ws::{MaskKeys, Masking, NoMask, Opcode};

/// A stream of bytes in the binary messages of a WebSocket: the tunnel of port-forward, in which the bytes are those of a
/// SPDY connection (`port-forward.md` section 2).
///
/// ```text
/// | WebSocket frame header | any piece of the stream |
/// ```
///
/// Where messages end means nothing. Fragments and empty messages are taken as they come; a text message is an
/// error. Close 1000 is the end of the stream, any other end of the connection is a failure.
///
/// `M` is the end that it plays: a client's leg has [`MaskKeys`], a server's [`NoMask`].
#[derive(Debug)]
pub struct TunnelLeg<M: Masking = NoMask> {
    messages: Messages<M>,
}

impl TunnelLeg {
    /// The server's end.
    pub const fn server(limits: &Limits) -> Self {
        Self { messages: Messages::new(limits, NoMask) }
    }
}

impl TunnelLeg<MaskKeys> {
    /// The client's end.
    pub const fn client(limits: &Limits, keys: MaskKeys) -> Self {
        Self { messages: Messages::new(limits, keys) }
    }
}

impl<M: Masking> Framing for TunnelLeg<M> {
    #[inline]
    fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, LegError> {
        if !self.can_receive() {
            return Ok(Step::NEED_MORE);
        }
        let Step { consumed, event } = self.messages.receive(input)?;
        let event = match event {
            Some(Received::Data { opcode: Opcode::Text, .. }) => return Err(LegError::Text),
            Some(Received::Data { range, .. }) if !range.is_empty() => {
                Some(Event::Data { channel: Channel::BYTES, range })
            }
            None | Some(Received::Data { .. }) => None,
            Some(Received::Pong) => Some(Event::Pong),
            Some(Received::End { clean }) => Some(Event::End { clean }),
        };
        Ok(Step { consumed, event })
    }

    #[inline]
    fn can_receive(&self) -> bool {
        self.messages.can_receive()
    }

    #[inline]
    fn lead(&self, input: &[u8]) -> Option<usize> {
        self.messages.lead(input)
    }

    #[inline]
    fn header_max(&self, len: usize) -> usize {
        self.messages.header(len)
    }

    #[inline]
    fn frame(
        &mut self,
        channel: Channel,
        _: bool,
        buffer: &mut [u8],
        payload: Range<usize>,
    ) -> Option<usize> {
        match (self.can_send(channel), payload.is_empty()) {
            (false, _) => None,
            (true, true) => Some(payload.end),
            (true, false) => self.messages.frame(Opcode::Binary, buffer, payload),
        }
    }

    #[inline]
    fn can_send(&self, channel: Channel) -> bool {
        channel == Channel::BYTES && !self.messages.is_closing()
    }

    /// Its end is that of the connection.
    fn can_half_close(&self, _: Channel) -> bool {
        false
    }

    fn ping(&mut self) {
        self.messages.ping();
    }

    fn close(&mut self, reason: Close) {
        self.messages.close(reason);
    }

    fn pending(&self) -> &[u8] {
        self.messages.pending()
    }

    fn sent(&mut self, count: usize) {
        self.messages.sent(count);
    }
}

impl<M: Masking> ByteStream for TunnelLeg<M> {
    fn has_close(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
