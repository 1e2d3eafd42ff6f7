//! What goes wrong with one port, or with upstream, and how the client is told.

use super::*;

#[test]
fn an_error_is_one_message_and_concerns_its_port_alone() {
    let mut pair = Pair::running(SPDY, 2, 4096);
    let text = b"error forwarding port 8000 to pod p, uid u: connection refused";
    // In two frames, and cut within them.
    let frames = [data(error(0), &text[..30]), data(error(0), &text[30..])].concat();
    pair.upstream_sends(&frames[..20]);
    pair.upstream_sends(&frames[20..]);
    assert_eq!(pair.texts(0), [""; 0]);
    pair.upstream_sends(&[cancel(data_of(0)), cancel(error(0))].concat());
    assert_eq!(pair.texts(0), [String::from_utf8_lossy(text)]);
    assert_eq!(pair.outcome(), None);

    pair.client_sends(0, b"nobody takes it");
    pair.client_sends(2, b"goes on");
    pair.upstream_sends(&data(data_of(1), b"answer"));
    assert_eq!((pair.delivered(data_of(0)), pair.delivered(data_of(1))), (vec![], b"goes on".to_vec()));
    assert_eq!(pair.messages(2), [b"answer"]);
}

#[test]
fn texts_of_two_ports_do_not_mix_and_one_that_does_not_end_is_told_all_the_same() {
    let mut pair = Pair::running(SPDY, 2, 4096);
    pair.upstream_sends(&[data(error(0), b"one"), data(error(1), b"other")].concat());
    assert_eq!((pair.texts(0), pair.texts(1)), (vec![String::from("one")], vec![]));
    assert_eq!(pair.session.bridge.deadline(), Some(Instant::from_millis(1000)));
    pair.session.after_millis(1000);
    assert_eq!(pair.texts(1), ["other"]);
    assert_eq!(pair.outcome(), None);
}

#[test]
fn a_text_that_is_too_long_is_cut() {
    let mut pair = Pair::running((Subprotocol::V4Base64, true), 1, 4096);
    pair.upstream_sends(&failure(0, &[b'x'; 3000]));
    assert_eq!(pair.texts(0), ["x".repeat(crate::leg::MAX_TEXT)]);
    assert_eq!((pair.close(), pair.outcome()), (Some(1000), Some(Outcome::Completed)));
}

#[test]
fn a_reset_without_a_word_is_told() {
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.upstream_sends(&[data(data_of(0), b"last"), cancel(data_of(0)), fin(error(0))].concat());
    assert_eq!(pair.messages(0), [b"last"]);
    assert_eq!(pair.texts(0), ["error forwarding port 8000: upstream has reset the connection"]);
    assert_eq!(pair.close(), Some(1000));
}

#[test]
fn an_error_stream_that_does_not_end_is_reset() {
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.upstream_sends(&fin(data_of(0)));
    pair.session.after_millis(1000);
    pair.session.after_millis(10_000);
    assert!(pair.upstream_got().contains(&ToUpstream::Reset(error(0), 5)));
    assert_eq!(pair.close(), Some(1000));
}

#[test]
fn streams_that_are_not_accepted_in_time_fail_and_the_others_go_on() {
    let mut pair = Pair::opening((Subprotocol::V4, true), 3, 4096);
    pair.accepts(1);
    assert_eq!(pair.session.bridge.deadline(), Some(Instant::from_millis(30_000)));
    pair.session.client.got.clear();
    pair.session.after_millis(30_000);
    for index in [0, 2] {
        let port = 8000 + u16::from(index);
        let text =
            format!("error forwarding port {port}: timed out waiting for upstream to accept the streams");
        assert_eq!(pair.texts(index), [text]);
    }
    let resets: Vec<_> =
        pair.upstream_got().into_iter().filter(|got| matches!(got, ToUpstream::Reset(..))).collect();
    assert_eq!(resets, [3, 1, 11, 9].map(|stream| ToUpstream::Reset(stream, 5)));
    pair.client_sends(2, b"goes on");
    assert_eq!(pair.delivered(data_of(1)), b"goes on");
    assert_eq!((pair.texts(1), pair.outcome()), (vec![], None));
    assert_eq!(pair.session.bridge.deadline(), None);
}

#[test]
fn a_refusal_is_told_for_each_port() {
    let client = WebSocketPorts::server(Subprotocol::V4, &LIMITS);
    let mut session = Session::joining(PortsBridge::<AnyPorts>::new(client, ports(1), &LIMITS), 512);
    session.bridge.greet(&mut session.down);
    session.bridge.refused(b"", &mut session.down);
    session.run();
    let pair = Pair { protocol: Subprotocol::V4, is_tunnel: false, session, writer: HeaderWriter::new() };
    assert_eq!(pair.texts(0)[1], "error forwarding port 8000: lost connection to upstream");
    assert_eq!((pair.close(), pair.outcome()), (Some(1011), Some(Outcome::Refused)));
}

#[test]
fn texts_of_two_ports_do_not_mix_although_the_client_does_not_read() {
    let mut pair = Pair::running(SPDY, 2, 4096);
    pair.session.client.takes = 0;
    // Answers leave no room for the longest text.
    pair.session.client_sends(&client_frame(Opcode::Ping, true, &[b'p'; 125]).repeat(10));
    pair.upstream_sends(&[data(error(0), &[b'x'; crate::leg::MAX_TEXT]), data(error(1), b"other")].concat());
    pair.session.client.takes = usize::MAX;
    pair.session.run();
    pair.session.after_millis(1000);
    assert_eq!(pair.texts(0), ["x".repeat(crate::leg::MAX_TEXT)]);
    assert_eq!(pair.texts(1), ["other"]);
}

#[test]
fn data_goes_on_behind_the_end_of_an_error_stream_without_a_word_and_not_for_long_behind_an_error() {
    for (text, ends) in [(&b""[..], false), (b"broken", true)] {
        let mut pair = Pair::running(SPDY, 1, 4096);
        pair.upstream_sends(&[data(error(0), text), fin(error(0))].concat());
        pair.session.after_millis(9_999);
        assert_eq!(pair.outcome(), None);
        pair.session.after_millis(1);
        assert_eq!(pair.outcome(), ends.then_some(Outcome::Completed));
        assert_eq!(pair.upstream_got().contains(&ToUpstream::Reset(data_of(0), 5)), ends);
    }
}

#[test]
fn streams_that_are_all_accepted_are_not_waited_for() {
    let mut pair = Pair::opening(SPDY, 2, 4096);
    pair.accepts(0);
    assert!(pair.session.bridge.deadline().is_some());
    pair.accepts(1);
    assert_eq!(pair.session.bridge.deadline(), None);
}
