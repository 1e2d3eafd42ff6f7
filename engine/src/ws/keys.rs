use sha1_smol::Sha1;

/// Mask keys of one client connection.
///
/// RFC 6455 section 5.3 wants keys that a peer cannot predict from earlier ones. They are cut from SHA-1
/// over a secret and a counter, so one seed from the driver's source of randomness lasts for the connection.
#[derive(Debug, Clone)]
pub struct MaskKeys {
    seed: [u8; 16],
    counter: u64,
    /// What is left of the last digest.
    left: [u8; 20],
    used: usize,
}

impl MaskKeys {
    /// The keys of a connection whose driver drew `seed` from a source that nobody can predict.
    pub const fn new(seed: [u8; 16]) -> Self {
        Self { seed, counter: 0, left: [0; 20], used: 20 }
    }

    /// The next key.
    #[inline]
    pub fn draw(&mut self) -> [u8; 4] {
        if let Some(key) = self.left.get(self.used..).and_then(<[u8]>::first_chunk) {
            self.used += key.len();
            return *key;
        }
        self.refill();
        self.left.first_chunk().copied().unwrap_or_default()
    }

    fn refill(&mut self) {
        let mut hash = Sha1::new();
        hash.update(&self.seed);
        hash.update(&self.counter.to_be_bytes());
        self.left = hash.digest().bytes();
        self.counter = self.counter.wrapping_add(1);
        self.used = 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_do_not_repeat_and_depend_on_the_seed() {
        let (mut one, mut other) = (MaskKeys::new([1; 16]), MaskKeys::new([2; 16]));
        let drawn: HashSet<_> = (0..2000).flat_map(|_| [one.draw(), other.draw()]).collect();
        assert!(drawn.len() > 3990, "{} of 4000 keys differ", drawn.len());
    }
}
