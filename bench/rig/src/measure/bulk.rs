use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use strait_scenarios::{Direction, Leg};

use super::Run;
use crate::client::{self, Client, Spdy, WebSocket};
use crate::forward::{Forward, Tunnel};
use crate::job::{Job, Kind};
use crate::link::Room;
use crate::traffic::Way;
use crate::upstream::join;

/// Throughput, and CPU time of the target alone.
pub(crate) fn measure(mut run: Run<'_>) -> Result<()> {
    let time = run.time;
    let carried = carry(&mut run, |run, job| {
        warm_up(job);
        let (before, cpu_before, begun) = (job.arrived(), run.cpu()?, Instant::now());
        thread::sleep(time);
        let (after, cpu_after, elapsed) = (job.arrived(), run.cpu()?, begun.elapsed());
        let bytes = after - before;
        let cpu = cpu_after.zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
        Ok(Carried { bytes, elapsed, cpu })
    })?;
    carried.tell(&mut run)
}

/// Lets buffers grow and windows open: until some payload has arrived, and for a while.
pub(crate) fn warm_up(job: &Job) {
    const ENOUGH: u64 = 4 * 1024 * 1024;
    let begun = Instant::now();
    thread::sleep(Duration::from_millis(100));
    while job.arrived() < ENOUGH && begun.elapsed() < Duration::from_secs(2) {
        thread::sleep(Duration::from_millis(10));
    }
}

struct Carried {
    bytes: u64,
    elapsed: Duration,
    cpu: Option<Duration>,
}

impl Carried {
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 bytes")]
    fn tell(&self, run: &mut Run<'_>) -> Result<()> {
        let sizes = run.scenario.sizes;
        let frame = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
        let bytes = self.bytes as f64;
        let seconds = self.elapsed.as_secs_f64();
        run.add("throughput", "MB/s", bytes / seconds / 1e6)?;
        run.add("messages", "1/s", bytes / frame / seconds)?;
        if let Some(cpu) = self.cpu {
            run.add("CPU", "s/GB", cpu.as_secs_f64() / (bytes / 1e9))?;
            run.add("CPU per message", "us", cpu.as_secs_f64() * 1e6 / (bytes / frame))?;
        }
        Ok(())
    }
}

/// Carries the scenario's traffic while `look` runs, and verifies all of it.
pub(crate) fn carry<T>(run: &mut Run<'_>, look: impl FnOnce(&Run<'_>, &Job) -> Result<T>) -> Result<T> {
    let job = Job::new(Kind::Carry(run.scenario.direction), run.scenario);
    let number = run.jobs.add(&job);
    let carried = match (run.scenario.client, run.target.kind.translates()) {
        (Leg::Tunnel, true) => through::<Tunnel, T>(run, &job, number, look),
        (Leg::Tunnel, false) => through::<Forward, T>(run, &job, number, look),
        (_, true) => through::<WebSocket, T>(run, &job, number, look),
        (_, false) => through::<Spdy, T>(run, &job, number, look),
    };
    run.jobs.remove(number);
    // What has gone wrong at the other end is why the connection was lost.
    job.is_good()?;
    let carried = carried?;
    job.is_complete()?;
    run.target.is_running()?;
    Ok(carried)
}

fn through<C: Client, T>(
    run: &Run<'_>,
    job: &Arc<Job>,
    number: u64,
    look: impl FnOnce(&Run<'_>, &Job) -> Result<T>,
) -> Result<T> {
    let mut link = C::dial(run.target.address, number, job, Room::Bulk)?;
    client::is_ready(&mut link, job)?;
    let wire = job.traffic.encode(&mut link.leg, Way::Up)?;
    let end = job.traffic.encode_end_of_input(&mut link.leg)?;
    let output = link.output();
    let sends = run.scenario.direction != Direction::ToClient;
    let sending = || {
        while sends && !job.is_stopped() {
            output.write(&wire)?;
            job.up.sent.fetch_add(job.traffic.len() as u64, Ordering::SeqCst);
        }
        if sends { output.write(&end) } else { Ok(()) }
    };
    thread::scope(|scope| {
        let taking = scope.spawn(|| client::take(&mut link, job, |_| ()));
        let sending = scope.spawn(sending);
        job.go.open();
        let seen = look(run, job);
        job.stop();
        let sent = join(sending);
        join(taking)?;
        sent?;
        seen
    })
}
