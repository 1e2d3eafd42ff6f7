use core::ops::Range;

use heapless::Vec;

use super::Carried;
use crate::k8s::{Channel, ChannelSet};
use crate::leg::{Framing, Payload};
use crate::shift::{rotate, shift};
use crate::spdy::frame::MAX_LENGTH;

/// Room in front of the first byte that is read, for the longest data header of any leg.
pub const HEADROOM: usize = 24;

/// Payloads of fewer bytes than this may be moved, so that many of them leave in one piece; payloads
/// of this size and more stay where they were read.
pub const SMALL: usize = 126;

/// The longest frame that ends a stream: a SPDY DATA header, or a masked v5 CLOSE message.
const END: usize = 8;

/// Most payload bytes that small frames are merged into; upstream's own writers stop at 32 KiB.
const MERGED: usize = 32 * 1024;

/// A payload whose length a WebSocket header tells in two bytes, with what legs put in front of it (a channel, a SPDY header). Where the input may be
/// longer, the six bytes more that its header might take are not waited for: they would be there only when the output has been written.
const SHORT: usize = 0xff00;

/// Most bytes that a lane holds for the end of its session.
const HELD: usize = 4096;

/// Bytes that are left for what passes meanwhile: data, in small pieces.
const PASSING: usize = 32;

/// True where payload takes the short way from leg to leg. It would cost the firmware 2.4 KB of flash and 9 % of its bulk input, for
/// which its small lanes hold few whole frames, and save 19 % of small frames.
const SHORT_WAY: bool = cfg!(target_pointer_width = "64");

/// The memory of a [`Lane`]: an array, a boxed slice, a pooled buffer.
pub trait Memory: AsRef<[u8]> + AsMut<[u8]> {}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Memory for B {}

/// One direction of a session: the bytes read from one socket, translated where they lie, until they
/// are written to the other.
///
/// ```text
/// 0         output (segments)            start     end              limit   len
/// |headroom | frame |gap| frame | frame |  input   |  space to read  | held |
/// ```
///
/// * Input is consumed from the front; the frame that a payload becomes is written over the header
///   that the payload came with, so the output always ends at or before the input's start.
/// * Large payloads stay in place, which leaves gaps: the output is a list of up to `S` segments for a
///   vectored write. Small payloads are moved against their predecessor, and merged with it if
///   they belong to the same channel.
/// * When all output is written and all input is consumed, reading starts again behind the headroom.
/// * A status that comes in front of the end of the output is held at the end of the memory until then.
///
/// `B` is the memory, which must be larger than
/// [`HEADROOM`] plus the longest control frame (139 bytes), and from 512 bytes on it holds any status that a
/// bridge itself writes, whatever the client speaks.
#[derive(Debug)]
pub struct Lane<B, const S: usize = 64> {
    buffer: B,
    headroom: usize,
    start: usize,
    end: usize,
    /// Bytes of the memory's end that are kept for the end of the session.
    held: usize,
    segments: Vec<Range<usize>, S>,
    /// Segments that are written already.
    done: usize,
    /// The frame whose header is not written yet because small payloads may still join it.
    open: Option<OpenFrame>,
    #[cfg(test)]
    pub(crate) moved: usize,
}

#[derive(Debug, Clone)]
struct OpenFrame {
    channel: Channel,
    payload: Range<usize>,
}

impl<B: Memory, const S: usize> Lane<B, S> {
    const HOLDS_TWO: () = assert!(S >= 2, "a frame and the half-close behind it are two segments");

    /// An empty lane over `buffer`, for all legs whose payload is as long on the wire as it is.
    pub const fn new(buffer: B) -> Self {
        Self::with_headroom(buffer, HEADROOM)
    }

    /// An empty lane over `buffer` whose output `leg` frames: a leg whose payload grows, as in base64, wants more
    /// room in front. Without it the payload passes in pieces as small as the room.
    pub fn to_leg<L: Framing>(buffer: B, leg: &L) -> Self {
        let len = buffer.as_ref().len();
        Self::with_headroom(buffer, HEADROOM.max(leg.headroom(len)))
    }

    const fn with_headroom(buffer: B, headroom: usize) -> Self {
        Self {
            buffer,
            headroom,
            start: headroom,
            end: headroom,
            held: 0,
            segments: Vec::new(),
            done: 0,
            open: None,
            #[cfg(test)]
            moved: 0,
        }
    }

    /// Where to put the next bytes that are read; empty if the output has to be written first.
    pub fn space(&mut self) -> &mut [u8] {
        self.settle();
        let limit = self.limit();
        self.buffer.as_mut().get_mut(self.end..limit).unwrap_or_default()
    }

    /// The first `count` bytes of [`space`](Self::space) were filled.
    pub fn received(&mut self, count: usize) {
        self.end = (self.end + count).min(self.limit());
    }

    /// Bytes received and not yet consumed.
    #[inline]
    pub fn input(&mut self) -> &mut [u8] {
        // No frame is made longer than the shortest length field of any leg can tell.
        let end = self.end.min(self.start.saturating_add(MAX_LENGTH as usize));
        self.buffer.as_mut().get_mut(self.start..end).unwrap_or_default()
    }

    /// The first `len` bytes of the [`input`](Self::input), at most.
    #[inline]
    pub(crate) fn input_part(&mut self, len: usize) -> &mut [u8] {
        let input = self.input();
        let len = len.min(input.len());
        input.get_mut(..len).unwrap_or_default()
    }

    /// [`input`](Self::input), to look at.
    #[inline]
    pub(crate) fn peek(&self) -> &[u8] {
        self.buffer.as_ref().get(self.start..self.end).unwrap_or_default()
    }

    /// Pieces of the output in the order in which they have to be written.
    pub fn output(&self) -> impl Iterator<Item = &[u8]> {
        let waiting = self.segments.get(self.done..).unwrap_or_default();
        waiting.iter().filter_map(|segment| self.buffer.as_ref().get(segment.clone()))
    }

    /// True if there is output to write.
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.segments.is_empty()
    }

    /// True if there are bytes that were received and not consumed.
    #[inline]
    pub const fn has_input(&self) -> bool {
        self.start < self.end
    }

    /// True if the lane holds nothing: its memory may serve another session.
    pub fn is_idle(&self) -> bool {
        !self.has_input() && !self.has_output() && self.held == 0
    }

    /// The memory, for another to use, while the lane [holds nothing](Self::is_idle). What is there when the lane is used
    /// again has to be as long.
    pub fn idle_buffer(&mut self) -> Option<&mut B> {
        self.is_idle().then_some(&mut self.buffer)
    }

    /// The memory, for the next user. Whatever it held is forgotten.
    pub fn into_buffer(self) -> B {
        self.buffer
    }

    /// The first `count` bytes of the output were written. Returns how many of them were not of the output.
    pub fn written(&mut self, mut count: usize) -> usize {
        while let Some(segment) = self.segments.get_mut(self.done) {
            let taken = count.min(segment.len());
            segment.start += taken;
            count -= taken;
            if segment.start < segment.end {
                return count;
            }
            self.done += 1;
        }
        self.segments.clear();
        self.done = 0;
        count
    }

    /// Forgets all input, for a side whose bytes mean nothing any more.
    pub fn discard_input(&mut self) {
        self.start = self.end;
    }

    /// Forgets all output, for a side that cannot be written to any more.
    pub fn discard_output(&mut self) {
        self.segments.clear();
        self.done = 0;
        self.open = None;
    }

    /// Where an application puts payload of its own, with room for a header in front; empty if the output has to
    /// be written first. Not for a lane that has input.
    pub fn payload_space(&mut self) -> &mut [u8] {
        self.settle();
        if self.has_output() {
            self.start = (self.floor() + self.headroom).min(self.limit());
            self.end = self.start;
        }
        self.space()
    }

    /// The first `count` bytes of [`payload_space`](Self::payload_space) were filled: they become a frame of
    /// `channel`, or, if there are none, with `fin` the end of its stream. False if the channel cannot be sent on, or
    /// if the output has to be written first.
    pub fn payload<L: Framing>(&mut self, leg: &mut L, channel: Channel, fin: bool, count: usize) -> bool {
        let start = self.end;
        let header = leg.header_max(count).max(if fin { END } else { 0 });
        if self.segments.len() >= S || start < self.floor() + header {
            return false;
        }
        self.received(count);
        self.start = self.end;
        self.frame(leg, channel, fin, start..self.end)
    }

    /// Ends a session on `leg`, as far as its protocol can tell: the streams of the output, the status that
    /// `status` writes, the error stream. `status` returns the length of what it wrote: 0 if this protocol has no
    /// word for a success, `None` if there was no room. False if the status could not be put into the output.
    pub fn end_session<L: Framing>(
        &mut self,
        leg: &mut L,
        status: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        self.end_session_held(leg, |room, _| status(room))
    }

    /// The same. `status` gets room at whose end lies what was [held](Self::hold), and how many bytes that is.
    pub(crate) fn end_session_held<L: Framing>(
        &mut self,
        leg: &mut L,
        status: impl FnOnce(&mut [u8], usize) -> Option<usize>,
    ) -> bool {
        for channel in [Channel::STDOUT, Channel::STDERR] {
            self.end_stream(leg, channel);
        }
        self.payload_space();
        let held = core::mem::take(&mut self.held);
        let is_told = match status(self.payload_space(), held) {
            None => false,
            Some(0) => true,
            Some(len) => self.payload(leg, Channel::ERROR, false, len),
        };
        self.end_stream(leg, Channel::ERROR);
        is_told
    }

    /// Half-closes a channel behind the output, if `leg` can.
    pub fn end_stream<L: Framing>(&mut self, leg: &mut L, channel: Channel) {
        if leg.can_half_close(channel) {
            self.payload_space();
            self.payload(leg, channel, true, 0);
        }
    }

    /// Takes `count` bytes off the input and returns where they began in the buffer.
    #[inline]
    pub fn consume(&mut self, count: usize) -> usize {
        let at = self.start;
        self.start = (self.start + count).min(self.end);
        at
    }

    /// Bytes that were consumed, for an event that is read and not passed on.
    pub(crate) fn consumed(&self, range: Range<usize>) -> &[u8] {
        self.buffer.as_ref().get(range).unwrap_or_default()
    }

    /// Keeps bytes that were consumed, behind those that are kept already. False if there is no room for them beside what
    /// passes meanwhile.
    pub(crate) fn hold(&mut self, range: Range<usize>) -> bool {
        let count = range.len();
        if count > self.room_to_hold() || range.end > self.start {
            return false;
        }
        let limit = self.limit();
        let free = limit.checked_sub(count).filter(|&free| free >= self.end);
        let bytes = self.buffer.as_mut();
        if let Some(free) = free {
            if let Some((front, back)) = bytes.split_at_mut_checked(free)
                && let (Some(piece), Some(place)) = (front.get(range.clone()), back.get_mut(..count))
            {
                for (to, from) in place.iter_mut().zip(piece) {
                    *to = *from;
                }
            }
        } else {
            // All that lies behind them moves forward.
            self.start -= count;
            self.end -= count;
        }
        let from = free.unwrap_or(range.start);
        rotate(bytes.get_mut(from..).unwrap_or_default(), count);
        self.held += count;
        true
    }

    /// Keeps what `write` writes, and returns the length of; nothing if that is `None`. For a lane that holds nothing and has no
    /// input.
    pub(crate) fn hold_written(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let room = self.room_to_hold();
        let space = self.payload_space();
        let room = space.get_mut(..room).unwrap_or_default();
        let Some(count) = write(room) else { return false };
        self.received(count);
        let at = self.consume(count);
        self.hold(at..at + count)
    }

    /// Gives up what is kept, if that is in the way of the rest of a frame which is needed whole. True if it was.
    pub(crate) fn release(&mut self) -> bool {
        let is_still = !self.has_output() && self.open.is_none();
        let is_in_the_way = self.held > 0 && is_still && self.space().is_empty();
        if is_in_the_way {
            self.held = 0;
        }
        is_in_the_way
    }

    /// What was kept so far.
    pub(crate) fn held(&self) -> &[u8] {
        self.buffer.as_ref().get(self.limit()..).unwrap_or_default()
    }

    fn room_to_hold(&self) -> usize {
        let most = self.buffer.as_ref().len().saturating_sub(self.headroom + PASSING);
        most.min(HELD).saturating_sub(self.held)
    }

    /// The first byte that is not for input.
    fn limit(&self) -> usize {
        self.buffer.as_ref().len().saturating_sub(self.held)
    }

    /// True if a payload that follows `lead` bytes of header in the input is sure to find room for the header
    /// that `leg` puts in front of it (also if more is merged into it), and segments for itself and for
    /// the half-close behind it.
    #[inline]
    pub(crate) fn has_room<L: Framing>(&self, lead: usize, leg: &L) -> bool {
        let () = Self::HOLDS_TWO;
        self.fits(lead, self.header_max(leg))
    }

    #[inline]
    fn fits(&self, lead: usize, header: usize) -> bool {
        self.start + lead >= self.floor() + header && self.segments.len() + 1 < S
    }

    /// Most that `leg` puts in front of what there is of the input, and of what it may be merged with.
    #[inline]
    fn header_max<L: Framing>(&self, leg: &L) -> usize {
        let most = MERGED.min(self.buffer.as_ref().len().saturating_sub(self.headroom));
        leg.header_max(self.end.saturating_sub(self.start).max(most))
    }

    /// Passes on what [may pass](Framing::pass) of `channels`, as far as there is room, and tells whether there was any.
    #[inline]
    pub(crate) fn pass<F: Framing, T: Framing>(
        &mut self,
        from: &mut F,
        to: &mut T,
        channels: ChannelSet,
        carried: &mut Carried,
    ) -> bool {
        if !SHORT_WAY {
            return false;
        }
        let (all, short) = (self.header_max(to), to.header_max(SHORT));
        let (header, window) = if all > short { (short, SHORT) } else { (all, MAX_LENGTH as usize) };
        let mut floor = self.floor();
        let mut passed = false;
        let mut is_full = self.segments.len() + 1 >= S;
        while !is_full {
            let (start, lead) = (self.start, (floor + header).saturating_sub(self.start));
            // Within the buffer, so nothing overflows.
            let end = self.end.min(start.wrapping_add(window));
            let Some(input) = self.buffer.as_mut().get_mut(start..end) else { break };
            let Some(Payload { channel, range }) = from.pass(input, lead, channels) else { break };
            let payload = start + range.start..start + range.end;
            self.start = payload.end;
            passed = true;
            carried.add(channel, payload.end.wrapping_sub(payload.start));
            if payload.is_empty() {
                continue;
            }
            if let Some(end) = self.merge(channel, &payload) {
                floor = end;
            } else {
                self.begin(to, channel, payload);
                floor = self.floor();
                is_full = self.segments.len() + 1 >= S;
            }
        }
        passed
    }

    /// How much of the input can be framed by `leg` although there is no room for all of it; `None` if the output
    /// has to be written first. So a lane that was not made for a leg whose payload grows is slow, and not stuck.
    #[cold]
    pub(crate) fn part_with_room<L: Framing>(&self, lead: usize, leg: &L) -> Option<usize> {
        if SHORT_WAY && self.fits(lead, leg.header_max(SHORT)) {
            return Some(SHORT);
        }
        if self.has_output() || self.open.is_some() {
            return None;
        }
        let mut len = self.end.saturating_sub(self.start);
        while len > 0 && self.start + lead < leg.header_max(len) {
            len /= 2;
        }
        Some(len)
    }

    /// Adds payload to the output, to be framed by `leg`. Returns false if the leg could not frame what
    /// was in the way, which [`has_room`](Self::has_room) excludes.
    #[inline]
    pub(crate) fn data<L: Framing>(&mut self, leg: &mut L, channel: Channel, payload: Range<usize>) -> bool {
        if payload.is_empty() {
            return true;
        }
        self.merge(channel, &payload).is_some() || self.begin(leg, channel, payload)
    }

    /// Adds payload to the output as the beginning of a frame. False as in [`data`](Self::data).
    #[inline]
    fn begin<L: Framing>(&mut self, leg: &mut L, channel: Channel, payload: Range<usize>) -> bool {
        let framed = self.close_frame(leg);
        if payload.len() >= SMALL {
            self.open = Some(OpenFrame { channel, payload });
            return framed;
        }
        let header = leg.header_max(MERGED.min(self.buffer.as_ref().len()));
        let at = payload.start.min(self.floor() + header);
        self.open = Some(OpenFrame { channel, payload: at..at + payload.len() });
        self.relocate(payload, at);
        framed
    }

    /// Adds a small payload to the frame that is kept open, if that is of the same channel. Says where that ends then.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "25 of 190 instructions that a small frame takes")]
    fn merge(&mut self, channel: Channel, payload: &Range<usize>) -> Option<usize> {
        let open = self.open.as_mut()?;
        let at = open.payload.end;
        let len = payload.end.wrapping_sub(payload.start);
        let end = at.wrapping_add(len);
        if len >= SMALL || open.channel != channel || end - open.payload.start > MERGED {
            return None;
        }
        open.payload.end = end;
        self.relocate(payload.clone(), at);
        Some(end)
    }

    /// True if there is room for a frame that ends a stream, behind all data.
    pub(crate) fn has_room_for_end<L: Framing>(&mut self, leg: &mut L) -> bool {
        self.close_frame(leg);
        self.start >= self.floor() + END && self.segments.len() < S
    }

    /// Adds the end of the channel's stream to the output, in order with its data. Ask for
    /// [room](Self::has_room_for_end) before.
    pub(crate) fn half_close<L: Framing>(&mut self, leg: &mut L, channel: Channel) -> bool {
        let framed = self.close_frame(leg);
        let end = self.start..self.start;
        framed && self.frame(leg, channel, true, end)
    }

    /// Writes the header of the frame that was kept open. Must follow the last [`data`](Self::data) before
    /// the output is written.
    #[inline]
    pub(crate) fn close_frame<L: Framing>(&mut self, leg: &mut L) -> bool {
        let Some(OpenFrame { channel, mut payload }) = self.open.take() else { return true };
        if payload.len() < SMALL
            && let Some(last) = self.segments.last()
        {
            // Now that its length is known: joined to what stands before it, it needs no segment.
            let at = payload.start.min(last.end + leg.header_max(payload.len()));
            let len = payload.len();
            self.relocate(payload, at);
            payload = at..at + len;
        }
        self.frame(leg, channel, false, payload)
    }

    fn frame<L: Framing>(&mut self, leg: &mut L, channel: Channel, fin: bool, payload: Range<usize>) -> bool {
        let end = payload.end;
        let Some(start) = leg.frame(channel, fin, self.buffer.as_mut(), payload) else { return false };
        if start == end {
            // The peer cannot be told.
            return true;
        }
        match self.segments.last_mut() {
            Some(last) if last.end == start => {
                last.end = end;
                true
            }
            _ => self.segments.push(start..end).is_ok(),
        }
    }

    /// First byte that no output occupies.
    #[inline]
    fn floor(&self) -> usize {
        match (&self.open, self.segments.last()) {
            (Some(open), _) => open.payload.end,
            (None, Some(last)) => last.end,
            (None, None) => 0,
        }
    }

    #[inline]
    fn relocate(&mut self, from: Range<usize>, to: usize) {
        if from.start == to {
            return;
        }
        #[cfg(test)]
        {
            self.moved += from.len();
        }
        shift(self.buffer.as_mut(), from, to);
    }

    /// Moves what is left of the input (a part of a header or of a control frame) to the front. More than
    /// that is input which waits for the other leg: it is left alone as long as there is space behind it.
    fn settle(&mut self) {
        if self.has_output() || self.start == self.headroom {
            return;
        }
        let left = self.start..self.end;
        if left.len() > SMALL + HEADROOM && self.end < self.limit() {
            return;
        }
        self.end = self.headroom + left.len();
        self.start = self.headroom;
        if !left.is_empty() {
            shift(self.buffer.as_mut(), left, self.headroom);
        }
    }
}

#[cfg(test)]
mod tests;
