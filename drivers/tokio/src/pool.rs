use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of one lane's buffer: upstream's largest frames (32 KiB of payload) go through two at a time.
pub(crate) const BUFFER: usize = 64 * 1024;

/// Buffers that are kept for the next session instead of being given back to the allocator.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    free: Arc<Mutex<Vec<Box<[u8]>>>>,
    keep: usize,
}

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

    /// Unused buffers in the pool.
    #[cfg(test)]
    fn unused(&self) -> usize {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).len()
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
            let free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            self.bytes = free.unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice());
        }
    }

    /// Lets others have the bytes until they are [borrowed](Self::borrow) again; what they hold is forgotten.
    pub(crate) fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if !bytes.is_empty() && free.len() < self.pool.keep {
            free.push(bytes);
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
