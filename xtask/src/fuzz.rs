use anyhow::{Result, ensure};

use crate::run::command;

/// cargo-fuzz needs flags of the nightly compiler; with this variable the stable one has them.
const BOOTSTRAP: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");

/// The coverage counters of cargo-fuzz do not survive link-time optimisation.
const NO_LTO: (&str, &str) = ("CARGO_PROFILE_RELEASE_LTO", "off");

/// Runs the targets for `seconds` each.
pub(crate) fn run(targets: &[String], seconds: u32) -> Result<()> {
    let listed = command("cargo").args(["fuzz", "list"]).output();
    ensure!(
        listed.is_some(),
        "NOT RUN: cargo-fuzz is missing. Install it: cargo install --locked cargo-fuzz"
    );
    let listed = listed.unwrap_or_default();
    let all: Vec<String> = listed.lines().map(str::to_owned).collect();
    ensure!(!all.is_empty(), "cargo fuzz lists no targets");
    for target in if targets.is_empty() { &all } else { targets } {
        command("cargo")
            .args(["fuzz", "run", "--features", "libfuzzer", target, "--"])
            .args([format!("-max_total_time={seconds}"), format!("-dict=fuzz/dictionaries/{target}.dict")])
            .env(BOOTSTRAP.0, BOOTSTRAP.1)
            .env(NO_LTO.0, NO_LTO.1)
            .run()?;
    }
    Ok(())
}
