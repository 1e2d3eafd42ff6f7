use anyhow::{Result, ensure};

use crate::run::command;

/// Tests that take longer than all others together: a mutant that the others let live has to be shown to these, too.
const SLOW: [&str; 4] = [
    "small_pieces",
    "cut_at_every_byte",
    "every_split_gives_the_same_session_between_any_two",
    "every_byte_arrives_once_in_order_between_any_two",
];

/// What mutants are made of, and what they are shown to.
#[derive(Debug, clap::Args)]
pub(crate) struct Mutants {
    /// Files of the engine, as patterns; all of them by default.
    #[arg(long)]
    file: Vec<String>,
    /// A part of the mutants, spread over all files: K/N, K from 0.
    #[arg(long)]
    shard: Option<String>,
    /// Only tests with this in their names, such as `http::`.
    #[arg(long)]
    tests: Option<String>,
    /// All tests, the slow ones too.
    #[arg(long)]
    all: bool,
}

/// Breaks the engine in many small ways, and says which of them no test notices.
pub(crate) fn run(mutants: &Mutants) -> Result<()> {
    let version = command("cargo").args(["mutants", "--version"]).output();
    ensure!(
        version.is_some(),
        "NOT RUN: cargo-mutants is missing. Install it: cargo install --locked cargo-mutants"
    );
    let files = mutants.file.iter().flat_map(|file| ["--file", file]);
    let shard = mutants.shard.iter().flat_map(|shard| ["--shard", shard, "--sharding", "round-robin"]);
    let slow = SLOW.iter().filter(|_| !mutants.all).flat_map(|slow| ["--skip", slow]);
    command("cargo")
        .args(["mutants", "--package", "strait", "--no-shuffle", "--jobs", "1", "--timeout", "400"])
        .args(["--baseline", "skip", "--output", "target"])
        .args(files)
        .args(shard)
        .args(["--", "--lib", "--tests", "--"])
        .args(&mutants.tests)
        .args(slow)
        .run()
}
