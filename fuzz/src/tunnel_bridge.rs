//! A tunnel as a sequence of acts, one or more bytes each: the low half of the first byte says what, the high half how, 8 of
//! it whose (8 the client, otherwise upstream), and arguments follow (little-endian).
//!
//! | low half | act | high half | arguments |
//! |---|---|---|---|
//! | 0 | a peer sends bytes of its stream | 1 unfinished, 4 thrice the length | length u16 |
//! | 1 | a peer sends a ping, or (1) a pong | 1 | length u8 |
//! | 2 | a peer sends a Close | 0 with 1000, 1 without a code, 2 with 1011 | - |
//! | 3 | a peer sends what follows, as it is | - | length u8, bytes |
//! | 13, 14, 15 | the driver, ends of connections, time: as of an exec session | | |
//!
//! A peer that is no WebSocket has no pings and no Close.

mod peer;

use strait::bridge::{Bridge, Outcome, Side, TunnelBridge};
use strait::leg::{ByteStream, RawLeg, TunnelLeg};
use strait::ws::MaskKeys;

use self::peer::Peer;
use crate::rig::{LIMITS, Peers, Rig, side};
use crate::script::{Script, Wire};

/// A session of a bridge between the two ends of a tunnel: WebSocket and raw, raw and WebSocket, or WebSocket twice.
///
/// # Panics
/// If a byte is lost, repeated or misplaced, if something follows an end, if a peer is not told the end of the other one, or if
/// the session does not come to rest or does not end.
pub fn tunnel_bridge(data: &[u8]) {
    play_tunnel(data);
}

/// Like [`tunnel_bridge`]; tells how the session ended by itself, and the bytes that upstream and the client got. `None` if there
/// is no session.
///
/// # Panics
/// As [`tunnel_bridge`].
pub fn play_tunnel(data: &[u8]) -> Option<(Option<Outcome>, usize, usize)> {
    let &[ends, memory, ref script @ ..] = data else { return None };
    let memory = [64 * 1024, 256, 600, 4096][usize::from(memory % 4)];
    let script = Script(script);
    Some(match ends % 3 {
        0 => run((TunnelLeg::server(&LIMITS), true), (RawLeg::new, false), memory, script),
        1 => run((RawLeg::new(), false), (client, true), memory, script),
        _ => run((TunnelLeg::server(&LIMITS), true), (client, true), memory, script),
    })
}

fn client() -> TunnelLeg<MaskKeys> {
    TunnelLeg::client(&LIMITS, MaskKeys::new([5; 16]))
}

/// The peers of a tunnel.
struct Pair<C, U> {
    client: Peer,
    upstream: Peer,
    upstream_leg: fn() -> U,
    client_leg: std::marker::PhantomData<C>,
}

impl<C: ByteStream, U: ByteStream> Peers for Pair<C, U> {
    type Bridge = TunnelBridge<C, U>;

    fn upstream_leg(&self) -> U {
        (self.upstream_leg)()
    }

    fn wire(&mut self, side: Side) -> &mut Wire {
        &mut self.peer(side).wire
    }

    fn get(&mut self, side: Side, bytes: &[u8]) {
        let (peer, other) = match side {
            Side::Client => (&mut self.client, &self.upstream),
            Side::Upstream => (&mut self.upstream, &self.client),
        };
        peer.received.sent = other.sent;
        peer.get(bytes, other.raw);
    }

    fn may_wait(&self) -> bool {
        false
    }
}

impl<C, U> Pair<C, U> {
    const fn peer(&mut self, side: Side) -> &mut Peer {
        match side {
            Side::Client => &mut self.client,
            Side::Upstream => &mut self.upstream,
        }
    }
}

fn run<C: ByteStream, U: ByteStream>(
    (client_leg, client_is_websocket): (C, bool),
    (upstream_leg, upstream_is_websocket): (fn() -> U, bool),
    memory: usize,
    mut script: Script<'_>,
) -> (Option<Outcome>, usize, usize) {
    let pair = Pair {
        client: Peer::new(Side::Client, client_is_websocket),
        upstream: Peer::new(Side::Upstream, upstream_is_websocket),
        upstream_leg,
        client_leg: std::marker::PhantomData,
    };
    let mut rig = Rig::<_, 64>::new(TunnelBridge::new(client_leg, &LIMITS), pair, memory);
    while let Some((what, how)) = script.act() {
        let peer = rig.peers.peer(side(how));
        match what {
            0 => {
                let len = usize::from(script.number()) * if how & 4 == 0 { 1 } else { 3 };
                peer.send_data(len, how & 1 != 0);
            }
            1 => peer.send_ping(script.byte(), how & 1 != 0),
            2 => peer.close([Some(1000), None, Some(1011)][usize::from(how % 3)]),
            3 => peer.send_raw(script.counted()),
            13.. => rig.act(what, how, &mut script),
            _ => {}
        }
    }
    rig.settle();
    check_rest(&rig);
    let outcome = rig.bridge.outcome();
    if !rig.connected {
        rig.refuse(b"");
    }
    for side in [Side::Client, Side::Upstream] {
        let peer = rig.peers.peer(side);
        peer.close(Some(1000));
        peer.wire.ends = true;
    }
    rig.finish(1);
    (outcome, rig.peers.upstream.received.received, rig.peers.client.received.received)
}

/// What must hold when nothing moves any more.
fn check_rest<C: ByteStream, U: ByteStream>(rig: &Rig<Pair<C, U>, 64>) {
    let Rig { bridge, peers: Pair { client, upstream, .. }, connected, cut, .. } = rig;
    for (side, peer) in [(Side::Client, client), (Side::Upstream, upstream)] {
        if bridge.is_writable(side) {
            assert!(peer.inbox.is_at_frame(), "a part of a frame to {side:?}");
        }
    }
    if *cut || !connected || client.raw || upstream.raw {
        return;
    }
    for (from, to, side) in [(client, upstream, Side::Upstream), (upstream, client, Side::Client)] {
        if !to.has_left() {
            assert_eq!(to.received.received, from.sent, "bytes to {side:?} are missing");
        }
        if from.end().is_none() && to.end().is_none() {
            assert_eq!(from.inbox.pongs, from.inbox.pings.len(), "each ping is answered");
        }
        let Some(clean) = from.end() else { continue };
        if to.is_websocket {
            let code = to.inbox.close.expect("a WebSocket is told the end of the other side");
            assert!(to.end().is_some() || (code == 1000) == clean, "Close {code}");
        } else {
            assert!(bridge.shutdown_due(side), "a connection is told the end of the other side");
        }
    }
}
