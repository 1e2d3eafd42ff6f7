use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line is printed where there is no terminal for a bar.
const LINES: Duration = Duration::from_secs(10);

/// What the user sees of a copy: a bar on a terminal, a line from time to time elsewhere, or nothing.
pub(super) struct Progress {
    counter: Counter,
    quiet: bool,
}

/// What counts the bytes, in whatever thread they pass.
#[derive(Clone)]
pub(super) struct Counter {
    bar: ProgressBar,
    /// When the last line was printed.
    lines: Option<Arc<Mutex<Instant>>>,
    begun: Instant,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let bar = ProgressBar::no_length();
        bar.set_draw_target(if quiet || !is_terminal {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(5)
        });
        let lines = (!quiet && !is_terminal).then(|| Arc::new(Mutex::new(Instant::now())));
        Self { counter: Counter { bar, lines, begun: Instant::now() }, quiet }
    }

    pub(super) fn counter(&self) -> Counter {
        self.counter.clone()
    }

    /// A copy of `total` bytes begins, of which `done` are there already.
    pub(super) fn start(&self, total: Option<u64>, done: u64) {
        let bar = &self.counter.bar;
        let style = match total {
            Some(total) => {
                bar.set_length(total);
                "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}"
            }
            None => "{spinner} {bytes} {bytes_per_sec} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_position(done);
        bar.reset_eta();
    }

    pub(super) fn add(&self, bytes: u64) {
        self.counter.add(bytes);
    }

    /// Something that the user should know, now or at the end.
    pub(super) fn warn(&self, text: &str) {
        self.counter.bar.suspend(|| eprintln!("warning: {text}"));
    }

    /// The copy is done.
    pub(super) fn finish(&self, what: &str) {
        self.counter.bar.finish_and_clear();
        if !self.quiet {
            eprintln!("{what}: {}", self.counter.so_far());
        }
    }
}

impl Counter {
    pub(super) fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
        if let Some(last) = &self.lines
            && let Ok(mut last) = last.lock()
            && last.elapsed() >= LINES
        {
            *last = Instant::now();
            eprintln!("{}", self.so_far());
        }
    }

    fn so_far(&self) -> String {
        format!("{} in {}", HumanBytes(self.bar.position()), HumanDuration(self.begun.elapsed()))
    }
}
