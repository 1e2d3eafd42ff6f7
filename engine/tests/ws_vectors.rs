//! The WebSocket vectors against `strait::ws`.

mod vectors;

use strait::ws::{CloseCode, Event, FrameHeader, Opcode, Receiver, Sender, accept_key, is_valid_key, mask};
use strait::{Limits, Role, Step};
use vectors::Vector;

/// The key of all masked vectors.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn frames() -> Vec<Vector> {
    let frames: Vec<Vector> =
        vectors::all().into_iter().filter(|v| v.id().starts_with("ws.") && v.has("payload")).collect();
    assert_eq!(frames.len(), 21, "every frame is here");
    frames
}

fn vector(id: &str) -> Vector {
    vectors::all().into_iter().find(|v| v.id() == id).unwrap_or_else(|| panic!("no vector {id}"))
}

fn receiver(v: &Vector) -> Receiver {
    Receiver::new(if v.flag("masked") { Role::Server } else { Role::Client }, &Limits::HOST)
}

fn expected_header(v: &Vector) -> FrameHeader {
    FrameHeader {
        fin: v.flag("fin"),
        opcode: u8::try_from(v.number("opcode")).ok().and_then(Opcode::from_wire).expect("an opcode"),
        mask: v.flag("masked").then_some(KEY),
        len: v.bytes("payload").len() as u64,
    }
}

#[test]
fn headers_are_read_and_written_as_they_stand() {
    for v in frames() {
        let wire = v.bytes("hex");
        let header = expected_header(&v);
        assert_eq!(FrameHeader::parse(&wire), Ok(Some((header, header.size()))), "{}", v.id());
        let mut written = [0; FrameHeader::MAX];
        let size = header.write(&mut written);
        assert_eq!(written[..size], wire[..size], "{}", v.id());
        let mut payload = v.bytes("payload");
        mask(header.mask.unwrap_or_default(), 0, &mut payload);
        assert_eq!(payload, wire[size..], "{}", v.id());
    }
}

#[test]
fn frames_are_received_in_one_step() {
    for v in frames() {
        let mut wire = v.bytes("hex");
        let payload = v.bytes("payload");
        let step = receiver(&v).receive(&mut wire).unwrap_or_else(|error| panic!("{}: {error}", v.id()));
        assert_eq!(step.consumed, wire.len(), "{}", v.id());
        let header = expected_header(&v);
        match step.event.unwrap_or_else(|| panic!("{}: no event", v.id())) {
            Event::Data { opcode, range, first: true, last: true } => {
                assert_eq!((opcode, &wire[range]), (header.opcode, &payload[..]), "{}", v.id());
            }
            Event::Ping { range } => {
                assert_eq!((header.opcode, &wire[range]), (Opcode::Ping, &payload[..]), "{}", v.id());
            }
            Event::Pong { range } => {
                assert_eq!((header.opcode, &wire[range]), (Opcode::Pong, &payload[..]), "{}", v.id());
            }
            Event::Close { code, reason } => {
                assert_eq!(header.opcode, Opcode::Close, "{}", v.id());
                assert_eq!(code.map(|code| code.0.to_be_bytes().to_vec()), Some(payload), "{}", v.id());
                assert!(reason.is_empty());
            }
            event @ Event::Data { .. } => panic!("{}: {event:?}", v.id()),
        }
    }
}

#[test]
fn frames_are_received_at_every_cut() {
    for v in frames() {
        let wire = v.bytes("hex");
        for cut in 0..=wire.len() {
            let mut receiver = receiver(&v);
            let mut buffer = wire[..cut].to_vec();
            let mut payload = Vec::new();
            let mut ended = false;
            for more in [&wire[cut..], &[]] {
                loop {
                    let step = receiver.receive(&mut buffer);
                    let Step { consumed, event } = step.unwrap_or_else(|error| panic!("{}: {error}", v.id()));
                    match event {
                        None if consumed == 0 => break,
                        None => {}
                        Some(Event::Data { range, last, .. }) => {
                            payload.extend_from_slice(&buffer[range]);
                            ended |= last;
                        }
                        Some(Event::Ping { range } | Event::Pong { range }) => {
                            payload.extend_from_slice(&buffer[range]);
                            ended = true;
                        }
                        Some(Event::Close { code, .. }) => {
                            payload.extend(code.expect("a code").0.to_be_bytes());
                            ended = true;
                        }
                    }
                    buffer.drain(..consumed);
                }
                buffer.extend_from_slice(more);
            }
            assert!(ended, "{} cut at {cut}", v.id());
            assert_eq!(payload, v.bytes("payload"), "{} cut at {cut}", v.id());
        }
    }
}

#[test]
fn control_frames_are_sent_as_they_stand() {
    let mut client = Sender::<320>::new(Role::Client);
    client.ping(&[], KEY).unwrap();
    assert_eq!(client.outbox().pending(), vector("ws.ping").bytes("hex"));

    let mut server = Sender::<320>::new(Role::Server);
    server.pong(&[], KEY).unwrap();
    assert_eq!(server.outbox().pending(), vector("ws.pong").bytes("hex"));

    let mut server = Sender::<320>::new(Role::Server);
    server.close(Some(CloseCode::NORMAL), "", KEY).unwrap();
    assert_eq!(server.outbox().pending(), vector("ws.close.1000").bytes("hex"));
}

#[test]
fn the_key_is_accepted_as_the_rfc_says() {
    let v = vector("ws.accept");
    let key = v.text("key").as_bytes();
    assert!(is_valid_key(key));
    assert_eq!(&accept_key(key), v.text("accept").as_bytes());
}

#[test]
fn a_server_may_end_its_message_with_an_empty_frame() {
    let v = vector("ws.tunnel.server.32k");
    let mut receiver = Receiver::new(Role::Client, &Limits::HOST);
    let mut wire = v.bytes("hex");
    let header = wire.len();
    wire.resize(header + 32_768, b'd');
    let first = Event::Data { opcode: Opcode::Binary, range: header..wire.len(), first: true, last: false };
    assert_eq!(receiver.receive(&mut wire), Ok(Step::event(header + 32_768, first)));
    let mut trailer = v.bytes("trailer");
    let last = Event::Data { opcode: Opcode::Binary, range: 2..2, first: false, last: true };
    assert_eq!(receiver.receive(&mut trailer), Ok(Step::event(2, last)));
}
