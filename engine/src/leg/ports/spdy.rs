use core::fmt::Write as _;
use core::ops::Range;

use super::PortsLeg;
use crate::k8s::ports::{PORT, REQUEST_ID, STREAM_TYPE};
use crate::k8s::{Channel, PortChannel, PortStream, Ports};
use crate::leg::{Close, Event, Framing, LegError};
use crate::limits::Limits;
use crate::outbox::Outbox;
use crate::spdy::{
    self, GoawayStatus, HeaderWriter, RstStatus, SkipBlocks, StreamId, frame, frame::DATA_HEADER,
};
use crate::step::{Role, Step};

/// The opening of one pair: two `SYN_STREAM`s, of which the first of all holds the zlib header, and a half-close.
const PAIR: usize = 256;

/// The longest answer to one received frame: a reset, or a PING.
const ANSWER: usize = 16;

const OUTBOX: usize = 512;

/// The bit of a frame's first byte that tells control frames from DATA.
const CONTROL: u8 = 0x80;

/// The client's end of a port-forward over SPDY/3.1 that opens one connection to each of its ports, at once
/// (`port-forward.md` section 1).
///
/// ```text
/// client, for the port `index`                                server
/// SYN_STREAM 4 * index + 1   streamtype error, port, requestid    SYN_REPLY
/// DATA FIN                                                        DATA text FIN, or RST_STREAM
/// SYN_STREAM 4 * index + 3   streamtype data, port, requestid     SYN_REPLY
/// DATA ... FIN                                                    DATA ... FIN
/// ```
///
/// All `SYN_STREAM`s leave before any data; replies are not waited for. A stream that is reset is the end of nothing but its
/// own channel. What has to be said about many streams is queued as room comes.
#[derive(Debug)]
pub struct SpdyPorts<const N: usize = 128> {
    receiver: spdy::Receiver<SkipBlocks>,
    ports: Ports<N>,
    pairs: [Pair; N],
    /// How many pairs are opened.
    opened: usize,
    /// All of them have left.
    ready: bool,
    /// Something is due on some stream.
    due: bool,
    headers: HeaderWriter,
    outbox: Outbox<OUTBOX>,
    /// A second event of the frame that was received last.
    second: Option<Event>,
    next_ping: u32,
    /// What the GOAWAY says, from when the connection is closed.
    closed: Option<GoawayStatus>,
    goaway_queued: bool,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    error: Stream,
    data: Stream,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    replied: bool,
    local_open: bool,
    remote_open: bool,
    due: Option<Due>,
}

/// What is still to be said about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Fin,
    Reset,
}

impl Stream {
    const NEW: Self = Self { replied: false, local_open: true, remote_open: true, due: None };
}

impl<const N: usize> SpdyPorts<N> {
    /// A leg that opens a pair of streams for each of `ports`.
    pub fn client(ports: Ports<N>, limits: &Limits) -> Self {
        let mut leg = Self {
            receiver: spdy::Receiver::new(Role::Client, limits, SkipBlocks),
            ports,
            pairs: [Pair { error: Stream::NEW, data: Stream::NEW }; N],
            opened: 0,
            ready: false,
            due: false,
            headers: HeaderWriter::new(),
            outbox: Outbox::new(),
            second: None,
            next_ping: 1,
            closed: None,
            goaway_queued: false,
        };
        leg.refill();
        leg
    }

    /// Queues what waits for room: the opening of pairs, then ends and resets, then the GOAWAY.
    fn refill(&mut self) {
        while self.closed.is_none() && self.outbox.room() >= PAIR + 2 * ANSWER {
            let Some(&port) = self.ports.as_slice().get(self.opened) else { break };
            self.open(self.opened as u32, port);
            self.opened += 1;
        }
        self.ready |= self.opened == self.ports.as_slice().len() && self.outbox.is_empty();
        if self.due {
            self.push_due();
        }
        if let Some(status) = self.closed
            && !self.due
            && !self.goaway_queued
        {
            self.goaway_queued = self.outbox.push(&frame::goaway(None, status)).is_ok();
        }
    }

    fn open(&mut self, index: u32, port: u16) {
        let (mut port_digits, mut request) = (Digits::new(), Digits::new());
        let _ = write!(port_digits, "{port}");
        let _ = write!(request, "{index}");
        for stream in [PortStream::Error, PortStream::Data] {
            let Some(id) = id(PortChannel { index: index as u8, stream }) else { return };
            let headers = [(STREAM_TYPE, stream.stream_type()), (PORT, &port_digits), (REQUEST_ID, &request)];
            let mut syn_stream = [0; PAIR / 2];
            let Ok(len) = self.headers.syn_stream(id, false, &headers, &mut syn_stream) else { return };
            let _ = self.outbox.push(syn_stream.get(..len).unwrap_or_default());
            if stream == PortStream::Error {
                let _ = self.outbox.push(&frame::data_header(id, true, 0));
            }
        }
        if let Some(pair) = self.pairs.get_mut(index as usize) {
            pair.error.local_open = false;
        }
    }

    fn push_due(&mut self) {
        for (index, pair) in (0..).zip(self.pairs.iter_mut().take(self.opened)) {
            for (stream, state) in [(PortStream::Data, &mut pair.data), (PortStream::Error, &mut pair.error)]
            {
                let (Some(due), Some(id)) = (state.due, id(PortChannel { index, stream })) else { continue };
                // PINGs keep their room, but for the last words.
                if self.outbox.room() < 2 * ANSWER && self.closed.is_none() {
                    return;
                }
                let pushed = match due {
                    Due::Fin => self.outbox.push(&frame::data_header(id, true, 0)),
                    Due::Reset => self.outbox.push(&frame::rst_stream(id, RstStatus::CANCEL)),
                };
                if pushed.is_err() {
                    return;
                }
                state.due = None;
            }
        }
        self.due = false;
    }

    fn stream(&self, channel: Channel) -> Option<Stream> {
        let PortChannel { index, stream } = PortChannel::of(channel);
        let pair = self.pairs.get(..self.opened)?.get(usize::from(index))?;
        Some(match stream {
            PortStream::Data => pair.data,
            PortStream::Error => pair.error,
        })
    }

    fn stream_mut(&mut self, channel: Channel) -> Option<&mut Stream> {
        let PortChannel { index, stream } = PortChannel::of(channel);
        let pair = self.pairs.get_mut(..self.opened)?.get_mut(usize::from(index))?;
        Some(match stream {
            PortStream::Data => &mut pair.data,
            PortStream::Error => &mut pair.error,
        })
    }

    fn data(&mut self, id: StreamId, range: Range<usize>, fin: bool) -> Option<Event> {
        let channel = channel(id)?;
        let stream = self.stream_mut(channel).filter(|stream| stream.replied && stream.remote_open)?;
        stream.remote_open = !fin;
        let ended = fin.then_some(Event::HalfClosed(channel));
        if range.is_empty() {
            return ended;
        }
        self.second = ended;
        Some(Event::Data { channel, range })
    }

    fn fin(&mut self, id: StreamId) -> Option<Event> {
        let channel = channel(id)?;
        let stream = self.stream_mut(channel)?;
        core::mem::take(&mut stream.remote_open).then_some(Event::HalfClosed(channel))
    }

    fn replied(&mut self, id: StreamId, fin: bool) -> Option<Event> {
        let channel = channel(id)?;
        let stream = self.stream_mut(channel)?;
        if core::mem::replace(&mut stream.replied, true) {
            return None;
        }
        if fin {
            self.second = self.fin(id);
        }
        Some(Event::Accepted(channel))
    }

    fn peer_resets(&mut self, id: StreamId, status: RstStatus) -> Option<Event> {
        let channel = channel(id)?;
        let stream = self.stream_mut(channel)?;
        let was_open = stream.local_open || stream.remote_open;
        *stream = Stream { replied: true, local_open: false, remote_open: false, due: None };
        was_open.then_some(Event::Reset(channel, status))
    }
}

impl<const N: usize> Framing for SpdyPorts<N> {
    #[inline]
    fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, LegError> {
        if self.second.is_some() {
            return Ok(Step { consumed: 0, event: self.second.take() });
        }
        if !self.can_receive() {
            return Ok(Step::NEED_MORE);
        }
        let Step { consumed, event } = self.receiver.receive(input)?;
        let Some(event) = event else { return Ok(Step::skip(consumed)) };
        let event = match event {
            spdy::Event::Data { stream, range, fin, .. } => self.data(stream, range, fin),
            spdy::Event::SynReply { stream, fin } => self.replied(stream, fin),
            spdy::Event::Headers { stream, fin: true } => self.fin(stream),
            spdy::Event::RstStream { stream, status } => self.peer_resets(stream, status),
            spdy::Event::PingReply { .. } => Some(Event::Pong),
            spdy::Event::GoAway { status, .. } => Some(Event::End { clean: status == GoawayStatus::OK }),
            // Nothing follows our GOAWAY.
            _ if self.closed.is_some() => None,
            spdy::Event::Ping { id } => {
                let _ = self.outbox.push(&frame::ping(id));
                None
            }
            // A server opens no streams in Kubernetes.
            spdy::Event::SynStream { stream, .. } => {
                let _ = self.outbox.push(&frame::rst_stream(stream, RstStatus::CANCEL));
                None
            }
            spdy::Event::Headers { fin: false, .. } => None,
        };
        Ok(Step { consumed, event })
    }

    #[inline]
    fn can_receive(&self) -> bool {
        self.outbox.room() >= ANSWER || self.closed.is_some()
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
    fn header_max(&self, _: usize) -> usize {
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
        let start = payload.start.checked_sub(DATA_HEADER)?;
        let header = buffer.get_mut(start..)?.first_chunk_mut::<DATA_HEADER>()?;
        *header = frame::data_header(id(PortChannel::of(channel))?, fin, payload.len() as u32);
        if fin && let Some(stream) = self.stream_mut(channel) {
            stream.local_open = false;
        }
        Some(start)
    }

    #[inline]
    fn can_send(&self, channel: Channel) -> bool {
        self.ready && self.closed.is_none() && self.stream(channel).is_some_and(|stream| stream.local_open)
    }

    fn can_half_close(&self, channel: Channel) -> bool {
        self.can_send(channel)
    }

    fn ping(&mut self) {
        if self.outbox.is_empty() && self.closed.is_none() {
            let _ = self.outbox.push(&frame::ping(self.next_ping));
            // Parity says whose ping it is; the ids of one end do not have to be unique for ever.
            self.next_ping = self.next_ping.checked_add(2).unwrap_or(self.next_ping);
        }
    }

    fn close(&mut self, reason: Close) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(match reason {
            Close::Normal | Close::GoingAway => GoawayStatus::OK,
            Close::Protocol(_) => GoawayStatus::PROTOCOL_ERROR,
            Close::Internal => GoawayStatus::INTERNAL_ERROR,
        });
        for pair in self.pairs.iter_mut().take(self.opened) {
            for stream in [&mut pair.data, &mut pair.error] {
                if stream.local_open || stream.remote_open {
                    stream.due = Some(Due::Reset);
                }
            }
        }
        self.due = true;
        self.refill();
    }

    fn pending(&self) -> &[u8] {
        self.outbox.pending()
    }

    fn sent(&mut self, count: usize) {
        self.outbox.sent(count);
        if !self.ready || self.due || self.closed.is_some() {
            self.refill();
        }
    }
}

impl<const N: usize> PortsLeg for SpdyPorts<N> {
    fn is_ready(&self) -> bool {
        self.ready
    }

    fn half_close(&mut self, channel: Channel) {
        if let Some(stream) = self.stream_mut(channel)
            && core::mem::take(&mut stream.local_open)
        {
            stream.due = Some(Due::Fin);
            self.due = true;
            self.refill();
        }
    }

    fn reset(&mut self, channel: Channel) {
        if let Some(stream) = self.stream_mut(channel)
            && (stream.local_open || stream.remote_open)
        {
            *stream = Stream { replied: true, local_open: false, remote_open: false, due: Some(Due::Reset) };
            self.due = true;
            self.refill();
        }
    }
}

/// A number in decimal, of 16 bits at most.
type Digits = heapless::String<5>;

/// Every port has four ids, of which ours are the odd ones.
fn id(at: PortChannel) -> Option<StreamId> {
    let first = u32::from(at.index) * 4 + 1;
    StreamId::new(match at.stream {
        PortStream::Error => first,
        PortStream::Data => first + 2,
    })
}

#[inline]
fn channel(id: StreamId) -> Option<Channel> {
    let index = u8::try_from(id.get() / 4).ok().filter(|&index| index < 128)?;
    let stream = match id.get() % 4 {
        1 => PortStream::Error,
        3 => PortStream::Data,
        _ => return None,
    };
    Some(PortChannel { index, stream }.channel())
}

#[cfg(test)]
pub(in crate::leg::ports) mod tests;
