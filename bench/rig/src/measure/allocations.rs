use std::thread;

use anyhow::Result;

use super::{Run, bulk};

/// Windows of time in one session: a thread of the runtime allocates once when it first has to wait.
const WINDOWS: usize = 5;

/// Allocations of a running session, in a gateway whose allocator counts them: this program, as `--serve counted`.
#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 allocations")]
pub(crate) fn measure(mut run: Run<'_>) -> Result<()> {
    let time = run.time;
    let counts = bulk::carry(&mut run, |run, job| {
        bulk::warm_up(job);
        let mut before = run.target.allocations()?;
        let window = || {
            thread::sleep(time);
            let after = run.target.allocations()?;
            Ok(after - std::mem::replace(&mut before, after))
        };
        std::iter::repeat_with(window).take(WINDOWS).collect::<Result<Vec<_>>>()
    })?;
    counts.into_iter().try_for_each(|count| run.add("allocations after set-up", "", count as f64))
}
