//! What came of it all.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use strait_tests::write_down;

use crate::job::{Came, Done, Load};
use crate::servers::Blow;
use crate::wire::Fault;

/// As many findings are told.
const TOLD: usize = 30;

#[derive(Default)]
pub(crate) struct Report {
    seed: u64,
    loads: BTreeMap<Load, Counts>,
    /// By their names.
    faults: BTreeMap<&'static str, usize>,
    held: String,
    stood_still: usize,
    findings: Vec<String>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    all: usize,
    errors: usize,
    left: usize,
    not_judged: usize,
    findings: usize,
    payload: usize,
}

impl Report {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    pub(crate) fn add(&mut self, done: Done) {
        let counts = self.loads.entry(done.load).or_default();
        for fault in done.faults {
            *self.faults.entry(name(fault)).or_default() += 1;
        }
        match done.came {
            Ok(Came::All) => {
                counts.all += 1;
                counts.payload += done.payload;
            }
            Ok(Came::Error(_)) => counts.errors += 1,
            Ok(Came::Left) => counts.left += 1,
            Ok(Came::NotJudged) => counts.not_judged += 1,
            Err(error) => {
                counts.findings += 1;
                self.find(format!("{error:#}"));
            }
        }
    }

    pub(crate) fn blow(&mut self, blow: Blow, result: Result<()>) {
        let name = match blow {
            Blow::NodeKilled => "a node killed",
            Blow::NodeStopped => "a node told to stop",
            Blow::GatewayKilled => "a gateway killed",
            Blow::GatewayDrained => "a gateway drained and replaced",
            Blow::CertificateReplaced => "a certificate replaced, and loaded while sessions run",
        };
        *self.faults.entry(name).or_default() += 1;
        if let Err(error) = result {
            self.find(format!("{error:#}"));
        }
    }

    pub(crate) fn end(&mut self, held: &str, findings: Vec<String>) {
        held.clone_into(&mut self.held);
        for finding in findings {
            self.find(finding);
        }
    }

    pub(crate) const fn stood_still(&mut self, times: usize) {
        self.stood_still = times;
    }

    fn find(&mut self, finding: String) {
        println!("FINDING: {finding}");
        self.findings.push(finding);
    }

    pub(crate) const fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Puts it into the document.
    pub(crate) fn write(&self, minutes: f64) {
        let command = format!("`cargo xtask soak --minutes {minutes} --seed {} --write`:", self.seed);
        write_down("ROBUSTNESS.md", "soak", &format!("{command}\n\n{self}"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| work | complete | ended with an error | client left | not judged | findings | payload checked, MB |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|")?;
        let mut total = Counts::default();
        let mut row = |name: &str, counts: &Counts| {
            let megabytes = counts.payload / 1_000_000;
            writeln!(
                f,
                "| {name} | {} | {} | {} | {} | {} | {megabytes} |",
                counts.all, counts.errors, counts.left, counts.not_judged, counts.findings
            )
        };
        for (load, counts) in &self.loads {
            row(load.name(), counts)?;
            total.all += counts.all;
            total.errors += counts.errors;
            total.left += counts.left;
            total.not_judged += counts.not_judged;
            total.findings += counts.findings;
            total.payload += counts.payload;
        }
        row("all", &total)?;
        writeln!(f, "\n| fault | laid out for |\n|---|--:|")?;
        for (name, times) in &self.faults {
            writeln!(f, "| {name} | {times} |")?;
        }
        writeln!(f, "\n{}", self.held)?;
        writeln!(f, "{} findings.", self.findings.len())?;
        if self.stood_still > 0 {
            let times = self.stood_still;
            writeln!(
                f,
                "The machine stood still for some seconds {times} times; what failed then, other than with wrong bytes, is not judged."
            )?;
        }
        for finding in self.findings.iter().take(TOLD) {
            writeln!(f, "* {finding}")?;
        }
        Ok(())
    }
}

const fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Clean => "none, on a connection",
        Fault::Pieces(_) => "a connection in pieces, with pauses",
        Fault::Stall(..) => "a connection stalled",
        Fault::Cut(_, _, true) => "a connection cut, RST",
        Fault::Cut(_, _, false) => "a connection cut, FIN",
        Fault::HalfClose(..) => "a connection half closed",
    }
}
