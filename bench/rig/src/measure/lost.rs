use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use strait_scenarios::{Direction, Fault};

use super::Run;
use crate::client::{self, Client, Spdy, WebSocket};
use crate::figures::quantile;
use crate::job::{Job, Kind, News};
use crate::link::Room;
use crate::target;
use crate::traffic::Way;

/// Sessions that are cut off by one end, one after the other: what has arrived has to be what was sent, as far as it has come, and the
/// other end has to know soon.
#[expect(clippy::cast_precision_loss, reason = "some thousand sessions")]
pub(crate) fn measure(mut run: Run<'_>) -> Result<()> {
    let (mut times, mut news, cpu_before, begun) = (Vec::new(), Vec::new(), run.cpu()?, Instant::now());
    while begun.elapsed() < run.time || times.is_empty() {
        let (time, what) = session(&run)?;
        times.push(u64::try_from(time.as_nanos())?);
        news.push(what);
    }
    let (elapsed, cpu_after) = (begun.elapsed(), run.cpu()?);
    run.target.is_running()?;
    times.sort_unstable();
    let count = times.len() as f64;
    run.add("sessions", "1/s", count / elapsed.as_secs_f64())?;
    run.add("time to know p50", "us", quantile(&times, 0.5) / 1000.0)?;
    run.add("time to know p99", "us", quantile(&times, 0.99) / 1000.0)?;
    // The others have seen no more than the end of their connection.
    for (name, what) in [("told of a failure", News::Failure), ("told of a success", News::Success)] {
        let told = news.iter().filter(|news| **news == what).count();
        run.add(name, "%", 100.0 * told as f64 / count)?;
    }
    let Some((before, after)) = cpu_before.zip(cpu_after) else { return Ok(()) };
    run.add("CPU per session", "us", after.saturating_sub(before).as_secs_f64() * 1e6 / count)
}

/// How long it took the end that was left to know, and what it was told.
fn session(run: &Run<'_>) -> Result<(Duration, News)> {
    let is_upstream = run.scenario.faults.contains(&Fault::UpstreamLost);
    let kind = if is_upstream { Kind::UpstreamLost } else { Kind::ClientLost(run.scenario.direction) };
    let job = Job::new(kind, run.scenario);
    let number = run.jobs.add(&job);
    let ended = if run.target.kind.translates() {
        through::<WebSocket>(run, &job, number)
    } else {
        through::<Spdy>(run, &job, number)
    };
    let outcome = ended.and_then(|()| job.outcome());
    run.jobs.remove(number);
    job.is_good()?;
    ensure!(
        job.up.received.load(Ordering::SeqCst) <= job.up.sent.load(Ordering::SeqCst),
        "more has arrived than was sent"
    );
    outcome
}

fn through<C: Client>(run: &Run<'_>, job: &Arc<Job>, number: u64) -> Result<()> {
    let mut link = C::dial(run.target.address, number, job, Room::Bulk)?;
    match (job.kind, run.scenario.direction) {
        (Kind::UpstreamLost, _) => {
            // An error where the connection ends without a status.
            let news = match client::take_until(&mut link, job, |_| false) {
                Ok(status) if status.contains("\"Success\"") => News::Success,
                Ok(_) => News::Failure,
                Err(_) => News::Nothing,
            };
            job.knows(news);
            ensure!(
                news == News::Failure || run.target.kind != target::Kind::Strait,
                "an upstream that is lost is a failure: {news:?}"
            );
            return Ok(());
        }
        (_, Direction::ToClient) => {
            let whole = job.traffic.len() as u64;
            client::take_until(&mut link, job, |all| all >= whole)?;
        }
        _ => {
            client::is_ready(&mut link, job)?;
            let run = job.traffic.encode(&mut link.leg, Way::Up)?;
            job.up.sent.fetch_add(job.traffic.len() as u64, Ordering::SeqCst);
            link.output().write(job.traffic.without_the_end(&run))?;
        }
    }
    job.cut();
    link.reset()
}
