use siphasher::sip::SipHasher24;

use crate::Role;

/// Whether the frames of one end are masked, which depends on its role alone (RFC 6455 section 5.1): those of a
/// client with [`MaskKeys`], those of a server with [`NoMask`], which takes no memory.
pub trait Masking {
    /// The end that masks so.
    const ROLE: Role;

    /// The key of the next frame.
    fn draw(&mut self) -> [u8; 4];
}

/// A server's frames are not masked.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMask;

impl Masking for NoMask {
    const ROLE: Role = Role::Server;

    /// Nothing uses it.
    #[inline]
    fn draw(&mut self) -> [u8; 4] {
        [0; 4]
    }
}

/// Mask keys of one client connection.
///
/// RFC 6455 section 5.3 wants keys that a peer cannot predict from earlier ones. They are SipHash-2-4 of a counter
/// under a secret key, so one seed from the driver's source of randomness lasts for the connection.
#[derive(Debug, Clone)]
pub struct MaskKeys {
    seed: [u8; 16],
    counter: u64,
    /// The second half of the last hash.
    spare: Option<[u8; 4]>,
}

impl MaskKeys {
    /// The keys of a connection whose driver drew `seed` from a source that nobody can predict.
    pub const fn new(seed: [u8; 16]) -> Self {
        Self { seed, counter: 0, spare: None }
    }
}

impl Masking for MaskKeys {
    const ROLE: Role = Role::Client;

    #[inline]
    fn draw(&mut self) -> [u8; 4] {
        if let Some(key) = self.spare.take() {
            return key;
        }
        let hash = SipHasher24::new_with_key(&self.seed).hash(&self.counter.to_be_bytes());
        self.counter = self.counter.wrapping_add(1);
        self.spare = Some(((hash >> 32) as u32).to_be_bytes());
        (hash as u32).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Covers: RFC6455-5.1-1, RFC6455-5.3-1
    #[test]
    fn keys_do_not_repeat_and_depend_on_the_seed() {
        let (mut one, mut other) = (MaskKeys::new([1; 16]), MaskKeys::new([2; 16]));
        let drawn: HashSet<_> = (0..2000).flat_map(|_| [one.draw(), other.draw()]).collect();
        assert!(drawn.len() > 3990, "{} of 4000 keys differ", drawn.len());
    }
}
