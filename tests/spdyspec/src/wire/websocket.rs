//! WebSocket frames as bytes, good ones and bad ones (RFC 6455 section 5.2).

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::http::{self, Head};
use crate::case::Stop;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// Of the first byte: the message ends here.
pub(crate) const FIN: u8 = 0x80;

/// The key of RFC 6455's example: nothing here has to be secret.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a server has to answer to a key (RFC 6455 section 4.2.2).
pub(crate) fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(sha1_smol::Sha1::from(text).digest().bytes())
}

/// A frame that came.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// FIN, reserved bits and opcode.
    pub(crate) first: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) const fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    /// The code of a Close, or 1005 without one.
    pub(crate) fn code(&self) -> u16 {
        self.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))
    }
}

/// One end of a WebSocket that does as it is told.
pub(crate) struct Socket {
    pub(crate) io: TcpStream,
    input: Vec<u8>,
    limit: Duration,
    /// What this end sends is masked: it is a client.
    masks: bool,
}

impl Socket {
    /// Asks for a WebSocket; the head of the answer is the second part. Any status but 101 is an end.
    pub(crate) fn connect(address: &str, request: &str, limit: Duration) -> Result<(Self, Head), Stop> {
        let (io, head, behind) = http::ask(address, request, limit)?;
        if head.status() != 101 {
            return Err(Stop::Saw(head.status().to_string()));
        }
        if head.get("sec-websocket-accept") != Some(accept(KEY)) {
            return Err(Stop::Saw("101 with a wrong accept key".into()));
        }
        Ok((Self { io, input: behind, limit, masks: true }, head))
    }

    /// The server's end of a connection that was upgraded.
    pub(crate) const fn accepted(io: TcpStream, behind: Vec<u8>, limit: Duration) -> Self {
        Self { io, input: behind, limit, masks: false }
    }

    /// Writes bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes);
    }

    /// Writes one whole message.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.send_frame(FIN | opcode, payload);
    }

    /// Writes one frame with this first byte.
    pub(crate) fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let bytes = frame(first, self.masks, payload);
        self.write(&bytes);
    }

    /// The next frame.
    pub(crate) fn next(&mut self) -> Result<Frame, Stop> {
        let deadline = Instant::now() + self.limit;
        loop {
            if let Some((frame, length)) = parse(&self.input) {
                self.input.drain(..length);
                return Ok(frame);
            }
            http::read(&mut self.io, &mut self.input, deadline)?;
        }
    }
}

/// A frame with this first byte.
pub(crate) fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mask = u8::from(masked) << 7;
    match payload.len() {
        length @ 0..126 => bytes.push(mask | length as u8),
        length @ 126..0x1_0000 => {
            bytes.push(mask | 0x7e);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(mask | 0x7f);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    if masked {
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        bytes.extend(payload);
    }
    bytes
}

fn parse(input: &[u8]) -> Option<(Frame, usize)> {
    let (&[first, second], rest) = input.split_first_chunk()?;
    let (length, mut rest) = match second & 0x7f {
        126 => {
            rest.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?
        }
        127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        short => (u64::from(short), rest),
    };
    let masked = second & 0x80 != 0;
    let mut mask = [0; 4];
    if masked {
        let (key, behind) = rest.split_first_chunk()?;
        (mask, rest) = (*key, behind);
    }
    let (payload, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((Frame { first, masked, payload }, input.len() - behind.len()))
}

/// Standard base64, with padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The opposite; nothing if it is none.
pub(crate) fn from_base64(text: &[u8]) -> Vec<u8> {
    STANDARD.decode(text).unwrap_or_default()
}
