use core::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Characters that stand for three bytes.
const QUANTUM: usize = 4;

/// Characters of one round; the bytes that they stand for are fewer, so decoding in place never
/// overtakes what it reads.
const ROUND_TEXT: usize = 64;
const ROUND_BYTES: usize = 48;

/// Characters that `bytes` bytes take, padding included (RFC 4648 section 4).
pub(super) const fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * QUANTUM
}

/// Most characters that a text has more than the up to `bytes` bytes that it stands for. A text of fewer bytes may
/// grow by more, as the padding of its end counts.
pub(super) const fn growth_max(bytes: usize) -> usize {
    bytes / 3 + 3
}

/// The longest part of a text of `arrived` characters, `before` of which belong to no payload, that can be
/// decoded without the rest of its quantum.
pub(super) const fn whole_quanta(before: usize, arrived: usize) -> usize {
    match arrived.checked_sub(before) {
        Some(text) => arrived - text % QUANTUM,
        None => 0,
    }
}

/// True if a text of `chars` characters that stands for `bytes` bytes ends with padding.
pub(super) const fn is_padded(chars: usize, bytes: usize) -> bool {
    bytes < chars / QUANTUM * 3
}

/// Decodes `buffer[text]` in place and returns where the bytes lie; `None` if it is not base64.
pub(super) fn decode(buffer: &mut [u8], text: Range<usize>) -> Option<Range<usize>> {
    let (mut read, mut write) = (text.start, text.start);
    while read < text.end {
        let round = ROUND_TEXT.min(text.end - read);
        let mut bytes = [0; ROUND_BYTES];
        let count = STANDARD.decode_slice(buffer.get(read..read + round)?, &mut bytes).ok()?;
        // Fewer bytes than the quanta stand for is the padding of the end.
        if is_padded(round, count) && read + round < text.end {
            return None;
        }
        buffer.get_mut(write..write + count)?.copy_from_slice(bytes.get(..count)?);
        read += round;
        write += count;
    }
    Some(text.start..write)
}

/// Encodes `buffer[payload]` so that the text ends where the payload ended, and returns where it starts; `None` if
/// there is not so much room in front.
pub(super) fn encode(buffer: &mut [u8], payload: Range<usize>) -> Option<usize> {
    let start = payload.end.checked_sub(encoded_len(payload.len()))?;
    let (mut read, mut write) = (payload.start, start);
    while read < payload.end {
        let round = ROUND_BYTES.min(payload.end - read);
        let mut bytes = [0; ROUND_BYTES];
        bytes.get_mut(..round)?.copy_from_slice(buffer.get(read..read + round)?);
        let text = buffer.get_mut(write..write + encoded_len(round))?;
        write += STANDARD.encode_slice(bytes.get(..round)?, text).ok()?;
        read += round;
    }
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{string::String, vec, vec::Vec};

    fn text_of(bytes: &[u8]) -> String {
        let mut text = vec![0; encoded_len(bytes.len())];
        STANDARD.encode_slice(bytes, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    proptest! {
        #[test]
        fn text_is_made_and_read_in_place(bytes: Vec<u8>, front in 0_usize..9, behind in 0_usize..9) {
            let text = text_of(&bytes);
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
        let long = [text_of(&[1; 46]), text_of(&[2; 3])].concat();
        assert_eq!(decode(&mut long.clone().into_bytes(), 0..long.len()), None, "padding ends the text");
    }

    #[test]
    fn no_room_in_front_is_told() {
        assert_eq!(encode(&mut [1, 2, 3, 4], 1..4), Some(0));
        assert_eq!(encode(&mut [1, 2, 3], 0..3), None);
    }
}
