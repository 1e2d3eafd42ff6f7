use core::fmt;

use super::frame::{self, FrameHeader, StreamId};

/// The headers of one `SYN_STREAM`, `SYN_REPLY` or HEADERS frame, inflated and checked.
///
/// ```text
/// count u32, count x (name length u32, name, value length u32, value)
/// ```
///
/// Names are lower-case ASCII. Several values of one name are joined with a NUL byte, and one name may
/// stand in several headers (SPDY/3.1 draft section 2.6.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeaderBlock<'a> {
    /// Everything behind the count.
    headers: &'a [u8],
}

impl<'a> HeaderBlock<'a> {
    /// The headers in the order of the wire.
    pub const fn iter(&self) -> HeaderIter<'a> {
        HeaderIter { rest: self.headers }
    }

    /// The value of the first header with this name, which must be given in lower case.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Checks an inflated block from its first byte to its last, with names and values of at most `longest`
    /// bytes.
    pub(super) fn check(bytes: &'a [u8], longest: u32, rules: HeaderRules) -> Result<Self, HeaderBlockError> {
        let (count, headers) = split_number(bytes).ok_or(HeaderBlockError::Truncated { header: 0 })?;
        if count > rules.headers {
            return Err(HeaderBlockError::TooManyHeaders { count, limit: rules.headers });
        }
        let mut rest = headers;
        for header in 0..count {
            let (name, behind_name) = split_text(rest, header, longest)?;
            check_name(name, header, rules)?;
            (_, rest) = split_text(behind_name, header, longest)?;
        }
        if rest.is_empty() {
            Ok(Self { headers })
        } else {
            Err(HeaderBlockError::Trailing { bytes: rest.len() as u32 })
        }
    }

    /// A block that [`check`](Self::check) has passed.
    pub(super) fn checked(bytes: &'a [u8]) -> Self {
        Self { headers: split_number(bytes).map_or(&[], |(_, headers)| headers) }
    }
}

impl<'a> IntoIterator for &HeaderBlock<'a> {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

/// Iterates over the names and values of a [`HeaderBlock`].
#[derive(Debug, Clone)]
pub struct HeaderIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = split_number(self.rest)?;
        let (name, rest) = rest.split_at_checked(length as usize)?;
        let (length, rest) = split_number(rest)?;
        let (value, rest) = rest.split_at_checked(length as usize)?;
        self.rest = rest;
        Some((str::from_utf8(name).ok()?, value))
    }
}

/// What the headers of a block are checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderRules {
    /// Headers in the block.
    pub headers: u32,
    /// Whether `host` is one of the forbidden names: it is in requests.
    pub forbid_host: bool,
}

/// Names that HTTP needs hop by hop and SPDY forbids (SPDY/3.1 draft section 3.2.1).
const FORBIDDEN: [&str; 4] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding"];
const HOST: &str = "host";

fn check_name(name: &[u8], header: u32, rules: HeaderRules) -> Result<(), HeaderBlockError> {
    if let Some(&byte) = name.iter().find(|byte| !byte.is_ascii() || byte.is_ascii_uppercase()) {
        return Err(HeaderBlockError::NameNotLowerCase { header, byte });
    }
    let host = rules.forbid_host.then_some(HOST);
    match FORBIDDEN.into_iter().chain(host).find(|forbidden| forbidden.as_bytes() == name) {
        Some(name) => Err(HeaderBlockError::ForbiddenName { name }),
        None => Ok(()),
    }
}

fn split_text(bytes: &[u8], header: u32, longest: u32) -> Result<(&[u8], &[u8]), HeaderBlockError> {
    let (length, rest) = split_number(bytes).ok_or(HeaderBlockError::Truncated { header })?;
    if length > longest {
        return Err(HeaderBlockError::HeaderTooLong { header, length, limit: longest });
    }
    rest.split_at_checked(length as usize).ok_or(HeaderBlockError::Truncated { header })
}

fn split_number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

/// What is wrong with a received header block. Fatal for the connection, because the compression context
/// that all later header blocks need is lost (or the peer is not to be trusted with it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderBlockError {
    /// The frame announces more compressed bytes than [`Limits::spdy_block_bytes`](crate::Limits).
    CompressedTooLong {
        /// Announced bytes.
        length: u32,
        /// Allowed bytes.
        limit: u32,
    },
    /// The first two bytes are no zlib header of the deflate method (RFC 1950 section 2.2).
    ZlibHeader {
        /// CMF and FLG.
        bytes: [u8; 2],
    },
    /// The zlib header names another dictionary than that of SPDY/3.
    Dictionary {
        /// The DICTID.
        id: u32,
    },
    /// Not a deflate stream in this context, or it refers back beyond the window that is kept.
    Corrupt,
    /// The peer ended its deflate stream, so no later header block could be read.
    StreamEnded,
    /// The block does not end with a sync flush: more compressed bytes would be needed.
    NotFlushed,
    /// Inflates to more bytes than the block buffer holds.
    InflatedTooLong {
        /// Bytes of the buffer.
        limit: u32,
    },
    /// Announces more headers than [`Limits::spdy_headers`](crate::Limits).
    TooManyHeaders {
        /// Announced headers.
        count: u32,
        /// Allowed headers.
        limit: u32,
    },
    /// Announces a name or value that is longer than the block buffer.
    HeaderTooLong {
        /// Which header, counted from 0.
        header: u32,
        /// Announced bytes.
        length: u32,
        /// Allowed bytes.
        limit: u32,
    },
    /// The inflated bytes end before the announced headers do.
    Truncated {
        /// Which header, counted from 0.
        header: u32,
    },
    /// The inflated bytes go on behind the last header.
    Trailing {
        /// Bytes too many.
        bytes: u32,
    },
    /// A name with an upper-case letter or with a byte outside ASCII.
    NameNotLowerCase {
        /// Which header, counted from 0.
        header: u32,
        /// The first such byte.
        byte: u8,
    },
    /// A header that only makes sense hop by hop, or `host` in a request.
    ForbiddenName {
        /// The name.
        name: &'static str,
    },
}

impl fmt::Display for HeaderBlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CompressedTooLong { length, limit } => {
                write!(f, "{length} compressed bytes are more than {limit}")
            }
            Self::ZlibHeader { bytes: [cmf, flg] } => write!(f, "{cmf:02x} {flg:02x} is no zlib header"),
            Self::Dictionary { id } => write!(f, "unknown zlib dictionary {id:08x}"),
            Self::Corrupt => f.write_str("corrupt deflate data, or a reference beyond the window"),
            Self::StreamEnded => f.write_str("the deflate stream was ended"),
            Self::NotFlushed => f.write_str("does not end with a sync flush"),
            Self::InflatedTooLong { limit } => write!(f, "inflates to more than {limit} bytes"),
            Self::TooManyHeaders { count, limit } => write!(f, "{count} headers are more than {limit}"),
            Self::HeaderTooLong { header, length, limit } => {
                write!(f, "header {header}: a name or value of {length} bytes is longer than {limit}")
            }
            Self::Truncated { header } => write!(f, "ends within header {header}"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes behind the last header"),
            Self::NameNotLowerCase { header, byte } => {
                write!(f, "header {header}: byte {byte:#04x} in a name is not lower-case ASCII")
            }
            Self::ForbiddenName { name } => write!(f, "forbidden header {name}"),
        }
    }
}

impl core::error::Error for HeaderBlockError {}

/// Writes the frames that carry headers. One for each direction of a connection.
///
/// The header blocks of a direction are one zlib stream in the order of the wire. This writer compresses
/// nothing and so needs no state but whether the zlib header was written:
///
/// ```text
/// first block only   78 20 e3 c6 a7 c2      CMF, FLG with FDICT, DICTID
/// stored block       00 LEN NLEN bytes      LEN little-endian, NLEN its complement (RFC 1951 section 3.2.4)
/// sync flush         00 00 00 ff ff         the empty stored block that every reader waits for
/// ```
///
/// Frames must be sent in the order in which they were written.
#[derive(Debug, Clone, Default)]
pub struct HeaderWriter {
    begun: bool,
}

impl HeaderWriter {
    /// The writer of a new connection.
    pub const fn new() -> Self {
        Self { begun: false }
    }

    /// Writes a whole `SYN_STREAM` with priority 0 and no associated stream; returns its length.
    pub fn syn_stream(
        &mut self,
        stream: StreamId,
        fin: bool,
        headers: &[(&str, &str)],
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        const BEHIND_STREAM_ID: [u8; 6] = [0; 6];
        self.write(frame::SYN_STREAM, fin, stream, &BEHIND_STREAM_ID, headers, out)
    }

    /// Writes a whole `SYN_REPLY` without headers, which is what every acceptor answers; returns its length.
    pub fn syn_reply(&mut self, stream: StreamId, out: &mut [u8]) -> Result<usize, WriteError> {
        self.write(frame::SYN_REPLY, false, stream, &[], &[], out)
    }

    /// Writes all of the frame, or fails and leaves the writer as it was.
    fn write(
        &mut self,
        kind: u16,
        fin: bool,
        stream: StreamId,
        fixed: &[u8],
        headers: &[(&str, &str)],
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        let inflated = inflated_length(headers)?;
        let zlib_header: &[u8] = if self.begun { &[] } else { &ZLIB_HEADER };
        let length = 4 + fixed.len() + zlib_header.len() + 5 + usize::from(inflated) + SYNC_FLUSH.len();
        let needed = frame::DATA_HEADER + length;
        let out = out.get_mut(..needed).ok_or(WriteError::NoRoom { needed })?;

        let flags = if fin { frame::FLAG_FIN } else { 0 };
        let header = FrameHeader::Control { kind, flags, length: length as u32 };
        let mut rest = out;
        let mut put = |bytes: &[u8]| {
            let (room, behind) = core::mem::take(&mut rest).split_at_mut_checked(bytes.len())?;
            room.copy_from_slice(bytes);
            rest = behind;
            Some(())
        };
        let mut put_all = || {
            put(&header.emit())?;
            put(&stream.get().to_be_bytes())?;
            put(fixed)?;
            put(zlib_header)?;
            put(&[0])?;
            put(&inflated.to_le_bytes())?;
            put(&(!inflated).to_le_bytes())?;
            put(&(headers.len() as u32).to_be_bytes())?;
            for text in headers.iter().flat_map(|&(name, value)| [name, value]) {
                put(&(text.len() as u32).to_be_bytes())?;
                put(text.as_bytes())?;
            }
            put(&SYNC_FLUSH)
        };
        put_all().ok_or(WriteError::NoRoom { needed })?;
        self.begun = true;
        Ok(needed)
    }
}

/// CMF: deflate, 32 KiB window. FLG: fastest, FDICT. Then the DICTID of the dictionary.
const ZLIB_HEADER: [u8; 6] = [0x78, 0x20, 0xe3, 0xc6, 0xa7, 0xc2];
const SYNC_FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// Length of the uncompressed block, which must fit one stored block.
fn inflated_length(headers: &[(&str, &str)]) -> Result<u16, WriteError> {
    let mut length = 4_usize;
    for (name, value) in headers {
        if name.bytes().any(|byte| !byte.is_ascii() || byte.is_ascii_uppercase()) {
            return Err(WriteError::NameNotLowerCase);
        }
        length = length.saturating_add(8).saturating_add(name.len()).saturating_add(value.len());
    }
    u16::try_from(length).map_err(|_| WriteError::TooLong { length })
}

/// Misuse of a [`HeaderWriter`]; nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// The buffer is shorter than the frame.
    NoRoom {
        /// Bytes of the whole frame.
        needed: usize,
    },
    /// The headers take more than 65,535 bytes.
    TooLong {
        /// Their bytes.
        length: usize,
    },
    /// A name with an upper-case letter or a character outside ASCII, on which a peer drops the connection.
    NameNotLowerCase,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoRoom { needed } => write!(f, "the frame needs {needed} bytes of room"),
            Self::TooLong { length } => write!(f, "{length} bytes of headers do not fit a frame"),
            Self::NameNotLowerCase => f.write_str("a header name is not lower-case ASCII"),
        }
    }
}

impl core::error::Error for WriteError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn rules() -> HeaderRules {
        HeaderRules { headers: 4, forbid_host: true }
    }

    fn stream() -> StreamId {
        StreamId::new(1).unwrap()
    }

    #[test]
    fn headers_are_found_by_name_in_the_order_of_the_wire() {
        let mut block = std::vec![0, 0, 0, 3];
        for (name, value) in [("a", "1\x002"), ("b", ""), ("a", "3")] {
            for text in [name, value] {
                block.extend((text.len() as u32).to_be_bytes());
                block.extend(text.as_bytes());
            }
        }
        let headers = HeaderBlock::check(&block, 100, rules()).unwrap();
        let found: std::vec::Vec<_> = headers.iter().collect();
        assert_eq!(found, [("a", &b"1\x002"[..]), ("b", b""), ("a", b"3")]);
        assert_eq!(headers.get("a"), Some(&b"1\x002"[..]));
        assert_eq!(headers.get("c"), None);
        assert_eq!(HeaderBlock::checked(&block), headers);
    }

    #[test]
    fn every_shorter_block_is_truncated_and_every_longer_one_has_trailing_bytes() {
        let block = b"\0\0\0\x01\0\0\0\x02ab\0\0\0\x01c";
        assert!(HeaderBlock::check(block, 100, rules()).is_ok());
        for end in 0..block.len() {
            let error = HeaderBlock::check(&block[..end], 100, rules()).unwrap_err();
            assert_eq!(error, HeaderBlockError::Truncated { header: 0 }, "cut at {end}");
        }
        let longer = [&block[..], b"x"].concat();
        assert_eq!(HeaderBlock::check(&longer, 100, rules()), Err(HeaderBlockError::Trailing { bytes: 1 }));
    }

    /// Covers: SPDY-2.6.10-2
    #[test]
    fn counts_and_lengths_are_refused_as_soon_as_they_are_read() {
        let error = HeaderBlock::check(&[0xff; 4], 100, rules()).unwrap_err();
        assert_eq!(error, HeaderBlockError::TooManyHeaders { count: u32::MAX, limit: 4 });
        let error = HeaderBlock::check(b"\0\0\0\x01\0\0\0\x65", 100, rules()).unwrap_err();
        assert_eq!(error, HeaderBlockError::HeaderTooLong { header: 0, length: 101, limit: 100 });
    }

    #[test]
    fn names_and_values_are_as_long_as_allowed_and_no_longer() {
        let block = |name: &str, value: &str| {
            let texts =
                [name, value].map(|text| [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat());
            [&[0, 0, 0, 1][..], &texts.concat()].concat()
        };
        assert!(HeaderBlock::check(&block("abcd", "efgh"), 4, rules()).is_ok());
        let too_long = Err(HeaderBlockError::HeaderTooLong { header: 0, length: 5, limit: 4 });
        assert_eq!(HeaderBlock::check(&block("abcde", ""), 4, rules()), too_long);
        assert_eq!(HeaderBlock::check(&block("a", "bcdef"), 4, rules()), too_long);
    }

    #[test]
    fn host_is_forbidden_in_requests_only() {
        let block = b"\0\0\0\x01\0\0\0\x04host\0\0\0\0";
        assert_eq!(
            HeaderBlock::check(block, 100, rules()),
            Err(HeaderBlockError::ForbiddenName { name: "host" })
        );
        assert!(HeaderBlock::check(block, 100, HeaderRules { forbid_host: false, ..rules() }).is_ok());
    }

    #[test]
    fn a_refused_frame_leaves_the_writer_as_it_was() {
        let mut writer = HeaderWriter::new();
        let mut out = [0; 64];
        assert_eq!(writer.syn_reply(stream(), &mut out[..31]), Err(WriteError::NoRoom { needed: 32 }));
        let upper = writer.syn_stream(stream(), false, &[("streamType", "error")], &mut out);
        assert_eq!(upper, Err(WriteError::NameNotLowerCase));
        assert_eq!(writer.syn_reply(stream(), &mut out), Ok(32), "the zlib header is still to be written");
        assert_eq!(writer.syn_reply(stream(), &mut out), Ok(26));
    }

    #[test]
    fn headers_fill_at_most_one_stored_block() {
        let mut out = std::vec![0; 70_000];
        let longest = "x".repeat(usize::from(u16::MAX) - 13);
        let written = HeaderWriter::new().syn_stream(stream(), true, &[("a", &longest)], &mut out);
        assert_eq!(written, Ok(8 + 10 + 6 + 5 + 65_535 + 5));
        let longer: String = longest + "x";
        let written = HeaderWriter::new().syn_stream(stream(), true, &[("a", &longer)], &mut out);
        assert_eq!(written, Err(WriteError::TooLong { length: 65_536 }));
    }
}
