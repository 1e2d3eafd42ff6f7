//! Every chore of the project, as `cargo xtask NAME`. What CI does is `cargo xtask ci`.

mod audit;
mod bare_metal;
mod bench;
mod ci;
mod coverage;
mod firmware;
mod fuzz;
mod image;
mod instructions;
mod msrv;
mod mutants;
mod perf_gate;
mod proofs;
mod report;
mod requirements;
mod run;
mod size;
mod sources;
mod std_gateway;
mod unsafe_code;

use std::fs;
use std::path::{Path, PathBuf};
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
    /// Formatting, clippy and rustdoc, with warnings denied; where unsafe code may stand; requirements and their tests.
    Lint,
    /// Licences, duplicates, bans and sources of all dependencies, by cargo-deny, and advisories where they can be had.
    Audit,
    /// Writes docs/REQUIREMENTS.md: what the specifications demand, and which tests look at it.
    Requirements,
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
    /// Mixed real load through gateways and nodes, whose connections and programs break at random; every byte is checked.
    Soak {
        /// How long.
        #[arg(long, default_value_t = 3.0)]
        minutes: f64,
        /// Which load and which faults; each run prints the one it took.
        #[arg(long)]
        seed: Option<u64>,
        /// Writes the summary into docs/ROBUSTNESS.md.
        #[arg(long)]
        write: bool,
    },
    /// What a hostile client or upstream costs a gateway: memory and CPU time, each with its bound. `STRAIT_LONG=1` takes many more connections.
    Attacks {
        /// Writes the table into docs/ROBUSTNESS.md.
        #[arg(long)]
        write: bool,
    },
    /// A session in memory whose connections are cut at every byte, and under 5,000 seeds of random faults.
    Cuts {
        /// Writes the table into docs/ROBUSTNESS.md.
        #[arg(long)]
        write: bool,
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
    /// Draws a flame graph of a scenario, or of another case of the benchmarks: see `docs/PERF_GATE.md`.
    Profile {
        /// Its name.
        scenario: Option<String>,
    },
    /// Measures whole translators over loopback: see docs/LAB.md.
    #[command(disable_help_flag = true)]
    Bench {
        /// Arguments of the rig: `[SCENARIO...] [--target NAME] [--seconds N] [--short]`; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Writes what was measured last as a page with plots, and as the table of the goals.
    Report(report::Options),
    /// Compares what the engine costs with the committed baseline: see `docs/PERF_GATE.md`.
    PerfGate(perf_gate::Options),
}

fn main() -> Result<()> {
    run::at_the_root()?;
    match Arguments::parse().chore {
        Chore::Ci => ci::check(),
        Chore::Lint => lint(),
        Chore::Audit => audit::check(),
        Chore::Requirements => requirements::write(),
        Chore::Proofs => proofs::check(),
        Chore::Firmware(what) => firmware::chore(what),
        Chore::Size { image: Some(image), .. } => size::image(&image),
        Chore::Size { write, image: None } => size::check(write),
        Chore::Msrv => msrv::check(),
        Chore::Fuzz { targets, seconds, minutes } => {
            fuzz::run(&targets, Duration::from_secs(minutes.map_or(seconds, |minutes| 60 * minutes)), None)
        }
        Chore::Mutants(mutants) => mutants::run(&mutants),
        Chore::Coverage => coverage::run(),
        Chore::Peers { names, full } => peers(&names, full),
        Chore::StdGateway { all } => std_gateway::test(all),
        Chore::Soak { minutes, seed, write } => soak(minutes, seed, write),
        Chore::Attacks { write } => attacks(write),
        Chore::Cuts { write } => cuts(write),
        Chore::Conformance { arguments } => conformance(&arguments),
        Chore::Completions => completions(),
        Chore::Man => manual(),
        Chore::Profile { scenario } => profile(scenario.as_deref()),
        Chore::Bench { arguments } => bench::run(&arguments),
        Chore::Report(options) => report::report(&options),
        Chore::PerfGate(options) => perf_gate::chore(&options),
    }
}

fn peers(names: &[String], full: bool) -> Result<()> {
    run::command("cargo")
        .args(["test", "--workspace", "--test", "peers", "--", "--peers"])
        .args(full.then_some("--full"))
        .args(names)
        .run()
}

fn soak(minutes: f64, seed: Option<u64>, write: bool) -> Result<()> {
    // Not by `cargo run`, which has no `--workspace`: it would build all dependencies with other features again.
    cargo(["build", "--workspace", "--example", "soak"])?;
    run::command(run::target().join("debug/examples/soak"))
        .args([format!("--minutes={minutes}")])
        .args(seed.map(|seed| format!("--seed={seed}")))
        .args(write.then_some("--write"))
        .run()
}

fn attacks(write: bool) -> Result<()> {
    run::command("cargo")
        .args(["test", "--quiet", "--workspace", "--test", "attacks", "--"])
        .args(write.then_some("--write"))
        .run()
}

fn cuts(write: bool) -> Result<()> {
    let command = run::command("cargo")
        .args(["test", "--package", "strait-tokio", "--lib", "faults", "--", "--nocapture"])
        .env("STRAIT_LONG", "1");
    if write { command.env("STRAIT_WRITE", "1") } else { command }.run()
}

fn profile(scenario: Option<&str>) -> Result<()> {
    let run = ["run", "--quiet", "--profile", "bench", "--package", "strait-profile", "--"];
    run::command("cargo").args(run).args(scenario).run()
}

fn conformance(arguments: &[String]) -> Result<()> {
    run::command("cargo").args(["run", "--quiet", "--package", "spdyspec", "--"]).args(arguments).run()
}

fn lint() -> Result<()> {
    unsafe_code::check()?;
    requirements::check()?;
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
