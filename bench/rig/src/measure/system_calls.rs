use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{Run, bulk};
use crate::job::Job;

const MIB: f64 = 1024.0 * 1024.0;
const TRIES: usize = 5;

/// System calls of the target for each MiB of payload, counted by perf while bulk traffic goes through.
#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 calls")]
pub(crate) fn measure(mut run: Run<'_>) -> Result<()> {
    let Some(pid) = run.target.pid() else { return Ok(()) };
    let (calls, bytes) = bulk::carry(&mut run, |run, job| {
        bulk::warm_up(job);
        // On a machine that is busy it may not have run at all.
        let counted = (0..TRIES).find_map(|_| count(pid, run.time, job).transpose());
        counted.unwrap_or_else(|| bail!("perf has counted nothing"))
    })?;
    run.add("system calls", "1/MiB", calls as f64 / (bytes as f64 / MIB))
}

/// System calls, and payload bytes. `None` if there were none.
fn count(pid: u32, time: Duration, job: &Job) -> Result<Option<(u64, u64)>> {
    let (before, seconds) = (job.arrived(), time.as_secs_f64().to_string());
    let counted = Command::new("perf")
        .args([
            "stat",
            "-x,",
            "-e",
            "raw_syscalls:sys_enter",
            "-p",
            &pid.to_string(),
            "--",
            "sleep",
            &seconds,
        ])
        .output()
        .context("no perf")?;
    let bytes = job.arrived() - before;
    let text = String::from_utf8_lossy(&counted.stderr);
    let calls = text.lines().find_map(|line| line.split_once(",,raw_syscalls")?.0.parse().ok());
    Ok(calls.filter(|_| bytes > 0).map(|calls| (calls, bytes)))
}

/// Why system calls cannot be counted on this machine, if they cannot.
pub(crate) fn are_uncounted() -> Option<String> {
    let perf = Command::new("perf").args(["stat", "-e", "raw_syscalls:sys_enter", "true"]).output();
    match perf {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            Some(String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned())
        }
        Err(error) => Some(format!("no perf: {error}")),
    }
}
