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
//! use strait::http::target::{Query, decode, encode};
//!
//! let (name, value) = Query::new("command=ls+%2Ftmp&stdout=true").next().expect("a pair");
//! assert_eq!(name, "command");
//! assert!(decode(value).eq(*b"ls /tmp"));
//! assert!(encode(b"ls /tmp").eq(*b"ls+%2Ftmp"));
//! ```

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

/// The bytes that a name or value of a query means. A `%` without two hexadecimal digits behind it stands for
/// itself; [`bad_escape`] finds it.
pub fn decode(raw: &str) -> impl Iterator<Item = u8> + Clone + '_ {
    let mut rest = raw.as_bytes();
    core::iter::from_fn(move || {
        let (&first, behind) = rest.split_first()?;
        let (byte, behind) = match first {
            b'%' => escape(behind).map_or((b'%', behind), |byte| (byte, behind.get(2..).unwrap_or_default())),
            b'+' => (b' ', behind),
            _ => (first, behind),
        };
        rest = behind;
        Some(byte)
    })
}

/// `bytes` as a name or value of a query, so that [`decode`] gives them back, spelled as Go's `url.QueryEscape`
/// does.
pub fn encode(bytes: &[u8]) -> impl Iterator<Item = u8> + Clone + '_ {
    bytes.iter().flat_map(|&byte| {
        let (spelled, len) = match byte {
            b' ' => ([b'+', 0, 0], 1),
            _ if is_unreserved(byte) => ([byte, 0, 0], 1),
            _ => ([b'%', upper_hex(byte >> 4), upper_hex(byte & 15)], 3),
        };
        spelled.into_iter().take(len)
    })
}

/// Offset of the first `%` that begins no escape.
pub fn bad_escape(raw: &str) -> Option<usize> {
    let mut ahead = raw.as_bytes();
    while let Some(at) = ahead.iter().position(|&byte| byte == b'%') {
        let behind = ahead.get(at + 1..).unwrap_or_default();
        if escape(behind).is_none() {
            return Some(raw.len() - behind.len() - 1);
        }
        ahead = behind;
    }
    None
}

/// RFC 3986 section 2.3.
pub const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The byte of the two hexadecimal digits at the front.
fn escape(digits: &[u8]) -> Option<u8> {
    let &[high, low] = digits.first_chunk()?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

const fn upper_hex(nibble: u8) -> u8 {
    match nibble {
        0..10 => b'0' + nibble,
        _ => b'A' + nibble - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{string::String, vec::Vec};

    fn encoded(bytes: &[u8]) -> String {
        String::from_utf8(encode(bytes).collect()).unwrap()
    }

    #[test]
    fn values_are_spelled_as_the_go_client_spells_them() {
        assert_eq!(encoded(b"echo ok; exit 3"), "echo+ok%3B+exit+3");
        assert_eq!(encoded("a+b&c=d/~é%".as_bytes()), "a%2Bb%26c%3Dd%2F~%C3%A9%25");
    }

    #[test]
    fn a_stray_percent_sign_is_found_and_stands_for_itself() {
        for (raw, at) in [("%", 0), ("a%2", 1), ("%41%4g", 3), ("%%41", 0), ("a%25%zz", 4)] {
            assert_eq!(bad_escape(raw), Some(at), "{raw}");
        }
        assert_eq!(bad_escape("a%2Bc%c3%A9"), None);
        assert!(decode("%4g%41%").eq(*b"%4gA%"));
    }

    #[test]
    fn pairs_keep_their_order_and_empty_ones_are_skipped() {
        let pairs: Vec<_> = Query::new("&b=1&&a&b=2=3&").collect();
        assert_eq!(pairs, [("b", "1"), ("a", ""), ("b", "2=3")]);
        assert_eq!(Query::new("").next(), None);
    }

    proptest! {
        #[test]
        fn encoded_bytes_decode_to_themselves(bytes: Vec<u8>) {
            let text = encoded(&bytes);
            prop_assert_eq!(bad_escape(&text), None);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(decode(&text).eq(bytes));
        }
    }
}
