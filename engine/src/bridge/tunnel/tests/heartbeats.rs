//! Heartbeats, silence and idleness of a tunnel, of which a raw end has no heartbeats.

use super::*;

const ALIVE: Limits = Limits {
    ping_interval: Duration::from_secs(5),
    peer_timeout: Duration::from_secs(30),
    idle: Duration::from_hours(1),
    ..LIMITS
};

/// A tunnel with heartbeats, and which side is the WebSocket, for either way round.
fn alive() -> impl Iterator<Item = (Pair, Side)> {
    let shapes = [((true, false), Side::Client), ((false, true), Side::Upstream)];
    shapes.into_iter().map(|(shape, websocket)| (Pair::limited(shape, 4096, &ALIVE), websocket))
}

#[test]
fn the_websocket_is_pinged_and_given_up_when_it_is_silent_but_not_the_raw_side() {
    for (mut pair, websocket) in alive() {
        let pong = pair.peer(websocket).frame(Opcode::Pong, true, b"");
        for _ in 0..20 {
            pair.session.after_millis(5_000);
            pair.sends(websocket, &pong);
        }
        assert_eq!(pair.session.bridge.outcome(), None, "{websocket:?}: the raw side said nothing for 100 s");
        assert_eq!(pair.got(websocket).pings, 20);
        assert_eq!(pair.session.bridge.round_trip(websocket), Some(Duration::ZERO));
        assert!(pair.session.bridge.round_trip(websocket.other()).is_none());
        for _ in 0..6 {
            pair.session.after_millis(5_000);
        }
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::silent(websocket)));
        assert!(pair.session.bridge.shutdown_due(websocket.other()), "the raw side is told");
        assert!(!pair.session.bridge.is_writable(websocket));
    }
}

#[test]
fn a_peer_that_has_data_to_deal_with_may_be_silent() {
    for (mut pair, websocket) in alive() {
        pair.sends(websocket.other(), b"work");
        for _ in 0..20 {
            pair.session.after_millis(5_000);
        }
        assert_eq!(pair.session.bridge.outcome(), None, "{websocket:?}");
        let pong = pair.peer(websocket).frame(Opcode::Pong, true, b"");
        pair.sends(websocket, &pong);
        pair.session.after_millis(29_999);
        assert_eq!(pair.session.bridge.outcome(), None, "{websocket:?}");
        pair.session.after_millis(1);
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::silent(websocket)));
    }
}

#[test]
fn a_peer_that_cannot_be_read_from_is_not_taken_for_silent() {
    for (mut pair, websocket) in alive() {
        let other = websocket.other();
        let takes = |pair: &mut Pair, count| match other {
            Side::Client => pair.session.client.takes = count,
            Side::Upstream => pair.session.upstream.takes = count,
        };
        takes(&mut pair, 0);
        // More than the lane takes: answers would be stuck behind it.
        let bulk = pair.peer(websocket).data(&[7; 3 * 4096]);
        pair.sends(websocket, &bulk);
        for _ in 0..20 {
            pair.session.after_millis(5_000);
        }
        assert_eq!(pair.session.bridge.outcome(), None, "{websocket:?}");
        takes(&mut pair, usize::MAX);
        pair.session.run();
        assert_eq!(pair.got(other).bytes.len(), 3 * 4096);
        pair.session.after_millis(30_000);
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::silent(websocket)), "it is read from now");
    }
}

#[test]
fn a_session_without_data_is_idle_and_one_of_pings_in_the_stream_is_not() {
    let limits = Limits { idle: Duration::from_secs(100), ..LIMITS };
    let mut pair = Pair::limited((true, false), 4096, &limits);
    pair.session.after_millis(60_000);
    let ping = pair.client.data(b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x01");
    pair.sends(Side::Client, &ping);
    pair.session.after_millis(99_000);
    assert_eq!(pair.session.bridge.outcome(), None);
    pair.session.after_millis(1_000);
    assert_eq!(pair.session.bridge.outcome(), Some(Outcome::Idle));
    assert_eq!(pair.got(Side::Client).close, Some(1001));
    assert!(pair.session.bridge.shutdown_due(Side::Upstream));
}
