use std::vec::Vec;

use super::*;
use crate::leg::ports::spdy::tests::leg;

const DATA: Channel = Channel::new(2);

fn tunnelled() -> Tunnelled<crate::leg::SpdyPorts> {
    let mut leg = Tunnelled::client(leg(), &Limits::HOST, MaskKeys::new([1; 16]));
    while !leg.is_ready() {
        let waiting = leg.pending().len();
        assert!(waiting > 0 && !leg.can_send(DATA), "data waits for all of it");
        assert!(!leg.can_half_close(DATA));
        leg.sent(waiting);
    }
    assert!(leg.can_send(DATA) && leg.can_half_close(DATA));
    leg
}

/// A message of a server.
fn message(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, payload.len() as u8], payload].concat()
}

/// What comes of `bytes` that arrive `step` at a time: the payload, and how many other events there are.
fn received(bytes: &[u8], step: usize) -> (Vec<u8>, usize) {
    let mut leg = tunnelled();
    let (mut waiting, mut payload, mut others) = (Vec::new(), Vec::new(), 0);
    for piece in bytes.chunks(step) {
        waiting.extend(piece);
        loop {
            let lead = leg.lead(&waiting);
            let Step { consumed, event } = leg.receive(&mut waiting).unwrap();
            if consumed == 0 && event.is_none() {
                break;
            }
            match event {
                Some(Event::Data { channel, range }) => {
                    assert_eq!(channel, DATA);
                    assert!(lead.is_some_and(|lead| lead <= range.start), "room is asked for");
                    payload.extend(&waiting[range]);
                }
                Some(_) => others += 1,
                None => {}
            }
            waiting.drain(..consumed);
        }
    }
    (payload, others)
}

#[test]
fn frames_may_end_anywhere_in_messages() {
    let reply = {
        let mut frame = [0; 64];
        let id = crate::spdy::StreamId::new(7).unwrap();
        let len = crate::spdy::HeaderWriter::new().syn_reply(id, &mut frame).unwrap();
        frame[..len].to_vec()
    };
    let spdy = [&reply[..], b"\0\0\0\x07\0\0\0\x05hello", b"\0\0\0\x07\x01\0\0\x06 world"].concat();
    for piece in 1..=spdy.len() {
        let mut wire = Vec::new();
        for (index, part) in spdy.chunks(piece).enumerate() {
            // Fragments, and between them an empty message or a pong.
            if index % 3 == 0 {
                wire.extend(message(0x02, &part[..part.len() / 2]));
                wire.extend(message(0x80, &part[part.len() / 2..]));
                wire.extend(message(0x82, b""));
            } else {
                wire.extend(message(0x82, part));
                wire.extend(message(0x8a, b""));
            }
        }
        let pongs = (0..spdy.chunks(piece).count()).filter(|index| index % 3 != 0).count();
        for step in [1, 7, wire.len()] {
            // Accepted and half-closed.
            assert_eq!(received(&wire, step), (b"hello world".to_vec(), pongs + 2), "{piece} {step}");
        }
    }
}

#[test]
fn payload_behind_both_headers_has_the_lead_of_both() {
    let mut leg = tunnelled();
    let mut reply = [0; 64];
    let id = crate::spdy::StreamId::new(7).unwrap();
    let len = crate::spdy::HeaderWriter::new().syn_reply(id, &mut reply).unwrap();
    let accepted = leg.receive(&mut message(0x82, &reply[..len])).unwrap();
    assert_eq!(accepted.event, Some(Event::Accepted(DATA)));
    let mut wire = message(0x82, b"\0\0\0\x07\0\0\0\x05hello");
    assert_eq!(leg.lead(&wire), Some(10));
    let Some(Event::Data { range, .. }) = leg.receive(&mut wire).unwrap().event else { panic!() };
    assert_eq!(range, 10..15);
}

#[test]
fn a_frame_is_a_message_of_its_own() {
    let mut leg = tunnelled();
    let mut buffer = *b"....................hello";
    let start = leg.frame(DATA, false, &mut buffer, 20..25).unwrap();
    assert_eq!((start, leg.header_max(5)), (6, 14));
    assert_eq!(buffer[6..8], [0x82, 0x80 | 0x0d]);
    let key = buffer[8..12].try_into().unwrap();
    crate::ws::mask(key, 0, &mut buffer[12..]);
    assert_eq!(&buffer[12..], b"\0\0\0\x07\0\0\0\x05hello");
}

#[test]
fn a_frame_is_as_long_as_told_where_its_message_gets_a_longer_header() {
    let mut leg = tunnelled();
    for (len, header) in [(117, 14), (118, 16), (65_527, 16), (65_528, 22)] {
        let mut buffer = std::vec![0; 32 + len];
        assert_eq!(leg.header_max(len), header);
        assert_eq!(leg.frame(DATA, false, &mut buffer, 32..32 + len), Some(32 - header), "{len}");
    }
}

#[test]
fn a_channel_whose_end_was_told_takes_nothing_more() {
    let mut leg = tunnelled();
    leg.half_close(DATA);
    assert!(!leg.can_send(DATA) && !leg.can_half_close(DATA));
    assert!(leg.can_half_close(Channel::new(0)), "others do");
}

#[test]
fn a_flood_of_pings_waits_until_its_pongs_are_written() {
    let (mut leg, mut wire) = (tunnelled(), message(0x89, &[b'p'; 125]).repeat(20));
    let (mut at, mut pongs) = (0, 0);
    loop {
        let consumed = leg.receive(&mut wire[at..]).unwrap().consumed;
        at += consumed;
        if consumed == 0 {
            assert!(at == wire.len() || !leg.can_receive());
            // Each is masked.
            pongs +=
                leg.pending().chunks(2 + 4 + 125).filter(|pong| pong[..2] == [0x8a, 0x80 | 0x7d]).count();
            if leg.pending().is_empty() {
                break;
            }
            leg.sent(leg.pending().len());
        }
    }
    assert_eq!((at, pongs), (wire.len(), 20));
}

#[test]
fn the_close_comes_behind_the_last_words_of_the_leg_inside() {
    let mut leg = tunnelled();
    leg.close(Close::Normal);
    let mut frames = Vec::new();
    while !leg.pending().is_empty() {
        frames.extend(leg.pending().iter().take(5).copied());
        leg.sent(5);
    }
    assert_eq!(frames[0], 0x82);
    // A masked Close of two bytes.
    let close = &frames[frames.len() - 8..];
    assert_eq!(close[..2], [0x88, 0x82]);
}

#[test]
fn text_is_an_error() {
    assert_eq!(tunnelled().receive(&mut message(0x81, b"x")), Err(LegError::Text));
}
