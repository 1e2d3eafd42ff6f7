//! Times of the engine and of other crates on the same bytes: a table, and `peers.jsonl` in the folder of results. The ratio is that of the
//! fastest other crate to ours: more than one is faster.

use std::io;

use strait_bench::Record;
use strait_bench_peers::{times, verify};

const ROUNDS: usize = 60;

fn main() -> io::Result<()> {
    // Cargo's tests of all targets run this too, and a benchmark is never a test.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    verify();
    let records = times(ROUNDS);
    for of_scenario in records.chunk_by(|one, other| one.scenario == other.scenario) {
        let [ours, others @ ..] = of_scenario else { continue };
        let fastest = others.iter().min_by(|one, other| one.value.total_cmp(&other.value));
        let ratio = fastest.map_or(0.0, |fastest| fastest.value / ours.value);
        let all: Vec<_> =
            of_scenario.iter().map(|record| format!("{} {:.1}", record.target, record.value)).collect();
        println!("{:<24} {ratio:5.2}   {} ns", ours.scenario, all.join(", "));
    }
    println!("{}", Record::store("peers", &records)?.display());
    Ok(())
}
