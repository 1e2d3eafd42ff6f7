use core::ops::Range;

use super::messages::{self, Messages, OUTBOX};
use super::{LegError, Payload};
use crate::base64;
use crate::k8s::{Channel, ChannelSet, Subprotocol};
use crate::limits::Limits;
use crate::step::Step;
use crate::ws::{FrameHeader, Masking, Opcode};

/// The channel byte in front of every message.
pub(super) const CHANNEL_BYTE: usize = 1;

/// A WebSocket whose messages begin with the number of a channel, raw or in base64 (`websocket-channels.md` section 2).
///
/// ```text
/// | WebSocket frame header | channel | payload ...            raw protocols, binary messages
/// | WebSocket frame header | '0' + channel | base64 ...       base64 protocols, text messages
/// ```
#[derive(Debug)]
pub(super) struct Channels<M, const N: usize = OUTBOX> {
    pub(super) messages: Messages<M, N>,
    pub(super) protocol: Subprotocol,
    /// Channel of the message that is being received; `None` before its first byte.
    message: Option<Channel>,
    /// The base64 of the current message has ended with padding.
    padded: bool,
}

/// What came.
pub(super) enum Received {
    /// A piece of a message, channel and base64 taken off; empty if nothing is left then.
    Data {
        channel: Channel,
        range: Range<usize>,
        begins: bool,
        last: bool,
    },
    Pong,
    End {
        clean: bool,
    },
}

impl<M: Masking, const N: usize> Channels<M, N> {
    pub(super) const fn new(protocol: Subprotocol, limits: &Limits, keys: M) -> Self {
        Self { messages: Messages::new(limits, keys), protocol, message: None, padded: false }
    }

    #[inline]
    pub(super) fn receive(&mut self, input: &mut [u8]) -> Result<Step<Received>, LegError> {
        let readable = self.readable(input);
        let input = input.get_mut(..readable).unwrap_or_default();
        let Step { consumed, event } = self.messages.receive(input)?;
        let event = match event {
            None => None,
            Some(messages::Received::Data { range, first, last, .. }) => {
                self.data(input, range, first, last)?
            }
            Some(messages::Received::Pong) => Some(Received::Pong),
            Some(messages::Received::End { clean }) => Some(Received::End { clean }),
        };
        Ok(Step { consumed, event })
    }

    /// Takes a whole message of one of `channels` off the front of `input`, with at least `lead` bytes in front of its payload.
    #[inline]
    pub(super) fn pass(&mut self, input: &mut [u8], lead: usize, channels: ChannelSet) -> Option<Payload> {
        if self.protocol.is_base64() {
            return None;
        }
        let wanted = |byte| channels.contains(Channel::new(byte));
        let message = self.messages.pass(input, lead.saturating_sub(CHANNEL_BYTE), wanted)?;
        let range = message.start + CHANNEL_BYTE..message.end;
        let channel = Channel::new(*input.get(message.start)?);
        Some(Payload { channel, range })
    }

    #[inline]
    pub(super) fn lead(&self, input: &[u8]) -> Option<usize> {
        let channel = if self.message.is_none() { CHANNEL_BYTE } else { 0 };
        self.messages.lead(input).map(|lead| lead + channel)
    }

    #[inline]
    pub(super) fn header_max(&self, len: usize) -> usize {
        let growth = if self.protocol.is_base64() { base64::growth_max(len) } else { 0 };
        self.messages.header(len + growth + CHANNEL_BYTE) + CHANNEL_BYTE + growth
    }

    pub(super) fn headroom(&self, len: usize) -> usize {
        // Base64 grows by a third: a quarter of the lane is room for what the rest of it grows.
        if self.protocol.is_base64() { len / 4 + 2 * FrameHeader::MAX } else { 0 }
    }

    /// Makes `buffer[payload]` a message of `channel`.
    #[inline]
    pub(super) fn frame(
        &mut self,
        channel: Channel,
        buffer: &mut [u8],
        payload: Range<usize>,
    ) -> Option<usize> {
        let end = payload.end;
        let text = if self.protocol.is_base64() { base64::encode(buffer, payload)? } else { payload.start };
        let start = text.checked_sub(CHANNEL_BYTE)?;
        *buffer.get_mut(start)? = channel.to_wire(self.protocol);
        self.frame_message(buffer, start..end)
    }

    /// Makes `buffer[message]`, channel byte included, a WebSocket message.
    #[inline]
    pub(super) fn frame_message(&mut self, buffer: &mut [u8], message: Range<usize>) -> Option<usize> {
        let opcode = if self.protocol.is_base64() { Opcode::Text } else { Opcode::Binary };
        self.messages.frame(opcode, buffer, message)
    }

    /// How much of the input the receiver may see. Base64 is decoded in whole quanta, so a piece of a message
    /// that ends within one is left where it is until the rest has come.
    #[inline]
    fn readable(&self, input: &[u8]) -> usize {
        if !self.protocol.is_base64() {
            return input.len();
        }
        let channel = if self.message.is_none() { CHANNEL_BYTE } else { 0 };
        let (header, left) = match (self.messages.remaining(), FrameHeader::parse(input)) {
            (0, Ok(Some((header, size)))) => (size, header.len),
            (0, _) => return input.len(),
            (left, _) => (0, left),
        };
        let arrived = input.len() - header;
        if arrived as u64 >= left { input.len() } else { header + base64::whole_quanta(channel, arrived) }
    }

    #[inline]
    fn data(
        &mut self,
        input: &mut [u8],
        mut range: Range<usize>,
        first: bool,
        last: bool,
    ) -> Result<Option<Received>, LegError> {
        if first {
            self.message = None;
            self.padded = false;
        }
        let begins = self.message.is_none();
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
        Ok(Some(Received::Data { channel, range, begins, last }))
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
}
