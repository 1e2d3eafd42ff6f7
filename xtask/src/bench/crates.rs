use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use strait_bench::Record;

use crate::run::{cargo, target};

/// What stands round the counted part of a run.
const COUNTED: &str = "strait_bench_peers::Case::run_counted*";

/// The C library takes what every x86-64 has, as where the engine alone is counted.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-AVX512F,-AVX512VL,-ERMS,-FSRM";

/// One line of the program's list.
#[derive(Debug, PartialEq, Eq)]
struct Case<'a> {
    number: usize,
    scenario: &'a str,
    target: &'a str,
    frames: u32,
}

/// Counts the instructions of the engine and of other crates on the same bytes, of all or of scenarios that begin so, into
/// `target/lab/crates.jsonl`.
pub(super) fn count(scenarios: &[String]) -> Result<()> {
    cargo(["build", "--release", "--package", "strait-bench-peers", "--example", "case"])?;
    let program = target().join("release/examples/case");
    let list = Command::new(&program).output()?;
    let list = String::from_utf8(list.stdout)?;
    let mut records = vec![];
    for (number, line) in list.lines().enumerate() {
        let case = Case::parse(number, line).with_context(|| line.to_owned())?;
        let is_wanted = |wanted: &String| case.scenario.starts_with(wanted.as_str());
        if !scenarios.is_empty() && !scenarios.iter().any(is_wanted) {
            continue;
        }
        let count = case.count(&program).with_context(|| line.to_owned())?;
        println!("{:<24} {:<22} {count:>12.1} instructions a frame", case.scenario, case.target);
        let figure = "instructions a frame";
        records.push(Record::exact(case.scenario, case.target, figure, "instructions", count));
    }
    ensure!(!records.is_empty(), "there is no such scenario in\n{list}");
    println!("{}", Record::store("crates", &records)?.display());
    Ok(())
}

impl<'a> Case<'a> {
    fn parse(number: usize, line: &'a str) -> Result<Self> {
        let mut fields = line.split('|');
        let mut field = || fields.next().context("a field is missing");
        Ok(Self { number, scenario: field()?, target: field()?, frames: field()?.parse()? })
    }

    /// Instructions for each frame.
    fn count(&self, program: &Path) -> Result<f64> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--cache-sim=no", "--callgrind-out-file=/dev/null"])
            .arg(format!("--toggle-collect={COUNTED}"))
            .arg(program)
            .arg(self.number.to_string())
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("GLIBC_TUNABLES", TUNABLES)
            .output()
            .context("NOT RUN: no valgrind. On Debian it is a package")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "valgrind: {said}");
        let count = collected(&said).with_context(|| format!("no count: {said}"))?;
        ensure!(count > 0.0, "nothing was counted: no function is called {COUNTED}");
        Ok((count / f64::from(self.frames) * 10.0).round() / 10.0)
    }
}

/// What callgrind says at the end.
fn collected(said: &str) -> Option<f64> {
    said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_in_what_callgrind_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 37640\n==7== \n==7== I   refs:      37,640\n";
        assert_eq!(collected(said), Some(37640.0));
        assert_eq!(collected("==7== \n"), None);
    }

    #[test]
    fn cases_are_read_as_the_program_lists_them() {
        let case = Case { number: 3, scenario: "ws/receive/16", target: "flate2 with zlib-rs", frames: 256 };
        assert_eq!(Case::parse(3, "ws/receive/16|flate2 with zlib-rs|256").unwrap(), case);
        assert!(Case::parse(3, "ws/receive/16|strait").is_err());
    }
}
