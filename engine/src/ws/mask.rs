/// Masks or unmasks `bytes` where they lie: XORs each with a byte of `key` in turn (RFC 6455 section 5.3).
///
/// `offset` is the place of the first byte in its frame's payload; only its two lowest bits matter. The
/// slice needs no alignment. Works on words of eight bytes, which the compiler joins into vectors. Where a driver has given it something
/// wider, that masks what is long.
#[inline]
pub fn mask(key: [u8; 4], offset: usize, bytes: &mut [u8]) {
    let key = rotate(key, offset);
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= super::wide::LONG {
        return super::wide::mask(key, bytes);
    }
    mask_by_words(key, bytes);
}

/// With the registers of every CPU of this architecture.
#[inline]
pub(super) fn mask_by_words(key: [u8; 4], bytes: &mut [u8]) {
    let word = double(key);
    let (blocks, tail) = bytes.as_chunks_mut::<BLOCK>();
    for block in blocks {
        mask_words(word, block);
    }
    // What is left has each of these once at most, and none where a block is a word.
    let tail = mask_one::<32>(word, tail);
    let tail = mask_one::<16>(word, tail);
    let tail = mask_one::<8>(word, tail);
    // Seven bytes at most, and eight are a multiple of the key's four: the key starts over.
    let (words, tail) = tail.as_chunks_mut();
    if let Some(bytes) = words.first_mut() {
        *bytes = (u32::from_ne_bytes(*bytes) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// Bytes that are masked between two looks at how many are left: a cache line, whose words the compiler then masks without a
/// loop. That takes up to half the time on a host, and code that a microcontroller has no room for.
const BLOCK: usize = if cfg!(target_pointer_width = "64") { 64 } else { 8 };

/// Masks the first `N` bytes, if there are so many, and returns what is behind them.
#[inline]
fn mask_one<const N: usize>(word: u64, bytes: &mut [u8]) -> &mut [u8] {
    let (whole, tail) = bytes.as_chunks_mut::<N>();
    if let Some(whole) = whole.first_mut() {
        mask_words(word, whole);
    }
    tail
}

/// Masks all words of a multiple of eight bytes.
#[inline]
fn mask_words(word: u64, bytes: &mut [u8]) {
    for bytes in bytes.as_chunks_mut().0 {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
}

/// The key as it looks from `offset` bytes into the payload: its byte `offset % 4` first.
#[inline]
pub(super) const fn rotate(key: [u8; 4], offset: usize) -> [u8; 4] {
    u32::from_be_bytes(key).rotate_left(8 * (offset % 4) as u32).to_be_bytes()
}

/// Two keys in a row, as a word in the machine's own byte order.
// Not of eight bytes: the compiler would put them together one by one.
#[inline]
const fn double(key: [u8; 4]) -> u64 {
    let key = u32::from_ne_bytes(key) as u64;
    key << 32 | key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn byte_by_byte(key: [u8; 4], offset: usize, bytes: &[u8]) -> Vec<u8> {
        bytes.iter().enumerate().map(|(i, byte)| byte ^ key[(offset.wrapping_add(i)) % 4]).collect()
    }

    /// Covers: RFC6455-5.3-1
    #[test]
    fn equals_the_byte_loop_at_every_offset_length_and_alignment() {
        let source: Vec<u8> = (0..150_u8).map(|i| i.wrapping_mul(37)).collect();
        for offset in 0..8 {
            for len in 0..=140 {
                for start in 0..8 {
                    let mut bytes = source.clone();
                    mask([0x37, 0xfa, 0x21, 0x3d], offset, &mut bytes[start..start + len]);
                    let expected =
                        byte_by_byte([0x37, 0xfa, 0x21, 0x3d], offset, &source[start..start + len]);
                    assert_eq!(bytes[..start], source[..start], "nothing before the slice changes");
                    assert_eq!(bytes[start..start + len], expected, "offset {offset} length {len}");
                    assert_eq!(bytes[start + len..], source[start + len..], "nothing behind it changes");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn equals_the_byte_loop(key: [u8; 4], offset: usize, source: Vec<u8>) {
            let mut bytes = source.clone();
            mask(key, offset, &mut bytes);
            prop_assert_eq!(&bytes, &byte_by_byte(key, offset, &source));
            mask(key, offset, &mut bytes);
            prop_assert_eq!(bytes, source);
        }

        #[test]
        fn two_pieces_equal_the_whole(key: [u8; 4], source: Vec<u8>, cut: usize) {
            let cut = cut % (source.len() + 1);
            let mut whole = source.clone();
            mask(key, 0, &mut whole);
            let mut pieces = source;
            let (front, back) = pieces.split_at_mut(cut);
            mask(key, 0, front);
            mask(rotate(key, cut), 0, back);
            prop_assert_eq!(pieces, whole);
        }
    }
}
