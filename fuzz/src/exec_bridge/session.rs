use std::ops::ControlFlow;
use std::time::Duration;

use strait::bridge::{Bridge as _, ExecBridge, Flow, HEADROOM, Lane, Outcome, Side};
use strait::k8s::{Channel, StreamSet, Subprotocol};
use strait::leg::{SpdyLeg, WebSocketLeg};
use strait::spdy::SkipBlocks;
use strait::ws::CONTROL_FRAME_BYTES;
use strait::{Instant, Limits};

use super::client::Client;
use super::upstream::Upstream;
use super::{Report, Script, Wire};

/// Without heartbeats, which the model of the peers does not know.
const LIMITS: Limits = Limits {
    ping_interval: Duration::ZERO,
    peer_timeout: Duration::ZERO,
    idle: Duration::ZERO,
    ..Limits::HOST
};

/// Room for the session's status in the bridge.
const STATUS: usize = 512;

/// A bridge, its driver and both its peers.
pub(super) struct Session<const S: usize> {
    bridge: ExecBridge<WebSocketLeg, SpdyLeg<SkipBlocks>, STATUS>,
    up: Lane<Vec<u8>, S>,
    down: Lane<Vec<u8>, S>,
    client: Client,
    upstream: Upstream,
    now: Instant,
    set: StreamSet,
    memory: usize,
    connected: bool,
    /// Something other than the peers has ended the session or a part of it.
    cut: bool,
}

impl<const S: usize> Session<S> {
    pub(super) fn new(set: StreamSet, memory: usize) -> Self {
        let client = WebSocketLeg::server(Subprotocol::V5, &LIMITS);
        let mut session = Self {
            bridge: ExecBridge::new(client, set, &LIMITS),
            up: Lane::new(vec![0xee; memory]),
            down: Lane::new(vec![0xee; memory]),
            client: Client::new(set.ready_channel()),
            upstream: Upstream::new(set),
            now: Instant::ZERO,
            set,
            memory,
            connected: false,
            cut: false,
        };
        session.bridge.greet(&mut session.down);
        session
    }

    pub(super) fn run(mut self, mut script: Script<'_>) -> Report {
        while let Some((what, how)) = script.act() {
            self.act(what, how, &mut script);
        }
        self.settle();
        self.check_rest();
        let outcome = self.bridge.outcome();
        self.end();
        Report {
            outcome,
            input: self.client.input.received,
            output: self.client.stdout.received + self.client.stderr.received,
            status: self.client.status,
        }
    }

    fn act(&mut self, what: u8, how: u8, script: &mut Script<'_>) {
        let thrice = |len: u16| usize::from(len) * if how & 4 == 0 { 1 } else { 3 };
        let side = if how & 8 == 0 { Side::Upstream } else { Side::Client };
        match what {
            0 => self.client.send_input(thrice(script.number()), how & 1 != 0, how & 2 != 0),
            1 => self.client.send_size(script.number(), script.number()),
            2 => self.client.send_other(script.byte(), script.byte()),
            3 => self.client.send_ping(script.byte(), how & 1 != 0),
            4 => self.client.half_close(how),
            5 => self.client.close((how & 1 == 0).then_some(1000)),
            6 => {
                let len = script.byte().into();
                self.client.send_raw(script.bytes(len));
                self.upstream.client_raw = self.client.raw;
            }
            7 if how >= 5 => self.upstream.accept_all(),
            7 => self.upstream.accept(Channel::new(how)),
            8 => {
                let channel = if how & 1 == 0 { Channel::STDOUT } else { Channel::STDERR };
                self.upstream.send_output(channel, thrice(script.number()), how & 2 != 0);
            }
            9 => self.upstream.send_status(how, how & 8 != 0),
            10 => self.upstream.reset(Channel::new(how % 5)),
            11 => self.upstream.send_control(how),
            12 => {
                let len = script.byte().into();
                self.upstream.send_raw(script.bytes(len));
            }
            13 => match how % 4 {
                0 => _ = self.translate(side),
                1 => _ = self.read(side, script.number().into()),
                2 => _ = self.write(side, script.number().into()),
                _ => self.settle(),
            },
            14 => self.happen(how % 8, side),
            _ => self.pass(script.number()),
        }
        self.client.stdout.sent = self.upstream.stdout;
        self.client.stderr.sent = self.upstream.stderr;
        self.client.upstream_raw = self.upstream.raw;
    }

    fn happen(&mut self, which: u8, side: Side) {
        match which {
            0 => self.connect(),
            1 => self.wire(side).ends = true,
            2 if side == Side::Client || self.connected => {
                self.bridge.lost(side, self.now);
                self.wire(side).lost = true;
                self.cut = true;
            }
            3 if side == Side::Client || self.connected => {
                self.bridge.write_failed(side, self.now);
                self.client.wire.lost |= side == Side::Client;
                self.cut = true;
            }
            4 => {
                self.bridge.shut_down();
                self.cut = true;
            }
            5 if !self.connected => {
                self.bridge.refused(br#"{"status":"Failure","message":"refused","code":403}"#);
                self.cut = true;
            }
            6 if !self.connected => {
                self.bridge.refused(b"no status");
                self.cut = true;
            }
            _ => {}
        }
    }

    fn connect(&mut self) {
        if !self.connected && self.bridge.outcome().is_none() {
            self.connected = true;
            self.bridge.connected(SpdyLeg::client(self.set, Subprotocol::V4, &LIMITS), self.now);
        }
    }

    fn pass(&mut self, millis: u16) {
        self.now = Instant::from_millis(self.now.as_millis() + u64::from(millis));
        if self.bridge.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.bridge.time(self.now);
            self.cut = true;
        }
    }

    fn wire(&mut self, side: Side) -> &mut Wire {
        match side {
            Side::Client => &mut self.client.wire,
            Side::Upstream => &mut self.upstream.wire,
        }
    }

    /// Runs the loop that the bridge's documentation tells, until nothing moves.
    fn settle(&mut self) {
        let bytes = self.client.wire.bytes.len() + self.upstream.wire.bytes.len();
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
                assert!(self.bridge.outcome().is_none(), "no peer is needed for an end");
                assert!(
                    !self.upstream.has_answered() || !self.connected || self.down.has_input() || {
                        !self.upstream.wire.waiting().is_empty() || self.upstream.raw
                    }
                );
            }
        }
        flow
    }

    /// Reads up to `most` bytes; true if something moved.
    fn read(&mut self, from: Side, most: usize) -> bool {
        if from == Side::Upstream && !self.connected {
            return false;
        }
        let wire = self.wire(from);
        if wire.lost || wire.eof {
            return false;
        }
        if wire.waiting().is_empty() {
            return wire.ends && self.end_of(from);
        }
        let (wire, lane) = match from {
            Side::Client => (&mut self.client.wire, &mut self.up),
            Side::Upstream => (&mut self.upstream.wire, &mut self.down),
        };
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
        self.wire(side).eof = true;
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
        match to {
            Side::Client => self.client.get(&written),
            Side::Upstream => self.upstream.get(&written, &mut self.client.input),
        }
        !written.is_empty()
    }

    /// What must hold when nothing moves any more.
    fn check_rest(&self) {
        if self.bridge.is_writable(Side::Client) {
            assert!(self.client.is_at_frame(), "a part of a frame");
        }
        if self.cut || self.upstream.raw || !self.client.is_well() {
            return;
        }
        if self.connected {
            assert!(
                self.client.stdout.is_complete() && self.client.stderr.is_complete(),
                "output is missing"
            );
            assert!(self.upstream.is_at_frame(), "a part of a frame");
        }
        if self.bridge.outcome().is_some() {
            self.check_status();
            return;
        }
        // A ping that stands behind input waits with it.
        if !self.connected || !self.upstream.has_answered() {
            return;
        }
        assert_eq!(self.client.pongs, self.client.pings.len(), "each ping is answered");
        assert_eq!(self.upstream.ping_answers, self.upstream.pings, "each PING is answered");
        if let Some(stdin) = self.upstream.stream(Channel::STDIN)
            && !stdin.reset
        {
            assert!(self.client.input.is_complete(), "input is missing");
            assert_eq!(stdin.got_fin, self.client.input_ended, "the end of the input");
        }
        if let Some(resize) = self.upstream.stream(Channel::RESIZE)
            && !resize.reset
        {
            assert_eq!(self.upstream.size, self.client.size, "the newest size");
        }
    }

    /// The session has ended, and its client has got all of it.
    fn check_status(&self) {
        assert!(self.client.got_close, "a Close comes last");
        let status = self.client.status.as_deref().expect("each session has a status");
        let fits = HEADROOM + self.upstream.status.len() <= self.memory;
        if self.bridge.outcome() == Some(Outcome::Completed) && fits {
            assert_eq!(status, self.upstream.status, "the status is upstream's");
        }
    }

    /// Brings the session to its end.
    fn end(&mut self) {
        if self.connected {
            self.upstream.end();
        } else {
            self.bridge.refused(b"");
        }
        self.client.stdout.sent = self.upstream.stdout;
        self.settle();
        self.check_rest();
        if !self.client.closed {
            self.client.close(Some(1000));
        }
        self.client.wire.ends = true;
        self.settle();
        if !self.bridge.is_finished() {
            let deadline = self.bridge.deadline().expect("a session that ends has a deadline");
            self.now = deadline;
            self.bridge.time(deadline);
            self.settle();
        }
        assert!(self.bridge.is_finished() && self.bridge.outcome().is_some());
        let left = self.bridge.has_output(Side::Client, &self.down)
            || (self.connected && self.bridge.has_output(Side::Upstream, &self.up));
        assert!(!left, "output is left");
    }
}
