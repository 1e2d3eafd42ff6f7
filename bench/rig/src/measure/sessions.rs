use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use strait_scenarios::Fault;

use super::Run;
use crate::client::{self, Client, Spdy, WebSocket};
use crate::delay::Delay;
use crate::figures::quantile;
use crate::job::{Job, Kind};
use crate::link::Room;

/// Sessions in front of what is measured: threads and buffers of the target.
const WARM_UP: usize = 20;

/// Sessions that say one line and end, one after the other: set-up and tear-down.
#[expect(clippy::cast_precision_loss, reason = "some thousand sessions")]
pub(crate) fn measure(mut run: Run<'_>) -> Result<()> {
    let Measured { times, elapsed, cpu } = short(&mut run, WARM_UP)?;
    let count = times.len() as f64;
    run.add("sessions", "1/s", count / elapsed.as_secs_f64())?;
    run.add("time to first byte p50", "us", quantile(&times, 0.5) / 1000.0)?;
    run.add("time to first byte p99", "us", quantile(&times, 0.99) / 1000.0)?;
    match cpu {
        Some(cpu) => run.add("CPU per session", "us", cpu.as_secs_f64() * 1e6 / count),
        None => Ok(()),
    }
}

/// The same when first upstream and then the client is far away: how many round trips to each the first byte of output takes, those of
/// TCP itself apart. `to_client` and `to_upstream` are on the way, without a delay so far.
pub(crate) fn far(mut run: Run<'_>, to_client: &Delay, to_upstream: &Delay) -> Result<()> {
    let Some(milliseconds) = run.scenario.faults.iter().find_map(|fault| match fault {
        Fault::Far(milliseconds) => Some(*milliseconds),
        _ => None,
    }) else {
        return Ok(());
    };
    let trip = Duration::from_millis(milliseconds);
    // The least: whoever is late by something else is no further away.
    let first_byte = |run: &mut Run<'_>| Ok(quantile(&short(run, 2)?.times, 0.0) / 1e9);
    let near: f64 = first_byte(&mut run)?;
    for (name, delay) in [("round trips to upstream", to_upstream), ("round trips to the client", to_client)]
    {
        delay.set(trip);
        let far: Result<f64> = first_byte(&mut run);
        delay.set(Duration::ZERO);
        run.add(name, "", (far? - near) / trip.as_secs_f64())?;
    }
    Ok(())
}

struct Measured {
    /// Nanoseconds to the first byte of output, in order.
    times: Vec<u64>,
    elapsed: Duration,
    cpu: Option<Duration>,
}

/// Sessions for as long as it is measured, all of them verified.
fn short(run: &mut Run<'_>, warm_up: usize) -> Result<Measured> {
    let job = Job::new(Kind::Short, run.scenario);
    let number = run.jobs.add(&job);
    let session = || {
        if run.target.kind.translates() {
            through::<WebSocket>(run, &job, number)
        } else {
            through::<Spdy>(run, &job, number)
        }
    };
    let measured = many(run, warm_up, session);
    run.jobs.remove(number);
    job.is_good()?;
    let mut measured = measured?;
    job.is_complete()?;
    run.target.is_running()?;
    measured.times.sort_unstable();
    Ok(measured)
}

fn many(run: &Run<'_>, warm_up: usize, session: impl Fn() -> Result<Duration>) -> Result<Measured> {
    for _ in 0..warm_up {
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
    let mut link = C::dial(run.target.address, number, job, Room::Little)?;
    let mut first = None;
    client::take(&mut link, job, |_| {
        first.get_or_insert_with(|| begun.elapsed());
    })?;
    first.context("no output")
}
