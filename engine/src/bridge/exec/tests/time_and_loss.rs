//! Deadlines, lost connections, refusals and shutting down.

use super::*;
use crate::k8s;

/// Covers: K8S-STREAMS-1
#[test]
fn streams_that_are_not_accepted_in_time_end_the_session() {
    let mut session = Session::opening(ALL, MEMORY);
    session.upstream_sends(&replies(&[ERROR, STDIN, STDOUT]));
    session.after_millis(29_999);
    assert_eq!(session.bridge.outcome(), None);
    session.after_millis(1);
    assert_failed(&session, Outcome::StreamCreationTimeout, "timed out");
    assert_eq!(session.upstream_got().last(), Some(&ToUpstream::GoAway(0)));
}

/// Drivers wake for many reasons.
#[test]
fn a_time_that_is_told_before_its_deadline_ends_nothing() {
    fn just_before(deadline: Option<Instant>) -> Instant {
        Instant::from_millis(deadline.expect("a deadline").as_millis() - 1)
    }
    // Streams are opened.
    let mut session = Session::opening(ALL, MEMORY);
    session.bridge.time(just_before(session.bridge.deadline()));
    assert_eq!(session.bridge.outcome(), None);
    // The session closes.
    let mut session = Session::running(ALL, MEMORY);
    session.upstream_sends(&ending(SUCCESS));
    session.bridge.time(just_before(session.bridge.deadline()));
    assert!(session.bridge.is_writable(Side::Client) && session.bridge.is_writable(Side::Upstream));
    // The session is over, and waits for its client to open its streams.
    let mut pair = Pair::new((Wire::Spdy(Subprotocol::V4), Wire::WebSocket(Subprotocol::V5)), ALL, MEMORY);
    pair.session.upstream_sends(&pair.upstream.ending(EXIT_5));
    pair.session.bridge.time(just_before(pair.session.bridge.deadline()));
    pair.session.client_sends(&pair.client.open());
    assert_eq!(pair.received(Channel::ERROR), EXIT_5);
}

#[test]
fn a_stream_that_is_refused_does_not_wedge_the_others() {
    let mut session = Session::opening(ALL, MEMORY);
    session.upstream_sends(&[replies(&[ERROR, STDIN, STDOUT]), cancel(STDERR)].concat());
    session.client_sends(&stdin(b"x"));
    assert_eq!(session.delivered(STDIN), b"x");
    session.upstream_sends(&[fin(STDOUT), data(ERROR, SUCCESS), fin(ERROR)].concat());
    assert_eq!(session.status().unwrap().as_bytes(), SUCCESS);
}

#[test]
fn an_upstream_that_refuses_all_streams_is_an_error() {
    let mut session = Session::opening(ALL, MEMORY);
    session.upstream_sends(&cancel_all());
    assert_failed(&session, Outcome::UpstreamLost, "before the exit status");
}

/// Silence is success there, but not that of streams which were never accepted.
#[test]
fn an_upstream_before_v4_that_refuses_all_streams_is_an_error() {
    let wires = (Wire::WebSocket(Subprotocol::V4), Wire::Spdy(Subprotocol::V2));
    let mut pair = Pair::new(wires, ALL, MEMORY);
    let resets = pair.upstream.channels().into_iter().map(|channel| pair.upstream.reset(channel));
    let resets = resets.collect::<Vec<_>>().concat();
    pair.session.upstream_sends(&resets);
    let status = String::from_utf8(pair.received(Channel::ERROR)).unwrap();
    assert!(status.contains("Failure"), "{status}");
    assert_eq!(pair.session.bridge.outcome(), Some(Outcome::UpstreamLost));
}

#[test]
fn a_peer_that_does_not_close_is_cut_in_time_and_signs_of_life_extend_it() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream_sends(&ending(SUCCESS));
    session.after_millis(9000);
    session.client_sends(&client_frame(Opcode::Ping, true, b""));
    session.after_millis(9000);
    session.upstream_sends(&data(STDOUT, b"late"));
    session.after_millis(9999);
    assert!(!session.bridge.is_finished());
    session.after_millis(1);
    assert!(session.bridge.is_finished());
    assert!(!session.bridge.is_writable(Side::Client) && !session.bridge.is_writable(Side::Upstream));
}

#[test]
fn a_part_of_a_frame_does_not_keep_a_closing_session_alive() {
    let mut session = Session::running(ALL, MEMORY);
    session.client_sends(&client_frame(Opcode::Ping, true, b"xyz")[..4]);
    session.upstream_sends(&ending(SUCCESS));
    for _ in 0..10 {
        session.after_millis(1000);
    }
    assert!(session.bridge.is_finished());
}

#[test]
fn a_client_that_reads_slowly_gets_all_however_long_it_takes() {
    let mut session = Session::running(ALL, MEMORY);
    session.client.takes = 10;
    session.upstream_sends(&[data(STDOUT, &[b'x'; 1000]), ending(EXIT_5)].concat());
    session.upstream_ends();
    assert_eq!(session.upstream_got().last(), Some(&ToUpstream::GoAway(0)), "upstream is released at once");
    for _ in 0..60 {
        session.client.takes += 20;
        session.after_millis(9_000);
        session.after_millis(9_000);
    }
    assert_eq!(session.received(Channel::STDOUT), [b'x'; 1000]);
    assert_eq!(session.status().unwrap().as_bytes(), EXIT_5);
    assert!(!session.bridge.is_finished());
    session.after_millis(10_000);
    assert!(session.bridge.is_finished());
    assert_eq!(session.bridge.outcome(), Some(Outcome::Completed));
}

#[test]
fn a_client_that_is_lost_with_its_status_on_the_way_did_not_get_it() {
    for takes in [0, 1006] {
        let mut session = Session::running(ALL, MEMORY);
        session.client.takes = takes;
        session.upstream_sends(&[data(STDOUT, &[b'x'; 1000]), ending(EXIT_5)].concat());
        session.bridge.lost(Side::Client, session.now);
        assert_eq!(session.bridge.outcome(), Some(Outcome::ClientLost), "{takes}");
        session.run();
        session.upstream_ends();
        assert!(session.bridge.is_finished());
    }
}

#[test]
fn an_upstream_that_is_lost_behind_its_status_takes_nothing_from_a_client_that_reads_late() {
    let mut session = Session::running(ALL, MEMORY);
    session.client.takes = 0;
    session.upstream_sends(&[data(STDOUT, &[b'x'; 1000]), ending(EXIT_5)].concat());
    assert!(!session.bridge.is_done_with_upstream(), "its streams are to be reset");
    session.bridge.lost(Side::Upstream, session.now);
    assert!(session.bridge.is_done_with_upstream());
    session.client.takes = usize::MAX;
    session.run();
    assert_eq!(session.bridge.outcome(), Some(Outcome::Completed));
    assert_eq!(session.received(Channel::STDOUT), [b'x'; 1000]);
    assert_eq!(session.status().unwrap().as_bytes(), EXIT_5);
    assert_eq!(session.client_got().last(), Some(&ToClient::Close(Some(1000))));
}

/// Its half is shut down: there is nobody to be told.
#[test]
fn what_a_client_that_has_ended_sent_before_is_not_answered() {
    for broken in [client_frame(Opcode::Ping, true, b"?"), b"\x82\x01\x00".to_vec()] {
        let mut session = Session::opening(ALL, MEMORY);
        session.client_sends(&[stdin(b"waits for upstream"), broken].concat());
        let before = session.client_got();
        session.client_ends();
        assert_eq!(session.bridge.outcome(), Some(Outcome::ClientLost));
        assert!(session.bridge.shutdown_due(Side::Client));
        session.upstream_sends(&replies(&[ERROR, STDIN, STDOUT, STDERR]));
        assert_eq!(session.client_got(), before);
    }
}

#[test]
fn a_client_that_closes_before_its_status_did_not_get_it() {
    let mut session = Session::running(ALL, MEMORY);
    session.client.takes = 0;
    session.upstream_sends(&[data(STDOUT, &[b'x'; 1000]), ending(EXIT_5)].concat());
    session.client_sends(&client_frame(Opcode::Close, true, &[]));
    session.client.takes = usize::MAX;
    session.run();
    assert_eq!(session.bridge.outcome(), Some(Outcome::ClientClosed));
    assert_eq!(session.received(Channel::STDOUT).len(), 1000);
    assert_eq!(session.client_got().last(), Some(&ToClient::Close(None)));
}

#[test]
fn a_client_error_outlives_the_loss_of_the_client() {
    let mut session = Session::running(ALL, MEMORY);
    session.client.takes = 0;
    session.client_sends(b"\x82\x01\x00");
    session.bridge.lost(Side::Client, session.now);
    let error = LegError::WebSocket(ProtocolError::Unmasked);
    assert_eq!(session.bridge.outcome(), Some(Outcome::ClientError(error)));
}

#[test]
fn what_upstream_sent_is_read_although_writing_to_it_failed() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream.takes = 0;
    session.client_sends(&stdin(b"nobody reads this"));
    session.bridge.write_failed(Side::Upstream, session.now);
    assert!(!session.bridge.is_writable(Side::Upstream));
    session.upstream_sends(&[data(STDOUT, b"tail"), ending(EXIT_5)].concat());
    session.upstream_ends();
    assert_eq!(session.received(Channel::STDOUT), b"tail");
    assert_eq!(session.status().unwrap().as_bytes(), EXIT_5);
    assert_eq!(session.bridge.outcome(), Some(Outcome::Completed));
}

#[test]
fn a_lost_upstream_is_an_error_behind_its_output() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream_sends(&data(STDOUT, b"x"));
    session.bridge.lost(Side::Upstream, session.now);
    session.run();
    assert_failed(&session, Outcome::UpstreamLost, "connection to upstream closed");
    assert_eq!(session.received(Channel::STDOUT), b"x");
}

#[test]
fn a_refusal_is_the_status() {
    let status = br#"{"status":"Failure","message":"pods \"x\" not found","reason":"NotFound","code":404}"#;
    let mut session = Session::dialing(ALL, MEMORY);
    session.client_sends(&stdin(&[b'x'; 9000]));
    session.bridge.refused(status, &mut session.down);
    session.run();
    assert_eq!(session.status().unwrap().as_bytes(), status);
    assert_eq!(session.bridge.outcome(), Some(Outcome::Refused));
    session.client_sends(&client_frame(Opcode::Close, true, &1000_u16.to_be_bytes()));
    assert!(session.bridge.is_finished());
}

#[test]
fn a_refusal_is_never_a_success_and_never_cut_json() {
    for status in [&b""[..], b"404 page not found", SUCCESS] {
        let mut session = Session::dialing(ALL, MEMORY);
        session.bridge.refused(status, &mut session.down);
        session.run();
        assert_failed(&session, Outcome::Refused, "upstream refused the session");
    }
    let mut session = Session::dialing(ALL, 600);
    session.bridge.refused(&format(5000), &mut session.down);
    session.run();
    let status = session.status().unwrap();
    assert!(matches!(k8s::Outcome::parse(status.as_bytes()), Ok(k8s::Outcome::Failure(_))), "{status}");
    assert_eq!(status.len(), 544, "as much of the message as can be held");
}

#[test]
fn shutting_down_tells_both_sides() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream_sends(&data(STDOUT, b"x"));
    session.bridge.shut_down();
    session.run();
    assert_failed(&session, Outcome::Shutdown, "shutting down");
    assert_eq!(session.upstream_got(), closing(&[ERROR, STDIN, STDOUT, STDERR]));
    session.bridge.shut_down();
    session.run();
    assert_failed(&session, Outcome::Shutdown, "shutting down");
}

#[test]
fn shutting_down_does_not_wait_for_a_client_that_does_not_read() {
    let mut session = Session::running(ALL, MEMORY);
    session.client.takes = 0;
    session.bridge.shut_down();
    session.run();
    session.after_millis(10_000);
    assert!(session.bridge.is_finished());
}

#[test]
fn what_is_over_is_not_begun_again() {
    let mut session = Session::dialing(ALL, MEMORY);
    session.bridge.shut_down();
    session.connect(ALL);
    session.bridge.refused(&format(100), &mut session.down);
    session.run();
    assert_failed(&session, Outcome::Shutdown, "shutting down");
    assert_eq!(session.upstream_got(), []);
}
