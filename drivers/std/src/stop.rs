use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The longest time that a thread sleeps before it looks whether it has to stop.
pub(crate) const LOOK: Duration = Duration::from_millis(200);

/// Says when to stop, to all threads that have a clone of it. They see it within 200 ms.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicUsize>);

const RUN: usize = 0;
const DRAIN: usize = 1;
const CLOSE: usize = 2;

impl Stop {
    /// Nothing has to stop.
    pub fn new() -> Self {
        Self::default()
    }

    /// No more connections are accepted; sessions go on.
    pub fn drain(&self) {
        self.0.fetch_max(DRAIN, Ordering::Relaxed);
    }

    /// Sessions are ended too, with a status.
    pub fn close(&self) {
        self.0.fetch_max(CLOSE, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.load(Ordering::Relaxed) != RUN
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.0.load(Ordering::Relaxed) == CLOSE
    }
}
