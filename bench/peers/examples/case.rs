//! Runs one case, for valgrind to count its instructions: `cargo xtask bench crates`. Without an argument it lists all.

use std::env;

use strait_bench_peers::{cases, limits};

fn main() {
    let mut cases = cases().into_iter().chain(limits());
    match env::args().nth(1).map(|number| number.parse::<usize>()) {
        Some(Ok(number)) => {
            let case = cases.nth(number).expect("the number of a case");
            // Buffers that are kept are there then.
            case.run();
            case.run_counted();
        }
        _ => cases.for_each(|case| println!("{}|{}|{}", case.scenario, case.target, case.frames)),
    }
}
