//! A legacy port-forward as a sequence of acts, one or more bytes each: the low half of the first byte says what, the high half
//! how, and arguments follow (little-endian).
//!
//! | low half | act | high half | arguments |
//! |---|---|---|---|
//! | 0 | the client sends to a port | its index, 8 thrice the length | length u16 |
//! | 1 | the client sends on another channel | - | channel, length u8 |
//! | 2 | the client sends a ping, or (1) a pong | 1 | length u8 |
//! | 3 | the client sends a Close | 1 without a code | - |
//! | 4 | the client sends what follows, as it is | - | length u8, bytes |
//! | 5 | upstream accepts a stream that it was sent, by its place; 8: reads all that there is, and accepts all | place | - |
//! | 6 | upstream sends from a port | its index, 4 with FIN, 8 thrice the length | length u16 |
//! | 7 | upstream sends a text about a port | its index, 4 with FIN | length u8 |
//! | 8 | upstream resets a stream, by its place | place | - |
//! | 9 | upstream sends PING, SETTINGS, `WINDOW_UPDATE`, GOAWAY | which | - |
//! | 10 | upstream sends what follows, as it is | - | length u8, bytes |
//! | 13, 14, 15 | the driver, ends of connections, time: as of an exec session | | |

mod client;
mod upstream;

use std::fmt::Write as _;

use strait::bridge::{Bridge as _, Outcome, PortsBridge, Side};
use strait::k8s::{Ports, Subprotocol, Target};
use strait::leg::{SpdyPorts, WebSocketPorts};

use self::client::Client;
use self::upstream::Upstream;
use crate::rig::{LIMITS, Peers, Rig};
use crate::script::{Script, Wire};

/// Most ports of a session, and what comes of each is kept in.
const MOST: usize = 4;

/// A session of a bridge between a legacy WebSocket client and a SPDY upstream.
///
/// # Panics
/// If a byte of a port is lost, repeated or misplaced, if a peer gets what breaks its protocol, if a text is lost, or if the
/// session does not come to rest or does not end.
pub fn ports_bridge(data: &[u8]) {
    play_ports(data);
}

/// Like [`ports_bridge`]; tells how the session ended by itself, and the bytes that upstream and the client got of all ports. `None`
/// if there is no session.
///
/// # Panics
/// As [`ports_bridge`].
pub fn play_ports(data: &[u8]) -> Option<(Option<Outcome>, usize, usize)> {
    let &[shape, memory, ref script @ ..] = data else { return None };
    let count = usize::from(shape & 3) + 1;
    let protocol = if shape & 4 == 0 { Subprotocol::V4 } else { Subprotocol::V4Base64 };
    let memory = [64 * 1024, 300, 600, 4096][usize::from(memory % 4)];
    Some(Session::new(count, protocol, memory).run(Script(script)))
}

/// The peers of a port-forward.
struct Pair {
    client: Client,
    upstream: Upstream,
    ports: Ports<MOST>,
}

impl Peers for Pair {
    type Bridge = PortsBridge<SpdyPorts<MOST>, MOST>;

    fn upstream_leg(&self) -> SpdyPorts<MOST> {
        SpdyPorts::client(self.ports.clone(), &LIMITS)
    }

    fn wire(&mut self, side: Side) -> &mut Wire {
        match side {
            Side::Client => &mut self.client.wire,
            Side::Upstream => &mut self.upstream.wire,
        }
    }

    fn get(&mut self, side: Side, bytes: &[u8]) {
        match side {
            Side::Client => self.client.get(bytes, &self.upstream),
            Side::Upstream => self.upstream.get(bytes, &mut self.client),
        }
    }

    fn may_wait(&self) -> bool {
        !self.upstream.has_all_streams()
    }
}

struct Session {
    rig: Rig<Pair, 64>,
    count: usize,
}

impl Session {
    fn new(count: usize, protocol: Subprotocol, memory: usize) -> Self {
        let mut target = String::from("/portForward/n/p?port=");
        for port in client::PORTS.iter().take(count) {
            let _ = write!(target, "{port},");
        }
        let target = Target::parse(target.trim_end_matches(',')).expect("a target");
        let ports = Ports::of(&target, protocol).expect("a few ports");
        let leg = WebSocketPorts::server(protocol, &LIMITS);
        let bridge = PortsBridge::new(leg, ports.clone(), &LIMITS);
        let pair = Pair { client: Client::new(protocol, count), upstream: Upstream::new(count), ports };
        Self { rig: Rig::new(bridge, pair, memory), count }
    }

    fn run(mut self, mut script: Script<'_>) -> (Option<Outcome>, usize, usize) {
        while let Some((what, how)) = script.act() {
            self.act(what, how, &mut script);
        }
        self.rig.settle();
        self.check_rest();
        let outcome = self.rig.bridge.outcome();
        self.end();
        let Pair { client, upstream, .. } = &self.rig.peers;
        let input = client.input.iter().map(|flow| flow.received).sum();
        let output = client.output.iter().zip(&upstream.ports).map(|(received, _)| received.received).sum();
        (outcome, input, output)
    }

    fn act(&mut self, what: u8, how: u8, script: &mut Script<'_>) {
        let thrice = |len: u16| usize::from(len) * if how & 8 == 0 { 1 } else { 3 };
        let port = usize::from(how & 3) % self.count;
        if what == 5 && how >= 8 {
            // It answers what it was sent.
            self.rig.settle();
        }
        let Pair { client, upstream, .. } = &mut self.rig.peers;
        match what {
            0 => client.send_input(port, thrice(script.number())),
            1 => client.send_other(script.byte(), script.byte()),
            2 => client.send_ping(script.byte(), how & 1 != 0),
            3 => client.close((how & 1 == 0).then_some(1000)),
            4 => client.send_raw(script.counted()),
            5 if how >= 8 => upstream.accept_all(),
            5 => upstream.accept(how.into()),
            6 => upstream.send_output(port, thrice(script.number()), how & 4 != 0),
            7 => upstream.send_text(port, script.byte().into(), how & 4 != 0),
            8 => upstream.reset(how.into()),
            9 => upstream.send_control(how),
            10 => upstream.send_raw(script.counted()),
            _ => self.rig.act(what, how, script),
        }
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
        assert!(client.has_its_ports(), "the port messages come at once");
        if !connected {
            return;
        }
        assert!(upstream.inbox.is_at_frame(), "a part of a frame");
        let is_over = bridge.outcome().is_some();
        for (index, port) in upstream.ports.iter().enumerate() {
            assert_eq!(client.output[index].received, port.sent, "output of port {index} is missing");
            if port.text_is_whole() || is_over {
                assert_eq!(client.texts[index], port.text, "a text about port {index} is missing");
            }
            if !is_over && !port.data_is_reset() {
                assert!(client.input[index].is_complete(), "input of port {index} is missing");
            }
        }
        if is_over {
            assert!(client.inbox.close.is_some(), "a Close comes last");
            return;
        }
        assert_eq!(client.inbox.pongs, client.inbox.pings.len(), "each ping is answered");
        assert_eq!(upstream.control.answers, upstream.control.pings, "each PING is answered");
    }

    /// Brings the session to its end.
    fn end(&mut self) {
        if self.rig.connected {
            self.rig.peers.upstream.end();
        } else {
            self.rig.refuse(b"");
        }
        self.rig.settle();
        self.check_rest();
        let client = &mut self.rig.peers.client;
        if client.is_well() {
            client.close(Some(1000));
        }
        client.wire.ends = true;
        // A linger and a patience of each port, and the grace of the whole.
        self.rig.finish(2 * MOST + 1);
    }
}
