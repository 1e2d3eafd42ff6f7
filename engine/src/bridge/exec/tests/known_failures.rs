//! What goes wrong in Kubernetes, and must not here. Each test names the report or the finding.

use super::*;
use crate::bridge::testbed::peers::{Got, Pair, Wire};
use crate::leg::LegError;

const V5: Wire = Wire::WebSocket(Subprotocol::V5);
const SPDY: Wire = Wire::Spdy(Subprotocol::V4);

/// Kubernetes #60140, #124571 (`remotecommand.md` section 7.1): output in flight at the end is lost.
#[test]
fn the_status_follows_all_output_however_slow_the_client_is() {
    for wires in Wire::pairs() {
        let mut pair = Pair::running(wires, ALL, 512);
        pair.session.client.got.clear();
        pair.session.client.takes = 0;
        let output = vec![b'x'; 3000];
        let status = if wires.1.is_json() { EXIT_5 } else { b"" };
        let frames = [pair.upstream.data(Channel::STDOUT, &output), pair.upstream.ending(status)].concat();
        pair.session.upstream_sends(&frames);
        pair.session.upstream_ends();
        assert_eq!(pair.client_got(), [], "{wires:?}");
        while pair.session.client.got.len() < 10_000 && pair.session.bridge.outcome().is_none() {
            pair.session.client.takes += 50;
            pair.session.after_millis(20_000);
        }
        pair.session.client.takes = usize::MAX;
        pair.session.run();
        assert_eq!(pair.received(Channel::STDOUT), output, "{wires:?}");
        let status =
            pair.client_got().into_iter().rposition(|got| matches!(got, Got::Data(Channel::ERROR, _)));
        let output =
            pair.client_got().into_iter().rposition(|got| matches!(got, Got::Data(Channel::STDOUT, _)));
        assert!(status.is_none_or(|status| Some(status) > output), "{wires:?}");
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::Completed), "{wires:?}");
    }
}

/// Kubernetes #73056, kubectl #1208, #1726, PR #137404 (`remotecommand.md` section 7.3): an empty error stream is
/// taken for success.
#[test]
fn a_connection_that_is_lost_is_never_a_success() {
    for wires in Wire::pairs() {
        let whole = Pair::running(wires, ALL, MEMORY);
        let status = if wires.1.is_json() { SUCCESS } else { b"" };
        let all = [whole.upstream.data(Channel::STDOUT, b"output"), whole.upstream.ending(status)].concat();
        for cut in 0..all.len() {
            let mut pair = Pair::running(wires, ALL, MEMORY);
            pair.session.upstream_sends(&all[..cut]);
            let ended_in_order = pair.session.bridge.outcome().is_some();
            pair.session.upstream_ends();
            let told = pair.received(Channel::ERROR);
            if ended_in_order || pair.session.bridge.outcome() == Some(Outcome::Completed) {
                assert_eq!(told, if wires.0.is_json() { SUCCESS } else { b"" }, "{wires:?} {cut}");
                continue;
            }
            assert_eq!(pair.session.bridge.outcome(), Some(Outcome::UpstreamLost), "{wires:?} {cut}");
            let text = String::from_utf8(told).unwrap();
            assert!(text.contains("Internal error occurred: "), "{text}");
        }
    }
}

/// `translator.md` section 3, step 8: code and reason of a typed error are lost and its message is prefixed again.
#[test]
fn errors_of_upstream_keep_code_reason_and_message() {
    let statuses: [&[u8]; 2] = [
        br#"{"metadata":{},"status":"Failure","message":"Internal error occurred: error executing command in container: x","reason":"InternalError","details":{"causes":[{"message":"x"}]},"code":500}"#,
        br#"{"status":"Failure","message":"no","reason":"Forbidden","code":403}"#,
    ];
    for (client, upstream) in Wire::pairs().filter(|(_, upstream)| upstream.is_json()) {
        for status in statuses {
            let mut pair = Pair::running((client, upstream), ALL, MEMORY);
            pair.session.upstream_sends(&pair.upstream.ending(status));
            let told = String::from_utf8(pair.received(Channel::ERROR)).unwrap();
            if client.is_json() {
                assert_eq!(told.as_bytes(), status);
            } else {
                assert!(
                    told == "no"
                        || told == "Internal error occurred: error executing command in container: x"
                );
            }
        }
    }
}

/// The same for the text of protocols before v4, which may have the prefix already.
#[test]
fn a_text_gets_no_second_prefix() {
    let text = "Internal error occurred: error executing command in container: x";
    let mut pair = Pair::running((V5, Wire::Spdy(Subprotocol::V3)), ALL, MEMORY);
    pair.session.upstream_sends(&pair.upstream.ending(text.as_bytes()));
    let status = String::from_utf8(pair.received(Channel::ERROR)).unwrap();
    assert!(status.contains(&std::format!("\"message\":\"{text}\"")), "{status}");
}

/// A failure that says nothing would be a success to a client that is told in text.
#[test]
fn a_failure_without_a_message_is_not_silent_in_text() {
    let cases = [
        (&br#"{"status":"Failure","reason":"Timeout"}"#[..], &b"Timeout"[..]),
        (br#"{"status":"Failure","message":""}"#, b"the command failed"),
    ];
    for (status, text) in cases {
        let mut pair = Pair::running((Wire::Spdy(Subprotocol::V2), SPDY), ALL, MEMORY);
        pair.session.upstream_sends(&pair.upstream.ending(status));
        assert_eq!(pair.received(Channel::ERROR), text);
    }
}

/// Embedshim #34 (`translator.md` section 6): exit codes of more than 8 bits are refused.
#[test]
fn exit_codes_of_32_bits_pass() {
    for code in [256_u32, 3_221_225_786, u32::MAX] {
        let status =
            String::from_utf8(EXIT_5.to_vec()).unwrap().replace("\"5\"", &std::format!("\"{code}\""));
        for client in [V5, SPDY] {
            let mut pair = Pair::running((client, SPDY), ALL, MEMORY);
            pair.session.upstream_sends(&pair.upstream.ending(status.as_bytes()));
            assert_eq!(pair.received(Channel::ERROR), status.as_bytes());
        }
    }
}

/// `websocket-channels.md` section 4: a malformed size, or any without a terminal, blocks the session.
#[test]
fn sizes_that_are_wrong_or_not_wanted_never_wedge() {
    for wires in Wire::pairs() {
        for streams in [ALL, TTY] {
            let mut pair = Pair::running(wires, streams, 512);
            for bad in [&b"nonsense"[..], b"{\"Width\":", b"{}", b"{\"Width\":0,\"Height\":0}", &[b'{'; 300]]
            {
                pair.session.client_sends(&pair.client.data(Channel::RESIZE, bad));
            }
            let size = b"\n{\"Width\":80,\"Height\":24}\n";
            for _ in 0..100 {
                pair.session.client_sends(&pair.client.data(Channel::RESIZE, size));
            }
            pair.session.client_sends(&pair.client.data(Channel::STDIN, b"goes on"));
            assert_eq!(pair.delivered(Channel::STDIN), b"goes on", "{wires:?}");
            let has_sizes = |wire: Wire| !wire.is_spdy() || wire.protocol().has_resize_on_spdy();
            let passes = streams.tty && has_sizes(wires.0) && has_sizes(wires.1);
            assert_eq!(pair.delivered(Channel::RESIZE).is_empty(), !passes, "{wires:?}");
        }
    }
}

/// `websocket-channels.md` section 2: input on a channel that was not requested is swallowed.
#[test]
fn input_that_was_not_asked_for_reaches_no_upstream() {
    let output = StreamSet { stdin: false, ..ALL };
    for wires in Wire::pairs() {
        let mut pair = Pair::running(wires, output, 512);
        pair.session.upstream.got.clear();
        let input = pair.client.data(Channel::STDIN, &[b'x'; 3000]);
        pair.session.client_sends(&[input, pair.client.end(Channel::STDIN)].concat());
        assert_eq!(pair.upstream_got(), [], "{wires:?}");
        pair.session.upstream_sends(&pair.upstream.data(Channel::STDOUT, b"x"));
        assert_eq!(pair.received(Channel::STDOUT), b"x", "{wires:?}");
    }
}

/// `websocket-channels.md` section 2: unknown channels, empty messages, text opcodes and fragments.
#[test]
fn odd_messages_of_a_client_harm_nothing() {
    for upstream in Wire::UPSTREAMS {
        let mut pair = Pair::running((V5, upstream), ALL, 512);
        let client = pair.client;
        let frames = [
            client.frame(Opcode::Binary, true, b""),
            client.frame(Opcode::Text, true, b"\0te\xffxt"),
            client.data(Channel::new(200), &[b'?'; 400]),
            client.data(Channel::STDOUT, b"?"),
            client.data(Channel::ERROR, b"?"),
            client.frame(Opcode::Binary, false, b""),
            client.frame(Opcode::Continuation, false, b"\0fra"),
            client.ping(),
            client.frame(Opcode::Continuation, true, b"gments"),
        ];
        pair.session.client_sends(&frames.concat());
        assert_eq!(pair.delivered(Channel::STDIN), b"te\xffxtfragments", "{upstream:?}");
    }
}

/// The same of a server.
#[test]
fn odd_messages_of_an_upstream_harm_nothing() {
    for client in Wire::CLIENTS {
        let mut pair = Pair::running((client, V5), TTY, 512);
        let upstream = pair.upstream;
        let frames = [
            upstream.frame(Opcode::Binary, true, b""),
            upstream.frame(Opcode::Text, true, b"\x01te\xffxt"),
            upstream.data(Channel::new(200), &[b'?'; 400]),
            upstream.data(Channel::STDERR, b"there is no stderr with a terminal"),
            upstream.data(Channel::STDIN, b"?"),
            upstream.data(Channel::RESIZE, b"{\"Width\":1,\"Height\":1}"),
            upstream.frame(Opcode::Binary, false, b"\x01fra"),
            upstream.frame(Opcode::Continuation, true, b"gments"),
            upstream.data(Channel::ERROR, b""),
        ];
        pair.session.upstream_sends(&frames.concat());
        assert_eq!(pair.received(Channel::STDOUT), b"te\xffxtfragments", "{client:?}");
        assert_eq!(pair.received(Channel::STDERR), b"", "{client:?}");
        assert_eq!(pair.session.bridge.outcome(), None);
    }
}

/// containerd #12734, #13934 (`remotecommand.md` section 7.4): input stops when output does.
#[test]
fn the_end_of_one_direction_does_not_stop_the_other() {
    for wires in Wire::pairs() {
        let mut pair = Pair::running(wires, ALL, 512);
        let end = pair.upstream.end_of_output(Channel::STDOUT);
        pair.session.upstream_sends(&end);
        pair.session.client_sends(&pair.client.data(Channel::STDIN, &[b'i'; 2000]));
        assert_eq!(pair.delivered(Channel::STDIN), [b'i'; 2000], "{wires:?}");
        pair.session.client_sends(&pair.client.end(Channel::STDIN));
        pair.session.upstream_sends(&pair.upstream.data(Channel::STDERR, b"still here"));
        assert_eq!(pair.received(Channel::STDERR), b"still here", "{wires:?}");
    }
}

/// Kubernetes #89899 and many clients (`translator.md` section 6): with a peer that has no half-close, the end of
/// stdin must not close the connection and lose the output.
#[test]
fn an_end_of_input_that_cannot_be_told_closes_nothing() {
    let mut pair = Pair::running((V5, Wire::WebSocket(Subprotocol::V4)), ALL, MEMORY);
    pair.session.client_sends(&pair.client.end(Channel::STDIN));
    assert_eq!(pair.upstream_got(), []);
    pair.session
        .upstream_sends(&[pair.upstream.data(Channel::STDOUT, b"x"), pair.upstream.ending(SUCCESS)].concat());
    assert_eq!(pair.received(Channel::STDOUT), b"x");
}

/// `websocket-channels.md` section 7: heads of line. A client's ping is answered while its input waits.
#[test]
fn pings_are_answered_while_nobody_takes_what_was_sent() {
    for wires in Wire::pairs() {
        let mut pair = Pair::running(wires, ALL, 4096);
        pair.session.upstream.takes = 0;
        pair.session.client.got.clear();
        pair.session
            .client_sends(&[pair.client.data(Channel::STDIN, &[b'x'; 500]), pair.client.ping()].concat());
        assert!(!pair.session.client.got.is_empty(), "{wires:?}");
    }
}

/// Virtual-kubelet #1425, #129144: the session lives on when the client is gone.
#[test]
fn the_loss_of_either_side_ends_the_other_in_bounded_time() {
    for wires in Wire::pairs() {
        let mut pair = Pair::running(wires, ALL, MEMORY);
        pair.session.bridge.lost(Side::Client, pair.session.now);
        pair.session.run();
        assert!(matches!(pair.upstream_got().last(), Some(Got::GoAway(0) | Got::Close(Some(1000)))));
        pair.session.after_millis(1000);
        assert!(pair.session.bridge.is_finished(), "{wires:?}");

        let mut pair = Pair::running(wires, ALL, MEMORY);
        pair.session.bridge.lost(Side::Upstream, pair.session.now);
        pair.session.run();
        assert!(matches!(pair.client_got().last(), Some(Got::End(Channel::ERROR) | Got::Close(Some(1000)))));
        assert_ne!(pair.received(Channel::ERROR), b"", "{wires:?}");
        pair.session.after_millis(10_000);
        assert!(pair.session.bridge.is_finished(), "{wires:?}");
    }
}

/// An upstream that breaks its protocol is told so, and the client which one it was.
#[test]
fn a_websocket_upstream_that_breaks_the_protocol_is_an_error() {
    let mut pair = Pair::running((V5, V5), ALL, MEMORY);
    let bytes = [pair.upstream.data(Channel::STDOUT, b"good"), b"\x82\x81....".to_vec()].concat();
    pair.session.upstream_sends(&bytes);
    let status = String::from_utf8(pair.received(Channel::ERROR)).unwrap();
    assert!(status.contains("upstream broke the WebSocket protocol"), "{status}");
    assert_eq!(pair.received(Channel::STDOUT), b"good");
    assert_eq!(pair.upstream_got(), [Got::Close(Some(1002))]);
    let error = LegError::WebSocket(ProtocolError::Masked);
    assert_eq!(pair.session.bridge.outcome(), Some(Outcome::UpstreamError(error)));
}

/// Base64 that is none ends the session with the code that says so.
#[test]
fn bad_base64_of_a_client_closes_with_1007() {
    let mut pair = Pair::running((Wire::WebSocket(Subprotocol::V4Base64), SPDY), ALL, MEMORY);
    let frames = [pair.client.data(Channel::STDIN, b"good"), pair.client.frame(Opcode::Text, true, b"0bad")];
    pair.session
        .client_sends(&[&frames.concat()[..], &pair.client.frame(Opcode::Text, true, b"0b!d=")].concat());
    assert_eq!(pair.client_got(), [Got::Close(Some(1007))]);
    assert_eq!(pair.session.bridge.outcome(), Some(Outcome::ClientError(LegError::Base64)));
    assert!(pair.delivered(Channel::STDIN).starts_with(b"good"));
}
