//! Scripted peers on both sides of a [`Bridge`], and independent readers of what they get: a WebSocket client
//! and a SPDY server frame by frame, and in [`peers`] any peer of any protocol.

use std::string::String;
use std::vec::Vec;

use super::{Bridge, ExecBridge, Flow, Lane, Side};
use crate::k8s::{Channel, StreamSet, Subprotocol};
use crate::leg::{Leg, SpdyLeg, WebSocketLeg};
use crate::spdy::{GoawayStatus, HeaderWriter, RstStatus, SkipBlocks, StreamId, frame};
use crate::ws::{FrameHeader, Opcode, Sender, mask};
use crate::{Instant, Limits, Role};
use core::time::Duration;

pub(super) mod peers;

pub(super) const ALL: StreamSet = StreamSet { stdin: true, stdout: true, stderr: true, tty: false };
pub(super) const TTY: StreamSet = StreamSet { stdin: true, stdout: true, stderr: false, tty: true };

// Streams in the order in which a client opens them.
pub(super) const ERROR: u32 = 1;
pub(super) const STDIN: u32 = 3;
pub(super) const STDOUT: u32 = 5;
pub(super) const STDERR: u32 = 7;
pub(super) const RESIZE: u32 = 7;

pub(super) const SUCCESS: &[u8] = br#"{"metadata":{},"status":"Success"}"#;
pub(super) const EXIT_5: &[u8] = br#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: 5","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"5"}]}}"#;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A close that is not answered takes 10 s of virtual time, and no heartbeats stand between the frames.
pub(super) const LIMITS: Limits = Limits {
    close: Duration::from_secs(10),
    ping_interval: Duration::ZERO,
    idle: Duration::ZERO,
    ..Limits::HOST
};

pub(super) fn id(number: u32) -> StreamId {
    StreamId::new(number).unwrap()
}

/// A frame as a client sends it.
pub(super) fn client_frame(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let header = Sender::<320>::new(Role::Client).data_header(opcode, fin, payload.len() as u64, KEY);
    let mut bytes = [0; FrameHeader::MAX];
    let size = header.write(&mut bytes);
    let mut frame = bytes[..size].to_vec();
    frame.extend(payload);
    mask(KEY, 0, &mut frame[size..]);
    frame
}

pub(super) fn message(channel: Channel, payload: &[u8]) -> Vec<u8> {
    client_frame(Opcode::Binary, true, &[&[channel.number()], payload].concat())
}

pub(super) fn stdin(payload: &[u8]) -> Vec<u8> {
    message(Channel::STDIN, payload)
}

pub(super) fn end_of(channel: Channel) -> Vec<u8> {
    client_frame(Opcode::Binary, true, &channel.close_message())
}

pub(super) fn data(stream: u32, payload: &[u8]) -> Vec<u8> {
    [&frame::data_header(id(stream), false, payload.len() as u32), payload].concat()
}

pub(super) fn fin(stream: u32) -> Vec<u8> {
    frame::data_header(id(stream), true, 0).to_vec()
}

pub(super) fn cancel(stream: u32) -> Vec<u8> {
    frame::rst_stream(id(stream), RstStatus::CANCEL).to_vec()
}

pub(super) fn goaway() -> Vec<u8> {
    frame::goaway(Some(id(STDERR)), GoawayStatus::OK).to_vec()
}

pub(super) fn replies(streams: &[u32]) -> Vec<u8> {
    let mut writer = HeaderWriter::new();
    let mut bytes = Vec::new();
    for &stream in streams {
        let mut frame = [0; 64];
        let len = writer.syn_reply(id(stream), &mut frame).unwrap();
        bytes.extend(&frame[..len]);
    }
    bytes
}

/// How upstream ends a session today: `remotecommand.md` section 5.
pub(super) fn ending(status: &[u8]) -> Vec<u8> {
    [fin(STDOUT), fin(STDERR), data(ERROR, status), cancel(ERROR), cancel(STDIN), goaway()].concat()
}

/// What a client got, frame by frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ToClient {
    Message(Channel, Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

pub(super) fn read_as_client(mut bytes: &[u8]) -> Vec<ToClient> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(bytes[1] & 0x80, 0, "a server does not mask");
        let (header, len) = match bytes[1] {
            126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            127 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize),
            len => (2, usize::from(len)),
        };
        let payload = &bytes[header..header + len];
        frames.push(match bytes[0] {
            0x82 => ToClient::Message(Channel::new(payload[0]), payload[1..].to_vec()),
            0x8a => ToClient::Pong(payload.to_vec()),
            0x88 if payload.is_empty() => ToClient::Close(None),
            0x88 => ToClient::Close(Some(u16::from_be_bytes([payload[0], payload[1]]))),
            first => panic!("frame with first byte {first:#x}"),
        });
        bytes = &bytes[header + len..];
    }
    frames
}

/// What upstream got, frame by frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ToUpstream {
    Open(u32),
    Data(u32, Vec<u8>),
    Fin(u32),
    Reset(u32, u32),
    Ping(u32),
    GoAway(u32),
}

pub(super) fn read_as_upstream(mut bytes: &[u8]) -> Vec<ToUpstream> {
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let len = (word(bytes, 4) & 0xff_ffff) as usize;
        let payload = &bytes[8..8 + len];
        frames.push(match (bytes[0], bytes[3], bytes[4]) {
            (0x80, 1, 0) => ToUpstream::Open(word(payload, 0)),
            (0x80, 3, 0) => ToUpstream::Reset(word(payload, 0), word(payload, 4)),
            (0x80, 6, 0) => ToUpstream::Ping(word(payload, 0)),
            (0x80, 7, 0) => ToUpstream::GoAway(word(payload, 4)),
            (0, stream, 0) => ToUpstream::Data(stream.into(), payload.to_vec()),
            (0, stream, 1) if len == 0 => ToUpstream::Fin(stream.into()),
            _ => panic!("frame {:02x?}", &bytes[..8]),
        });
        bytes = &bytes[8 + len..];
    }
    frames
}

/// Small numbers that look random and are the same in each run.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 0 to `below - 1`.
    pub(super) fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % below.max(1)
    }
}

/// One end of a connection, as the bridge's driver sees it.
#[derive(Default)]
pub(super) struct Socket {
    /// What the peer sends, and how much of it was read.
    sends: Vec<u8>,
    read: usize,
    /// The peer ends its half behind that.
    ends: bool,
    eof: bool,
    pub(super) got: Vec<u8>,
    /// The peer takes so many bytes more.
    pub(super) takes: usize,
}

pub(super) type Exec<C, U> = ExecBridge<C, U>;

/// A session and its run loop.
pub(super) struct Session<B = Exec<WebSocketLeg, SpdyLeg<SkipBlocks>>> {
    pub(super) bridge: B,
    pub(super) up: Lane<Vec<u8>>,
    pub(super) down: Lane<Vec<u8>>,
    pub(super) client: Socket,
    pub(super) upstream: Socket,
    pub(super) now: Instant,
    /// Reads and writes move a random count of bytes, up to this.
    pub(super) pace: Option<(Dice, usize)>,
    pub(super) turns: usize,
}

impl Session {
    pub(super) fn dialing(streams: StreamSet, memory: usize) -> Self {
        Self::of(WebSocketLeg::server(Subprotocol::V5, &Limits::HOST), streams, memory)
    }

    /// With upstream connected, which has not accepted anything.
    pub(super) fn opening(streams: StreamSet, memory: usize) -> Self {
        let mut session = Self::dialing(streams, memory);
        session.connect(streams);
        session
    }

    pub(super) fn connect(&mut self, streams: StreamSet) {
        self.bridge.connected(SpdyLeg::client(streams, Subprotocol::V4, &Limits::HOST), self.now);
    }

    /// With all streams accepted; what was written until then is forgotten.
    pub(super) fn running(streams: StreamSet, memory: usize) -> Self {
        let mut session = Self::opening(streams, memory);
        let ids: Vec<u32> =
            (0..).map(|n| 2 * n + 1).take(streams.expected_streams(Subprotocol::V4)).collect();
        session.upstream_sends(&replies(&ids));
        session.upstream.got.clear();
        session
    }

    /// Bytes that upstream has sent.
    pub(super) fn upstream_has_sent(&self) -> usize {
        self.upstream.sends.len()
    }

    pub(super) fn client_got(&self) -> Vec<ToClient> {
        read_as_client(&self.client.got)
    }

    pub(super) fn upstream_got(&self) -> Vec<ToUpstream> {
        read_as_upstream(&self.upstream.got)
    }

    /// Payload that the client got on a channel.
    pub(super) fn received(&self, wanted: Channel) -> Vec<u8> {
        let frames = self.client_got().into_iter();
        frames.filter_map(|frame| matches_channel(frame, wanted)).flatten().collect()
    }

    /// Payload that upstream got on a stream.
    pub(super) fn delivered(&self, wanted: u32) -> Vec<u8> {
        let frames = self.upstream_got().into_iter();
        let pieces = frames.filter_map(|frame| match frame {
            ToUpstream::Data(stream, payload) if stream == wanted => Some(payload),
            _ => None,
        });
        pieces.flatten().collect()
    }

    /// Statuses that the client got; asserts that there is one at most, that only the Close follows it and
    /// pongs aside nothing follows that.
    pub(super) fn status(&self) -> Option<String> {
        let frames: Vec<_> =
            self.client_got().into_iter().filter(|frame| !matches!(frame, ToClient::Pong(_))).collect();
        let mut statuses = frames.iter().enumerate().filter_map(|(at, frame)| match frame {
            ToClient::Message(Channel::ERROR, status) => Some((at, status.clone())),
            _ => None,
        });
        let (at, status) = statuses.next()?;
        assert_eq!(statuses.next(), None, "one status");
        assert_eq!(frames[at + 1..], [ToClient::Close(Some(1000))], "status and Close come last");
        assert!(matches!(read_as_client(&self.client.got).last(), Some(ToClient::Close(_))), "Close is last");
        Some(String::from_utf8(status).unwrap())
    }
}

fn matches_channel(frame: ToClient, wanted: Channel) -> Option<Vec<u8>> {
    match frame {
        ToClient::Message(channel, payload) if channel == wanted => Some(payload),
        _ => None,
    }
}

impl<C: Leg, U: Leg> Session<Exec<C, U>> {
    pub(super) fn of(client: C, streams: StreamSet, memory: usize) -> Self {
        Self::limited(client, streams, memory, &LIMITS)
    }

    pub(super) fn limited(client: C, streams: StreamSet, memory: usize, limits: &Limits) -> Self {
        Self::joining(ExecBridge::new(client, streams, limits), memory)
    }
}

impl<B: Bridge> Session<B> {
    /// Whose driver has `memory` bytes for each direction.
    pub(super) fn joining(bridge: B, memory: usize) -> Self {
        let socket = || Socket { takes: usize::MAX, ..Socket::default() };
        Self {
            up: bridge.lane_to(Side::Upstream, std::vec![0xee; memory]),
            down: bridge.lane_to(Side::Client, std::vec![0xee; memory]),
            bridge,
            client: socket(),
            upstream: socket(),
            now: Instant::ZERO,
            pace: None,
            turns: 0,
        }
    }

    pub(super) fn client_sends(&mut self, bytes: &[u8]) {
        self.client.sends.extend(bytes);
        self.run();
    }

    pub(super) fn upstream_sends(&mut self, bytes: &[u8]) {
        self.upstream.sends.extend(bytes);
        self.run();
    }

    pub(super) fn client_ends(&mut self) {
        self.client.ends = true;
        self.run();
    }

    pub(super) fn upstream_ends(&mut self) {
        self.upstream.ends = true;
        self.run();
    }

    pub(super) fn queue(&mut self, client: &[u8], upstream: &[u8]) {
        self.client.sends.extend(client);
        self.upstream.sends.extend(upstream);
    }

    pub(super) fn after_millis(&mut self, millis: u64) {
        self.now = Instant::from_millis(self.now.as_millis() + millis);
        if self.bridge.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.bridge.time(self.now);
        }
        self.run();
    }

    /// Until nothing moves.
    pub(super) fn run(&mut self) {
        while self.turn() {
            self.turns += 1;
            assert!(self.turns < 3_000_000, "the session does not come to rest");
        }
    }

    /// As the documentation of the bridge tells drivers to do.
    fn turn(&mut self) -> bool {
        let upstream = self.bridge.translate(Side::Upstream, &mut self.down, self.now);
        let client = self.bridge.translate(Side::Client, &mut self.up, self.now);
        self.up.assert_sound();
        self.down.assert_sound();
        let mut moved = self.write(Side::Client) | self.write(Side::Upstream);
        if upstream != Flow::NeedWrite {
            moved |= self.read(Side::Upstream);
        }
        if client != Flow::NeedWrite {
            moved |= self.read(Side::Client);
        }
        moved
    }

    fn read(&mut self, from: Side) -> bool {
        let (socket, lane) = match from {
            Side::Client => (&mut self.client, &mut self.up),
            Side::Upstream => (&mut self.upstream, &mut self.down),
        };
        let waiting = &socket.sends[socket.read..];
        let space = lane.space();
        let count = waiting.len().min(space.len());
        let count = match &mut self.pace {
            Some((dice, most)) if count > 1 => 1 + dice.roll(count.min(*most)),
            _ => count,
        };
        space[..count].copy_from_slice(&waiting[..count]);
        let at_end = waiting.is_empty() && socket.ends && !socket.eof && !space.is_empty();
        lane.received(count);
        lane.assert_sound();
        socket.read += count;
        if at_end {
            socket.eof = true;
            self.bridge.eof(from, self.now);
        }
        count > 0 || at_end
    }

    fn write(&mut self, to: Side) -> bool {
        let (socket, lane) = match to {
            Side::Client => (&mut self.client, &mut self.down),
            Side::Upstream => (&mut self.upstream, &mut self.up),
        };
        if !self.bridge.is_writable(to) {
            let had = self.bridge.has_output(to, lane);
            self.bridge.discard_output(to, lane);
            assert!(!self.bridge.has_output(to, lane), "all of it is discarded");
            return had;
        }
        let most = match &mut self.pace {
            Some((dice, most)) => socket.takes.min(1 + dice.roll(*most)),
            None => socket.takes,
        };
        let before = socket.got.len();
        for slice in self.bridge.output(to, lane) {
            assert!(!slice.is_empty());
            let room = before + most.min(usize::MAX - before) - socket.got.len();
            socket.got.extend(&slice[..slice.len().min(room)]);
        }
        let count = socket.got.len() - before;
        assert_eq!(count == 0, most == 0 || !self.bridge.has_output(to, lane));
        socket.takes -= count;
        self.bridge.written(to, lane, count);
        count > 0
    }
}
