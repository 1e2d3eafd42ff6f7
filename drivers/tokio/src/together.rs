use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// Deadlines within so much time of each other end at the same time. Nobody sees a heartbeat or a timeout be late by that, and with
/// thousands of sessions waking up costs more than the heartbeats do (docs/LAB.md).
const TICK: Duration = Duration::from_millis(16);

/// What ticks are counted from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The first tick that is not before `deadline`.
pub(crate) fn together(deadline: Instant) -> Instant {
    let epoch = *EPOCH;
    let behind = deadline.saturating_duration_since(epoch).as_nanos() % TICK.as_nanos();
    let left = match behind {
        // A test's clock may be behind another's.
        0 => epoch.saturating_duration_since(deadline).as_nanos() % TICK.as_nanos(),
        behind => TICK.as_nanos() - behind,
    };
    deadline + Duration::from_nanos(left as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_late_by_less_than_a_tick_and_end_together() {
        let minute = Duration::from_mins(1);
        for from in [*EPOCH + minute, *EPOCH - minute] {
            let mut ends: Vec<_> =
                (0..160).map(|at| from + Duration::from_millis(at)).map(together).collect();
            for (at, end) in (0..).zip(&ends) {
                let late = *end - (from + Duration::from_millis(at));
                assert!(late < TICK, "{late:?} at {at}");
            }
            ends.dedup();
            assert!(ends.len() <= 11, "{}", ends.len());
            assert!(ends.iter().all(|end| together(*end) == *end), "a tick is where it is");
        }
    }
}
