use core::ops::Range;

/// Characters that stand for three bytes.
const QUANTUM: usize = 4;

/// Bytes that a quantum stands for.
const BYTES: usize = 3;

/// What pads the last quantum of a text (RFC 4648 section 4).
const PADDING: u8 = b'=';

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The value of each character; [`INVALID`] for all that are not in the alphabet.
const VALUES: [u8; 256] = values();

/// A bit that no value has.
const INVALID: u8 = 0x80;

/// Characters of one round; the bytes that they stand for are fewer, so decoding in place never
/// overtakes what it reads.
const ROUND_TEXT: usize = 64;
const ROUND_BYTES: usize = 48;

/// Characters that `bytes` bytes take, padding included (RFC 4648 section 4).
pub(crate) const fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * QUANTUM
}

/// Most characters that a text has more than the up to `bytes` bytes that it stands for. A text of fewer bytes may
/// grow by more, as the padding of its end counts.
pub(crate) const fn growth_max(bytes: usize) -> usize {
    bytes / 3 + 3
}

/// The longest part of a text of `arrived` characters, `before` of which belong to no payload, that can be
/// decoded without the rest of its quantum.
pub(crate) const fn whole_quanta(before: usize, arrived: usize) -> usize {
    match arrived.checked_sub(before) {
        Some(text) => arrived - text % QUANTUM,
        None => 0,
    }
}

/// True if a text of `chars` characters that stands for `bytes` bytes ends with padding.
pub(crate) const fn is_padded(chars: usize, bytes: usize) -> bool {
    bytes < chars / QUANTUM * 3
}

/// Decodes `buffer[text]` in place and returns where the bytes lie; `None` if it is not base64.
pub(crate) fn decode(buffer: &mut [u8], text: Range<usize>) -> Option<Range<usize>> {
    let (mut read, mut write) = (text.start, text.start);
    while read < text.end {
        let round = ROUND_TEXT.min(text.end - read);
        let mut bytes = [0; ROUND_BYTES];
        let count = decode_round(buffer.get(read..)?.get(..round)?, &mut bytes)?;
        // Fewer bytes than the quanta stand for is the padding of the end.
        if is_padded(round, count) && read + round < text.end {
            return None;
        }
        copy(bytes.get(..count)?, buffer.get_mut(write..)?.get_mut(..count)?);
        read += round;
        write += count;
    }
    Some(text.start..write)
}

/// Encodes `buffer[payload]` so that the text ends where the payload ended, and returns where it starts; `None` if
/// there is not so much room in front.
pub(crate) fn encode(buffer: &mut [u8], payload: Range<usize>) -> Option<usize> {
    let start = payload.end.checked_sub(encoded_len(payload.len()))?;
    let (mut read, mut write) = (payload.start, start);
    while read < payload.end {
        let round = ROUND_BYTES.min(payload.end - read);
        let mut bytes = [0; ROUND_BYTES];
        copy(buffer.get(read..)?.get(..round)?, bytes.get_mut(..round)?);
        let text = buffer.get_mut(write..)?.get_mut(..encoded_len(round))?;
        encode_round(bytes.get(..round)?, text);
        write += text.len();
        read += round;
    }
    Some(start)
}

/// Both have the same length.
fn copy(from: &[u8], to: &mut [u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// Decodes a round and returns how many bytes it stands for.
fn decode_round(text: &[u8], bytes: &mut [u8; ROUND_BYTES]) -> Option<usize> {
    let (quanta, rest) = text.as_chunks::<QUANTUM>();
    let (last, quanta) = quanta.split_last()?;
    if !rest.is_empty() {
        return None;
    }
    let (groups, _) = bytes.as_chunks_mut::<BYTES>();
    let mut groups = groups.iter_mut();
    let mut seen = 0;
    for (quantum, group) in quanta.iter().zip(&mut groups) {
        let [a, b, c, d] = quantum.map(value);
        seen |= a | b | c | d;
        *group = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    }
    let group = groups.next()?;
    // The bits of the padding, and those in front of it that stand for nothing, must be zero.
    let (len, [a, b, c, d]) = match *last {
        [a, b, PADDING, PADDING] => (1, [value(a), value(b), 0, 0]),
        [a, b, c, PADDING] => (2, [value(a), value(b), value(c), 0]),
        whole => (3, whole.map(value)),
    };
    *group = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    let is_whole = group.iter().skip(len).all(|&byte| byte == 0);
    ((seen | a | b | c | d) & INVALID == 0 && is_whole).then_some(quanta.len() * BYTES + len)
}

/// Encodes up to 48 bytes into as many characters as [`encoded_len`] says.
pub(crate) fn encode_round(bytes: &[u8], text: &mut [u8]) {
    let (groups, rest) = bytes.as_chunks::<BYTES>();
    let (quanta, _) = text.as_chunks_mut::<QUANTUM>();
    let mut quanta = quanta.iter_mut();
    for (&[a, b, c], quantum) in groups.iter().zip(&mut quanta) {
        *quantum = [a >> 2, a << 4 | b >> 4, b << 2 | c >> 6, c].map(character);
    }
    match (quanta.next(), rest) {
        (Some(quantum), &[a]) => {
            let [first, second] = [a >> 2, a << 4].map(character);
            *quantum = [first, second, PADDING, PADDING];
        }
        (Some(quantum), &[a, b]) => {
            let [first, second, third] = [a >> 2, a << 4 | b >> 4, b << 2].map(character);
            *quantum = [first, second, third, PADDING];
        }
        _ => {}
    }
}

/// True for a character of the alphabet.
pub(crate) fn is_character(byte: u8) -> bool {
    value(byte) != INVALID
}

/// Of the lowest six bits.
fn character(value: u8) -> u8 {
    // Never out of range, as the optimiser sees too.
    ALPHABET.get(usize::from(value & 0x3f)).copied().unwrap_or(PADDING)
}

fn value(character: u8) -> u8 {
    VALUES.get(usize::from(character)).copied().unwrap_or(INVALID)
}

const fn values() -> [u8; 256] {
    let mut values = [INVALID; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::text_of;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use std::{string::String, vec, vec::Vec};

    fn encoded(bytes: &[u8]) -> String {
        let mut text = vec![0; encoded_len(bytes.len())];
        STANDARD.encode_slice(bytes, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    proptest! {
        #[test]
        fn text_is_made_and_read_in_place(bytes: Vec<u8>, front in 0_usize..9, behind in 0_usize..9) {
            let text = encoded(&bytes);
            let growth = text.len() - bytes.len();
            let mut buffer = vec![7; front + growth];
            buffer.extend_from_slice(&bytes);
            buffer.resize(buffer.len() + behind, 9);
            let end = front + growth + bytes.len();
            let start = encode(&mut buffer, front + growth..end).unwrap();
            prop_assert_eq!(start, front);
            prop_assert_eq!(String::from_utf8_lossy(&buffer[start..end]), text);
            let decoded = decode(&mut buffer, start..end).unwrap();
            prop_assert_eq!(&buffer[decoded], bytes);
            prop_assert!(buffer[..front].iter().all(|&byte| byte == 7));
            prop_assert!(buffer[end..].iter().all(|&byte| byte == 9));
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_taken_as_by_another_decoder(
            text in prop_oneof![
                (text_of("ABQgwZ09+/", 0..12), text_of("=", 0..3)).prop_map(|(text, padding)| text + &padding),
                text_of("ABC=/+ ", 0..9),
                (text_of("ABQgwZ09+/", 120..132), text_of("=", 0..3)).prop_map(|(text, padding)| text + &padding),
            ]
        ) {
            let mut buffer = text.clone().into_bytes();
            let decoded = decode(&mut buffer, 0..text.len()).map(|range| buffer[range].to_vec());
            prop_assert_eq!(decoded, STANDARD.decode(&text).ok());
        }
    }

    #[test]
    fn no_shorter_text_grows_by_more_than_is_told() {
        for most in 0..300 {
            assert!((0..=most).all(|bytes| encoded_len(bytes) - bytes <= growth_max(most)), "{most}");
        }
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in ["Zm9", "Zm9v!A==", "Zg==Zg==", "Zh==", "Z", "===="] {
            let mut buffer = text.as_bytes().to_vec();
            assert_eq!(decode(&mut buffer, 0..text.len()), None, "{text}");
        }
        let long = [encoded(&[1; 46]), encoded(&[2; 3])].concat();
        assert_eq!(decode(&mut long.clone().into_bytes(), 0..long.len()), None, "padding ends the text");
    }

    #[test]
    fn no_character_outside_the_alphabet_is_taken_whatever_stands_beside_it() {
        // In the last quantum of a text, and in one before it.
        for quanta in [1, 2] {
            for wrong in 1..16_u8 {
                let mut text = b"AAAA".repeat(quanta);
                for (at, character) in text.iter_mut().take(QUANTUM).enumerate() {
                    if wrong >> at & 1 == 1 {
                        *character = b'!';
                    }
                }
                assert_eq!(decode(&mut text.clone(), 0..text.len()), None, "{}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn each_character_of_the_alphabet_has_its_place_there_as_its_value() {
        for (byte, value) in (0..=u8::MAX).zip(values()) {
            let place = ALPHABET.iter().position(|&character| character == byte);
            assert_eq!(value, place.map_or(INVALID, |place| place as u8), "{}", char::from(byte));
        }
    }

    #[test]
    fn no_room_in_front_is_told() {
        assert_eq!(encode(&mut [1, 2, 3, 4], 1..4), Some(0));
        assert_eq!(encode(&mut [1, 2, 3], 0..3), None);
    }
}
