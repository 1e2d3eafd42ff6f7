//! A session between our own ends, act by act: the low half of the first byte of an act says what, the high half how, and
//! arguments follow (little-endian).
//!
//! | low half | act | high half | arguments |
//! |---|---|---|---|
//! | 0 | the client sends input | 4 thrice the length | length u16 |
//! | 1 | the client ends its input | - | - |
//! | 2 | the client sends a terminal size | - | columns u16, rows u16 |
//! | 3 | an end sends a heartbeat | 8 client | - |
//! | 4 | the client closes | - | - |
//! | 5 | the node sends output | 1 stderr, 4 thrice the length | length u16 |
//! | 6 | the node ends an output or (2) the error stream | 1 stderr | - |
//! | 7 | the node sends a status | which | - |
//! | 8 | the node closes | - | - |
//! | 13, 14, 15 | the driver, connections, time | as in [`exec_bridge`](fn@crate::exec_bridge) | |

mod end;
mod model;

use strait::bridge::{Bridge as _, ExecBridge, Outcome, Side};
use strait::k8s::{Channel, StreamSet};
use strait::leg::{Close, Event};

use self::end::{AnyLeg, End, Speaks};
use self::model::{Ends, Model};
use crate::rig::{LIMITS, Peers, Rig};
use crate::script::{Flow, Script, Wire, streams};

/// Bytes of a status that every lane here can hold. What is longer is not the model's matter.
const STATUS: usize = 512;

/// Our client's leg, the bridge, and our server's leg, of every version on either side, next to a model of the session that knows
/// no bytes.
///
/// # Panics
/// If the session and the model differ, or if one end of ours refuses what the other one sends.
pub fn session_model(data: &[u8]) {
    play_session(data);
}

/// Like [`session_model`]; tells how the session had ended before it was brought to its end, and what the client got as its
/// status. `None` if there are not even streams.
///
/// # Panics
/// As [`session_model`].
pub fn play_session(data: &[u8]) -> Option<(Option<Outcome>, Vec<u8>)> {
    let &[client, upstream, asked, memory, ref script @ ..] = data else { return None };
    let set = streams(asked)?;
    let client = Speaks::CLIENTS[usize::from(client) % Speaks::CLIENTS.len()];
    let upstream = Speaks::UPSTREAMS[usize::from(upstream) % Speaks::UPSTREAMS.len()];
    let memory = [64 * 1024, 6000, 16 * 1024, 8192][usize::from(memory % 4)];
    Some(Session::new(client, upstream, set, memory).run(Script(script)))
}

/// Both ends, and what they have got.
struct Pair {
    client: End,
    node: End,
    set: StreamSet,
    upstream: Speaks,
    model: Model,
    stdin: Flow,
    stdout: Flow,
    stderr: Flow,
    /// The node was told the end of the input.
    stdin_ended: bool,
    size: Option<(u16, u16)>,
    status: Vec<u8>,
    client_was_closed: bool,
}

impl Peers for Pair {
    type Bridge = ExecBridge<AnyLeg, AnyLeg>;

    fn upstream_leg(&self) -> AnyLeg {
        self.upstream.client(self.set, &LIMITS)
    }

    fn wire(&mut self, side: Side) -> &mut Wire {
        match side {
            Side::Client => &mut self.client.wire,
            Side::Upstream => &mut self.node.wire,
        }
    }

    fn get(&mut self, side: Side, bytes: &[u8]) {
        match side {
            Side::Client => self.client_gets(bytes),
            Side::Upstream => self.node_gets(bytes),
        }
    }

    fn may_wait(&self) -> bool {
        !self.node.is_ready() || !self.client.wire.waiting().is_empty()
    }

    fn opens_streams(&self) -> bool {
        !self.model.client.is_websocket()
    }
}

impl Pair {
    fn client_gets(&mut self, bytes: &[u8]) {
        self.stdout.sent = self.model.stdout;
        self.stderr.sent = self.model.stderr;
        let Self { client, stdout, stderr, status, client_was_closed, .. } = self;
        client.get(bytes, |event, payload| match event {
            Event::Data { channel: Channel::STDOUT, .. } => stdout.arrive(1, payload, false),
            Event::Data { channel: Channel::STDERR, .. } => stderr.arrive(2, payload, false),
            Event::Data { channel: Channel::ERROR, .. } => status.extend_from_slice(payload),
            Event::Data { channel, .. } => panic!("payload on {channel}"),
            Event::End { .. } => *client_was_closed = true,
            _ => {}
        });
    }

    fn node_gets(&mut self, bytes: &[u8]) {
        self.stdin.sent = self.model.stdin;
        let Self { node, stdin, stdin_ended, size, .. } = self;
        node.get(bytes, |event, payload| match event {
            Event::Data { channel: Channel::STDIN, .. } => {
                assert!(!*stdin_ended, "input behind its end");
                stdin.arrive(0, payload, false);
            }
            Event::Data { channel, .. } => panic!("payload on {channel}"),
            Event::HalfClosed(Channel::STDIN) => *stdin_ended = true,
            Event::Resize(new) => *size = Some((new.columns, new.rows)),
            _ => {}
        });
    }
}

struct Session {
    rig: Rig<Pair, 8>,
}

impl Session {
    fn new(client: Speaks, upstream: Speaks, set: StreamSet, memory: usize) -> Self {
        let bridge = ExecBridge::new(client.server(set, &LIMITS), set, &LIMITS);
        let pair = Pair {
            client: End::new(client.client(set, &LIMITS)),
            node: End::new(upstream.server(set, &LIMITS)),
            set,
            upstream,
            model: Model::new(client, upstream, set),
            stdin: Flow::default(),
            stdout: Flow::default(),
            stderr: Flow::default(),
            stdin_ended: false,
            size: None,
            status: vec![],
            client_was_closed: false,
        };
        Self { rig: Rig::new(bridge, pair, memory) }
    }

    fn run(mut self, mut script: Script<'_>) -> (Option<Outcome>, Vec<u8>) {
        while let Some((what, how)) = script.act() {
            self.act(what, how, &mut script);
        }
        self.rig.settle();
        self.check();
        let outcome = self.rig.bridge.outcome();
        self.end();
        (outcome, self.rig.peers.status)
    }

    fn act(&mut self, what: u8, how: u8, script: &mut Script<'_>) {
        let thrice = |len: u16| usize::from(len) * if how & 4 == 0 { 1 } else { 3 };
        let output = if how & 1 == 0 { Channel::STDOUT } else { Channel::STDERR };
        let Pair { client, node, model, .. } = &mut self.rig.peers;
        match what {
            0 => {
                let len = client.wire.allows(thrice(script.number()));
                if !model.stdin_ended && client.send(Channel::STDIN, model.stdin, len) {
                    model.input(len);
                }
            }
            1 => {
                if !model.stdin_ended && client.end(Channel::STDIN) {
                    model.stdin_ended = true;
                }
            }
            2 => {
                let size = (script.number().max(1), script.number().max(1));
                if client.resize(size) {
                    model.size = Some(size);
                }
            }
            3 if how & 8 != 0 => client.ping(),
            3 => node.ping(),
            4 => {
                if client.close(Close::Normal) {
                    model.client_closed();
                }
            }
            5 => {
                let len = node.wire.allows(thrice(script.number()));
                if node.send(output, model.sent(output), len) {
                    model.output(output, len);
                }
            }
            6 => {
                let channel = if how & 2 == 0 { output } else { Channel::ERROR };
                if node.end(channel) {
                    model.ended(channel);
                }
            }
            7 => self.send_status(how),
            8 => {
                if node.close(Close::Normal) {
                    model.upstream_closed();
                }
            }
            14 if how % 8 == 1 => {
                self.rig.act(what, how, script);
                self.note_ends();
            }
            _ => self.rig.act(what, how, script),
        }
    }

    fn send_status(&mut self, which: u8) {
        let Pair { node, model, .. } = &mut self.rig.peers;
        let status = model::STATUSES[usize::from(which) % model::STATUSES.len()];
        let space = vec![b' '; if which < 8 { 0 } else { 300 }];
        let status = [status, &space].concat();
        if model.has_room_for(&status) && node.say(Channel::ERROR, &status) {
            model.status(&status);
        }
    }

    /// A connection that ends without a word.
    fn note_ends(&mut self) {
        let Pair { client, node, model, .. } = &mut self.rig.peers;
        if client.wire.ends {
            model.client_ended(Ends::Lost);
        }
        if node.wire.ends {
            model.upstream_lost();
        }
    }

    /// What must hold when nothing moves any more.
    fn check(&self) {
        let Rig { bridge, peers, connected, cut, .. } = &self.rig;
        let Pair { client, node, model, .. } = peers;
        if *cut {
            return;
        }
        let causes = model.causes(*connected);
        let Some(outcome) = bridge.outcome() else {
            // Until upstream is there, a Close behind input waits with it.
            if *connected {
                assert!(causes.is_empty(), "the session goes on in spite of {causes:?}");
                self.check_running();
            }
            return;
        };
        let end = Ends::of(outcome);
        // A Close that lies behind input which waits for upstream is not seen before the end of the connection.
        let is_unseen_close = end == Ends::Lost && causes.contains(&Ends::Closed);
        let is_refused =
            end == Ends::UpstreamLost && causes.contains(&Ends::Completed) && model.may_be_refused();
        let is_known = causes.contains(&end) || is_unseen_close || is_refused;
        assert!(is_known, "{outcome:?} without a cause: {causes:?}");
        if causes != [end] || !matches!(end, Ends::Completed | Ends::UpstreamLost) {
            return;
        }
        assert!(client.is_at_frame(), "a part of a frame");
        assert_eq!((peers.stdout.received, peers.stderr.received), model.delivered(), "output");
        let expected = model.status_for_client();
        assert_eq!(
            peers.status.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "{outcome:?}"
        );
        assert!(peers.client_was_closed || !model.client.closes_first(), "a Close comes last");
        let _ = node;
    }

    fn check_running(&self) {
        let Pair { client, node, model, .. } = &self.rig.peers;
        let peers = &self.rig.peers;
        assert!(client.is_at_frame() && node.is_at_frame(), "a part of a frame");
        assert_eq!(peers.stdin.received, model.stdin, "input");
        assert_eq!(peers.stdin_ended, model.stdin_ended && model.can_end_stdin(), "the end of the input");
        assert_eq!((peers.stdout.received, peers.stderr.received), model.delivered(), "output");
        assert_eq!(peers.status, b"", "a status");
        if model.has_sizes() {
            assert_eq!(peers.size, model.size, "the newest size");
        } else {
            assert_eq!(peers.size, None, "a size for nobody");
        }
        // A SPDY leg tells of the answer to its last ping alone.
        let is_answered = |pings, pongs| pongs <= pings && (pongs > 0 || pings == 0);
        assert!(is_answered(client.pings, client.pongs), "each heartbeat of the client is answered");
        assert!(is_answered(node.pings, node.pongs), "each heartbeat of the node is answered");
    }

    /// Brings the session to its end.
    fn end(&mut self) {
        if self.rig.connected {
            for channel in [Channel::STDOUT, Channel::STDERR] {
                let Pair { node, model, .. } = &mut self.rig.peers;
                if node.end(channel) {
                    model.ended(channel);
                }
            }
            self.send_status(0);
            let Pair { node, model, .. } = &mut self.rig.peers;
            if node.close(Close::Normal) {
                model.upstream_closed();
            }
            node.wire.ends = true;
        } else {
            self.rig.refuse(b"");
            self.rig.cut = true;
        }
        self.rig.settle();
        self.note_ends();
        self.check();
        let Pair { client, .. } = &mut self.rig.peers;
        client.close(Close::Normal);
        client.wire.ends = true;
        self.rig.finish(2);
    }
}
