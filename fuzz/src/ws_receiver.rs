use strait::ws::{CONTROL_FRAME_BYTES, CloseCode, Event, Opcode, ProtocolError, Receiver};
use strait::{Limits, Role, Step};

use crate::pieces::{Cuts, deliver};

/// What a WebSocket peer sends, whole and cut: the same messages and the same error must come out.
///
/// # Panics
/// If they do not, or if the receiver breaks its contract.
pub fn ws_receiver(data: &[u8]) {
    let &[options, cuts, ref wire @ ..] = data else { return };
    let whole = receive(options, &mut Cuts::None, wire);
    let cut = receive(options, &mut Cuts::new(cuts), wire);
    assert_eq!(whole, cut, "whole and cut");
}

#[derive(Debug, PartialEq)]
enum Seen {
    /// Entered when it ends, so that control frames within it keep their place.
    Message(Opcode, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<CloseCode>, Vec<u8>),
    /// The beginning of a message.
    Unfinished(Vec<u8>),
}

fn receive(options: u8, cuts: &mut Cuts, wire: &[u8]) -> (Vec<Seen>, Result<(), ProtocolError>) {
    let mut receiver = receiver(options);
    let mut seen = vec![];
    let mut message: Option<Vec<u8>> = None;
    let result = deliver(wire, cuts, CONTROL_FRAME_BYTES - 1, |input| {
        let Step { consumed, event } = receiver.receive(input)?;
        let Some(event) = event else { return Ok((consumed > 0).then_some(consumed)) };
        match event {
            Event::Data { opcode, range, first, last } => {
                assert_eq!(first, message.is_none(), "each message has one first piece");
                assert!(last || !range.is_empty(), "an empty piece that is not the last");
                assert!(range.end <= consumed);
                let bytes = message.get_or_insert_default();
                bytes.extend_from_slice(&input[range]);
                if last {
                    seen.push(Seen::Message(opcode, message.take().unwrap_or_default()));
                }
            }
            Event::Ping { range } => seen.push(Seen::Ping(input[..consumed][range].to_vec())),
            Event::Pong { range } => seen.push(Seen::Pong(input[..consumed][range].to_vec())),
            Event::Close { code, reason } => {
                seen.push(Seen::Close(code, input[..consumed][reason].to_vec()));
            }
        }
        Ok(Some(consumed))
    });
    match result {
        Err(error) => {
            assert_eq!(receiver.receive(&mut [0x82, 0x80, 1, 2, 3, 4]), Err(error), "errors are final");
        }
        // How much of a message is reported in front of an error in it depends on the cuts.
        Ok(()) => seen.extend(message.map(Seen::Unfinished)),
    }
    check_texts(options, &seen);
    (seen, result)
}

fn receiver(options: u8) -> Receiver {
    let role = if options & 1 == 0 { Role::Server } else { Role::Client };
    let ws_frame_bytes = if options & 4 == 0 { Limits::HOST.ws_frame_bytes } else { 1000 };
    let receiver = Receiver::new(role, &Limits { ws_frame_bytes, ..Limits::HOST });
    if options & 2 == 0 { receiver } else { receiver.without_utf8_check() }
}

fn check_texts(options: u8, seen: &[Seen]) {
    for item in seen {
        match item {
            Seen::Message(Opcode::Text, text) if options & 2 == 0 => {
                assert!(str::from_utf8(text).is_ok(), "a text that is none");
            }
            Seen::Message(opcode, _) => assert!(!opcode.is_control()),
            Seen::Ping(payload) | Seen::Pong(payload) => assert!(payload.len() <= 125),
            Seen::Close(code, reason) => {
                assert!(code.is_none_or(CloseCode::is_valid_on_wire), "{code:?}");
                assert!(str::from_utf8(reason).is_ok() && reason.len() <= 123);
            }
            Seen::Unfinished(_) => {}
        }
    }
}
