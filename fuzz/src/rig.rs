use std::ops::ControlFlow;
use std::time::Duration;

use strait::bridge::{Bridge, Flow, Lane, Side};
use strait::ws::CONTROL_FRAME_BYTES;
use strait::{Instant, Limits};

use crate::script::{Script, Wire};

/// Without heartbeats, which the models of the peers do not know.
pub(crate) const LIMITS: Limits = Limits {
    ping_interval: Duration::ZERO,
    peer_timeout: Duration::ZERO,
    idle: Duration::ZERO,
    ..Limits::HOST
};

/// What both peers of a bridge send, and what they make of what they get.
pub(crate) trait Peers {
    type Bridge: Bridge;

    /// Upstream's leg, once it is dialled.
    fn upstream_leg(&self) -> <Self::Bridge as Bridge>::Upstream;

    fn wire(&mut self, side: Side) -> &mut Wire;

    /// Reads what the bridge has written to `side`.
    fn get(&mut self, side: Side, bytes: &[u8]);

    /// True if there is something that the client's input may wait for, upstream being connected.
    fn may_wait(&self) -> bool;

    /// True if the end of the session may wait for streams that the client has not opened yet.
    fn opens_streams(&self) -> bool {
        false
    }
}

/// A bridge between its peers, and a driver that does what it is told in any order.
pub(crate) struct Rig<P: Peers, const S: usize> {
    pub(crate) bridge: P::Bridge,
    pub(crate) peers: P,
    up: Lane<Vec<u8>, S>,
    down: Lane<Vec<u8>, S>,
    now: Instant,
    pub(crate) connected: bool,
    /// Something other than the peers has ended the session or a part of it.
    pub(crate) cut: bool,
}

impl<P: Peers, const S: usize> Rig<P, S> {
    pub(crate) fn new(mut bridge: P::Bridge, peers: P, memory: usize) -> Self {
        let up = bridge.lane_to(Side::Upstream, vec![0xee; memory]);
        let mut down = bridge.lane_to(Side::Client, vec![0xee; memory]);
        bridge.greet(&mut down);
        Self { bridge, peers, up, down, now: Instant::ZERO, connected: false, cut: false }
    }

    /// Acts 13, 14 and 15.
    pub(crate) fn act(&mut self, what: u8, how: u8, script: &mut Script<'_>) {
        let side = side(how);
        match what {
            13 => match how % 4 {
                0 => _ = self.translate(side),
                1 => _ = self.read(side, script.number().into()),
                2 => _ = self.write(side, script.number().into()),
                _ => self.settle(),
            },
            14 => self.happen(how % 8, side),
            _ => self.pass(script.number()),
        }
    }

    fn happen(&mut self, which: u8, side: Side) {
        let exists = side == Side::Client || self.connected;
        match which {
            0 => self.connect(),
            1 => self.peers.wire(side).ends = true,
            2 if exists => {
                self.bridge.lost(side, self.now);
                self.peers.wire(side).lost = true;
                self.cut = true;
            }
            3 if exists => {
                self.bridge.write_failed(side, self.now);
                self.peers.wire(side).lost |= side == Side::Client;
                self.cut = true;
            }
            4 => {
                self.bridge.shut_down();
                self.cut = true;
            }
            5 if !self.connected => {
                self.refuse(br#"{"status":"Failure","message":"refused","code":403}"#);
                self.cut = true;
            }
            6 if !self.connected => {
                self.refuse(b"no status");
                self.cut = true;
            }
            _ => {}
        }
    }

    /// Upstream refuses.
    pub(crate) fn refuse(&mut self, status: &[u8]) {
        self.bridge.refused(status, &mut self.down);
    }

    fn connect(&mut self) {
        if !self.connected && self.bridge.outcome().is_none() {
            self.connected = true;
            self.bridge.connected(self.peers.upstream_leg(), self.now);
        }
    }

    fn pass(&mut self, millis: u16) {
        self.now = Instant::from_millis(self.now.as_millis() + u64::from(millis));
        if self.bridge.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.bridge.time(self.now);
            self.cut = true;
        }
    }

    /// Runs the loop that the bridge's documentation tells, until nothing moves.
    pub(crate) fn settle(&mut self) {
        let sent = |side| self.peers.wire(side).bytes.len();
        let bytes: usize = [Side::Client, Side::Upstream].into_iter().map(sent).sum();
        for _ in 0..1000 + 2 * bytes {
            let upstream = self.translate(Side::Upstream);
            let client = self.translate(Side::Client);
            let mut moved = self.write(Side::Client, usize::MAX) | self.write(Side::Upstream, usize::MAX);
            if upstream != Flow::NeedWrite {
                moved |= self.read(Side::Upstream, usize::MAX);
            }
            if client != Flow::NeedWrite {
                moved |= self.read(Side::Client, usize::MAX);
            }
            if !moved {
                return;
            }
        }
        panic!("the session does not come to rest");
    }

    fn translate(&mut self, from: Side) -> Flow {
        let lane = if from == Side::Client { &mut self.up } else { &mut self.down };
        let flow = self.bridge.translate(from, lane, self.now);
        let left = lane.input().len();
        let has_output = self.bridge.has_output(Side::Client, &self.down)
            || self.bridge.has_output(Side::Upstream, &self.up);
        match flow {
            Flow::NeedInput => assert!(left < CONTROL_FRAME_BYTES, "{left} bytes of {from:?} are not enough"),
            Flow::NeedWrite => assert!(has_output, "nothing is there to be written"),
            Flow::NeedPeer => {
                let is_over = self.bridge.outcome().is_some();
                assert!(!is_over || self.peers.opens_streams(), "no peer is needed for an end");
                // Its end is read like its bytes.
                let upstream = self.peers.wire(Side::Upstream);
                let unread = self.down.has_input() || !upstream.waiting().is_empty() || upstream.ends;
                let unread = unread || (self.peers.opens_streams() && self.up.has_input());
                assert!(!self.connected || unread || self.peers.may_wait(), "{from:?} waits for nothing");
            }
        }
        flow
    }

    /// Reads up to `most` bytes; true if something moved.
    fn read(&mut self, from: Side, most: usize) -> bool {
        if from == Side::Upstream && !self.connected {
            return false;
        }
        let wire = self.peers.wire(from);
        if wire.lost || wire.eof {
            return false;
        }
        if wire.waiting().is_empty() {
            return wire.ends && self.end_of(from);
        }
        let lane = if from == Side::Client { &mut self.up } else { &mut self.down };
        let space = lane.space();
        let count = wire.waiting().len().min(space.len()).min(most);
        space[..count].copy_from_slice(&wire.waiting()[..count]);
        lane.received(count);
        wire.read += count;
        count > 0
    }

    /// Tells the end of a connection, once all that came before it is translated.
    fn end_of(&mut self, side: Side) -> bool {
        if self.translate(side) == Flow::NeedWrite {
            return false;
        }
        let lane = if side == Side::Client { &mut self.up } else { &mut self.down };
        if lane.space().is_empty() {
            return false;
        }
        self.bridge.eof(side, self.now);
        self.peers.wire(side).eof = true;
        true
    }

    /// Writes up to `most` bytes; true if something moved.
    fn write(&mut self, to: Side, most: usize) -> bool {
        if to == Side::Upstream && !self.connected {
            return false;
        }
        let lane = if to == Side::Client { &mut self.down } else { &mut self.up };
        if !self.bridge.is_writable(to) {
            let had = self.bridge.has_output(to, lane);
            self.bridge.discard_output(to, lane);
            assert!(!self.bridge.has_output(to, lane), "output that cannot be discarded");
            return had;
        }
        let mut written = vec![];
        let mut slices = 0;
        let _ = self.bridge.output(to, lane).try_for_each(|slice| {
            assert!(!slice.is_empty(), "an empty slice");
            slices += 1;
            let room = most - written.len();
            written.extend_from_slice(&slice[..slice.len().min(room)]);
            if written.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(slices <= S + 2, "{slices} slices");
        assert!(slices > 0 || !self.bridge.has_output(to, lane), "output that is not to be had");
        self.bridge.written(to, lane, written.len());
        self.peers.get(to, &written);
        !written.is_empty()
    }

    /// Lets the deadlines pass of a session that both peers have ended; there may be `most`.
    ///
    /// # Panics
    /// If it does not end, or leaves something unwritten.
    pub(crate) fn finish(&mut self, most: usize) {
        self.settle();
        for _ in 0..most {
            if self.bridge.is_finished() {
                break;
            }
            self.now = self.bridge.deadline().expect("a session that ends has a deadline");
            self.bridge.time(self.now);
            self.settle();
        }
        assert!(self.bridge.is_finished() && self.bridge.outcome().is_some(), "the session does not end");
        let left = self.bridge.has_output(Side::Client, &self.down)
            || (self.connected && self.bridge.has_output(Side::Upstream, &self.up));
        assert!(!left, "output is left");
    }
}

/// Which side an act is about.
pub(crate) const fn side(how: u8) -> Side {
    if how & 8 == 0 { Side::Upstream } else { Side::Client }
}
