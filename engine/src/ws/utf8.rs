/// Checks that a text that comes in pieces is UTF-8 (RFC 6455 section 8.1).
///
/// Pieces may end inside a character. An error is found at the first byte with which no valid text can go
/// on, in whichever piece it comes: `f4 90` fails at `90` (beyond U+10FFFF) without waiting for more.
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8Validator {
    /// The bytes so far of a character that the last piece did not finish.
    carry: [u8; 3],
    carried: u8,
}

impl Utf8Validator {
    /// At the beginning of a text.
    pub const fn new() -> Self {
        Self { carry: [0; 3], carried: 0 }
    }

    /// Checks the next piece. After an error the validator is of no use but to be replaced.
    #[inline]
    pub fn feed(&mut self, mut piece: &[u8]) -> Result<(), InvalidUtf8> {
        while self.carried != 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            self.resume(byte)?;
            piece = rest;
        }
        self.check(piece)
    }

    /// Checks that the text does not end inside a character, and is ready for the next text.
    pub fn finish(&mut self) -> Result<(), InvalidUtf8> {
        if self.carried == 0 {
            return Ok(());
        }
        let [lead, ..] = self.carry;
        *self = Self::new();
        Err(InvalidUtf8 { lead })
    }

    /// Adds one byte to the character that was begun.
    fn resume(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        let [a, b, c] = self.carry;
        let character = match self.carried {
            1 => &[a, byte][..],
            2 => &[a, b, byte],
            _ => &[a, b, c, byte],
        };
        self.carried = 0;
        self.check(character)
    }

    /// Checks a piece that begins with a character, and keeps an unfinished one at its end.
    fn check(&mut self, piece: &[u8]) -> Result<(), InvalidUtf8> {
        let Err(error) = core::str::from_utf8(piece) else { return Ok(()) };
        let invalid = piece.get(error.valid_up_to()..).unwrap_or_default();
        let carry = match *invalid {
            [a] => [a, 0, 0],
            [a, b] => [a, b, 0],
            [a, b, c, ..] => [a, b, c],
            [] => [0; 3],
        };
        if error.error_len().is_some() {
            let [lead, ..] = carry;
            return Err(InvalidUtf8 { lead });
        }
        self.carry = carry;
        self.carried = invalid.len() as u8;
        Ok(())
    }
}

/// A text is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUtf8 {
    /// First byte of what should have been a character.
    pub lead: u8,
}

impl core::fmt::Display for InvalidUtf8 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "text is not UTF-8 from byte 0x{:02x} on", self.lead)
    }
}

impl core::error::Error for InvalidUtf8 {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn validate(pieces: &[&[u8]]) -> Result<(), InvalidUtf8> {
        let mut validator = Utf8Validator::new();
        for piece in pieces {
            validator.feed(piece)?;
        }
        validator.finish()
    }

    /// Index of the byte at which feeding byte by byte fails.
    fn fails_at(text: &[u8]) -> Option<usize> {
        let mut validator = Utf8Validator::new();
        text.iter().position(|&byte| validator.feed(&[byte]).is_err())
    }

    #[test]
    fn fails_at_the_first_byte_that_no_text_can_contain() {
        let cases: [(&[u8], usize); 12] = [
            (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited", 12),
            (b"\xf4\x90", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xc0\xaf", 0),
            (b"\xc1\xbf", 0),
            (b"\xe0\x9f\xbf", 1),
            (b"\xf0\x8f\xbf\xbf", 1),
            (b"\xf5", 0),
            (b"\xff", 0),
            (b"\x80", 0),
            (b"a\xe2\x82a", 3),
            (b"\xf0\x9f\x92\xc0", 3),
        ];
        for (text, index) in cases {
            assert_eq!(fails_at(text), Some(index), "{text:02x?}");
        }
    }

    #[test]
    fn an_unfinished_character_is_valid_until_the_text_ends() {
        for text in [&b"\xce"[..], b"\xe2\x82", b"\xf0\x9f\x92"] {
            assert_eq!(fails_at(text), None);
            assert_eq!(validate(&[text]), Err(InvalidUtf8 { lead: text[0] }));
        }
    }

    #[test]
    fn finish_makes_ready_for_the_next_text() {
        let mut validator = Utf8Validator::new();
        validator.feed(b"\xe2").unwrap();
        validator.finish().unwrap_err();
        validator.feed(b"a").unwrap();
        validator.finish().unwrap();
    }

    /// Bytes of which many are, or nearly are, UTF-8.
    fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
        let characters = prop_oneof![
            any::<char>().prop_map(|c| { std::string::String::from(c).into_bytes() }),
            any::<char>()
                .prop_map(|c| { std::string::String::from(c).into_bytes()[..c.len_utf8() - 1].to_vec() }),
            any::<u8>().prop_map(|byte| Vec::from([byte])),
            (0xed..0xf6_u8, 0x7f..0xc1_u8).prop_map(|(a, b)| Vec::from([a, b])),
        ];
        prop::collection::vec((0..12_u8, characters), 0..8).prop_map(|parts| {
            parts
                .into_iter()
                .flat_map(|(odds, bytes)| if odds > 3 { Vec::from(*b"ok") } else { bytes })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn agrees_with_the_standard_library_at_every_cut(text in prop_oneof![nearly_text(), any::<Vec<u8>>()]) {
            let standard = core::str::from_utf8(&text);
            let expected = standard.map(|_| ()).map_err(|e| InvalidUtf8 { lead: text[e.valid_up_to()] });
            for cut in 0..=text.len() {
                prop_assert_eq!(validate(&[&text[..cut], &text[cut..]]), expected);
            }
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            prop_assert_eq!(validate(&bytes), expected);
        }
    }
}
