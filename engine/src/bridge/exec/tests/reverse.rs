//! A SPDY client in front: its streams, what waits for them, and how they end (`translator.md` section 3).

use super::*;
use crate::bridge::Flow;
use crate::bridge::testbed::peers::{Got, Pair, Wire};
use crate::spdy::HeaderWriter;

const TO_V5: (Wire, Wire) = (Wire::Spdy(Subprotocol::V4), Wire::WebSocket(Subprotocol::V5));
const TO_V4: (Wire, Wire) = (Wire::Spdy(Subprotocol::V4), Wire::WebSocket(Subprotocol::V4));

fn syn_streams(types: &[&str]) -> Vec<u8> {
    let mut writer = HeaderWriter::new();
    let mut bytes = Vec::new();
    for (number, name) in (0..).zip(types) {
        let mut frame = [0; 128];
        let len = writer.syn_stream(id(2 * number + 1), false, &[("streamtype", name)], &mut frame).unwrap();
        bytes.extend(&frame[..len]);
    }
    bytes
}

/// What the client got as (type of frame, stream, status).
fn frames(pair: &Pair) -> Vec<(u8, u32, u32)> {
    let mut bytes = &pair.session.client.got[..];
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        let len = u32::from_be_bytes([0, header[5], header[6], header[7]]) as usize;
        let word = |at: usize| {
            rest[..len].get(at..at + 4).map_or(0, |word| u32::from_be_bytes(word.try_into().unwrap()))
        };
        frames.push(match header[3] {
            2 => (2, word(0), 0),
            kind => (kind, word(0), word(4)),
        });
        bytes = &rest[len..];
    }
    frames
}

#[test]
fn unknown_double_and_late_streams_are_cancelled_and_the_session_goes_on() {
    let mut pair = Pair::new(TO_V5, ALL, MEMORY);
    let types =
        ["data", "error", "error", "stdin", "Stdout", "stdout", "resize", "stderr", "stderr", "stdin", ""];
    pair.session.client_sends(&syn_streams(&types));
    let reply = |stream| (2, stream, 0);
    let cancel = |stream| (3, stream, CANCEL_STATUS);
    let expected = [
        cancel(1),
        reply(3),
        cancel(5),
        reply(7),
        cancel(9),
        reply(11),
        cancel(13),
        reply(15),
        cancel(17),
        cancel(19),
        cancel(21),
    ];
    assert_eq!(frames(&pair), expected);
    pair.session.client_sends(&data(7, b"input"));
    assert_eq!(pair.delivered(Channel::STDIN), b"input");
}

#[test]
fn nothing_flows_before_the_client_has_opened_all_its_streams() {
    let mut pair = Pair::new(TO_V5, ALL, MEMORY);
    let all = pair.client.open();
    let last = all.len() - 20;
    pair.session.upstream_sends(&pair.upstream.open());
    pair.session.upstream_sends(&pair.upstream.data(Channel::STDOUT, b"early"));
    pair.session.client_sends(&all[..last]);
    assert_eq!(pair.client_got(), [Channel::ERROR, Channel::STDIN, Channel::STDOUT].map(Got::Accepted));
    pair.session.client_sends(&all[last..]);
    assert_eq!(
        pair.client_got()[3..],
        [Got::Accepted(Channel::STDERR), Got::Data(Channel::STDOUT, b"early".into())]
    );
}

#[test]
fn an_upstream_that_ends_before_the_client_is_ready_loses_nothing() {
    for cut in [false, true] {
        let mut pair = Pair::new(TO_V5, ALL, MEMORY);
        let status = pair.upstream.ending(EXIT_5);
        let frames = [pair.upstream.data(Channel::STDOUT, b"all of it"), status].concat();
        pair.session.upstream_sends(if cut { &frames[..11] } else { &frames });
        pair.session.upstream_ends();
        assert_eq!(pair.session.bridge.outcome(), None);
        pair.open();
        assert_eq!(pair.received(Channel::STDOUT), if cut { &b"all of i"[..] } else { b"all of it" });
        let status = pair.received(Channel::ERROR);
        if cut {
            assert!(String::from_utf8(status).unwrap().contains("closed before the end of the output"));
            assert_eq!(pair.session.bridge.outcome(), Some(Outcome::UpstreamLost));
        } else {
            assert_eq!(status, EXIT_5);
            assert_eq!(pair.session.bridge.outcome(), Some(Outcome::Completed));
        }
    }
}

#[test]
fn a_failure_waits_for_the_stream_that_it_is_told_on() {
    let mut pair = Pair::new(TO_V5, ALL, MEMORY);
    pair.session.upstream_sends(&pair.upstream.close(false));
    assert_eq!(pair.session.bridge.outcome(), Some(Outcome::UpstreamLost));
    assert_eq!(pair.client_got(), []);
    pair.session.client_sends(&pair.client.open());
    let status = pair.received(Channel::ERROR);
    assert!(String::from_utf8(status).unwrap().contains("closed before the end of the output"));
    assert_eq!(pair.client_got().last(), Some(&Got::End(Channel::ERROR)));
}

#[test]
fn a_client_that_never_opens_its_streams_is_not_waited_for() {
    for fails_first in [false, true] {
        let mut pair = Pair::new(TO_V5, ALL, MEMORY);
        let half = pair.client.open();
        pair.session.client_sends(&half[..half.len() / 2]);
        if fails_first {
            pair.session.upstream_sends(&pair.upstream.close(false));
        }
        pair.session.after_millis(29_999);
        assert_eq!(pair.session.bridge.outcome().is_some(), fails_first);
        pair.session.after_millis(1);
        pair.session.after_millis(0);
        let outcome = if fails_first { Outcome::UpstreamLost } else { Outcome::StreamCreationTimeout };
        assert_eq!(pair.session.bridge.outcome(), Some(outcome));
        assert_eq!(pair.client_got().last(), Some(&Got::GoAway(2)), "{:?}", pair.client_got());
        pair.session.after_millis(10_000);
        assert!(pair.session.bridge.is_finished());
    }
}

#[test]
fn the_end_of_stdin_is_a_close_message_in_v5_and_nothing_in_v4() {
    for (wires, end) in [(TO_V5, Some(Got::End(Channel::STDIN))), (TO_V4, None)] {
        let mut pair = Pair::running(wires, ALL, MEMORY);
        pair.session.client_sends(
            &[pair.client.data(Channel::STDIN, b"x"), pair.client.end(Channel::STDIN)].concat(),
        );
        let expected: Vec<_> = [Got::Data(Channel::STDIN, b"x".into())].into_iter().chain(end).collect();
        assert_eq!(pair.upstream_got(), expected, "and the connection stays open");
        pair.session.upstream_sends(&pair.upstream.data(Channel::STDOUT, b"still here"));
        assert_eq!(pair.received(Channel::STDOUT), b"still here");
        pair.session.client_sends(&pair.client.data(Channel::STDIN, b"late"));
        assert_eq!(pair.upstream_got(), expected);
    }
}

#[test]
fn an_end_in_the_frame_of_the_last_payload_lies_over_none_of_it() {
    for len in [1, 7, 8, 100, 125, 126, 400] {
        for before in [&b""[..], &[b'b'; 200]] {
            let mut pair = Pair::running(TO_V5, ALL, 1024);
            let payload = vec![b'x'; len];
            let last = [&frame::data_header(id(STDIN), true, len as u32), &payload[..]].concat();
            let more = frame::ping(9);
            pair.session
                .client_sends(&[pair.client.data(Channel::STDIN, before), last, more.to_vec()].concat());
            let payload = [before, &payload].concat();
            assert_eq!(
                pair.upstream_got(),
                [Got::Data(Channel::STDIN, payload), Got::End(Channel::STDIN)],
                "{len}"
            );
        }
    }
}

#[test]
fn an_input_that_ends_before_upstream_is_ready_ends_when_it_is() {
    // With the frame that opens it, and by a reset.
    for reset in [false, true] {
        let wires = (Wire::Spdy(Subprotocol::V4), Wire::Spdy(Subprotocol::V4));
        let mut pair = Pair::new(wires, ALL, MEMORY);
        let mut writer = HeaderWriter::new();
        for (stream, name) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
            let mut frame = [0; 128];
            let fin = stream == 3 && !reset;
            let len = writer.syn_stream(id(stream), fin, &[("streamtype", name)], &mut frame).unwrap();
            pair.session.client_sends(&frame[..len]);
        }
        if reset {
            pair.session.client_sends(&pair.client.reset(Channel::STDIN));
        }
        pair.session.upstream.got.clear();
        pair.session.upstream_sends(&pair.upstream.open());
        assert_eq!(pair.upstream_got(), [Got::End(Channel::STDIN)], "{reset}");
    }
}

#[test]
fn a_client_that_resets_an_output_gets_the_rest_and_the_status() {
    for wires in [TO_V5, (Wire::Spdy(Subprotocol::V4), Wire::Spdy(Subprotocol::V4))] {
        let mut pair = Pair::running(wires, ALL, 512);
        pair.session.client.got.clear();
        pair.session.upstream_sends(&pair.upstream.data(Channel::STDOUT, b"read"));
        pair.session.client_sends(&pair.client.reset(Channel::STDOUT));
        for _ in 0..50 {
            pair.session.upstream_sends(&pair.upstream.data(Channel::STDOUT, &[b'x'; 200]));
        }
        pair.session.upstream_sends(
            &[pair.upstream.data(Channel::STDERR, b"!"), pair.upstream.ending(EXIT_5)].concat(),
        );
        let expected = [
            Got::Data(Channel::STDOUT, b"read".into()),
            Got::Data(Channel::STDERR, b"!".into()),
            Got::End(Channel::STDERR),
            Got::Data(Channel::ERROR, EXIT_5.into()),
            Got::End(Channel::ERROR),
        ];
        assert_eq!(pair.client_got(), expected);
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::Completed));
    }
}

#[test]
fn the_connection_stays_open_until_the_client_closes_it() {
    let mut pair = Pair::running(TO_V5, ALL, MEMORY);
    pair.session.upstream_sends(&pair.upstream.ending(SUCCESS));
    pair.session.upstream_ends();
    assert_eq!(
        pair.client_got().last(),
        Some(&Got::End(Channel::ERROR)),
        "a GOAWAY can hide what is in front of it"
    );
    assert!(!pair.session.bridge.shutdown_due(Side::Client) && !pair.session.bridge.is_finished());
    pair.session.client_sends(&[pair.client.ping(), pair.client.data(Channel::STDIN, b"late")].concat());
    assert!(!pair.session.bridge.is_finished());
    pair.session.client_sends(&pair.client.close(true));
    assert!(pair.session.bridge.shutdown_due(Side::Client) && pair.session.bridge.is_finished());
    assert_eq!(pair.client_got().last(), Some(&Got::GoAway(0)), "nothing follows it");
}

#[test]
fn a_session_of_input_only_on_v1_outlives_the_reset_of_its_error_stream() {
    let input = StreamSet { stdin: true, ..StreamSet::default() };
    let wires = (Wire::WebSocket(Subprotocol::V5), Wire::Spdy(Subprotocol::V1));
    let mut pair = Pair::running(wires, input, MEMORY);
    pair.session.client_sends(&pair.client.data(Channel::STDIN, b"x"));
    assert_eq!(pair.delivered(Channel::STDIN), b"x");
    assert_eq!(pair.session.bridge.outcome(), None);
    pair.session.upstream_sends(&pair.upstream.ending(b""));
    assert_eq!(pair.received(Channel::ERROR), SUCCESS);
}

#[test]
fn a_text_on_the_error_stream_of_v1_is_a_failure_all_the_same() {
    let wires = (Wire::WebSocket(Subprotocol::V5), Wire::Spdy(Subprotocol::V1));
    let mut pair = Pair::new(wires, ALL, MEMORY);
    pair.session.upstream_sends(&replies(&[ERROR, STDIN, STDOUT, STDERR]));
    pair.session
        .upstream_sends(&[data(ERROR, b"no such container"), fin(ERROR), fin(STDOUT), fin(STDERR)].concat());
    let status = String::from_utf8(pair.received(Channel::ERROR)).unwrap();
    assert!(status.contains("error executing remote command: no such container"), "{status}");
}

#[test]
fn translation_waits_for_the_peer_and_not_for_a_write_while_streams_are_missing() {
    let mut pair = Pair::new(TO_V5, ALL, MEMORY);
    let session = &mut pair.session;
    let bytes = pair.upstream.data(Channel::STDOUT, b"early");
    session.down.written(usize::MAX);
    session.down.space()[..bytes.len()].copy_from_slice(&bytes);
    session.down.received(bytes.len());
    assert_eq!(session.bridge.translate(Side::Upstream, &mut session.down, session.now), Flow::NeedPeer);
}

/// Such a client held a finished session for ever.
#[test]
fn a_client_that_pings_and_never_closes_is_let_go_when_it_has_got_everything() {
    let mut pair = Pair::running(TO_V5, ALL, MEMORY);
    pair.session.upstream_sends(&pair.upstream.ending(SUCCESS));
    pair.session.upstream_ends();
    let is_ours = |&(kind, id, _): &(u8, u32, u32)| kind == 6 && id % 2 == 0;
    assert!(!frames(&pair).iter().any(is_ours), "it may be closing");
    for _ in 0..100 {
        pair.session.client_sends(&pair.client.ping());
        pair.session.after_millis(5000);
    }
    assert!(!pair.session.bridge.is_finished(), "what its system has of the output it may not have read");
    let asked: Vec<u32> = frames(&pair).into_iter().filter(is_ours).map(|(_, id, _)| id).collect();
    let [asked] = asked[..] else { panic!("{asked:?}") };
    // The answer to another one may have been on its way.
    pair.session.client_sends(&frame::ping(asked + 2));
    for second in 0..15 {
        assert!(!pair.session.bridge.is_finished(), "{second}");
        pair.session.client_sends(&pair.client.ping());
        pair.session.after_millis(1000);
    }
    pair.session.client_sends(&frame::ping(asked));
    for second in 0..10 {
        assert!(!pair.session.bridge.is_finished(), "{second}");
        pair.session.client_sends(&pair.client.ping());
        pair.session.after_millis(1000);
    }
    assert!(pair.session.bridge.is_finished());
    assert_eq!(pair.session.bridge.outcome(), Some(Outcome::Completed));
}

#[test]
fn a_client_that_pings_and_answers_nothing_is_kept_no_longer_than_any_idle_session() {
    let limits = Limits { idle: Duration::from_secs(100), ..LIMITS };
    for wires in [TO_V5, (TO_V5.1, TO_V5.0)] {
        let mut pair = Pair::limited(wires, ALL, MEMORY, &limits);
        pair.open();
        pair.session.upstream_sends(&pair.upstream.ending(SUCCESS));
        pair.session.upstream_ends();
        let mut seconds = 0;
        while !pair.session.bridge.is_finished() {
            assert!(seconds < 101, "{wires:?}");
            pair.session.client_sends(&pair.client.ping());
            pair.session.after_millis(1000);
            seconds += 1;
        }
        assert!(seconds > 98, "{wires:?}: {seconds} s");
    }
}
