//! What an attack costs the gateway.

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strait_tests::{Counters, Server, Shores, eventually, exec_prints};

use crate::upstreams::mixed;
use crate::{Attack, Cost};

pub(crate) const HEADINGS: &str = "| attack | bound | what the gateway did | sent, MB | connections | memory grew by at most, MiB | CPU, s | \
     good sessions meanwhile | the slowest, s |\n|---|---|---|--:|--:|--:|--:|--:|--:|\n";

/// What the servers may take to give back all that an attack has taken.
const RETURN: Duration = Duration::from_secs(20);
/// Between two good sessions.
const PAUSE: Duration = Duration::from_millis(20);

/// CPU time that is always there, and that a connection and a megabyte may cost, in a build without optimisation on a busy machine.
const CPU: Duration = Duration::from_secs(2);
const CPU_OF_CONNECTION: Duration = Duration::from_millis(20);
const CPU_OF_MEGABYTE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Measured {
    cost: Cost,
    grown_kib: u64,
    cpu: Duration,
    good: usize,
    slowest: Duration,
    pub(crate) seconds: f64,
    pub(crate) failure: Option<String>,
}

pub(crate) fn measure(attack: &Attack) -> Measured {
    let started = Instant::now();
    let mut measured = Measured::default();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let node = Server::node();
        let sent = Arc::new(AtomicU64::new(0));
        let upstream = attack
            .upstream
            .map_or_else(|| node.address(), |hostile| mixed(node.address(), hostile, Arc::clone(&sent)));
        let gateway = Server::gateway(&format!("http://{upstream}"), attack.gateway);
        let shores = Shores { gateway, node };
        run(attack, &shores, &sent, &mut measured);
    }));
    measured.failure = result.err().map(|panic| text(&*panic));
    measured.seconds = started.elapsed().as_secs_f64();
    measured
}

fn run(attack: &Attack, shores: &Shores, from_upstream: &AtomicU64, measured: &mut Measured) {
    let gateway = &shores.gateway;
    for _ in 0..5 {
        exec_prints(gateway.address(), "warm");
    }
    let baseline = shores.baseline();
    let before = Usage::of(gateway, true);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let good = scope.spawn(|| {
            let (mut count, mut slowest) = (0, Duration::ZERO);
            while !is_over.load(Ordering::Relaxed) {
                let started = Instant::now();
                exec_prints(gateway.address(), "good");
                (count, slowest) = (count + 1, slowest.max(started.elapsed()));
                thread::sleep(PAUSE);
            }
            (count, slowest)
        });
        let cost = catch_unwind(AssertUnwindSafe(|| (attack.run)(shores)));
        is_over.store(true, Ordering::Relaxed);
        let served = good.join();
        measured.cost = cost.unwrap_or_else(|panic| panic!("{}", text(&*panic)));
        (measured.good, measured.slowest) =
            served.unwrap_or_else(|panic| panic!("a good session: {}", text(&*panic)));
    });
    let after = Usage::of(gateway, false);
    measured.grown_kib = after.peak_kib.saturating_sub(before.peak_kib);
    measured.cpu = after.cpu.saturating_sub(before.cpu);
    eventually(RETURN, || returned(shores, baseline));
    measured.cost.bytes += from_upstream.load(Ordering::Relaxed);
    assert!(
        measured.grown_kib <= attack.memory * 1024,
        "memory grew by {} KiB, more than {} MiB",
        measured.grown_kib,
        attack.memory
    );
    let Cost { connections, bytes, .. } = measured.cost;
    let allowed = CPU
        + CPU_OF_CONNECTION * u32::try_from(connections + measured.good).expect("not that many")
        + CPU_OF_MEGABYTE * u32::try_from(bytes / 1_000_000).expect("not that many");
    assert!(measured.cpu <= allowed, "CPU {:?}, more than {allowed:?}", measured.cpu);
    assert!(measured.good > 0, "no good session");
}

fn returned(shores: &Shores, baseline: [Counters; 2]) -> Result<(), String> {
    let now = [shores.gateway.counters(), shores.node.counters()];
    let is_all = now.iter().zip(baseline).all(|(now, before)| now.is_within(before));
    if is_all { Ok(()) } else { Err(format!("{now:?} is more than {baseline:?}\n{}", shores.gateway.log())) }
}

/// What a server has used.
struct Usage {
    /// The most memory since the last time, or now.
    peak_kib: u64,
    cpu: Duration,
}

impl Usage {
    /// Begins to look for the most memory anew, if that is wanted.
    fn of(server: &Server, anew: bool) -> Self {
        if anew {
            // `proc(5)`: 5 resets the peak.
            fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").expect("a process of our own");
        }
        Self { peak_kib: server.peak_kib(), cpu: server.cpu_time() }
    }
}

impl Measured {
    /// A row of the table.
    pub(crate) fn row(&self, attack: &Attack) -> String {
        let Cost { connections, bytes, answer } = &self.cost;
        format!(
            "| {} | {} | {} | {} | {connections} | {} of {} | {:.2} | {} | {:.2} |\n",
            attack.name,
            attack.bound,
            if self.failure.is_some() { "**FAILED**" } else { answer },
            tenths(*bytes, 1_000_000),
            tenths(self.grown_kib, 1024),
            attack.memory,
            self.cpu.as_secs_f64(),
            self.good,
            self.slowest.as_secs_f64(),
        )
    }
}

/// `value` in whole and tenths of a `unit`.
fn tenths(value: u64, unit: u64) -> String {
    let tenths = (10 * value + unit / 2) / unit;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn text(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().cloned();
    said.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into())).unwrap_or_default()
}
