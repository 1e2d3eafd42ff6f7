use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::command;

/// Lines of the engine that tests and seeds have to reach, in hundredths of a percent.
const GOAL: usize = 9_700;

/// The tests whose lines count.
const TESTS: [&str; 2] = ["strait", "strait-fuzz"];

/// Where the report lies.
const REPORT: &str = "docs/COVERAGE.md";

/// Runs the engine's tests and all fuzz bodies over their seeds, and says which lines of the engine they reach.
///
/// The compiler's own counters are used, and LLVM's tools of the same version or a newer one: `llvm-profdata` and `llvm-cov`,
/// with a version behind their names where the system has it so.
pub(crate) fn run() -> Result<()> {
    let (profdata, cov) = (tool("llvm-profdata")?, tool("llvm-cov")?);
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let directory = std::path::absolute(target.join("coverage"))?;
    let profiles = directory.join("profiles");
    if profiles.exists() {
        fs::remove_dir_all(&profiles)?;
    }
    let test = || {
        let packages = TESTS.iter().flat_map(|package| ["--package", *package]);
        command("cargo")
            .args(["test", "--lib", "--tests"])
            .args(packages)
            .env("CARGO_TARGET_DIR", &directory)
            .env("RUSTFLAGS", "--codegen instrument-coverage")
            .env("LLVM_PROFILE_FILE", profiles.join("%m.profraw"))
    };
    test().run()?;
    let built = test().args(["--no-run", "--message-format=json"]).output().context("the tests are gone")?;
    let binaries: Vec<&str> = built.lines().filter_map(executable).collect();
    ensure!(!binaries.is_empty(), "cargo names no test binaries");

    let merged = directory.join("merged.profdata");
    let merged = merged.to_string_lossy();
    let profiles = profiles.to_string_lossy();
    command(&profdata).args(["merge", "--sparse", &profiles, "--output", &merged]).run()?;
    let objects = binaries.iter().flat_map(|binary| ["--object", binary]).skip(1);
    let export = command(&cov)
        .args(["export", "--format=lcov", "--instr-profile", &merged])
        .args(objects)
        .output()
        .context("llvm-cov fails")?;
    let files = Lines::read(&export);
    report(&files)
}

/// This tool, or the newest of its versions that has a number behind its name.
fn tool(name: &str) -> Result<String> {
    let numbered = (18..40).rev().map(|version| format!("{name}-{version}"));
    let mut names = numbered.chain([name.to_owned()]);
    let found = names.find(|name| std::process::Command::new(name).arg("--version").output().is_ok());
    found.with_context(|| format!("NOT RUN: {name} is missing. Debian's package llvm-22 has it"))
}

/// The test binary in a message of cargo.
fn executable(message: &str) -> Option<&str> {
    let (_, path) = message.split_once("\"executable\":\"")?;
    path.split_once('"').map(|(path, _)| path)
}

/// The lines of one file of the engine that hold code.
struct Lines {
    file: String,
    count: usize,
    /// Those that were not reached.
    missed: Vec<usize>,
}

impl Lines {
    /// Of a report in the format of lcov. Tests are no part of the engine.
    fn read(lcov: &str) -> Vec<Self> {
        let root = std::env::current_dir().unwrap_or_default();
        let mut files: Vec<Self> = vec![];
        let mut tests = usize::MAX;
        for line in lcov.lines() {
            if let Some(path) = line.strip_prefix("SF:") {
                let path = Path::new(path);
                let file = path.strip_prefix(&root).unwrap_or(path).to_string_lossy().into_owned();
                tests = begin_of_tests(path);
                files.push(Self { file, count: 0, missed: vec![] });
            } else if let (Some(data), Some(file)) = (line.strip_prefix("DA:"), files.last_mut()) {
                let mut numbers = data.split(',').filter_map(|number| number.parse::<usize>().ok());
                let (Some(line), Some(hits)) = (numbers.next(), numbers.next()) else { continue };
                if line < tests {
                    file.count += 1;
                    file.missed.extend((hits == 0).then_some(line));
                }
            }
        }
        files.retain(|file| file.file.starts_with("engine/src/") && !is_test(&file.file));
        files
    }
}

/// A file's tests stand at its end.
fn begin_of_tests(file: &Path) -> usize {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().position(|line| line.starts_with("mod tests {")).unwrap_or(usize::MAX)
}

fn is_test(file: &str) -> bool {
    file.contains("/tests") || file.contains("/testbed")
}

fn report(files: &[Lines]) -> Result<()> {
    let count: usize = files.iter().map(|file| file.count).sum();
    let missed: usize = files.iter().map(|file| file.missed.len()).sum();
    ensure!(count > 0, "no line of the engine is in the report");
    let percent = 10_000 * (count - missed) / count;
    println!(
        "\n{} of {count} lines of the engine are reached: {}.{:02} %. Not reached:",
        count - missed,
        percent / 100,
        percent % 100
    );
    let explained = fs::read_to_string(REPORT).unwrap_or_default();
    let mut unexplained = vec![];
    for Lines { file, missed, .. } in files.iter().filter(|file| !file.missed.is_empty()) {
        let text = fs::read_to_string(file).unwrap_or_default();
        for line in missed {
            let text = text.lines().nth(line - 1).unwrap_or_default().trim();
            println!("{file}:{line}: {text}");
        }
        if !explained.contains(file.as_str()) {
            unexplained.push(file.as_str());
        }
    }
    ensure!(percent >= GOAL, "less than {} %", GOAL / 100);
    if !unexplained.is_empty() {
        bail!("{REPORT} says nothing about {}", unexplained.join(", "));
    }
    Ok(())
}
