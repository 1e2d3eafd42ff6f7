//! The tests of whole programs, with the gateway of `strait-std` in place of `strait gateway`.
//!
//! Not among them, because they do not reach a gateway or need what this one has not:
//!
//! | test | why |
//! |---|---|
//! | `many`, `faults` | look at the gateway's metrics and tasks, which this one has not |
//! | `client_exec`, `client_cp`, `client_port_forward` | are about the client; `drivers/std/tests` has a client through this gateway |
//! | `port_forward_raw`, `port_forward_legacy` | speak to a node directly |
//! | `demo`, `firmware`, `peers` | start gateways of their own |

use std::path::PathBuf;
use std::thread;

use anyhow::{Context as _, Result, anyhow};

use crate::run::{cargo, command, target};

/// Suites that run whole.
const WHOLE: [&str; 10] = [
    "attach",
    "auto",
    "back_pressure",
    "bad_input",
    "kubectl_attach",
    "loopback",
    "matrix",
    "pages",
    "port_forward_matrix",
    "programs",
];

/// Suites that take longer, and what is left out of them without `--all`.
const PARTS: [(&str, &[&str]); 4] = [
    ("kubectl_exec", &["three_hundred_megabytes", "fifty_sessions", "a_node_that", "that_was_"]),
    ("kubelet", &["a_kubectl_runs"]),
    ("port_forward", &["a_killed_node", "a_node_that", "a_thousand", "an_idle_connection", "bulk"]),
    ("port_forward_gateway", &["a_target_that_stops", "idle_connections"]),
];

/// Runs the part that CI has time for, or `all`. `stalls` is whole with `STRAIT_LONG=1` only.
pub(crate) fn test(all: bool) -> Result<()> {
    // The whole workspace, here and below: what `cargo test --workspace` has built is built.
    cargo(["build", "--workspace", "--example", "gateway"])?;
    if !all {
        let left_out = PARTS.map(|(suite, tests)| format!("{suite}: {}", tests.join(", ")));
        println!(
            "NOT RUN with the gateway of strait-std: bad_frames, kubectl_ways, stalls; {}. `cargo xtask std-gateway --all` does",
            left_out.join("; ")
        );
    }
    let gateway = gateway()?;
    let suite = |suites: &[&str], skipped: &[&str]| {
        let suites = suites.iter().flat_map(|suite| ["--test", suite]);
        let skipped = skipped.iter().flat_map(|test| ["--skip", test]);
        let command = command("cargo").args(["test", "--workspace"]).args(suites).args(["--"]);
        command.args(skipped).env("STRAIT_GATEWAY", &gateway).run()
    };
    thread::scope(|threads| {
        // It waits for slow readers most of its time.
        let tail = threads.spawn(|| suite(&["tail"], &[]));
        suite(&WHOLE, &[])?;
        for (name, skipped) in PARTS {
            suite(&[name], if all { &[] } else { skipped })?;
        }
        if all {
            suite(&["bad_frames", "kubectl_ways", "stalls"], &[])?;
        }
        tail.join().map_err(|_| anyhow!("the test of slow readers panicked"))?
    })
}

fn gateway() -> Result<PathBuf> {
    let path = target().join("debug/examples/gateway");
    path.canonicalize().with_context(|| format!("no {}", path.display()))
}
