use std::env;
use std::time::SystemTime;

/// Random numbers and bytes, fast and repeatable (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers that follow from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The numbers of this run: seeded by the clock, or by `STRAIT_SEED`. Prints the seed, for the case that the test fails.
    pub fn of_this_run() -> Self {
        let given = env::var("STRAIT_SEED").ok();
        let seed = given.map_or_else(from_clock, |seed| seed.parse().expect("STRAIT_SEED is a number"));
        println!("STRAIT_SEED={seed}");
        Self(seed)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end`, without `end`.
    pub const fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// A length from 1 to `max` whose number of digits is as random as its digits: small ones are not rare.
    pub const fn length(&mut self, max: usize) -> usize {
        let bits = self.below(max.ilog2() as usize + 1);
        1 + self.below(if 1 << (bits + 1) < max { 1 << (bits + 1) } else { max })
    }

    /// Fills `buffer`.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(size_of::<u64>()) {
            let bytes = self.number().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }

    /// That many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes);
        bytes
    }
}

fn from_clock() -> u64 {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed().expect("the clock is past 1970");
    elapsed.as_nanos() as u64
}
