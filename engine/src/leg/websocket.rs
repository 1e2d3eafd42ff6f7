use core::ops::Range;

use super::{Close, Event, Framing, Leg, LegError, base64};
use crate::k8s::{Channel, ResizeParser, Subprotocol, TerminalSize};
use crate::limits::Limits;
use crate::step::{Role, Step};
use crate::ws::{self, CloseCode, FrameHeader, MaskKeys, Masking, NoMask, Opcode};

/// The channel byte in front of every message.
const CHANNEL_BYTE: usize = 1;

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
    receiver: ws::Receiver,
    sender: ws::Sender,
    protocol: Subprotocol,
    keys: M,
    /// Channel of the message that is being received; `None` before its first byte.
    message: Option<Channel>,
    close_signal: CloseSignal,
    /// Payload of the error channel was received in the current message.
    status_begun: bool,
    /// The base64 of the current message has ended with padding.
    padded: bool,
    resize: ResizeParser,
    /// The newest size that found no room in the outbox.
    next_size: Option<TerminalSize>,
    /// A second event of the message that was received last.
    second: Option<Event>,
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
            // The opcode says nothing in these protocols, so text need not be UTF-8.
            receiver: ws::Receiver::new(M::ROLE, limits).without_utf8_check(),
            sender: ws::Sender::new(M::ROLE),
            protocol,
            keys,
            message: None,
            close_signal: CloseSignal { len: 0, channel: None },
            status_begun: false,
            padded: false,
            resize: ResizeParser::new(),
            next_size: None,
            second: None,
        }
    }

    /// How much of the input the receiver may see. Base64 is decoded in whole quanta, so a piece of a message
    /// that ends within one is left where it is until the rest has come.
    fn readable(&self, input: &[u8]) -> usize {
        if !self.protocol.is_base64() {
            return input.len();
        }
        let channel = if self.message.is_none() { CHANNEL_BYTE } else { 0 };
        let (header, left) = match (self.receiver.remaining(), FrameHeader::parse(input)) {
            (0, Ok(Some((header, size)))) if !header.opcode.is_control() => (size, header.len),
            (0, _) => return input.len(),
            (left, _) => (0, left),
        };
        let arrived = input.len() - header;
        if arrived as u64 >= left { input.len() } else { header + base64::whole_quanta(channel, arrived) }
    }

    fn data(
        &mut self,
        input: &mut [u8],
        mut range: Range<usize>,
        first: bool,
        last: bool,
    ) -> Result<Option<Event>, LegError> {
        if first {
            self.message = None;
            self.close_signal = CloseSignal::default();
            self.status_begun = false;
            self.padded = false;
        }
        let channel = match self.message {
            Some(channel) => channel,
            None => match input.get(range.start) {
                Some(&byte) if !range.is_empty() => {
                    range.start += CHANNEL_BYTE;
                    let channel = Channel::from_wire(byte, self.protocol);
                    self.message = Some(channel);
                    channel
                }
                _ => return Ok(None),
            },
        };
        if last {
            self.message = None;
        }
        if self.protocol.is_base64() {
            range = self.decode(input, range)?;
        }
        match (channel, M::ROLE) {
            (Channel::CLOSE, _) if self.protocol.has_close() => {
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

    /// A text ends with its padding, whether what follows comes in the same piece or in a later one.
    fn decode(&mut self, input: &mut [u8], text: Range<usize>) -> Result<Range<usize>, LegError> {
        if self.padded && !text.is_empty() {
            return Err(LegError::Base64);
        }
        let len = text.len();
        let bytes = base64::decode(input, text).ok_or(LegError::Base64)?;
        self.padded = base64::is_padded(len, bytes.len());
        Ok(bytes)
    }

    /// From v4 on the status always comes, as the last message. An empty message is the ready signal of a session
    /// without output.
    fn status(&mut self, range: Range<usize>, last: bool) -> Option<Event> {
        self.status_begun |= !range.is_empty();
        if self.status_begun && last && self.protocol.status_is_json() {
            self.second = Some(Event::Status);
        }
        if range.is_empty() {
            return self.second.take();
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

    fn close_frame(&mut self, code: Option<CloseCode>) {
        let key = self.keys.draw();
        // The sender keeps room for one Close.
        let _ = self.sender.close(code, "", key);
    }

    /// Half-closes `channel` with a v5 CLOSE that ends at `end`.
    fn frame_close_signal(&mut self, channel: Channel, buffer: &mut [u8], end: usize) -> Option<usize> {
        let message = channel.close_message();
        let payload = end.checked_sub(message.len())?..end;
        buffer.get_mut(payload.clone())?.copy_from_slice(&message);
        self.frame_message(buffer, payload)
    }

    fn push_size(&mut self) {
        let Some(size) = self.next_size else { return };
        if M::ROLE == Role::Server || self.sender.is_closing() {
            self.next_size = None;
            return;
        }
        if !self.can_receive() {
            return;
        }
        self.next_size = None;
        let mut message = [0; FrameHeader::MAX + SIZE];
        let (_, json) = message.split_at_mut(FrameHeader::MAX + SIZE - TerminalSize::MAX_WRITTEN);
        let Ok(len) = size.write(json) else { return };
        let begin = FrameHeader::MAX + SIZE - TerminalSize::MAX_WRITTEN;
        if let Some(start) = self.frame(Channel::RESIZE, false, &mut message, begin..begin + len) {
            // `can_receive` left room for more than this.
            let _ = self.sender.outbox_mut().push(message.get(start..begin + len).unwrap_or_default());
        }
    }

    /// Makes `buffer[message]`, channel byte included, a WebSocket message.
    #[inline]
    fn frame_message(&mut self, buffer: &mut [u8], message: Range<usize>) -> Option<usize> {
        let opcode = if self.protocol.is_base64() { Opcode::Text } else { Opcode::Binary };
        let key = self.keys.draw();
        let header = self.sender.data_header(opcode, true, message.len() as u64, key);
        let size = header.size();
        let start = message.start.checked_sub(size)?;
        if let Some(key) = header.mask {
            ws::mask(key, 0, buffer.get_mut(message)?);
        }
        let mut bytes = [0; FrameHeader::MAX];
        header.write(&mut bytes);
        let front = buffer.get_mut(start..)?.get_mut(..size)?;
        for (to, from) in front.iter_mut().zip(bytes) {
            *to = from;
        }
        Some(start)
    }
}

impl<M: Masking> Framing for WebSocketLeg<M> {
    #[inline]
    fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, LegError> {
        if self.second.is_some() {
            return Ok(Step { consumed: 0, event: self.second.take() });
        }
        if !self.can_receive() {
            return Ok(Step::NEED_MORE);
        }
        let readable = self.readable(input);
        let input = input.get_mut(..readable).unwrap_or_default();
        let Step { consumed, event } = self.receiver.receive(input)?;
        let event = match event {
            None => None,
            Some(ws::Event::Pong { .. }) => Some(Event::Pong),
            Some(ws::Event::Data { range, first, last, .. }) => self.data(input, range, first, last)?,
            Some(ws::Event::Ping { range }) => {
                let key = self.keys.draw();
                // `can_answer` was asked first, so the pong has its room.
                let _ = self.sender.pong(input.get(range).unwrap_or_default(), key);
                None
            }
            Some(ws::Event::Close { code, .. }) => {
                // RFC 6455 section 5.5.1: the answer carries the code that was received.
                self.close_frame(code);
                Some(Event::End { clean: code == Some(CloseCode::NORMAL) })
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
        let growth = if self.protocol.is_base64() { base64::growth_max(len) } else { 0 };
        let message = len + growth + CHANNEL_BYTE;
        let header = self.sender.data_header(Opcode::Binary, true, message as u64, [0; 4]);
        header.size() + CHANNEL_BYTE + growth
    }

    fn headroom(&self, len: usize) -> usize {
        // Base64 grows by a third: a quarter of the lane is room for what the rest of it grows.
        if self.protocol.is_base64() { len / 4 + 2 * FrameHeader::MAX } else { 0 }
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
        let end = payload.end;
        let text = if self.protocol.is_base64() { base64::encode(buffer, payload)? } else { payload.start };
        let start = text.checked_sub(CHANNEL_BYTE)?;
        *buffer.get_mut(start)? = channel.to_wire(self.protocol);
        self.frame_message(buffer, start..end)
    }

    fn can_send(&self, channel: Channel) -> bool {
        channel.is_remote_command() && !self.sender.is_closing()
    }

    fn can_half_close(&self, channel: Channel) -> bool {
        M::ROLE == Role::Client && self.protocol.has_close() && self.can_send(channel)
    }

    fn ping(&mut self) {
        if !self.sender.outbox().is_empty() {
            return;
        }
        let keys = [self.keys.draw(), self.keys.draw()];
        let _ = self.sender.ping(&[], keys[0]);
        // A Go client counts nothing but pongs as signs of life, and its own ping may be stuck behind input that
        // nobody takes (`websocket-channels.md` section 7).
        let _ = self.sender.pong(&[], keys[1]);
    }

    fn close(&mut self, reason: Close) {
        self.close_frame(Some(reason.code()));
    }

    fn pending(&self) -> &[u8] {
        self.sender.outbox().pending()
    }

    fn sent(&mut self, count: usize) {
        self.sender.outbox_mut().sent(count);
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
        self.protocol.status_is_json()
    }

    fn resize(&mut self, size: TerminalSize) {
        self.next_size = Some(size);
        self.push_size();
    }

    fn end_sizes(&mut self) {}
}

#[cfg(test)]
mod tests;
