//! The WebSocket protocol, [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455), both roles, without extensions.
//!
//! One frame (section 5.2); lengths and codes are big-endian:
//!
//! ```text
//!  bit 0     1..3   4..7      8      9..15      then               then       then
//! +-----+--------+--------+------+-----------+------------------+---------+---------+
//! | FIN | RSV 0  | opcode | MASK | len 0-125 |        -         | key, if | payload |
//! |     |        |        |      |    126    | 16 bits of len   | MASK: 4 |         |
//! |     |        |        |      |    127    | 64 bits of len   | bytes   |         |
//! +-----+--------+--------+------+-----------+------------------+---------+---------+
//! opcode: 0 continuation, 1 text, 2 binary; control frames: 8 close, 9 ping, 10 pong
//! payload of a close frame: nothing, or code (2 bytes) and reason (0 to 123 bytes of UTF-8)
//! ```
//!
//! [`Receiver`] turns received bytes into [`Event`]s. It unmasks where the bytes lie and reports payload
//! as it arrives, so a frame of any length passes through a buffer of any size that holds a control
//! frame ([`CONTROL_FRAME_BYTES`]). [`Sender`] makes headers and control frames. [`accept_key`] and its
//! neighbours are this protocol's part of the HTTP upgrade.
//!
//! A server that echoes, with one buffer for both directions:
//!
//! ```
//! use strait::ws::{Event, FrameHeader, Opcode, ProtocolError, Receiver, Sender};
//! use strait::{Limits, Role};
//!
//! fn serve(received: &mut [u8], sent: &mut Vec<u8>) -> Result<(), ProtocolError> {
//!     let mut receiver = Receiver::new(Role::Server, &Limits::HOST);
//!     let mut sender: Sender = Sender::new(Role::Server);
//!     let mut at = 0;
//!     while sender.can_answer() {
//!         let input = &mut received[at..];
//!         let step = receiver.receive(input)?;
//!         at += step.consumed;
//!         match step.event {
//!             None if step.consumed == 0 => break, // here a driver reads more
//!             Some(Event::Data { opcode, range, first, last }) => {
//!                 let opcode = if first { opcode } else { Opcode::Continuation };
//!                 let header = sender.data_header(opcode, last, range.len() as u64, [0; 4]);
//!                 let mut bytes = [0; FrameHeader::MAX];
//!                 let size = header.write(&mut bytes);
//!                 sent.extend_from_slice(&bytes[..size]);
//!                 sent.extend_from_slice(&input[range]);
//!             }
//!             Some(Event::Ping { range }) => sender.pong(&input[range], [0; 4]).expect("can answer"),
//!             Some(Event::Close { code, .. }) => sender.close(code, "", [0; 4]).expect("can answer"),
//!             _ => {}
//!         }
//!         let pending = sender.outbox().pending().len();
//!         sent.extend_from_slice(sender.outbox().pending());
//!         sender.outbox_mut().sent(pending);
//!     }
//!     Ok(())
//! }
//!
//! let mut sent = Vec::new();
//! serve(&mut b"\x82\x83\x01\x02\x03\x04`````"[..9].to_vec(), &mut sent).unwrap();
//! assert_eq!(sent, b"\x82\x03abc");
//! ```

mod close;
mod error;
mod frame;
mod handshake;
mod keys;
mod mask;
mod receive;
mod send;
mod utf8;
#[cfg(target_arch = "x86_64")]
mod wide;

pub use close::CloseCode;
pub use error::ProtocolError;
pub use frame::{CONTROL_FRAME_BYTES, CONTROL_PAYLOAD_BYTES, FrameHeader, Opcode};
pub use handshake::{accept_key, client_key, is_valid_key};
pub use keys::{MaskKeys, Masking, NoMask};
pub use mask::mask;
pub use receive::{Event, Receiver};
pub use send::Sender;
pub use utf8::{InvalidUtf8, Utf8Validator};
#[cfg(target_arch = "x86_64")]
pub use wide::{MASK_BLOCK, MaskBlocks, mask_blocks_with};
