//! Clients that got their session and then break its protocol: each is told why, and its process does not outlive it.

use std::io::{self, Read as _};
use std::net::TcpStream;
use std::time::Duration;

use strait_tests::{Shores, exec_prints, raw_session};

const SOON: Duration = Duration::from_secs(5);

const PROTOCOL_ERROR: u16 = 1002;
const TOO_BIG: u16 = 1009;

/// RFC 6455 section 5.2: the first byte of a frame, and the flag of the second one that says that it is masked.
const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const MASKED: u8 = 0x80;

/// A short frame of a client whose mask key changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).ok().filter(|length| *length < 126).expect("a short payload");
    [&[first, MASKED | length, 0, 0, 0, 0], payload].concat()
}

/// The code of the Close frame with which the gateway ends the connection.
#[track_caller]
fn close_code(mut socket: TcpStream) -> u16 {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Ok(_) => {}
        // Behind its Close the gateway need not read what else was sent.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection is not closed: {error}, {:?}", String::from_utf8_lossy(&bytes)),
    }
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    // A Close is the last frame. What it says besides the code is text, and holds no byte of a frame header.
    let start =
        bytes.iter().rposition(|byte| *byte == FIN | CLOSE).unwrap_or_else(|| panic!("no Close: {text:?}"));
    let [_, length, code @ ..] = &bytes[start..] else { panic!("half a Close: {text:?}") };
    assert_eq!(code.len(), usize::from(*length), "the Close is not the last frame: {text:?}");
    u16::from_be_bytes(*code.first_chunk().expect("a code"))
}

/// Sends `frames` on a session whose process would wait for ever.
#[track_caller]
fn assert_closed(frames: &[u8], code: u16) {
    let shores = Shores::start(&[]);
    let baseline = shores.baseline();
    let socket = raw_session(shores.gateway.address(), "command=cat&stdin=true&stdout=true", frames);
    assert_eq!(close_code(socket), code, "{frames:02x?}");
    shores.return_to(baseline, SOON);
    exec_prints(shores.gateway.address(), "still-works");
}

/// Covers: RFC6455-5.1-2
#[test]
fn an_unmasked_frame_is_a_protocol_error() {
    assert_closed(&[FIN | BINARY, 2, 0, b'x'], PROTOCOL_ERROR);
}

/// Covers: RFC6455-5.2-1
#[test]
fn a_reserved_bit_is_a_protocol_error() {
    assert_closed(&frame(FIN | RSV1 | BINARY, b"\0x"), PROTOCOL_ERROR);
}

/// Covers: RFC6455-5.2-2
#[test]
fn a_reserved_opcode_is_a_protocol_error() {
    assert_closed(&frame(FIN | 3, b"\0x"), PROTOCOL_ERROR);
}

/// Covers: RFC6455-5.4-1
#[test]
fn a_ping_in_fragments_is_a_protocol_error() {
    assert_closed(&frame(PING, b"x"), PROTOCOL_ERROR);
}

/// Covers: RFC6455-5.5-1
#[test]
fn a_long_ping_is_a_protocol_error() {
    let ping = [&[FIN | PING, MASKED | 0x7e, 0, 126, 0, 0, 0, 0][..], &[b'x'; 126]].concat();
    assert_closed(&ping, PROTOCOL_ERROR);
}

/// Covers: RFC6455-5.4-2
#[test]
fn a_continuation_of_nothing_is_a_protocol_error() {
    assert_closed(&frame(FIN | CONTINUATION, b"\0x"), PROTOCOL_ERROR);
}

/// Covers: RFC6455-5.4-2
#[test]
fn a_message_in_a_message_is_a_protocol_error() {
    assert_closed(&[frame(BINARY, b"\0x"), frame(FIN | BINARY, b"\0y")].concat(), PROTOCOL_ERROR);
}

/// Covers: RFC6455-5.5.1-1
#[test]
fn a_close_with_half_a_code_is_a_protocol_error() {
    assert_closed(&frame(FIN | CLOSE, b"\x03"), PROTOCOL_ERROR);
}

/// Covers: RFC6455-7.4.1-1
#[test]
fn a_close_with_a_code_that_is_never_sent_is_a_protocol_error() {
    assert_closed(&frame(FIN | CLOSE, &1006_u16.to_be_bytes()), PROTOCOL_ERROR);
}

/// Covers: RFC6455-7.4.1-2
#[test]
fn a_frame_of_many_gigabytes_is_too_big() {
    let header = [&[FIN | BINARY, MASKED | 0x7f][..], &(1_u64 << 40).to_be_bytes(), &[0; 4]].concat();
    assert_closed(&header, TOO_BIG);
}

/// Covers: RFC6455-5.5.1-3
#[test]
fn a_close_is_answered_with_its_code() {
    assert_closed(&frame(FIN | CLOSE, &1001_u16.to_be_bytes()), 1001);
}

/// Nobody waits for the 101 to arrive who wants to be fast, and what came with the request must not be lost.
///
/// Covers: RFC9110-7.8-3
#[test]
fn frames_that_come_with_the_request_are_not_lost() {
    let shores = Shores::start(&[]);
    let frames = [frame(FIN | BINARY, b"\0hello"), frame(FIN | BINARY, b"\xff\0")].concat();
    let socket = raw_session(shores.gateway.address(), "command=cat&stdin=true&stdout=true", &frames);
    let text = success(socket);
    assert!(text.contains("\x01hello"), "{text:?}");
}

/// Channels that a client has no business with, text frames and empty messages are not worth an error (upstream
/// ignores them too).
#[test]
fn what_means_nothing_is_ignored() {
    let shores = Shores::start(&[]);
    let frames = [
        frame(FIN | BINARY, b""),
        frame(FIN | BINARY, b"\0"),
        frame(FIN | BINARY, b"\x01never"),
        frame(FIN | BINARY, b"\x07never"),
        frame(FIN | BINARY, b"\x04{\"Width\":80,\"Height\":24}"),
        frame(FIN | BINARY, b"\x04never a size"),
        frame(FIN | TEXT, b"\0text"),
        frame(FIN | BINARY, b"\xff\x04"),
        frame(FIN | BINARY, b"\xff\0"),
        frame(FIN | BINARY, b"\xff\0"),
        frame(FIN | BINARY, b"\0never"),
    ];
    let query = "command=sh&command=-c&command=cat%3B%20echo%20end&stdin=true&stdout=true";
    let text = success(raw_session(shores.gateway.address(), query, &frames.concat()));
    assert!(text.contains("text") && text.contains("end\n") && !text.contains("never"), "{text:?}");
}

/// All that the gateway sends up to its Close 1000, a successful status among it.
#[track_caller]
fn success(mut socket: TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    while !bytes.ends_with(&1000_u16.to_be_bytes()) {
        let count = socket.read(&mut buffer).expect("the session goes on");
        assert!(count > 0, "cut: {:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..count]);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.contains(r#""status":"Success""#), "{text:?}");
    text
}
