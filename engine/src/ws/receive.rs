use super::frame::{FIN, LEN_16, MASK};
use super::{CloseCode, FrameHeader, Opcode, ProtocolError, Utf8Validator, close, mask};
use crate::{Limits, Role, Step};
use core::mem;
use core::ops::{ControlFlow, Range};

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
    /// No piece of the message was reported yet.
    first: bool,
    /// The current frame is the last of its message.
    fin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between messages.
    Idle,
    /// Such a message was begun and has not ended.
    Message(Opcode),
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
            phase: Phase::Idle,
            key: [0; 4],
            utf8: Utf8Validator::new(),
            role,
            check_utf8: true,
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

    /// Payload bytes of the current data frame that have not arrived; 0 between frames.
    #[inline]
    pub const fn remaining(&self) -> u64 {
        self.remaining
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
        if self.phase == Phase::Idle
            && let Some((opcode, range)) = self.whole_message(input, 0, |_| true)
        {
            return Ok(Step::event(range.end, Event::Data { opcode, range, first: true, last: true }));
        }
        let start = if self.remaining == 0 {
            match self.frame(input).map_err(|error| self.fail(error))? {
                ControlFlow::Continue(start) => start,
                ControlFlow::Break(step) => return Ok(step),
            }
        } else {
            0
        };
        self.payload(input, start)
    }

    /// Takes a message that is one frame off the front of `input`, as [`receive`](Self::receive) does, if it has at least `lead`
    /// bytes of header and a first byte that `begins` wants.
    #[inline]
    pub(crate) fn pass(
        &mut self,
        input: &mut [u8],
        lead: usize,
        begins: impl FnOnce(u8) -> bool,
    ) -> Option<Range<usize>> {
        if self.phase != Phase::Idle {
            return None;
        }
        self.whole_message(input, lead, begins).map(|(_, range)| range)
    }

    /// A message that is one frame of 1 to 65535 bytes, unmasked, if all of it is there and nothing is wrong with it. Most are
    /// such. Leaves everything else to the slower way, as it was.
    #[inline]
    fn whole_message(
        &self,
        input: &mut [u8],
        lead: usize,
        begins: impl FnOnce(u8) -> bool,
    ) -> Option<(Opcode, Range<usize>)> {
        let &mut [first, second, high, low, ..] = input else { return None };
        let opcode = match Opcode::from_wire(first ^ FIN)? {
            Opcode::Binary => Opcode::Binary,
            Opcode::Text if !self.check_utf8 => Opcode::Text,
            _ => return None,
        };
        let masked = self.role == Role::Server;
        // A mask bit that is not as it should be makes this too long.
        let (start, len) = match second ^ if masked { MASK } else { 0 } {
            len @ 1..LEN_16 => (2, u16::from(len)),
            LEN_16 => (4, u16::from_be_bytes([high, low])),
            _ => return None,
        };
        let is_shortest = start == 2 || len >= u16::from(LEN_16);
        if !is_shortest || u64::from(len) > self.max_len {
            return None;
        }
        let (key, start) = match input.get(start..)?.first_chunk() {
            Some(&key) if masked => (key, start + 4),
            None if masked => return None,
            _ => ([0; 4], start),
        };
        let end = start + usize::from(len);
        let message = input.get_mut(start..end)?;
        if start < lead || !begins(message.first()? ^ key[0]) {
            return None;
        }
        if masked {
            mask(key, 0, message);
        }
        Some((opcode, start..end))
    }

    /// At the beginning of a frame: goes on with the payload of a data frame at the index it answers,
    /// or has done all that can be done.
    #[inline]
    fn frame(&mut self, input: &mut [u8]) -> Result<ControlFlow<Step<Event>, usize>, ProtocolError> {
        let message = match self.phase {
            Phase::Idle => None,
            Phase::Message(opcode) => Some(opcode),
            Phase::Closed => return Ok(ControlFlow::Break(Step::skip(input.len()))),
            Phase::Failed(error) => return Err(error),
        };
        let Some((FrameHeader { fin, opcode, mask, len }, size)) = FrameHeader::parse(input)? else {
            return Ok(ControlFlow::Break(Step::NEED_MORE));
        };
        match (self.role, mask) {
            (Role::Server, None) => return Err(ProtocolError::Unmasked),
            (Role::Client, Some(_)) => return Err(ProtocolError::Masked),
            _ => {}
        }
        if len > self.max_len {
            return Err(ProtocolError::FrameTooLarge(len));
        }
        let key = mask.unwrap_or_default();
        match (opcode, message) {
            (Opcode::Text | Opcode::Binary, None) => {
                self.phase = Phase::Message(opcode);
                self.first = true;
            }
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(ProtocolError::UnfinishedMessage(opcode)),
            (Opcode::Continuation, Some(_)) => {}
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            // A control frame is no longer than 125 bytes.
            _ => return self.control(opcode, key, size, len as usize, input).map(ControlFlow::Break),
        }
        self.fin = fin;
        self.key = key;
        self.remaining = len;
        Ok(ControlFlow::Continue(size))
    }

    /// Takes what is there of a data frame's payload, which begins at `start`.
    #[inline]
    fn payload(&mut self, input: &mut [u8], start: usize) -> Result<Step<Event>, ProtocolError> {
        let arrived = input.get_mut(start..).unwrap_or_default();
        // At most `arrived.len()`, so it fits.
        let taken = self.remaining.min(arrived.len() as u64) as usize;
        let piece = arrived.get_mut(..taken).unwrap_or_default();
        self.remaining -= taken as u64;
        let last = self.fin && self.remaining == 0;
        if taken == 0 && !last {
            return Ok(Step::skip(start));
        }
        if self.role == Role::Server {
            mask(self.key, 0, piece);
            self.key = mask::rotate(self.key, taken);
        }
        let opcode = if let Phase::Message(opcode) = self.phase { opcode } else { Opcode::Binary };
        if opcode == Opcode::Text && self.check_utf8 {
            self.text(piece, last)?;
        }
        let first = mem::take(&mut self.first);
        if last {
            self.phase = Phase::Idle;
        }
        let end = start + taken;
        Ok(Step::event(end, Event::Data { opcode, range: start..end, first, last }))
    }

    /// Checks a piece of a text message.
    fn text(&mut self, piece: &[u8], last: bool) -> Result<(), ProtocolError> {
        let result = self.utf8.feed(piece).and_then(|()| if last { self.utf8.finish() } else { Ok(()) });
        result.map_err(|error| self.fail(error.into()))
    }

    /// Takes a control frame if all of it is there.
    fn control(
        &mut self,
        opcode: Opcode,
        key: [u8; 4],
        start: usize,
        len: usize,
        input: &mut [u8],
    ) -> Result<Step<Event>, ProtocolError> {
        let end = start + len;
        let Some(payload) = input.get_mut(start..end) else { return Ok(Step::NEED_MORE) };
        mask(key, 0, payload);
        let event = match opcode {
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

    #[cold]
    fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        self.phase = Phase::Failed(error);
        // The phase is looked at between frames.
        self.remaining = 0;
        error
    }
}

#[cfg(test)]
mod tests;
