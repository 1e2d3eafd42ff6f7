use strait::k8s::Channel;
use strait::leg::{Close, Framing, TunnelLeg};
use strait::ws::{CloseCode, FrameHeader, MaskKeys, Opcode, Sender, mask};
use strait::{Limits, Role};

use crate::script::Script;
use crate::ws_differential::{Seen, Theirs, read_by_tungstenite};

/// What the engine sends, act by act, read by `tungstenite`: it takes all of it, and gets what was said. The low half of
/// the first byte of an act says what, the high half how.
///
/// | low half | act | high half | arguments |
/// |---|---|---|---|
/// | 0 | a frame of data | 1 unfinished, 2 text | length u16 |
/// | 1 | a ping | - | length u8 |
/// | 2 | a pong | - | length u8 |
/// | 3 | a Close | which code | length of the reason u8 |
/// | 4 | what waits is written | - | - |
///
/// The options: bit 0 the role, bit 1 whether a leg of a tunnel sends, which draws its own keys, or a bare sender.
///
/// # Panics
/// If it refuses something, or reads something else.
pub fn ws_sender(data: &[u8]) {
    let &[options, ref script @ ..] = data else { return };
    let role = if options & 1 == 0 { Role::Client } else { Role::Server };
    let script = Script(script);
    let (wire, said) = match (options & 2, role) {
        (0, _) => by_sender(role, script),
        (_, Role::Client) => by_leg(&mut TunnelLeg::client(&Limits::HOST, MaskKeys::new([7; 16])), script),
        (_, Role::Server) => by_leg(&mut TunnelLeg::server(&Limits::HOST), script),
    };
    let peer = if role == Role::Client { Role::Server } else { Role::Client };
    let (read, end) = read_by_tungstenite(peer, &wire);
    assert!(matches!(end, Theirs::NeedsMore), "refused: {end:?}");
    assert_eq!(read, said);
}

/// A payload that is a text, too.
fn letters(len: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(len).collect()
}

fn code(how: u8) -> Option<CloseCode> {
    // 1005 and 999 may not be sent: the Close is then without a code.
    [None, Some(1000), Some(1001), Some(1002), Some(1011), Some(3000), Some(4999), Some(1005), Some(999)]
        .get(usize::from(how))
        .copied()
        .unwrap_or(Some(1009))
        .map(CloseCode)
}

fn by_sender(role: Role, mut script: Script<'_>) -> (Vec<u8>, Vec<Seen>) {
    let mut sender = Sender::<320>::new(role);
    let (mut wire, mut said) = (vec![], vec![]);
    // Control frames that wait: they are on the wire when they are written.
    let mut waiting = vec![];
    let mut message: Option<(bool, Vec<u8>)> = None;
    let mut number = 0_u32;
    while let Some((what, how)) = script.act() {
        number = number.wrapping_mul(0x9e37_79b9).wrapping_add(1);
        let key = number.to_be_bytes();
        match what {
            0 if !sender.is_closing() => {
                let mut payload = letters(script.number().into());
                let begins = message.is_none();
                let (is_text, bytes) = message.get_or_insert((how & 2 != 0, vec![]));
                bytes.extend_from_slice(&payload);
                let opcode = match (begins, *is_text) {
                    (false, _) => Opcode::Continuation,
                    (true, true) => Opcode::Text,
                    (true, false) => Opcode::Binary,
                };
                let header = sender.data_header(opcode, how & 1 == 0, payload.len() as u64, key);
                let mut bytes = [0; FrameHeader::MAX];
                let size = header.write(&mut bytes);
                if let Some(key) = header.mask {
                    mask(key, 0, &mut payload);
                }
                wire.extend_from_slice(&bytes[..size]);
                wire.extend_from_slice(&payload);
                if how & 1 == 0
                    && let Some((is_text, bytes)) = message.take()
                {
                    said.push(if is_text { Seen::Text(bytes) } else { Seen::Binary(bytes) });
                }
            }
            1 | 2 => {
                let payload = letters(script.byte().into());
                let was_closing = sender.is_closing();
                let queued = if what == 1 { sender.ping(&payload, key) } else { sender.pong(&payload, key) };
                assert!(queued.is_ok() || payload.len() > 125 || !sender.outbox().is_empty());
                if queued.is_ok() && !was_closing {
                    waiting.push(if what == 1 { Seen::Ping(payload) } else { Seen::Pong(payload) });
                }
            }
            3 => {
                let was_closing = sender.is_closing();
                let reason = letters(script.byte().into());
                let reason = str::from_utf8(&reason).expect("letters");
                sender.close(code(how), reason, key).expect("there is always room for a Close");
                if !was_closing {
                    let sent = code(how).filter(|code| code.is_valid_on_wire());
                    waiting.push(Seen::Close(sent.map(|code| code.0)));
                }
            }
            _ => {
                wire.extend_from_slice(sender.outbox().pending());
                let count = sender.outbox().pending().len();
                sender.outbox_mut().sent(count);
                said.append(&mut waiting);
            }
        }
    }
    wire.extend_from_slice(sender.outbox().pending());
    said.append(&mut waiting);
    (wire, said)
}

fn by_leg(leg: &mut impl Framing, mut script: Script<'_>) -> (Vec<u8>, Vec<Seen>) {
    let (mut wire, mut said) = (vec![], vec![]);
    let mut close = Close::Normal;
    while let Some((what, how)) = script.act() {
        match what {
            0 => {
                let payload = letters(script.number().into());
                let room = leg.header_max(payload.len());
                let mut buffer = vec![0xee; room + payload.len()];
                buffer[room..].copy_from_slice(&payload);
                let range = room..room + payload.len();
                let start = leg.frame(Channel::BYTES, false, &mut buffer, range).expect("it may send");
                wire.extend_from_slice(&buffer[start..]);
                if !payload.is_empty() {
                    said.push(Seen::Binary(payload));
                }
            }
            3 => {
                close = if how & 1 == 0 { Close::GoingAway } else { Close::Internal };
                break;
            }
            _ => {
                leg.ping();
                // Go clients count nothing but pongs.
                said.extend([Seen::Ping(vec![]), Seen::Pong(vec![])]);
                write(leg, &mut wire);
            }
        }
    }
    leg.close(close);
    write(leg, &mut wire);
    said.push(Seen::Close(Some(close.code().0)));
    assert_eq!(leg.frame(Channel::BYTES, false, &mut [0; 64], 32..64), None, "data behind the Close");
    (wire, said)
}

fn write(leg: &mut impl Framing, wire: &mut Vec<u8>) {
    wire.extend_from_slice(leg.pending());
    leg.sent(leg.pending().len());
}
