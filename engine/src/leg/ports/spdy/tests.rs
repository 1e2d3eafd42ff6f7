use std::format;
use std::vec::Vec;

use super::*;
use crate::k8s::{Subprotocol, Target};

const PORTS: u16 = 3;

pub(in crate::leg::ports) fn leg() -> SpdyPorts {
    let list: Vec<_> = (1..=PORTS).map(|port| format!("{port}")).collect();
    let target = format!("/portForward/n/p?port={}", list.join(","));
    let ports = Ports::of(&Target::parse(&target).unwrap(), Subprotocol::V4).unwrap();
    SpdyPorts::client(ports, &Limits::HOST)
}

fn sent(mut leg: SpdyPorts) -> SpdyPorts {
    while !leg.pending().is_empty() {
        leg.sent(leg.pending().len());
    }
    assert!(leg.is_ready());
    leg
}

fn replies(streams: &[u32]) -> Vec<u8> {
    let mut writer = HeaderWriter::new();
    let frames = streams.iter().map(|&stream| {
        let mut frame = [0; 64];
        let len = writer.syn_reply(StreamId::new(stream).unwrap(), &mut frame).unwrap();
        frame[..len].to_vec()
    });
    frames.collect::<Vec<_>>().concat()
}

fn events(leg: &mut SpdyPorts, bytes: &[u8]) -> Vec<Event> {
    let mut bytes = bytes.to_vec();
    let (mut at, mut events) = (0, Vec::new());
    loop {
        let step = leg.receive(&mut bytes[at..]).unwrap();
        if step == Step::NEED_MORE {
            return events;
        }
        at += step.consumed;
        events.extend(step.event);
    }
}

const DATA: Channel = Channel::new(2);
const ERROR: Channel = Channel::new(3);

#[test]
fn data_waits_until_all_streams_have_left() {
    let mut leg = leg();
    let mut buffer = [0; 20];
    assert!(!leg.is_ready() && !leg.can_send(DATA));
    assert_eq!(leg.frame(DATA, false, &mut buffer, 10..20), None);
    let mut leg = sent(leg);
    assert_eq!(leg.frame(DATA, false, &mut buffer, 10..20), Some(2));
    assert_eq!(buffer[2..10], [0, 0, 0, 7, 0, 0, 0, 10]);
    assert!(!leg.can_send(ERROR), "the client half-closed it");
    assert!(!leg.can_send(Channel::new(2 * PORTS as u8)), "there is no such port");
}

#[test]
fn events_name_the_channels_of_the_legacy_protocol() {
    let mut leg = sent(leg());
    let early = frame::data_header(StreamId::new(7).unwrap(), false, 0);
    let bytes = [
        &early[..],
        &replies(&[7, 5, 1]),
        b"\0\0\0\x05\0\0\0\x04text\0\0\0\x05\x01\0\0\0",
        b"\0\0\0\x07\x01\0\0\x02hi",
        &frame::rst_stream(StreamId::new(1).unwrap(), RstStatus::CANCEL),
        &frame::rst_stream(StreamId::new(1).unwrap(), RstStatus::CANCEL),
        // A stream of nobody's.
        b"\0\0\x03\x01\0\0\0\x01x",
    ]
    .concat();
    let found: Vec<_> = events(&mut leg, &bytes)
        .into_iter()
        .map(|event| match event {
            Event::Data { channel, range } => format!("data {} {}", channel.number(), range.len()),
            Event::Accepted(channel) => format!("accepted {}", channel.number()),
            Event::HalfClosed(channel) => format!("ended {}", channel.number()),
            Event::Reset(channel, status) => format!("reset {} {}", channel.number(), status.0),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected =
        ["accepted 2", "accepted 3", "accepted 1", "data 3 4", "ended 3", "data 2 2", "ended 2", "reset 1 5"];
    assert_eq!(found, expected);
    assert!(leg.can_send(DATA), "the other direction goes on");
    leg.half_close(DATA);
    assert_eq!(leg.pending(), b"\0\0\0\x07\x01\0\0\0");
    assert!(!leg.can_send(DATA));
}

#[test]
fn streams_of_a_server_and_pings_are_answered_until_the_close() {
    let mut leg = sent(leg());
    let mut syn_stream = [0; 64];
    let len = HeaderWriter::new().syn_stream(StreamId::new(2).unwrap(), false, &[], &mut syn_stream).unwrap();
    let ping = frame::ping(4);
    assert_eq!(events(&mut leg, &[&syn_stream[..len], &ping].concat()), []);
    let reset = frame::rst_stream(StreamId::new(2).unwrap(), RstStatus::CANCEL);
    assert_eq!(leg.pending(), [&reset[..], &ping].concat());
    leg.sent(leg.pending().len());
    leg.close(Close::Normal);
    let mut said = 0;
    while !leg.pending().is_empty() {
        said += leg.pending().len();
        leg.sent(leg.pending().len());
    }
    assert_eq!(said, usize::from(PORTS) * 32 + 16, "all streams are reset, then GOAWAY");
    assert_eq!(events(&mut leg, &ping), []);
    assert_eq!(leg.pending(), b"");
}

#[test]
fn the_peer_may_end_its_half_with_a_reply_or_with_headers() {
    let mut leg = sent(leg());
    let mut reply = replies(&[7]);
    // The flag FIN.
    reply[4] = 1;
    assert_eq!(events(&mut leg, &reply), [Event::Accepted(DATA), Event::HalfClosed(DATA)]);
    assert_eq!(events(&mut leg, &reply), [], "a second reply says nothing");

    let mut headers = replies(&[5]);
    // HEADERS are as a reply is, but for their type.
    headers[3] = 8;
    assert_eq!(events(&mut leg, &headers), []);
    headers[4] = 1;
    assert_eq!(events(&mut leg, &headers), [Event::HalfClosed(ERROR)]);
    assert_eq!(events(&mut leg, &headers), [], "it has ended");
}
