//! The client's end.

use super::*;

fn client(protocol: Subprotocol) -> WebSocketLeg<MaskKeys> {
    WebSocketLeg::client(protocol, &Limits::HOST, MaskKeys::new([3; 16]))
}

/// A server's frame.
fn served(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { fin, opcode, mask: None, len: payload.len() as u64 };
    let mut bytes = [0; FrameHeader::MAX];
    let size = header.write(&mut bytes);
    [&bytes[..size], payload].concat()
}

/// What a server reads of `bytes`: the opcode, and the payload.
fn read(mut bytes: &[u8]) -> Vec<(Opcode, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((header, size)) = FrameHeader::parse(bytes).unwrap() {
        let end = size + header.len as usize;
        let mut payload = bytes[size..end].to_vec();
        mask(header.mask.expect("a client masks"), 0, &mut payload);
        frames.push((header.opcode, payload));
        bytes = &bytes[end..];
    }
    frames
}

#[test]
fn outputs_and_the_status_are_told_and_other_channels_are_not() {
    let message = |payload: &[u8]| served(Opcode::Binary, true, payload);
    let frames = [
        message(b"\x01"),
        message(b""),
        message(b"\x01out"),
        message(b"\x00?"),
        message(b"\x04{\"Width\":1,\"Height\":1}"),
        message(b"\x09?"),
        message(b"\x02err"),
        message(b"\x03{}"),
    ];
    for (protocol, ends) in [(Subprotocol::V5, true), (Subprotocol::V4, true), (Subprotocol::V1, false)] {
        let data =
            |channel, bytes: &[u8]| (Event::Data { channel, range: 3..3 + bytes.len() }, bytes.to_vec());
        let mut expected =
            vec![data(Channel::STDOUT, b"out"), data(Channel::STDERR, b"err"), data(Channel::ERROR, b"{}")];
        expected.extend(ends.then_some((Event::Status, vec![])));
        assert_eq!(events(&mut client(protocol), &frames.concat()).unwrap(), expected, "{protocol}");
    }
}

#[test]
fn a_status_in_fragments_is_whole_at_its_last_one() {
    let frames = [
        served(Opcode::Binary, false, b"\x03"),
        served(Opcode::Continuation, false, b"{"),
        served(Opcode::Ping, true, b""),
        served(Opcode::Continuation, false, b"}"),
        served(Opcode::Continuation, true, b""),
    ];
    let got = events(&mut client(Subprotocol::V4), &frames.concat()).unwrap();
    let pieces: Vec<_> = got.iter().map(|(_, bytes)| &bytes[..]).collect();
    assert_eq!(pieces, [&b"{"[..], b"}", b""]);
    assert_eq!(got[2].0, Event::Status);
}

#[test]
fn a_ready_message_on_the_error_channel_is_no_status() {
    for frame in [served(Opcode::Binary, true, b"\x03"), served(Opcode::Binary, false, b"\x03")] {
        assert_eq!(events(&mut client(Subprotocol::V4), &frame).unwrap(), []);
    }
}

/// Covers: RFC6455-5.1-1
#[test]
fn what_it_sends_is_masked_with_new_keys() {
    let mut leg = client(Subprotocol::V5);
    let mut keys = Vec::new();
    for _ in 0..3 {
        let mut buffer = [0; 32];
        buffer[16..20].copy_from_slice(b"data");
        let start = leg.frame(Channel::STDIN, false, &mut buffer, 16..20).unwrap();
        assert_eq!(read(&buffer[start..20]), [(Opcode::Binary, b"\0data".to_vec())]);
        keys.push(FrameHeader::parse(&buffer[start..]).unwrap().unwrap().0.mask.unwrap());
    }
    assert!(keys[0] != keys[1] && keys[1] != keys[2], "{keys:?}");
}

/// Covers: KEP4006-1
#[test]
fn the_end_of_a_channel_is_a_message_of_its_own() {
    let mut leg = client(Subprotocol::V5);
    let mut buffer = [0; 32];
    assert_eq!(leg.frame(Channel::STDIN, true, &mut buffer, 16..20), None, "not with payload");
    assert_eq!(leg.frame(Channel::STDIN, true, &mut buffer, 7..7), None, "it takes 8 bytes");
    let start = leg.frame(Channel::STDIN, true, &mut buffer, 20..20).unwrap();
    assert_eq!(read(&buffer[start..20]), [(Opcode::Binary, vec![255, 0])]);
    assert_eq!(client(Subprotocol::V4).frame(Channel::STDIN, true, &mut buffer, 20..20), Some(20));
}

#[test]
fn sizes_are_sent_as_messages_and_only_the_newest_waits() {
    for protocol in [Subprotocol::V5, Subprotocol::V1Base64] {
        let mut leg = client(protocol);
        let json = b"{\"Width\":65535,\"Height\":65535}\n";
        for number in [65_535, 2, 3, 4] {
            leg.resize(TerminalSize { columns: number, rows: number });
        }
        let first = read(leg.pending());
        assert!(first.len() < 3, "{first:?}");
        if protocol == Subprotocol::V5 {
            assert_eq!(first[0], (Opcode::Binary, [&[4], &json[..]].concat()));
        } else {
            assert_eq!(first[0].0, Opcode::Text);
            assert!(first[0].1.starts_with(b"4eyJXaWR0aCI6NjU1MzUs"));
        }
        leg.sent(leg.pending().len());
        let second = read(leg.pending());
        assert_eq!(second.len(), 1, "the newest only");
        leg.sent(leg.pending().len());
        leg.close(Close::Normal);
        leg.resize(TerminalSize { columns: 4, rows: 4 });
        assert_eq!(read(leg.pending()), [(Opcode::Close, vec![3, 0xe8])], "nothing follows a Close");
    }
}

#[test]
fn a_size_keeps_nothing_from_being_read_until_it_has_left() {
    let mut leg = client(Subprotocol::V5);
    let pings = served(Opcode::Ping, true, &[b'p'; 125]).repeat(5);
    leg.resize(TerminalSize { columns: 80, rows: 24 });
    assert!(!leg.channels.messages.can_receive(), "it has the room of an answer");
    assert!(leg.can_receive());
    leg.sent(1);
    assert!(!leg.channels.messages.can_receive() && leg.can_receive(), "a part of it waits");
    leg.sent(leg.pending().len());
    events(&mut leg, &pings).unwrap();
    assert!(!leg.can_receive(), "these are answers");
}

#[test]
fn only_a_server_greets() {
    assert!(leg().greets() && !client(Subprotocol::V5).greets());
}

#[test]
fn a_server_sends_no_sizes() {
    let mut leg = leg();
    leg.resize(TerminalSize { columns: 80, rows: 24 });
    assert_eq!(leg.pending(), b"");
}

#[test]
fn a_heartbeat_is_a_ping_and_a_pong_and_waits_for_earlier_ones() {
    let mut leg = client(Subprotocol::V5);
    leg.ping();
    leg.ping();
    assert_eq!(read(leg.pending()), [(Opcode::Ping, vec![]), (Opcode::Pong, vec![])]);
    let mut pinged = served(Opcode::Ping, true, b"x");
    assert_eq!(leg.receive(&mut pinged).unwrap(), Step::skip(3));
    assert_eq!(read(leg.pending())[2..], [(Opcode::Pong, b"x".to_vec())]);
}

/// Covers: RFC6455-5.1-3
#[test]
fn a_masked_frame_of_a_server_is_an_error() {
    let error = events(&mut client(Subprotocol::V5), &sent(Opcode::Binary, true, b"\x01x")).unwrap_err();
    assert_eq!(error.close().code(), CloseCode::PROTOCOL_ERROR);
}

#[test]
fn a_close_message_of_a_v5_server_ends_that_channel() {
    let frame = served(Opcode::Binary, true, &[255, 1]);
    let got = events(&mut client(Subprotocol::V5), &frame).unwrap();
    assert_eq!(got, [(Event::HalfClosed(Channel::STDOUT), vec![])]);
    assert_eq!(events(&mut client(Subprotocol::V4), &frame).unwrap(), []);
}

#[test]
fn a_server_carries_no_keys() {
    let (server, client) = (size_of::<WebSocketLeg>(), size_of::<WebSocketLeg<MaskKeys>>());
    std::println!("WebSocketLeg: {server} bytes as a server, {client} as a client");
    assert!(server + size_of::<MaskKeys>() <= client);
    assert!(client <= 640, "{client}");
}
