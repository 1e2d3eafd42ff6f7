use std::time::Duration;

/// The wait before the first restart, doubled by each that follows.
const FIRST: Duration = Duration::from_millis(100);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(10);

/// A process that ran this long had no trouble to start.
const GOOD: Duration = Duration::from_secs(10);

/// How long to wait before a process is started again.
#[derive(Debug)]
pub(super) struct BackOff {
    next: Duration,
}

impl BackOff {
    pub(super) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The wait after it ran for `duration`.
    pub(super) fn after(&mut self, duration: Duration) -> Duration {
        if duration >= GOOD {
            self.next = FIRST;
        }
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_limit_until_a_run_was_long() {
        let mut back_off = BackOff::new();
        let waits: Vec<_> = (0..9).map(|_| back_off.after(Duration::ZERO).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(back_off.after(GOOD), FIRST);
        assert_eq!(back_off.after(Duration::ZERO), 2 * FIRST);
    }
}
