//! `cargo xtask perf-gate`: notices when something has become slower. See `docs/PERF_GATE.md`.

mod baseline;
mod measure;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::baseline::{Baseline, Rule, Verdict};
use self::measure::Figure;

/// What is committed of this project.
const COMMITTED: &str = "bench/baseline.txt";

/// The case that the gate is tried with, and the gateway's scenario.
const TRIED: &str = "bridge/stdin/32KiB";
const TRIED_GATEWAY: &str = "stdin/32KiB";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Writes the baseline instead of comparing with it.
    #[arg(long)]
    write: bool,
    /// The baseline to compare with: this project's own by default.
    #[arg(long, default_value = COMMITTED)]
    baseline: PathBuf,
    /// Results to compare, in lines of JSON, instead of measuring the engine.
    #[arg(long)]
    results: Vec<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { write: false, baseline: COMMITTED.into(), results: vec![] }
    }
}

pub(crate) fn chore(options: &Options) -> Result<()> {
    let compiler = measure::compiler()?;
    if !options.results.is_empty() {
        let mut figures = vec![];
        for results in &options.results {
            figures.extend(measure::read(results)?);
        }
        return compare_or_write(options, &compiler, &figures);
    }
    let mut figures = measure::instructions(None)?;
    figures.extend(measure::gateway(None)?);
    figures.extend(measure::ratios()?);
    compare_or_write(options, &compiler, &figures)?;
    if options.write {
        return Ok(());
    }
    notices_a_slow_engine(&options.baseline, &compiler)?;
    notices_a_spoilt_gateway(&options.baseline)
}

fn compare_or_write(options: &Options, compiler: &str, figures: &[Figure]) -> Result<()> {
    let path = &options.baseline;
    if options.write {
        let text = Baseline::of(compiler, figures).to_string();
        return fs::write(path, text).with_context(|| format!("cannot write {}", path.display()));
    }
    compare(&read(path)?, compiler, figures)
}

fn read(path: &Path) -> Result<Baseline> {
    let text = fs::read_to_string(path).with_context(|| format!("no baseline {}", path.display()))?;
    text.parse().with_context(|| format!("the baseline {}", path.display()))
}

fn compare(baseline: &Baseline, compiler: &str, figures: &[Figure]) -> Result<()> {
    let comparable = baseline.compiler.is_empty() || baseline.compiler == compiler;
    if !comparable {
        println!(
            "NOT COMPARED: instruction counts, whose baseline is of {}, by {compiler}",
            baseline.compiler
        );
    }
    ensure!(
        failures(baseline, figures, comparable).is_empty(),
        "performance has changed. If that is intended: cargo xtask perf-gate --write, in the same commit"
    );
    Ok(())
}

/// Prints what has changed, and returns the names of what is beyond its limit.
fn failures(baseline: &Baseline, figures: &[Figure], counts: bool) -> Vec<String> {
    let verdicts = baseline.compare(figures, counts);
    for (name, verdict) in &verdicts {
        if !matches!(verdict, Verdict::Same) {
            println!("{verdict}: {name}");
        }
    }
    let compared = verdicts.len();
    let failed: Vec<_> =
        verdicts.into_iter().filter(|(_, verdict)| verdict.is_failure()).map(|(name, _)| name).collect();
    println!("{compared} figures compared, {} beyond their limits", failed.len());
    failed
}

/// The same with an engine that gets its input in short reads.
fn notices_a_slow_engine(baseline: &Path, compiler: &str) -> Result<()> {
    let baseline = read(baseline)?.only(Rule::Count, TRIED);
    if !baseline.compiler.is_empty() && baseline.compiler != compiler {
        println!("NOT RUN: whether the gate notices a slow engine");
        return Ok(());
    }
    notices(&baseline, &measure::instructions(Some(TRIED))?, "instructions")
}

/// The same with a gateway that allocates with each read, and with one that makes another system call.
fn notices_a_spoilt_gateway(baseline: &Path) -> Result<()> {
    for (how, figure) in [("allocation", "allocations"), ("call", "system calls")] {
        let baseline = read(baseline)?.only(Rule::Exact, TRIED_GATEWAY);
        notices(&baseline, &measure::gateway(Some((how, TRIED_GATEWAY)))?, figure)?;
    }
    Ok(())
}

/// The gate has to notice what was made worse on purpose, and say which figure it is: otherwise it notices nothing.
fn notices(baseline: &Baseline, worse: &[Figure], figure: &str) -> Result<()> {
    let failed = failures(baseline, worse, true);
    ensure!(
        matches!(&*failed, [name] if name.starts_with(figure)),
        "the gate does not notice {figure} that were made more on purpose, but {failed:?}"
    );
    println!("so it has to be: that was made worse on purpose, and the gate has noticed");
    Ok(())
}
