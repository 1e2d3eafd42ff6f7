/// Bytes of a block.
const BLOCK: usize = 64;

/// What stands behind the message, in front of zeros.
const END: &[u8] = &[0x80];

/// Where the length of the message stands in the last block.
const LENGTH_AT: usize = BLOCK - size_of::<u64>();

/// SHA-1 (RFC 3174) of all `parts`, one behind the other.
///
/// Nothing rests on it but that a server has understood a WebSocket (RFC 6455 section 10.8). Two blocks are hashed for each
/// connection, so it is written for size: unrolled, as the crates have it, it takes 2.5 KB of a microcontroller's flash.
pub(super) fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut block = [0; BLOCK];
    let mut length = 0;
    for part in parts.iter().chain([&END]) {
        for &byte in *part {
            block[length % BLOCK] = byte;
            length += 1;
            if length % BLOCK == 0 {
                compress(&mut state, &block);
                block = [0; BLOCK];
            }
        }
    }
    if length % BLOCK > LENGTH_AT {
        compress(&mut state, &block);
        block = [0; BLOCK];
    }
    // The end is no part of the message.
    let bits = (length - END.len()) as u64 * 8;
    if let Some(place) = block.last_chunk_mut() {
        *place = bits.to_be_bytes();
    }
    compress(&mut state, &block);

    let mut hash = [0; 20];
    for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = u32::to_be_bytes(word);
    }
    hash
}

#[expect(clippy::many_single_char_names, reason = "they are named as in the RFC")]
fn compress(state: &mut [u32; 5], block: &[u8; BLOCK]) {
    // The last 16 words of the schedule.
    let mut words = [0; 16];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for step in 0..80 {
        let [word, second, eighth, thirteenth] = [0, 2, 8, 13].map(|ahead| words[(step + ahead) % 16]);
        // Its place is that of the word 16 steps ahead.
        words[step % 16] = (word ^ second ^ eighth ^ thirteenth).rotate_left(1);
        let (mixed, constant) = match step / 20 {
            0 => (b & c | !b & d, 0x5a82_7999),
            1 => (b ^ c ^ d, 0x6ed9_eba1),
            2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        let next = [mixed, e, constant, word].into_iter().fold(a.rotate_left(5), u32::wrapping_add);
        (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d, e]) {
        *word = word.wrapping_add(add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha1_smol::Sha1;
    use std::vec;

    #[test]
    fn every_length_around_the_ends_of_blocks_is_hashed() {
        for length in 0..3 * BLOCK {
            let message = vec![0xa5; length];
            assert_eq!(sha1(&[&message]), Sha1::from(&message).digest().bytes(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_hashed_as_one_message(one: vec::Vec<u8>, other: vec::Vec<u8>) {
            let whole = [&one[..], &other].concat();
            prop_assert_eq!(sha1(&[&one, &other]), Sha1::from(&whole).digest().bytes());
        }
    }
}
