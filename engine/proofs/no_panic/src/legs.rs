//! What applications at one end of a connection use: legs and lanes alone, and the protocols under them.

use core::hint::black_box;

use strait::bridge::{Lane, Turn};
use strait::k8s::{Channel, Outcome, TerminalSize, status};
use strait::leg::{Close, Leg};
use strait::ws::CloseCode;

use crate::Peers;
use crate::exec::{client_spdy, client_websocket, upstream_spdy, upstream_websocket};

/// Every leg, and the statuses.
pub fn run(peers: &mut Peers) {
    match peers.number() {
        0 => end(peers, client_websocket()),
        1 => end(peers, upstream_websocket()),
        2 => end(peers, client_spdy(peers)),
        3 => end(peers, upstream_spdy(peers)),
        _ => statuses(peers),
    }
}

#[inline(never)]
fn end<L: Leg>(peers: &mut Peers, leg: L) {
    let mut leg = black_box(leg);
    // Memory of any length.
    let memory = core::mem::take(&mut peers.bytes);
    let mut lane = black_box(Lane::<_, 16>::new(memory));
    let mut turn = black_box(Turn::new());
    let channel = Channel::new(peers.number() as u8);
    while !lane.is_idle() {
        lane.received(peers.number());
        match leg.receive(lane.input()) {
            Ok(step) => {
                lane.consume(step.consumed);
                black_box(step.event);
            }
            Err(error) => leg.close(error.close()),
        }
        leg.resize(TerminalSize { columns: peers.number() as u16, rows: peers.number() as u16 });
        leg.end_sizes();
        leg.ping();
        black_box(lane.payload_space());
        lane.payload(&mut leg, channel, peers.flag(), peers.number());
        lane.end_session(&mut leg, |room| status::success(room).ok());
        for slice in turn.output(leg.pending(), &lane) {
            black_box(slice);
        }
        let control = turn.written(leg.pending().len(), &mut lane, peers.number());
        leg.sent(control);
        leg.close(Close::Protocol(CloseCode(peers.number() as u16)));
    }
}

#[inline(never)]
fn statuses(peers: &mut Peers) {
    let mut room = black_box([0; 600]);
    let outcome = Outcome::parse(peers.bytes());
    if let Ok(outcome) = outcome {
        black_box(outcome.write(&mut room).ok());
        black_box(outcome.write_text(&mut room));
    }
    black_box(status::success(&mut room).ok());
}
