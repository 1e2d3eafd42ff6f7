//! Laws that hold for every codec: what is written is read as it was, its length is as predicted, and a part of it is never
//! taken for something else.
//!
//! What stands beside a codec is not repeated here: WebSocket headers (`ws/frame.rs`), SPDY headers (`spdy/frame.rs`), base64
//! (`leg/base64.rs`), request targets (`k8s/request`).

use proptest::prelude::*;
use strait::http::{HeadScanner, HeadWriter, Request, WriteError, target};
use strait::k8s::ports::{parse_port, port_message, read_port_message};
use strait::k8s::status::{self, StatusError};
use strait::k8s::{
    Channel, Outcome, PortChannel, PortStream, ResizeParser, Subprotocol, TerminalSize, negotiate,
};
use strait::spdy::{self, HeaderWriter, Inflate, StreamId};
use strait::ws::{self, CloseCode, FrameHeader, Opcode, Receiver, Sender, mask};
use strait::{Limits, Role, Step};

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}"
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("X-[a-z0-9-]{1,9}", "[!-~][ -~]{0,30}[!-~]"), 0..8)
}

fn write_head(buffer: &mut [u8], method: &str, headers: &[(String, String)]) -> Result<usize, WriteError> {
    let head = HeadWriter::request(buffer, method, "/a?b=c").header("Host", "h");
    headers.iter().fold(head, |head, (name, value)| head.header(name, value)).finish()
}

proptest! {
    #[test]
    fn a_head_is_as_long_as_a_buffer_that_was_too_small_has_told(
        method in token(),
        headers in headers(),
        room in 0..300_usize,
    ) {
        let mut buffer = [0; 2048];
        let length = write_head(&mut buffer, &method, &headers).unwrap();
        let expected = if room < length { Err(WriteError::Full { needed: length }) } else { Ok(length) };
        prop_assert_eq!(write_head(&mut vec![0; room], &method, &headers), expected);
        let request = Request::<16>::parse(&buffer[..length]).unwrap();
        prop_assert_eq!(request.method, method);
        prop_assert_eq!(request.headers.len(), headers.len() + 1);
    }

    #[test]
    fn a_part_of_a_head_needs_more(method in token(), headers in headers()) {
        let mut buffer = [0; 2048];
        let length = write_head(&mut buffer, &method, &headers).unwrap();
        for end in 0..length {
            prop_assert_eq!(HeadScanner::new(2048).scan(&buffer[..end]), Ok(None));
            prop_assert!(Request::<16>::parse(&buffer[..end]).is_err(), "a part is no head");
        }
        prop_assert_eq!(HeadScanner::new(2048).scan(&buffer), Ok(Some(length)));
    }

    #[test]
    fn an_encoded_value_is_as_long_as_its_bytes_say(bytes: Vec<u8>) {
        let kept = bytes.iter().filter(|&&byte| byte == b' ' || target::is_unreserved(byte)).count();
        prop_assert_eq!(target::encode(&bytes).count(), kept + 3 * (bytes.len() - kept));
    }
}

/// What a WebSocket peer has said, messages as they end.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Message(Opcode, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<CloseCode>, Vec<u8>),
}

fn said() -> impl Strategy<Value = Said> {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    let code = prop_oneof![Just(1000_u16), Just(1011), 3000..5000_u16].prop_map(CloseCode);
    prop_oneof![
        4 => bytes(200).prop_map(|payload| Said::Message(Opcode::Binary, payload)),
        1 => bytes(70_000).prop_map(|payload| Said::Message(Opcode::Binary, payload)),
        1 => "[a-zé€😀]{0,40}".prop_map(|text| Said::Message(Opcode::Text, text.into_bytes())),
        1 => bytes(126).prop_map(Said::Ping),
        1 => bytes(126).prop_map(Said::Pong),
        1 => (code, "[a-z€]{0,40}").prop_map(|(code, why)| Said::Close(Some(code), why.into_bytes())),
        1 => Just(Said::Close(None, vec![])),
    ]
}

fn send(role: Role, said: &Said, key: [u8; 4]) -> Vec<u8> {
    let mut sender = Sender::<320>::new(role);
    match said {
        Said::Message(opcode, payload) => {
            let header = sender.data_header(*opcode, true, payload.len() as u64, key);
            let mut bytes = [0; FrameHeader::MAX];
            let size = header.write(&mut bytes);
            assert_eq!(size, header.size(), "the header is as long as predicted");
            let mut payload = payload.clone();
            if let Some(key) = header.mask {
                mask(key, 0, &mut payload);
            }
            return [&bytes[..size], &payload].concat();
        }
        Said::Ping(payload) => sender.ping(payload, key).unwrap(),
        Said::Pong(payload) => sender.pong(payload, key).unwrap(),
        Said::Close(code, reason) => sender.close(*code, str::from_utf8(reason).unwrap(), key).unwrap(),
    }
    sender.outbox().pending().to_vec()
}

fn hear(role: Role, wire: &[u8]) -> Vec<Said> {
    let mut receiver = Receiver::new(role, &Limits::HOST);
    let (mut wire, mut at) = (wire.to_vec(), 0);
    let (mut said, mut message) = (vec![], vec![]);
    loop {
        let Step { consumed, event } = receiver.receive(&mut wire[at..]).expect("no part of it is an error");
        let Some(event) = event else {
            if consumed == 0 {
                return said;
            }
            at += consumed;
            continue;
        };
        let bytes = |range: std::ops::Range<usize>| wire[at + range.start..at + range.end].to_vec();
        match event {
            ws::Event::Data { opcode, range, last, .. } => {
                message.extend(bytes(range));
                if last {
                    said.push(Said::Message(opcode, std::mem::take(&mut message)));
                }
            }
            ws::Event::Ping { range } => said.push(Said::Ping(bytes(range))),
            ws::Event::Pong { range } => said.push(Said::Pong(bytes(range))),
            ws::Event::Close { code, reason } => said.push(Said::Close(code, bytes(reason))),
        }
        at += consumed;
    }
}

proptest! {
    #[test]
    fn a_websocket_frame_is_heard_as_it_was_said_and_no_part_of_it(
        said in said(),
        key: [u8; 4],
        is_client: bool,
        part: prop::sample::Index,
    ) {
        let (role, peer) = if is_client { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
        let wire = send(role, &said, key);
        prop_assert_eq!(hear(peer, &wire), [said]);
        prop_assert_eq!(hear(peer, &wire[..part.index(wire.len())]), []);
        for end in 0..wire.len().min(16) {
            prop_assert_eq!(hear(peer, &wire[..end]), []);
        }
    }

    #[test]
    fn a_stream_is_opened_with_the_headers_that_were_written_and_no_part_of_them(
        fin: bool,
        headers in prop::collection::vec(("[a-z]{1,8}", "[ -~]{0,20}"), 0..5),
        room in 0..200_usize,
        part: prop::sample::Index,
    ) {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let id = StreamId::new(7).unwrap();
        let mut frame = [0; 512];
        let mut writer = HeaderWriter::new();
        let too_small = writer.clone().syn_stream(id, fin, &headers, &mut vec![0; room]);
        let length = writer.syn_stream(id, fin, &headers, &mut frame).unwrap();
        let expected =
            if room < length { Err(spdy::WriteError::NoRoom { needed: length }) } else { Ok(length) };
        prop_assert_eq!(too_small, expected);

        let mut receiver = spdy::Receiver::new(Role::Server, &Limits::HOST, Inflate::<32_768>::new());
        let mut at = 0;
        let event = loop {
            let step = receiver.receive(&frame[at..length]).unwrap();
            at += step.consumed;
            if let Some(event) = step.event {
                break event;
            }
            prop_assert!(step.consumed > 0, "the frame is whole");
        };
        let is_it =
            matches!(event, spdy::Event::SynStream { stream, fin: ends, .. } if stream == id && ends == fin);
        prop_assert!(is_it);
        prop_assert_eq!(at, length);
        let read: Vec<_> = receiver.headers().iter().collect();
        let written: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        prop_assert_eq!(read, written);

        let mut receiver = spdy::Receiver::new(Role::Server, &Limits::HOST, Inflate::<32_768>::new());
        let mut rest = &frame[..part.index(length)];
        loop {
            let step = receiver.receive(rest).unwrap();
            prop_assert_eq!(step.event, None);
            if step.consumed == 0 {
                break;
            }
            rest = &rest[step.consumed..];
        }
    }

    #[test]
    fn a_part_of_a_status_is_none(code: u32, message in "[a-z\"\\\\€\n]{0,30}", is_exit: bool) {
        let mut json = [0; 512];
        let length = if is_exit {
            status::exit_code(code, &mut json).unwrap()
        } else {
            status::failure(404, "NotFound", &message, &mut json).unwrap()
        };
        prop_assert!(length <= status::MIN_OUT || json.len() >= length);
        prop_assert!(Outcome::parse(&json[..length]).is_ok());
        for end in 0..length {
            let error = Outcome::parse(&json[..end]).unwrap_err();
            let is_part =
                matches!(error, StatusError::Empty | StatusError::Truncated | StatusError::NotUtf8 { .. });
            prop_assert!(is_part, "{error}");
        }
    }

    #[test]
    fn a_size_is_fed_as_it_was_written_and_no_part_of_it(columns in 1..=u16::MAX, rows in 1..=u16::MAX) {
        let size = TerminalSize { columns, rows };
        let mut json = [0; TerminalSize::MAX_WRITTEN];
        let length = size.write(&mut json).unwrap();
        let expected = format!("{{\"Width\":{columns},\"Height\":{rows}}}\n");
        prop_assert_eq!(&json[..length], expected.as_bytes());
        prop_assert_eq!(ResizeParser::new().feed(&json[..length]), Some(size));
        for end in 0..length - 1 {
            prop_assert_eq!(ResizeParser::new().feed(&json[..end]), None);
        }
        for room in 0..length {
            prop_assert!(size.write(&mut json[..room]).is_err());
        }
    }
}

#[test]
fn the_longest_size_is_as_long_as_told() {
    let mut json = [0; 64];
    let longest = TerminalSize { columns: u16::MAX, rows: u16::MAX };
    assert_eq!(longest.write(&mut json), Ok(TerminalSize::MAX_WRITTEN));
}

#[test]
fn every_port_is_a_message_and_a_text() {
    for port in 0..=u16::MAX {
        let message = port_message(port);
        assert_eq!(read_port_message(&message), Some(port));
        assert_eq!(read_port_message(&message[..1]), None);
        let digits = port.to_string();
        assert_eq!(parse_port(digits.bytes()), Some(port).filter(|&port| port > 0), "{digits}");
    }
    assert_eq!(read_port_message(&[0; 3]), None);
    assert_eq!(parse_port(*b"65536"), None);
}

#[test]
fn every_channel_of_a_port_is_one_number() {
    for number in 0..=u8::MAX {
        let channel = Channel::new(number);
        let port = PortChannel::of(channel);
        assert_eq!(port.channel(), channel);
        assert_eq!((port.index, port.stream == PortStream::Error), (number / 2, number % 2 == 1));
    }
    for stream in [PortStream::Data, PortStream::Error] {
        assert_eq!(PortStream::from_stream_type(stream.stream_type().as_bytes()), Some(stream));
        assert_ne!(stream.other(), stream);
        assert_eq!(stream.other().other(), stream);
    }
}

#[test]
fn every_channel_is_read_as_it_was_written() {
    for protocol in [Subprotocol::V5, Subprotocol::V4, Subprotocol::V4Base64, Subprotocol::V1Base64] {
        for number in 0..=u8::MAX {
            let channel = Channel::new(number);
            assert_eq!(Channel::from_wire(channel.to_wire(protocol), protocol), channel);
        }
    }
    for number in 0..=4 {
        let name = Channel::new(number).stream_type().unwrap();
        assert_eq!(Channel::from_stream_type(name.as_bytes()), Some(Channel::new(number)));
        assert_eq!(Channel::from_stream_type(&name.as_bytes()[1..]), None);
    }
    assert_eq!(Channel::from_stream_type(b""), None);
}

#[test]
fn every_subprotocol_is_known_by_its_name_alone() {
    let known = [
        Subprotocol::SPDY_CLIENT_OFFER,
        Subprotocol::WEBSOCKET_SERVER,
        Subprotocol::TUNNEL,
        Subprotocol::SPDY_PORT_FORWARD,
    ];
    for protocol in known.concat() {
        let name = protocol.name();
        assert_eq!(Subprotocol::from_name(name), Some(protocol));
        assert_eq!(Subprotocol::from_name(format!("{name} ")), None);
        assert_eq!(Subprotocol::from_name(format!("x{name}")), None);
        if !name.is_empty() {
            assert_eq!(negotiate([name], &[protocol]), Ok(protocol));
            assert_eq!(Subprotocol::from_name(name.to_uppercase()), None, "names are compared exactly");
        }
    }
}

#[test]
fn every_key_that_is_made_is_valid_and_no_part_of_it() {
    for seed in 0..=u8::MAX {
        let key = ws::client_key([seed; 16]);
        assert!(ws::is_valid_key(&key));
        for end in 0..key.len() {
            assert!(!ws::is_valid_key(&key[..end]));
        }
    }
}
