use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::goals::GOALS;
use super::records::Records;
use crate::run::command;

/// A line for each commit that was measured.
const FILE: &str = "bench/history.jsonl";

/// What the goals' figures were at one commit: numbers and ratios of one run, which machines have in common.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) commit: String,
    pub(crate) figures: BTreeMap<String, f64>,
}

pub(crate) fn read() -> Result<Vec<Entry>> {
    // Nothing was recorded yet.
    let Ok(text) = fs::read_to_string(FILE) else { return Ok(Vec::new()) };
    text.lines().map(|line| entry(line).with_context(|| format!("{FILE}: {line}"))).collect()
}

fn entry(line: &str) -> Result<Entry> {
    let value: Value = serde_json::from_str(line)?;
    let figures = value["figures"].as_object().context("no figures")?;
    let figures = figures.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect();
    Ok(Entry { commit: value["commit"].as_str().context("no commit")?.to_owned(), figures })
}

/// Appends what was measured of the commit that is checked out. That has to be all of it.
pub(crate) fn record(records: &Records) -> Result<()> {
    let git = |arguments: &[&str]| command("git").args(arguments).output().context("git fails");
    let [commit, date] = ["%h", "%cs"].map(|format| git(&["log", "-1", &format!("--format={format}")]));
    let (commit, date) = (commit?, date?);
    let measured = GOALS.iter().filter_map(|goal| Some((goal.key(), goal.measured(records)?)));
    let figures: BTreeMap<_, _> = measured.map(|(key, value)| (key, (value * 1e4).round() / 1e4)).collect();
    ensure!(!figures.is_empty(), "nothing was measured");
    let mut file = OpenOptions::new().create(true).append(true).open(FILE)?;
    writeln!(file, "{}", json!({ "commit": commit, "date": date, "figures": figures }))?;
    println!("{FILE}: {commit}");
    Ok(())
}
