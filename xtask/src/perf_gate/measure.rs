use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use strait_bench::{Record, cases};

use crate::bench;
use crate::run::{command, target};

/// The version of the runner, and of the library in the workspace.
const RUNNER: &str = "0.20.0";

/// A measured figure.
#[derive(Debug)]
pub(super) struct Figure {
    /// What was measured, of whom, doing what.
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) value: f64,
}

/// The compiler that decides what the counts are.
pub(super) fn compiler() -> Result<String> {
    command("rustc").args(["--version"]).output().context("rustc does not tell its version")
}

/// Counts the instructions of all cases, or of one with an engine that was made slow.
pub(super) fn instructions(slow: Option<&str>) -> Result<Vec<Figure>> {
    ensure!(
        command("valgrind").args(["--version"]).output().is_some()
            && command("gungraun-runner")
                .args(["--version"])
                .output()
                .is_some_and(|version| version.contains(RUNNER)),
        "NOT RUN: valgrind or gungraun-runner {RUNNER} is missing. On Debian valgrind is a package; \
         cargo install --locked gungraun-runner --version {RUNNER}"
    );
    let all: Vec<_> = cases().into_iter().enumerate().collect();
    let wanted: Vec<_> =
        all.into_iter().filter(|(_, case)| slow.is_none_or(|name| case.name == name)).collect();
    let bench =
        benchmark("instructions").args(["--nosummary", "--output-format=json", "--save-summary=json"]);
    let bench = match (slow, &*wanted) {
        (Some(_), [(number, _)]) => bench.args([format!("*::case_{number}")]).env("STRAIT_SLOW", "1"),
        _ => bench,
    };
    bench
        .output()
        .context("counting instructions has failed: cargo bench -p strait-bench --bench instructions")?;
    let mut records = vec![];
    for (number, case) in wanted {
        let count = count(number).with_context(|| case.name.clone())? / f64::from(case.count);
        // With the precision of the baseline.
        let count = (count * 10.0).round() / 10.0;
        records.push(Record::exact(&case.name, "engine", "instructions a frame", "instructions", count));
    }
    if slow.is_none() {
        Record::store("instructions", &records)?;
    }
    Ok(records.iter().map(figure).collect())
}

/// What gungraun has counted.
fn count(number: usize) -> Result<f64> {
    let folder =
        target().join("gungraun/strait-bench/instructions/all").join(format!("engine.case_{number}"));
    let summary: Value = serde_json::from_str(&fs::read_to_string(folder.join("summary.json"))?)?;
    let values = &summary["profiles"][0]["data"]["total"]["metrics"]["Ir"]["values"];
    values["new"].as_f64().context("the summary has no count")
}

/// Counts what the gateway asks the system for, or what one that was spoilt on purpose does in one scenario.
pub(super) fn gateway(spoilt: Option<(&str, &str)>) -> Result<Vec<Figure>> {
    let rig = command(bench::rig()?).args(["--count"]);
    let rig = match spoilt {
        Some((how, scenario)) => rig.args(["--spoil", how, scenario]),
        None => rig,
    };
    let counted = rig.output().context("counting has failed: target/lab/strait-rig --count")?;
    if spoilt.is_none() {
        fs::write(target().join("lab/counts.jsonl"), format!("{counted}\n"))?;
    }
    lines(&counted)
}

/// Times next to those of a limit.
pub(super) fn ratios() -> Result<Vec<Figure>> {
    benchmark("ratios").run()?;
    read(&target().join("lab/ratios.jsonl"))
}

fn benchmark(name: &str) -> crate::run::Run {
    command("cargo").args(["bench", "--package", "strait-bench", "--bench", name, "--"])
}

fn figure(record: &Record) -> Figure {
    let Record { scenario, target, figure, unit, value, .. } = record;
    Figure { name: format!("{figure} | {target} | {scenario}"), unit: unit.clone(), value: *value }
}

/// Reads results: one figure a line, as JSON.
pub(super) fn read(path: &Path) -> Result<Vec<Figure>> {
    lines(&fs::read_to_string(path).with_context(|| format!("no results {}", path.display()))?)
}

fn lines(text: &str) -> Result<Vec<Figure>> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| parse(line).with_context(|| line.to_owned()))
        .collect()
}

fn parse(line: &str) -> Result<Figure> {
    let record: Value = serde_json::from_str(line)?;
    let text = |name: &str| record[name].as_str().with_context(|| format!("no {name}"));
    let name = format!("{} | {} | {}", text("figure")?, text("target")?, text("scenario")?);
    Ok(Figure { name, unit: text("unit")?.to_owned(), value: record["value"].as_f64().context("no value")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_as_it_was_written() {
        let record = Record::exact("stdin/1KiB", "a \"peer\"", "time", "s", 2.5);
        let read = parse(&record.to_string()).unwrap();
        assert_eq!((&*read.name, &*read.unit, read.value), ("time | a \"peer\" | stdin/1KiB", "s", 2.5));
        assert!(parse("{}").is_err());
    }
}
