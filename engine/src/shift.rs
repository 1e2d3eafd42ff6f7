use core::ops::Range;

/// Bytes that are moved at once.
const PIECE: usize = 32;

/// Moves `bytes[from]` towards the front, to `to`. Does nothing if that is behind where they lie, or if they lie outside.
///
/// `copy_within` keeps a check that panics where the optimiser does not put it into its caller.
#[inline]
pub(crate) fn shift(bytes: &mut [u8], from: Range<usize>, to: usize) {
    let Some(bytes) = bytes.get_mut(..from.end) else { return };
    let Some(gap) = from.start.checked_sub(to) else { return };
    let Some(mut bytes) = bytes.get_mut(to..) else { return };
    // What is to be written next stands in front; what is read lies `gap` behind.
    while let Some(&piece) = bytes.get(gap..).and_then(<[u8]>::first_chunk::<PIECE>) {
        let Some((target, rest)) = bytes.split_first_chunk_mut() else { return };
        *target = piece;
        bytes = rest;
    }
    let mut tail = [0; PIECE];
    let rest = bytes.get(gap..).unwrap_or_default();
    let len = rest.len();
    for (to, from) in tail.iter_mut().zip(rest) {
        *to = *from;
    }
    for (to, from) in bytes.iter_mut().zip(tail).take(len) {
        *to = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn bytes_move_to_the_front_and_nothing_else_does(
            bytes in prop::collection::vec(any::<u8>(), 0..200), ends: [usize; 2], to: usize,
        ) {
            let len = bytes.len() + 1;
            let (start, end) = ((ends[0] % len).min(ends[1] % len), (ends[0] % len).max(ends[1] % len));
            let to = to % (start + 1);
            let mut expected = bytes.clone();
            expected.copy_within(start..end, to);
            let mut moved = bytes;
            shift(&mut moved, start..end, to);
            // What is left of the place they came from may be anything.
            let kept: Vec<_> = (0..moved.len()).filter(|at| *at < to + end - start || *at >= end).collect();
            prop_assert!(kept.iter().all(|&at| moved[at] == expected[at]));
        }
    }

    #[test]
    fn what_does_not_fit_stays() {
        let mut bytes = *b"abc";
        shift(&mut bytes, 1..4, 0);
        shift(&mut bytes, 0..2, 1);
        assert_eq!(bytes, *b"abc");
    }
}
