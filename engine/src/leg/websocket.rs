use core::ops::Range;

use super::{Close, Event, Leg, LegError};
use crate::k8s::{Channel, ResizeParser, Subprotocol, TerminalSize};
use crate::limits::Limits;
use crate::step::{Role, Step};
use crate::ws::{self, CloseCode, FrameHeader, Opcode};

/// The channel byte in front of every message.
const CHANNEL_BYTE: usize = 1;

/// Kubernetes channels on a WebSocket: one message carries the payload of one channel, behind one byte with
/// the channel's number.
///
/// ```text
/// | WebSocket frame header | channel | payload ...        raw protocols
/// | WebSocket frame header | 255     | channel            v5: that channel is half-closed
/// ```
///
/// This is the server's end: what a client's session talks to. Messages may be fragmented and may be larger
/// than any buffer; text and binary messages mean the same (Python clients send text).
#[derive(Debug)]
pub struct WebSocketLeg {
    receiver: ws::Receiver,
    sender: ws::Sender,
    protocol: Subprotocol,
    /// Channel of the message that is being received; `None` before its first byte.
    message: Option<Channel>,
    close_signal: CloseSignal,
    resize: ResizeParser,
    ended: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct CloseSignal {
    len: usize,
    channel: Option<u8>,
}

impl WebSocketLeg {
    /// The server's end of a connection that has negotiated `protocol`.
    pub const fn server(protocol: Subprotocol, limits: &Limits) -> Self {
        Self {
            // The opcode says nothing in these protocols, so text need not be UTF-8.
            receiver: ws::Receiver::new(Role::Server, limits).without_utf8_check(),
            sender: ws::Sender::new(Role::Server),
            protocol,
            message: None,
            close_signal: CloseSignal { len: 0, channel: None },
            resize: ResizeParser::new(),
            ended: false,
        }
    }

    fn data(
        &mut self,
        input: &[u8],
        mut range: Range<usize>,
        first: bool,
        last: bool,
    ) -> Result<Option<Event>, LegError> {
        if first {
            self.message = None;
            self.close_signal = CloseSignal::default();
        }
        let channel = match self.message {
            Some(channel) => channel,
            None => match input.get(range.start) {
                Some(&byte) if !range.is_empty() => {
                    range.start += CHANNEL_BYTE;
                    let channel = Channel::new(byte);
                    self.message = Some(channel);
                    channel
                }
                _ => return Ok(None),
            },
        };
        if last {
            self.message = None;
        }
        match channel {
            Channel::STDIN if range.is_empty() => Ok(None),
            Channel::STDIN => Ok(Some(Event::Data { channel, range })),
            Channel::RESIZE => {
                Ok(input.get(range).and_then(|json| self.resize.feed(json)).map(Event::Resize))
            }
            Channel::CLOSE if self.protocol.has_close() => {
                self.close_signal(input.get(range).unwrap_or_default(), last)
            }
            // Upstream discards what a client sends on channels that it only reads, and on unknown ones.
            _ => Ok(None),
        }
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
}

impl Leg for WebSocketLeg {
    #[inline]
    fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, LegError> {
        if !self.can_receive() {
            return Ok(Step::NEED_MORE);
        }
        let Step { consumed, event } = self.receiver.receive(input)?;
        let event = match event {
            None | Some(ws::Event::Pong { .. }) => None,
            Some(ws::Event::Data { range, first, last, .. }) => self.data(input, range, first, last)?,
            Some(ws::Event::Ping { range }) => {
                // `can_answer` was asked first, so the pong has its room.
                let _ = self.sender.pong(input.get(range).unwrap_or_default(), [0; 4]);
                None
            }
            Some(ws::Event::Close { code, .. }) => {
                self.ended = true;
                // RFC 6455 section 5.5.1: the answer carries the code that was received.
                self.close_frame(code, "");
                Some(Event::End)
            }
        };
        Ok(Step { consumed, event })
    }

    #[inline]
    fn can_receive(&self) -> bool {
        self.sender.can_answer()
    }

    #[inline]
    fn lead(&self, input: &[u8]) -> Option<usize> {
        let channel = if self.message.is_none() { CHANNEL_BYTE } else { 0 };
        if self.receiver.lead() == 0 {
            return (!input.is_empty()).then_some(channel);
        }
        match FrameHeader::parse(input) {
            Ok(Some((header, size))) if !header.opcode.is_control() => Some(size + channel),
            _ => None,
        }
    }

    #[inline]
    fn header_max(&self, len: usize) -> usize {
        let len = (len + CHANNEL_BYTE) as u64;
        FrameHeader { fin: true, opcode: Opcode::Binary, mask: None, len }.size() + CHANNEL_BYTE
    }

    #[inline]
    fn frame(
        &mut self,
        channel: Channel,
        _fin: bool,
        buffer: &mut [u8],
        payload: Range<usize>,
    ) -> Option<usize> {
        if !self.can_send(channel) {
            return None;
        }
        let len = (payload.len() + CHANNEL_BYTE) as u64;
        let header = self.sender.data_header(Opcode::Binary, true, len, [0; 4]);
        let start = payload.start.checked_sub(header.size() + CHANNEL_BYTE)?;
        let (front, _) = buffer.get_mut(start..)?.split_at_mut_checked(header.size() + CHANNEL_BYTE)?;
        let (channel_byte, head) = front.split_last_mut()?;
        *channel_byte = channel.number();
        let mut bytes = [0; FrameHeader::MAX];
        let size = header.write(&mut bytes);
        for (to, from) in head.iter_mut().zip(bytes.iter().take(size)) {
            *to = *from;
        }
        Some(start)
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn can_send(&self, channel: Channel) -> bool {
        channel.is_remote_command() && !self.sender.is_closing()
    }

    fn resize(&mut self, _size: TerminalSize) {
        // Sizes go from client to server only.
    }

    fn end_sizes(&mut self) {}

    fn close(&mut self, reason: Close) {
        self.close_frame(Some(reason.code()), "");
    }

    fn pending(&self) -> &[u8] {
        self.sender.outbox().pending()
    }

    fn sent(&mut self, count: usize) {
        self.sender.outbox_mut().sent(count);
    }
}

impl WebSocketLeg {
    /// True if the peer's Close was received.
    pub const fn is_closed_by_peer(&self) -> bool {
        self.ended
    }

    /// Queues a Close with a code and a reason for a person to read.
    pub fn close_with(&mut self, code: CloseCode, reason: &str) {
        self.close_frame(Some(code), reason);
    }

    fn close_frame(&mut self, code: Option<CloseCode>, reason: &str) {
        // The sender keeps room for one Close.
        let _ = self.sender.close(code, reason, [0; 4]);
    }
}

#[cfg(test)]
mod tests;
