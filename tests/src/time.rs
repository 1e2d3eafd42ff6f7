use std::fmt::Display;
use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(10);
/// Of tests that run many at a time.
const SLOW_POLL: Duration = Duration::from_millis(50);

/// Waits until `probe` succeeds; panics with its last error when `limit` is over.
#[track_caller]
pub fn eventually<T, E: Display>(limit: Duration, mut probe: impl FnMut() -> Result<T, E>) -> T {
    let started = Instant::now();
    loop {
        match probe() {
            Ok(value) => return value,
            Err(error) => assert!(started.elapsed() < limit, "not within {limit:?}: {error}"),
        }
        thread::sleep(POLL);
    }
}

/// The same for a test that must not stop its runtime. Its last error is the result.
pub async fn eventually_async<T, E: Display>(
    limit: Duration,
    mut probe: impl FnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(error) => anyhow::ensure!(started.elapsed() < limit, "not within {limit:?}: {error}"),
        }
        tokio::time::sleep(SLOW_POLL).await;
    }
}

/// Copies all of `from` to `to`, at most `rate` bytes a second.
pub fn copy_paced(from: &mut impl Read, to: &mut impl Write, rate: u32) -> io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let (started, mut copied) = (Instant::now(), 0);
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(copied);
        }
        to.write_all(&buffer[..count])?;
        copied += count as u64;
        let due = Duration::from_nanos(copied * 1_000_000_000 / u64::from(rate));
        thread::sleep(due.saturating_sub(started.elapsed()));
    }
}

/// True if the tests that take minutes, or most of a machine, are wanted: `STRAIT_LONG=1`. Otherwise it says loudly that
/// the one that asks is not run.
pub fn long_tests_are_wanted(test: &str) -> bool {
    let wanted = std::env::var_os("STRAIT_LONG").is_some_and(|value| value == "1");
    if !wanted {
        // Not `eprintln`: the test harness would swallow it.
        let _ = writeln!(io::stderr(), "NOT RUN: {test} takes a machine of its own: set STRAIT_LONG=1");
    }
    wanted
}
