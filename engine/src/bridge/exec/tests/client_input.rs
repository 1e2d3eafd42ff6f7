//! What a WebSocket client may send, and what ends the session.

use super::*;

#[test]
fn a_client_that_breaks_the_protocol_is_told_how() {
    let unmasked = b"\x82\x02\x00x".to_vec();
    let huge = [&b"\x82\xff"[..], &(1_u64 << 40).to_be_bytes(), &[0; 4]].concat();
    let utf8 = client_frame(Opcode::Close, true, b"\x03\xe8\xff");
    let cases = [
        (unmasked, ProtocolError::Unmasked, 1002),
        (huge, ProtocolError::FrameTooLarge(1 << 40), 1009),
        (b"\xc2\x80".to_vec(), ProtocolError::ReservedBits(0xc2), 1002),
        (utf8, ProtocolError::InvalidUtf8 { lead: 0xff }, 1007),
    ];
    for (bytes, error, code) in cases {
        let mut session = Session::running(ALL, MEMORY);
        session.client_sends(&[stdin(b"good"), bytes].concat());
        session.client_sends(&stdin(b"more"));
        assert_eq!(session.client_got(), [ToClient::Close(Some(code))]);
        let outcome = Outcome::ClientError(LegError::WebSocket(error));
        assert_eq!(session.bridge.outcome(), Some(outcome));
        assert_eq!(session.delivered(STDIN), b"good", "what came before the error");
        assert_eq!(session.upstream_got().last(), Some(&ToUpstream::GoAway(0)));
        assert!(!session.bridge.is_finished(), "the Close is on its way");
        session.after_millis(1000);
        assert!(session.bridge.is_finished());
    }
}

/// Covers: KEP4006-2
#[test]
fn a_close_message_that_names_no_channel_ends_the_session() {
    let bad: [&[u8]; 4] = [b"\xff", b"\xff\x00\x00", b"\xff\x05", b"\xff\xff"];
    for message in bad {
        let mut session = Session::running(ALL, MEMORY);
        session.client_sends(&client_frame(Opcode::Binary, true, message));
        assert_eq!(session.client_got(), [ToClient::Close(Some(1002))], "{message:?}");
        let outcome = session.bridge.outcome();
        let channel = message.get(1).copied();
        let error = LegError::CloseSignal { len: message.len(), channel };
        assert_eq!(outcome, Some(Outcome::ClientError(error)));
    }
}

/// Covers: KEP4006-1
#[test]
fn only_input_and_resize_can_be_half_closed() {
    let mut session = Session::running(TTY, MEMORY);
    for channel in [Channel::STDOUT, Channel::STDERR, Channel::ERROR] {
        session.client_sends(&end_of(channel));
    }
    assert_eq!(session.upstream_got(), []);
    session.client_sends(&end_of(Channel::RESIZE));
    assert_eq!(session.upstream_got(), [ToUpstream::Fin(RESIZE)]);
}

#[test]
fn text_fragments_and_empty_messages_are_taken() {
    let mut session = Session::running(ALL, MEMORY);
    let frames = [
        client_frame(Opcode::Text, true, b"\0text \xff"),
        client_frame(Opcode::Binary, true, b""),
        client_frame(Opcode::Binary, true, b"\0"),
        client_frame(Opcode::Binary, false, b""),
        client_frame(Opcode::Continuation, false, b"\0fragm"),
        client_frame(Opcode::Ping, true, b"between"),
        client_frame(Opcode::Continuation, false, b""),
        client_frame(Opcode::Continuation, true, b"\x01ents"),
        client_frame(Opcode::Text, false, b"\xff"),
        client_frame(Opcode::Continuation, true, b"\0"),
    ];
    session.client_sends(&frames.concat());
    assert_eq!(session.delivered(STDIN), b"text \xfffragm\x01ents");
    assert_eq!(session.upstream_got().last(), Some(&ToUpstream::Fin(STDIN)));
    assert_eq!(session.client_got(), [ToClient::Pong(b"between".to_vec())]);
}

#[test]
fn other_channels_are_swallowed() {
    let mut session = Session::running(ALL, MEMORY);
    for number in [1, 2, 3, 5, 77, 254] {
        session.client_sends(&message(Channel::new(number), &[b'x'; 300]));
    }
    assert_eq!(session.upstream_got(), []);
    session.client_sends(&stdin(b"fine"));
    assert_eq!(session.delivered(STDIN), b"fine");
}

#[test]
fn input_that_was_not_asked_for_is_dropped() {
    let mut session = Session::running(StreamSet { stdin: false, ..ALL }, MEMORY);
    session.client_sends(&[stdin(&[b'x'; 500]), end_of(Channel::STDIN)].concat());
    assert_eq!(session.upstream_got(), []);
    assert_eq!(session.bridge.outcome(), None);
}

#[test]
fn sizes_of_all_clients_reach_the_resize_stream() {
    let forms: [&[u8]; 3] =
        [b"{\"Width\":80,\"Height\":24}\n", b"{\"Width\":80,\"Height\":24}", b"{\"height\":24,\"width\":80}"];
    for form in forms {
        let mut session = Session::running(TTY, MEMORY);
        let (head, tail) = form.split_at(9);
        session.client_sends(&message(Channel::RESIZE, head));
        assert_eq!(session.upstream_got(), []);
        session.client_sends(&message(Channel::RESIZE, tail));
        session.client_sends(&message(Channel::RESIZE, b"{\"Width\":0,\"Height\":24}"));
        let expected = b"{\"Width\":80,\"Height\":24}\n".to_vec();
        assert_eq!(session.upstream_got(), [ToUpstream::Data(RESIZE, expected)]);
    }
}

#[test]
fn sizes_without_a_terminal_are_dropped() {
    let mut session = Session::running(ALL, MEMORY);
    for _ in 0..100 {
        session.client_sends(&message(Channel::RESIZE, b"{\"Width\":80,\"Height\":24}\n"));
        session.client_sends(&message(Channel::RESIZE, b"nonsense"));
    }
    assert_eq!(session.upstream_got(), []);
}

#[test]
fn only_the_newest_size_waits_for_an_upstream_that_does_not_read() {
    let mut session = Session::running(TTY, MEMORY);
    session.upstream.takes = 0;
    for rows in 1..=200 {
        let size = std::format!("{{\"Width\":80,\"Height\":{rows}}}");
        session.client_sends(&message(Channel::RESIZE, size.as_bytes()));
    }
    session.upstream.takes = usize::MAX;
    session.run();
    let sizes = String::from_utf8(session.delivered(RESIZE)).unwrap();
    assert!(sizes.lines().count() < 20, "{sizes}");
    assert!(sizes.ends_with("{\"Width\":80,\"Height\":200}\n"), "{sizes}");
}

#[test]
fn an_end_of_sizes_that_waits_for_room_does_not_follow_the_goaway() {
    let mut session = Session::running(TTY, MEMORY);
    session.upstream.takes = 0;
    for _ in 0..200 {
        session.client_sends(&message(Channel::RESIZE, b"{\"Width\":80,\"Height\":24}"));
    }
    session.client_sends(&end_of(Channel::RESIZE));
    session.client_sends(&client_frame(Opcode::Close, true, &1000_u16.to_be_bytes()));
    session.upstream.takes = usize::MAX;
    session.run();
    let got = session.upstream_got();
    assert_eq!(got.last(), Some(&ToUpstream::GoAway(0)), "{got:?}");
}

#[test]
fn the_end_of_sizes_follows_the_last_size() {
    let mut session = Session::running(TTY, MEMORY);
    let size = b"{\"Width\":80,\"Height\":24}\n";
    session.client_sends(&[message(Channel::RESIZE, size), end_of(Channel::RESIZE)].concat());
    assert_eq!(session.upstream_got(), [ToUpstream::Data(RESIZE, size.to_vec()), ToUpstream::Fin(RESIZE)]);
    session.client_sends(&message(Channel::RESIZE, size));
    assert_eq!(session.upstream_got().len(), 2, "nothing follows the end");
}

/// A program that reads a line and then asks for the size got the one before, when both came at once.
#[test]
fn input_does_not_overtake_the_size_in_front_of_it() {
    let size = b"{\"Width\":80,\"Height\":24}\n";
    for before in [&b""[..], b"before"] {
        for takes in [0, 5, 20, usize::MAX] {
            let mut session = Session::running(TTY, MEMORY);
            session.upstream.takes = takes;
            session.client_sends(&[message(Channel::RESIZE, size), stdin(b"behind")].concat());
            session.client_sends(&[stdin(before), message(Channel::RESIZE, size), stdin(b"last")].concat());
            session.upstream.takes = usize::MAX;
            session.run();
            let got = session.upstream_got();
            assert_eq!(got[0], ToUpstream::Data(RESIZE, size.to_vec()), "{takes}");
            assert_eq!(session.delivered(RESIZE), [&size[..], size].concat());
            assert_eq!(session.delivered(STDIN), [b"behind", before, b"last"].concat());
            // Where a frame is cut the size has to wait behind what is framed already.
            let is_last =
                matches!(got.last(), Some(ToUpstream::Data(STDIN, payload)) if payload.ends_with(b"last"));
            assert!(is_last || (1..usize::MAX).contains(&takes), "{got:?}");
        }
    }
}

/// The size has to wait then: it would stand inside the frame.
#[test]
fn a_size_does_not_cut_a_frame_of_input() {
    let size = b"{\"Width\":80,\"Height\":24}\n";
    for takes in 1..20 {
        let mut session = Session::running(TTY, MEMORY);
        session.upstream.takes = takes;
        session.client_sends(&stdin(b"twelve bytes"));
        session.client_sends(&[message(Channel::RESIZE, size), stdin(b"behind")].concat());
        session.upstream.takes = usize::MAX;
        session.run();
        assert_eq!(session.delivered(STDIN), b"twelve bytesbehind", "{takes}");
        assert_eq!(session.delivered(RESIZE), size, "{takes}");
    }
}

#[test]
fn sizes_that_wait_for_room_are_discarded_too() {
    let mut session = Session::running(TTY, MEMORY);
    session.upstream.takes = 0;
    for columns in 1..200 {
        session.client_sends(&message(
            Channel::RESIZE,
            std::format!("{{\"Width\":{columns},\"Height\":1}}").as_bytes(),
        ));
    }
    session.bridge.write_failed(Side::Upstream, session.now);
    session.run();
    assert_eq!(session.bridge.outcome(), None, "upstream may still say how it went");
}
