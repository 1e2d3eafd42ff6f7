use core::mem;
use core::ops::Range;

use super::channels::{self, CHANNEL_BYTE, Channels};
use super::{Close, Event, Framing, Leg, LegError, Payload};
use crate::k8s::{Channel, ChannelSet, ResizeParser, Subprotocol, TerminalSize};
use crate::limits::Limits;
use crate::step::{Role, Step};
use crate::ws::{FrameHeader, MaskKeys, Masking, NoMask};

/// The longest message that carries a terminal size.
const SIZE: usize = 2 * TerminalSize::MAX_WRITTEN;

/// Kubernetes channels on a WebSocket: one message carries the payload of one channel, behind one byte with
/// the channel's number.
///
/// ```text
/// | WebSocket frame header | channel | payload ...            raw protocols, binary messages
/// | WebSocket frame header | '0' + channel | base64 ...       base64 protocols, text messages
/// | WebSocket frame header | 255     | channel                v5: that channel is half-closed
/// ```
///
/// Messages may be fragmented and may be larger than any buffer; text and binary messages mean the same
/// (Python clients send text). The ends differ in what they send: a client stdin, sizes and half-closes, a
/// server stdout, stderr and the status, which ends the session.
///
/// In the base64 protocols each fragment of a message must hold whole quanta, groups of four characters, as each
/// is taken for itself; upstream takes each for a message of its own.
///
/// `M` is the end that it plays: a client's leg has [`MaskKeys`], a server's [`NoMask`].
#[derive(Debug)]
pub struct WebSocketLeg<M: Masking = NoMask> {
    channels: Channels<M>,
    close_signal: CloseSignal,
    /// Payload of the error channel was received in the current message.
    status_begun: bool,
    resize: ResizeParser,
    /// The newest size that found no room in the outbox.
    next_size: Option<TerminalSize>,
    /// One has taken the room of an answer. A peer that does not take it may wait for its output to be read: a ping gets no pong then.
    size_waits: bool,
    /// The message that was received last has ended the session's status.
    status_ended: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct CloseSignal {
    len: usize,
    channel: Option<u8>,
}

impl WebSocketLeg {
    /// The server's end of a connection that has negotiated `protocol`.
    pub const fn server(protocol: Subprotocol, limits: &Limits) -> Self {
        Self::new(protocol, limits, NoMask)
    }
}

impl WebSocketLeg<MaskKeys> {
    /// The client's end of a connection that has negotiated `protocol`.
    pub const fn client(protocol: Subprotocol, limits: &Limits, keys: MaskKeys) -> Self {
        Self::new(protocol, limits, keys)
    }
}

impl<M: Masking> WebSocketLeg<M> {
    const fn new(protocol: Subprotocol, limits: &Limits, keys: M) -> Self {
        Self {
            channels: Channels::new(protocol, limits, keys),
            close_signal: CloseSignal { len: 0, channel: None },
            status_begun: false,
            resize: ResizeParser::new(),
            next_size: None,
            size_waits: false,
            status_ended: false,
        }
    }

    #[inline]
    fn data(
        &mut self,
        input: &[u8],
        channel: Channel,
        range: Range<usize>,
        begins: bool,
        last: bool,
    ) -> Result<Option<Event>, LegError> {
        if begins {
            self.close_signal = CloseSignal::default();
            self.status_begun = false;
        }
        match (channel, M::ROLE) {
            (Channel::CLOSE, _) if self.channels.protocol.has_close() => {
                self.close_signal(input.get(range).unwrap_or_default(), last)
            }
            (Channel::RESIZE, Role::Server) => {
                Ok(input.get(range).and_then(|json| self.resize.feed(json)).map(Event::Resize))
            }
            (Channel::ERROR, Role::Client) => Ok(self.status(range, last)),
            (Channel::STDIN, Role::Server) | (Channel::STDOUT | Channel::STDERR, Role::Client) => {
                Ok((!range.is_empty()).then_some(Event::Data { channel, range }))
            }
            // Upstream discards what comes on channels that the peer only reads, and on unknown ones.
            _ => Ok(None),
        }
    }

    /// From v4 on the status always comes, as the last message. An empty message is the ready signal of a session
    /// without output.
    fn status(&mut self, range: Range<usize>, last: bool) -> Option<Event> {
        self.status_begun |= !range.is_empty();
        if self.status_begun && last && self.channels.protocol.status_is_json() {
            self.status_ended = true;
        }
        if range.is_empty() {
            return mem::take(&mut self.status_ended).then_some(Event::Status);
        }
        Some(Event::Data { channel: Channel::ERROR, range })
    }

    fn close_signal(&mut self, piece: &[u8], last: bool) -> Result<Option<Event>, LegError> {
        if self.close_signal.channel.is_none() {
            self.close_signal.channel = piece.first().copied();
        }
        self.close_signal.len = self.close_signal.len.saturating_add(piece.len());
        if !last {
            return Ok(None);
        }
        match self.close_signal {
            CloseSignal { len: 1, channel: Some(channel) } if Channel::new(channel).is_remote_command() => {
                Ok(Some(Event::HalfClosed(Channel::new(channel))))
            }
            CloseSignal { len, channel } => {
                Err(LegError::CloseSignal { len: len.saturating_add(CHANNEL_BYTE), channel })
            }
        }
    }

    /// Half-closes `channel` with a v5 CLOSE that ends at `end`.
    fn frame_close_signal(&mut self, channel: Channel, buffer: &mut [u8], end: usize) -> Option<usize> {
        let message = channel.close_message();
        let payload = end.checked_sub(message.len())?..end;
        buffer.get_mut(payload.clone())?.copy_from_slice(&message);
        self.channels.frame_message(buffer, payload)
    }

    fn push_size(&mut self) {
        let Some(size) = self.next_size else { return };
        if M::ROLE == Role::Server || self.channels.messages.is_closing() {
            self.next_size = None;
            return;
        }
        if !self.channels.messages.can_receive() {
            return;
        }
        self.next_size = None;
        let mut message = [0; FrameHeader::MAX + SIZE];
        let (_, json) = message.split_at_mut(FrameHeader::MAX + SIZE - TerminalSize::MAX_WRITTEN);
        let Ok(len) = size.write(json) else { return };
        let begin = FrameHeader::MAX + SIZE - TerminalSize::MAX_WRITTEN;
        if let Some(start) = self.frame(Channel::RESIZE, false, &mut message, begin..begin + len) {
            // `can_receive` left room for more than this.
            self.channels.messages.push(message.get(start..begin + len).unwrap_or_default());
            self.size_waits = true;
        }
    }
}

impl<M: Masking> Framing for WebSocketLeg<M> {
    #[inline]
    fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, LegError> {
        if self.status_ended {
            self.status_ended = false;
            return Ok(Step::event(0, Event::Status));
        }
        if !self.can_receive() {
            return Ok(Step::NEED_MORE);
        }
        let Step { consumed, event } = self.channels.receive(input)?;
        let event = match event {
            None => None,
            Some(channels::Received::Data { channel, range, begins, last }) => {
                self.data(input, channel, range, begins, last)?
            }
            Some(channels::Received::Pong) => Some(Event::Pong),
            Some(channels::Received::End { clean }) => Some(Event::End { clean }),
        };
        Ok(Step { consumed, event })
    }

    #[inline]
    fn pass(&mut self, input: &mut [u8], lead: usize, channels: ChannelSet) -> Option<Payload> {
        if self.status_ended {
            return None;
        }
        self.channels.pass(input, lead, channels)
    }

    #[inline]
    fn can_receive(&self) -> bool {
        self.channels.messages.can_receive() || self.size_waits
    }

    #[inline]
    fn lead(&self, input: &[u8]) -> Option<usize> {
        self.channels.lead(input)
    }

    #[inline]
    fn header_max(&self, len: usize) -> usize {
        self.channels.header_max(len)
    }

    fn headroom(&self, len: usize) -> usize {
        self.channels.headroom(len)
    }

    #[inline]
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
        match (fin && self.can_half_close(channel), payload.is_empty()) {
            (true, true) => return self.frame_close_signal(channel, buffer, payload.end),
            // The end is a message of its own, behind that of the payload.
            (true, false) => return None,
            (false, true) if fin => return Some(payload.end),
            (false, _) => {}
        }
        self.channels.frame(channel, buffer, payload)
    }

    fn can_send(&self, channel: Channel) -> bool {
        channel.is_remote_command() && !self.channels.messages.is_closing()
    }

    fn can_half_close(&self, channel: Channel) -> bool {
        M::ROLE == Role::Client && self.channels.protocol.has_close() && self.can_send(channel)
    }

    fn ping(&mut self) {
        self.channels.messages.ping();
    }

    fn close(&mut self, reason: Close) {
        self.channels.messages.close(reason);
    }

    fn pending(&self) -> &[u8] {
        self.channels.messages.pending()
    }

    fn sent(&mut self, count: usize) {
        self.channels.messages.sent(count);
        self.size_waits &= !self.channels.messages.pending().is_empty();
        self.push_size();
    }
}

impl<M: Masking> Leg for WebSocketLeg<M> {
    fn is_ready(&self) -> bool {
        true
    }

    fn greets(&self) -> bool {
        M::ROLE == Role::Server
    }

    fn closes_first(&self) -> bool {
        true
    }

    fn status_is_json(&self) -> bool {
        self.channels.protocol.status_is_json()
    }

    fn resize(&mut self, size: TerminalSize) {
        self.next_size = Some(size);
        self.push_size();
    }

    fn end_sizes(&mut self) {}
}

#[cfg(test)]
mod tests;
