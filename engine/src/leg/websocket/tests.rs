use std::vec;
use std::vec::Vec;

use super::*;
use crate::ws::{CloseCode, Event as WsEvent, Opcode, Receiver, mask};
use proptest::prelude::*;

mod base64;
mod client;

const KEY: [u8; 4] = [1, 2, 3, 4];

fn leg() -> WebSocketLeg {
    WebSocketLeg::server(Subprotocol::V5, &Limits::HOST)
}

fn sent(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { fin, opcode, mask: Some(KEY), len: payload.len() as u64 };
    let mut bytes = [0; FrameHeader::MAX];
    let size = header.write(&mut bytes);
    let mut frame = [&bytes[..size], payload].concat();
    mask(KEY, 0, &mut frame[size..]);
    frame
}

/// All events, with their data.
fn events<M: Masking>(leg: &mut WebSocketLeg<M>, bytes: &[u8]) -> Result<Vec<(Event, Vec<u8>)>, LegError> {
    let mut bytes = bytes.to_vec();
    let mut events = Vec::new();
    let mut at = 0;
    loop {
        let step = leg.receive(&mut bytes[at..])?;
        if step == Step::NEED_MORE {
            return Ok(events);
        }
        if let Some(event) = step.event {
            let data = match &event {
                Event::Data { range, .. } => bytes[at..][range.clone()].to_vec(),
                _ => Vec::new(),
            };
            events.push((event, data));
        }
        at += step.consumed;
    }
}

/// Covers: RFC6455-5.5.1-3
#[test]
fn a_close_is_answered_with_its_code_once() {
    for payload in [&b""[..], &[3, 0xe8], b"\x0f\xa0reason"] {
        let mut leg = leg();
        let events = events(&mut leg, &sent(Opcode::Close, true, payload)).unwrap();
        assert_eq!(events, [(Event::End { clean: payload == [3, 0xe8] }, vec![])]);
        leg.close(Close::Internal);
        leg.close(Close::Normal);
        let code = &payload[..payload.len().min(2)];
        assert_eq!(leg.pending(), [&[0x88, code.len() as u8], code].concat());
        assert!(!leg.can_send(Channel::STDOUT), "no data behind a Close");
    }
}

#[test]
fn an_empty_message_has_no_channel_and_an_empty_fragment_leaves_it_to_the_next() {
    let frames = [
        sent(Opcode::Binary, true, b""),
        sent(Opcode::Binary, false, b""),
        sent(Opcode::Continuation, true, b"\0data"),
        sent(Opcode::Binary, true, b""),
    ];
    let input = Event::Data { channel: Channel::STDIN, range: 7..11 };
    assert_eq!(events(&mut leg(), &frames.concat()).unwrap(), [(input, b"data".to_vec())]);
}

#[test]
fn a_close_always_finds_room() {
    let mut leg = leg();
    let pings = sent(Opcode::Ping, true, &[b'p'; 125]).repeat(5);
    events(&mut leg, &pings).unwrap();
    assert!(!leg.can_receive());
    let answered = leg.pending().len();
    assert_eq!(answered, 127, "the second ping waits");
    leg.close(Close::Internal);
    assert_eq!(leg.pending().len(), answered + 2 + 2);
    let mut close = leg.pending()[answered..].to_vec();
    let step = Receiver::new(Role::Client, &Limits::HOST).receive(&mut close).unwrap();
    assert!(matches!(step.event, Some(WsEvent::Close { code: Some(CloseCode::INTERNAL_ERROR), .. })));
}

/// Covers: RFC6455-5.5.2-1
#[test]
fn receiving_goes_on_when_pongs_are_written() {
    let mut leg = leg();
    let mut pings = sent(Opcode::Ping, true, &[b'p'; 100]).repeat(3);
    let frame = pings.len() / 3;
    assert_eq!(leg.receive(&mut pings).unwrap(), Step::skip(frame));
    assert_eq!(leg.receive(&mut pings[frame..]).unwrap(), Step::NEED_MORE);
    leg.sent(102);
    assert_eq!(leg.receive(&mut pings[frame..]).unwrap(), Step::skip(frame));
}

/// Covers: RFC6455-5.5.3-1
#[test]
fn pongs_are_told_and_close_messages_mean_nothing_before_v5() {
    let mut v4 = WebSocketLeg::server(Subprotocol::V4, &Limits::HOST);
    let frames = [sent(Opcode::Pong, true, b"x"), sent(Opcode::Binary, true, &[255, 0])].concat();
    assert_eq!(events(&mut v4, &frames).unwrap(), [(Event::Pong, vec![])]);
    let closed = events(&mut leg(), &frames).unwrap();
    assert_eq!(closed, [(Event::Pong, vec![]), (Event::HalfClosed(Channel::STDIN), vec![])]);
}

#[test]
fn a_frame_needs_room_in_front_and_a_channel_of_the_session() {
    let mut buffer = vec![0; 300];
    let mut leg = leg();
    assert_eq!(leg.frame(Channel::STDOUT, false, &mut buffer, 2..10), None);
    assert_eq!(leg.frame(Channel::STDOUT, false, &mut buffer, 4..200), None);
    assert_eq!(
        leg.frame(Channel::STDOUT, false, &mut buffer, 299..301),
        Some(296),
        "the payload is not read"
    );
    assert_eq!(leg.frame(Channel::new(5), false, &mut buffer, 20..30), None);
    assert_eq!(leg.frame(Channel::STDOUT, false, &mut buffer, 5..5), Some(2));
    assert_eq!(buffer[2..5], [0x82, 1, 1], "the empty message that says ready");
}

proptest! {
    #[test]
    fn the_header_ends_where_the_payload_begins_and_is_as_long_as_told(
        len in prop_oneof![0..130_usize, 65_530..65_540_usize],
        channel in 1..=3_u8,
    ) {
        let mut buffer = vec![0xee; 16 + len];
        let mut leg = leg();
        let start = leg.frame(Channel::new(channel), false, &mut buffer, 16..16 + len).unwrap();
        prop_assert_eq!(16 - start, leg.header_max(len));
        prop_assert!(buffer[..start].iter().all(|&byte| byte == 0xee));
        let mut peer = Receiver::new(Role::Client, &Limits::HOST);
        let step = peer.receive(&mut buffer[start..]).unwrap();
        prop_assert_eq!(step.consumed, buffer.len() - start);
        let expected = WsEvent::Data { opcode: Opcode::Binary, range: 16 - start - 1..buffer.len() - start, first: true, last: true };
        prop_assert_eq!(step.event, Some(expected));
        prop_assert_eq!(buffer[15], channel);
    }

    #[test]
    fn payload_begins_as_far_into_the_input_as_told(
        lens in prop::collection::vec(prop_oneof![0..3_usize, 120..130_usize], 1..6),
        cut: usize,
    ) {
        let mut leg = leg();
        let mut bytes = Vec::new();
        let mut opcode = Opcode::Binary;
        for (at, &len) in lens.iter().enumerate() {
            let payload = vec![0; len + usize::from(at == 0)];
            bytes.extend(sent(opcode, at + 1 == lens.len(), &payload));
            opcode = Opcode::Continuation;
        }
        bytes.extend(sent(Opcode::Binary, true, b"\0next message"));
        let cut = cut % bytes.len();
        let mut at = 0;
        for end in [cut, bytes.len()] {
            loop {
                let input = &mut bytes[at..end];
                let lead = leg.lead(input);
                let step = leg.receive(input).unwrap();
                if step == Step::NEED_MORE {
                    break;
                }
                if let Some(Event::Data { range, .. }) = &step.event {
                    prop_assert_eq!(lead, Some(range.start));
                }
                at += step.consumed;
            }
        }
        prop_assert_eq!(at, bytes.len());
    }

    #[test]
    fn no_bytes_make_it_panic_or_loop(bytes: Vec<u8>) {
        let mut leg = leg();
        let mut input = bytes;
        let mut at = 0;
        while let Ok(step) = leg.receive(&mut input[at..]) {
            if step == Step::NEED_MORE || step.consumed == 0 {
                break;
            }
            at += step.consumed;
            leg.sent(usize::MAX);
        }
    }
}
