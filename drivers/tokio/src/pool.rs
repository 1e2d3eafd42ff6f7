use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strait::bridge::Lane;

/// Bytes of one lane's buffer: upstream's largest frames (32 KiB of payload) go through two at a time.
pub(crate) const BUFFER: usize = 64 * 1024;

/// Buffers, and places for lanes, that are kept for the next session instead of being given back to the allocator.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    free: Arc<Mutex<Free>>,
    keep: usize,
}

#[derive(Debug, Default)]
struct Free {
    buffers: Vec<Box<[u8]>>,
    /// All of them empty.
    places: Vec<Place>,
}

/// Both lanes of a session that has something to do.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// From the client to upstream.
    pub(crate) up: Lane<Pooled>,
    /// From upstream to the client.
    pub(crate) down: Lane<Pooled>,
}

/// Where lanes are while a session needs them: they take 2.3 KB without their buffers.
pub(crate) type Place = Box<Option<Lanes>>;

impl Pool {
    /// A pool that keeps up to `keep` unused buffers.
    pub(crate) fn new(keep: usize) -> Self {
        Self { free: Arc::default(), keep }
    }

    /// A buffer of [`BUFFER`] bytes. What it holds is whatever its last user left there.
    pub(crate) fn take(&self) -> Pooled {
        let mut buffer = Pooled { bytes: Box::default(), pool: self.clone() };
        buffer.borrow();
        buffer
    }

    /// An empty place for lanes.
    pub(crate) fn place(&self) -> Place {
        // Not while the pool is locked.
        let kept = self.free().places.pop();
        kept.unwrap_or_default()
    }

    /// Gives back a place and the buffers of what is in it; what they hold is forgotten.
    pub(crate) fn give_back(&self, mut place: Place) {
        // The buffers go their own way.
        *place = None;
        let mut free = self.free();
        if 2 * free.places.len() < self.keep {
            free.places.push(place);
        }
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unused buffers in the pool.
    #[cfg(test)]
    fn unused(&self) -> usize {
        self.free().buffers.len()
    }
}

/// A buffer that goes back to its pool when it is dropped, or for the time in which nothing is in it.
#[derive(Debug)]
pub(crate) struct Pooled {
    /// Empty while it is in the pool.
    bytes: Box<[u8]>,
    pool: Pool,
}

impl Pooled {
    /// Makes sure that the bytes are there.
    #[inline]
    pub(crate) fn borrow(&mut self) {
        if self.bytes.is_empty() {
            let kept = self.pool.free().buffers.pop();
            self.bytes = kept.unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice());
        }
    }

    /// Lets others have the bytes until they are [borrowed](Self::borrow) again; what they hold is forgotten.
    pub(crate) fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return;
        }
        let mut free = self.pool.free();
        if free.buffers.len() < self.pool.keep {
            free.buffers.push(bytes);
        }
    }
}

impl AsRef<[u8]> for Pooled {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for Pooled {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_up_to_the_number_kept() {
        let pool = Pool::new(1);
        let (a, b) = (pool.take(), pool.take());
        assert_eq!(pool.unused(), 0);
        drop((a, b));
        assert_eq!(pool.unused(), 1);
        assert_eq!(pool.take().as_ref().len(), BUFFER);
        assert_eq!(pool.unused(), 1);
    }

    #[test]
    fn lanes_that_are_given_back_leave_their_place_and_their_buffers_to_others() {
        let pool = Pool::new(2);
        let lanes = || Lanes { up: Lane::new(pool.take()), down: Lane::new(pool.take()) };
        let mut places = [pool.place(), pool.place()];
        for place in &mut places {
            place.get_or_insert_with(lanes);
        }
        for place in places {
            pool.give_back(place);
        }
        assert_eq!((pool.unused(), pool.free().places.len()), (2, 1), "no more than for one session");
        assert!(pool.place().is_none());
    }

    #[test]
    fn a_buffer_that_is_given_back_serves_another_and_is_there_again_when_it_is_borrowed() {
        let pool = Pool::new(2);
        let mut idle = pool.take();
        idle.give_back();
        assert_eq!((idle.as_ref().len(), pool.unused()), (0, 1));
        let other = pool.take();
        assert_eq!(pool.unused(), 0);
        idle.borrow();
        assert_eq!((idle.as_ref().len(), other.as_ref().len()), (BUFFER, BUFFER));
        idle.give_back();
        drop(idle);
        assert_eq!(pool.unused(), 1, "what was given back is not given again");
    }
}
