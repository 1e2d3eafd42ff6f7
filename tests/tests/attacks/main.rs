//! What a client or an upstream may do to a gateway that costs it more than it costs them, and what bounds it: each attack on a gateway of
//! its own, whose memory and CPU time are measured, and which serves good sessions meanwhile. `cargo xtask attacks`.
//!
//! `STRAIT_LONG=1` takes many more connections; `--write` writes the table down.

mod bytes;
mod frames;
mod heads;
mod measure;
mod upstreams;

use std::collections::VecDeque;
use std::env;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;

use strait_tests::{Shores, long_tests_are_wanted, write_down};

use crate::measure::{Measured, measure};
use crate::upstreams::Hostile;

/// At a time: most of them wait.
const WORKERS: usize = 6;

/// Something hostile, and what bounds it.
pub(crate) struct Attack {
    name: &'static str,
    bound: &'static str,
    /// Arguments of the gateway.
    gateway: &'static [&'static str],
    /// So much may its memory grow, in MiB, at most.
    memory: u64,
    run: fn(&Shores) -> Cost,
    /// What is behind the gateway does this to some.
    upstream: Option<Hostile>,
}

impl Attack {
    const fn new(memory: u64, run: fn(&Shores) -> Cost) -> Self {
        Self { name: "", bound: "", gateway: &[], memory, run, upstream: None }
    }
}

/// What an attack has cost who made it, and what it came to.
#[derive(Debug, Default, Clone)]
pub(crate) struct Cost {
    pub(crate) connections: usize,
    pub(crate) bytes: u64,
    /// What the gateway did.
    pub(crate) answer: String,
}

fn main() -> ExitCode {
    let is_long = long_tests_are_wanted("attacks with 100,000 connections, and not a thirtieth of them,");
    let attacks = heads::ATTACKS.iter().chain(&frames::ATTACKS).chain(&upstreams::ATTACKS);
    let waiting: Mutex<VecDeque<_>> = Mutex::new(attacks.enumerate().collect());
    let done: Mutex<Vec<(usize, &Attack, Measured)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((place, attack)) = next else { return };
                    let measured = measure(attack);
                    let result = measured.failure.as_deref().unwrap_or("ok");
                    let _ = writeln!(
                        std::io::stdout(),
                        "attack {}: {result} ({:.1} s)",
                        attack.name,
                        measured.seconds
                    );
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((place, attack, measured));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, ..)| *place);
    let rows: String = done.iter().map(|(_, attack, measured)| measured.row(attack)).collect();
    let table = format!("{}{rows}", measure::HEADINGS);
    println!("\n{table}");
    if env::args().any(|word| word == "--write") {
        let command = if is_long {
            "`STRAIT_LONG=1 cargo xtask attacks --write`"
        } else {
            "`cargo xtask attacks --write`"
        };
        write_down("ROBUSTNESS.md", "attacks", &format!("{command}:\n\n{table}"));
    }
    let failed: Vec<_> = done
        .iter()
        .filter_map(|(_, attack, measured)| Some((attack.name, measured.failure.as_ref()?)))
        .collect();
    for (name, failure) in &failed {
        println!("FAILED {name}: {failure}");
    }
    ExitCode::from(u8::from(!failed.is_empty()))
}

/// As many as a test of all days has time for, or all.
pub(crate) fn scaled(some: usize, all: usize) -> usize {
    if env::var_os("STRAIT_LONG").is_some_and(|value| value == "1") { all } else { some }
}
