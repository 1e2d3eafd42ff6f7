use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::run::{Run, command};

/// cargo-fuzz needs flags of the nightly compiler; with this variable the stable one has them.
const BOOTSTRAP: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");

/// The coverage counters of cargo-fuzz do not survive link-time optimisation.
const NO_LTO: (&str, &str) = ("CARGO_PROFILE_RELEASE_LTO", "off");

/// Runs the targets for so long each.
///
/// With a `seed` they try the same inputs each time, as far as the time reaches.
pub(crate) fn run(targets: &[String], time: Duration, seed: Option<u32>) -> Result<()> {
    let listed = command("cargo").args(["fuzz", "list"]).output();
    ensure!(
        listed.is_some(),
        "NOT RUN: cargo-fuzz is missing. Install it: cargo install --locked cargo-fuzz"
    );
    let listed = listed.unwrap_or_default();
    let all: Vec<String> = listed.lines().map(str::to_owned).collect();
    ensure!(!all.is_empty(), "cargo fuzz lists no targets");
    let begun = Instant::now();
    // All at once: they share everything but their last few lines.
    build().run()?;
    println!("built in {} s", begun.elapsed().as_secs());
    for target in if targets.is_empty() { &all } else { targets } {
        let dictionary = format!("fuzz/dictionaries/{target}.dict");
        let dictionary = Path::new(&dictionary).exists().then(|| format!("-dict={dictionary}"));
        cargo_fuzz("run")
            .args([target, "--"])
            .args([format!("-max_total_time={}", time.as_secs())])
            .args(dictionary)
            .args(seed.map(|seed| format!("-seed={seed}")))
            .run()?;
    }
    Ok(())
}

/// What builds all targets.
pub(crate) fn build() -> Run {
    cargo_fuzz("build")
}

fn cargo_fuzz(what: &str) -> Run {
    command("cargo")
        .args(["fuzz", what, "--features", "libfuzzer"])
        .env(BOOTSTRAP.0, BOOTSTRAP.1)
        .env(NO_LTO.0, NO_LTO.1)
}
