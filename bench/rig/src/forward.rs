//! Port-forwards: SPDY/3.1 in a WebSocket for what carries tunnels, as it is for what carries bytes, and the server of both.

use std::net::{SocketAddr, TcpStream};
use std::ops::Range;

use anyhow::Result;
use strait::k8s::{Channel, PortChannel, PortStream, Ports, Subprotocol, Target};
use strait::leg::{Close, Event, Framing, LegError, PortsLeg as _, SpdyPorts, Tunnelled};
use strait::spdy::frame::{data_header, ping};
use strait::spdy::{self, GoawayStatus, HeaderWriter, Receiver, SkipBlocks, StreamId};
use strait::ws::MaskKeys;
use strait::{Role, Step};

use crate::client::{Client, upgrade_to_spdy, upgrade_to_websocket};
use crate::job::Job;
use crate::link::{LIMITS, Link, Opening, Room};

/// Most connections of a scenario.
const MOST: usize = 16;

/// A client of what carries tunnels.
#[derive(Debug)]
pub(crate) struct Tunnel;

/// A client of upstream's own protocol.
#[derive(Debug)]
pub(crate) struct Forward;

impl Client for Tunnel {
    type Leg = Tunnelled<SpdyPorts<MOST>>;

    fn dial(translator: SocketAddr, number: u64, job: &Job, room: Room) -> Result<Link<Self::Leg>> {
        let stream = TcpStream::connect(translator)?;
        let (head, seed) = upgrade_to_websocket(&stream, &target(number), "SPDY/3.1+portforward.k8s.io")?;
        let leg = Tunnelled::client(SpdyPorts::client(ports(job)?, &LIMITS), &LIMITS, MaskKeys::new(seed));
        let mut link = Link::new(stream, leg, &head.behind, room)?;
        link.answer()?;
        Ok(link)
    }
}

impl Client for Forward {
    type Leg = SpdyPorts<MOST>;

    fn dial(translator: SocketAddr, number: u64, job: &Job, room: Room) -> Result<Link<Self::Leg>> {
        let stream = TcpStream::connect(translator)?;
        let head = upgrade_to_spdy(&stream, &target(number), "portforward.k8s.io")?;
        let mut link = Link::new(stream, SpdyPorts::client(ports(job)?, &LIMITS), &head.behind, room)?;
        link.answer()?;
        Ok(link)
    }
}

impl Opening for Tunnelled<SpdyPorts<MOST>> {
    fn is_open(&self) -> bool {
        self.is_ready()
    }
}

impl Opening for SpdyPorts<MOST> {
    fn is_open(&self) -> bool {
        self.is_ready()
    }
}

fn target(number: u64) -> String {
    format!("/api/v1/namespaces/default/pods/rig-{number}/portforward")
}

fn ports(job: &Job) -> Result<Ports<MOST>> {
    let numbers: Vec<_> = (0..job.traffic.pairs()).map(|index| format!("port={}", 8000 + index)).collect();
    let target = format!("/portForward/default/rig?{}", numbers.join("&"));
    Ok(Ports::of(&Target::parse(&target)?, Subprotocol::V4)?)
}

/// The server's end of a port-forward by a client that numbers its streams as [`SpdyPorts`] does.
#[derive(Debug)]
pub(crate) struct PortsServer {
    receiver: Receiver<SkipBlocks>,
    replies: HeaderWriter,
    /// Streams that are expected.
    wanted: usize,
    opened: usize,
    outbox: Vec<u8>,
    /// A second event of the frame that was received last.
    second: Option<Event>,
}

impl PortsServer {
    pub(crate) fn new(pairs: usize) -> Self {
        Self {
            receiver: Receiver::new(Role::Server, &LIMITS, SkipBlocks),
            replies: HeaderWriter::new(),
            wanted: 2 * pairs,
            opened: 0,
            outbox: Vec::new(),
            second: None,
        }
    }

    fn accept(&mut self, stream: StreamId) -> Event {
        let mut reply = [0; 64];
        let length = self.replies.syn_reply(stream, &mut reply).unwrap_or_default();
        self.outbox.extend_from_slice(&reply[..length]);
        self.opened += 1;
        Event::Opened(channel(stream))
    }

    fn data(&mut self, stream: StreamId, range: Range<usize>, fin: bool) -> Option<Event> {
        let channel = channel(stream);
        let ended = fin.then_some(Event::HalfClosed(channel));
        if range.is_empty() {
            return ended;
        }
        self.second = ended;
        Some(Event::Data { channel, range })
    }
}

impl Opening for PortsServer {
    fn is_open(&self) -> bool {
        self.opened == self.wanted
    }
}

impl Framing for PortsServer {
    fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, LegError> {
        if self.second.is_some() {
            return Ok(Step { consumed: 0, event: self.second.take() });
        }
        let Step { consumed, event } = self.receiver.receive(input)?;
        let event = match event {
            Some(spdy::Event::SynStream { stream, .. }) => Some(self.accept(stream)),
            Some(spdy::Event::Data { stream, range, fin, .. }) => self.data(stream, range, fin),
            Some(spdy::Event::RstStream { stream, status }) => Some(Event::Reset(channel(stream), status)),
            Some(spdy::Event::GoAway { status, .. }) => {
                Some(Event::End { clean: status == GoawayStatus::OK })
            }
            Some(spdy::Event::Ping { id }) => {
                self.outbox.extend_from_slice(&ping(id));
                None
            }
            _ => None,
        };
        Ok(Step { consumed, event })
    }

    fn frame(&mut self, to: Channel, fin: bool, buffer: &mut [u8], payload: Range<usize>) -> Option<usize> {
        let header = data_header(stream(to)?, fin, payload.len() as u32);
        let start = payload.start.checked_sub(header.len())?;
        buffer.get_mut(start..payload.start)?.copy_from_slice(&header);
        Some(start)
    }

    fn pending(&self) -> &[u8] {
        &self.outbox
    }

    fn sent(&mut self, count: usize) {
        self.outbox.drain(..count);
    }

    fn can_receive(&self) -> bool {
        true
    }

    fn lead(&self, _: &[u8]) -> Option<usize> {
        None
    }

    fn header_max(&self, _: usize) -> usize {
        spdy::frame::DATA_HEADER
    }

    fn can_send(&self, _: Channel) -> bool {
        true
    }

    fn can_half_close(&self, _: Channel) -> bool {
        true
    }

    fn ping(&mut self) {}

    fn close(&mut self, _: Close) {}
}

/// A port's first stream is for errors, its second one for data; upstream opens none in between.
fn channel(stream: StreamId) -> Channel {
    let kind = if stream.get() % 4 == 1 { PortStream::Error } else { PortStream::Data };
    PortChannel { index: (stream.get() / 4) as u8, stream: kind }.channel()
}

fn stream(of: Channel) -> Option<StreamId> {
    let PortChannel { index, stream } = PortChannel::of(of);
    let first = 4 * u32::from(index) + 1;
    StreamId::new(if stream == PortStream::Error { first } else { first + 2 })
}
