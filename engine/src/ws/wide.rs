use once_cell::race::OnceRef;

use super::mask::mask_by_words;

/// Masks whole blocks of [`MASK_BLOCK`] bytes with `key`, each from the key's first byte on: the multiple of four that a block
/// is lets the key begin anew with each.
pub type MaskBlocks = fn(key: [u8; 4], blocks: &mut [[u8; MASK_BLOCK]]);

/// Bytes of a block: four registers of 32 bytes.
pub const MASK_BLOCK: usize = 128;

static GIVEN: OnceRef<'static, MaskBlocks> = OnceRef::new();

/// From now on, [`mask()`](super::mask()) gives long payloads to `masker`. The first that is given stays; whether this one does, is
/// the answer.
///
/// It is for a driver that has looked at the CPU and may use registers that not every x86-64 has. That takes a detection, for which
/// `core` has no safe way, and `unsafe`, which the engine forbids; the crate `strait-simd` has both. Nothing else depends on it: without one,
/// the registers of every x86-64 are used.
pub fn mask_blocks_with(masker: &'static MaskBlocks) -> bool {
    GIVEN.set(masker).is_ok()
}

/// Masks what is at least [`LONG`], the blocks of it with what was given. Called cold, so that the registers that the call costs its caller are
/// saved next to it and short payload pays for no more than one comparison.
#[cold]
#[inline(never)]
pub(super) fn mask(key: [u8; 4], bytes: &mut [u8]) {
    let Some(masker) = GIVEN.get() else { return mask_by_words(key, bytes) };
    let (blocks, rest) = bytes.as_chunks_mut();
    masker(key, blocks);
    mask_by_words(key, rest);
}

/// Bytes from which on the call costs fewer instructions than it saves.
pub(super) const LONG: usize = 2 * MASK_BLOCK;

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::vec::Vec;

    /// Blocks that [`SLOW`] has masked with a key that no other test has.
    static MASKED: AtomicUsize = AtomicUsize::new(0);
    const KEY: [u8; 4] = [0xd1, 0x05, 0x7e, 0x9c];
    static SLOW: MaskBlocks = |key, blocks| {
        if key == KEY {
            MASKED.fetch_add(blocks.len(), Ordering::Relaxed);
        }
        for (byte, key) in blocks.as_flattened_mut().iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
    };

    /// In one test, because what is given stays.
    #[test]
    fn whole_blocks_of_long_payload_are_masked_by_what_was_given_first() {
        assert!(mask_blocks_with(&SLOW));
        assert!(!mask_blocks_with(&SLOW), "the first one stays");
        for (len, blocks) in
            [(0, 0), (LONG - 1, 0), (LONG, 2), (3 * MASK_BLOCK - 1, 2), (40 * MASK_BLOCK + 7, 40)]
        {
            let before = MASKED.load(Ordering::Relaxed);
            let source: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let mut bytes = source.clone();
            // At offset 1 in its frame, so the key that is given begins elsewhere.
            crate::ws::mask([0x9c, 0xd1, 0x05, 0x7e], 1, &mut bytes);
            let expected: Vec<u8> =
                source.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            assert_eq!(bytes, expected, "{len} bytes");
            assert_eq!(MASKED.load(Ordering::Relaxed) - before, blocks, "{len} bytes");
        }
    }
}
