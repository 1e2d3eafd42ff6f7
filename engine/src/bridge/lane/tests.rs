use std::vec;
use std::vec::Vec;

use super::*;
use crate::Limits;
use crate::bridge::testbed::*;
use crate::bridge::{Bridge as _, Flow, Side};
use crate::k8s::Subprotocol;
use crate::leg::{Leg as _, SpdyLeg, WebSocketLeg};
use crate::ws::{MaskKeys, Opcode};

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
    let mut session = Session::running(ALL, 80_000);
    fill(&mut session.down, &data(STDOUT, &[b'x'; 100]).repeat(400));
    session.bridge.translate(Side::Upstream, &mut session.down, session.now);
    let frames = read_as_client(&output(&session.down));
    let lens = frames.iter().map(|frame| match frame {
        ToClient::Message(Channel::STDOUT, payload) => payload.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(lens.collect::<Vec<_>>(), [32_700, 7300]);
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
