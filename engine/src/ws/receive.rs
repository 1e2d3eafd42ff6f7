use super::{CloseCode, FrameHeader, InvalidUtf8, Opcode, ProtocolError, Utf8Validator, close, mask};
use crate::{Limits, Role, Step};
use core::ops::Range;

/// What a [`Receiver`] found. Ranges are indices into the slice given to [`Receiver::receive`], where
/// the bytes now lie unmasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A piece of a message. Pieces come as bytes arrive; they end neither at frames nor at characters.
    ///
    /// A message has exactly one piece that is `first` and one that is `last`. The piece is empty only
    /// if it is `last` and the message ended without further bytes.
    Data {
        /// [`Opcode::Text`] or [`Opcode::Binary`], as the message began.
        opcode: Opcode,
        /// The bytes.
        range: Range<usize>,
        /// The message begins here.
        first: bool,
        /// The message ends here.
        last: bool,
    },
    /// Must be answered with a pong of the same payload ([`Sender::pong`](super::Sender::pong)).
    Ping {
        /// The payload, at most 125 bytes.
        range: Range<usize>,
    },
    /// The peer answered a ping, or gives a sign of life.
    Pong {
        /// The payload, at most 125 bytes.
        range: Range<usize>,
    },
    /// The peer sends nothing more. Everything that is received after this is dropped.
    Close {
        /// Why, if the peer said so.
        code: Option<CloseCode>,
        /// More about it, in UTF-8, at most 123 bytes.
        reason: Range<usize>,
    },
}

/// The receiving half of a connection: finds frames, checks and unmasks them.
///
/// The buffer has to hold a whole control frame ([`CONTROL_FRAME_BYTES`](super::CONTROL_FRAME_BYTES)) or,
/// from a peer that sends only data, a header ([`FrameHeader::MAX`]).
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Payload bytes of the current data frame that have not arrived. Zero between frames.
    remaining: u64,
    max_len: u64,
    phase: Phase,
    /// Key of the current frame, rotated so that it begins with the byte for the next payload byte.
    key: [u8; 4],
    utf8: Utf8Validator,
    role: Role,
    /// False if text may be anything.
    check_utf8: bool,
    /// What the current message is, if one was begun and has not ended.
    message: Option<Opcode>,
    /// No piece of the message was reported yet.
    first: bool,
    /// The current frame is the last of its message.
    fin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// A Close frame was received.
    Closed,
    Failed(ProtocolError),
}

impl Receiver {
    /// A receiver that plays `role`: the server's demands masked frames, the client's unmasked ones.
    /// Of the limits it takes [`ws_frame_bytes`](Limits::ws_frame_bytes).
    pub const fn new(role: Role, limits: &Limits) -> Self {
        Self {
            remaining: 0,
            max_len: limits.ws_frame_bytes,
            phase: Phase::Open,
            key: [0; 4],
            utf8: Utf8Validator::new(),
            role,
            check_utf8: true,
            message: None,
            first: false,
            fin: false,
        }
    }

    /// Takes text messages as they come. RFC 6455 section 8.1 wants them to be UTF-8, but some
    /// subprotocols send arbitrary bytes as text. Reasons of Close frames are checked all the same.
    #[must_use]
    pub const fn without_utf8_check(mut self) -> Self {
        self.check_utf8 = false;
        self
    }

    /// Header bytes that are sure to come before the next payload byte: none within a frame.
    #[inline]
    pub const fn lead(&self) -> usize {
        match (self.remaining, self.role) {
            (0, Role::Server) => 6,
            (0, Role::Client) => 2,
            _ => 0,
        }
    }

    /// Reads at most one frame, or what is there of it, from the front of `input`, which is all that was
    /// received and not yet consumed.
    ///
    /// An error is final: every further call returns it again. Pieces of an invalid text that were
    /// reported before the error were valid.
    #[inline]
    pub fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, ProtocolError> {
        match self.phase {
            Phase::Open => {}
            Phase::Closed => return Ok(Step::skip(input.len())),
            Phase::Failed(error) => return Err(error),
        }
        let result = if self.remaining == 0 { self.frame(input) } else { self.payload(input, 0) };
        if let Err(error) = result {
            self.phase = Phase::Failed(error);
        }
        result
    }

    /// At the beginning of a frame.
    #[inline]
    fn frame(&mut self, input: &mut [u8]) -> Result<Step<Event>, ProtocolError> {
        let Some((header, size)) = FrameHeader::parse(input)? else { return Ok(Step::NEED_MORE) };
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(ProtocolError::Unmasked),
            (Role::Client, Some(_)) => return Err(ProtocolError::Masked),
            _ => {}
        }
        if header.len > self.max_len {
            return Err(ProtocolError::FrameTooLarge(header.len));
        }
        if header.opcode.is_control() {
            return self.control(header, size, input);
        }
        match (header.opcode, self.message) {
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Continuation, Some(_)) => {}
            (opcode, None) => {
                self.message = Some(opcode);
                self.first = true;
            }
            (opcode, Some(_)) => return Err(ProtocolError::UnfinishedMessage(opcode)),
        }
        self.fin = header.fin;
        self.key = header.mask.unwrap_or_default();
        self.remaining = header.len;
        self.payload(input, size)
    }

    /// Takes what is there of a data frame's payload, which begins at `start`.
    #[inline]
    fn payload(&mut self, input: &mut [u8], start: usize) -> Result<Step<Event>, ProtocolError> {
        let arrived = input.get_mut(start..).unwrap_or_default();
        // At most `arrived.len()`, so it fits.
        let taken = self.remaining.min(arrived.len() as u64) as usize;
        let piece = arrived.get_mut(..taken).unwrap_or_default();
        let last = self.fin && taken as u64 == self.remaining;
        if taken == 0 && !last {
            return Ok(Step::skip(start));
        }
        self.remaining -= taken as u64;
        if self.role == Role::Server {
            mask(self.key, 0, piece);
            self.key = mask::rotate(self.key, taken);
        }
        let opcode = self.message.unwrap_or(Opcode::Binary);
        if opcode == Opcode::Text && self.check_utf8 {
            self.check_text(piece, last)?;
        }
        let first = core::mem::take(&mut self.first);
        if last {
            self.message = None;
        }
        let end = start + taken;
        Ok(Step::event(end, Event::Data { opcode, range: start..end, first, last }))
    }

    fn check_text(&mut self, piece: &[u8], last: bool) -> Result<(), InvalidUtf8> {
        self.utf8.feed(piece)?;
        if last { self.utf8.finish() } else { Ok(()) }
    }

    /// Takes a control frame if all of it is there.
    fn control(
        &mut self,
        header: FrameHeader,
        start: usize,
        input: &mut [u8],
    ) -> Result<Step<Event>, ProtocolError> {
        let end = start + header.len as usize;
        let Some(payload) = input.get_mut(start..end) else { return Ok(Step::NEED_MORE) };
        mask(header.mask.unwrap_or_default(), 0, payload);
        let event = match header.opcode {
            Opcode::Ping => Event::Ping { range: start..end },
            Opcode::Pong => Event::Pong { range: start..end },
            _ => {
                let code = close::parse(payload)?;
                self.phase = Phase::Closed;
                let reason = end.min(start + close::CODE_BYTES);
                Event::Close { code, reason: reason..end }
            }
        };
        Ok(Step::event(end, event))
    }
}

#[cfg(test)]
mod tests;
