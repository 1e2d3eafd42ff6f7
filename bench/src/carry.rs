use std::time::Duration;

use strait::bridge::{Bridge as _, ExecBridge, Flow, HEADROOM, Lane, Side};
use strait::k8s::{StreamSet, Subprotocol};
use strait::leg::{SpdyLeg, WebSocketLeg};
use strait::spdy::{self, HeaderWriter, SkipBlocks, StreamId};
use strait::{Instant, Limits, Role, ws};

use strait_scenarios::Direction;

use crate::Traffic;

/// Receives the frames of a WebSocket client that lie in `wire`, and tells how much payload they had.
///
/// # Panics
/// If they are not all good.
pub fn websocket_receive(wire: &mut [u8]) -> usize {
    let mut receiver = ws::Receiver::new(Role::Server, &Limits::HOST);
    let (mut at, mut payload) = (0, 0);
    while at < wire.len() {
        let step = receiver.receive(&mut wire[at..]).expect("good frames");
        assert!(step.consumed > 0, "whole frames");
        if let Some(ws::Event::Data { range, .. }) = step.event {
            payload += range.len();
        }
        at += step.consumed;
    }
    payload
}

/// Receives the frames of a SPDY server that lie in `wire`, and tells how much payload they had.
///
/// # Panics
/// If they are not all good.
pub fn spdy_receive(wire: &[u8]) -> usize {
    let mut receiver = spdy::Receiver::new(Role::Client, &Limits::HOST, SkipBlocks);
    let (mut at, mut payload) = (0, 0);
    while at < wire.len() {
        let step = receiver.receive(&wire[at..]).expect("good frames");
        assert!(step.consumed > 0, "whole frames");
        if let Some(spdy::Event::Data { range, .. }) = step.event {
            payload += range.len();
        }
        at += step.consumed;
    }
    payload
}

/// Bytes that one read brings at most.
const READ: usize = 64 * 1024;

/// Heartbeats would stand between the frames that are counted.
const LIMITS: Limits = Limits { ping_interval: Duration::ZERO, idle: Duration::ZERO, ..Limits::HOST };

const STREAMS: StreamSet = StreamSet { stdin: true, stdout: true, stderr: false, tty: false };

/// A running session, and a driver that reads from memory and writes to it.
pub struct Bridge {
    legs: ExecBridge<WebSocketLeg, SpdyLeg<SkipBlocks>>,
    up: Lane<Vec<u8>>,
    down: Lane<Vec<u8>>,
    output: Vec<u8>,
}

impl Bridge {
    /// A session whose streams are all accepted.
    ///
    /// # Panics
    /// If it does not start.
    pub fn new() -> Self {
        let client = WebSocketLeg::server(Subprotocol::V5, &LIMITS);
        let lane = || Lane::new(vec![0; HEADROOM + READ]);
        let bridge = ExecBridge::new(client, STREAMS, &LIMITS);
        let mut session = Self { legs: bridge, up: lane(), down: lane(), output: vec![] };
        session.legs.connected(SpdyLeg::client(STREAMS, Subprotocol::V4, &LIMITS), Instant::ZERO);
        session.write(Side::Upstream);
        let mut writer = HeaderWriter::new();
        for stream in [1, 3, 5] {
            let mut reply = [0; 64];
            let stream = StreamId::new(stream).expect("a stream id");
            let length = writer.syn_reply(stream, &mut reply).expect("a reply is short");
            session.carry(Side::Upstream, &reply[..length]);
        }
        assert_eq!(session.legs.deadline(), None, "the session runs");
        session
    }

    /// Carries `traffic` from one side to the other, a read at a time.
    pub fn run(&mut self, traffic: &Traffic, direction: Direction) {
        self.output.clear();
        match direction {
            Direction::ToUpstream => self.carry(Side::Client, &traffic.wire),
            _ => self.carry(Side::Upstream, &traffic.wire),
        }
    }

    /// What the last run has written.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    fn carry(&mut self, from: Side, mut wire: &[u8]) {
        loop {
            let flow = match from {
                Side::Client => translate(&mut self.legs, from, &mut self.up),
                Side::Upstream => translate(&mut self.legs, from, &mut self.down),
            };
            self.write(from.other());
            if flow == Flow::NeedWrite {
                continue;
            }
            assert_eq!(flow, Flow::NeedInput, "nobody else is needed");
            if wire.is_empty() {
                return;
            }
            let lane = if from == Side::Client { &mut self.up } else { &mut self.down };
            let space = lane.space();
            let (piece, rest) = wire.split_at(wire.len().min(space.len()));
            space[..piece.len()].copy_from_slice(piece);
            lane.received(piece.len());
            wire = rest;
        }
    }

    fn write(&mut self, to: Side) {
        let lane = if to == Side::Client { &mut self.down } else { &mut self.up };
        let before = self.output.len();
        for slice in self.legs.output(to, lane) {
            self.output.extend_from_slice(slice);
        }
        written(&mut self.legs, to, lane, self.output.len() - before);
    }
}

impl Default for Bridge {
    fn default() -> Self {
        Self::new()
    }
}

/// On its own so that instructions can be counted in it and nowhere else.
#[inline(never)]
fn translate(
    bridge: &mut ExecBridge<WebSocketLeg, SpdyLeg<SkipBlocks>>,
    from: Side,
    lane: &mut Lane<Vec<u8>>,
) -> Flow {
    bridge.translate(from, lane, Instant::ZERO)
}

/// Likewise.
#[inline(never)]
fn written(
    bridge: &mut ExecBridge<WebSocketLeg, SpdyLeg<SkipBlocks>>,
    to: Side,
    lane: &mut Lane<Vec<u8>>,
    count: usize,
) {
    bridge.written(to, lane, count);
}
