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
    assert!(leg.can_half_close(DATA));
    for (channel, why) in
        [(ERROR, "half-closed by the client"), (Channel::new(2 * PORTS as u8), "no such port")]
    {
        assert!(!leg.can_send(channel) && !leg.can_half_close(channel), "{why}");
    }
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
    assert!(!leg.can_send(DATA) && !leg.can_half_close(DATA));
}

#[test]
fn a_stream_of_no_port_is_none_of_the_first_one() {
    let mut leg = sent(leg());
    assert_eq!(events(&mut leg, &replies(&[4 * 128 + 1, 4 * 128 + 3, 4 * 256 + 3])), []);
    assert_eq!(events(&mut leg, &replies(&[3])), [Event::Accepted(Channel::new(0))]);
}

#[test]
fn data_in_front_of_the_reply_and_behind_the_end_is_dropped() {
    let mut leg = sent(leg());
    let [piece, last] = [false, true].map(|fin| {
        let header = frame::data_header(StreamId::new(7).unwrap(), fin, 2);
        [&header[..], b"hi"].concat()
    });
    let bytes = [&piece[..], &replies(&[7]), &piece, &last, &piece, &last].concat();
    let data = Event::Data { channel: DATA, range: 8..10 };
    assert_eq!(
        events(&mut leg, &bytes),
        [Event::Accepted(DATA), data.clone(), data, Event::HalfClosed(DATA)]
    );
}

#[test]
fn only_data_has_a_lead() {
    let mut leg = leg();
    let data = frame::data_header(StreamId::new(7).unwrap(), false, 10);
    assert_eq!(leg.lead(&data), Some(8));
    assert_eq!(leg.lead(&data[..7]), None, "not enough");
    assert_eq!(leg.lead(&frame::ping(2)), None, "no payload");
    assert_eq!(leg.receive(&mut data.clone()).unwrap(), Step::skip(8));
    assert_eq!((leg.lead(b"p"), leg.lead(b"")), (Some(0), None));
}

#[test]
fn goaway_ends_the_connection_well_if_it_says_so() {
    let wrong = [GoawayStatus::PROTOCOL_ERROR, GoawayStatus::INTERNAL_ERROR];
    for (status, clean) in [(GoawayStatus::OK, true), (wrong[0], false), (wrong[1], false)] {
        let goaway = frame::goaway(None, status);
        assert_eq!(events(&mut sent(leg()), &goaway), [Event::End { clean }], "{status:?}");
    }
}

#[test]
fn a_heartbeat_waits_for_what_is_said_before_and_none_follows_the_close() {
    let mut leg = sent(leg());
    leg.ping();
    leg.ping();
    assert_eq!(leg.pending(), frame::ping(1));
    leg = sent(leg);
    leg.ping();
    assert_eq!(leg.pending(), frame::ping(3));
    leg.close(Close::Normal);
    leg = sent(leg);
    leg.ping();
    assert_eq!(leg.pending(), b"");
}

#[test]
fn a_flood_of_pings_waits_until_its_answers_are_written() {
    let mut pings: Vec<u8> = (1..=100).flat_map(|number| frame::ping(2 * number)).collect();
    let (mut leg, mut at, mut said) = (sent(leg()), 0, Vec::new());
    while at < pings.len() {
        let consumed = leg.receive(&mut pings[at..]).unwrap().consumed;
        if consumed == 0 {
            said.extend_from_slice(leg.pending());
            leg.sent(leg.pending().len());
        }
        at += consumed;
    }
    said.extend_from_slice(leg.pending());
    assert_eq!(said, pings, "each has its own");
}

/// A leg with so much room in its outbox, which was filled at once.
fn with_room(mut leg: SpdyPorts, room: usize) -> SpdyPorts {
    leg.outbox.sent(OUTBOX);
    leg.outbox.push(&[0; OUTBOX][room..]).unwrap();
    leg
}

#[test]
fn a_pair_is_opened_where_the_longest_one_leaves_room_for_answers() {
    for (room, is_opened) in [(PAIR + 2 * ANSWER, true), (PAIR + 2 * ANSWER - 1, false)] {
        let mut leg = with_room(leg(), room);
        let before = leg.opened;
        assert!(before < PORTS.into(), "one waits");
        leg.sent(0);
        assert_eq!(leg.opened - before, usize::from(is_opened), "{room}");
        assert!(leg.outbox.room() >= 2 * ANSWER);
    }
}

#[test]
fn ends_leave_room_for_answers_but_for_the_last_ones() {
    let fin = frame::data_header(StreamId::new(7).unwrap(), true, 0);
    for (room, is_queued) in [(2 * ANSWER, true), (2 * ANSWER - 1, false)] {
        let mut leg = with_room(sent(leg()), room);
        leg.half_close(DATA);
        assert_eq!(leg.pending()[OUTBOX - room..] == fin, is_queued, "{room}");
        leg.outbox.sent(OUTBOX - room);
        leg.sent(0);
        assert_eq!(leg.pending(), fin, "it is told once");

        let mut leg = with_room(leg, room);
        leg.close(Close::Normal);
        assert!(leg.outbox.room() < ANSWER && leg.can_receive());
    }
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
