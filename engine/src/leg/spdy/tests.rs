use std::vec;
use std::vec::Vec;

use super::*;
use crate::spdy::{Inflate, StreamState};

const ALL: StreamSet = StreamSet { stdin: true, stdout: true, stderr: true, tty: false };
const TTY: StreamSet = StreamSet { tty: true, ..ALL };

fn id(number: u32) -> StreamId {
    StreamId::new(number).unwrap()
}

fn server(streams: StreamSet) -> SpdyLeg<Inflate> {
    SpdyLeg::server(streams, Subprotocol::V4, &Limits::HOST, Inflate::new())
}

/// A client leg all of whose streams are accepted.
fn client(streams: StreamSet) -> SpdyLeg<SkipBlocks> {
    let mut leg = SpdyLeg::client(streams, Subprotocol::V4, &Limits::HOST);
    leg.sent(leg.pending().len());
    let mut server = server(streams);
    let mut opening = SpdyLeg::client(streams, Subprotocol::V4, &Limits::HOST).pending().to_vec();
    drain(&mut server, &mut opening);
    let mut replies = server.pending().to_vec();
    drain(&mut leg, &mut replies);
    assert!(leg.is_ready());
    leg
}

/// All events of `bytes`; the outbox is emptied as it fills.
fn drain<B: HeaderBlocks>(leg: &mut SpdyLeg<B>, bytes: &mut [u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut at = 0;
    loop {
        let step = leg.receive(&mut bytes[at..]).unwrap();
        if step == Step::NEED_MORE {
            assert_eq!(at, bytes.len(), "all is taken");
            return events;
        }
        at += step.consumed;
        events.extend(step.event);
    }
}

fn syn_streams(types: &[&str]) -> Vec<u8> {
    let mut writer = HeaderWriter::new();
    let mut bytes = Vec::new();
    for (number, name) in (0..).zip(types) {
        let mut frame = [0; 128];
        let len = writer.syn_stream(id(2 * number + 1), false, &[("streamtype", name)], &mut frame).unwrap();
        bytes.extend(&frame[..len]);
    }
    bytes
}

fn sent(leg: &SpdyLeg<impl HeaderBlocks>) -> Vec<(u16, u32, u32)> {
    let mut bytes = leg.pending();
    let mut frames = Vec::new();
    let word = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().unwrap()))
    };
    while !bytes.is_empty() {
        let len = (word(bytes, 4) & 0xff_ffff) as usize;
        let kind = u16::from_be_bytes([bytes[2], bytes[3]]);
        let second = if kind == frame::SYN_REPLY { 0 } else { word(&bytes[..8 + len], 12) };
        frames.push((kind, word(bytes, 8), second));
        bytes = &bytes[8 + len..];
    }
    frames
}

#[test]
fn both_ends_agree_on_the_streams_of_a_session() {
    for streams in [ALL, TTY, StreamSet { stdin: false, ..ALL }, StreamSet::default()] {
        let mut opener = SpdyLeg::client(streams, Subprotocol::V4, &Limits::HOST);
        let mut acceptor = server(streams);
        let mut bytes = opener.pending().to_vec();
        let channels: Vec<_> = streams.channels(Subprotocol::V4).collect();
        let in_order: Vec<_> = channels.iter().map(|&channel| Event::Opened(channel)).collect();
        assert!(!acceptor.is_ready());
        assert_eq!(drain(&mut acceptor, &mut bytes), in_order);
        assert!(acceptor.is_ready());

        opener.sent(opener.pending().len());
        let mut replies = acceptor.pending().to_vec();
        let accepted: Vec<_> = channels.iter().map(|&channel| Event::Accepted(channel)).collect();
        assert_eq!(drain(&mut opener, &mut replies), accepted);
        assert!(opener.is_ready());
        for channel in channels {
            assert!(opener.can_send(channel) && acceptor.can_send(channel));
        }
    }
}

/// Covers: K8S-STREAMS-1
#[test]
fn a_server_cancels_streams_that_are_unknown_double_late_or_not_asked_for() {
    let mut leg = server(StreamSet { stdin: false, stderr: false, ..ALL });
    let mut bytes = syn_streams(&["stdin", "Error", "error", "error", "stdout", "stdout"]);
    let events = drain(&mut leg, &mut bytes);
    assert_eq!(events, [Event::Opened(Channel::ERROR), Event::Opened(Channel::STDOUT)]);
    let cancel = |stream| (frame::RST_STREAM, stream, RstStatus::CANCEL.0);
    let reply = |stream| (frame::SYN_REPLY, stream, 0);
    assert_eq!(sent(&leg), [cancel(1), cancel(3), reply(5), cancel(7), reply(9), cancel(11)]);
}

#[test]
fn a_stream_may_end_with_the_frame_that_opens_it() {
    let mut leg = server(ALL);
    let mut frame = [0; 64];
    let len = HeaderWriter::new().syn_stream(id(1), true, &[("streamtype", "stdout")], &mut frame).unwrap();
    let events = drain(&mut leg, &mut frame[..len]);
    assert_eq!(events, [Event::Opened(Channel::STDOUT), Event::HalfClosed(Channel::STDOUT)]);
    assert!(leg.can_send(Channel::STDOUT));
}

#[test]
fn streams_of_a_server_are_cancelled() {
    let mut leg = client(ALL);
    let mut frame = [0; 64];
    let len = HeaderWriter::new().syn_stream(id(2), false, &[("streamtype", "stdin")], &mut frame).unwrap();
    assert_eq!(drain(&mut leg, &mut frame[..len]), []);
    assert_eq!(sent(&leg), [(frame::RST_STREAM, 2, RstStatus::CANCEL.0)]);
}

#[test]
fn data_with_fin_is_two_events() {
    let mut leg = client(ALL);
    let mut bytes = [&frame::data_header(id(5), true, 3)[..], b"end"].concat();
    let data = Event::Data { channel: Channel::STDOUT, range: 8..11 };
    assert_eq!(drain(&mut leg, &mut bytes), [data, Event::HalfClosed(Channel::STDOUT)]);
    assert_eq!(drain(&mut leg, &mut bytes), [], "nothing counts behind the end");
}

#[test]
fn an_empty_frame_means_nothing() {
    let mut leg = client(ALL);
    assert_eq!(drain(&mut leg, &mut frame::data_header(id(5), false, 0)), []);
}

/// Covers: SPDY-2.3.6-1
#[test]
fn a_half_closed_channel_cannot_be_written_to() {
    let mut leg = client(ALL);
    let mut buffer = vec![0; 64];
    assert_eq!(leg.frame(Channel::STDIN, false, &mut buffer, 7..10), None, "no room for the header");
    assert!(leg.can_half_close(Channel::STDIN));
    assert_eq!(leg.frame(Channel::STDIN, true, &mut buffer, 8..10), Some(0));
    assert_eq!(buffer[..8], [0, 0, 0, 3, 1, 0, 0, 2]);
    assert_eq!(leg.frame(Channel::STDIN, false, &mut buffer, 8..10), None);
    for channel in [Channel::STDIN, Channel::RESIZE] {
        assert!(!leg.can_send(channel) && !leg.can_half_close(channel), "ended, and no such stream");
    }
}

#[test]
fn closing_resets_what_is_open_and_finds_room_whatever_waits() {
    let mut leg = client(TTY);
    let mut bytes: Vec<u8> = (1..100).flat_map(|n| frame::ping(2 * n)).collect();
    while leg.can_receive() {
        let step = leg.receive(&mut bytes).unwrap();
        bytes.drain(..step.consumed);
    }
    leg.resize(TerminalSize { columns: 65_535, rows: 65_535 });
    let before = sent(&leg).len();
    leg.reset(Channel::STDIN, RstStatus::INTERNAL_ERROR);
    leg.reset(Channel::STDIN, RstStatus::INTERNAL_ERROR);
    leg.close(Close::Internal);
    leg.close(Close::Normal);
    let reset = |stream, status: RstStatus| (frame::RST_STREAM, stream, status.0);
    let expected = [
        reset(3, RstStatus::INTERNAL_ERROR),
        reset(1, RstStatus::CANCEL),
        reset(5, RstStatus::CANCEL),
        reset(7, RstStatus::CANCEL),
        (frame::GOAWAY, 0, GoawayStatus::INTERNAL_ERROR.0),
    ];
    assert_eq!(sent(&leg)[before..], expected);
    assert!(!leg.can_send(Channel::STDIN));
    leg.sent(leg.pending().len());
    assert_eq!(leg.pending(), b"", "no size follows GOAWAY");
    leg.receive(&mut frame::ping(2)).unwrap();
    assert_eq!(leg.pending(), b"", "no answer follows GOAWAY");
}

#[test]
fn a_session_begins_without_a_greeting_and_the_client_closes_it() {
    assert!(!client(ALL).greets() && !client(ALL).closes_first());
    assert!(!server(ALL).greets() && !server(ALL).closes_first());
}

#[test]
fn any_payload_needs_eight_bytes_in_front_of_it() {
    assert_eq!((client(ALL).header_max(65_536), client(ALL).headroom(65_536)), (8, 0));
}

#[test]
fn a_heartbeat_waits_for_what_is_said_before_and_none_follows_the_close() {
    let mut leg = client(ALL);
    leg.ping();
    leg.ping();
    assert_eq!(leg.pending(), frame::ping(1));
    leg.sent(12);
    leg.ping();
    assert_eq!(leg.pending(), frame::ping(3));
    leg.close(Close::Normal);
    leg.sent(leg.pending().len());
    leg.ping();
    assert_eq!(leg.pending(), b"");
}

#[test]
fn a_size_leaves_room_for_an_answer_and_for_the_close() {
    const FRAME: usize = DATA_HEADER + b"{\"Width\":80,\"Height\":24}\n".len();
    for (room, is_queued) in [(FRAME + ANSWER + CLOSING, true), (FRAME + ANSWER + CLOSING - 1, false)] {
        let mut leg = client(TTY);
        leg.outbox.push(&[0; OUTBOX][room..]).unwrap();
        leg.resize(TerminalSize { columns: 80, rows: 24 });
        assert_eq!(leg.pending().len() == OUTBOX - room + FRAME, is_queued, "{room}");
        assert!(leg.can_receive());
    }
}

#[test]
fn a_size_waits_for_room_and_a_newer_one_replaces_it() {
    let mut leg = client(TTY);
    let mut bytes: Vec<u8> = (1..100).flat_map(|n| frame::ping(2 * n)).collect();
    while leg.can_receive() {
        let step = leg.receive(&mut bytes).unwrap();
        bytes.drain(..step.consumed);
    }
    let pings = leg.pending().len();
    leg.resize(TerminalSize { columns: 1, rows: 1 });
    leg.resize(TerminalSize { columns: 80, rows: 24 });
    assert_eq!(leg.pending().len(), pings);
    leg.sent(pings);
    let json = b"{\"Width\":80,\"Height\":24}\n";
    assert_eq!(leg.pending(), [&[0, 0, 0, 7, 0, 0, 0, json.len() as u8], &json[..]].concat());
}

#[test]
fn a_server_reads_sizes_in_pieces() {
    let mut leg = server(TTY);
    drain(&mut leg, &mut syn_streams(&["error", "stdin", "stdout", "resize"]));
    let json = b"{\"Width\":80,\"Height\":24}\n";
    let mut events = Vec::new();
    for piece in json.chunks(10) {
        let header = frame::data_header(id(7), false, piece.len() as u32);
        events.extend(drain(&mut leg, &mut [&header[..], piece].concat()));
    }
    assert_eq!(events, [Event::Resize(TerminalSize { columns: 80, rows: 24 })]);
}

#[test]
fn only_data_has_a_lead() {
    let mut leg = client(ALL);
    let data = frame::data_header(id(5), false, 10);
    assert_eq!(leg.lead(&data), Some(8));
    assert_eq!(leg.lead(&data[..7]), None, "not enough");
    assert_eq!(leg.lead(&frame::ping(2)), None, "no payload");
    assert_eq!(leg.receive(&mut data.clone()).unwrap(), Step::skip(8));
    assert_eq!(leg.lead(b"p"), Some(0));
    assert_eq!(leg.lead(b""), None);
}

/// Covers: SPDY-2.6.3-1
#[test]
fn a_reset_ends_both_directions() {
    let mut leg = client(ALL);
    let mut bytes =
        [frame::rst_stream(id(3), RstStatus(77)), frame::rst_stream(id(3), RstStatus(77))].concat();
    assert_eq!(drain(&mut leg, &mut bytes), [Event::Reset(Channel::STDIN, RstStatus(77))], "once");
    assert!(!leg.can_send(Channel::STDIN));
    let still_open = StreamState { own: true, replied: true, local_open: true, remote_open: true };
    assert_eq!(leg.streams.get(id(1)), Some(still_open));
}

#[test]
fn the_outbox_holds_the_opening_of_every_set_of_streams() {
    for bits in 0..16_u8 {
        let [stdin, stdout, stderr, tty] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        let streams = StreamSet { stdin, stdout, stderr, tty };
        let leg = SpdyLeg::client(streams, Subprotocol::V4, &Limits::HOST);
        let mut opened = 0;
        let mut rest = leg.pending();
        while let Some((header, _)) = rest.split_first_chunk::<8>() {
            let length = u32::from_be_bytes([0, header[5], header[6], header[7]]) as usize;
            rest = &rest[8 + length..];
            opened += 1;
        }
        assert_eq!(opened, streams.channels(Subprotocol::V4).count(), "{streams:?}");
        assert!(leg.can_receive(), "{streams:?}");
    }
}
