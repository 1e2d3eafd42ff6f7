//! Every chore of the project, as `cargo xtask NAME`. What CI does is `cargo xtask ci`.

mod bare_metal;
mod firmware;
mod fuzz;
mod image;
mod msrv;
mod proofs;
mod run;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::run::cargo;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Everything that CI does, in its order.
    Ci,
    /// Formatting, clippy and rustdoc, with warnings denied.
    Lint,
    /// What can be shown about the engine on a Cortex-M3: it needs no allocator, it has no path to a panic behind the
    /// handshake, and its tests pass there.
    Proofs,
    /// The gateway on an emulated Cortex-M board.
    #[command(subcommand)]
    Firmware(firmware::Firmware),
    /// Checks that the project builds with the Rust version that it states, and that no dependency wants more.
    Msrv,
    /// Runs fuzz targets (all, or those named) for some time each.
    Fuzz {
        /// Names of targets.
        targets: Vec<String>,
        /// Seconds for each target.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Runs Strait among peers that others have written, and writes the tables of docs/PEERS.md.
    Peers {
        /// Names of suites; all of them by default.
        names: Vec<String>,
        /// Every version, not only those that CI has time for.
        #[arg(long)]
        full: bool,
    },
    /// Runs each benchmark once, to see that it works and that what it carries is right.
    BenchSmoke,
}

fn main() -> Result<()> {
    run::at_the_root()?;
    match Arguments::parse().chore {
        Chore::Ci => ci(),
        Chore::Lint => lint(),
        Chore::Proofs => proofs::check(),
        Chore::Firmware(what) => firmware::chore(what),
        Chore::Msrv => msrv::check(),
        Chore::Fuzz { targets, seconds } => fuzz::run(&targets, seconds),
        Chore::Peers { names, full } => peers(&names, full),
        Chore::BenchSmoke => bench_smoke(),
    }
}

fn ci() -> Result<()> {
    cargo(["test", "--workspace"])?;
    lint()?;
    msrv::check()?;
    proofs::check()?;
    firmware::test()?;
    peers(&[], false)?;
    bench_smoke()?;
    fuzz::run(&[], 20)?;
    cargo(["run", "--release", "--", "demo", "--once"])
}

fn peers(names: &[String], full: bool) -> Result<()> {
    run::command("cargo")
        .args(["test", "--package", "strait-tests", "--test", "peers", "--", "--peers"])
        .args(full.then_some("--full"))
        .args(names)
        .run()
}

fn lint() -> Result<()> {
    cargo(["fmt", "--all", "--check"])?;
    cargo(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    run::command("cargo")
        .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "--deny warnings")
        .run()
}

fn bench_smoke() -> Result<()> {
    cargo(["bench", "--package", "strait-bench", "--", "--test"])
}
