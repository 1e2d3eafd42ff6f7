use core::ops::{DerefMut, Range};

use super::error::{ConnectionError, FrameError};
use super::frame::{self, FrameHeader, GoawayStatus, RstStatus, StreamId};
use super::header_block::{HeaderBlock, HeaderBlockError, HeaderRules};
use crate::{Limits, Role, Step};

/// What a peer sent. SETTINGS, `WINDOW_UPDATE` and frames of unknown types are skipped without an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer opens a stream; its headers are in [`Receiver::headers`].
    SynStream {
        /// Its id.
        stream: StreamId,
        /// The associated-to stream id, 0 in Kubernetes.
        associated: u32,
        /// The peer will send nothing on it.
        fin: bool,
        /// The peer expects nothing on it.
        unidirectional: bool,
    },
    /// The peer accepts a stream; its headers are in [`Receiver::headers`].
    SynReply {
        /// Which stream. Replies may come in another order than the streams were opened.
        stream: StreamId,
        /// The peer will send nothing on it.
        fin: bool,
    },
    /// More headers of a stream, in [`Receiver::headers`].
    Headers {
        /// Which stream.
        stream: StreamId,
        /// The peer will send no more on it.
        fin: bool,
    },
    /// Payload of a DATA frame, piece by piece as it arrives.
    Data {
        /// Which stream.
        stream: StreamId,
        /// Where the payload lies in the input. Empty only for an empty frame.
        range: Range<usize>,
        /// The peer will send no more on this stream: the last piece of a frame with `FLAG_FIN`.
        fin: bool,
        /// The frame ends here.
        last: bool,
    },
    /// The peer ended both halves of a stream.
    RstStream {
        /// Which stream.
        stream: StreamId,
        /// Why. Upstream takes every status as plain end-of-file.
        status: RstStatus,
    },
    /// The peer asks for the identical frame back.
    Ping {
        /// Its id, of the peer's parity.
        id: u32,
    },
    /// The peer answers a PING of ours.
    PingReply {
        /// Its id, of our parity.
        id: u32,
    },
    /// The peer accepts no more streams, and upstream reads nothing any more.
    GoAway {
        /// The highest of our streams that it accepted, if any.
        last_good: Option<StreamId>,
        /// Why.
        status: GoawayStatus,
    },
}

/// Reads the frames of one direction.
///
/// A DATA frame that lies in the input yields one event, and a larger one is passed on in pieces of
/// whatever size they arrive in. The input must be able to hold [`MIN_INPUT`] bytes, the longest part
/// of a frame that is taken in one piece; other than that frames, header blocks included,
/// may come in pieces of any size.
///
/// The version of control frames and unknown flags of DATA frames are not looked at, as upstream. The
/// length field of `RST_STREAM` and PING must be right, although upstream does not look at it.
#[derive(Debug)]
pub struct Receiver<B: HeaderBlocks> {
    state: State,
    /// Offset in the connection of the next frame header.
    next: u64,
    block_bytes: u32,
    headers: u32,
    role: Role,
    blocks: B,
}

/// Bytes that the input of a [`Receiver`] must be able to hold: the header and the fixed fields of a
/// `SYN_STREAM`.
pub const MIN_INPUT: usize = 18;

#[derive(Debug, Clone, Copy)]
enum State {
    /// At a frame header.
    Frame,
    /// In the payload of a DATA frame.
    Data { stream: StreamId, fin: bool, left: u32 },
    /// In the header block of a frame.
    Block { opener: Opener, left: u32 },
    /// In the payload of a frame that means nothing.
    Skip { left: u32 },
    /// Met a fatal error.
    Failed(ConnectionError),
}

/// What stands before a header block.
#[derive(Debug, Clone, Copy)]
struct Opener {
    kind: Opening,
    stream: StreamId,
    associated: u32,
    flags: u8,
    /// The length field.
    length: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    SynStream,
    SynReply,
    Headers,
}

impl<B: HeaderBlocks> Receiver<B> {
    /// The receiver of a new connection at the end `role`, with [`Limits::spdy_block_bytes`] and
    /// [`Limits::spdy_headers`].
    pub fn new(role: Role, limits: &Limits, blocks: B) -> Self {
        Self {
            state: State::Frame,
            next: 0,
            block_bytes: u32::try_from(limits.spdy_block_bytes).unwrap_or(u32::MAX),
            headers: u32::try_from(limits.spdy_headers).unwrap_or(u32::MAX),
            role,
            blocks,
        }
    }

    /// Takes the next part of the input. See [`Step`].
    ///
    /// After an error every call returns the same error.
    #[inline]
    pub fn receive(&mut self, input: &[u8]) -> Result<Step<Event>, ConnectionError> {
        match self.state {
            State::Frame => {
                let Some((header, payload)) = input.split_first_chunk() else { return Ok(Step::NEED_MORE) };
                match FrameHeader::parse(header) {
                    FrameHeader::Data { stream, fin, length } => {
                        let Some(stream) = StreamId::new(stream) else {
                            return self.fail(FrameError::StreamId { id: stream });
                        };
                        self.count(length);
                        Ok(self.data(stream, fin, length, frame::DATA_HEADER, payload.len()))
                    }
                    FrameHeader::Control { kind, flags, length } => {
                        self.control(kind, flags, length, payload)
                    }
                }
            }
            State::Data { stream, fin, left } => Ok(self.data(stream, fin, left, 0, input.len())),
            State::Block { .. } | State::Skip { .. } | State::Failed(_) => self.proceed(input),
        }
    }

    /// Takes a piece of a DATA frame of `stream` off the front of `input`, as [`receive`](Self::receive) does, if it has at least
    /// `lead` bytes of header and no flags.
    #[inline]
    pub(crate) fn pass(&mut self, input: &[u8], stream: StreamId, lead: usize) -> Option<Range<usize>> {
        if let State::Frame = self.state {
            let (header, payload) = input.split_first_chunk()?;
            // Control bit, stream, flags and length: all but the length is known.
            let header = u64::from_be_bytes(*header);
            let left = header & u64::from(frame::MAX_LENGTH);
            if header >> 24 != u64::from(stream.get()) << 8 || left == 0 || frame::DATA_HEADER < lead {
                return None;
            }
            // Of 24 bits.
            self.count(left as u32);
            let mut piece = left as usize;
            if payload.len() < piece {
                piece = payload.len();
                self.state = State::Data { stream, fin: false, left: left as u32 - piece as u32 };
            }
            return Some(frame::DATA_HEADER..frame::DATA_HEADER + piece);
        }
        self.pass_more(input, stream, lead)
    }

    /// The same within a frame. Apart, because there are small frames by the hundred in a read, and this once.
    #[cold]
    #[inline(never)]
    fn pass_more(&mut self, input: &[u8], stream: StreamId, lead: usize) -> Option<Range<usize>> {
        let State::Data { stream: current, fin: false, left } = self.state else { return None };
        if current != stream || left == 0 || input.is_empty() || lead > 0 {
            return None;
        }
        let piece = input.len().min(left as usize);
        let left = left - piece as u32;
        self.state = if left == 0 { State::Frame } else { State::Data { stream, fin: false, left } };
        Some(0..piece)
    }

    /// Header bytes that are sure to come before the next payload byte: none within a DATA frame. `None` within a
    /// frame that has no payload.
    #[inline]
    pub const fn lead(&self) -> Option<usize> {
        match self.state {
            State::Frame => Some(frame::DATA_HEADER),
            State::Data { .. } => Some(0),
            State::Block { .. } | State::Skip { .. } | State::Failed(_) => None,
        }
    }

    /// The headers of the `SynStream`, `SynReply` or `Headers` event that [`receive`](Self::receive) has
    /// just returned; empty if the blocks are skipped.
    pub fn headers(&self) -> HeaderBlock<'_> {
        self.blocks.headers()
    }

    /// The reader of header blocks, for example to take it out of a [`LentBlocks`].
    pub const fn blocks_mut(&mut self) -> &mut B {
        &mut self.blocks
    }

    /// DATA payload: `available` bytes of it lie in the input from `start` on.
    #[inline]
    fn data(
        &mut self,
        stream: StreamId,
        fin: bool,
        left: u32,
        start: usize,
        available: usize,
    ) -> Step<Event> {
        let piece = u32::try_from(available).unwrap_or(u32::MAX).min(left);
        let left = left - piece;
        let last = left == 0;
        self.state = if last { State::Frame } else { State::Data { stream, fin, left } };
        if piece == 0 && !last {
            return Step::skip(start);
        }
        let end = start.wrapping_add(piece as usize);
        Step::event(end, Event::Data { stream, range: start..end, fin: fin && last, last })
    }

    /// A control frame, as soon as all fields of fixed length are there. `payload` follows the header.
    #[cold]
    #[inline(never)]
    fn control(
        &mut self,
        kind: u16,
        flags: u8,
        length: u32,
        payload: &[u8],
    ) -> Result<Step<Event>, ConnectionError> {
        match self.parse_control(kind, flags, length, payload) {
            Err(error) => self.fail(error),
            Ok(None) => Ok(Step::NEED_MORE),
            Ok(Some(Control::Skip { taken })) => {
                self.count(length);
                self.skip(
                    length - taken,
                    frame::DATA_HEADER + taken as usize,
                    payload.len().saturating_sub(taken as usize),
                )
            }
            Ok(Some(Control::Event(event))) => {
                self.count(length);
                Ok(Step::event(frame::DATA_HEADER + length as usize, event))
            }
            Ok(Some(Control::Block { opener, taken })) => {
                self.count(length);
                self.blocks.begin();
                let block = payload.get(taken as usize..).unwrap_or_default();
                self.block(opener, length - taken, frame::DATA_HEADER + taken as usize, block)
            }
        }
    }

    /// The frame at `next` is accepted.
    #[inline]
    fn count(&mut self, length: u32) {
        self.next = self.next.wrapping_add(frame::DATA_HEADER as u64 + u64::from(length));
    }

    fn parse_control(
        &self,
        kind: u16,
        flags: u8,
        length: u32,
        payload: &[u8],
    ) -> Result<Option<Control>, FrameError> {
        let exactly =
            |expected| if length == expected { Ok(()) } else { Err(FrameError::Length { kind, length }) };
        let no_flags = || if flags == 0 { Ok(()) } else { Err(FrameError::Flags { kind, flags }) };
        match kind {
            frame::SYN_STREAM | frame::SYN_REPLY | frame::HEADERS => {
                self.parse_opener(kind, flags, length, payload)
            }
            frame::RST_STREAM => {
                exactly(8)?;
                let Some([stream, status]) = words(payload) else { return Ok(None) };
                let stream = StreamId::new(stream).ok_or(FrameError::StreamId { id: stream })?;
                if status == 0 {
                    return Err(FrameError::RstStatusZero { stream });
                }
                Ok(Some(Control::Event(Event::RstStream { stream, status: RstStatus(status) })))
            }
            frame::SETTINGS => {
                let entries = length.checked_sub(4).ok_or(FrameError::Length { kind, length })? / 8;
                let Some([count]) = words(payload) else { return Ok(None) };
                if count > entries {
                    return Err(FrameError::SettingsCount { count, length });
                }
                Ok(Some(Control::Skip { taken: 4 }))
            }
            frame::PING => {
                exactly(4)?;
                no_flags()?;
                let Some([id]) = words(payload) else { return Ok(None) };
                let ours = match self.role {
                    Role::Client => id % 2 == 1,
                    Role::Server => id.is_multiple_of(2),
                };
                match id {
                    0 => Err(FrameError::PingIdZero),
                    _ if ours => Ok(Some(Control::Event(Event::PingReply { id }))),
                    _ => Ok(Some(Control::Event(Event::Ping { id }))),
                }
            }
            frame::GOAWAY => {
                exactly(8)?;
                no_flags()?;
                let Some([last_good, status]) = words(payload) else { return Ok(None) };
                let last_good = StreamId::new(last_good & StreamId::MAX.get());
                Ok(Some(Control::Event(Event::GoAway { last_good, status: GoawayStatus(status) })))
            }
            frame::WINDOW_UPDATE => {
                // Stream 0 is allowed: it means the connection in SPDY/3.1 (draft section 2.6.8).
                exactly(8)?;
                no_flags()?;
                Ok(Some(Control::Skip { taken: 0 }))
            }
            // NOOP and CREDENTIAL of older drafts, and what may come: upstream closes, the drafts say to ignore it.
            _ => Ok(Some(Control::Skip { taken: 0 })),
        }
    }

    fn parse_opener(
        &self,
        kind: u16,
        flags: u8,
        length: u32,
        payload: &[u8],
    ) -> Result<Option<Control>, FrameError> {
        let (opening, fixed) = match kind {
            frame::SYN_STREAM => (Opening::SynStream, 10),
            frame::SYN_REPLY => (Opening::SynReply, 4),
            _ => (Opening::Headers, 4),
        };
        let block = length.checked_sub(fixed).ok_or(FrameError::Length { kind, length })?;
        if block > self.block_bytes {
            let error = HeaderBlockError::CompressedTooLong { length: block, limit: self.block_bytes };
            return Err(FrameError::HeaderBlock(error));
        }
        let Some(fields) = payload.get(..fixed as usize) else { return Ok(None) };
        let [stream] = words(fields).unwrap_or_default();
        let stream = StreamId::new(stream).ok_or(FrameError::StreamId { id: stream })?;
        let [_, associated] = words(fields).unwrap_or_default();
        let opener = Opener { kind: opening, stream, associated, flags, length };
        Ok(Some(Control::Block { opener, taken: fixed }))
    }

    /// Goes on in a frame that is neither at its header nor DATA.
    #[cold]
    #[inline(never)]
    fn proceed(&mut self, input: &[u8]) -> Result<Step<Event>, ConnectionError> {
        match self.state {
            State::Block { opener, left } => self.block(opener, left, 0, input),
            State::Skip { left } => self.skip(left, 0, input.len()),
            State::Failed(error) => Err(error),
            State::Frame | State::Data { .. } => Ok(Step::NEED_MORE),
        }
    }

    /// `input` begins with the next bytes of a block of which `left` bytes are to come; `start` bytes before
    /// it were consumed.
    fn block(
        &mut self,
        opener: Opener,
        left: u32,
        start: usize,
        input: &[u8],
    ) -> Result<Step<Event>, ConnectionError> {
        let piece = u32::try_from(input.len()).unwrap_or(u32::MAX).min(left);
        if let Err(error) = self.blocks.feed(input.get(..piece as usize).unwrap_or_default()) {
            return self.fail_block(opener, error);
        }
        let consumed = start.wrapping_add(piece as usize);
        let left = left - piece;
        if left > 0 {
            self.state = State::Block { opener, left };
            return Ok(Step::skip(consumed));
        }
        let forbid_host = opener.kind == Opening::SynStream;
        if let Err(error) = self.blocks.end(HeaderRules { headers: self.headers, forbid_host }) {
            return self.fail_block(opener, error);
        }
        self.state = State::Frame;
        Ok(Step::event(consumed, opener.event()))
    }

    #[expect(clippy::unnecessary_wraps, reason = "the type of its callers")]
    fn skip(&mut self, left: u32, start: usize, available: usize) -> Result<Step<Event>, ConnectionError> {
        let piece = u32::try_from(available).unwrap_or(u32::MAX).min(left);
        let left = left - piece;
        self.state = if left == 0 { State::Frame } else { State::Skip { left } };
        Ok(Step::skip(start.wrapping_add(piece as usize)))
    }

    #[cold]
    fn fail(&mut self, error: FrameError) -> Result<Step<Event>, ConnectionError> {
        let error = ConnectionError { frame: self.next, error };
        self.state = State::Failed(error);
        Err(error)
    }

    /// An error behind the frame's header, which [`count`](Self::count) has passed already.
    #[cold]
    fn fail_block(
        &mut self,
        opener: Opener,
        error: HeaderBlockError,
    ) -> Result<Step<Event>, ConnectionError> {
        self.next = self.next.wrapping_sub(frame::DATA_HEADER as u64 + u64::from(opener.length));
        self.fail(FrameError::HeaderBlock(error))
    }
}

/// A control frame whose fixed fields are there; `taken` of its payload are behind us.
enum Control {
    Event(Event),
    Block { opener: Opener, taken: u32 },
    Skip { taken: u32 },
}

impl Opener {
    const fn event(self) -> Event {
        let Self { kind, stream, associated, flags, .. } = self;
        let fin = flags & frame::FLAG_FIN != 0;
        match kind {
            Opening::SynStream => {
                let unidirectional = flags & frame::FLAG_UNIDIRECTIONAL != 0;
                Event::SynStream { stream, associated, fin, unidirectional }
            }
            Opening::SynReply => Event::SynReply { stream, fin },
            Opening::Headers => Event::Headers { stream, fin },
        }
    }
}

/// The first `N` words of the payload, if they are all there.
fn words<const N: usize>(payload: &[u8]) -> Option<[u32; N]> {
    let mut words = [0; N];
    let (chunks, _) = payload.as_chunks();
    if chunks.len() < N {
        return None;
    }
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u32::from_be_bytes(*chunk);
    }
    Some(words)
}

/// Reads the header blocks of one direction, or does not.
///
/// Implemented by [`Inflate`](super::Inflate), [`SkipBlocks`] and [`LentBlocks`]. A reader that missed a block
/// can never read again, because the blocks of a direction are one compressed stream.
pub trait HeaderBlocks {
    /// A frame with a header block begins.
    fn begin(&mut self);
    /// The next compressed bytes of the block, in pieces of any length.
    fn feed(&mut self, compressed: &[u8]) -> Result<(), HeaderBlockError>;
    /// The block was fed completely.
    fn end(&mut self, rules: HeaderRules) -> Result<(), HeaderBlockError>;
    /// The headers of the last block that ended well.
    fn headers(&self) -> HeaderBlock<'_>;
}

/// Skips all header blocks unread, in no memory. For SPDY clients: a `SYN_REPLY` says all that it has to
/// say by its stream id.
#[derive(Debug, Clone, Copy, Default)]
pub struct SkipBlocks;

impl HeaderBlocks for SkipBlocks {
    fn begin(&mut self) {}

    fn feed(&mut self, _: &[u8]) -> Result<(), HeaderBlockError> {
        Ok(())
    }

    fn end(&mut self, _: HeaderRules) -> Result<(), HeaderBlockError> {
        Ok(())
    }

    fn headers(&self) -> HeaderBlock<'_> {
        HeaderBlock::default()
    }
}

/// Reads header blocks with a reader that is borrowed from a pool or boxed, for as long as it is there:
/// from `None` on, blocks are skipped. For SPDY servers, which need no reader once all streams are open.
#[derive(Debug, Clone, Copy, Default)]
pub struct LentBlocks<P>(pub Option<P>);

impl<P: DerefMut<Target: HeaderBlocks>> HeaderBlocks for LentBlocks<P> {
    fn begin(&mut self) {
        if let Some(blocks) = self.0.as_deref_mut() {
            blocks.begin();
        }
    }

    fn feed(&mut self, compressed: &[u8]) -> Result<(), HeaderBlockError> {
        self.0.as_deref_mut().map_or(Ok(()), |blocks| blocks.feed(compressed))
    }

    fn end(&mut self, rules: HeaderRules) -> Result<(), HeaderBlockError> {
        self.0.as_deref_mut().map_or(Ok(()), |blocks| blocks.end(rules))
    }

    fn headers(&self) -> HeaderBlock<'_> {
        self.0.as_deref().map_or_else(HeaderBlock::default, HeaderBlocks::headers)
    }
}

#[cfg(test)]
mod tests;
