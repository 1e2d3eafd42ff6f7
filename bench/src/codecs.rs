use std::cell::RefCell;
use std::hint::black_box;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant as Clock;

use strait::http::{HeadScanner, HeadWriter, Request, Response};
use strait::k8s::{Channel, Outcome, ResizeParser, Subprotocol, TerminalSize, status};
use strait::leg::{self, Framing as _, WebSocketLeg};
use strait::spdy::{self, HeaderWriter, Inflate, SkipBlocks, StreamId, frame::data_header};
use strait::ws::{FrameHeader, MaskKeys, Masking as _, Opcode, Receiver, Sender, Utf8Validator, mask};
use strait::{Limits, Role};
use strait_scenarios::{Checksum, fill};

use crate::traffic::{STDOUT, push_spdy, push_websocket};
use crate::{Case, Run, counted};

/// Payload bytes of the frames that codecs are measured with.
pub const SIZES: [usize; 7] = [16, 80, 125, 1024, 4096, 32 * 1024, 64 * 1024];

/// What a codec is done with in one run, at most.
const BYTES: usize = 256 * 1024;
const FRAMES: usize = 256;

/// How often in one run, for what has no frames.
const TIMES: usize = 64;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Every codec alone, over bytes that all lie in memory.
pub(crate) fn cases() -> impl Iterator<Item = Case> {
    let framed: [Framed; 9] = [
        ("mask", masking),
        ("ws/receive", websocket_receive),
        ("ws/receive_unmasked", websocket_receive_unmasked),
        ("ws/send", websocket_send),
        ("ws/send_masked", websocket_send_masked),
        ("ws/utf8", utf8),
        ("spdy/receive", spdy_receive),
        ("spdy/send", spdy_send),
        ("base64/receive", base64_receive),
    ];
    let framed = framed.into_iter().flat_map(|(name, prepare)| {
        SIZES.map(|size| Case {
            name: format!("{name}/{size}"),
            count: frames(size) as u32,
            bytes: frames(size) * size,
            prepare: Box::new(move || prepare(size)),
        })
    });
    let base64 = SIZES.map(|size| Case {
        name: format!("base64/send/{size}"),
        count: frames(size) as u32,
        bytes: frames(size) * size,
        prepare: Box::new(move || base64_send(size)),
    });
    let plain: [Plain; 9] = [
        ("spdy/headers/inflate", inflate),
        ("spdy/headers/write", write_headers),
        ("status/parse", parse_status),
        ("status/write", write_status),
        ("resize/parse", parse_size),
        ("resize/write", write_size),
        ("http/request", parse_request),
        ("http/response", parse_response),
        ("http/write", write_request),
    ];
    let plain = plain.map(|(name, prepare)| Case {
        name: name.to_owned(),
        count: TIMES as u32,
        bytes: 0,
        prepare: Box::new(prepare),
    });
    framed.chain(base64).chain(plain)
}

/// Name, and what it runs on frames of so many bytes of payload.
type Framed = (&'static str, fn(usize) -> Run);

/// Name, and what it runs.
type Plain = (&'static str, fn() -> Run);

/// How many of this size one run has.
fn frames(size: usize) -> usize {
    (BYTES / size).clamp(1, FRAMES)
}

/// A run that works on fresh `input`, and whose answer is checked.
fn on<T: PartialEq + std::fmt::Debug + 'static>(
    input: Vec<u8>,
    expected: T,
    mut work: impl FnMut(&mut [u8]) -> T + 'static,
    mut verify: impl FnMut(&[u8]) + 'static,
) -> Run {
    let mut bytes = input.clone();
    Box::new(move || {
        bytes.copy_from_slice(&input);
        let start = Clock::now();
        let result = counted::work(|| work(black_box(&mut bytes)));
        let time = start.elapsed();
        assert_eq!(result, expected, "what was done");
        verify(&bytes);
        time
    })
}

/// A run that does the same thing a number of times.
fn repeat<T: PartialEq + std::fmt::Debug + 'static>(
    expected: T,
    mut work: impl FnMut() -> T + 'static,
) -> Run {
    Box::new(move || {
        let start = Clock::now();
        let result = counted::work(|| {
            for _ in 1..TIMES {
                black_box(work());
            }
            work()
        });
        let time = start.elapsed();
        assert_eq!(result, expected, "what was done");
        time
    })
}

fn payload(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(0, &mut bytes);
    bytes
}

fn masking(size: usize) -> Run {
    let input = payload(size * frames(size));
    let expected = {
        let byte = |(at, byte): (usize, &u8)| byte ^ KEY[at % size % KEY.len()];
        Checksum::of(&input.iter().enumerate().map(byte).collect::<Vec<_>>())
    };
    let work = move |bytes: &mut [u8]| bytes.chunks_exact_mut(size).for_each(|frame| mask(KEY, 0, frame));
    on(input, (), work, move |bytes| assert_eq!(Checksum::of(bytes), expected))
}

/// `frames(size)` frames with `size` bytes of payload.
fn websocket_wire(size: usize, key: Option<[u8; 4]>) -> Vec<u8> {
    let payload = payload(size * frames(size));
    let mut wire = vec![];
    payload.chunks(size).for_each(|frame| push_websocket(&mut wire, key, &[], frame));
    wire
}

fn websocket_receive(size: usize) -> Run {
    receive_all(size, Role::Server, Some(KEY))
}

fn websocket_receive_unmasked(size: usize) -> Run {
    receive_all(size, Role::Client, None)
}

fn receive_all(size: usize, role: Role, key: Option<[u8; 4]>) -> Run {
    let wire = websocket_wire(size, key);
    let frame = wire.len() / frames(size);
    let expected = Checksum::of(&payload(size * frames(size)));
    on(
        wire,
        (frames(size), size * frames(size)),
        move |bytes| receive(role, bytes),
        move |bytes| {
            let mut sum = Checksum::new();
            bytes.chunks(frame).for_each(|frame| sum.add(&frame[frame.len() - size..]));
            assert_eq!(sum, expected, "unmasked where it lies");
        },
    )
}

/// Receives what lies in `wire`: how many frames, and how many bytes of payload.
fn receive(role: Role, wire: &mut [u8]) -> (usize, usize) {
    let mut receiver = Receiver::new(role, &Limits::HOST);
    let (mut rest, mut frames, mut payload) = (wire, 0, 0);
    while !rest.is_empty() {
        let Ok(step) = receiver.receive(rest) else { break };
        if let Some(strait::ws::Event::Data { range, last, .. }) = step.event {
            payload += range.len();
            frames += usize::from(last);
        }
        let Some((_, behind)) = rest.split_at_mut_checked(step.consumed.max(1)) else { break };
        rest = behind;
    }
    (frames, payload)
}

fn websocket_send(size: usize) -> Run {
    send_all(size, Role::Server)
}

fn websocket_send_masked(size: usize) -> Run {
    send_all(size, Role::Client)
}

/// Makes frames where their payload lies, with the header in front of it.
fn send_all(size: usize, role: Role) -> Run {
    let room = FrameHeader::MAX + size;
    let input: Vec<u8> = payload(size * frames(size))
        .chunks(size)
        .flat_map(|payload| [&[0; FrameHeader::MAX], payload].concat())
        .collect();
    let mut keys = MaskKeys::new([7; 16]);
    let sender = Sender::<320>::new(role);
    let work = move |bytes: &mut [u8]| {
        let mut headers = 0;
        for frame in bytes.chunks_exact_mut(room) {
            let Some((front, payload)) = frame.split_first_chunk_mut() else { break };
            let key = if role == Role::Client { keys.draw() } else { [0; 4] };
            let header = sender.data_header(Opcode::Binary, true, size as u64, key);
            headers += header.write(front);
            if let Some(key) = header.mask {
                mask(key, 0, payload);
            }
        }
        headers
    };
    let header = Sender::<320>::new(role).data_header(Opcode::Binary, true, size as u64, KEY).size();
    on(input, header * frames(size), work, move |bytes| {
        let mut frame = bytes[..room].to_vec();
        frame.drain(header..FrameHeader::MAX);
        let peer = if role == Role::Client { Role::Server } else { Role::Client };
        assert_eq!(receive(peer, &mut frame), (1, size), "the peer reads it");
        assert_eq!(Checksum::of(&frame[header..]), Checksum::of(&payload(size)));
    })
}

fn utf8(size: usize) -> Run {
    let text: Vec<u8> = "log: h\u{e9}llo \u{4e16}\u{754c} \u{1f30d} and so on\n"
        .bytes()
        .cycle()
        .take(size * frames(size))
        .collect();
    // The last character may be cut.
    let work = move |bytes: &mut [u8]| {
        let mut utf8 = Utf8Validator::new();
        bytes.chunks_exact(size).all(|piece| utf8.feed(piece).is_ok())
    };
    on(text, true, work, |_| ())
}

fn spdy_receive(size: usize) -> Run {
    let mut wire = vec![];
    payload(size * frames(size)).chunks(size).for_each(|frame| push_spdy(&mut wire, STDOUT, frame));
    let work = |bytes: &mut [u8]| {
        let mut receiver = spdy::Receiver::new(Role::Client, &Limits::HOST, SkipBlocks);
        let (mut rest, mut frames, mut payload) = (&*bytes, 0, 0);
        while !rest.is_empty() {
            let Ok(step) = receiver.receive(rest) else { break };
            if let Some(spdy::Event::Data { range, last, .. }) = step.event {
                payload += range.len();
                frames += usize::from(last);
            }
            let Some(behind) = rest.get(step.consumed.max(1)..) else { break };
            rest = behind;
        }
        (frames, payload)
    };
    on(wire, (frames(size), size * frames(size)), work, |_| ())
}

fn spdy_send(size: usize) -> Run {
    let stream = StreamId::new(STDOUT).expect("a stream id");
    let work = move |bytes: &mut [u8]| {
        let mut frames = 0;
        for header in bytes.as_chunks_mut().0 {
            *header = data_header(black_box(stream), false, size as u32);
            frames += 1;
        }
        frames
    };
    on(vec![0; 8 * frames(size)], frames(size), work, move |bytes| {
        assert!(bytes.chunks(8).all(|header| header[4..] == (size as u32).to_be_bytes()));
    })
}

fn base64_leg() -> WebSocketLeg {
    WebSocketLeg::server(Subprotocol::V4Base64, &Limits::HOST)
}

/// A client's messages in base64: unmasked, checked and decoded where they lie.
fn base64_receive(size: usize) -> Run {
    let mut client = WebSocketLeg::client(Subprotocol::V4Base64, &Limits::HOST, MaskKeys::new([7; 16]));
    let mut wire = vec![];
    for frame in payload(size * frames(size)).chunks(size) {
        wire.extend(framed(&mut client, Channel::STDIN, frame));
    }
    let expected = Checksum::of(&payload(size * frames(size)));
    let ranges: Rc<RefCell<Vec<Range<usize>>>> = Rc::default();
    let found = ranges.clone();
    let work = move |bytes: &mut [u8]| {
        let (mut leg, mut at, mut payload) = (base64_leg(), 0, 0);
        let mut found = found.borrow_mut();
        found.clear();
        found.reserve(FRAMES);
        while let Ok(step) = leg.receive(&mut bytes[at..]) {
            if let Some(leg::Event::Data { range, .. }) = step.event {
                payload += range.len();
                found.push(at + range.start..at + range.end);
            } else if step.consumed == 0 {
                break;
            }
            at += step.consumed;
        }
        payload
    };
    on(wire, size * frames(size), work, move |bytes| {
        let mut sum = Checksum::new();
        for range in &*ranges.borrow() {
            sum.add(&bytes[range.clone()]);
        }
        assert_eq!(sum, expected, "decoded where it lies");
    })
}

/// Frames of a server's output in base64, with the room that it grows into in front.
fn base64_send(size: usize) -> Run {
    let mut leg = base64_leg();
    let room = room(&leg, size);
    let input: Vec<u8> = payload(size * frames(size))
        .chunks(size)
        .flat_map(|payload| [&vec![0; room - size][..], payload].concat())
        .collect();
    let frame = framed(&mut base64_leg(), Channel::STDOUT, &payload(size)).len();
    let work = move |bytes: &mut [u8]| {
        let mut written = 0;
        for buffer in bytes.chunks_exact_mut(room) {
            let start = leg.frame(Channel::STDOUT, false, buffer, room - size..room);
            written += start.map_or(0, |start| room - start);
        }
        written
    };
    let expected = framed(&mut base64_leg(), Channel::STDOUT, &payload(size));
    on(input, frame * frames(size), work, move |bytes| {
        assert!(bytes[..room].ends_with(&expected), "the first frame");
    })
}

fn room(leg: &impl leg::Framing, size: usize) -> usize {
    leg.header_max(size).max(leg.headroom(4 * size)) + size
}

/// One frame of `payload`.
fn framed(leg: &mut impl leg::Framing, channel: Channel, payload: &[u8]) -> Vec<u8> {
    let room = room(leg, payload.len());
    let mut buffer = vec![0; room - payload.len()];
    buffer.extend_from_slice(payload);
    let start = leg.frame(channel, false, &mut buffer, room - payload.len()..room).expect("there is room");
    buffer.split_off(start)
}

/// The `SYN_STREAM`s of a session's four streams, as Go compresses them.
const GO_SYN_STREAMS: &str = "\
    80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff\
    800300010000001700000003000000000000c22e555c92929907000000ffff\
    800300010000001900000005000000000000c22ac5565c92925f5a02000000ffff\
    800300010000001500000007000000000000c229975a5404000000ffff";

/// The openings of a session's four streams, from the first byte of a connection.
fn inflate() -> Run {
    let digits = |at: usize| u8::from_str_radix(&GO_SYN_STREAMS[at..at + 2], 16).expect("hexadecimal");
    let frames: Vec<u8> = (0..GO_SYN_STREAMS.len()).step_by(2).map(digits).collect();
    repeat(4, move || {
        let blocks = Inflate::<2048, 1024>::new();
        let mut receiver = spdy::Receiver::new(Role::Server, &Limits::HOST, blocks);
        let (mut rest, mut streams) = (black_box(&*frames), 0);
        while let Ok(step) = receiver.receive(rest) {
            if step.event.is_some() {
                streams += usize::from(receiver.headers().get("streamtype").is_some());
            } else if step.consumed == 0 {
                break;
            }
            let Some(behind) = rest.get(step.consumed..) else { break };
            rest = behind;
        }
        streams
    })
}

/// The openings of a session's four streams.
fn write_headers() -> Run {
    let work = || {
        let (mut writer, mut out, mut length) = (HeaderWriter::new(), [0; 256], 0);
        for (stream, name) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
            let stream = StreamId::new(stream).expect("a stream id");
            length +=
                writer.syn_stream(stream, false, &[("streamtype", name)], &mut out[length..]).unwrap_or(0);
        }
        black_box(&out);
        length
    };
    repeat(work(), work)
}

/// A failure with an exit code, as a kubelet sends it.
const STATUS: &[u8] = br#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 3","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;

fn parse_status() -> Run {
    repeat(true, || matches!(Outcome::parse(black_box(STATUS)), Ok(Outcome::ExitCode(3))))
}

fn write_status() -> Run {
    let work = || {
        let mut out = [0; 512];
        let length = status::exit_code(black_box(3), &mut out).unwrap_or(0);
        black_box(&out);
        length
    };
    repeat(work(), work)
}

fn parse_size() -> Run {
    let size = TerminalSize { columns: 213, rows: 57 };
    repeat(Some(size), move || ResizeParser::new().feed(black_box(b"{\"Width\":213,\"Height\":57}\n")))
}

fn write_size() -> Run {
    let size = TerminalSize { columns: 213, rows: 57 };
    repeat(Ok(26), move || {
        let mut out = [0; TerminalSize::MAX_WRITTEN];
        let length = black_box(size).write(&mut out);
        black_box(&out);
        length
    })
}

/// The upgrade that kubectl asks for.
const REQUEST: &[u8] = b"GET /api/v1/namespaces/default/pods/demo/exec?command=sh&container=main&stdin=true&stdout=true HTTP/1.1\r\n\
    Host: 127.0.0.1:8443\r\nUser-Agent: kubectl/v1.32.4 (linux/amd64) kubernetes/59526cd\r\nConnection: Upgrade\r\n\
    Kubectl-Command: kubectl exec\r\nKubectl-Session: 0b9e2f1c-3c68-4c39-9f40-0a0e2a1f1d6b\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: v5.channel.k8s.io\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n";

fn parse_request() -> Run {
    repeat(true, || {
        let received = black_box(REQUEST);
        let Ok(Some(end)) = HeadScanner::new(8192).scan(received) else { return false };
        Request::<32>::parse(&received[..end]).is_ok_and(|request| request.wants_upgrade())
    })
}

const RESPONSE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
    X-Stream-Protocol-Version: v4.channel.k8s.io\r\nDate: Sun, 22 Nov 2026 07:02:00 GMT\r\n\r\n";

fn parse_response() -> Run {
    repeat(true, || {
        let received = black_box(RESPONSE);
        let Ok(Some(end)) = HeadScanner::new(8192).scan(received) else { return false };
        Response::<32>::parse(&received[..end]).is_ok_and(|response| response.status == 101)
    })
}

fn write_request() -> Run {
    let work = || {
        let mut out = [0; 512];
        let length =
            HeadWriter::request(&mut out, "POST", "/exec/default/demo/main?command=sh&input=1&output=1")
                .header("Host", "127.0.0.1:10250")
                .header("Connection", "Upgrade")
                .header("Upgrade", "SPDY/3.1")
                .list("X-Stream-Protocol-Version", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
                .finish();
        black_box(&out);
        length
    };
    repeat(work(), work)
}
