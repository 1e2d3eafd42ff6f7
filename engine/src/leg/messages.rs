use core::ops::Range;

use super::{Close, LegError};
use crate::limits::Limits;
use crate::step::Step;
use crate::ws::{self, CloseCode, FrameHeader, Masking, Opcode};

/// Room for the answer to any frame and a Close, and for a heartbeat of this end's own: two empty masked frames.
pub(super) const OUTBOX: usize = ws::Sender::<276>::ANSWER + 2 * (2 + 4);

/// The header of most of a server's frames, those of 126 to 65,535 bytes.
const UNMASKED: usize = 4;

/// A WebSocket as every leg on one has it: messages in pieces; pings and the Close answered, in an outbox of `N` bytes.
#[derive(Debug)]
pub(super) struct Messages<M, const N: usize = OUTBOX> {
    receiver: ws::Receiver,
    sender: ws::Sender<N>,
    keys: M,
}

/// What came. Ranges are as in [`ws::Event`].
pub(super) enum Received {
    Data { opcode: Opcode, range: Range<usize>, first: bool, last: bool },
    Pong,
    End { clean: bool },
}

impl<M: Masking, const N: usize> Messages<M, N> {
    /// Text is not checked to be UTF-8: where it is taken at all its bytes may be any.
    pub(super) const fn new(limits: &Limits, keys: M) -> Self {
        Self {
            receiver: ws::Receiver::new(M::ROLE, limits).without_utf8_check(),
            sender: ws::Sender::new(M::ROLE),
            keys,
        }
    }

    #[inline]
    pub(super) fn receive(&mut self, input: &mut [u8]) -> Result<Step<Received>, LegError> {
        let Step { consumed, event } = self.receiver.receive(input)?;
        let event = match event {
            None => None,
            Some(ws::Event::Data { opcode, range, first, last }) => {
                Some(Received::Data { opcode, range, first, last })
            }
            Some(ws::Event::Pong { .. }) => Some(Received::Pong),
            Some(ws::Event::Ping { range }) => {
                let key = self.keys.draw();
                // `can_receive` was asked first, so the pong has its room.
                let _ = self.sender.pong(input.get(range).unwrap_or_default(), key);
                None
            }
            Some(ws::Event::Close { code, .. }) => {
                // RFC 6455 section 5.5.1: the answer carries the code that was received.
                self.close_with(code);
                Some(Received::End { clean: code == Some(CloseCode::NORMAL) })
            }
        };
        Ok(Step { consumed, event })
    }

    /// [`ws::Receiver::pass`].
    #[inline]
    pub(super) fn pass(
        &mut self,
        input: &mut [u8],
        lead: usize,
        begins: impl FnOnce(u8) -> bool,
    ) -> Option<Range<usize>> {
        self.receiver.pass(input, lead, begins)
    }

    #[inline]
    pub(super) fn can_receive(&self) -> bool {
        self.sender.can_answer()
    }

    /// Header bytes in front of the payload, where `input` begins with that of a data frame or with its header.
    #[inline]
    pub(super) fn lead(&self, input: &[u8]) -> Option<usize> {
        if self.receiver.lead() == 0 {
            return (!input.is_empty()).then_some(0);
        }
        match FrameHeader::parse(input) {
            Ok(Some((header, size))) if !header.opcode.is_control() => Some(size),
            _ => None,
        }
    }

    /// Header bytes that are sure to come before the next payload byte.
    pub(super) fn least_lead(&self) -> usize {
        self.receiver.lead()
    }

    /// Payload bytes of the current data frame that have not arrived; 0 between frames.
    #[inline]
    pub(super) fn remaining(&self) -> u64 {
        self.receiver.remaining()
    }

    /// Bytes of the header of a message of `len` bytes.
    #[inline]
    pub(super) fn header(&self, len: usize) -> usize {
        self.sender.data_header(Opcode::Binary, true, len as u64, [0; 4]).size()
    }

    /// Makes `buffer[message]` a message by writing its header right in front of it; returns where it starts.
    #[inline]
    pub(super) fn frame(
        &mut self,
        opcode: Opcode,
        buffer: &mut [u8],
        message: Range<usize>,
    ) -> Option<usize> {
        let key = self.keys.draw();
        let header = self.sender.data_header(opcode, true, message.len() as u64, key);
        let size = header.size();
        let start = message.start.checked_sub(size)?;
        if let Some(key) = header.mask {
            ws::mask(key, 0, buffer.get_mut(message)?);
        }
        let mut bytes = [0; FrameHeader::MAX];
        header.write(&mut bytes);
        let front = buffer.get_mut(start..)?;
        // Small machines have the loop alone.
        if cfg!(target_pointer_width = "64")
            && size == UNMASKED
            && let (Some(from), Some(to)) = (bytes.first_chunk(), front.first_chunk_mut::<UNMASKED>())
        {
            *to = *from;
            return Some(start);
        }
        for (to, from) in front.get_mut(..size)?.iter_mut().zip(bytes) {
            *to = from;
        }
        Some(start)
    }

    #[inline]
    pub(super) fn is_closing(&self) -> bool {
        self.sender.is_closing()
    }

    pub(super) fn ping(&mut self) {
        if !self.sender.outbox().is_empty() {
            return;
        }
        let keys = [self.keys.draw(), self.keys.draw()];
        let _ = self.sender.ping(&[], keys[0]);
        // A Go client counts nothing but pongs as signs of life, and its own ping may be stuck behind input that
        // nobody takes (`websocket-channels.md` section 7).
        let _ = self.sender.pong(&[], keys[1]);
    }

    pub(super) fn close(&mut self, reason: Close) {
        self.close_with(Some(reason.code()));
    }

    /// Queues a whole frame of [`frame`](Self::frame)'s, where [`can_receive`](Self::can_receive) left room for it.
    pub(super) fn push(&mut self, frame: &[u8]) {
        let _ = self.sender.outbox_mut().push(frame);
    }

    /// Bytes that can be [pushed](Self::push) and leave room for any answer.
    pub(super) fn room(&self) -> usize {
        self.sender.outbox().room().saturating_sub(ws::Sender::<N>::ANSWER)
    }

    #[inline]
    pub(super) fn pending(&self) -> &[u8] {
        self.sender.outbox().pending()
    }

    pub(super) fn sent(&mut self, count: usize) {
        self.sender.outbox_mut().sent(count);
    }

    fn close_with(&mut self, code: Option<CloseCode>) {
        let key = self.keys.draw();
        // The sender keeps room for one Close.
        let _ = self.sender.close(code, "", key);
    }
}
