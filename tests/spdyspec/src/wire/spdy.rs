//! SPDY/3.1 frames as bytes, good ones and bad ones.
//!
//! ```text
//! control  80 03 | type u16 | flags u8 | length u24 | payload
//! DATA     stream id u32    | flags u8 | length u24 | payload
//! ```

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::http;
use crate::case::Stop;

/// What a header block begins with before its first byte (SPDY/3.1 draft section 2.6.10.1).
pub(crate) const DICTIONARY: &[u8] = include_bytes!("../dictionary.bin");

pub(crate) const SYN_STREAM: u16 = 1;
pub(crate) const SYN_REPLY: u16 = 2;
pub(crate) const RST_STREAM: u16 = 3;
pub(crate) const SETTINGS: u16 = 4;
pub(crate) const PING: u16 = 6;
pub(crate) const GOAWAY: u16 = 7;
pub(crate) const HEADERS: u16 = 8;
pub(crate) const WINDOW_UPDATE: u16 = 9;

pub(crate) const FIN: u8 = 1;

/// Headers of a stream.
pub(crate) type Headers = Vec<(String, String)>;

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    SynStream { id: u32, associated: u32, flags: u8, headers: Headers },
    SynReply { id: u32, flags: u8, headers: Headers },
    Headers { id: u32 },
    Rst { id: u32, status: u32 },
    Ping(u32),
    GoAway { last: u32, status: u32 },
    WindowUpdate,
    Settings,
    Unknown(u16),
    Data { id: u32, fin: bool, bytes: Vec<u8> },
}

/// One end of a SPDY connection that does as it is told.
pub(crate) struct Connection {
    pub(crate) io: TcpStream,
    input: Vec<u8>,
    deflate: Compress,
    inflate: Decompress,
}

impl Connection {
    /// On an upgraded connection; `behind` came with the last head.
    pub(crate) fn new(io: TcpStream, behind: Vec<u8>) -> Self {
        Self { io, input: behind, deflate: compressor(9, 15), inflate: Decompress::new(true) }
    }

    /// Writes bytes as they are. What a peer that is gone does not take shows when it is read from.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes);
    }

    /// Writes byte by byte, each in a segment of its own.
    pub(crate) fn trickle(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write(&[*byte]);
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// The header block of these headers, in this direction's context.
    pub(crate) fn block(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
        let raw = plain(headers);
        self.compress(&raw)
    }

    /// `raw` compressed in this direction's context, with the sync flush that ends a block.
    pub(crate) fn compress(&mut self, raw: &[u8]) -> Vec<u8> {
        compress(&mut self.deflate, raw, FlushCompress::Sync)
    }

    /// Compresses from now on in another way.
    pub(crate) fn compress_with(&mut self, deflate: Compress) {
        self.deflate = deflate;
    }

    pub(crate) fn syn_stream(&mut self, id: u32, flags: u8, headers: &[(&str, &str)]) -> Vec<u8> {
        let block = self.block(headers);
        opening(id, flags, &block)
    }

    pub(crate) fn syn_reply(&mut self, id: u32, flags: u8, headers: &[(&str, &str)]) -> Vec<u8> {
        let block = self.block(headers);
        control(SYN_REPLY, flags, &[&id.to_be_bytes(), &block[..]].concat())
    }

    /// The next frame. Its header block, if it has one, is inflated in the order of the wire.
    pub(crate) fn next_until(&mut self, deadline: Instant) -> Result<Frame, Stop> {
        while self.input.len() < 8 {
            http::read(&mut self.io, &mut self.input, deadline)?;
        }
        let length = u32::from_be_bytes([0, self.input[5], self.input[6], self.input[7]]) as usize;
        while self.input.len() < 8 + length {
            http::read(&mut self.io, &mut self.input, deadline)?;
        }
        let payload: Vec<u8> = self.input.drain(..8 + length).collect();
        let (header, payload) = payload.split_at(8);
        let word = |at: usize| match payload.get(at..at + 4) {
            Some(word) => Ok(u32::from_be_bytes([word[0], word[1], word[2], word[3]])),
            None => Err(Stop::Saw("a frame that is too short".into())),
        };
        let flags = header[4];
        if header[0] & 0x80 == 0 {
            let id = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
            return Ok(Frame::Data { id, fin: flags & FIN != 0, bytes: payload.to_vec() });
        }
        if header[..2] != [0x80, 3] {
            return Err(Stop::Saw(format!("a control frame of version {:02x?}", &header[..2])));
        }
        Ok(match u16::from_be_bytes([header[2], header[3]]) {
            SYN_STREAM => Frame::SynStream {
                id: word(0)?,
                associated: word(4)?,
                flags,
                headers: self.headers(payload.get(10..).unwrap_or_default())?,
            },
            SYN_REPLY => Frame::SynReply { id: word(0)?, flags, headers: self.headers(&payload[4..])? },
            HEADERS => {
                self.headers(&payload[4..])?;
                Frame::Headers { id: word(0)? }
            }
            RST_STREAM => Frame::Rst { id: word(0)?, status: word(4)? },
            SETTINGS => Frame::Settings,
            PING => Frame::Ping(word(0)?),
            GOAWAY => Frame::GoAway { last: word(0)?, status: word(4)? },
            WINDOW_UPDATE => Frame::WindowUpdate,
            other => Frame::Unknown(other),
        })
    }

    fn headers(&mut self, block: &[u8]) -> Result<Headers, Stop> {
        let bad = |what: &str| Stop::Saw(format!("a header block that {what}"));
        let mut plain = Vec::with_capacity(64 * 1024);
        let before = self.inflate.total_in();
        let mut result = self.inflate.decompress_vec(block, &mut plain, FlushDecompress::Sync);
        if result.as_ref().is_err_and(|error| error.needs_dictionary().is_some()) {
            self.inflate.set_dictionary(DICTIONARY).map_err(|_| bad("has another dictionary"))?;
            let taken = (self.inflate.total_in() - before) as usize;
            result = self.inflate.decompress_vec(&block[taken..], &mut plain, FlushDecompress::Sync);
        }
        result.map_err(|error| bad(&format!("does not inflate: {error}")))?;
        parse(&plain).ok_or_else(|| bad("is none"))
    }
}

/// A compressor with the dictionary.
pub(crate) fn compressor(level: u32, window_bits: u8) -> Compress {
    let mut deflate = Compress::new_with_window_bits(Compression::new(level), true, window_bits);
    deflate.set_dictionary(DICTIONARY).expect("a new compressor takes a dictionary");
    deflate
}

/// `raw` through `deflate`.
pub(crate) fn compress(deflate: &mut Compress, raw: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + 1024);
    let mut rest = raw;
    loop {
        let before = deflate.total_in();
        let written = out.len();
        deflate.compress_vec(rest, &mut out, flush).expect("a compressor does not fail");
        rest = &rest[(deflate.total_in() - before) as usize..];
        if rest.is_empty() && out.len() < out.capacity() {
            return out;
        }
        assert!(out.len() > written || !rest.is_empty(), "a compressor goes on");
        out.reserve(64 * 1024);
    }
}

/// A header block before compression.
pub(crate) fn plain(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut raw = (headers.len() as u32).to_be_bytes().to_vec();
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        raw.extend((text.len() as u32).to_be_bytes());
        raw.extend(text.as_bytes());
    }
    raw
}

fn parse(plain: &[u8]) -> Option<Headers> {
    let (count, mut rest) = plain.split_first_chunk::<4>()?;
    let mut text = || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (text, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = behind;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let count = u32::from_be_bytes(*count);
    let headers = (0..count).map(|_| Some((text()?, text()?))).collect::<Option<Headers>>()?;
    rest.is_empty().then_some(headers)
}

/// A control frame.
pub(crate) fn control(kind: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&[0x80, 3], &kind.to_be_bytes()[..], &[flags], &length[1..], payload].concat()
}

/// A `SYN_STREAM` around a header block.
pub(crate) fn opening(id: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    control(SYN_STREAM, flags, &[&id.to_be_bytes()[..], &[0; 6], block].concat())
}

/// A control frame of two words.
pub(crate) fn words(kind: u16, first: u32, second: u32) -> Vec<u8> {
    control(kind, 0, &[first.to_be_bytes(), second.to_be_bytes()].concat())
}

pub(crate) fn rst(id: u32, status: u32) -> Vec<u8> {
    words(RST_STREAM, id, status)
}

pub(crate) fn ping(id: u32) -> Vec<u8> {
    control(PING, 0, &id.to_be_bytes())
}

pub(crate) fn goaway(last: u32, status: u32) -> Vec<u8> {
    words(GOAWAY, last, status)
}

pub(crate) fn data(id: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&id.to_be_bytes()[..], &[flags], &length[1..], payload].concat()
}

/// A SETTINGS frame that says it has `count` entries.
pub(crate) fn settings(count: u32, entries: &[(u32, u32)]) -> Vec<u8> {
    let entries = entries.iter().flat_map(|(id, value)| [id.to_be_bytes(), value.to_be_bytes()]);
    control(SETTINGS, 0, &[count.to_be_bytes()].into_iter().chain(entries).flatten().collect::<Vec<u8>>())
}
