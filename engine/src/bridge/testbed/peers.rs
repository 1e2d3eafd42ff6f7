//! Peers of every protocol, scripted, and independent readers of what they get.

use std::boxed::Box;
use std::vec::Vec;

use core::ops::Range;

use super::{Bridge as _, Exec, LIMITS, Session, client_frame, id};
use crate::k8s::{Channel, StreamSet, Subprotocol, TerminalSize};
use crate::leg::{Close, Event, Framing, Leg, LegError, SpdyLeg, WebSocketLeg};
use crate::spdy::{GoawayStatus, HeaderWriter, Inflate, LentBlocks, frame};
use crate::ws::{FrameHeader, MaskKeys, Opcode, mask};
use crate::{Limits, Role, Step};

/// What a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bridge) enum Wire {
    WebSocket(Subprotocol),
    Spdy(Subprotocol),
}

use Wire::{Spdy, WebSocket};

impl Wire {
    pub(in crate::bridge) const CLIENTS: [Self; 10] = [
        WebSocket(Subprotocol::V5),
        WebSocket(Subprotocol::V4),
        WebSocket(Subprotocol::None),
        WebSocket(Subprotocol::V1),
        WebSocket(Subprotocol::V1Base64),
        WebSocket(Subprotocol::V4Base64),
        Spdy(Subprotocol::V1),
        Spdy(Subprotocol::V2),
        Spdy(Subprotocol::V3),
        Spdy(Subprotocol::V4),
    ];
    pub(in crate::bridge) const UPSTREAMS: [Self; 9] = [
        Spdy(Subprotocol::V4),
        Spdy(Subprotocol::V3),
        Spdy(Subprotocol::V2),
        Spdy(Subprotocol::V1),
        WebSocket(Subprotocol::V5),
        WebSocket(Subprotocol::V4),
        WebSocket(Subprotocol::V4Base64),
        WebSocket(Subprotocol::V1),
        WebSocket(Subprotocol::V1Base64),
    ];

    /// Every client with every upstream.
    pub(in crate::bridge) fn pairs() -> impl Iterator<Item = (Self, Self)> {
        Self::CLIENTS
            .into_iter()
            .flat_map(|client| Self::UPSTREAMS.into_iter().map(move |upstream| (client, upstream)))
    }

    pub(in crate::bridge) const fn protocol(self) -> Subprotocol {
        match self {
            WebSocket(protocol) | Spdy(protocol) => protocol,
        }
    }

    pub(in crate::bridge) const fn is_spdy(self) -> bool {
        matches!(self, Spdy(_))
    }

    /// Statuses are JSON, and always sent.
    pub(in crate::bridge) const fn is_json(self) -> bool {
        matches!(self.protocol(), Subprotocol::V4 | Subprotocol::V5 | Subprotocol::V4Base64)
    }

    const fn is_base64(self) -> bool {
        matches!(self.protocol(), Subprotocol::V1Base64 | Subprotocol::V4Base64)
    }

    /// The peer on the client's side of the bridge, and the leg that it talks to.
    fn client(self, streams: StreamSet) -> (Peer, AnyLeg) {
        let leg: AnyLeg = match self {
            WebSocket(protocol) => Box::new(WebSocketLeg::server(protocol, &LIMITS)),
            Spdy(protocol) => {
                let inflate: Box<Inflate> = Box::default();
                Box::new(SpdyLeg::server(streams, protocol, &LIMITS, LentBlocks(Some(inflate))))
            }
        };
        (Peer { wire: self, role: Role::Client, streams }, leg)
    }

    fn upstream(self, streams: StreamSet) -> (Peer, AnyLeg) {
        let leg: AnyLeg = match self {
            WebSocket(protocol) => Box::new(WebSocketLeg::client(protocol, &LIMITS, MaskKeys::new([7; 16]))),
            Spdy(protocol) => Box::new(SpdyLeg::client(streams, protocol, &LIMITS)),
        };
        (Peer { wire: self, role: Role::Server, streams }, leg)
    }
}

/// One end of a connection, and what it sends.
#[derive(Debug, Clone, Copy)]
pub(in crate::bridge) struct Peer {
    pub(in crate::bridge) wire: Wire,
    role: Role,
    pub(in crate::bridge) streams: StreamSet,
}

impl Peer {
    /// The channels that have a stream.
    pub(in crate::bridge) fn channels(self) -> Vec<Channel> {
        self.streams.channels(self.wire.protocol()).collect()
    }

    fn stream(self, channel: Channel) -> Option<u32> {
        let at = self.channels().into_iter().position(|open| open == channel)?;
        Some(2 * at as u32 + 1)
    }

    /// What it sends first.
    pub(in crate::bridge) fn open(self) -> Vec<u8> {
        match (self.wire, self.role) {
            (WebSocket(_), Role::Client) => Vec::new(),
            (WebSocket(_), Role::Server) => self.data(self.streams.ready_channel(), b""),
            (Spdy(_), Role::Client) => self.headers(|writer, channel, stream, frame| {
                let name = channel.stream_type().unwrap();
                writer.syn_stream(id(stream), false, &[("streamtype", name)], frame).unwrap()
            }),
            (Spdy(protocol), Role::Server) => {
                let mut bytes =
                    self.headers(|writer, _, stream, frame| writer.syn_reply(id(stream), frame).unwrap());
                if protocol == Subprotocol::V1 {
                    bytes.extend(self.end(Channel::STDIN));
                    bytes.extend(self.reset(Channel::ERROR));
                }
                bytes
            }
        }
    }

    fn headers(self, write: impl Fn(&mut HeaderWriter, Channel, u32, &mut [u8]) -> usize) -> Vec<u8> {
        let mut writer = HeaderWriter::new();
        let mut bytes = Vec::new();
        for channel in self.channels() {
            let mut frame = [0; 128];
            let len = write(&mut writer, channel, self.stream(channel).unwrap(), &mut frame);
            bytes.extend(&frame[..len]);
        }
        bytes
    }

    /// Payload of a channel; nothing if there is no such stream.
    pub(in crate::bridge) fn data(self, channel: Channel, payload: &[u8]) -> Vec<u8> {
        match self.wire {
            WebSocket(_) => {
                let opcode = if self.wire.is_base64() { Opcode::Text } else { Opcode::Binary };
                self.frame(opcode, true, &self.message(channel, payload))
            }
            Spdy(_) => self.stream(channel).map_or_else(Vec::new, |stream| super::data(stream, payload)),
        }
    }

    /// A message as it stands in its frames.
    pub(in crate::bridge) fn message(self, channel: Channel, payload: &[u8]) -> Vec<u8> {
        if self.wire.is_base64() {
            [&[b'0' + channel.number()], &base64(payload)[..]].concat()
        } else {
            [&[channel.number()], payload].concat()
        }
    }

    /// A WebSocket frame.
    pub(in crate::bridge) fn frame(self, opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
        if self.role == Role::Client {
            return client_frame(opcode, fin, payload);
        }
        let header = FrameHeader { fin, opcode, mask: None, len: payload.len() as u64 };
        let mut bytes = [0; FrameHeader::MAX];
        let size = header.write(&mut bytes);
        [&bytes[..size], payload].concat()
    }

    pub(in crate::bridge) fn can_end(self, channel: Channel) -> bool {
        match self.wire {
            WebSocket(protocol) => protocol == Subprotocol::V5,
            Spdy(_) => self.stream(channel).is_some(),
        }
    }

    /// The end of a channel; nothing if it cannot be told.
    pub(in crate::bridge) fn end(self, channel: Channel) -> Vec<u8> {
        match self.wire {
            WebSocket(Subprotocol::V5) => self.frame(Opcode::Binary, true, &[255, channel.number()]),
            WebSocket(_) => Vec::new(),
            Spdy(_) => self.stream(channel).map_or_else(Vec::new, super::fin),
        }
    }

    pub(in crate::bridge) fn reset(self, channel: Channel) -> Vec<u8> {
        match self.wire {
            WebSocket(_) => Vec::new(),
            Spdy(_) => self.stream(channel).map_or_else(Vec::new, super::cancel),
        }
    }

    /// How many heartbeats there are in what this peer got.
    pub(in crate::bridge) fn heartbeats(self, bytes: &[u8]) -> usize {
        self.frames(bytes).into_iter().filter(|frame| *frame == Got::Heartbeat).count()
    }

    pub(in crate::bridge) fn ping(self) -> Vec<u8> {
        match (self.wire, self.role) {
            (WebSocket(_), _) => self.frame(Opcode::Ping, true, b"ping"),
            (Spdy(_), Role::Client) => frame::ping(5).to_vec(),
            (Spdy(_), Role::Server) => frame::ping(6).to_vec(),
        }
    }

    /// Its answer to the first heartbeat.
    pub(in crate::bridge) fn pong(self) -> Vec<u8> {
        match (self.wire, self.role) {
            (WebSocket(_), _) => self.frame(Opcode::Pong, true, b""),
            (Spdy(_), Role::Client) => frame::ping(2).to_vec(),
            (Spdy(_), Role::Server) => frame::ping(1).to_vec(),
        }
    }

    /// The end of the connection, in order or because the peer failed.
    pub(in crate::bridge) fn close(self, is_well: bool) -> Vec<u8> {
        let code: u16 = if is_well { 1000 } else { 1011 };
        let status = if is_well { GoawayStatus::OK } else { GoawayStatus::INTERNAL_ERROR };
        match self.wire {
            WebSocket(_) => self.frame(Opcode::Close, true, &code.to_be_bytes()),
            Spdy(_) => frame::goaway(None, status).to_vec(),
        }
    }

    /// How a server ends a session with a status, which is empty if none is sent.
    pub(in crate::bridge) fn ending(self, status: &[u8]) -> Vec<u8> {
        let outputs = [self.end_of_output(Channel::STDOUT), self.end_of_output(Channel::STDERR)].concat();
        let resets = [self.reset(Channel::ERROR), self.reset(Channel::STDIN)].concat();
        let status = if status.is_empty() { Vec::new() } else { self.data(Channel::ERROR, status) };
        [outputs, status, resets, self.close(true)].concat()
    }

    /// A WebSocket server ends no output.
    pub(in crate::bridge) fn end_of_output(self, channel: Channel) -> Vec<u8> {
        if self.wire.is_spdy() { self.end(channel) } else { Vec::new() }
    }

    fn frames(self, bytes: &[u8]) -> Vec<Got> {
        match self.wire {
            WebSocket(_) => read_websocket(bytes, self.role == Role::Server, self.wire.is_base64()),
            Spdy(_) => read_spdy(bytes, &self.channels()),
        }
    }
}

/// Pieces of one channel that adjoin count as one, and heartbeats and empty pieces as nothing.
pub(in crate::bridge) fn merged(frames: Vec<Got>) -> Vec<Got> {
    let mut merged: Vec<Got> = Vec::new();
    for frame in frames {
        match (merged.last_mut(), frame) {
            (_, Got::Heartbeat) => {}
            (_, Got::Data(_, payload)) if payload.is_empty() => {}
            (Some(Got::Data(channel, payload)), Got::Data(next, more)) if *channel == next => {
                payload.extend(more);
            }
            (_, frame) => merged.push(frame),
        }
    }
    merged
}

/// One frame, as it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bridge) enum Got {
    Opened(Channel),
    Accepted(Channel),
    Data(Channel, Vec<u8>),
    End(Channel),
    Reset(Channel, u32),
    Heartbeat,
    Close(Option<u16>),
    GoAway(u32),
}

fn read_websocket(bytes: &[u8], is_masked: bool, is_base64: bool) -> Vec<Got> {
    let message = if is_base64 { 0x81 } else { 0x82 };
    let frames = websocket_frames(bytes, is_masked).into_iter();
    frames
        .map(|(first, payload)| match first {
            0x89 | 0x8a => Got::Heartbeat,
            0x88 => Got::Close(payload.first_chunk().map(|&code| u16::from_be_bytes(code))),
            first if first == message && is_base64 => {
                Got::Data(Channel::new(payload[0] - b'0'), unbase64(&payload[1..]))
            }
            first if first == message && payload[0] == 255 => {
                assert_eq!(payload.len(), 2);
                Got::End(Channel::new(payload[1]))
            }
            first if first == message => Got::Data(Channel::new(payload[0]), payload[1..].to_vec()),
            first => panic!("frame with first byte {first:#x}"),
        })
        .collect()
}

/// The first byte and the unmasked payload of each frame.
pub(in crate::bridge) fn websocket_frames(mut bytes: &[u8], is_masked: bool) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(bytes[1] & 0x80 != 0, is_masked);
        let (header, len) = match bytes[1] & 0x7f {
            126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            127 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize),
            len => (2, usize::from(len)),
        };
        let start = header + if is_masked { 4 } else { 0 };
        let mut payload = bytes[start..start + len].to_vec();
        if is_masked {
            mask(bytes[header..start].try_into().unwrap(), 0, &mut payload);
        }
        frames.push((bytes[0], payload));
        bytes = &bytes[start + len..];
    }
    frames
}

fn read_spdy(mut bytes: &[u8], channels: &[Channel]) -> Vec<Got> {
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let channel = |stream: u32| channels[(stream as usize - 1) / 2];
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let len = (word(bytes, 4) & 0xff_ffff) as usize;
        let payload = &bytes[8..8 + len];
        match (bytes[0], bytes[3], bytes[4]) {
            (0x80, 1, 0) => frames.push(Got::Opened(channel(word(payload, 0)))),
            (0x80, 2, 0) => frames.push(Got::Accepted(channel(word(payload, 0)))),
            (0x80, 3, 0) => frames.push(Got::Reset(channel(word(payload, 0)), word(payload, 4))),
            (0x80, 6, 0) => frames.push(Got::Heartbeat),
            (0x80, 7, 0) => frames.push(Got::GoAway(word(payload, 4))),
            (0, stream, fin @ 0..=1) => {
                frames.push(Got::Data(channel(stream.into()), payload.to_vec()));
                frames.extend((fin == 1).then(|| Got::End(channel(stream.into()))));
            }
            _ => panic!("frame {:02x?}", &bytes[..8]),
        }
        bytes = &bytes[8 + len..];
    }
    frames
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(in crate::bridge) fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let character = ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { character } else { b'=' });
        }
    }
    text
}

pub(in crate::bridge) fn unbase64(text: &[u8]) -> Vec<u8> {
    assert_eq!(text.len() % 4, 0);
    let mut bytes = Vec::new();
    for quantum in text.chunks(4) {
        let characters = quantum.iter().take_while(|&&character| character != b'=');
        let values =
            characters.map(|character| ALPHABET.iter().position(|known| known == character).unwrap());
        let (count, bits) =
            values.fold((0, 0), |(count, bits), value| (count + 1, bits | value << (18 - 6 * count)));
        bytes.extend(&(bits as u32).to_be_bytes()[1..count]);
    }
    bytes
}

/// A session of any two legs, and both peers.
pub(in crate::bridge) struct Pair {
    pub(in crate::bridge) session: Session<Exec<AnyLeg, AnyLeg>>,
    pub(in crate::bridge) client: Peer,
    pub(in crate::bridge) upstream: Peer,
}

impl Pair {
    /// With both connected; neither has sent anything.
    pub(in crate::bridge) fn new(wires: (Wire, Wire), streams: StreamSet, memory: usize) -> Self {
        Self::limited(wires, streams, memory, &LIMITS)
    }

    pub(in crate::bridge) fn limited(
        (client, upstream): (Wire, Wire),
        streams: StreamSet,
        memory: usize,
        limits: &Limits,
    ) -> Self {
        let (client, client_leg) = client.client(streams);
        let (upstream, upstream_leg) = upstream.upstream(streams);
        let mut session = Session::limited(client_leg, streams, memory, limits);
        session.bridge.greet(&mut session.down);
        session.run();
        session.up = crate::bridge::Lane::to_leg(std::vec![0xee; memory], &upstream_leg);
        session.bridge.connected(upstream_leg, session.now);
        Self { session, client, upstream }
    }

    /// With all streams open.
    pub(in crate::bridge) fn running(wires: (Wire, Wire), streams: StreamSet, memory: usize) -> Self {
        let mut pair = Self::new(wires, streams, memory);
        pair.open();
        pair
    }

    pub(in crate::bridge) fn open(&mut self) {
        self.session.client_sends(&self.client.open());
        self.session.upstream_sends(&self.upstream.open());
    }

    pub(in crate::bridge) fn client_got(&self) -> Vec<Got> {
        merged(self.client.frames(&self.session.client.got))
    }

    pub(in crate::bridge) fn upstream_got(&self) -> Vec<Got> {
        merged(self.upstream.frames(&self.session.upstream.got))
    }

    /// Payload of a channel.
    pub(in crate::bridge) fn received(&self, wanted: Channel) -> Vec<u8> {
        payload(self.client_got(), wanted)
    }

    pub(in crate::bridge) fn delivered(&self, wanted: Channel) -> Vec<u8> {
        payload(self.upstream_got(), wanted)
    }
}

fn payload(frames: Vec<Got>, wanted: Channel) -> Vec<u8> {
    let pieces = frames.into_iter().filter_map(|frame| match frame {
        Got::Data(channel, payload) if channel == wanted => Some(payload),
        _ => None,
    });
    pieces.flatten().collect()
}

pub(in crate::bridge) type AnyLeg = Box<dyn Leg>;

impl<L: Framing + ?Sized> Framing for Box<L> {
    fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, LegError> {
        (**self).receive(input)
    }

    fn can_receive(&self) -> bool {
        (**self).can_receive()
    }

    fn lead(&self, input: &[u8]) -> Option<usize> {
        (**self).lead(input)
    }

    fn header_max(&self, len: usize) -> usize {
        (**self).header_max(len)
    }

    fn headroom(&self, len: usize) -> usize {
        (**self).headroom(len)
    }

    fn frame(
        &mut self,
        channel: Channel,
        fin: bool,
        buffer: &mut [u8],
        payload: Range<usize>,
    ) -> Option<usize> {
        (**self).frame(channel, fin, buffer, payload)
    }

    fn can_send(&self, channel: Channel) -> bool {
        (**self).can_send(channel)
    }

    fn can_half_close(&self, channel: Channel) -> bool {
        (**self).can_half_close(channel)
    }

    fn ping(&mut self) {
        (**self).ping();
    }

    fn close(&mut self, reason: Close) {
        (**self).close(reason);
    }

    fn pending(&self) -> &[u8] {
        (**self).pending()
    }

    fn sent(&mut self, count: usize) {
        (**self).sent(count);
    }
}

impl Leg for AnyLeg {
    fn is_ready(&self) -> bool {
        (**self).is_ready()
    }

    fn status_is_json(&self) -> bool {
        (**self).status_is_json()
    }

    fn resize(&mut self, size: TerminalSize) {
        (**self).resize(size);
    }

    fn end_sizes(&mut self) {
        (**self).end_sizes();
    }

    fn greets(&self) -> bool {
        (**self).greets()
    }

    fn closes_first(&self) -> bool {
        (**self).closes_first()
    }
}
