/// Small numbers that look random and are the same in each run.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The numbers that belong to this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number from 0 to `below - 1`; 0 if there is none.
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % below.max(1)
    }
}

/// How the bytes of a peer are cut on their way.
pub(crate) enum Cuts {
    None,
    EachByte,
    Random(Dice),
}

impl Cuts {
    pub(crate) fn new(seed: u8) -> Self {
        match seed {
            0 => Self::None,
            1 => Self::EachByte,
            _ => Self::Random(Dice::new(seed.into())),
        }
    }

    /// Where the piece that begins at `from` ends, of `len` bytes in all.
    pub(crate) fn end(&mut self, from: usize, len: usize) -> usize {
        let left = len - from;
        from + match self {
            Self::None => left,
            Self::EachByte => left.min(1),
            // Mostly short ones: headers are where a cut hurts.
            Self::Random(dice) => left.min(1 + if dice.roll(4) == 0 { dice.roll(300) } else { dice.roll(9) }),
        }
    }
}

/// Hands the pieces of `wire` to a receiver as a driver does, and stops at its first error.
///
/// `receive` is given what was received and not yet consumed; it answers how much it consumed, or `None` if
/// it needs more, which must not be with more than `most_kept` bytes at hand.
pub(crate) fn deliver<E>(
    wire: &[u8],
    cuts: &mut Cuts,
    most_kept: usize,
    mut receive: impl FnMut(&mut [u8]) -> Result<Option<usize>, E>,
) -> Result<(), E> {
    let mut buffer = wire.to_vec();
    let (mut consumed, mut received) = (0, 0);
    loop {
        while let Some(count) = receive(&mut buffer[consumed..received])? {
            assert!(count > 0, "an event without progress");
            consumed += count;
            assert!(consumed <= received, "more is consumed than is there");
        }
        assert!(received - consumed <= most_kept, "{} bytes are not enough", received - consumed);
        if received == wire.len() {
            return Ok(());
        }
        received = cuts.end(received, wire.len());
    }
}
