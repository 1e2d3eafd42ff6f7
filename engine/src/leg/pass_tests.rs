//! What passes the short way is what would have passed the long way.

use std::vec;
use std::vec::Vec;

use proptest::collection::vec as vec_of;
use proptest::prelude::*;

use super::*;
use crate::k8s::{StreamSet, Subprotocol};
use crate::limits::Limits;
use crate::spdy::{HeaderWriter, StreamId, frame};
use crate::ws::{self, FrameHeader, Opcode};

const ALL: StreamSet = StreamSet { stdin: true, stdout: true, stderr: true, tty: false };

/// What a leg has told, with pieces of one payload joined.
#[derive(Debug, PartialEq)]
enum Told {
    Data(Channel, Vec<u8>),
    Other(Event),
}

fn tell(told: &mut Vec<Told>, channel: Channel, payload: &[u8]) {
    match told.last_mut() {
        Some(Told::Data(last, bytes)) if *last == channel => bytes.extend(payload),
        _ if payload.is_empty() => {}
        _ => told.push(Told::Data(channel, payload.to_vec())),
    }
}

/// What `leg` tells of `wire`, which comes in pieces of `sizes`. With `passes` that is asked for first, with that much of a lead.
fn told_by<L: Framing>(
    mut leg: L,
    wire: &[u8],
    sizes: &[usize],
    short: Option<(usize, &[Channel])>,
) -> (Vec<Told>, Option<LegError>, usize) {
    let (mut told, mut input, mut passed) = (vec![], vec![], 0);
    let (mut rest, mut sizes) = (wire, sizes.iter().cycle());
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at((*sizes.next().unwrap()).clamp(1, rest.len()));
        input.extend(piece);
        rest = behind;
        loop {
            leg.sent(leg.pending().len());
            if let Some((lead, channels)) = short
                && let Some(Payload { channel, range }) =
                    leg.pass(&mut input, lead, channels.iter().copied().collect())
            {
                assert!(range.start >= lead && channels.contains(&channel));
                tell(&mut told, channel, &input[range.clone()]);
                input.drain(..range.end);
                passed += 1;
                continue;
            }
            let step = match leg.receive(&mut input) {
                Ok(step) if step == Step::NEED_MORE => break,
                Ok(step) => step,
                Err(error) => return (told, Some(error), passed),
            };
            match step.event {
                Some(Event::Data { channel, range }) => tell(&mut told, channel, &input[range]),
                Some(event) => told.push(Told::Other(event)),
                None => {}
            }
            input.drain(..step.consumed);
        }
    }
    (told, None, passed)
}

fn spdy_leg() -> SpdyLeg<crate::spdy::SkipBlocks> {
    SpdyLeg::client(ALL, Subprotocol::V4, &Limits::HOST)
}

fn replies() -> Vec<u8> {
    let mut writer = HeaderWriter::new();
    let mut reply = |id| {
        let mut bytes = [0; 64];
        let len = writer.syn_reply(StreamId::new(id).unwrap(), &mut bytes).unwrap();
        bytes[..len].to_vec()
    };
    [1, 3, 5, 7].map(&mut reply).concat()
}

/// Streams 5 and 7 are stdout and stderr, 1 is the error stream, 9 is none.
fn spdy_frame() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![8 => Just(5), 3 => Just(7), 1 => Just(1), 1 => Just(9)];
    let data =
        (id.clone(), prop_oneof![30 => Just(0), 1 => Just(1), 1 => Just(2)], vec_of(any::<u8>(), 0..200));
    let data = data.prop_map(|(id, flags, payload)| {
        let mut header = frame::data_header(StreamId::new(id).unwrap(), false, payload.len() as u32);
        header[4] = flags;
        [&header[..], &payload].concat()
    });
    let control = id.prop_map(|id| {
        [frame::ping(2).to_vec(), frame::rst_stream(StreamId::new(id).unwrap(), RstStatus::CANCEL).to_vec()]
            .concat()
    });
    prop_oneof![15 => data, 1 => Just(frame::ping(2).to_vec()), 1 => control]
}

fn ws_frame() -> impl Strategy<Value = Vec<u8>> {
    let channel = prop_oneof![10 => Just(0), 1 => 1..6_u8, 1 => Just(255)];
    let opcode = prop_oneof![
        20 => Just((Opcode::Binary, true)),
        3 => Just((Opcode::Text, true)),
        2 => Just((Opcode::Binary, false)),
        2 => Just((Opcode::Continuation, true)),
        2 => Just((Opcode::Ping, true)),
    ];
    let payload = prop_oneof![9 => vec_of(any::<u8>(), 0..120), 1 => vec_of(any::<u8>(), 120..2000)];
    (channel, opcode, payload, any::<[u8; 4]>()).prop_map(|(channel, (opcode, fin), payload, key)| {
        let mut message =
            if opcode == Opcode::Continuation { payload } else { [&[channel], &payload[..]].concat() };
        message.truncate(if opcode.is_control() { 125 } else { usize::MAX });
        let header = FrameHeader { fin, opcode, mask: Some(key), len: message.len() as u64 };
        let mut bytes = [0; FrameHeader::MAX];
        let size = header.write(&mut bytes);
        ws::mask(key, 0, &mut message);
        [&bytes[..size], &message].concat()
    })
}

proptest! {
    #[test]
    fn over_spdy(frames in vec_of(spdy_frame(), 1..40), sizes in vec_of(1..400_usize, 1..20), lead in 0..10_usize) {
        let wire = [replies(), frames.concat()].concat();
        let (long, other) = (told_by(spdy_leg(), &wire, &sizes, None), told_by(spdy_leg(), &wire, &sizes, Some((lead, &[Channel::STDOUT]))));
        prop_assert_eq!((&long.0, long.1), (&other.0, other.1));
    }

    #[test]
    fn over_websocket(frames in vec_of(ws_frame(), 1..40), sizes in vec_of(1..2000_usize, 1..20), lead in 0..12_usize) {
        let (wire, leg) = (frames.concat(), || WebSocketLeg::server(Subprotocol::V5, &Limits::HOST));
        let (long, other) = (told_by(leg(), &wire, &sizes, None), told_by(leg(), &wire, &sizes, Some((lead, &[Channel::STDIN]))));
        prop_assert_eq!((&long.0, long.1), (&other.0, other.1));
    }
}

#[test]
fn plain_data_takes_it() {
    let data = |id| [&frame::data_header(StreamId::new(id).unwrap(), false, 4)[..], b"data"].concat();
    let wire = [replies(), data(5), data(5), data(5), data(7)].concat();
    assert_eq!(
        told_by(spdy_leg(), &wire, &[wire.len()], Some((8, &[Channel::STDOUT]))).2,
        2,
        "behind the first of a stream"
    );

    let message = [0x82, 0x85, 0, 0, 0, 0, 0, b'd', b'a', b't', b'a'].repeat(3);
    let leg = WebSocketLeg::server(Subprotocol::V5, &Limits::HOST);
    assert_eq!(told_by(leg, &message, &[message.len()], Some((7, &[Channel::STDIN]))).2, 3);
}
