/// Fills `bytes` with the payload that stands `place` bytes into a stream. No two words of it are the same for a long time, so
/// nothing can be lost, doubled or swapped without a change of its [`Checksum`].
pub fn fill(place: usize, bytes: &mut [u8]) {
    for (at, byte) in (place as u64..).zip(bytes) {
        *byte = (mix(at / WORD as u64) >> (8 * (at % WORD as u64))) as u8;
    }
}

/// The finaliser of `SplitMix64`.
const fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

const WORD: usize = size_of::<u64>();

/// The number of bytes and a sum that depends on each of them and on its place, however they were cut into pieces. It is quick
/// rather than strong: a word at a time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    count: u64,
    sum: u64,
    /// The bytes behind the last whole word, which is in `sum`; zeros behind them.
    rest: [u8; WORD],
}

impl Checksum {
    /// Of nothing.
    pub const fn new() -> Self {
        Self { count: 0, sum: 0, rest: [0; WORD] }
    }

    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut sum = Self::new();
        sum.add(bytes);
        sum
    }

    /// Adds the next piece.
    pub fn add(&mut self, mut piece: &[u8]) {
        let begun = self.count as usize % WORD;
        self.count += piece.len() as u64;
        if begun > 0 {
            let (head, tail) = piece.split_at(piece.len().min(WORD - begun));
            self.rest[begun..begun + head.len()].copy_from_slice(head);
            if begun + head.len() < WORD {
                return;
            }
            self.word(self.rest);
            piece = tail;
        }
        let (words, tail) = piece.as_chunks();
        for &word in words {
            self.word(word);
        }
        self.rest = [0; WORD];
        self.rest[..tail.len()].copy_from_slice(tail);
    }

    /// Bytes that were added.
    pub const fn count(&self) -> u64 {
        self.count
    }

    fn word(&mut self, word: [u8; WORD]) {
        let word = u64::from_le_bytes(word);
        self.sum = (self.sum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_does_not_depend_on_where_pieces_end() {
        let mut bytes = [0; 100];
        fill(0, &mut bytes);
        let whole = Checksum::of(&bytes);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut sum = Checksum::new();
                for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    sum.add(piece);
                }
                assert_eq!(sum, whole, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_checksum_depends_on_each_byte_and_on_the_number_of_bytes() {
        let mut bytes = [0; 64];
        fill(0, &mut bytes);
        let sum = Checksum::of(&bytes);
        for at in 0..bytes.len() {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert_ne!(Checksum::of(&changed), sum, "byte {at}");
            assert_ne!(Checksum::of(&bytes[..at]), sum, "without what follows byte {at}");
        }
        bytes.swap(3, 11);
        assert_ne!(Checksum::of(&bytes), sum, "two bytes that have changed places");
        assert_ne!(Checksum::of(&[0]), Checksum::of(&[0, 0]));
    }

    #[test]
    fn payload_is_the_same_from_wherever_it_is_filled() {
        let mut whole = [0; 50];
        fill(7, &mut whole);
        for cut in 0..whole.len() {
            let mut pieces = [0; 50];
            let (front, back) = pieces.split_at_mut(cut);
            fill(7, front);
            fill(7 + cut, back);
            assert_eq!(pieces, whole);
        }
    }
}
