mod pass;

use super::*;
use crate::spdy::{HeaderWriter, Inflate, frame};
use crate::text::text_of;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, println, vec};

/// An event with everything that it borrows, and DATA pieces joined.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Event(Event, Vec<(String, Vec<u8>)>),
    Data { stream: StreamId, payload: Vec<u8>, fin: bool, last: bool },
}

/// Runs a receiver over input that arrives in pieces, in a buffer that holds no more than it must.
fn run<B: HeaderBlocks>(
    receiver: &mut Receiver<B>,
    pieces: impl IntoIterator<Item = Vec<u8>>,
) -> (Vec<Seen>, Option<ConnectionError>) {
    let mut seen: Vec<Seen> = vec![];
    let mut buffer: Vec<u8> = vec![];
    for piece in pieces {
        buffer.extend(piece);
        loop {
            let step = match receiver.receive(&buffer) {
                Ok(step) => step,
                Err(error) => {
                    assert_eq!(receiver.receive(b"anything"), Err(error), "the error stays");
                    return (seen, Some(error));
                }
            };
            assert!(step.consumed <= buffer.len());
            match step.event {
                None if step.consumed == 0 => break,
                None => {}
                Some(Event::Data { stream, range, fin, last }) => {
                    assert!(range.end <= step.consumed);
                    let payload = &buffer[range];
                    match seen.last_mut() {
                        Some(Seen::Data { payload: before, fin: before_fin, last: before_last, .. })
                            if !*before_last =>
                        {
                            assert!(!payload.is_empty());
                            before.extend(payload);
                            (*before_fin, *before_last) = (fin, last);
                        }
                        _ => seen.push(Seen::Data { stream, payload: payload.to_vec(), fin, last }),
                    }
                }
                Some(event) => {
                    assert!(step.consumed > 0);
                    let headers = receiver.headers();
                    let headers =
                        headers.iter().map(|(name, value)| (name.to_string(), value.to_vec())).collect();
                    seen.push(Seen::Event(event, headers));
                }
            }
            buffer.drain(..step.consumed);
        }
        assert!(buffer.len() < MIN_INPUT, "{} bytes wait", buffer.len());
    }
    (seen, None)
}

type Small = Inflate<2048, 512>;

fn server() -> Receiver<Small> {
    Receiver::new(Role::Server, &Limits::HOST, Inflate::new())
}

fn client() -> Receiver<SkipBlocks> {
    Receiver::new(Role::Client, &Limits::HOST, SkipBlocks)
}

fn id(number: u32) -> StreamId {
    StreamId::new(number).unwrap()
}

fn control(kind: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader::Control { kind, flags, length: payload.len() as u32 };
    [&header.emit()[..], payload].concat()
}

fn error_of(input: &[u8]) -> FrameError {
    let (_, error) = run(&mut server(), [input.to_vec()]);
    let error = error.unwrap_or_else(|| panic!("{input:x?} is accepted"));
    for end in 0..input.len() {
        let (_, split) = run(&mut server(), [input[..end].to_vec(), input[end..].to_vec()]);
        assert_eq!(split, Some(error), "split at {end}");
    }
    assert_eq!(error.goaway_status(), GoawayStatus::PROTOCOL_ERROR);
    error.error
}

fn events_of(receiver: &mut Receiver<impl HeaderBlocks>, input: &[u8]) -> Vec<Event> {
    let (seen, error) = run(receiver, [input.to_vec()]);
    assert_eq!(error, None);
    let event = |seen| match seen {
        Seen::Event(event, _) => event,
        Seen::Data { .. } => panic!("DATA"),
    };
    seen.into_iter().map(event).collect()
}

#[test]
fn a_data_frame_in_one_piece_is_one_event() {
    let mut receiver = client();
    let step = receiver.receive(b"\0\0\0\x03\x01\0\0\x04abc\nnext").unwrap();
    assert_eq!(step, Step::event(12, Event::Data { stream: id(3), range: 8..12, fin: true, last: true }));
}

/// Covers: SPDY-2.2.2-1
#[test]
fn an_empty_data_frame_is_an_event_and_its_other_flags_mean_nothing() {
    let mut receiver = client();
    let step = receiver.receive(&[0, 0, 0, 3, 0xff, 0, 0, 0]).unwrap();
    assert_eq!(step, Step::event(8, Event::Data { stream: id(3), range: 8..8, fin: true, last: true }));
    let step = receiver.receive(&[0, 0, 0, 3, 0xfe, 0, 0, 0]).unwrap();
    assert_eq!(step, Step::event(8, Event::Data { stream: id(3), range: 8..8, fin: false, last: true }));
}

#[test]
fn data_comes_in_pieces_and_fin_with_the_last_one() {
    let mut receiver = client();
    assert_eq!(receiver.receive(b"\0\0\0\x03\x01\0\0\x04"), Ok(Step::skip(8)), "a header without payload");
    assert_eq!(receiver.receive(b""), Ok(Step::NEED_MORE));
    let data = |range, fin, last| Event::Data { stream: id(3), range, fin, last };
    assert_eq!(receiver.receive(b"abc"), Ok(Step::event(3, data(0..3, false, false))));
    assert_eq!(receiver.receive(b"d\0\0"), Ok(Step::event(1, data(0..1, true, true))));
}

/// Covers: SPDY-2.2.2-1
#[test]
fn the_largest_frame_streams_through_a_small_buffer() {
    let mut receiver = client();
    let header = frame::data_header(id(1), true, frame::MAX_LENGTH);
    assert_eq!(receiver.receive(&header), Ok(Step::skip(8)));
    let (mut total, mut steps) = (0, 0);
    loop {
        let step = receiver.receive(&[b'x'; 64]).unwrap();
        let Some(Event::Data { range, fin, last, .. }) = step.event else { panic!("{step:?}") };
        total += range.len();
        steps += 1;
        assert_eq!(fin, last);
        if last {
            break;
        }
    }
    assert_eq!(total, 0x00ff_ffff);
    assert_eq!(steps, 0x0004_0000);
    assert_eq!(receiver.receive(&frame::ping(2)), Ok(Step::event(12, Event::Ping { id: 2 })));
}

/// Covers: SPDY-2.6.5-2
#[test]
fn pings_of_our_own_parity_are_replies() {
    for id in [1, 2, 0x7fff_ffff, u32::MAX - 1] {
        let odd = id % 2 == 1;
        let at_server = if odd { Event::Ping { id } } else { Event::PingReply { id } };
        let at_client = if odd { Event::PingReply { id } } else { Event::Ping { id } };
        assert_eq!(events_of(&mut server(), &frame::ping(id)), [at_server]);
        assert_eq!(events_of(&mut client(), &frame::ping(id)), [at_client]);
    }
}

/// Covers: SPDY-2.6.4-1, SPDY-2.6.8-1
#[test]
fn settings_and_window_updates_are_skipped() {
    let input = [
        control(frame::SETTINGS, 1, b"\0\0\0\x01\0\0\0\x07\0\x01\0\0"),
        control(frame::SETTINGS, 0, &[&[0; 4][..], &[9; 1000]].concat()),
        control(frame::WINDOW_UPDATE, 0, b"\0\0\0\x01\0\x01\0\0"),
        control(frame::WINDOW_UPDATE, 0, b"\0\0\0\0\0\x01\0\0"),
        frame::ping(1).to_vec(),
    ]
    .concat();
    assert_eq!(events_of(&mut server(), &input), [Event::Ping { id: 1 }]);
}

/// Covers: SPDY-2.2.1-1
#[test]
fn the_version_is_not_looked_at() {
    let mut ping = frame::ping(1);
    (ping[0], ping[1]) = (0xff, 0xff);
    assert_eq!(events_of(&mut server(), &ping), [Event::Ping { id: 1 }]);
}

#[test]
fn flags_of_the_frames_that_open_and_accept_are_told() {
    let mut writer = HeaderWriter::new();
    let mut syn = [0; 64];
    let length = writer.syn_stream(id(1), true, &[("a", "b")], &mut syn).unwrap();
    assert_eq!(syn[4], frame::FLAG_FIN);
    syn[4] |= frame::FLAG_UNIDIRECTIONAL;
    syn[12..16].copy_from_slice(&[0, 0, 0, 7]);
    let opened = Event::SynStream { stream: id(1), associated: 7, fin: true, unidirectional: true };
    let (seen, error) = run(&mut server(), [syn[..length].to_vec()]);
    assert_eq!(
        (seen, error),
        (vec![Seen::Event(opened.clone(), vec![("a".to_string(), b"b".to_vec())])], None)
    );
    assert_eq!(events_of(&mut client(), &syn[..length]), [opened], "without the headers");

    let unread = b"\0\0\0\x05not zlib";
    let reply = Event::SynReply { stream: id(5), fin: true };
    assert_eq!(events_of(&mut client(), &control(frame::SYN_REPLY, 1, unread)), [reply]);
    let headers = Event::Headers { stream: id(5), fin: false };
    assert_eq!(events_of(&mut client(), &control(frame::HEADERS, 0, unread)), [headers]);
}

/// Covers: SPDY-2.6.6-1
#[test]
fn goaway_tells_the_last_good_stream_if_any() {
    let input =
        [frame::goaway(Some(id(9)), GoawayStatus::OK), frame::goaway(None, GoawayStatus::INTERNAL_ERROR)];
    let events = events_of(&mut server(), input.as_flattened());
    let expected = [
        Event::GoAway { last_good: Some(id(9)), status: GoawayStatus::OK },
        Event::GoAway { last_good: None, status: GoawayStatus::INTERNAL_ERROR },
    ];
    assert_eq!(events, expected);
}

/// Covers: SPDY-2.3.2-1, SPDY-2.3.2-3
#[test]
fn stream_ids_of_zero_or_32_bits_are_fatal() {
    for bad in [0, 0x8000_0001_u32] {
        let bytes = bad.to_be_bytes();
        for kind in [frame::SYN_STREAM, frame::SYN_REPLY, frame::HEADERS] {
            let input = control(kind, 0, &[&bytes[..], &[0; 20]].concat());
            assert_eq!(error_of(&input), FrameError::StreamId { id: bad });
        }
        let rst = control(frame::RST_STREAM, 0, &[bytes, [0, 0, 0, 5]].concat());
        assert_eq!(error_of(&rst), FrameError::StreamId { id: bad });
    }
    assert_eq!(error_of(&[0, 0, 0, 0, 0, 0, 0, 1, 2]), FrameError::StreamId { id: 0 });
}

/// Covers: SPDY-2.2.1-2
#[test]
fn frames_of_unknown_types_are_skipped_whatever_their_flags_and_length() {
    for kind in [0, 5, 10, 11, 0xffff] {
        for payload in [&[][..], &[0x80; 8], &[0xff; 300]] {
            let input = [&control(kind, 0xff, payload)[..], &frame::ping(1)].concat();
            for end in 0..=input.len() {
                let (seen, error) = run(&mut server(), [input[..end].to_vec(), input[end..].to_vec()]);
                assert_eq!((seen.len(), error), (1, None), "type {kind} split at {end}: {seen:?}");
            }
        }
    }
}

#[test]
fn fields_that_must_be_zero_or_must_not_are_fatal() {
    let rst = frame::rst_stream(id(1), RstStatus(0));
    assert_eq!(error_of(&rst), FrameError::RstStatusZero { stream: id(1) });
    assert_eq!(error_of(&frame::ping(0)), FrameError::PingIdZero);
    let kinds = [(frame::PING, 4), (frame::GOAWAY, 8), (frame::WINDOW_UPDATE, 8)];
    for (kind, length) in kinds {
        let input = control(kind, 0x80, &vec![1; length]);
        assert_eq!(error_of(&input), FrameError::Flags { kind, flags: 0x80 });
    }
}

/// Covers: SPDY-2.4.1-1
#[test]
fn lengths_that_do_not_fit_the_type_are_fatal() {
    let kinds = [
        (frame::SYN_STREAM, 9),
        (frame::SYN_REPLY, 3),
        (frame::HEADERS, 3),
        (frame::RST_STREAM, 7),
        (frame::RST_STREAM, 9),
        (frame::SETTINGS, 3),
        (frame::PING, 3),
        (frame::PING, 5),
        (frame::GOAWAY, 4),
        (frame::GOAWAY, 12),
        (frame::WINDOW_UPDATE, 4),
        (frame::WINDOW_UPDATE, 12),
    ];
    for (kind, length) in kinds {
        let input = control(kind, 0, &vec![0; length as usize]);
        assert_eq!(error_of(&input), FrameError::Length { kind, length });
    }
}

/// Covers: SPDY-2.6.4-1
#[test]
fn settings_that_lie_about_their_count_are_fatal() {
    let input = control(frame::SETTINGS, 0, &[&[0, 0, 0, 2][..], &[0; 15]].concat());
    assert_eq!(error_of(&input), FrameError::SettingsCount { count: 2, length: 19 });
}

#[test]
fn a_header_block_above_the_limit_is_refused_before_it_arrives() {
    let limits = Limits { spdy_block_bytes: 100, ..Limits::HOST };
    let mut receiver = Receiver::new(Role::Client, &limits, SkipBlocks);
    let header =
        |block: u32| FrameHeader::Control { kind: frame::SYN_REPLY, flags: 0, length: 4 + block }.emit();
    let error = receiver.receive(&header(101)).unwrap_err();
    let cause = HeaderBlockError::CompressedTooLong { length: 101, limit: 100 };
    assert_eq!(error, ConnectionError { frame: 0, error: FrameError::HeaderBlock(cause) });
    let mut receiver = Receiver::new(Role::Client, &limits, SkipBlocks);
    assert_eq!(receiver.receive(&header(100)), Ok(Step::NEED_MORE));
}

/// Covers: SPDY-2.6.10-2
#[test]
fn more_headers_than_the_limit_are_fatal() {
    let limits = Limits { spdy_headers: 2, ..Limits::HOST };
    let mut frame = [0; 128];
    let headers = [("a", ""), ("b", ""), ("c", "")];
    for (count, accepted) in [(2, true), (3, false)] {
        let mut receiver = Receiver::new(Role::Server, &limits, Small::new());
        let length = HeaderWriter::new().syn_stream(id(1), false, &headers[..count], &mut frame).unwrap();
        let (_, error) = run(&mut receiver, [frame[..length].to_vec()]);
        let cause = HeaderBlockError::TooManyHeaders { count: 3, limit: 2 };
        let expected = ConnectionError { frame: 0, error: FrameError::HeaderBlock(cause) };
        assert_eq!(error, (!accepted).then_some(expected));
    }
}

#[test]
fn errors_tell_where_the_frame_began() {
    let mut input = frame::ping(1).to_vec();
    input.extend(b"\0\0\0\x01\0\0\0\x03abc");
    let offset = input.len() as u64;
    for wrong in [frame::ping(0).to_vec(), control(frame::SYN_STREAM, 0, b"\0\0\0\x01\0\0\0\0\0\0\xff\xff")] {
        let input = [&input[..], &wrong].concat();
        for piece in 1..input.len() {
            let (_, error) = run(&mut server(), input.chunks(piece).map(<[u8]>::to_vec));
            assert_eq!(error.unwrap().frame, offset);
            assert!(error.unwrap().to_string().starts_with(&format!("SPDY frame at byte {offset}: ")));
        }
    }
}

#[test]
fn a_reader_of_blocks_can_be_given_back() {
    let mut inflate = Small::new();
    let mut receiver = Receiver::new(Role::Server, &Limits::HOST, LentBlocks(Some(&mut inflate)));
    let mut writer = HeaderWriter::new();
    let mut frame = [0; 64];
    let length = writer.syn_stream(id(1), false, &[("a", "b")], &mut frame).unwrap();
    assert_eq!(events_of(&mut receiver, &frame[..length]).len(), 1);
    assert_eq!(receiver.headers().get("a"), Some(&b"b"[..]));
    receiver.blocks_mut().0 = None;
    let length = writer.syn_stream(id(3), false, &[("a", "b")], &mut frame).unwrap();
    assert_eq!(events_of(&mut receiver, &frame[..length]).len(), 1);
    assert_eq!(receiver.headers().get("a"), None);
}

#[test]
fn a_client_receives_in_64_bytes() {
    println!("Receiver<SkipBlocks>: {} bytes", size_of::<Receiver<SkipBlocks>>());
    assert!(size_of::<Receiver<SkipBlocks>>() <= 64);
    assert!(size_of::<Receiver<LentBlocks<&mut Inflate>>>() <= 72);
}

/// A frame of any kind that is accepted; header blocks come from the writer.
#[derive(Debug, Clone)]
enum Frame {
    Open(u32, bool, Vec<(String, String)>),
    Reply(u32),
    Data(u32, bool, Vec<u8>),
    Reset(u32, u32),
    Ping(u32),
    GoAway(u32, u32),
    Settings(Vec<[u8; 8]>),
    WindowUpdate([u8; 8]),
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let id = 1..=0x7fff_ffff_u32;
    let headers = prop::collection::vec((text_of("abcz", 1..6), text_of(" a~=/", 0..20)), 0..4);
    let frame = prop_oneof![
        (id.clone(), any::<bool>(), headers).prop_map(|(id, fin, headers)| Frame::Open(id, fin, headers)),
        id.clone().prop_map(Frame::Reply),
        (id.clone(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(id, fin, payload)| Frame::Data(id, fin, payload)),
        (id, 1..=u32::MAX).prop_map(|(id, status)| Frame::Reset(id, status)),
        (1..=u32::MAX).prop_map(Frame::Ping),
        (0..=0x7fff_ffff_u32, any::<u32>()).prop_map(|(id, status)| Frame::GoAway(id, status)),
        prop::collection::vec(any::<[u8; 8]>(), 0..4).prop_map(Frame::Settings),
        any::<[u8; 8]>().prop_map(Frame::WindowUpdate),
    ];
    prop::collection::vec(frame, 0..10)
}

/// The bytes of the frames, and what a server has to see.
fn encode(frames: &[Frame]) -> (Vec<u8>, Vec<Seen>) {
    let mut writer = HeaderWriter::new();
    let (mut wire, mut seen) = (vec![], vec![]);
    for frame in frames {
        let mut out = [0; 512];
        match frame {
            Frame::Open(number, fin, headers) => {
                let texts: Vec<_> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let texts: Vec<_> = texts.into_iter().filter(|(name, _)| *name != "host").collect();
                let length = writer.syn_stream(id(*number), *fin, &texts, &mut out).unwrap();
                wire.extend(&out[..length]);
                let event =
                    Event::SynStream { stream: id(*number), associated: 0, fin: *fin, unidirectional: false };
                let headers =
                    texts.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
                seen.push(Seen::Event(event, headers));
            }
            Frame::Reply(number) => {
                let length = writer.syn_reply(id(*number), &mut out).unwrap();
                wire.extend(&out[..length]);
                seen.push(Seen::Event(Event::SynReply { stream: id(*number), fin: false }, vec![]));
            }
            Frame::Data(number, fin, payload) => {
                wire.extend(frame::data_header(id(*number), *fin, payload.len() as u32));
                wire.extend(payload);
                seen.push(Seen::Data {
                    stream: id(*number),
                    payload: payload.clone(),
                    fin: *fin,
                    last: true,
                });
            }
            Frame::Reset(number, status) => {
                let status = RstStatus(*status);
                wire.extend(frame::rst_stream(id(*number), status));
                seen.push(Seen::Event(Event::RstStream { stream: id(*number), status }, vec![]));
            }
            Frame::Ping(id) => {
                wire.extend(frame::ping(*id));
                let event = if id % 2 == 1 { Event::Ping { id: *id } } else { Event::PingReply { id: *id } };
                seen.push(Seen::Event(event, vec![]));
            }
            Frame::GoAway(number, status) => {
                let (last_good, status) = (StreamId::new(*number), GoawayStatus(*status));
                wire.extend(frame::goaway(last_good, status));
                seen.push(Seen::Event(Event::GoAway { last_good, status }, vec![]));
            }
            Frame::Settings(entries) => {
                let payload = [&(entries.len() as u32).to_be_bytes()[..], entries.as_flattened()].concat();
                wire.extend(control(frame::SETTINGS, 0, &payload));
            }
            Frame::WindowUpdate(payload) => wire.extend(control(frame::WINDOW_UPDATE, 0, payload)),
        }
    }
    (wire, seen)
}

/// Headers are those of the last header frame; only frames that have some are compared.
fn without_stale_headers(seen: Vec<Seen>) -> Vec<Seen> {
    let fresh = |event: &Event| matches!(event, Event::SynStream { .. } | Event::SynReply { .. });
    let strip = |seen| match seen {
        Seen::Event(event, _) if !fresh(&event) => Seen::Event(event, vec![]),
        other => other,
    };
    seen.into_iter().map(strip).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_are_read_as_they_were_written_however_they_are_split(frames in frames()) {
        let (wire, expected) = encode(&frames);
        for end in 0..=wire.len() {
            let (seen, error) = run(&mut server(), [wire[..end].to_vec(), wire[end..].to_vec()]);
            prop_assert_eq!(error, None);
            prop_assert_eq!(&without_stale_headers(seen), &expected);
        }
        for piece in [1, 2, 3, 5, 7] {
            let (seen, error) = run(&mut server(), wire.chunks(piece).map(<[u8]>::to_vec));
            prop_assert_eq!(error, None);
            prop_assert_eq!(&without_stale_headers(seen), &expected);
        }
    }

    #[test]
    fn damaged_input_gives_the_same_result_however_it_is_split(
        frames in frames(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        piece in 1_usize..50,
    ) {
        let (mut wire, _) = encode(&frames);
        for (index, byte) in damage {
            if !wire.is_empty() {
                let index = index.index(wire.len());
                wire[index] = byte;
            }
        }
        let whole = run(&mut server(), [wire.clone()]);
        prop_assert_eq!(&run(&mut server(), wire.chunks(piece).map(<[u8]>::to_vec)), &whole);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_are_never_held_back(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1_usize..50) {
        let whole = run(&mut client(), [bytes.clone()]);
        prop_assert_eq!(run(&mut client(), bytes.chunks(piece).map(<[u8]>::to_vec)), whole);
    }
}
