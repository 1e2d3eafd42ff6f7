use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Run;
use crate::client::{self, Client, Spdy, WebSocket};
use crate::figures::quantile;
use crate::job::{Job, Kind};
use crate::link::Room;

/// Sessions that say one line and end, one after the other: set-up and tear-down.
#[expect(clippy::cast_precision_loss, reason = "some thousand sessions")]
pub(crate) fn measure(mut run: Run<'_>) -> Result<()> {
    let job = Job::new(Kind::Short, run.scenario);
    let number = run.jobs.add(&job);
    let session = || {
        if run.target.kind.translates() {
            through::<WebSocket>(&run, &job, number)
        } else {
            through::<Spdy>(&run, &job, number)
        }
    };
    let measured = many(&run, session);
    run.jobs.remove(number);
    job.is_good()?;
    let Measured { mut times, elapsed, cpu } = measured?;
    job.is_complete()?;
    run.target.is_running()?;
    let count = times.len() as f64;
    times.sort_unstable();
    run.add("sessions", "1/s", count / elapsed.as_secs_f64())?;
    run.add("time to first byte p50", "us", quantile(&times, 0.5) / 1000.0)?;
    run.add("time to first byte p99", "us", quantile(&times, 0.99) / 1000.0)?;
    match cpu {
        Some(cpu) => run.add("CPU per session", "us", cpu.as_secs_f64() * 1e6 / count),
        None => Ok(()),
    }
}

struct Measured {
    /// Nanoseconds to the first byte of output.
    times: Vec<u64>,
    elapsed: Duration,
    cpu: Option<Duration>,
}

fn many(run: &Run<'_>, session: impl Fn() -> Result<Duration>) -> Result<Measured> {
    // Threads and buffers of the target.
    for _ in 0..20 {
        session()?;
    }
    let (mut times, cpu_before, begun) = (Vec::new(), run.cpu()?, Instant::now());
    while begun.elapsed() < run.time {
        times.push(u64::try_from(session()?.as_nanos())?);
    }
    let elapsed = begun.elapsed();
    let cpu = run.cpu()?.zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    Ok(Measured { times, elapsed, cpu })
}

/// Time from before the connection was asked for to the first byte of output.
fn through<C: Client>(run: &Run<'_>, job: &Job, number: u64) -> Result<Duration> {
    let begun = Instant::now();
    let mut link = C::dial(run.target.address, number, Room::Little)?;
    let mut first = None;
    client::take(&mut link, job, |_| {
        first.get_or_insert_with(|| begun.elapsed());
    })?;
    first.context("no output")
}
