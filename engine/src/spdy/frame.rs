//! Frame headers and the frames without headers: their layout, read and written.
//!
//! ```text
//! bytes        0    1    2    3    4      5    6    7    8 ...
//! control      0x80 0x03 type      flags  length         payload
//! DATA         stream id           flags  length         payload
//!
//! SYN_STREAM   stream id u32, associated id u32, priority << 5 u8, slot u8, header block
//! SYN_REPLY    stream id u32, header block
//! RST_STREAM   stream id u32, status u32
//! SETTINGS     count u32, count x (flags u8, id u24, value u32)
//! PING         id u32
//! GOAWAY       last good stream id u32, status u32
//! HEADERS      stream id u32, header block
//! WINDOW_UPDATE stream id u32, delta u32
//! ```
//!
//! All integers are big-endian (SPDY/3.1 draft section 2.2).

use core::fmt;
use core::num::NonZeroU32;

/// Bytes of the header of any frame, and of a whole DATA frame without payload.
pub const DATA_HEADER: usize = 8;
/// Largest payload of any frame: the length field has 24 bits.
pub const MAX_LENGTH: u32 = 0x00ff_ffff;
/// The version field of every control frame that is sent. What is received is not checked, as upstream.
pub const VERSION: u16 = 3;

/// Opens a stream (SPDY/3.1 draft section 2.6.1).
pub const SYN_STREAM: u16 = 1;
/// Accepts a stream (section 2.6.2).
pub const SYN_REPLY: u16 = 2;
/// Ends both halves of a stream (section 2.6.3).
pub const RST_STREAM: u16 = 3;
/// Ignored in this dialect (section 2.6.4).
pub const SETTINGS: u16 = 4;
/// Liveness (section 2.6.5).
pub const PING: u16 = 6;
/// No more streams will be accepted (section 2.6.6).
pub const GOAWAY: u16 = 7;
/// More headers for a stream; never sent by Kubernetes (section 2.6.7).
pub const HEADERS: u16 = 8;
/// Ignored in this dialect (section 2.6.8).
pub const WINDOW_UPDATE: u16 = 9;

/// The sender will send no more on this stream: DATA, `SYN_STREAM`, `SYN_REPLY`, HEADERS.
pub const FLAG_FIN: u8 = 0x01;
/// The acceptor will send nothing on this stream: `SYN_STREAM`.
pub const FLAG_UNIDIRECTIONAL: u8 = 0x02;

/// The first eight bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameHeader {
    /// A data frame. `stream` is as received: 31 bits, and possibly zero.
    Data {
        /// The stream id field.
        stream: u32,
        /// Whether `FLAG_FIN` is set; the other flags mean nothing.
        fin: bool,
        /// Payload bytes.
        length: u32,
    },
    /// A control frame, of whatever version.
    Control {
        /// The type field.
        kind: u16,
        /// All flags.
        flags: u8,
        /// Payload bytes.
        length: u32,
    },
}

impl FrameHeader {
    /// Reads the header; every pattern of bits is one.
    #[inline]
    pub const fn parse(bytes: &[u8; DATA_HEADER]) -> Self {
        let word = u64::from_be_bytes(*bytes);
        let first = (word >> 32) as u32;
        let flags = (word >> 24) as u8;
        let length = word as u32 & MAX_LENGTH;
        if first & CONTROL_BIT == 0 {
            Self::Data { stream: first, fin: flags & FLAG_FIN != 0, length }
        } else {
            Self::Control { kind: first as u16, flags, length }
        }
    }

    /// Writes the header; `length` counts with its lower 24 bits.
    #[inline]
    pub const fn emit(self) -> [u8; DATA_HEADER] {
        self.word().to_be_bytes()
    }

    const fn word(self) -> u64 {
        let (first, flags, length) = match self {
            Self::Data { stream, fin, length } => (stream & !CONTROL_BIT, fin as u8 * FLAG_FIN, length),
            Self::Control { kind, flags, length } => {
                (CONTROL_BIT | (VERSION as u32) << 16 | kind as u32, flags, length)
            }
        };
        (first as u64) << 32 | (flags as u64) << 24 | (length & MAX_LENGTH) as u64
    }
}

const CONTROL_BIT: u32 = 1 << 31;

/// The header of a DATA frame. Counts with the lower 24 bits of `length` ([`MAX_LENGTH`]); `fin` with
/// length 0 is the half-close as upstream sends it.
#[inline]
pub const fn data_header(stream: StreamId, fin: bool, length: u32) -> [u8; DATA_HEADER] {
    FrameHeader::Data { stream: stream.get(), fin, length }.emit()
}

/// A whole `RST_STREAM` frame.
pub const fn rst_stream(stream: StreamId, status: RstStatus) -> [u8; 16] {
    pair(RST_STREAM, stream.get(), status.0)
}

/// A whole PING frame; the answer to a PING is the identical frame.
pub const fn ping(id: u32) -> [u8; 12] {
    let header = FrameHeader::Control { kind: PING, flags: 0, length: 4 };
    let [ping @ .., _, _, _, _] = ((header.word() as u128) << 64 | (id as u128) << 32).to_be_bytes();
    ping
}

/// A whole GOAWAY frame. `last_good` is the highest stream id of the peer that was accepted, if any; a
/// peer reads nothing that is sent behind this frame.
pub const fn goaway(last_good: Option<StreamId>, status: GoawayStatus) -> [u8; 16] {
    let last_good = match last_good {
        Some(stream) => stream.get(),
        None => 0,
    };
    pair(GOAWAY, last_good, status.0)
}

const fn pair(kind: u16, first: u32, second: u32) -> [u8; 16] {
    let header = FrameHeader::Control { kind, flags: 0, length: 8 };
    ((header.word() as u128) << 64 | (first as u128) << 32 | second as u128).to_be_bytes()
}

/// Identifies a stream of a connection: 31 bits, never zero. Clients open odd ones, servers even ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(NonZeroU32);

impl StreamId {
    /// The highest one.
    pub const MAX: Self = match Self::new(0x7fff_ffff) {
        Some(id) => id,
        None => unreachable!(),
    };

    /// The stream of this number, unless it is zero or has more than 31 bits.
    #[inline]
    pub const fn new(id: u32) -> Option<Self> {
        match NonZeroU32::new(id) {
            Some(id) if id.get() & CONTROL_BIT == 0 => Some(Self(id)),
            _ => None,
        }
    }

    /// Its number.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a stream was reset (SPDY/3.1 draft section 2.4.2).
///
/// Upstream takes a received `RST_STREAM` of any status as the plain end of the stream, and the normal end
/// of an exec session is one with CANCEL: a status is no error by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RstStatus(pub u32);

impl RstStatus {
    /// A generic protocol error.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// A frame for a stream that is not active.
    pub const INVALID_STREAM: Self = Self(2);
    /// Refused before any processing.
    pub const REFUSED_STREAM: Self = Self(3);
    /// The version is not supported.
    pub const UNSUPPORTED_VERSION: Self = Self(4);
    /// Not needed any more; what Kubernetes rejects and ends streams with.
    pub const CANCEL: Self = Self(5);
    /// The sender failed.
    pub const INTERNAL_ERROR: Self = Self(6);
    /// Flow control was violated; has no use in this dialect.
    pub const FLOW_CONTROL_ERROR: Self = Self(7);
    /// A second `SYN_REPLY`.
    pub const STREAM_IN_USE: Self = Self(8);
    /// A frame for a half that is closed.
    pub const STREAM_ALREADY_CLOSED: Self = Self(9);
    /// Credentials do not fit the request.
    pub const INVALID_CREDENTIALS: Self = Self(10);
    /// A frame too large to process.
    pub const FRAME_TOO_LARGE: Self = Self(11);
}

impl fmt::Display for RstStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::PROTOCOL_ERROR => "PROTOCOL_ERROR",
            Self::INVALID_STREAM => "INVALID_STREAM",
            Self::REFUSED_STREAM => "REFUSED_STREAM",
            Self::UNSUPPORTED_VERSION => "UNSUPPORTED_VERSION",
            Self::CANCEL => "CANCEL",
            Self::INTERNAL_ERROR => "INTERNAL_ERROR",
            Self::FLOW_CONTROL_ERROR => "FLOW_CONTROL_ERROR",
            Self::STREAM_IN_USE => "STREAM_IN_USE",
            Self::STREAM_ALREADY_CLOSED => "STREAM_ALREADY_CLOSED",
            Self::INVALID_CREDENTIALS => "INVALID_CREDENTIALS",
            Self::FRAME_TOO_LARGE => "FRAME_TOO_LARGE",
            Self(status) => return write!(f, "status {status}"),
        })
    }
}

/// Why a connection goes away (SPDY/3.1 draft section 2.6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GoawayStatus(pub u32);

impl GoawayStatus {
    /// A normal end.
    pub const OK: Self = Self(0);
    /// A generic protocol error.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// The sender failed.
    pub const INTERNAL_ERROR: Self = Self(2);
}

impl fmt::Display for GoawayStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::OK => "OK",
            Self::PROTOCOL_ERROR => "PROTOCOL_ERROR",
            Self::INTERNAL_ERROR => "INTERNAL_ERROR",
            Self(status) => return write!(f, "status {status}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stream_ids_have_31_bits_and_are_not_zero() {
        assert_eq!(StreamId::new(0), None);
        assert_eq!(StreamId::new(0x8000_0001), None);
        assert_eq!(StreamId::new(0x7fff_ffff), Some(StreamId::MAX));
        assert_eq!(StreamId::new(9).unwrap().get(), 9);
        assert_eq!(size_of::<Option<StreamId>>(), 4);
    }

    #[test]
    fn a_length_of_more_than_24_bits_cannot_spoil_the_flags() {
        let header = data_header(StreamId::MAX, false, 0xff00_0005);
        assert_eq!(header, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 5]);
    }

    proptest! {
        #[test]
        fn headers_survive_the_round_trip(stream in 1..=0x7fff_ffff_u32, fin: bool, kind: u16, flags: u8, length in 0..=MAX_LENGTH) {
            let data = FrameHeader::Data { stream, fin, length };
            prop_assert_eq!(FrameHeader::parse(&data.emit()), data);
            prop_assert_eq!(data_header(StreamId::new(stream).unwrap(), fin, length), data.emit());
            let control = FrameHeader::Control { kind, flags, length };
            prop_assert_eq!(FrameHeader::parse(&control.emit()), control);
        }
    }
}
