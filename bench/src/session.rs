use std::env;
use std::time::{Duration, Instant as Clock};

use strait::Instant;
use strait::bridge::{Bridge, Flow, Lane, Side};
use strait_scenarios::{Direction, Scenario};

use crate::{Traffic, counted};

/// Bytes that one read brings at most.
const READ: usize = 64 * 1024;

/// With this variable every read is this short, as if the engine took no more at a time: what a regression gate has to notice.
const SLOW: &str = "STRAIT_SLOW";
const SLOW_READ: usize = 1024;

/// A running session, and a driver that reads from memory and writes to it.
pub(crate) struct Session<B> {
    bridge: B,
    up: Lane<Vec<u8>>,
    down: Lane<Vec<u8>>,
    /// What was written upstream, and to the client.
    output: [Vec<u8>; 2],
    read_limit: usize,
}

/// What one side sends, and how far it was read.
struct Cursor<'a> {
    traffic: &'a Traffic,
    from: Side,
    at: usize,
}

impl<B: Bridge> Session<B> {
    /// A session that has begun: upstream is there.
    pub(crate) fn new(mut bridge: B, upstream: B::Upstream, read_limit: usize) -> Self {
        let memory = || vec![0; strait::bridge::HEADROOM + READ];
        let (up, mut down) =
            (bridge.lane_to(Side::Upstream, memory()), bridge.lane_to(Side::Client, memory()));
        bridge.greet(&mut down);
        bridge.connected(upstream, Instant::ZERO);
        let read_limit = if env::var_os(SLOW).is_some() { SLOW_READ.min(read_limit) } else { read_limit };
        let mut session = Self { bridge, up, down, output: [vec![], vec![]], read_limit };
        session.write(Side::Client);
        session.write(Side::Upstream);
        session
    }

    /// Gives the session what `from` sends.
    pub(crate) fn receive(&mut self, from: Side, bytes: &[u8]) {
        let mut rest = bytes;
        while self.turn(from) == Flow::NeedWrite || !rest.is_empty() {
            let space = self.lane(from).space();
            let (piece, behind) = rest.split_at(rest.len().min(space.len()));
            space[..piece.len()].copy_from_slice(piece);
            self.lane(from).received(piece.len());
            rest = behind;
        }
        // What it is answered.
        self.write(from);
    }

    /// Carries what both sides send in `scenario`, verifies it, and tells how long it took, copies for reading and writing
    /// included.
    pub(crate) fn run(&mut self, scenario: &Scenario, client: &Traffic, upstream: &Traffic) -> Duration {
        for output in &mut self.output {
            output.clear();
        }
        let mut from_client = Cursor { traffic: client, from: Side::Client, at: 0 };
        let mut from_upstream = Cursor { traffic: upstream, from: Side::Upstream, at: 0 };
        let start = Clock::now();
        match scenario.direction {
            Direction::ToUpstream => while self.carry(&mut from_client) {},
            Direction::ToClient => while self.carry(&mut from_upstream) {},
            Direction::Both | Direction::Echo => {
                while self.carry(&mut from_client) | self.carry(&mut from_upstream) {}
            }
        }
        let time = start.elapsed();
        for (cursor, output) in [(from_client, &self.output[0]), (from_upstream, &self.output[1])] {
            if cursor.at > 0 {
                cursor.traffic.verify_output(output);
            } else {
                assert!(output.is_empty(), "nothing was sent");
            }
        }
        assert_eq!(self.bridge.outcome(), None, "the session goes on");
        time
    }

    /// One read, and all that comes of it; false if nothing is left.
    fn carry(&mut self, cursor: &mut Cursor<'_>) -> bool {
        let Cursor { traffic, from, at } = cursor;
        let room = self.lane(*from).space().len().min(self.read_limit);
        let piece = &traffic.wire[*at..traffic.stop(*at).min(*at + room)];
        if piece.is_empty() {
            return false;
        }
        self.lane(*from).space()[..piece.len()].copy_from_slice(piece);
        self.lane(*from).received(piece.len());
        *at += piece.len();
        while self.turn(*from) == Flow::NeedWrite {}
        true
    }

    fn turn(&mut self, from: Side) -> Flow {
        let flow = match from {
            Side::Client => counted::translate(&mut self.bridge, from, &mut self.up),
            Side::Upstream => counted::translate(&mut self.bridge, from, &mut self.down),
        };
        assert!(matches!(flow, Flow::NeedWrite | Flow::NeedInput), "nobody else is needed");
        self.write_once(from.other());
        flow
    }

    /// Until nothing is left: what is written may make room for more.
    fn write(&mut self, to: Side) {
        while self.write_once(to) > 0 {}
    }

    fn write_once(&mut self, to: Side) -> usize {
        let (lane, output) = match to {
            Side::Client => (&mut self.down, &mut self.output[1]),
            Side::Upstream => (&mut self.up, &mut self.output[0]),
        };
        let before = output.len();
        let mut slices = [&[][..]; counted::SLICES];
        let count = counted::output(&self.bridge, to, lane, &mut slices);
        for slice in &slices[..count] {
            output.extend_from_slice(slice);
        }
        let count = output.len() - before;
        if count > 0 {
            counted::written(&mut self.bridge, to, lane, count);
        }
        count
    }

    fn lane(&mut self, from: Side) -> &mut Lane<Vec<u8>> {
        match from {
            Side::Client => &mut self.up,
            Side::Upstream => &mut self.down,
        }
    }
}
