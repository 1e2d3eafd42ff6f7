//! Queries of request targets: pairs, and percent-encoding as in HTML forms.
//!
//! ```text
//! query = [ pair ] *( "&" [ pair ] )        pair = name [ "=" value ]
//! in names and values: "+" is a space, "%" HEX HEX is a byte
//! ```
//!
//! That is what Go's `url.ParseQuery` reads and `url.QueryEscape` writes, and so every Kubernetes
//! client and server.
//!
//! ```
//! use strait::http::target::{Query, decode, encode_query};
//!
//! let mut buf = [0; 16];
//! let (name, value) = Query::new("command=ls+%2Ftmp&stdout=true").next().expect("a pair");
//! assert_eq!((name, decode(value, &mut buf)?), ("command", "ls /tmp"));
//!
//! let written = encode_query(b"ls /tmp", &mut buf)?;
//! assert_eq!(&buf[..written], b"ls+%2Ftmp");
//! # Ok::<(), strait::http::target::TargetError>(())
//! ```

use core::fmt;

/// Iterates over the `(name, value)` pairs of a query, in order, nothing decoded.
///
/// A pair without `=` has an empty value; empty pairs are skipped. `;` separates nothing.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    rest: &'a str,
}

impl<'a> Query<'a> {
    /// The pairs of `query`, which begins behind the `?` of the target.
    pub const fn new(query: &'a str) -> Self {
        Self { rest: query }
    }
}

impl<'a> Iterator for Query<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let query = self.rest.trim_start_matches('&');
        let (pair, rest) = query.split_once('&').unwrap_or((query, ""));
        self.rest = rest;
        (!pair.is_empty()).then(|| pair.split_once('=').unwrap_or((pair, "")))
    }
}

/// Decodes a name or value of a query into `out` and returns the decoded text.
///
/// `out` needs at most as many bytes as `raw` has.
pub fn decode<'o>(raw: &str, out: &'o mut [u8]) -> Result<&'o str, TargetError> {
    let mut length = 0;
    for byte in Decoded::new(raw) {
        *out.get_mut(length).ok_or(TargetError::Full)? = byte?;
        length += 1;
    }
    str::from_utf8(out.get(..length).unwrap_or_default()).map_err(|_| TargetError::NotUtf8)
}

/// True if `raw` decodes to `expected`; false if it does not decode.
pub fn eq_decoded(raw: &str, expected: &str) -> bool {
    Decoded::new(raw).eq(expected.bytes().map(Ok))
}

/// Writes `value` as a name or value of a query into `out` and returns the number of bytes written.
///
/// Letters, digits and `-_.~` stay, a space becomes `+`, all else `%XX`: at most three bytes for one.
pub fn encode_query(value: &[u8], out: &mut [u8]) -> Result<usize, TargetError> {
    let mut length = 0;
    let mut put = |bytes: &[u8]| {
        let room = out.get_mut(length..).and_then(|room| room.get_mut(..bytes.len()));
        room.ok_or(TargetError::Full)?.copy_from_slice(bytes);
        length += bytes.len();
        Ok(())
    };
    for &byte in value {
        match byte {
            b' ' => put(b"+")?,
            b'-' | b'_' | b'.' | b'~' => put(&[byte])?,
            _ if byte.is_ascii_alphanumeric() => put(&[byte])?,
            _ => put(&[b'%', hex_digit(byte >> 4), hex_digit(byte & 15)])?,
        }
    }
    Ok(length)
}

/// Why a part of a query was not decoded or encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetError {
    /// A `%` without two hexadecimal digits behind it.
    Escape {
        /// Where the `%` stands.
        at: usize,
    },
    /// What was decoded is not UTF-8.
    NotUtf8,
    /// The caller's buffer is too small.
    Full,
}

impl TargetError {
    /// The status code of the answer: 400, or 414 if the buffer was too small.
    pub const fn status(self) -> u16 {
        match self {
            Self::Escape { .. } | Self::NotUtf8 => 400,
            Self::Full => 414,
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Escape { at } => write!(f, "invalid percent-encoding (byte {at})"),
            Self::NotUtf8 => f.write_str("decoded text is not UTF-8"),
            Self::Full => f.write_str("no room for the text"),
        }
    }
}

impl core::error::Error for TargetError {}

/// The bytes that a part of a query stands for.
struct Decoded<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Decoded<'a> {
    const fn new(raw: &'a str) -> Self {
        Self { rest: raw.as_bytes(), at: 0 }
    }
}

impl Iterator for Decoded<'_> {
    type Item = Result<u8, TargetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&first, rest) = self.rest.split_first()?;
        let at = self.at;
        self.rest = rest;
        self.at += 1;
        match first {
            b'+' => Some(Ok(b' ')),
            b'%' => Some(self.escaped().ok_or(TargetError::Escape { at })),
            _ => Some(Ok(first)),
        }
    }
}

impl Decoded<'_> {
    /// The byte behind a `%`.
    fn escaped(&mut self) -> Option<u8> {
        let (&[high, low], rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        self.at += 2;
        Some(hex_value(high)? << 4 | hex_value(low)?)
    }
}

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The upper-case digit of a value below 16.
const fn hex_digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'A' + (value & 15) - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{
        string::{String, ToString},
        vec,
        vec::Vec,
    };

    fn decoded(raw: &str) -> Result<String, TargetError> {
        let mut out = vec![0; raw.len()];
        decode(raw, &mut out).map(ToString::to_string)
    }

    #[test]
    fn pairs_keep_their_order_and_empty_ones_are_skipped() {
        let pairs = |query| Query::new(query).collect::<Vec<_>>();
        assert_eq!(pairs("&ports=9000"), [("ports", "9000")]);
        assert_eq!(pairs("b=1&a=2&&b=3&"), [("b", "1"), ("a", "2"), ("b", "3")]);
        assert_eq!(pairs("a&b=&=c&d=e=f&g;h"), [("a", ""), ("b", ""), ("", "c"), ("d", "e=f"), ("g;h", "")]);
        assert_eq!(pairs(""), []);
        assert_eq!(pairs("&&"), []);
    }

    #[test]
    fn plus_is_a_space_and_escapes_are_bytes() {
        assert_eq!(decoded("echo+a%26b%2b%2B").unwrap(), "echo a&b++");
        assert_eq!(decoded("%C3%a9").unwrap(), "\u{e9}");
        assert_eq!(decoded("").unwrap(), "");
    }

    #[test]
    fn invalid_escapes_are_errors() {
        for raw in ["a%", "a%2", "a%2g", "a%g2", "a%%20", "a%+1", "a% 1"] {
            assert_eq!(decoded(raw), Err(TargetError::Escape { at: 1 }), "{raw}");
            assert!(!eq_decoded(raw, raw));
        }
        assert_eq!(decoded("%41%4"), Err(TargetError::Escape { at: 3 }));
        assert_eq!(decoded("%ff"), Err(TargetError::NotUtf8));
        assert_eq!((TargetError::NotUtf8.status(), TargetError::Full.status()), (400, 414));
    }

    #[test]
    fn decoding_and_encoding_need_their_room() {
        let mut out = [0; 4];
        assert_eq!(decode("%41bcd", &mut out), Ok("Abcd"));
        assert_eq!(decode("%41bcde", &mut out), Err(TargetError::Full));
        assert_eq!(encode_query(b"a/", &mut out), Ok(4));
        assert_eq!(encode_query(b"ab/", &mut out), Err(TargetError::Full));
    }

    #[test]
    fn comparison_decodes() {
        assert!(eq_decoded("%73td+in", "std in") && eq_decoded("", ""));
        assert!(!eq_decoded("stdin", "stdin2") && !eq_decoded("stdin2", "stdin") && !eq_decoded("a", "b"));
    }

    #[test]
    fn unreserved_bytes_are_not_escaped() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let mut out = [0; 3 * 256];
        for byte in all {
            let length = encode_query(&[byte], &mut out).unwrap();
            let unreserved = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            let expected = match byte {
                b' ' => "+".to_string(),
                _ if unreserved => char::from(byte).to_string(),
                _ => std::format!("%{byte:02X}"),
            };
            assert_eq!(str::from_utf8(&out[..length]).unwrap(), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in any::<String>()) {
            let mut raw = vec![0; 3 * text.len()];
            let length = encode_query(text.as_bytes(), &mut raw).unwrap();
            let raw = str::from_utf8(&raw[..length]).unwrap();
            prop_assert_eq!(&decoded(raw).unwrap(), &text);
            prop_assert!(eq_decoded(raw, &text));
            let pairs = Query::new(raw).count();
            prop_assert_eq!(pairs, usize::from(!text.is_empty()), "one pair, whatever is in it");
        }

        #[test]
        fn no_query_panics_and_comparison_agrees_with_decoding(
            query in any::<String>(),
            other in any::<String>(),
        ) {
            for (name, value) in Query::new(&query) {
                prop_assert!(name.len() + value.len() <= query.len());
                match decoded(value) {
                    Ok(text) => {
                        prop_assert!(eq_decoded(value, &text));
                        prop_assert_eq!(eq_decoded(value, &other), text == other);
                    }
                    Err(_) => prop_assert!(!eq_decoded(value, &other)),
                }
            }
        }
    }
}
