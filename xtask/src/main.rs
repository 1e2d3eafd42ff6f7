//! Every chore of the project, as `cargo xtask NAME`. What CI does is `cargo xtask ci`.

mod bare_metal;
mod coverage;
mod firmware;
mod fuzz;
mod image;
mod instructions;
mod msrv;
mod mutants;
mod proofs;
mod run;
mod size;
mod std_gateway;

use std::path::PathBuf;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
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
    /// What engine and firmware take of flash, memory and stack, and the engine of instructions, compared with the committed
    /// file.
    Size {
        /// Writes the committed file.
        #[arg(long)]
        write: bool,
        /// Prints sections and code by crate of this ELF image instead.
        #[arg(long)]
        image: Option<PathBuf>,
    },
    /// Checks that the project builds with the Rust version that it states, and that no dependency wants more.
    Msrv,
    /// Runs fuzz targets (all, or those named) for some time each.
    Fuzz {
        /// Names of targets.
        targets: Vec<String>,
        /// Seconds for each target.
        #[arg(long, default_value_t = 60, conflicts_with = "minutes")]
        seconds: u64,
        /// Minutes for each target.
        #[arg(long)]
        minutes: Option<u64>,
    },
    /// Breaks the engine in many small ways, and says which of them its tests do not notice.
    Mutants(mutants::Mutants),
    /// Says which lines of the engine its tests and the fuzz bodies over their seeds do not reach.
    Coverage,
    /// Runs Strait among peers that others have written, and writes the tables of docs/PEERS.md.
    Peers {
        /// Names of suites; all of them by default.
        names: Vec<String>,
        /// Every version, not only those that CI has time for.
        #[arg(long)]
        full: bool,
    },
    /// Runs the tests of whole programs with the gateway of `strait-std` in place of `strait gateway`.
    StdGateway {
        /// All that apply, not only the part that CI has time for.
        #[arg(long)]
        all: bool,
    },
    /// Looks at any server or client of Kubernetes' streams: see docs/CONFORMANCE.md.
    #[command(disable_help_flag = true)]
    Conformance {
        /// Arguments of the runner: `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Writes completion scripts for all shells to target/completions.
    Completions,
    /// Writes the manual pages to target/man.
    Man,
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
        Chore::Size { image: Some(image), .. } => size::image(&image),
        Chore::Size { write, image: None } => size::check(write),
        Chore::Msrv => msrv::check(),
        Chore::Fuzz { targets, seconds, minutes } => {
            fuzz::run(&targets, Duration::from_secs(minutes.map_or(seconds, |minutes| 60 * minutes)))
        }
        Chore::Mutants(mutants) => mutants::run(&mutants),
        Chore::Coverage => coverage::run(),
        Chore::Peers { names, full } => peers(&names, full),
        Chore::StdGateway { all } => std_gateway::test(all),
        Chore::Conformance { arguments } => conformance(&arguments),
        Chore::Completions => completions(),
        Chore::Man => manual(),
        Chore::BenchSmoke => bench_smoke(),
    }
}

fn ci() -> Result<()> {
    cargo(["test", "--workspace"])?;
    std_gateway::test(false)?;
    lint()?;
    msrv::check()?;
    proofs::check()?;
    firmware::test()?;
    size::check(false)?;
    peers(&[], false)?;
    bench_smoke()?;
    fuzz::run(&[], Duration::from_secs(5))?;
    cargo(["run", "--release", "--", "demo", "--once"])
}

fn peers(names: &[String], full: bool) -> Result<()> {
    run::command("cargo")
        .args(["test", "--package", "strait-tests", "--test", "peers", "--", "--peers"])
        .args(full.then_some("--full"))
        .args(names)
        .run()
}

fn conformance(arguments: &[String]) -> Result<()> {
    run::command("cargo").args(["run", "--quiet", "--package", "spdyspec", "--"]).args(arguments).run()
}

fn lint() -> Result<()> {
    cargo(["fmt", "--all", "--check"])?;
    cargo(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    // What the rest of the workspace turns on, or does not.
    for features in [["--no-default-features", "--features=log"], ["--features=defmt", "--all-targets"]] {
        let package = ["clippy", "--package", "strait-embassy"].into_iter().chain(features);
        run::command("cargo").args(package).args(["--", "--deny", "warnings"]).run()?;
    }
    run::command("cargo")
        .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "--deny warnings")
        .run()
}

/// The program knows its own arguments: it writes what documents them.
fn completions() -> Result<()> {
    let directory = Path::new("target/completions");
    fs::create_dir_all(directory)?;
    for (shell, file) in [("bash", "strait"), ("zsh", "_strait"), ("fish", "strait.fish")] {
        let script = run::command("cargo").args(["run", "--quiet", "--", "completion", shell]).output();
        let script = script.with_context(|| format!("no completions for {shell}"))?;
        fs::write(directory.join(file), script)?;
    }
    Ok(())
}

fn manual() -> Result<()> {
    fs::create_dir_all("target/man")?;
    cargo(["run", "--quiet", "--", "man", "target/man"])
}

fn bench_smoke() -> Result<()> {
    cargo(["bench", "--package", "strait-bench", "--", "--test"])
}
