//! Writes the engine's times next to those of a limit, for `cargo xtask perf-gate`.

use std::io;

use strait_bench::{Record, ratios};

fn main() -> io::Result<()> {
    // Cargo's tests of all targets run this too, and a benchmark is never a test.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    println!("{}", Record::store("ratios", &ratios())?.display());
    Ok(())
}
