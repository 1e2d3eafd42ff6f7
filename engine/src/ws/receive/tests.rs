mod pass;

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::vec::Vec;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What was received, so merged that it does not depend on how the bytes were cut.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// Pieces between which no other event came.
    Data {
        opcode: Opcode,
        bytes: Vec<u8>,
        first: bool,
        last: bool,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<CloseCode>, Vec<u8>),
}

/// A driver with a buffer: passes on what a receiver has not consumed together with what comes next.
struct Reader {
    receiver: Receiver,
    buffer: Vec<u8>,
    seen: Vec<Seen>,
}

impl Reader {
    fn new(role: Role) -> Self {
        Self::with(Receiver::new(role, &Limits::HOST))
    }

    fn with(receiver: Receiver) -> Self {
        Self { receiver, buffer: Vec::new(), seen: Vec::new() }
    }

    fn read(&mut self, arrived: &[u8]) -> Result<(), ProtocolError> {
        self.buffer.extend_from_slice(arrived);
        loop {
            let step = self.receiver.receive(&mut self.buffer)?;
            assert!(step.consumed <= self.buffer.len());
            match step.event {
                None if step.consumed == 0 => return Ok(()),
                None => {}
                Some(event) => self.see(event, step.consumed),
            }
            self.buffer.drain(..step.consumed);
        }
    }

    fn see(&mut self, event: Event, consumed: usize) {
        let bytes = |range: Range<usize>| {
            assert!(range.end <= consumed, "the event lies in what was consumed");
            self.buffer[range].to_vec()
        };
        let seen = match event {
            Event::Data { opcode, range, first, last } => {
                assert!(last || !range.is_empty(), "no piece is empty but the last");
                Seen::Data { opcode, bytes: bytes(range), first, last }
            }
            Event::Ping { range } => Seen::Ping(bytes(range)),
            Event::Pong { range } => Seen::Pong(bytes(range)),
            Event::Close { code, reason } => Seen::Close(code, bytes(reason)),
        };
        match (self.seen.last_mut(), seen) {
            (
                Some(Seen::Data { bytes, last: open, .. }),
                Seen::Data { bytes: more, first: false, last, .. },
            ) if !*open => {
                bytes.extend(more);
                *open = last;
            }
            (_, seen) => self.seen.push(seen),
        }
    }
}

fn encode(header: FrameHeader, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [0; FrameHeader::MAX];
    let size = header.write(&mut bytes);
    let mut frame = bytes[..size].to_vec();
    frame.extend_from_slice(payload);
    mask(header.mask.unwrap_or_default(), 0, &mut frame[size..]);
    frame
}

/// A frame for a receiver that plays the given role.
fn frame(to: Role, fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mask = (to == Role::Server).then_some(KEY);
    encode(FrameHeader { fin, opcode, mask, len: payload.len() as u64 }, payload)
}

fn server(frames: &[(bool, Opcode, &[u8])]) -> Result<Vec<Seen>, ProtocolError> {
    let bytes: Vec<u8> =
        frames.iter().flat_map(|&(fin, opcode, payload)| frame(Role::Server, fin, opcode, payload)).collect();
    let whole = read_at(Role::Server, &bytes, &[]);
    for cut in 0..=bytes.len() {
        let (seen, result) = read_at(Role::Server, &bytes, &[cut]);
        assert_eq!(result, whole.1, "cut at {cut}");
        if result.is_ok() {
            assert_eq!(seen, whole.0, "cut at {cut}");
        }
    }
    whole.1.map(|()| whole.0)
}

/// Reads `bytes` in pieces that end at `cuts`, which ascend.
fn read_at(role: Role, bytes: &[u8], cuts: &[usize]) -> (Vec<Seen>, Result<(), ProtocolError>) {
    let mut reader = Reader::new(role);
    let mut from = 0;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        if let Err(error) = reader.read(&bytes[from..cut]) {
            return (reader.seen, Err(error));
        }
        from = cut;
    }
    (reader.seen, Ok(()))
}

fn message(opcode: Opcode, bytes: &[u8]) -> Seen {
    Seen::Data { opcode, bytes: bytes.to_vec(), first: true, last: true }
}

use Opcode::{Binary, Close, Continuation, Ping, Pong, Text};

#[test]
fn a_receiver_is_small() {
    assert!(size_of::<Receiver>() <= 64, "{} bytes", size_of::<Receiver>());
}

#[test]
fn header_and_payload_are_one_step() {
    let mut receiver = Receiver::new(Role::Server, &Limits::HOST);
    let mut bytes = frame(Role::Server, true, Binary, b"abc");
    bytes.push(0x82);
    let step = receiver.receive(&mut bytes).unwrap();
    let event = Event::Data { opcode: Binary, range: 6..9, first: true, last: true };
    assert_eq!(step, Step::event(9, event));
    assert_eq!(&bytes[6..9], b"abc");
}

#[test]
fn payload_is_reported_as_soon_as_a_byte_of_it_is_there() {
    let mut receiver = Receiver::new(Role::Server, &Limits::HOST);
    let mut bytes = frame(Role::Server, true, Binary, b"abc");
    assert_eq!(receiver.receive(&mut bytes[..5]).unwrap(), Step::NEED_MORE);
    assert_eq!(receiver.receive(&mut bytes[..6]).unwrap(), Step::skip(6));
    assert_eq!(receiver.receive(&mut bytes[6..6]).unwrap(), Step::NEED_MORE);
    let event = Event::Data { opcode: Binary, range: 0..1, first: true, last: false };
    assert_eq!(receiver.receive(&mut bytes[6..7]).unwrap(), Step::event(1, event));
    let event = Event::Data { opcode: Binary, range: 0..2, first: false, last: true };
    assert_eq!(receiver.receive(&mut bytes[7..]).unwrap(), Step::event(2, event));
    assert_eq!(&bytes[6..], b"abc");
}

#[test]
fn an_empty_message_is_one_empty_piece() {
    assert_eq!(server(&[(true, Binary, b"")]), Ok(Vec::from([message(Binary, b"")])));
    assert_eq!(server(&[(true, Text, b"")]), Ok(Vec::from([message(Text, b"")])));
}

#[test]
fn an_empty_final_continuation_ends_the_message() {
    let mut receiver = Receiver::new(Role::Client, &Limits::HOST);
    let event = Event::Data { opcode: Binary, range: 2..4, first: true, last: false };
    assert_eq!(receiver.receive(&mut [0x02, 2, b'a', b'b']).unwrap(), Step::event(4, event));
    let event = Event::Data { opcode: Binary, range: 2..2, first: false, last: true };
    assert_eq!(receiver.receive(&mut [0x80, 0]).unwrap(), Step::event(2, event));
}

/// Covers: RFC6455-5.4-3
#[test]
fn empty_frames_inside_a_message_leave_no_trace() {
    let frames: [(bool, Opcode, &[u8]); 5] = [
        (false, Binary, b""),
        (false, Continuation, b""),
        (false, Continuation, b"a"),
        (false, Continuation, b""),
        (true, Continuation, b"b"),
    ];
    assert_eq!(server(&frames), Ok(Vec::from([message(Binary, b"ab")])));
    let frames: [(bool, Opcode, &[u8]); 2] = [(false, Text, b""), (true, Continuation, b"")];
    assert_eq!(server(&frames), Ok(Vec::from([message(Text, b"")])));
}

/// Covers: RFC6455-5.4-1
#[test]
fn control_frames_may_stand_inside_a_message() {
    let seen = server(&[
        (false, Text, b"a"),
        (true, Ping, b"one"),
        (true, Pong, b""),
        (true, Continuation, b"b"),
        (true, Close, b"\x03\xe8bye"),
    ]);
    let data = |bytes: &[u8], first, last| Seen::Data { opcode: Text, bytes: bytes.to_vec(), first, last };
    assert_eq!(
        seen,
        Ok(Vec::from([
            data(b"a", true, false),
            Seen::Ping(b"one".to_vec()),
            Seen::Pong(Vec::new()),
            data(b"b", false, true),
            Seen::Close(Some(CloseCode::NORMAL), b"bye".to_vec()),
        ]))
    );
}

/// Covers: RFC6455-5.4-2
#[test]
fn a_continuation_needs_a_message() {
    assert_eq!(server(&[(true, Continuation, b"a")]), Err(ProtocolError::UnexpectedContinuation));
    let after_a_whole_message = server(&[(true, Binary, b"a"), (false, Continuation, b"b")]);
    assert_eq!(after_a_whole_message, Err(ProtocolError::UnexpectedContinuation));
}

/// Covers: RFC6455-5.4-2
#[test]
fn a_message_must_end_before_the_next() {
    let result = server(&[(false, Binary, b"a"), (true, Text, b"b")]);
    assert_eq!(result, Err(ProtocolError::UnfinishedMessage(Text)));
    let result = server(&[(false, Text, b""), (false, Binary, b"")]);
    assert_eq!(result, Err(ProtocolError::UnfinishedMessage(Binary)));
}

/// Covers: RFC6455-5.1-2, RFC6455-5.1-3
#[test]
fn a_server_demands_masked_frames_and_a_client_plain_ones() {
    for opcode in [Text, Binary, Ping, Pong, Close] {
        let plain = frame(Role::Client, true, opcode, b"");
        let masked = frame(Role::Server, true, opcode, b"");
        assert_eq!(read_at(Role::Server, &plain, &[]).1, Err(ProtocolError::Unmasked));
        assert_eq!(read_at(Role::Client, &masked, &[]).1, Err(ProtocolError::Masked));
        assert_eq!(read_at(Role::Server, &masked, &[]).1, Ok(()));
        assert_eq!(read_at(Role::Client, &plain, &[]).1, Ok(()));
    }
}

#[test]
fn a_control_frame_of_the_wrong_mask_is_refused_before_its_payload_arrives() {
    assert_eq!(read_at(Role::Server, &[0x89, 100], &[]).1, Err(ProtocolError::Unmasked));
}

/// Covers: RFC6455-7.4.1-2, RFC6455-10.4-1
#[test]
fn a_frame_may_be_as_large_as_the_limit() {
    let limits = Limits { ws_frame_bytes: 300, ..Limits::HOST };
    let mut receiver = Receiver::new(Role::Client, &limits);
    assert_eq!(receiver.receive(&mut [0x82, 126, 1, 44]).unwrap(), Step::skip(4));
    let mut receiver = Receiver::new(Role::Client, &limits);
    let error = receiver.receive(&mut [0x82, 126, 1, 45]).unwrap_err();
    assert_eq!(error, ProtocolError::FrameTooLarge(301));
    assert_eq!(error.close_code(), CloseCode::TOO_BIG);

    let short = Limits { ws_frame_bytes: 2, ..Limits::HOST };
    let mut receiver = Receiver::new(Role::Client, &short);
    assert_eq!(receiver.receive(&mut [0x82, 2, 1, 2]).unwrap().consumed, 4);
    assert_eq!(receiver.receive(&mut [0x82, 3, 1, 2, 3]), Err(ProtocolError::FrameTooLarge(3)));
}

/// Covers: RFC6455-7.1.7-1
#[test]
fn an_error_is_final() {
    let mut receiver = Receiver::new(Role::Client, &Limits::HOST);
    let error = receiver.receive(&mut [0x83]).unwrap_err();
    assert_eq!(receiver.receive(&mut [0x82, 0]), Err(error));
    assert_eq!(receiver.receive(&mut []), Err(error));
}

/// Covers: RFC6455-7.1.7-1
#[test]
fn what_follows_a_close_is_dropped() {
    let seen = server(&[(true, Close, b""), (true, Ping, b"late"), (true, Continuation, b"junk")]);
    assert_eq!(seen, Ok(Vec::from([Seen::Close(None, Vec::new())])));
    let mut receiver = Receiver::new(Role::Client, &Limits::HOST);
    receiver.receive(&mut [0x88, 0]).unwrap();
    assert_eq!(receiver.receive(&mut [0xff; 7]), Ok(Step::skip(7)));
}

/// Covers: RFC6455-5.5.1-1, RFC6455-7.4.1-1
#[test]
fn a_close_carries_a_valid_code_and_a_reason_in_utf8() {
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999_u16] {
        let seen = server(&[(true, Close, &code.to_be_bytes())]);
        assert_eq!(seen, Ok(Vec::from([Seen::Close(Some(CloseCode(code)), Vec::new())])));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535_u16] {
        let result = server(&[(true, Close, &code.to_be_bytes())]);
        assert_eq!(result, Err(ProtocolError::InvalidCloseCode(CloseCode(code))));
    }
    assert_eq!(server(&[(true, Close, b"\x03")]), Err(ProtocolError::HalfCloseCode));
    let error = server(&[(true, Close, b"\x03\xe8\xce\xba\xff")]).unwrap_err();
    assert_eq!((error, error.close_code().0), (ProtocolError::InvalidUtf8 { lead: 0xff }, 1007));
}

#[test]
fn text_may_be_cut_inside_a_character() {
    let text = "\u{3ba}\u{1f61}\u{20ac}\u{10ffff}";
    for cut in 0..=text.len() {
        let (front, back) = text.as_bytes().split_at(cut);
        let seen = server(&[(false, Text, front), (true, Continuation, back)]);
        assert_eq!(seen, Ok(Vec::from([message(Text, text.as_bytes())])), "cut at {cut}");
    }
}

/// Covers: RFC6455-5.6-1, RFC6455-8.1-1
#[test]
fn text_that_cannot_become_valid_fails_before_the_frame_ends() {
    let mut reader = Reader::new(Role::Client);
    assert_eq!(reader.read(b"\x01\x7e\x10\x00\xce\xba\xf4"), Ok(()));
    assert_eq!(reader.read(b"\x90"), Err(ProtocolError::InvalidUtf8 { lead: 0xf4 }));
}

/// Covers: RFC6455-8.1-1
#[test]
fn text_must_not_end_inside_a_character() {
    let error = ProtocolError::InvalidUtf8 { lead: 0xe2 };
    assert_eq!(server(&[(true, Text, b"a\xe2\x82")]), Err(error));
    assert_eq!(server(&[(false, Text, b"a\xe2"), (true, Continuation, b"")]), Err(error));
}

#[test]
fn binary_messages_and_unchecked_text_may_be_anything() {
    let bytes = b"\xff\x00\xfe";
    assert_eq!(server(&[(true, Binary, bytes)]), Ok(Vec::from([message(Binary, bytes)])));
    let wire = frame(Role::Server, true, Text, bytes);
    for cut in 0..=wire.len() {
        let mut reader = Reader::with(Receiver::new(Role::Server, &Limits::HOST).without_utf8_check());
        reader.read(&wire[..cut]).unwrap();
        reader.read(&wire[cut..]).unwrap();
        assert_eq!(reader.seen, [message(Text, bytes)], "cut at {cut}");
    }
}

#[test]
fn a_frame_passes_through_a_buffer_much_smaller_than_itself() {
    let payload: Vec<u8> = (0..70_000_u32).map(|i| (i % 251) as u8).collect();
    let wire = frame(Role::Server, true, Binary, &payload);
    for capacity in 16..=20 {
        let mut receiver = Receiver::new(Role::Server, &Limits::HOST);
        let (mut buffer, mut held, mut sent) = ([0; 20], 0, 0);
        let (mut got, mut firsts, mut lasts) = (Vec::new(), 0, 0);
        while lasts == 0 {
            let read = (capacity - held).min(wire.len() - sent);
            buffer[held..held + read].copy_from_slice(&wire[sent..sent + read]);
            (held, sent) = (held + read, sent + read);
            let step = receiver.receive(&mut buffer[..held]).unwrap();
            assert!(step.consumed > 0, "a buffer of {capacity} bytes is enough");
            if let Some(Event::Data { range, first, last, .. }) = step.event {
                got.extend_from_slice(&buffer[range]);
                firsts += u32::from(first);
                lasts += u32::from(last);
            }
            buffer.copy_within(step.consumed..held, 0);
            held -= step.consumed;
        }
        assert_eq!((firsts, held, sent), (1, 0, wire.len()));
        assert_eq!(got, payload);
    }
}

/// A message cut into frames.
#[derive(Debug, Clone)]
struct Message {
    opcode: Opcode,
    /// Each with the control frames that stand before it.
    frames: Vec<(Vec<Control>, Vec<u8>)>,
}

/// A ping if true, else a pong; and its payload.
type Control = (bool, Vec<u8>);

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let lens = prop_oneof![8 => 0..20_usize, 1 => 120..135_usize, 1 => 65_530..65_540_usize];
    let bytes = lens.prop_flat_map(|len| vec(any::<u8>(), len));
    let text = vec(any::<char>(), 0..12)
        .prop_map(|chars| chars.into_iter().collect::<std::string::String>().into_bytes());
    let payload = prop_oneof![bytes.prop_map(|bytes| (Binary, bytes)), text.prop_map(|text| (Text, text))];
    let control = (any::<bool>(), prop_oneof![vec(any::<u8>(), 0..4), vec(any::<u8>(), 124..=125)]);
    let controls = vec(control, 0..3);
    let message =
        (payload, vec((any::<prop::sample::Index>(), controls), 0..4)).prop_map(|((opcode, bytes), cuts)| {
            let mut cuts: Vec<_> = cuts.into_iter().map(|(at, c)| (at.index(bytes.len() + 1), c)).collect();
            cuts.sort_by_key(|&(at, _)| at);
            let mut frames = Vec::new();
            let (mut from, mut before) = (0, Vec::new());
            for (at, controls) in cuts {
                frames.push((before, bytes[from..at].to_vec()));
                (from, before) = (at, controls);
            }
            frames.push((before, bytes[from..].to_vec()));
            Message { opcode, frames }
        });
    vec(message, 0..4)
}

/// The bytes of the messages for a receiver that plays `to`, and what it must see.
fn play(to: Role, messages: &[Message]) -> (Vec<u8>, Vec<Seen>) {
    let (mut wire, mut seen) = (Vec::new(), Vec::new());
    for message in messages {
        let (mut first, mut pending) = (true, Vec::new());
        let piece = |bytes: Vec<u8>, first, last| Seen::Data { opcode: message.opcode, bytes, first, last };
        let count = message.frames.len();
        for (index, (controls, payload)) in message.frames.iter().enumerate() {
            if !controls.is_empty() && !pending.is_empty() {
                seen.push(piece(mem::take(&mut pending), first, false));
                first = false;
            }
            for (ping, bytes) in controls {
                wire.extend(frame(to, true, if *ping { Ping } else { Pong }, bytes));
                seen.push(if *ping { Seen::Ping(bytes.clone()) } else { Seen::Pong(bytes.clone()) });
            }
            let opcode = if index == 0 { message.opcode } else { Continuation };
            wire.extend(frame(to, index + 1 == count, opcode, payload));
            pending.extend_from_slice(payload);
        }
        seen.push(piece(pending, first, true));
    }
    wire.extend(frame(to, true, Close, b"\x03\xe8bye"));
    seen.push(Seen::Close(Some(CloseCode::NORMAL), b"bye".to_vec()));
    (wire, seen)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Covers: RFC6455-5.2-5
    #[test]
    fn any_cut_gives_the_same_events(
        messages in messages(), cuts: Vec<prop::sample::Index>, client: bool, step in 1..200_usize,
    ) {
        let role = if client { Role::Client } else { Role::Server };
        let (wire, expected) = play(role, &messages);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(wire.len() + 1)).collect();
        cuts.sort_unstable();
        let steps: Vec<usize> = (0..wire.len()).step_by(step).collect();
        for cuts in [&[][..], &cuts, &steps] {
            let (seen, result) = read_at(role, &wire, cuts);
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(&seen, &expected);
        }
        if wire.len() < 600 {
            for cut in 0..=wire.len() {
                prop_assert_eq!(&read_at(role, &wire, &[cut]).0, &expected);
            }
            let bytes: Vec<usize> = (0..wire.len()).collect();
            prop_assert_eq!(&read_at(role, &wire, &bytes).0, &expected);
        }
    }

    #[test]
    fn arbitrary_bytes_end_the_same_way_however_they_are_cut(
        mut wire: Vec<u8>, plausible: bool, client: bool, cut: prop::sample::Index,
    ) {
        let role = if client { Role::Client } else { Role::Server };
        if plausible && let [first, second, ..] = &mut wire[..] {
            (*first, *second) = (*first & 0x8a | 1, *second & 0x1f | if client { 0 } else { 0x80 });
        }
        let whole = read_at(role, &wire, &[]);
        let bytes: Vec<usize> = (0..wire.len()).collect();
        for cuts in [&[cut.index(wire.len() + 1)][..], &bytes] {
            let cut = read_at(role, &wire, cuts);
            prop_assert_eq!(cut.1, whole.1);
            if whole.1.is_ok() {
                prop_assert_eq!(cut.0, whole.0.clone());
            }
        }
    }
}
