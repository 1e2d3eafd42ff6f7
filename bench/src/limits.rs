use std::hint::black_box;
use std::time::Instant;

use crate::{Case, SIZES};

/// What memory allows: the same number of bytes copied, and changed by one constant where they lie.
pub fn limits() -> Vec<Case> {
    let memcpy = SIZES.map(|size| case("memcpy", size, |from, to| to.copy_from_slice(from)));
    let xor = SIZES.map(|size| case("xor", size, |_, bytes| bytes.iter_mut().for_each(|byte| *byte ^= 0x37)));
    memcpy.into_iter().chain(xor).collect()
}

/// As many bytes as the codecs have in one run.
const BYTES: usize = 256 * 1024;
const FRAMES: usize = 256;

fn case(name: &str, size: usize, work: fn(&[u8], &mut [u8])) -> Case {
    let count = (BYTES / size).clamp(1, FRAMES);
    Case {
        name: format!("limit/{name}/{size}"),
        count: count as u32,
        bytes: count * size,
        prepare: Box::new(move || {
            let (from, mut to) = (vec![0x5a; size * count], vec![0; size * count]);
            Box::new(move || {
                let start = Instant::now();
                for (from, to) in from.chunks_exact(size).zip(to.chunks_exact_mut(size)) {
                    work(black_box(from), black_box(to));
                }
                start.elapsed()
            })
        }),
    }
}
