//! Whether the machine, or all of the programs here, stood still: then time-outs end what nothing is wrong with.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// A look that is so late was kept from looking.
const LATE: Duration = Duration::from_secs(2);
/// What stood still for longer may be noticed by others only after it has gone on.
const SETTLE: Duration = Duration::from_secs(3);

static TIMES: AtomicUsize = AtomicUsize::new(0);

/// Looks from now on.
pub(crate) fn watch() {
    thread::spawn(|| {
        loop {
            let before = Instant::now();
            thread::sleep(LOOK);
            if before.elapsed() > LATE {
                println!("the machine stood still for {:?}", before.elapsed());
                TIMES.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
}

/// How often it did so far.
pub(crate) fn times() -> usize {
    TIMES.load(Ordering::SeqCst)
}

/// A moment to look back to.
pub(crate) struct Since(usize);

impl Since {
    pub(crate) fn now() -> Self {
        Self(times())
    }

    /// True if it has stood still since then. Waits for those who have not noticed yet.
    pub(crate) fn is_disturbed(&self) -> bool {
        thread::sleep(SETTLE);
        times() != self.0
    }
}
