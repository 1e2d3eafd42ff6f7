//! What the specifications demand, and which tests look at it: `tests/requirements.txt` and the lines `Covers: ID` of tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::sources;

const LIST: &str = "tests/requirements.txt";
const DOCUMENT: &str = "docs/REQUIREMENTS.md";
/// The cases of spdyspec.
const CASES: &str = "docs/CONFORMANCE.md";
const MARK: &str = "/// Covers: ";
const NOT_COVERED: &str = "not covered: ";

struct Requirement {
    id: String,
    what: String,
    suites: String,
}

/// A test, as `file: name`, by the ids that it covers.
type Tests = BTreeMap<String, Vec<String>>;

/// Writes the document.
pub(crate) fn write() -> Result<()> {
    fs::write(DOCUMENT, document()?).with_context(|| format!("cannot write {DOCUMENT}"))
}

/// Fails if ids, tests, cases and the document do not agree.
pub(crate) fn check() -> Result<()> {
    let written = fs::read_to_string(DOCUMENT).with_context(|| format!("no {DOCUMENT}"))?;
    ensure!(written == document()?, "{DOCUMENT} is not what `cargo xtask requirements` writes");
    Ok(())
}

fn document() -> Result<String> {
    let requirements = requirements()?;
    let mut tests = tests()?;
    let cases = cases()?;
    let mut rows = String::new();
    let (mut covered, total) = (0, requirements.len());
    for Requirement { id, what, suites } in &requirements {
        let tests = tests.remove(id).unwrap_or_default();
        let is_open = suites.starts_with(NOT_COVERED);
        ensure!(
            is_open || !suites.is_empty() || !tests.is_empty(),
            "{LIST}: nothing covers {id}, and no word why"
        );
        covered += usize::from(!is_open);
        if !is_open {
            check_suites(id, suites, &cases)?;
        }
        let all: Vec<_> = tests.iter().cloned().chain((!suites.is_empty()).then(|| suites.clone())).collect();
        writeln!(rows, "| {id} | {what} | {} |", all.join("; "))?;
    }
    if let Some((id, tests)) = tests.first_key_value() {
        bail!("{} covers {id}, which is not in {LIST}", tests.join(", "));
    }
    Ok(format!(
        "# Requirements\n\nWhat RFC 6455, RFC 9112 and 9110 (as far as an upgrade is concerned), the SPDY/3.1 draft, KEP-4006 and Kubernetes' streams \
         demand, and what looks at it: tests, cases of spdyspec ([CONFORMANCE.md](CONFORMANCE.md)), sections of Autobahn ([PEERS.md](PEERS.md)). \
         The number behind the section is this project's own. `cargo xtask requirements` writes this from `{LIST}` and the lines `Covers: ID` \
         in front of tests; `cargo xtask lint` checks it.\n\n{covered} of {total} are covered.\n\n\
         | id | what | covered by |\n|---|---|---|\n{rows}"
    ))
}

fn requirements() -> Result<Vec<Requirement>> {
    let text = fs::read_to_string(LIST).with_context(|| format!("no {LIST}"))?;
    let mut all: Vec<Requirement> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let fields: Vec<_> = line.split('|').map(|field| field.trim().to_owned()).collect();
        let [id, what, suites] = fields.try_into().ok().with_context(|| format!("{LIST}: {line}"))?;
        ensure!(all.iter().all(|other| other.id != id), "{LIST}: {id} comes twice");
        all.push(Requirement { id, what, suites });
    }
    Ok(all)
}

fn tests() -> Result<Tests> {
    let mut tests = Tests::new();
    for path in sources::all()? {
        let text = fs::read_to_string(&path)?;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(ids) = line.trim_start().strip_prefix(MARK) else { continue };
            let name =
                lines.find_map(function).with_context(|| format!("{}: {line}: no test", path.display()))?;
            for id in ids.split(", ") {
                tests.entry(id.to_owned()).or_default().push(format!("`{name}` ({})", short(&path)));
            }
        }
    }
    Ok(tests)
}

/// The name of the function that begins in this line.
fn function(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("fn ")?;
    Some(rest.split('(').next()?.to_owned())
}

fn short(path: &Path) -> String {
    path.display().to_string().replace("/src/", "/")
}

/// The numbers of the suite's cases.
fn cases() -> Result<Vec<String>> {
    let text = fs::read_to_string(CASES).with_context(|| format!("no {CASES}"))?;
    let numbers =
        text.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next().map(str::to_owned));
    Ok(numbers.filter(|number| number.starts_with(|digit: char| digit.is_ascii_digit())).collect())
}

fn check_suites(id: &str, suites: &str, cases: &[String]) -> Result<()> {
    for suite in suites.split("; ").filter(|suite| !suite.is_empty()) {
        let (name, numbers) = suite.split_once(' ').with_context(|| format!("{id}: {suite}"))?;
        match name {
            "spdyspec" => {
                for number in numbers.split(", ") {
                    ensure!(cases.iter().any(|case| case == number), "{id}: spdyspec has no case {number}");
                }
            }
            "autobahn" => {}
            other => bail!("{id}: no suite is called {other}"),
        }
    }
    Ok(())
}
