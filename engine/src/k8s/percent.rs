//! Percent-encoding of query values, as `application/x-www-form-urlencoded` has it (`+` is a space).

use super::writer::Writer;
use crate::Full;

/// The bytes that `raw` means. A `%` without two hexadecimal digits behind it stands for itself.
pub(super) fn decode(raw: &str) -> impl Iterator<Item = u8> + Clone + '_ {
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

/// Appends `bytes` so that [`decode`] gives them back, spelled as Go's `url.QueryEscape` does.
pub(super) fn encode(bytes: &[u8], out: &mut Writer<'_>) -> Result<(), Full> {
    for &byte in bytes {
        match byte {
            b' ' => out.bytes(b"+")?,
            _ if is_unreserved(byte) => out.bytes(&[byte])?,
            _ => out.bytes(&[b'%', upper_hex(byte >> 4), upper_hex(byte & 15)])?,
        }
    }
    Ok(())
}

/// Offset of the first `%` that begins no escape.
pub(super) fn bad_escape(raw: &str) -> Option<usize> {
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
pub(super) const fn is_unreserved(byte: u8) -> bool {
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
    use std::vec::Vec;

    fn encoded(bytes: &[u8]) -> std::string::String {
        let mut out = std::vec![0; 3 * bytes.len()];
        let mut writer = Writer::new(&mut out);
        encode(bytes, &mut writer).unwrap();
        str::from_utf8(writer.written()).unwrap().into()
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
