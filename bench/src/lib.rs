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

/// All codecs and all bridges, with the registers of every x86-64; and behind them those of [`MASKING`] with AVX2, if the CPU has it.
///
/// They are last because a process that has once begun to use AVX2 goes on.
pub fn cases() -> Vec<Case> {
    let (plain, again) = (plain(), if has_avx2() { plain() } else { vec![] });
    let masking = again.into_iter().filter(|case| MASKING.contains(&&*case.name));
    plain.into_iter().chain(masking.map(with_avx2)).collect()
}

fn plain() -> Vec<Case> {
    codecs::cases().chain(bridges::cases()).collect()
}

/// Whether this machine can run the cases with AVX2.
pub fn has_avx2() -> bool {
    strait_simd::is_available()
}

/// Begins the names of cases with AVX2.
pub const AVX2: &str = "avx2/";

/// What masks or unmasks payload that is long enough for it.
pub const MASKING: [&str; 15] = [
    "mask/1024",
    "mask/4096",
    "mask/32768",
    "mask/65536",
    "ws/receive/1024",
    "ws/receive/4096",
    "ws/receive/32768",
    "ws/receive/65536",
    "ws/send_masked/32768",
    "bridge/stdin/1KiB",
    "bridge/stdin/4KiB",
    "bridge/stdin/32KiB",
    "bridge/ports/up/32KiB",
    "bridge/tunnel/up/32KiB",
    "bridge/from_spdy/stdin/32KiB",
];

fn with_avx2(case: Case) -> Case {
    let prepare = case.prepare;
    let prepare = Box::new(move || {
        assert!(strait_simd::install(), "the CPU has AVX2");
        prepare()
    });
    Case { name: format!("{AVX2}{}", case.name), prepare, ..case }
}
