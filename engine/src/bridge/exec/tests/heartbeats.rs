//! Heartbeats, silence and idleness between any two legs.

use core::time::Duration;

use super::*;
use crate::bridge::testbed::peers::{Got, Pair, Wire};

const ALIVE: Limits = Limits {
    ping_interval: Duration::from_secs(5),
    peer_timeout: Duration::from_secs(30),
    idle: Duration::from_mins(5),
    close: Duration::from_secs(10),
    ..Limits::HOST
};

const SPDY: Wire = Wire::Spdy(Subprotocol::V4);
const WEBSOCKET: Wire = Wire::WebSocket(Subprotocol::V5);

fn running(wires: (Wire, Wire)) -> Pair {
    let mut pair = Pair::limited(wires, ALL, MEMORY, &ALIVE);
    pair.open();
    pair
}

/// Time passes in seconds; each second the peers `answer`.
fn pass(pair: &mut Pair, seconds: u32, answer: &[Side]) {
    for _ in 0..seconds {
        pair.session.after_millis(1000);
        if answer.contains(&Side::Client) {
            pair.session.client_sends(&pair.client.ping());
        }
        if answer.contains(&Side::Upstream) {
            pair.session.upstream_sends(&pair.upstream.ping());
        }
    }
}

fn status(pair: &Pair) -> String {
    String::from_utf8(pair.received(Channel::ERROR)).unwrap()
}

/// Covers: KEP4006-6
#[test]
fn both_peers_are_pinged_in_the_interval() {
    for wires in Wire::pairs() {
        let mut pair = running(wires);
        pass(&mut pair, 4, &[]);
        let beats = |pair: &Pair| {
            let Pair { session, client, upstream } = pair;
            (client.heartbeats(&session.client.got), upstream.heartbeats(&session.upstream.got))
        };
        assert_eq!(beats(&pair), (0, 0), "{wires:?}");
        pass(&mut pair, 1, &[]);
        // A WebSocket gets a pong as well.
        let each = |wire: Wire| if wire.is_spdy() { 1 } else { 2 };
        assert_eq!(beats(&pair), (each(wires.0), each(wires.1)), "{wires:?}");
        pass(&mut pair, 5, &[]);
        assert_eq!(beats(&pair), (2 * each(wires.0), 2 * each(wires.1)), "{wires:?}");
    }
}

#[test]
fn heartbeats_wait_for_a_peer_that_does_not_read() {
    for wires in Wire::pairs() {
        let mut pair = running(wires);
        pair.session.client.takes = 0;
        pair.session.upstream.takes = 0;
        let before = (pair.session.client.got.len(), pair.session.upstream.got.len());
        pass(&mut pair, 100, &[Side::Client, Side::Upstream]);
        assert_eq!((pair.session.client.got.len(), pair.session.upstream.got.len()), before);
        pair.session.client.takes = usize::MAX;
        pair.session.upstream.takes = usize::MAX;
        pair.session.run();
        pair.session.client_sends(&pair.client.data(Channel::STDIN, b"x"));
        assert_eq!(pair.delivered(Channel::STDIN), b"x", "{wires:?}");
    }
}

#[test]
fn a_peer_that_cannot_be_read_from_is_not_taken_for_silent() {
    for wires in Wire::pairs() {
        for (slow, channel) in [(Side::Client, Channel::STDOUT), (Side::Upstream, Channel::STDIN)] {
            let mut pair = running(wires);
            let bulk = vec![b'x'; 3 * MEMORY];
            let (taker, bytes) = match slow {
                Side::Client => (&mut pair.session.client, pair.upstream.data(channel, &bulk)),
                Side::Upstream => (&mut pair.session.upstream, pair.client.data(channel, &bulk)),
            };
            taker.takes = 0;
            match slow {
                Side::Client => pair.session.upstream_sends(&bytes),
                Side::Upstream => pair.session.client_sends(&bytes),
            }
            // The slow one lives, and the answers of the other are stuck behind what it has sent.
            pass(&mut pair, 250, &[slow]);
            assert_eq!(pair.session.bridge.outcome(), None, "{wires:?} {slow:?}");
            pair.session.client.takes = usize::MAX;
            pair.session.upstream.takes = usize::MAX;
            pair.session.run();
            let got = if slow == Side::Client { pair.received(channel) } else { pair.delivered(channel) };
            assert_eq!(got, bulk, "{wires:?} {slow:?}");
            pass(&mut pair, 31, &[slow]);
            let silent = if slow == Side::Client { Outcome::UpstreamSilent } else { Outcome::ClientSilent };
            assert_eq!(pair.session.bridge.outcome(), Some(silent), "{wires:?}: it is silent now");
        }
    }
}

/// Covers: KEP4006-6
#[test]
fn an_upstream_that_is_silent_is_lost() {
    for wires in Wire::pairs() {
        let mut pair = running(wires);
        pass(&mut pair, 29, &[Side::Client]);
        assert_eq!(pair.session.bridge.outcome(), None);
        pass(&mut pair, 1, &[Side::Client]);
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::UpstreamSilent), "{wires:?}");
        assert!(status(&pair).contains("upstream does not answer"), "{wires:?}");
        pair.session.client_sends(&pair.client.close(true));
        assert!(pair.session.bridge.is_finished());
    }
}

#[test]
fn a_heartbeat_that_has_not_left_needs_no_answer() {
    for wires in Wire::pairs() {
        let mut pair = running(wires);
        pair.session.upstream.takes = 0;
        pass(&mut pair, 100, &[Side::Client]);
        assert_eq!(pair.session.bridge.outcome(), None, "{wires:?}");
        pair.session.upstream.takes = usize::MAX;
        pass(&mut pair, 31, &[Side::Client]);
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::UpstreamSilent), "{wires:?}");
    }
}

#[test]
fn an_upstream_that_waits_for_the_streams_of_the_client_is_not_silent() {
    let limits = Limits { peer_timeout: Duration::from_secs(10), ..ALIVE };
    let wires = (Wire::Spdy(Subprotocol::V4), Wire::WebSocket(Subprotocol::V5));
    let mut pair = Pair::limited(wires, ALL, MEMORY, &limits);
    let (streams, early) = (pair.client.open(), pair.upstream.data(Channel::STDOUT, b"early"));
    pair.session.upstream_sends(&early);
    pass(&mut pair, 25, &[Side::Client]);
    assert_eq!(pair.session.bridge.outcome(), None);
    pair.session.client_sends(&streams);
    assert_eq!(pair.received(Channel::STDOUT), b"early");
}

/// Covers: KEP4006-6
#[test]
fn a_client_that_is_silent_is_lost() {
    for wires in Wire::pairs() {
        let mut pair = running(wires);
        pass(&mut pair, 30, &[Side::Upstream]);
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::ClientSilent), "{wires:?}");
        assert!(matches!(pair.upstream_got().last(), Some(Got::GoAway(0) | Got::Close(Some(1000)))));
        assert!(!pair.session.bridge.is_writable(Side::Client));
    }
}

#[test]
fn a_peer_that_has_data_to_deal_with_may_be_silent() {
    for wires in Wire::pairs() {
        let mut pair = running(wires);
        pair.session.client_sends(&pair.client.data(Channel::STDIN, b"work"));
        pass(&mut pair, 100, &[Side::Client]);
        assert_eq!(pair.session.bridge.outcome(), None, "{wires:?}");
        pair.session.upstream_sends(&pair.upstream.data(Channel::STDOUT, b"done"));
        pass(&mut pair, 29, &[Side::Client]);
        assert_eq!(pair.session.bridge.outcome(), None, "{wires:?}");
        pass(&mut pair, 1, &[Side::Client]);
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::UpstreamSilent), "{wires:?}");
    }
}

#[test]
fn a_session_without_data_ends_although_both_peers_are_alive() {
    for wires in Wire::pairs() {
        let mut pair = running(wires);
        pass(&mut pair, 200, &[Side::Client, Side::Upstream]);
        pair.session.upstream_sends(&pair.upstream.data(Channel::STDOUT, b"x"));
        pass(&mut pair, 299, &[Side::Client, Side::Upstream]);
        assert_eq!(pair.session.bridge.outcome(), None, "{wires:?}");
        pass(&mut pair, 1, &[Side::Client, Side::Upstream]);
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::Idle), "{wires:?}");
        assert!(status(&pair).contains("idle for too long"), "{wires:?}");
    }
}

#[test]
fn an_idle_session_does_not_wait_for_an_upstream_that_does_not_read() {
    for wires in Wire::pairs() {
        let mut pair = running(wires);
        pair.session.upstream.takes = 0;
        pair.session.client_sends(&pair.client.data(Channel::STDIN, b"nobody reads this"));
        pass(&mut pair, 300, &[Side::Client, Side::Upstream]);
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::Idle), "{wires:?}");
        pass(&mut pair, 2, &[]);
        assert!(!pair.session.bridge.is_writable(Side::Upstream), "{wires:?}");
    }
}

#[test]
fn output_does_not_wait_for_ever_for_a_client_that_does_not_read() {
    for wires in Wire::pairs() {
        let mut pair = running(wires);
        pair.session.client.takes = 5;
        pair.session.upstream_sends(&pair.upstream.data(Channel::STDOUT, &[b'x'; 1000]));
        pair.session.upstream_ends();
        pass(&mut pair, 290, &[Side::Client]);
        // It reads again, if slowly, so it has its time again.
        pair.session.client.takes += 5;
        pass(&mut pair, 300, &[Side::Client]);
        assert!(!pair.session.bridge.is_finished(), "{wires:?}");
        pass(&mut pair, 20, &[Side::Client]);
        assert!(pair.session.bridge.is_finished(), "{wires:?}");
    }
}

#[test]
fn the_round_trip_of_a_peer_is_known_from_its_first_answer_on() {
    for (client, upstream) in [(SPDY, WEBSOCKET), (WEBSOCKET, SPDY)] {
        let mut pair = running((client, upstream));
        let round_trips =
            |pair: &Pair| [Side::Client, Side::Upstream].map(|side| pair.session.bridge.round_trip(side));
        pass(&mut pair, 5, &[]);
        assert_eq!(round_trips(&pair), [None, None], "nobody has answered");
        pair.session.after_millis(70);
        pair.session.client_sends(&pair.client.pong());
        assert_eq!(round_trips(&pair), [Some(Duration::from_millis(70)), None]);
        pair.session.after_millis(30);
        pair.session.upstream_sends(&pair.upstream.pong());
        assert_eq!(round_trips(&pair), [70, 100].map(|millis| Some(Duration::from_millis(millis))));
    }
}

#[test]
fn a_client_is_asked_out_of_turn_and_alone() {
    for wires in [(SPDY, WEBSOCKET), (WEBSOCKET, SPDY)] {
        let mut pair = running(wires);
        pair.session.bridge.ask_client();
        pair.session.run();
        let Pair { session, client, upstream } = &pair;
        let beats = [client.heartbeats(&session.client.got), upstream.heartbeats(&session.upstream.got)];
        assert_eq!(beats.map(|count| count > 0), [true, false], "{wires:?}");
    }
}
