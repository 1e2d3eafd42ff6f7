use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::Limits;
use crate::bridge::testbed::peers::{Pair, Wire, unbase64, websocket_frames};
use crate::bridge::testbed::*;
use crate::bridge::{Bridge as _, Flow, Side};
use crate::k8s::{self, Subprotocol};
use crate::leg::{Leg as _, SpdyLeg, WebSocketLeg};
use crate::spdy::{Inflate, LentBlocks};
use crate::ws::{MaskKeys, Opcode};

const SPDY: Wire = Wire::Spdy(Subprotocol::V4);

impl<B: Memory, const S: usize> Lane<B, S> {
    /// Segments follow each other, and end before the input begins.
    pub(crate) fn assert_sound(&self) {
        let mut end = 0;
        for segment in &self.segments {
            assert!(end <= segment.start, "{:?} overlap", self.segments);
            assert!(segment.start <= segment.end, "{:?}", self.segments);
            end = segment.end;
        }
        if self.has_output() || self.has_input() {
            assert!(end <= self.start, "output up to {end} lies over input from {}", self.start);
        }
        assert!(self.start <= self.end && self.end <= self.limit());
        assert!(self.open.is_none(), "an unfinished frame is left between two calls");
    }
}

fn fill(lane: &mut Lane<Vec<u8>>, bytes: &[u8]) {
    lane.space()[..bytes.len()].copy_from_slice(bytes);
    lane.received(bytes.len());
}

fn output(lane: &Lane<Vec<u8>>) -> Vec<u8> {
    lane.output().flatten().copied().collect()
}

/// Payloads whose headers have every length that there is.
fn payloads(least: usize) -> Vec<Vec<u8>> {
    let lens = [least, 126, 127, 200, 5000, least, 20_000, 130];
    lens.iter().zip(1_u8..).map(|(&len, byte)| vec![byte; len]).collect()
}

/// Where each of the payloads lies in a buffer from `start` on that holds `frames`.
fn places(start: usize, frames: &[Vec<u8>], payloads: &[Vec<u8>]) -> Vec<Range<usize>> {
    let ends = frames.iter().scan(start, |end, frame| {
        *end += frame.len();
        Some(*end)
    });
    ends.zip(payloads).map(|(end, payload)| end - payload.len()..end).collect()
}

fn assert_in_place(lane: &Lane<Vec<u8>>, places: &[Range<usize>]) {
    assert_eq!(lane.moved, 0, "bytes moved");
    for place in places {
        let holds = |segment: &&Range<usize>| segment.start < place.start && place.end <= segment.end;
        assert!(lane.segments.iter().any(|segment| holds(&segment)), "{place:?} in {:?}", lane.segments);
    }
}

#[test]
fn input_of_a_client_stays_where_it_was_read() {
    let mut session = Session::running(ALL, 40_000);
    let payloads = payloads(126);
    let frames: Vec<_> = payloads.iter().map(|payload| stdin(payload)).collect();
    fill(&mut session.up, &frames.concat());
    let places = places(HEADROOM, &frames, &payloads);
    assert_eq!(session.bridge.translate(Side::Client, &mut session.up, session.now), Flow::NeedInput);
    assert_in_place(&session.up, &places);
    let expected: Vec<_> = payloads.into_iter().map(|payload| ToUpstream::Data(STDIN, payload)).collect();
    assert_eq!(read_as_upstream(&output(&session.up)), expected);
}

#[test]
fn output_of_upstream_stays_where_it_was_read() {
    let mut session = Session::running(ALL, 40_000);
    let payloads = payloads(126);
    let frames: Vec<_> = payloads.iter().map(|payload| data(STDOUT, payload)).collect();
    fill(&mut session.down, &frames.concat());
    let places = places(HEADROOM, &frames, &payloads);
    assert_eq!(session.bridge.translate(Side::Upstream, &mut session.down, session.now), Flow::NeedInput);
    assert_in_place(&session.down, &places);
    let expected = payloads.into_iter().map(|payload| ToClient::Message(Channel::STDOUT, payload));
    assert_eq!(read_as_client(&output(&session.down)), expected.collect::<Vec<_>>());
}

#[test]
fn a_frame_of_more_than_64_kib_stays_where_it_was_read() {
    let payload = vec![7; 70_000];
    let mut session = Session::running(ALL, 80_000);
    for (frame, side) in [(stdin(&payload), Side::Client), (data(STDOUT, &payload), Side::Upstream)] {
        let lane = if side == Side::Client { &mut session.up } else { &mut session.down };
        fill(lane, &frame);
        let end = HEADROOM + frame.len();
        assert_eq!(session.bridge.translate(side, lane, session.now), Flow::NeedInput);
        assert_in_place(lane, core::slice::from_ref(&(end - payload.len()..end)));
    }
    assert_eq!(read_as_upstream(&output(&session.up)), [ToUpstream::Data(STDIN, payload.clone())]);
    assert_eq!(read_as_client(&output(&session.down)), [ToClient::Message(Channel::STDOUT, payload)]);
}

/// On the short way, which lanes of hosts have.
#[cfg(target_pointer_width = "64")]
#[test]
fn frames_are_passed_on_at_once_although_all_of_the_input_would_want_a_longer_header() {
    let mut session = Session::running(ALL, 80_000);
    let payloads = [vec![1; 200], vec![2; 32_768], vec![3; 32_768], vec![4; 6000]];
    let frames: Vec<_> = payloads.iter().map(|payload| data(STDOUT, payload)).collect();
    fill(&mut session.down, &frames.concat());
    assert_eq!(session.bridge.translate(Side::Upstream, &mut session.down, session.now), Flow::NeedInput);
    let expected = payloads.map(|payload| ToClient::Message(Channel::STDOUT, payload));
    assert_eq!(read_as_client(&output(&session.down)), expected);
}

#[test]
fn small_frames_of_one_channel_become_one_frame() {
    let mut session = Session::running(ALL, 4096);
    let keys: Vec<u8> = (0..100).collect();
    fill(&mut session.up, &keys.iter().flat_map(|&key| stdin(&[key])).collect::<Vec<_>>());
    assert_eq!(session.bridge.translate(Side::Client, &mut session.up, session.now), Flow::NeedInput);
    assert_eq!(session.up.segments.len(), 1);
    assert!(session.up.moved >= 99, "what tests of payload that stays in place count");
    assert_eq!(read_as_upstream(&output(&session.up)), [ToUpstream::Data(STDIN, keys)]);
}

#[test]
fn small_frames_of_different_channels_leave_in_one_piece() {
    let mut session = Session::running(ALL, 4096);
    let texts: Vec<Vec<u8>> = (0..120_u8).map(|byte| vec![byte; 1 + usize::from(byte % 7)]).collect();
    let streams = [(STDOUT, Channel::STDOUT), (STDERR, Channel::STDERR)].into_iter().cycle();
    let frames: Vec<_> = texts.iter().zip(streams.clone()).map(|(text, (id, _))| data(id, text)).collect();
    fill(&mut session.down, &frames.concat());
    assert_eq!(session.bridge.translate(Side::Upstream, &mut session.down, session.now), Flow::NeedInput);
    assert_eq!(session.down.segments.len(), 1, "{:?}", session.down.segments);
    let expected =
        texts.into_iter().zip(streams).map(|(text, (_, channel))| ToClient::Message(channel, text));
    assert_eq!(read_as_client(&output(&session.down)), expected.collect::<Vec<_>>());
}

#[test]
fn merged_frames_end_at_32_kib() {
    for (len, expected) in [(100, [32_700, 7300]), (64, [32_768, 5632])] {
        let mut session = Session::running(ALL, 80_000);
        fill(&mut session.down, &data(STDOUT, &vec![b'x'; len]).repeat(expected.iter().sum::<usize>() / len));
        session.bridge.translate(Side::Upstream, &mut session.down, session.now);
        let frames = read_as_client(&output(&session.down));
        let lens = frames.iter().map(|frame| match frame {
            ToClient::Message(Channel::STDOUT, payload) => payload.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(lens.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn room_is_kept_for_the_longer_header_of_a_merged_frame() {
    let mut session = Session::running(ALL, 4096);
    fill(&mut session.down, &data(STDOUT, &[b'a'; 200]));
    session.bridge.translate(Side::Upstream, &mut session.down, session.now);
    fill(&mut session.down, b"small");
    assert_eq!(session.down.floor(), session.down.start);
    let client = WebSocketLeg::server(Subprotocol::V5, &Limits::HOST);
    assert!(!session.down.has_room(4, &client), "4 bytes do for one small frame only");
    assert!(session.down.has_room(5, &client));
}

#[test]
fn a_segment_is_kept_for_the_half_close_behind_a_frame() {
    let mut session = Session::running(ALL, 4096);
    let mut lane: Lane<Vec<u8>, 2> = Lane::new(vec![0; 4096]);
    // The ping leaves room for the header of the half-close.
    let ping = client_frame(Opcode::Ping, true, b"");
    let frames = [stdin(&[b'x'; 200]), stdin(&[b'y'; 200]), ping, end_of(Channel::STDIN)].concat();
    lane.space()[..frames.len()].copy_from_slice(&frames);
    lane.received(frames.len());
    let mut written = Vec::new();
    while lane.has_input() {
        session.bridge.translate(Side::Client, &mut lane, session.now);
        written.extend(lane.output().flatten());
        lane.written(usize::MAX);
    }
    let [x, y] = [b'x', b'y'].map(|byte| ToUpstream::Data(STDIN, vec![byte; 200]));
    assert_eq!(read_as_upstream(&written), [x, y, ToUpstream::Fin(STDIN)]);
}

#[test]
fn no_frame_is_lost_to_a_list_of_segments_that_is_full() {
    let mut session = Session::running(ALL, 4096);
    let mut lane: Lane<Vec<u8>, 2> = Lane::new(vec![0; 4096]);
    // Each first one of a channel takes the long way, and the next one the short way.
    let streams = [
        (STDOUT, Channel::STDOUT),
        (STDERR, Channel::STDERR),
        (STDERR, Channel::STDERR),
        (STDOUT, Channel::STDOUT),
    ];
    let frames = streams.iter().zip(1_u8..).map(|(&(id, _), byte)| data(id, &[byte; 200]));
    let frames = frames.collect::<Vec<_>>().concat();
    lane.space()[..frames.len()].copy_from_slice(&frames);
    lane.received(frames.len());
    let mut written = Vec::new();
    while lane.has_input() {
        assert_eq!(
            session.bridge.translate(Side::Upstream, &mut lane, session.now) == Flow::NeedWrite,
            lane.has_input()
        );
        written.extend(lane.output().flatten());
        lane.written(usize::MAX);
    }
    let expected =
        streams.iter().zip(1_u8..).map(|(&(_, channel), byte)| ToClient::Message(channel, vec![byte; 200]));
    assert_eq!(read_as_client(&written), expected.collect::<Vec<_>>());
}

#[test]
fn payload_that_grows_passes_in_pieces_where_the_lane_was_not_made_for_it() {
    let client = WebSocketLeg::server(Subprotocol::V4Base64, &Limits::HOST);
    let mut session = Session::of(client, ALL, 4096);
    session.down = Lane::new(vec![0; 4096]);
    session.connect(ALL);
    session.upstream_sends(&replies(&[ERROR, STDIN, STDOUT, STDERR]));
    let payload: Vec<u8> = (0..2000_u32).map(|at| (at % 251) as u8).collect();
    session.upstream_sends(&data(STDOUT, &payload));
    let frames = websocket_frames(&session.client.got, false);
    let got: Vec<u8> = frames.iter().flat_map(|(_, text)| unbase64(&text[1..])).collect();
    assert!(got == payload);
}

#[test]
fn an_end_that_finds_room_leaves_with_the_data_in_front_of_it() {
    let mut session = Session::running(ALL, 4096);
    // The ping leaves room for the header of the half-close.
    let ping = client_frame(Opcode::Ping, true, b"");
    fill(&mut session.up, &[stdin(&[b'x'; 200]), ping, end_of(Channel::STDIN)].concat());
    assert_eq!(session.bridge.translate(Side::Client, &mut session.up, session.now), Flow::NeedInput);
    let expected = [ToUpstream::Data(STDIN, vec![b'x'; 200]), ToUpstream::Fin(STDIN)];
    assert_eq!(read_as_upstream(&output(&session.up)), expected);
}

#[test]
fn an_end_needs_a_segment_of_its_own() {
    let mut leg = WebSocketLeg::client(Subprotocol::V5, &Limits::HOST, MaskKeys::new([1; 16]));
    let mut lane: Lane<Vec<u8>, 2> = Lane::new(vec![0; 1000]);
    lane.received(1000);
    lane.consume(900);
    for (from, segments) in [(100, 1), (400, 2)] {
        assert!(lane.has_room_for_end(&mut leg));
        assert!(lane.data(&mut leg, Channel::STDIN, from..from + 200));
        lane.close_frame(&mut leg);
        assert_eq!(lane.segments.len(), segments);
    }
    assert!(!lane.has_room_for_end(&mut leg));
    lane.written(usize::MAX);
    assert!(lane.has_room_for_end(&mut leg) && lane.half_close(&mut leg, Channel::STDIN));
}

#[test]
fn a_part_of_the_longest_control_frame_makes_room_for_its_rest() {
    let mut lane: Lane<Vec<u8>> = Lane::new(vec![0; 300]);
    fill(&mut lane, &[0; 150]);
    lane.consume(12);
    assert_eq!(lane.space().len(), 300 - HEADROOM - 138);
}

#[test]
fn input_that_waits_is_left_alone_as_long_as_there_is_space() {
    let mut session = Session::dialing(ALL, 4096);
    let frames = [client_frame(Opcode::Ping, true, b""), stdin(&[b'x'; 1000])].concat();
    fill(&mut session.up, &frames);
    assert_eq!(session.bridge.translate(Side::Client, &mut session.up, session.now), Flow::NeedPeer);
    assert_eq!(session.up.space().len(), 4096 - HEADROOM - frames.len(), "nothing moved");
    fill(&mut session.up, &vec![0; 4096 - HEADROOM - frames.len()]);
    assert_eq!(session.up.space().len(), 6, "the bytes of the ping are free");
}

#[test]
fn the_list_of_segments_may_fill_up() {
    let mut session = Session::running(ALL, 40_000);
    fill(&mut session.down, &data(STDOUT, &[b'x'; 126]).repeat(200));
    assert_eq!(session.bridge.translate(Side::Upstream, &mut session.down, session.now), Flow::NeedWrite);
    assert_eq!(session.down.segments.len(), 64);
    assert_eq!(session.down.written(output(&session.down).len()), 0);
    assert_eq!(session.bridge.translate(Side::Upstream, &mut session.down, session.now), Flow::NeedWrite);
}

#[test]
fn output_is_written_in_parts_and_what_is_more_is_told() {
    let mut session = Session::running(ALL, 4096);
    let frames = [data(STDOUT, &[b'x'; 200]), data(STDERR, &[b'y'; 200])].concat();
    fill(&mut session.down, &frames);
    session.bridge.translate(Side::Upstream, &mut session.down, session.now);
    let all = output(&session.down);
    assert_eq!(session.down.segments.len(), 2);
    for written in 1..all.len() {
        assert_eq!(session.down.written(1), 0);
        assert_eq!(output(&session.down), all[written..]);
    }
    assert_eq!(session.down.written(5), 4, "4 bytes were not of the output");
    assert!(!session.down.has_output() && session.down.is_idle());
}

#[test]
fn reading_starts_again_behind_the_headroom_when_all_is_written() {
    let mut session = Session::running(ALL, 300);
    fill(&mut session.down, &data(STDOUT, &[b'x'; 200]));
    fill(&mut session.down, &data(STDOUT, b"yy")[..4]);
    session.bridge.translate(Side::Upstream, &mut session.down, session.now);
    assert_eq!(session.down.space().len(), 300 - HEADROOM - 212);
    session.down.written(usize::MAX);
    assert_eq!(session.down.space().len(), 300 - HEADROOM - 4, "only a part of a header is left");
    fill(&mut session.down, &data(STDOUT, b"yy")[4..]);
    session.bridge.translate(Side::Upstream, &mut session.down, session.now);
    assert_eq!(read_as_client(&output(&session.down)), [ToClient::Message(Channel::STDOUT, b"yy".to_vec())]);
}

#[test]
fn payload_of_an_application_follows_the_output_and_never_lies_over_it() {
    for memory in [256, 300, 301, 310, 320, 330] {
        let mut leg = WebSocketLeg::server(Subprotocol::V5, &Limits::HOST);
        let mut lane: Lane<Vec<u8>> = Lane::new(vec![0; memory]);
        let mut expected = Vec::new();
        for byte in 0..20_u8 {
            let space = lane.payload_space();
            let count = space.len().min(33);
            space[..count].fill(byte);
            if lane.payload(&mut leg, Channel::STDOUT, false, count) {
                expected.push(ToClient::Message(Channel::STDOUT, vec![byte; count]));
            }
            lane.assert_sound();
        }
        assert!(expected.len() > 4);
        assert_eq!(read_as_client(&output(&lane)), expected, "{memory} bytes");
    }
}

#[test]
fn the_end_of_a_stream_needs_room_too() {
    let mut leg = SpdyLeg::client(ALL, Subprotocol::V4, &Limits::HOST);
    let mut accepted = replies(&[ERROR, STDIN, STDOUT, STDERR]);
    while !leg.is_ready() {
        let step = leg.receive(&mut accepted).unwrap();
        accepted.drain(..step.consumed);
    }
    for left in 0..20 {
        let mut lane: Lane<Vec<u8>> = Lane::new(vec![0; 300]);
        let space = lane.payload_space().len();
        assert!(lane.payload(&mut leg, Channel::STDIN, false, space - left));
        lane.payload_space();
        let framed = lane.payload(&mut leg, Channel::STDOUT, false, 0);
        lane.assert_sound();
        assert_eq!(framed, left >= 8, "{left} bytes left");
    }
}

#[test]
fn the_close_message_of_a_channel_lies_over_no_payload() {
    for left in 0..20 {
        let mut leg = WebSocketLeg::client(Subprotocol::V5, &Limits::HOST, MaskKeys::new([1; 16]));
        let mut lane: Lane<Vec<u8>> = Lane::new(vec![0; 300]);
        let space = lane.payload_space().len();
        assert!(lane.payload(&mut leg, Channel::STDIN, false, space - left));
        let data = output(&lane);
        lane.payload_space();
        let framed = lane.payload(&mut leg, Channel::STDIN, true, 0);
        lane.assert_sound();
        assert_eq!(framed, left >= 8, "{left} bytes left");
        assert!(output(&lane).starts_with(&data));
    }
}

#[test]
fn the_memory_is_lent_to_others_only_while_nothing_lies_in_it() {
    let mut leg = WebSocketLeg::server(Subprotocol::V5, &Limits::HOST);
    let mut lane: Lane<Vec<u8>> = Lane::new(vec![0; 300]);
    let assert_idle = |lane: &mut Lane<Vec<u8>>, is_idle: bool, holds: &str| {
        assert_eq!((lane.is_idle(), lane.idle_buffer().is_some()), (is_idle, is_idle), "{holds}");
    };
    assert_idle(&mut lane, true, "nothing");
    fill(&mut lane, b"x");
    assert_idle(&mut lane, false, "input");
    lane.consume(1);
    assert_idle(&mut lane, true, "input that was consumed");
    assert!(!lane.payload_space().is_empty() && lane.payload(&mut leg, Channel::STDOUT, false, 1));
    assert_idle(&mut lane, false, "output");
    lane.written(usize::MAX);
    assert_idle(&mut lane, true, "output that was written");
    assert!(lane.hold_written(|_| Some(1)));
    assert_idle(&mut lane, false, "a part of a status");
}

#[test]
fn the_end_of_a_session_is_told_as_its_protocol_can() {
    let end = |status: Option<&[u8]>| {
        let mut leg = WebSocketLeg::server(Subprotocol::V4, &Limits::HOST);
        let mut lane: Lane<Vec<u8>> = Lane::new(vec![0; 300]);
        let is_told = lane.end_session(&mut leg, |room| {
            let status = status?;
            room[..status.len()].copy_from_slice(status);
            Some(status.len())
        });
        (is_told, read_as_client(&output(&lane)))
    };
    assert_eq!(end(Some(EXIT_5)), (true, vec![ToClient::Message(Channel::ERROR, EXIT_5.to_vec())]));
    assert_eq!(end(Some(b"")), (true, vec![]), "a success in a protocol that has no word for it");
    assert_eq!(end(None), (false, vec![]), "no room");

    let mut opened = Pair::new((SPDY, SPDY), ALL, 4096).client.open();
    let inflate: Box<Inflate> = Box::default();
    let mut leg = SpdyLeg::server(ALL, Subprotocol::V4, &Limits::HOST, LentBlocks(Some(inflate)));
    while !leg.is_ready() {
        let step = leg.receive(&mut opened).unwrap();
        opened.drain(..step.consumed);
    }
    let mut lane: Lane<Vec<u8>> = Lane::new(vec![0; 300]);
    assert!(lane.end_session(&mut leg, |room| k8s::status::success(room).ok()));
    let ends = [STDOUT, STDERR].map(ToUpstream::Fin);
    let status = [ToUpstream::Data(ERROR, SUCCESS.to_vec()), ToUpstream::Fin(ERROR)];
    assert_eq!(read_as_upstream(&output(&lane)), [ends, status].concat());
}

#[test]
fn the_memory_is_given_back() {
    let lane: Lane<Vec<u8>> = Lane::new(vec![1; 300]);
    assert!(lane.is_idle());
    assert_eq!(lane.into_buffer().len(), 300);
}

/// What is in front of the payload is exactly as long as the header that is made: the whole of the input has room.
#[test]
fn input_whose_header_just_fits_is_taken_whole() {
    // Base64 grows, and so does what it puts in front.
    let leg = WebSocketLeg::server(Subprotocol::V4Base64, &Limits::HOST);
    let mut lane: Lane<Vec<u8>> = Lane::new(vec![0; 1000]);
    fill(&mut lane, &[0; 900]);
    let lead = leg.header_max(900) - lane.start;
    assert_eq!(lane.part_with_room(lead, &leg), Some(900));
    assert_eq!(lane.part_with_room(lead - 1, &leg), Some(450));
}
