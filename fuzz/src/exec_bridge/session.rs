use strait::bridge::{Bridge as _, ExecBridge, HEADROOM, Outcome, Side};
use strait::k8s::{Channel, StreamSet, Subprotocol};
use strait::leg::{SpdyLeg, WebSocketLeg};
use strait::spdy::SkipBlocks;

use super::Report;
use super::client::Client;
use super::upstream::Upstream;
use crate::rig::{LIMITS, Peers, Rig};
use crate::script::{Script, Wire};

/// The peers of an exec session.
pub(super) struct Pair {
    client: Client,
    upstream: Upstream,
    set: StreamSet,
}

impl Peers for Pair {
    type Bridge = ExecBridge<WebSocketLeg, SpdyLeg<SkipBlocks>>;

    fn upstream_leg(&self) -> SpdyLeg<SkipBlocks> {
        SpdyLeg::client(self.set, Subprotocol::V4, &LIMITS)
    }

    fn wire(&mut self, side: Side) -> &mut Wire {
        match side {
            Side::Client => &mut self.client.wire,
            Side::Upstream => &mut self.upstream.wire,
        }
    }

    fn get(&mut self, side: Side, bytes: &[u8]) {
        match side {
            Side::Client => self.client.get(bytes),
            Side::Upstream => self.upstream.get(bytes, &mut self.client.input),
        }
    }

    fn may_wait(&self) -> bool {
        !self.upstream.has_answered() || self.upstream.raw
    }
}

/// A bridge, its driver and both its peers.
pub(super) struct Session<const S: usize> {
    rig: Rig<Pair, S>,
    memory: usize,
}

impl<const S: usize> Session<S> {
    pub(super) fn new(set: StreamSet, memory: usize) -> Self {
        let leg = WebSocketLeg::server(Subprotocol::V5, &LIMITS);
        let pair = Pair { client: Client::new(set.ready_channel()), upstream: Upstream::new(set), set };
        Self { rig: Rig::new(ExecBridge::new(leg, set, &LIMITS), pair, memory), memory }
    }

    pub(super) fn run(mut self, mut script: Script<'_>) -> Report {
        while let Some((what, how)) = script.act() {
            self.act(what, how, &mut script);
        }
        self.rig.settle();
        self.check_rest();
        let outcome = self.rig.bridge.outcome();
        self.end();
        let client = self.rig.peers.client;
        Report {
            outcome,
            input: client.input.received,
            output: client.stdout.received + client.stderr.received,
            status: client.status,
        }
    }

    fn act(&mut self, what: u8, how: u8, script: &mut Script<'_>) {
        let thrice = |len: u16| usize::from(len) * if how & 4 == 0 { 1 } else { 3 };
        let Pair { client, upstream, .. } = &mut self.rig.peers;
        match what {
            0 => client.send_input(thrice(script.number()), how & 1 != 0, how & 2 != 0),
            1 => client.send_size(script.number(), script.number()),
            2 => client.send_other(script.byte(), script.byte()),
            3 => client.send_ping(script.byte(), how & 1 != 0),
            4 => client.half_close(how),
            5 => client.close((how & 1 == 0).then_some(1000)),
            6 => {
                client.send_raw(script.counted());
                upstream.client_raw = client.raw;
            }
            7 if how >= 5 => upstream.accept_all(),
            7 => upstream.accept(Channel::new(how)),
            8 => {
                let channel = if how & 1 == 0 { Channel::STDOUT } else { Channel::STDERR };
                upstream.send_output(channel, thrice(script.number()), how & 2 != 0);
            }
            9 => upstream.send_status(how, how & 8 != 0),
            10 => upstream.reset(Channel::new(how % 5)),
            11 => upstream.send_control(how),
            12 => upstream.send_raw(script.counted()),
            _ => self.rig.act(what, how, script),
        }
        let Pair { client, upstream, .. } = &mut self.rig.peers;
        client.stdout.sent = upstream.stdout;
        client.stderr.sent = upstream.stderr;
        client.upstream_raw = upstream.raw;
    }

    /// What must hold when nothing moves any more.
    fn check_rest(&self) {
        let Rig { bridge, peers: Pair { client, upstream, .. }, connected, cut, .. } = &self.rig;
        if bridge.is_writable(Side::Client) {
            assert!(client.inbox.is_at_frame(), "a part of a frame");
        }
        if *cut || upstream.raw || !client.is_well() {
            return;
        }
        if *connected {
            assert!(client.stdout.is_complete() && client.stderr.is_complete(), "output is missing");
            assert!(upstream.inbox.is_at_frame(), "a part of a frame");
        }
        if bridge.outcome().is_some() {
            self.check_status();
            return;
        }
        // A ping that stands behind input waits with it.
        if !connected || !upstream.has_answered() {
            return;
        }
        assert_eq!(client.inbox.pongs, client.inbox.pings.len(), "each ping is answered");
        assert_eq!(upstream.control.answers, upstream.control.pings, "each PING is answered");
        if let Some(stdin) = upstream.stream(Channel::STDIN)
            && !stdin.reset
        {
            assert!(client.input.is_complete(), "input is missing");
            assert_eq!(stdin.got_fin, client.input_ended, "the end of the input");
        }
        if let Some(resize) = upstream.stream(Channel::RESIZE)
            && !resize.reset
        {
            assert_eq!(upstream.size, client.size, "the newest size");
        }
    }

    /// The session has ended, and its client has got all of it.
    fn check_status(&self) {
        let Pair { client, upstream, .. } = &self.rig.peers;
        assert!(client.inbox.close.is_some(), "a Close comes last");
        let status = client.status.as_deref().expect("each session has a status");
        let fits = HEADROOM + upstream.status.len() <= self.memory;
        if self.rig.bridge.outcome() == Some(Outcome::Completed) && fits {
            assert_eq!(status, upstream.status, "the status is upstream's");
        }
    }

    /// Brings the session to its end.
    fn end(&mut self) {
        if self.rig.connected {
            self.rig.peers.upstream.end();
        } else {
            self.rig.refuse(b"");
        }
        let Pair { client, upstream, .. } = &mut self.rig.peers;
        client.stdout.sent = upstream.stdout;
        self.rig.settle();
        self.check_rest();
        let client = &mut self.rig.peers.client;
        if !client.closed {
            client.close(Some(1000));
        }
        client.wire.ends = true;
        self.rig.finish(1);
    }
}
