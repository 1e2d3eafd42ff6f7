//! What the engine masks alone and what AVX2 masks for it are the same bytes. One process, so what comes before [`install`] is without.

use proptest::prelude::*;
use strait::ws::mask;
use strait_simd::install;

/// Longest payload at every alignment: some blocks, and every rest behind them.
const LONGEST: usize = 700;

fn byte_by_byte(key: [u8; 4], offset: usize, bytes: &[u8]) -> Vec<u8> {
    bytes.iter().enumerate().map(|(i, byte)| byte ^ key[offset.wrapping_add(i) % 4]).collect()
}

/// Of every length at every alignment and every place in its frame.
fn masked(key: [u8; 4]) -> Vec<Vec<u8>> {
    let source: Vec<u8> = (0..LONGEST + 64).map(|i| (i * 37) as u8).collect();
    let mut all = vec![];
    for len in 0..=LONGEST {
        // With 37 bytes between, the 64 alignments are had by all of a few lengths.
        for (start, offset) in [(len * 37 % 64, len % 4), (0, 0), (1, 3), (31, 2), (33, 1)] {
            let mut bytes = source.clone();
            mask(key, offset, &mut bytes[start..start + len]);
            let expected = byte_by_byte(key, offset, &source[start..start + len]);
            assert_eq!(bytes[..start], source[..start], "nothing before the slice changes");
            assert_eq!(
                bytes[start..start + len],
                expected,
                "length {len}, {start} bytes in, offset {offset}"
            );
            assert_eq!(bytes[start + len..], source[start + len..], "nothing behind it changes");
            all.push(bytes);
        }
    }
    all
}

/// Covers: RFC6455-5.3-1
#[test]
fn both_ways_mask_the_same_bytes() {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let before = masked(key);
    if !install() {
        eprintln!("SKIPPED: this CPU has no AVX2, so there is one way to mask");
        return;
    }
    assert!(install(), "as often as one likes");
    assert!(masked(key) == before);
    let any =
        (any::<[u8; 4]>(), any::<usize>(), proptest::collection::vec(any::<u8>(), 0..5000), 0..64_usize);
    proptest!(|((key, offset, source, start) in any)| {
        let start = start.min(source.len());
        let mut bytes = source.clone();
        mask(key, offset, &mut bytes[start..]);
        prop_assert_eq!(&bytes[start..], &byte_by_byte(key, offset, &source[start..]));
        prop_assert_eq!(&bytes[..start], &source[..start]);
    });
}
