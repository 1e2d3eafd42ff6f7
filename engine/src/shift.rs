use core::ops::Range;

/// Bytes that are moved at once.
const PIECE: usize = 32;

/// Moves `bytes[from]` towards the front, to `to`. Does nothing if that is behind where they lie, or if they lie outside.
///
/// `copy_within` keeps a check that panics where the optimiser does not put it into its caller.
// Small machines have one of it.
#[cfg_attr(not(target_pointer_width = "32"), inline)]
pub(crate) fn shift(bytes: &mut [u8], from: Range<usize>, to: usize) {
    let Some(gap) = from.start.checked_sub(to) else { return };
    let Some(bytes) = bytes.get_mut(to..from.end) else { return };
    let Some(source) = bytes.get(gap..) else { return };
    match source.len() {
        PIECE.. => pieces(bytes, gap),
        16..PIECE => ends::<16>(bytes, gap),
        8..16 => ends::<8>(bytes, gap),
        4..8 => ends::<4>(bytes, gap),
        1..4 => each(bytes, gap),
        0 => {}
    }
}

/// Moves the first `count` bytes behind all others, which move to the front. Does nothing if there are not so many.
///
/// `rotate_left` is a kilobyte of code.
pub(crate) fn rotate(bytes: &mut [u8], count: usize) {
    let Some((first, others)) = bytes.split_at_mut_checked(count) else { return };
    if others.is_empty() {
        return;
    }
    first.reverse();
    others.reverse();
    bytes.reverse();
}

fn each(bytes: &mut [u8], gap: usize) {
    for at in 0..bytes.len().saturating_sub(gap) {
        let Some(&byte) = bytes.get(at + gap) else { return };
        if let Some(to) = bytes.get_mut(at) {
            *to = byte;
        }
    }
}

/// Moves `N` to `2 * N` bytes: the first `N` and the last `N`, which may overlap.
#[inline]
fn ends<const N: usize>(bytes: &mut [u8], gap: usize) {
    let Some(source) = bytes.get(gap..) else { return };
    let len = source.len();
    let (Some(&first), Some(&last)) = (source.first_chunk::<N>(), source.last_chunk::<N>()) else { return };
    let Some(target) = bytes.get_mut(..len) else { return };
    if let Some(to) = target.first_chunk_mut() {
        *to = first;
    }
    if let Some(to) = target.last_chunk_mut() {
        *to = last;
    }
}

/// Moves one piece after the other, and the last one, which was read before it could be overwritten, to the end.
fn pieces(bytes: &mut [u8], gap: usize) {
    let Some(source) = bytes.get(gap..) else { return };
    let len = source.len();
    let Some(&last) = source.last_chunk::<PIECE>() else { return };
    // What is to be written next stands in front; what is read lies `gap` behind.
    let mut rest = &mut *bytes;
    while let Some(&piece) = rest.get(gap..).and_then(<[u8]>::first_chunk::<PIECE>) {
        let Some((target, behind)) = rest.split_first_chunk_mut() else { return };
        *target = piece;
        rest = behind;
    }
    if let Some(to) = bytes.get_mut(..len).and_then(<[u8]>::last_chunk_mut) {
        *to = last;
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
    fn the_first_bytes_go_behind_the_others() {
        for count in 0..=7 {
            let mut bytes = *b"abcdefg";
            let mut expected = bytes;
            rotate(&mut bytes, count);
            expected.rotate_left(count);
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn what_does_not_fit_stays() {
        let mut bytes = *b"abc";
        rotate(&mut bytes, 4);
        shift(&mut bytes, 1..4, 0);
        shift(&mut bytes, 0..2, 1);
        assert_eq!(bytes, *b"abc");
    }
}
