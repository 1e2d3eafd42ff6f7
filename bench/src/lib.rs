//! The lab: what the engine costs, measured on traffic that is described as data.
//!
//! [`cases`] are all codecs, and all bridges with the [scenarios](strait_scenarios) that an engine alone can run: for times
//! (`cargo bench -p strait-bench --bench times`), for instruction counts (`--bench instructions`), and for
//! what gates look at (`cargo xtask perf-gate`). Each run checks that it has carried every byte: a benchmark is a test as well.

mod bridges;
mod codecs;
mod counted;
mod limits;
mod ratios;
mod reader;
mod record;
mod session;
mod traffic;

use std::time::Duration;

pub use codecs::SIZES;
pub use limits::limits;
pub use ratios::ratios;
pub use record::Record;
pub use traffic::Traffic;

/// Something that is measured.
pub struct Case {
    /// Names it in results; unique.
    pub name: String,
    /// Frames, or messages, of one run.
    pub count: u32,
    /// Payload bytes of one run; 0 where they mean nothing.
    pub bytes: usize,
    prepare: Box<dyn Fn() -> Run>,
}

/// Does it once, verifies what came of it, and tells how long it took without that.
pub type Run = Box<dyn FnMut() -> Duration>;

impl Case {
    /// Makes what it runs on.
    pub fn prepare(&self) -> Run {
        (self.prepare)()
    }
}

/// All codecs and all bridges.
pub fn cases() -> Vec<Case> {
    codecs::cases().chain(bridges::cases()).collect()
}
