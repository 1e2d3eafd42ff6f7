//! The base64 protocols, both ends.

use super::*;

const PROTOCOLS: [Subprotocol; 2] = [Subprotocol::V1Base64, Subprotocol::V4Base64];

fn server() -> WebSocketLeg {
    WebSocketLeg::server(Subprotocol::V4Base64, &Limits::HOST)
}

/// Payload that a leg takes from `bytes`, fed in pieces of up to `most` bytes, as a lane would keep what is left.
fn taken(leg: &mut WebSocketLeg, bytes: &[u8], most: usize) -> Result<Vec<u8>, LegError> {
    let (mut input, mut payload) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(most) {
        input.extend_from_slice(piece);
        loop {
            let step = leg.receive(&mut input)?;
            if step == Step::NEED_MORE {
                break;
            }
            if let Some(Event::Data { range, .. }) = step.event {
                payload.extend_from_slice(&input[range]);
            }
            input.drain(..step.consumed);
        }
        assert!(input.len() < FrameHeader::MAX, "{} bytes wait", input.len());
    }
    Ok(payload)
}

/// Covers: K8S-CHANNELS-1
#[test]
fn messages_are_text_with_a_digit() {
    for protocol in PROTOCOLS {
        let mut leg = WebSocketLeg::server(protocol, &Limits::HOST);
        let mut buffer = vec![0; 32];
        buffer[16..20].copy_from_slice(b"data");
        let start = leg.frame(Channel::STDOUT, false, &mut buffer, 16..20).unwrap();
        assert_eq!(buffer[start..20], *b"\x81\x091ZGF0YQ==");
        let mut frame = sent(Opcode::Text, true, b"0aW5wdXQ=");
        let step = leg.receive(&mut frame).unwrap();
        let Some(Event::Data { channel: Channel::STDIN, range }) = step.event else { panic!("{step:?}") };
        assert_eq!(frame[range], *b"input");
    }
}

/// Covers: RFC6455-8.1-1
#[test]
fn what_is_not_base64_closes_with_1007() {
    for text in ["aW5wdXQ", "aW5wd===", "aW5w!A==", "aW==aW==", "aW5wd", "=", "aW5w\n"] {
        for most in [1, 2, 5, 100] {
            let frame = sent(Opcode::Text, true, &[b"0", text.as_bytes()].concat());
            let error = taken(&mut server(), &frame, most).unwrap_err();
            assert_eq!(error, LegError::Base64, "{text} in pieces of {most}");
            assert_eq!(error.close().code(), CloseCode::INVALID_PAYLOAD);
        }
    }
}

#[test]
fn fragments_hold_whole_quanta() {
    let frames = |first: &[u8], second: &[u8]| {
        [sent(Opcode::Text, false, first), sent(Opcode::Continuation, true, second)].concat()
    };
    for most in [1, 3, 100] {
        assert_eq!(taken(&mut server(), &frames(b"0aW5w", b"dXQ="), most).unwrap(), b"input");
        assert_eq!(taken(&mut server(), &frames(b"0", b"aW5wdXQ="), most).unwrap(), b"input");
        assert_eq!(taken(&mut server(), &frames(b"", b"0aW5wdXQ="), most).unwrap(), b"input");
        assert_eq!(taken(&mut server(), &frames(b"0aW5wdXQ=", b""), most).unwrap(), b"input");
        assert_eq!(taken(&mut server(), &frames(b"0aW5", b"wdXQ="), most), Err(LegError::Base64), "split");
        assert_eq!(taken(&mut server(), &frames(b"0aQ==", b"aQ=="), most), Err(LegError::Base64), "padded");
    }
}

#[test]
fn a_message_may_be_padded_again_after_another() {
    let frames = [sent(Opcode::Text, true, b"0aQ=="), sent(Opcode::Text, true, b"0aQ==")].concat();
    assert_eq!(taken(&mut server(), &frames, 100).unwrap(), b"ii");
}

#[test]
fn an_empty_message_and_one_of_a_channel_alone_mean_nothing() {
    for most in [1, 100] {
        let frames = [sent(Opcode::Text, true, b""), sent(Opcode::Text, true, b"0")].concat();
        assert_eq!(taken(&mut server(), &frames, most).unwrap(), b"");
    }
}

#[test]
fn a_lane_of_any_size_keeps_room_for_what_all_that_it_reads_grows_by() {
    let server = server();
    let client = WebSocketLeg::client(Subprotocol::V4Base64, &Limits::HOST, MaskKeys::new([0; 16]));
    let rooms = (64..1024).chain(65_500..65_600).map(|len| {
        let (room, masked) = (server.headroom(len), client.headroom(len));
        assert!(server.header_max(len - room) <= room && client.header_max(len - masked) <= masked, "{len}");
        (len, room)
    });
    let widest = rooms.max_by_key(|(_, room)| *room);
    assert!(widest.is_some_and(|(len, room)| room < len / 3), "the rest is for what it reads: {widest:?}");
    assert_eq!(leg().headroom(65_536), 0, "nothing else grows");
}

#[test]
fn there_is_no_close_message() {
    let mut leg = WebSocketLeg::client(Subprotocol::V4Base64, &Limits::HOST, MaskKeys::new([0; 16]));
    assert!(!leg.can_half_close(Channel::STDIN));
    assert_eq!(leg.frame(Channel::STDIN, true, &mut [0; 32], 20..20), Some(20), "no frame");
}

proptest! {
    #[test]
    fn no_payload_of_up_to_so_many_bytes_needs_more_in_front_than_is_told(
        len in prop_oneof![0..200_usize, 40_000..70_000_usize], less in 0..9_usize, is_client: bool,
    ) {
        let payload = len.saturating_sub(less);
        let mut buffer = vec![0xee; 30_000 + payload];
        let end = buffer.len();
        let (start, most) = if is_client {
            let mut leg = WebSocketLeg::client(Subprotocol::V4Base64, &Limits::HOST, MaskKeys::new([0; 16]));
            (leg.frame(Channel::STDIN, false, &mut buffer, 30_000..end), leg.header_max(len))
        } else {
            let mut leg = server();
            (leg.frame(Channel::STDOUT, false, &mut buffer, 30_000..end), leg.header_max(len))
        };
        let start = start.unwrap();
        prop_assert!(30_000 - start <= most, "{} of {most}", 30_000 - start);
        prop_assert!(buffer[..start].iter().all(|&byte| byte == 0xee));
    }

    #[test]
    fn any_payload_comes_through_in_pieces_of_any_size(
        payload in prop::collection::vec(any::<u8>(), 0..600), most in 1..300_usize,
    ) {
        let mut peer = WebSocketLeg::client(Subprotocol::V1Base64, &Limits::HOST, MaskKeys::new([9; 16]));
        let mut buffer = vec![0; 400];
        buffer.extend_from_slice(&payload);
        let end = buffer.len();
        let start = peer.frame(Channel::STDIN, false, &mut buffer, 400..end).unwrap();
        prop_assert_eq!(taken(&mut server(), &buffer[start..], most).unwrap(), payload);
    }
}
