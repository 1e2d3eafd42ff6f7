use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A number of places, each for one connection or session.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    taken: Mutex<usize>,
    freed: Condvar,
}

/// A place that is taken. Dropped, it is free.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a Places);

impl Places {
    pub(crate) const fn new(most: usize) -> Self {
        Self { most, taken: Mutex::new(0), freed: Condvar::new() }
    }

    /// A place, if one is free.
    pub(crate) fn take(&self) -> Option<Place<'_>> {
        self.take_within(Duration::ZERO)
    }

    /// A place, if one becomes free within `time`.
    pub(crate) fn take_within(&self, time: Duration) -> Option<Place<'_>> {
        let mut taken = self.wait(time, |taken| taken < self.most)?;
        *taken += 1;
        Some(Place(self))
    }

    /// Waits for `time` until all are free. False if they are not.
    pub(crate) fn all_free_within(&self, time: Duration) -> bool {
        self.wait(time, |taken| taken == 0).is_some()
    }

    fn wait(&self, time: Duration, until: impl Fn(usize) -> bool) -> Option<MutexGuard<'_, usize>> {
        let deadline = Instant::now() + time;
        let mut taken = self.lock();
        while !until(*taken) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            taken = self.freed.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(taken)
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let places = Places::new(1);
        assert!(places.all_free_within(Duration::ZERO));
        let place = places.take().unwrap();
        assert!(places.take_within(Duration::from_millis(10)).is_none());
        assert!(!places.all_free_within(Duration::from_millis(10)));
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| places.take_within(Duration::from_mins(1)).is_some());
            drop(place);
            assert!(waiting.join().unwrap());
        });
        assert!(places.all_free_within(Duration::ZERO));
    }
}
