//! Mixed real load through gateways and nodes, whose connections and programs break at random: `cargo xtask soak`.
//!
//! Every byte and every exit code is checked. The rule: all of the output and the command's own end, or an error; never silence, never a
//! success with less. On a way where nothing is broken an error is a finding, too. At the end the servers that were not replaced hold
//! what they held before, and meanwhile not much more.
//!
//! The seed decides each job, its way and its faults, and the order of the blows to servers; when they meet is up to the machine.

mod certificates;
mod forwards;
mod job;
mod programs;
mod report;
mod servers;
mod sessions;
mod standstill;
mod watch;
mod wire;

use std::env;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use strait_tests::{Random, missing};
use tokio::runtime::{Builder, Handle};

use crate::job::Job;
use crate::report::Report;
use crate::servers::{Blow, Gateway, Servers};
use crate::watch::Watch;

/// Jobs at a time.
const WORKERS: usize = 8;
/// Jobs in front of the first look at what the servers hold: what is allocated for the first sessions stays.
const WARM_UP: u64 = 80;
/// Between two blows to a server, in seconds.
const BLOWS: std::ops::Range<usize> = 5..20;

struct Arguments {
    minutes: f64,
    seed: Option<u64>,
    /// The summary goes into the document.
    write: bool,
}

fn main() -> ExitCode {
    // The raw client of port-forward panics when its connection breaks, which is often.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    match Arguments::parse().and_then(|arguments| soak(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn parse() -> Result<Self> {
        let mut arguments = Self { minutes: 1.0, seed: None, write: false };
        let words = env::args().skip(1);
        for word in words {
            match word.split_once('=') {
                Some(("--minutes", value)) => arguments.minutes = value.parse()?,
                Some(("--seed", value)) => arguments.seed = Some(value.parse()?),
                None if word == "--write" => arguments.write = true,
                _ => bail!("usage: soak [--minutes=N] [--seed=S] [--write]"),
            }
        }
        Ok(arguments)
    }
}

/// False if there are findings.
fn soak(arguments: &Arguments) -> Result<bool> {
    let seed = arguments.seed.unwrap_or_else(|| Random::of_this_run().number() >> 16);
    println!("seed {seed}");
    standstill::watch();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let servers = Servers::start(runtime.handle())?;
    let has_kubectl = has_kubectl();
    let mut report = Report::new(seed);
    runtime.block_on(async {
        for gateway in [Gateway::ToSpdy, Gateway::ToWebSocket] {
            sessions::warm(servers.address(gateway)).await?;
        }
        anyhow::Ok(())
    })?;

    let warm_up = Run { servers: &servers, runtime: runtime.handle(), has_kubectl, seed, has_faults: false };
    warm_up.jobs(|number| number < WARM_UP, &mut Report::new(seed));
    thread::sleep(Duration::from_secs(3));
    let mut watch = Watch::begin(&servers, WORKERS);

    let end = Instant::now() + Duration::from_secs_f64(60.0 * arguments.minutes);
    let run = Run { has_faults: true, ..warm_up };
    let mut blows = Vec::new();
    thread::scope(|scope| {
        let striking = scope.spawn(|| strike(&servers, seed, end));
        let watching = scope.spawn(|| {
            while Instant::now() < end {
                thread::sleep(Duration::from_secs(1));
                watch.look(&servers);
            }
        });
        run.jobs(|_| Instant::now() < end, &mut report);
        blows = striking.join().expect("no panic");
        watching.join().expect("no panic");
    });
    for (blow, result) in blows {
        report.blow(blow, result);
    }
    let (table, findings) = runtime.block_on(watch.end(&servers));
    report.end(&table, findings);
    report.stood_still(standstill::times());
    println!("\n{report}");
    if arguments.write {
        report.write(arguments.minutes);
    }
    Ok(report.is_clean())
}

#[derive(Clone, Copy)]
struct Run<'a> {
    servers: &'a Servers,
    runtime: &'a Handle,
    has_kubectl: bool,
    seed: u64,
    has_faults: bool,
}

impl Run<'_> {
    /// Takes jobs as long as `goes_on`, by the number of the next.
    fn jobs(self, goes_on: impl Fn(u64) -> bool + Sync, report: &mut Report) {
        let (next, report) = (AtomicU64::new(0), Mutex::new(report));
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if !goes_on(number) {
                            return;
                        }
                        let number = Random::new(self.seed ^ number).number();
                        let done = Job::of(number, self.has_faults, self.has_kubectl)
                            .run(self.servers, self.runtime);
                        report.lock().expect("no panic holds it").add(done);
                    }
                });
            }
        });
    }
}

fn strike(servers: &Servers, seed: u64, end: Instant) -> Vec<(Blow, Result<()>)> {
    let (mut random, mut blows) = (Random::new(!seed), Vec::new());
    loop {
        let pause = Duration::from_secs((BLOWS.start + random.below(BLOWS.len())) as u64);
        if Instant::now() + pause > end {
            return blows;
        }
        thread::sleep(pause);
        let blow = Blow::ALL[random.below(Blow::ALL.len())];
        blows.push((blow, servers.strike(blow, &mut random)));
    }
}

fn has_kubectl() -> bool {
    let mut probe = Command::new(programs::kubectl());
    let found = probe.arg("--help").stdin(Stdio::null()).output();
    found.is_ok() || missing::<()>("there is no kubectl").is_some()
}
