//! Strait among peers that others have written: `cargo xtask peers [NAME...] [--full]`.
//!
//! Peers come from their registries at pinned versions and are kept in `target/peers`, so this is no part of
//! `cargo test`. What cannot be installed is NOT RUN, which is a failure under `STRAIT_REQUIRE_PEERS=1`. The tables of all that ran are written into
//! `docs/PEERS.md`, except on CI.

mod autobahn;
mod browser;
mod containerd;
mod echo;
mod go;
mod install;
mod kubectl;
mod libraries;
mod scenario;
mod spdyspec;
mod table;
mod way;

use std::env;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use crate::table::{Installed, Report, Suite};

static SUITES: [Suite; 9] = [
    go::SUITE,
    kubectl::SUITE,
    libraries::PYTHON,
    libraries::NODE,
    libraries::RUST,
    autobahn::SUITE,
    browser::SUITE,
    containerd::SUITE,
    spdyspec::SUITE,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if !arguments.iter().any(|word| word == "--peers") {
        // `cargo test --workspace` comes by here.
        println!("NOT RUN: real peers, which have to be installed: cargo xtask peers");
        return ExitCode::SUCCESS;
    }
    let full = arguments.iter().any(|word| word == "--full");
    let named: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    if let Some(unknown) = named.iter().find(|name| SUITES.iter().all(|suite| suite.name != **name)) {
        let known: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        eprintln!("no peers are called {unknown}; there are {}", known.join(", "));
        return ExitCode::FAILURE;
    }
    let wanted = SUITES.iter().filter(|suite| named.is_empty() || named.contains(&suite.name));
    let mut report = Report::default();
    thread::scope(|scope| {
        // What one suite needs is fetched and built while another runs.
        let (installed, suites) = mpsc::channel();
        scope.spawn(move || {
            wanted.map(|suite| Installed::of(suite, full)).try_for_each(|suite| installed.send(suite))
        });
        for suite in suites {
            report.run(suite);
        }
    });
    report.end()
}
