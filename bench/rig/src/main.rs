//! The load rig: what a whole translator does and costs over loopback, next to relays and next to nothing. `cargo xtask bench`
//! runs it; docs/LAB.md says what the figures mean.
//!
//! Both ends of each session are threads of this program, which send bytes that were framed before and look at each byte that arrives. The
//! target in between is a process of its own, whose CPU time, memory and system calls are its alone. Targets take turns, so
//! that whatever else the machine does meets all of them.

mod client;
mod counted;
mod delay;
mod figures;
mod forward;
mod head;
mod job;
mod keeper;
mod link;
mod lockstep;
mod measure;
mod plan;
mod process;
mod serve;
mod target;
mod traffic;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;

/// What is measured, and where the programs are.
#[derive(Debug, Parser)]
struct Arguments {
    /// Names of scenarios, or how they begin [default: all that the rig knows].
    scenarios: Vec<String>,

    /// strait, go, relay, `copy_bidirectional`, haproxy, direct or other [default: all that are there].
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,

    /// Seconds of one measurement.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,

    /// Measurements of each target.
    #[arg(long, value_name = "COUNT")]
    rounds: Option<usize>,

    /// A few scenarios, shortly: whether all of it works.
    #[arg(long)]
    short: bool,

    /// The program `strait`.
    #[arg(long, value_name = "FILE", default_value = "target/release/strait")]
    strait: PathBuf,

    /// The Go translator: the proxy in tests/peers/go.
    #[arg(long, value_name = "FILE")]
    go: Option<PathBuf>,

    /// Command line of another translator, the target `other`: `{upstream}` in it is upstream's URL. It has to print `ready http://ADDRESS`.
    #[arg(long, value_name = "COMMAND", default_value = "")]
    other: String,

    /// Counts what the gateway asks the system for, of a few scenarios: the same in every run.
    #[arg(long)]
    count: bool,

    /// With `--count`: a gateway that was spoilt on purpose.
    #[arg(long, value_name = "HOW", requires = "count")]
    spoil: Option<lockstep::Spoilt>,

    /// Serves as a target: relay, `copy_bidirectional` or counted.
    #[arg(long, hide = true, requires = "upstream")]
    serve: Option<String>,

    #[arg(long, hide = true)]
    upstream: Option<SocketAddr>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.count {
        return lockstep::run(&arguments.scenarios, arguments.spoil);
    }
    let Some(what) = &arguments.serve else { return plan::run(&arguments) };
    let upstream = arguments.upstream.context("no upstream")?;
    if what == "counted" { counted::serve(upstream) } else { serve::serve(what != "relay", upstream) }
}
