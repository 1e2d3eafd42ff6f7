//! WebSocket payload is masked and unmasked with the widest registers that the CPU has, which is looked at once, when the program runs.
//!
//! Every x86-64 has registers of 16 bytes, and those the engine uses. Nearly all have AVX2 with 32, which takes a third of the instructions; but a
//! function that uses them must not be called where they are missing, so the call is `unsafe` and the engine does without. This crate has
//! that one call.
//!
//! Registers of 64 bytes (AVX-512) are left out: valgrind does not know them, so what they cost could not be counted.

/// Has [`strait::ws::mask()`] use AVX2 for long payloads, if the CPU has it; says whether it does from now on.
///
/// For the whole process. Calling it again costs two loads.
pub fn install() -> bool {
    #[cfg(target_arch = "x86_64")]
    return avx2::install();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether the CPU and the system have AVX2.
pub fn is_available() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::sync::LazyLock;

    use strait::ws::{MASK_BLOCK, MaskBlocks, mask_blocks_with};

    pub(super) fn install() -> bool {
        /// Not called before the CPU was looked at.
        static MASKER: MaskBlocks = |key, blocks| {
            // SAFETY: only `INSTALLED` hands this closure out, after the CPU and the system have said that they have AVX2.
            #[expect(unsafe_code, reason = "AVX2 is there, which the compiler cannot know")]
            unsafe {
                mask(key, blocks);
            }
        };
        static INSTALLED: LazyLock<bool> =
            LazyLock::new(|| super::is_available() && mask_blocks_with(&MASKER));
        *INSTALLED
    }

    /// The compiler makes registers of 32 bytes of the words.
    #[target_feature(enable = "avx2")]
    fn mask(key: [u8; 4], blocks: &mut [[u8; MASK_BLOCK]]) {
        let key = u32::from_ne_bytes(key);
        for block in blocks {
            for word in block.as_chunks_mut().0 {
                *word = (u32::from_ne_bytes(*word) ^ key).to_ne_bytes();
            }
        }
    }
}
