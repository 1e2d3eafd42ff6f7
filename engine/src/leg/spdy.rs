use core::ops::Range;

use super::{Close, Event, Framing, Leg, LegError, Payload};
use crate::k8s::{Channel, ChannelSet, ResizeParser, StreamSet, Subprotocol, TerminalSize};
use crate::limits::Limits;
use crate::outbox::Outbox;
use crate::spdy::{
    self, DataVerdict, GoawayStatus, HeaderBlocks, HeaderWriter, RstStatus, SkipBlocks, StreamId, Streams,
    frame, frame::DATA_HEADER,
};
use crate::step::{Role, Step};

/// Channels of a RemoteCommand session, which are the streams of its connection.
const CHANNELS: usize = 5;

/// Of which a session has so many at most: a terminal has no stderr of its own, and only it has sizes.
const OPEN: usize = 4;

/// The longest answer to one received frame: the first `SYN_REPLY` of a connection.
const ANSWER: usize = 32;

/// What closing the connection takes: a reset for each stream, and a GOAWAY.
const CLOSING: usize = 16 * OPEN + 16;

/// The bit of a frame's first byte that tells control frames from DATA.
const CONTROL: u8 = 0x80;

/// The longest `SYN_STREAM`, and what the first one has in front of its block.
const SYN_STREAM: usize = 56;
const ZLIB_HEADER: usize = 6;

/// All `SYN_STREAM`s of a session, the answer to a frame and the close.
const OUTBOX: usize = ZLIB_HEADER + OPEN * SYN_STREAM + ANSWER + CLOSING;

/// RemoteCommand over SPDY/3.1: one stream a channel, named by its header `streamtype`
/// (`remotecommand.md` section 1).
///
/// ```text
/// client                                  server
/// SYN_STREAM 1 error, 3 stdin, 5 stdout   SYN_REPLY 1, 3, 5
/// DATA 3 ... FIN                          DATA 5 ... FIN, DATA 1 status
/// RST_STREAM, GOAWAY                      RST_STREAM, GOAWAY
/// ```
///
/// `B` reads the header blocks: a client skips them ([`SkipBlocks`]), a server inflates them.
#[derive(Debug)]
pub struct SpdyLeg<B: HeaderBlocks> {
    receiver: spdy::Receiver<B>,
    protocol: Subprotocol,
    streams: Streams<CHANNELS>,
    /// The stream of each channel, by channel number.
    ids: [Option<StreamId>; CHANNELS],
    /// Channels whose stream the session needs and that are not open yet.
    awaited: ChannelSet,
    headers: HeaderWriter,
    outbox: Outbox<OUTBOX>,
    /// What data came for last, with nothing but data behind it: it may [`pass`](Framing::pass).
    flowing: Option<(StreamId, Channel)>,
    /// The frame that was received last has ended the peer's half of this channel, too.
    ended: Option<Channel>,
    resize: ResizeParser,
    /// The newest size that found no room in the outbox.
    next_size: Option<TerminalSize>,
    next_ping: u32,
    /// No size follows: the half-close of their stream waits for room in the outbox.
    sizes_end: bool,
    closed: bool,
}

impl SpdyLeg<SkipBlocks> {
    /// The client's end: queues the opening of all `streams` at once, so that they leave in one write.
    pub fn client(streams: StreamSet, protocol: Subprotocol, limits: &Limits) -> Self {
        let mut leg = Self::new(Role::Client, streams, protocol, limits, SkipBlocks);
        for channel in streams.channels(protocol) {
            leg.open(channel);
        }
        leg
    }

    fn open(&mut self, channel: Channel) {
        let (Some(name), Ok(id)) = (channel.stream_type(), self.streams.open()) else { return };
        let mut frame = [0; 64];
        let written = self.headers.syn_stream(id, false, &[("streamtype", name)], &mut frame);
        if let (Ok(len), Some(slot)) = (written, self.ids.get_mut(usize::from(channel.number()))) {
            // The outbox of a new leg has room for all of a session.
            let _ = self.outbox.push(frame.get(..len).unwrap_or_default());
            *slot = Some(id);
        }
    }
}

impl<B: HeaderBlocks> SpdyLeg<B> {
    /// The server's end, which accepts exactly `streams` and resets all others. `blocks` inflates the
    /// headers of the streams.
    pub fn server(streams: StreamSet, protocol: Subprotocol, limits: &Limits, blocks: B) -> Self {
        Self::new(Role::Server, streams, protocol, limits, blocks)
    }

    /// The reader of header blocks. Once the leg [is ready](Leg::is_ready) no header is needed any more: a
    /// server may put a reader in its place that skips them.
    pub const fn blocks_mut(&mut self) -> &mut B {
        self.receiver.blocks_mut()
    }

    /// Ends both directions of a channel, as `status`. Does nothing if its stream is not open.
    pub fn reset(&mut self, channel: Channel, status: RstStatus) {
        self.flowing = None;
        if let Some(id) = self.id(channel)
            && self.streams.reset(id).is_some_and(|state| state.local_open)
        {
            // There is room for a reset of each stream, always: see `can_receive`.
            let _ = self.outbox.push(&frame::rst_stream(id, status));
        }
    }

    fn new(role: Role, streams: StreamSet, protocol: Subprotocol, limits: &Limits, blocks: B) -> Self {
        let awaited = streams.channel_set(protocol);
        Self {
            receiver: spdy::Receiver::new(role, limits, blocks),
            protocol,
            streams: Streams::new(role),
            ids: [None; CHANNELS],
            awaited,
            headers: HeaderWriter::new(),
            outbox: Outbox::new(),
            flowing: None,
            ended: None,
            resize: ResizeParser::new(),
            next_size: None,
            next_ping: match role {
                Role::Client => 1,
                Role::Server => 2,
            },
            sizes_end: false,
            closed: false,
        }
    }

    fn id(&self, channel: Channel) -> Option<StreamId> {
        self.ids.get(usize::from(channel.number())).copied().flatten()
    }

    #[inline]
    fn channel(&self, id: StreamId) -> Option<Channel> {
        let number = self.ids.iter().position(|slot| *slot == Some(id))?;
        Some(Channel::new(number as u8))
    }

    fn data(&mut self, input: &[u8], id: StreamId, range: Range<usize>, fin: bool) -> Option<Event> {
        if self.streams.receives(id) != DataVerdict::Deliver {
            return None;
        }
        let channel = self.channel(id)?;
        let event = match channel {
            _ if range.is_empty() => None,
            Channel::RESIZE => input.get(range).and_then(|json| self.resize.feed(json)).map(Event::Resize),
            _ => {
                self.flowing = (!fin).then_some((id, channel));
                Some(Event::Data { channel, range })
            }
        };
        self.then_half_closed(event, channel, id, fin)
    }

    /// `event`, and after it the end of the peer's half if the frame had FIN.
    fn then_half_closed(
        &mut self,
        event: Option<Event>,
        channel: Channel,
        id: StreamId,
        fin: bool,
    ) -> Option<Event> {
        let ended = (fin && self.streams.remote_fin(id)).then_some(channel);
        if event.is_none() {
            return ended.map(Event::HalfClosed);
        }
        self.ended = ended;
        event
    }

    fn peer_opens(&mut self, id: StreamId, fin: bool) -> Option<Event> {
        if let Err(refusal) = self.streams.peer_opened(id) {
            if let Some(status) = refusal.rst_status() {
                let _ = self.outbox.push(&frame::rst_stream(id, status));
            }
            return None;
        }
        let wanted = self.receiver.headers().get("streamtype").and_then(Channel::from_stream_type);
        let wanted = wanted.filter(|&channel| self.awaited.contains(channel));
        let Some(channel) = wanted else {
            // Kubernetes rejects streams with CANCEL (`spdy31.md` section 2).
            self.streams.reset(id);
            let _ = self.outbox.push(&frame::rst_stream(id, RstStatus::CANCEL));
            return None;
        };
        self.awaited.remove(channel);
        if let Some(slot) = self.ids.get_mut(usize::from(channel.number())) {
            *slot = Some(id);
        }
        let mut reply = [0; ANSWER];
        if let Ok(len) = self.headers.syn_reply(id, &mut reply) {
            let _ = self.outbox.push(reply.get(..len).unwrap_or_default());
            self.streams.replied(id);
        }
        self.then_half_closed(Some(Event::Opened(channel)), channel, id, fin)
    }

    fn peer_accepts(&mut self, id: StreamId, fin: bool) -> Option<Event> {
        let channel = self.channel(id)?;
        if !self.streams.replied(id) {
            return None;
        }
        self.awaited.remove(channel);
        self.then_half_closed(Some(Event::Accepted(channel)), channel, id, fin)
    }

    fn peer_resets(&mut self, id: StreamId, status: RstStatus) -> Option<Event> {
        let channel = self.channel(id)?;
        self.streams.reset(id)?;
        self.awaited.remove(channel);
        if self.protocol == Subprotocol::V1 && channel == Channel::ERROR {
            // Servers of v1 do so as soon as all streams are open: it ends nothing (`remotecommand.md` section 1).
            return None;
        }
        Some(Event::Reset(channel, status))
    }

    /// Queues the size that waits, and the end of sizes behind it, as far as there is room.
    fn push_size(&mut self) {
        let Some(id) = self.id(Channel::RESIZE) else { return };
        // Nothing follows a GOAWAY.
        if self.closed {
            return;
        }
        let open = self.streams.get(id).is_some_and(|state| state.local_open);
        let mut frame = [0; DATA_HEADER + TerminalSize::MAX_WRITTEN];
        let (header, payload) = frame.split_at_mut(DATA_HEADER);
        let len = match self.next_size {
            Some(size) => size.write(payload).unwrap_or(0),
            None => 0,
        };
        let fin = self.sizes_end;
        if !open || (len == 0 && !fin) || self.outbox.room() < DATA_HEADER + len + ANSWER + CLOSING {
            return;
        }
        header.copy_from_slice(&frame::data_header(id, fin, len as u32));
        let _ = self.outbox.push(frame.get(..DATA_HEADER + len).unwrap_or_default());
        self.next_size = None;
        if fin {
            self.streams.local_fin(id);
        }
    }
}

impl<B: HeaderBlocks> Framing for SpdyLeg<B> {
    #[inline]
    fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, LegError> {
        if let Some(channel) = self.ended {
            self.ended = None;
            return Ok(Step::event(0, Event::HalfClosed(channel)));
        }
        if !self.can_receive() {
            return Ok(Step::NEED_MORE);
        }
        let Step { consumed, event } = self.receiver.receive(input)?;
        let Some(event) = event else { return Ok(Step::skip(consumed)) };
        self.flowing = None;
        let event = match event {
            spdy::Event::Data { stream, range, fin, .. } => self.data(input, stream, range, fin),
            spdy::Event::SynStream { stream, fin, .. } => self.peer_opens(stream, fin),
            spdy::Event::SynReply { stream, fin } => self.peer_accepts(stream, fin),
            spdy::Event::Headers { stream, fin } => {
                self.channel(stream).and_then(|channel| self.then_half_closed(None, channel, stream, fin))
            }
            spdy::Event::RstStream { stream, status } => self.peer_resets(stream, status),
            // Nothing follows our GOAWAY.
            spdy::Event::Ping { .. } if self.closed => None,
            spdy::Event::Ping { id } => {
                let _ = self.outbox.push(&frame::ping(id));
                None
            }
            // An answer to an earlier one says nothing of what was sent since.
            spdy::Event::PingReply { id } => (id.wrapping_add(2) == self.next_ping).then_some(Event::Pong),
            spdy::Event::GoAway { status, .. } => {
                self.streams.going_away();
                Some(Event::End { clean: status == GoawayStatus::OK })
            }
        };
        Ok(Step { consumed, event })
    }

    #[inline]
    fn pass(&mut self, input: &mut [u8], lead: usize, channels: ChannelSet) -> Option<Payload> {
        let (stream, channel) = self.flowing.filter(|&(_, channel)| channels.contains(channel))?;
        let range = self.receiver.pass(input, stream, lead)?;
        Some(Payload { channel, range })
    }

    #[inline]
    fn can_receive(&self) -> bool {
        self.outbox.room() >= ANSWER + CLOSING
    }

    #[inline]
    fn lead(&self, input: &[u8]) -> Option<usize> {
        match (self.receiver.lead()?, input.first_chunk::<DATA_HEADER>()) {
            (0, _) => (!input.is_empty()).then_some(0),
            (lead, Some([first, ..])) if first & CONTROL == 0 => Some(lead),
            _ => None,
        }
    }

    #[inline]
    fn header_max(&self, _len: usize) -> usize {
        DATA_HEADER
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
        let id = self.id(channel)?;
        let start = payload.start.checked_sub(DATA_HEADER)?;
        let header = buffer.get_mut(start..)?.first_chunk_mut::<DATA_HEADER>()?;
        *header = frame::data_header(id, fin, payload.len() as u32);
        if fin {
            self.streams.local_fin(id);
        }
        Some(start)
    }

    #[inline]
    fn can_send(&self, channel: Channel) -> bool {
        !self.closed
            && self
                .id(channel)
                .and_then(|id| self.streams.get(id))
                .is_some_and(|state| state.local_open && state.replied)
    }

    fn can_half_close(&self, channel: Channel) -> bool {
        self.can_send(channel)
    }

    fn ping(&mut self) {
        if self.outbox.is_empty() && !self.closed {
            let _ = self.outbox.push(&frame::ping(self.next_ping));
            // Parity says whose ping it is; the ids of one end do not have to be unique for ever.
            self.next_ping = self.next_ping.checked_add(2).unwrap_or(self.next_ping);
        }
    }

    fn close(&mut self, reason: Close) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.flowing = None;
        for (id, state) in self.streams.iter() {
            if state.local_open {
                let _ = self.outbox.push(&frame::rst_stream(id, RstStatus::CANCEL));
            }
        }
        let status = match reason {
            Close::Normal | Close::GoingAway => GoawayStatus::OK,
            Close::Protocol(_) => GoawayStatus::PROTOCOL_ERROR,
            Close::Internal => GoawayStatus::INTERNAL_ERROR,
        };
        let _ = self.outbox.push(&frame::goaway(self.streams.last_accepted(), status));
        self.streams.going_away();
    }

    fn pending(&self) -> &[u8] {
        self.outbox.pending()
    }

    fn sent(&mut self, count: usize) {
        self.outbox.sent(count);
        self.push_size();
    }
}

impl<B: HeaderBlocks> Leg for SpdyLeg<B> {
    fn is_ready(&self) -> bool {
        self.awaited.is_empty()
    }

    fn status_is_json(&self) -> bool {
        self.protocol.status_is_json()
    }

    fn resize(&mut self, size: TerminalSize) {
        if !self.sizes_end {
            self.next_size = Some(size);
            self.push_size();
        }
    }

    fn end_sizes(&mut self) {
        self.sizes_end = true;
        self.push_size();
    }
}

#[cfg(test)]
mod tests;
