use std::vec;
use std::vec::Vec;

use super::*;
use crate::ws::{FrameHeader, ProtocolError, mask};

const KEY: [u8; 4] = [9, 8, 7, 6];

fn leg() -> TunnelLeg {
    TunnelLeg::server(&Limits::HOST)
}

fn sent(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { fin, opcode, mask: Some(KEY), len: payload.len() as u64 };
    let mut bytes = [0; FrameHeader::MAX];
    let size = header.write(&mut bytes);
    let mut frame = [&bytes[..size], payload].concat();
    mask(KEY, 0, &mut frame[size..]);
    frame
}

/// All payload in one, and all other events.
fn received(leg: &mut TunnelLeg, bytes: &[u8]) -> Result<(Vec<u8>, Vec<Event>), LegError> {
    let mut bytes = bytes.to_vec();
    let (mut at, mut payload, mut events) = (0, Vec::new(), Vec::new());
    loop {
        let step = leg.receive(&mut bytes[at..])?;
        if step == Step::NEED_MORE {
            assert_eq!(at, bytes.len(), "all is taken");
            return Ok((payload, events));
        }
        match step.event {
            Some(Event::Data { channel, range }) => {
                assert_eq!(channel, Channel::BYTES);
                assert!(!range.is_empty());
                payload.extend(&bytes[at..][range]);
            }
            other => events.extend(other),
        }
        at += step.consumed;
    }
}

#[test]
fn messages_and_fragments_and_empty_ones_are_one_stream() {
    let bytes = [
        sent(Opcode::Binary, true, b"\x80\x03"),
        sent(Opcode::Binary, true, b""),
        sent(Opcode::Binary, false, b"fragment"),
        sent(Opcode::Ping, true, b"between"),
        sent(Opcode::Continuation, false, b""),
        sent(Opcode::Continuation, true, b"ed"),
        sent(Opcode::Pong, true, b""),
        sent(Opcode::Binary, true, &vec![7; 70_000]),
    ]
    .concat();
    let mut leg = leg();
    let (payload, events) = received(&mut leg, &bytes).unwrap();
    assert_eq!(payload, [&b"\x80\x03fragmented"[..], &vec![7; 70_000]].concat());
    assert_eq!(events, [Event::Pong]);
    assert_eq!(leg.pending(), b"\x8a\x07between");
}

#[test]
fn a_text_message_is_an_error_even_an_empty_one() {
    for text in [&b"text"[..], b""] {
        let error = received(&mut leg(), &sent(Opcode::Text, true, text)).unwrap_err();
        assert_eq!(error, LegError::Text);
        assert_eq!(error.close().code().0, 1003);
    }
    assert_eq!(
        received(&mut leg(), b"\x82\x01x\0\0\0\0"),
        Err(LegError::WebSocket(ProtocolError::Unmasked)),
        "framing is checked as ever"
    );
}

#[test]
fn close_1000_is_the_clean_end() {
    for (code, clean) in [(&b"\x03\xe8"[..], true), (b"\x03\xf3", false), (b"", false)] {
        let mut leg = leg();
        let (_, events) = received(&mut leg, &sent(Opcode::Close, true, code)).unwrap();
        assert_eq!(events, [Event::End { clean }]);
        assert!(!leg.can_send(Channel::BYTES), "nothing follows the Close that answers it");
    }
}

#[test]
fn the_end_of_the_stream_is_that_of_the_connection() {
    assert!(leg().can_send(Channel::BYTES) && !leg().can_half_close(Channel::BYTES));
}

#[test]
fn a_frame_is_one_binary_message() {
    let mut buffer = *b"..........hello";
    assert_eq!(leg().frame(Channel::BYTES, false, &mut buffer, 10..15), Some(8));
    assert_eq!(&buffer[8..], b"\x82\x05hello");
    assert_eq!((leg().header_max(5), leg().headroom(65_536)), (2, 0));
    assert_eq!(leg().frame(Channel::BYTES, true, &mut buffer, 15..15), Some(15), "no empty message");
    assert_eq!(leg().frame(Channel::STDERR, false, &mut buffer, 10..15), None);

    let mut client = TunnelLeg::client(&Limits::HOST, MaskKeys::new([1; 16]));
    let start = client.frame(Channel::BYTES, false, &mut buffer, 10..15).unwrap();
    assert_eq!((start, client.header_max(5)), (4, 6));
    assert_eq!(received(&mut leg(), &buffer[start..]).unwrap().0, b"hello");
}
