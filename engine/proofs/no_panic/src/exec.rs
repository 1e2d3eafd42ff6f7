//! Exec sessions, in every pair of protocols.

use core::hint::black_box;
use core::time::Duration;

use strait::bridge::{Bridge, ExecBridge, Flow, Lane, Memory, Side};
use strait::k8s::{StreamSet, Subprotocol};
use strait::leg::{Leg, SpdyLeg, WebSocketLeg};
use strait::spdy::SkipBlocks;
use strait::ws::MaskKeys;
use strait::{Instant, Limits};

use crate::Peers;

/// Every pair that a gateway joins.
pub fn run(peers: &Peers) {
    match peers.number() {
        0 => exec(peers, client_websocket(), upstream_spdy(peers)),
        1 => exec(peers, client_websocket(), upstream_websocket()),
        2 => exec(peers, client_spdy(peers), upstream_spdy(peers)),
        _ => exec(peers, client_spdy(peers), upstream_websocket()),
    }
}

pub fn limits() -> Limits {
    let zero = Duration::ZERO;
    let limits = Limits { ping_interval: zero, peer_timeout: zero, idle: zero, ..Limits::MICROCONTROLLER };
    *black_box(&limits)
}

pub fn streams(peers: &Peers) -> StreamSet {
    StreamSet { stdin: peers.flag(), stdout: peers.flag(), stderr: peers.flag(), tty: peers.flag() }
}

pub fn protocol() -> Subprotocol {
    black_box(Subprotocol::V5)
}

pub fn client_websocket() -> WebSocketLeg {
    WebSocketLeg::server(protocol(), &limits())
}

pub fn upstream_websocket() -> WebSocketLeg<MaskKeys> {
    WebSocketLeg::client(protocol(), &limits(), MaskKeys::new(black_box([0; 16])))
}

pub fn upstream_spdy(peers: &Peers) -> SpdyLeg<SkipBlocks> {
    SpdyLeg::client(streams(peers), protocol(), &limits())
}

/// Behind the handshake: all streams are open, and no header is read any more.
pub fn client_spdy(peers: &Peers) -> SpdyLeg<SkipBlocks> {
    SpdyLeg::server(streams(peers), protocol(), &limits(), SkipBlocks)
}

#[inline(never)]
fn exec<C: Leg, U: Leg>(peers: &Peers, client: C, upstream: U) {
    join(peers, ExecBridge::new(client, streams(peers), &limits()), upstream);
}

/// A session of any kind, to its end.
#[inline(never)]
pub fn join<R: Bridge>(peers: &Peers, bridge: R, upstream: R::Upstream) {
    let mut bridge = black_box(bridge);
    // Memory of a length that is known, and of one that is not.
    let mut lanes = black_box([Lane::<_, 16>::new([0_u8; 2048]), Lane::new([0; 2048])]);
    session(peers, &mut bridge, &mut lanes, upstream);
}

type LaneOf<B> = Lane<B, 16>;

fn session<R: Bridge, B: Memory>(
    peers: &Peers,
    bridge: &mut R,
    [up, down]: &mut [LaneOf<B>; 2],
    upstream: R::Upstream,
) {
    begin(peers, bridge, down, upstream);
    while !bridge.is_finished() {
        black_box(translate(bridge, Side::Upstream, down, now(peers)));
        black_box(translate(bridge, Side::Client, up, now(peers)));
        for (side, lane) in [(Side::Client, &mut *down), (Side::Upstream, &mut *up)] {
            output(peers, bridge, side, lane);
        }
        for (side, lane) in [(Side::Client, &mut *up), (Side::Upstream, &mut *down)] {
            input(peers, bridge, side, lane);
        }
        time(peers, bridge);
    }
    black_box((bridge.outcome(), bridge.carried()));
}

fn now(peers: &Peers) -> Instant {
    Instant::from_millis(peers.number() as u64)
}

// Each of these is a function of its own in the image, so that the stack that it needs can be told.

#[inline(never)]
fn begin<R: Bridge, B: Memory>(peers: &Peers, bridge: &mut R, down: &mut LaneOf<B>, upstream: R::Upstream) {
    bridge.greet(down);
    if peers.flag() {
        bridge.refused(peers.bytes(), down);
    }
    bridge.connected(upstream, now(peers));
}

#[inline(never)]
fn translate<R: Bridge, B: Memory>(bridge: &mut R, side: Side, lane: &mut LaneOf<B>, now: Instant) -> Flow {
    bridge.translate(side, lane, now)
}

#[inline(never)]
fn output<R: Bridge, B: Memory>(peers: &Peers, bridge: &mut R, side: Side, lane: &mut LaneOf<B>) {
    for slice in bridge.output(side, lane) {
        black_box(slice);
    }
    bridge.written(side, lane, peers.number());
    if peers.flag() {
        bridge.discard_output(side, lane);
    }
    black_box(bridge.shutdown_due(side));
    black_box(bridge.round_trip(side));
}

#[inline(never)]
fn input<R: Bridge, B: Memory>(peers: &Peers, bridge: &mut R, side: Side, lane: &mut LaneOf<B>) {
    for (to, from) in lane.space().iter_mut().zip(peers.bytes()) {
        *to = *from;
    }
    lane.received(peers.number());
    match peers.number() {
        0 => bridge.eof(side, now(peers)),
        1 => bridge.lost(side, now(peers)),
        2 => bridge.write_failed(side, now(peers)),
        3 => bridge.shut_down(),
        _ => {}
    }
}

#[inline(never)]
fn time<R: Bridge>(peers: &Peers, bridge: &mut R) {
    if bridge.deadline().is_some_and(|deadline| deadline <= now(peers)) {
        bridge.time(now(peers));
    }
}
