//! Carries one scenario a number of times, for a tool that counts instructions:
//!
//! ```text
//! cargo build --release -p strait-bench --example instructions
//! valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*carry::translate*' \
//!     --toggle-collect='*carry::written*' --callgrind-out-file=/dev/null \
//!     target/release/examples/instructions stdin/32KiB 8
//! ```
//!
//! It prints the number of frames; what callgrind prints as collected, divided by it, is the count a frame.

use strait_bench::{Bridge, Traffic, scenarios};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let runs: usize = arguments.next().and_then(|runs| runs.parse().ok()).unwrap_or(1);
    let Some(scenario) = scenarios().find(|scenario| scenario.name == name) else {
        let names: Vec<_> = scenarios().map(|scenario| scenario.name).collect();
        eprintln!("usage: instructions SCENARIO [RUNS]; scenarios: {}", names.join(" "));
        std::process::exit(2);
    };
    let traffic = Traffic::new(scenario);
    let mut bridge = Bridge::new();
    for _ in 0..runs {
        bridge.run(&traffic, scenario.direction);
        traffic.verify_output(bridge.output());
    }
    println!("{name}: {} frames, {} bytes of payload", runs * traffic.frames, runs * traffic.payload);
}
