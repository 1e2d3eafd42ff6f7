use std::io::{self, Read, Write};

use strait::ws::{CONTROL_FRAME_BYTES, CloseCode, Event, Opcode, ProtocolError, Receiver};
use strait::{Limits, Role, Step};
use tungstenite::error::ProtocolError as TheirError;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};

use crate::pieces::{Cuts, deliver};

/// What a WebSocket peer sends, to the engine and to `tungstenite`: both get the same messages out of it, and refuse the same.
///
/// | difference | why |
/// |---|---|
/// | the engine refuses a length in more bytes than it needs | RFC 6455 section 5.2: the minimal number MUST be used; section 5.5: a control frame's length is one byte |
/// | it refuses a length of 2^63 and more by itself | there it is too large for any limit |
/// | it refuses a Close with an invalid code | `tungstenite` refuses it too, and hands out a Close with 1002 |
/// | it takes a Close with 1014 | `tungstenite` does not know it, and hands out 1002 |
/// | it refuses invalid UTF-8 and a bad header at once | `tungstenite` waits for the rest of the frame |
/// | a Close ends the comparison | the engine leaves what follows to its caller; `tungstenite` answers by itself |
///
/// # Panics
/// If they differ in another way.
pub fn ws_differential(data: &[u8]) {
    let &[options, ref wire @ ..] = data else { return };
    let role = if options & 1 == 0 { Role::Server } else { Role::Client };
    let (ours, our_error) = ours(role, wire);
    let (theirs, their_error) = read_by_tungstenite(role, wire);
    if let Some(error) = our_error
        && is_stricter(error)
    {
        assert!(theirs.starts_with(&ours), "{error}: {ours:?}, {theirs:?}");
        return;
    }
    assert_eq!(ours, theirs, "{our_error:?}, {their_error:?}");
    let ended = ours.last().is_some_and(|seen| matches!(seen, Seen::Close(_)));
    match (our_error, their_error) {
        _ if ended => {}
        (None, Theirs::Refused(error)) => panic!("only tungstenite refuses: {error}"),
        (Some(error), Theirs::NeedsMore) if !is_early(error) => panic!("only the engine refuses: {error}"),
        _ => {}
    }
}

/// A code that is registered, and that `tungstenite` does not know.
const BAD_GATEWAY: u16 = 1014;

/// Refused here, and taken there.
const fn is_stricter(error: ProtocolError) -> bool {
    matches!(
        error,
        ProtocolError::LengthNotMinimal(_)
            | ProtocolError::LongControl(_)
            | ProtocolError::LengthTopBit(_)
            | ProtocolError::InvalidCloseCode(_)
    )
}

/// What can be seen before a frame is whole.
const fn is_early(error: ProtocolError) -> bool {
    !matches!(error, ProtocolError::HalfCloseCode)
}

/// A message, as both hand it out.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

fn ours(role: Role, wire: &[u8]) -> (Vec<Seen>, Option<ProtocolError>) {
    let mut receiver = Receiver::new(role, &Limits::HOST);
    let (mut seen, mut message) = (vec![], vec![]);
    let mut closed = false;
    let result = deliver(wire, &mut Cuts::None, CONTROL_FRAME_BYTES - 1, |input| {
        if closed {
            return Ok((!input.is_empty()).then_some(input.len()));
        }
        let Step { consumed, event } = receiver.receive(input)?;
        let Some(event) = event else { return Ok((consumed > 0).then_some(consumed)) };
        let bytes = |range: std::ops::Range<usize>| input[range].to_vec();
        match event {
            Event::Data { opcode, range, last, .. } => {
                message.extend_from_slice(&input[range]);
                if last {
                    let message = std::mem::take(&mut message);
                    let is_text = opcode == Opcode::Text;
                    seen.push(if is_text { Seen::Text(message) } else { Seen::Binary(message) });
                }
            }
            Event::Ping { range } => seen.push(Seen::Ping(bytes(range))),
            Event::Pong { range } => seen.push(Seen::Pong(bytes(range))),
            Event::Close { code, .. } => {
                let known =
                    code.map(|code| if code.0 == BAD_GATEWAY { CloseCode::PROTOCOL_ERROR } else { code });
                seen.push(Seen::Close(known.map(|code| code.0)));
                closed = true;
            }
        }
        Ok(Some(consumed))
    });
    (seen, result.err())
}

/// How `tungstenite` stopped.
#[derive(Debug)]
pub(crate) enum Theirs {
    /// The wire ended first, or with a Close.
    NeedsMore,
    Refused(Error),
}

/// What `tungstenite` reads when it plays `role`.
pub(crate) fn read_by_tungstenite(role: Role, wire: &[u8]) -> (Vec<Seen>, Theirs) {
    let config = WebSocketConfig::default()
        .max_message_size(None)
        .max_frame_size(Some(Limits::HOST.ws_frame_bytes as usize))
        .accept_unmasked_frames(false);
    let role = match role {
        Role::Server => tungstenite::protocol::Role::Server,
        Role::Client => tungstenite::protocol::Role::Client,
    };
    let mut socket = WebSocket::from_raw_socket(Peer(wire), role, Some(config));
    let mut seen = vec![];
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => seen.push(Seen::Text(text.as_bytes().to_vec())),
            Ok(Message::Binary(bytes)) => seen.push(Seen::Binary(bytes.to_vec())),
            Ok(Message::Ping(bytes)) => seen.push(Seen::Ping(bytes.to_vec())),
            Ok(Message::Pong(bytes)) => seen.push(Seen::Pong(bytes.to_vec())),
            Ok(Message::Close(frame)) => {
                seen.push(Seen::Close(frame.map(|frame| frame.code.into())));
                return (seen, Theirs::NeedsMore);
            }
            Ok(Message::Frame(_)) => unreachable!("frames are not handed out"),
            Err(
                Error::ConnectionClosed
                | Error::Io(_)
                | Error::Protocol(TheirError::ResetWithoutClosingHandshake),
            ) => return (seen, Theirs::NeedsMore),
            Err(error) => return (seen, Theirs::Refused(error)),
        }
    }
}

/// A peer that has sent all of this, and takes everything.
struct Peer<'a>(&'a [u8]);

impl Read for Peer<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        Ok(from.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
