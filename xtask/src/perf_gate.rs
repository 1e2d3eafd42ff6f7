//! `cargo xtask perf-gate`: notices when something has become slower. See `docs/PERF_GATE.md`.

mod baseline;
mod measure;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use self::baseline::{Baseline, Verdict};
use self::measure::Figure;

/// What is committed of this project.
const COMMITTED: &str = "bench/baseline.txt";

/// The case that the gate is tried with.
const TRIED: &str = "bridge/stdin/32KiB";

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
    ensure!(
        !options.write || strait_bench::has_avx2(),
        "the baseline has counts with AVX2: write it where the CPU has that"
    );
    let mut figures = measure::instructions(None)?;
    figures.extend(measure::ratios()?);
    compare_or_write(options, &compiler, &figures)?;
    if options.write { Ok(()) } else { notices_a_slow_engine(&options.baseline, &compiler) }
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
    let has_avx2 = strait_bench::has_avx2();
    if !has_avx2 {
        println!("NOT COMPARED: instruction counts with AVX2, which this CPU does not have");
    }
    let counts = |name: &str| comparable && (has_avx2 || !is_with_avx2(name));
    let verdicts = baseline.compare(figures, counts);
    for (name, verdict) in &verdicts {
        if !matches!(verdict, Verdict::Same) {
            println!("{verdict}: {name}");
        }
    }
    let failed = verdicts.iter().filter(|(_, verdict)| verdict.is_failure()).count();
    println!("{} figures compared, {failed} beyond their limits", verdicts.len());
    ensure!(
        failed == 0,
        "performance has changed. If that is intended: cargo xtask perf-gate --write, in the same commit"
    );
    Ok(())
}

/// Whether a figure is of a case that machines without AVX2 cannot measure.
fn is_with_avx2(name: &str) -> bool {
    name.contains(&format!("| {}", strait_bench::AVX2))
}

/// The same with an engine that gets its input in short reads, which the gate has to notice: otherwise it notices nothing.
fn notices_a_slow_engine(baseline: &Path, compiler: &str) -> Result<()> {
    let baseline = read(baseline)?.only(TRIED);
    if !baseline.compiler.is_empty() && baseline.compiler != compiler {
        println!("NOT RUN: whether the gate notices a slow engine");
        return Ok(());
    }
    let slow = measure::instructions(Some(TRIED))?;
    if compare(&baseline, compiler, &slow).is_ok() {
        bail!("the gate does not notice an engine that was made slow on purpose");
    }
    println!("so it has to be: this engine was slow on purpose, and the gate has noticed");
    Ok(())
}
