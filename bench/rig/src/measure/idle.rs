use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use strait_scenarios::Sessions;

use super::Run;
use crate::client::{self, Client, Spdy, WebSocket};
use crate::job::{Job, Kind};
use crate::keeper::Keeper;
use crate::link::Room;
use crate::process::{anonymous_memory, slab, socket_memory};
use crate::upstream::ServerLeg;

/// Sessions that one process can have with 20,000 descriptors, of which it needs two for each: the rig as well as the target.
pub(crate) const MOST: usize = 9500;
/// What was allocated for a session's beginning is given back.
const SETTLE: Duration = Duration::from_millis(1500);
/// Two intervals of `strait gateway`'s heartbeats: each connection is asked twice.
const HEARTBEATS: Duration = Duration::from_secs(10);

/// What sessions take that say nothing. The target has to be a new one.
pub(crate) fn measure(mut run: Run<'_>, upstream: &Keeper<ServerLeg>) -> Result<()> {
    if run.target.kind.translates() {
        through::<WebSocket>(&mut run, upstream)
    } else {
        through::<Spdy>(&mut run, upstream)
    }
}

#[expect(clippy::cast_precision_loss, reason = "gigabytes at most")]
fn through<C: Client>(run: &mut Run<'_>, upstream: &Keeper<ServerLeg>) -> Result<()> {
    let Sessions::Open(wanted) = run.scenario.sessions else { return Ok(()) };
    let Some(pid) = run.target.pid() else { return Ok(()) };
    let count = wanted.min(MOST);
    let clients = Keeper::start()?;
    // Threads, and what is allocated once.
    open::<C>(run, &clients)?;
    clients.clear();
    thread::sleep(SETTLE);
    upstream.clear();
    let memory = || Ok::<_, anyhow::Error>([anonymous_memory(pid)?, socket_memory()?, slab()?]);
    let before = memory()?;
    for _ in 0..count {
        open::<C>(run, &clients)?;
    }
    thread::sleep(SETTLE);
    let after = memory()?;
    let [own, sockets, slab] =
        std::array::from_fn(|at| (after[at] as f64 - before[at] as f64) / count as f64);
    run.add("idle sessions", "", count as f64)?;
    run.add("memory per session", "B", own)?;
    run.add("memory", "B", after[0] as f64)?;
    run.add("socket buffers per session", "B", sockets)?;
    // Both ends of both connections, and whatever else the system did.
    run.add("slab per session", "B", slab)?;
    // With few sessions there is nothing to be seen of them.
    if wanted >= 1000 {
        let (cpu, begun) = (crate::process::cpu(pid)?, Instant::now());
        thread::sleep(HEARTBEATS);
        let used = crate::process::cpu(pid)?.saturating_sub(cpu);
        run.add("heartbeats", "% of a core", 100.0 * used.as_secs_f64() / begun.elapsed().as_secs_f64())?;
    }
    run.target.is_running()?;
    let (held, served) = (clients.len(), upstream.len());
    ensure!(
        held == count && served == count,
        "{held} clients and {served} upstreams are left of {count} sessions"
    );
    clients.clear();
    upstream.clear();
    Ok(())
}

fn open<C: Client>(run: &Run<'_>, keeper: &Keeper<C::Leg>) -> Result<()> {
    let job = Job::new(Kind::Idle, run.scenario);
    let number = run.jobs.add(&job);
    let opened = C::dial(run.target.address, number, &job, Room::Little).and_then(|mut link| {
        client::is_ready(&mut link, &job)?;
        keeper.keep(link)
    });
    run.jobs.remove(number);
    job.is_good()?;
    opened
}
