//! How sessions end, and who waits for whom.

use super::*;

const ALIVE: Limits = Limits {
    ping_interval: Duration::from_secs(5),
    peer_timeout: Duration::from_secs(30),
    idle: Duration::ZERO,
    ..LIMITS
};

#[test]
fn the_clients_half_is_ended_when_it_is_quiet_behind_upstreams_end() {
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.upstream_sends(&fin(data_of(0)));
    for _ in 0..5 {
        pair.session.after_millis(900);
        pair.client_sends(0, b"more ");
    }
    assert_eq!(pair.delivered(data_of(0)), b"more more more more more ");
    pair.session.after_millis(999);
    assert!(!pair.upstream_got().contains(&ToUpstream::Fin(data_of(0))));
    pair.session.after_millis(1);
    assert_eq!(pair.upstream_got().last(), Some(&ToUpstream::Fin(data_of(0))));
    assert_eq!(pair.outcome(), None, "upstream has to end the error stream");
    pair.upstream_sends(&fin(error(0)));
    assert_eq!((pair.close(), pair.outcome()), (Some(1000), Some(Outcome::Completed)));
    assert_eq!(pair.texts(0), [""; 0]);
}

#[test]
fn a_client_that_leaves_resets_all_streams() {
    for (code, outcome) in
        [(Some(1000), Outcome::Completed), (Some(1001), Outcome::ClientClosed), (None, Outcome::ClientLost)]
    {
        for is_tunnel in [false, true] {
            let mut pair = Pair::running((Subprotocol::V4, is_tunnel), 100, 4096);
            pair.client_sends(0, b"last");
            match code {
                Some(code) => pair.client_closes(code),
                None => pair.session.client_ends(),
            }
            assert_eq!(pair.outcome(), Some(outcome));
            assert_eq!(pair.delivered(data_of(0)), b"last");
            let got = pair.upstream_got();
            let resets = got.iter().filter(|got| matches!(got, ToUpstream::Reset(_, 5))).count();
            assert_eq!((resets, got.last()), (200, Some(&ToUpstream::GoAway(0))));
            assert!(pair.session.bridge.shutdown_due(Side::Upstream));
            assert!(!pair.session.bridge.is_finished());
            pair.session.upstream_ends();
            assert!(pair.session.bridge.is_finished());
        }
    }
}

#[test]
fn a_lost_upstream_is_an_error_of_every_port_that_has_not_ended() {
    for is_tunnel in [false, true] {
        let mut pair = Pair::running((Subprotocol::V4, is_tunnel), 2, 4096);
        pair.upstream_sends(&failure(0, b"refused"));
        pair.upstream_sends(&data(data_of(1), b"last"));
        pair.session.upstream_ends();
        assert_eq!(pair.messages(2), [b"last"]);
        assert_eq!(pair.texts(0), ["refused"]);
        assert_eq!(pair.texts(1), ["error forwarding port 8001: lost connection to upstream"]);
        assert_eq!((pair.close(), pair.outcome()), (Some(1011), Some(Outcome::UpstreamLost)));
        pair.client_closes(1011);
        assert!(pair.session.bridge.is_finished());
    }
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.upstream_sends(&frame::goaway(None, GoawayStatus::OK));
    assert_eq!((pair.close(), pair.outcome()), (Some(1011), Some(Outcome::UpstreamLost)));
    let mut pair = Pair::running(SPDY, 1, 4096);
    // RST_STREAM without a stream: its length has to be 8.
    pair.upstream_sends(b"\x80\x03\0\x03\0\0\0\0");
    assert!(matches!(pair.outcome(), Some(Outcome::UpstreamError(LegError::Spdy(_)))));
    assert_eq!(pair.upstream_got().last(), Some(&ToUpstream::GoAway(1)));
}

#[test]
fn what_a_client_breaks_ends_its_session() {
    let mut pair = Pair::running((Subprotocol::V4Base64, false), 1, 4096);
    pair.session.client_sends(&client_frame(Opcode::Text, true, b"0!"));
    assert_eq!(pair.outcome(), Some(Outcome::ClientError(LegError::Base64)));
    assert_eq!(pair.close(), Some(1007));
    assert_eq!(pair.upstream_got().last(), Some(&ToUpstream::GoAway(0)));
}

#[test]
fn an_upstream_that_ended_in_the_round_that_ends_the_session_is_not_waited_for() {
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.session.bridge.eof(Side::Upstream, pair.session.now);
    pair.session.up.space()[..2].copy_from_slice(b"no");
    pair.session.up.received(2);
    pair.session.bridge.translate(Side::Client, &mut pair.session.up, pair.session.now);
    assert!(matches!(pair.outcome(), Some(Outcome::ClientError(_))));
    pair.session.run();
    assert!(pair.session.bridge.is_finished());
}

#[test]
fn the_end_waits_for_a_slow_reader_but_not_for_one_that_stops() {
    for shape in [SPDY, (Subprotocol::V4Base64, true)] {
        let mut pair = Pair::running(shape, 1, 512);
        pair.session.client.takes = 0;
        pair.upstream_sends(&[data(data_of(0), &[7; 300]), failure(0, b"broken")].concat());
        for _ in 0..12 {
            pair.session.client.takes = 20;
            pair.session.after_millis(9_000);
            assert!(!pair.session.bridge.is_finished());
        }
        pair.session.client.takes = usize::MAX;
        pair.session.run();
        assert_eq!(pair.messages(0).concat(), [7; 300]);
        assert_eq!((pair.texts(0), pair.close()), (vec![String::from("broken")], Some(1000)));
    }
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.session.client.takes = 0;
    pair.upstream_sends(&[data(data_of(0), &[7; 300]), failure(0, b"broken")].concat());
    pair.session.upstream_ends();
    pair.session.after_millis(10_000);
    assert!(pair.session.bridge.is_finished());
    assert_eq!(pair.outcome(), Some(Outcome::ClientLost));
}

#[test]
fn a_shutdown_and_an_idle_end_close_both_sides() {
    let limits = Limits { idle: Duration::from_secs(100), ..LIMITS };
    for is_idle in [false, true] {
        let mut pair = Pair::limited(SPDY, 1, 4096, &limits);
        pair.accepts(0);
        pair.client_sends(0, b"x");
        if is_idle {
            pair.session.after_millis(100_000);
        } else {
            pair.session.bridge.shut_down();
            pair.session.run();
        }
        assert_eq!(pair.close(), Some(1001));
        assert_eq!(pair.upstream_got().last(), Some(&ToUpstream::GoAway(0)));
        assert_eq!(pair.outcome(), Some(if is_idle { Outcome::Idle } else { Outcome::Shutdown }));
        pair.client_closes(1001);
        pair.session.upstream_ends();
        assert!(pair.session.bridge.is_finished());
    }
}

#[test]
fn both_sides_are_pinged_and_given_up_when_they_are_silent() {
    for is_tunnel in [false, true] {
        for silent in [Side::Client, Side::Upstream] {
            let mut pair = Pair::limited((Subprotocol::V4, is_tunnel), 1, 4096, &ALIVE);
            pair.accepts(0);
            let (mut pings, mut outcome) = (0, None);
            while outcome.is_none() {
                pair.session.after_millis(5_000);
                pings += 1;
                match silent {
                    Side::Client => pair.upstream_sends(&frame::ping(2 * pings - 1)),
                    Side::Upstream => pair.session.client_sends(&client_frame(Opcode::Pong, true, b"")),
                }
                outcome = pair.outcome();
                assert!(pings < 10);
            }
            assert_eq!((outcome, pings), (Some(Outcome::silent(silent)), 6));
            assert_eq!(pair.session.bridge.round_trip(silent.other()), Some(Duration::ZERO));
            assert_eq!(pair.session.bridge.round_trip(silent), None);
            assert!(pair.client_got().contains(&ToClient::Heartbeat));
            assert!(pair.upstream_got().contains(&ToUpstream::Ping));
        }
    }
}

#[test]
fn a_client_that_cannot_be_read_from_is_not_taken_for_silent() {
    let mut pair = Pair::limited(SPDY, 1, 4096, &ALIVE);
    pair.accepts(0);
    pair.session.upstream.takes = 0;
    // More than the lane takes: answers would be stuck behind it.
    pair.client_sends(0, &[7; 3 * 4096]);
    for _ in 0..20 {
        pair.session.after_millis(5_000);
    }
    assert_eq!(pair.outcome(), None);
    pair.session.upstream.takes = usize::MAX;
    pair.session.run();
    assert_eq!(pair.delivered(data_of(0)).len(), 3 * 4096);
    pair.session.after_millis(30_000);
    assert_eq!(pair.outcome(), Some(Outcome::ClientSilent), "it is read from now");
}

#[test]
fn a_client_that_leaves_before_upstream_is_there_is_not_kept_for_what_it_has_sent() {
    let client = WebSocketPorts::server(Subprotocol::V4, &LIMITS);
    let mut session = Session::joining(PortsBridge::<AnyPorts>::new(client, ports(1), &LIMITS), 512);
    session.bridge.greet(&mut session.down);
    session.client_sends(&client_frame(Opcode::Binary, true, b"\0early"));
    session.client_ends();
    assert_eq!(session.bridge.outcome(), Some(Outcome::ClientLost));
    assert!(session.bridge.is_finished());
}

#[test]
fn a_connection_of_upstream_that_is_lost_is_told_as_one_that_ended() {
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.session.bridge.lost(Side::Upstream, pair.session.now);
    pair.session.run();
    assert_eq!(pair.texts(0), ["error forwarding port 8000: lost connection to upstream"]);
    assert_eq!((pair.close(), pair.outcome()), (Some(1011), Some(Outcome::UpstreamLost)));
}

#[test]
fn a_client_is_given_the_time_to_answer_the_close() {
    let mut pair = Pair::running(SPDY, 1, 4096);
    assert!(!pair.session.bridge.shutdown_due(Side::Client));
    pair.session.bridge.shut_down();
    pair.session.run();
    assert_eq!(pair.close(), Some(1001));
    assert!(!pair.session.bridge.shutdown_due(Side::Client));
    pair.client_closes(1001);
    assert!(pair.session.bridge.shutdown_due(Side::Client));
    // The last end finishes the session without another translation.
    assert!(!pair.session.bridge.is_finished());
    pair.session.bridge.eof(Side::Upstream, pair.session.now);
    assert!(pair.session.bridge.is_finished());
}

#[test]
fn the_clients_half_goes_on_although_upstream_has_ended_the_error_stream_too() {
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.upstream_sends(&[fin(data_of(0)), fin(error(0))].concat());
    pair.session.after_millis(900);
    pair.client_sends(0, b"more");
    assert_eq!(pair.delivered(data_of(0)), b"more");
    pair.session.after_millis(1_000);
    assert_eq!((pair.close(), pair.outcome()), (Some(1000), Some(Outcome::Completed)));
}
