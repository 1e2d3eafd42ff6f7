use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Run;
use crate::client::{self, Client, Spdy, WebSocket};
use crate::figures::quantile;
use crate::job::{Job, Kind};
use crate::link::Room;
use crate::traffic::Way;
use crate::upstream::join;

/// Messages are sent at this rate, whether or not those before have come back: slow enough for every target.
const INTERVAL: Duration = Duration::from_millis(1);
/// The sender sleeps up to this long before a message is due, and then waits for it awake: a timer is late by about as much.
const AWAKE: Duration = Duration::from_micros(150);
/// Of the first messages nobody is told: pages are touched, cores wake up.
const WARM_UP: u64 = 100;

pub(crate) const QUANTILES: [(&str, f64); 8] = [
    ("round trip p10", 0.10),
    ("round trip p25", 0.25),
    ("round trip p50", 0.50),
    ("round trip p75", 0.75),
    ("round trip p90", 0.90),
    ("round trip p95", 0.95),
    ("round trip p99", 0.99),
    ("round trip p99.9", 0.999),
];

/// Time from when a message was due, not from when it was sent, to when it is back: what waits behind a slow one counts as slow too.
pub(crate) fn measure(mut run: Run<'_>) -> Result<()> {
    let job = Job::new(Kind::Echo, run.scenario);
    let number = run.jobs.add(&job);
    let measured = if run.target.kind.translates() {
        through::<WebSocket>(&run, &job, number)
    } else {
        through::<Spdy>(&run, &job, number)
    };
    run.jobs.remove(number);
    job.is_good()?;
    let (mut times, cpu) = measured?;
    job.is_complete()?;
    times.sort_unstable();
    for (name, share) in QUANTILES {
        run.add(name, "us", quantile(&times, share) / 1000.0)?;
    }
    if let Some(cpu) = cpu {
        #[expect(clippy::cast_precision_loss, reason = "some thousand messages")]
        run.add("CPU per message", "us", cpu.as_secs_f64() * 1e6 / times.len() as f64)?;
    }
    run.target.is_running()
}

/// Nanoseconds of each message, and the target's CPU time for all of them.
fn through<C: Client>(run: &Run<'_>, job: &Arc<Job>, number: u64) -> Result<(Vec<u64>, Option<Duration>)> {
    let mut link = C::dial(run.target.address, number, job, Room::Bulk)?;
    client::is_ready(&mut link, job)?;
    let size = run.scenario.sizes[0];
    let messages = job.traffic.encode_each(&mut link.leg, Way::Up)?;
    let end = job.traffic.encode_end_of_input(&mut link.leg)?;
    let output = link.output();
    let begun = Instant::now() + INTERVAL;
    let count = u64::try_from(run.time.as_micros() / INTERVAL.as_micros())? + WARM_UP;
    let due = |message: u64| begun + INTERVAL * u32::try_from(message).unwrap_or(u32::MAX);
    let mut times = Vec::with_capacity(usize::try_from(count)?);
    let cpu_before = run.cpu()?;
    let mut next = 0;
    let come = |all: u64| {
        let now = Instant::now();
        while (next + 1) * size as u64 <= all {
            if next >= WARM_UP {
                times.push(
                    u64::try_from(now.saturating_duration_since(due(next)).as_nanos()).unwrap_or(u64::MAX),
                );
            }
            next += 1;
        }
    };
    let mut cpu_after = None;
    thread::scope(|scope| {
        let taking = scope.spawn(|| client::take(&mut link, job, come));
        let sent = (0..count).zip(messages.iter().cycle()).try_for_each(|(message, frame)| {
            wait_until(due(message));
            job.down.sent.fetch_add(size as u64, Ordering::SeqCst);
            output.write(frame)
        });
        // The last ones are on their way.
        thread::sleep(Duration::from_millis(20));
        cpu_after = run.cpu()?;
        let ended = sent.and_then(|()| output.write(&end));
        join(taking)?;
        ended
    })?;
    ensure!(times.len() as u64 == count - WARM_UP, "{} messages have come back", times.len());
    Ok((times, cpu_after.zip(cpu_before).map(|(after, before)| after.saturating_sub(before))))
}

fn wait_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()).saturating_sub(AWAKE));
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}
