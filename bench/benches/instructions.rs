//! Instructions of all codecs and bridges, as valgrind counts them: the same in every run, so that a change of one percent is
//! seen. `cargo xtask perf-gate` compares them with the committed ones.
//!
//! ```console
//! $ cargo install --locked gungraun-runner --version 0.20.0
//! $ cargo bench -p strait-bench --bench instructions
//! ```
//!
//! The engine's calls alone are counted, not what stands for reading and writing, and each case runs once in a process of its
//! own. What the C library has several variants of is pinned to the one for every x86-64, which is what any machine has.

#![allow(
    missing_docs,
    unused_qualifications,
    reason = "the macros make items without documentation and with long paths"
)]

use std::hint::black_box;

use gungraun::prelude::*;
use gungraun::{Callgrind, EntryPoint};
use strait_bench::{Run, cases};

/// Taken by number: the names are those of [`cases`].
fn prepare(number: usize) -> Run {
    cases()[number].prepare()
}

#[library_benchmark(setup = prepare)]
#[benches::case(iter = 0..cases().len())]
fn engine(mut run: Run) -> Run {
    black_box(run());
    run
}

library_benchmark_group!(name = all, benchmarks = engine);

main!(
    config = LibraryBenchmarkConfig::default()
        .env(
            "GLIBC_TUNABLES",
            "glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-AVX512F,-AVX512VL,-ERMS,-FSRM"
        )
        .pass_through_env("STRAIT_SLOW")
        .tool(
            Callgrind::with_args(["--cache-sim=no"])
                .entry_point(EntryPoint::Custom("strait_bench::counted::*".to_owned()))
        ),
    library_benchmark_groups = all
);
