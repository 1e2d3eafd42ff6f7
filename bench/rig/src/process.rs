use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// A translator that is a process of its own, ended when this value is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Of a program that can be asked.
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: Mutex<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts `command` and waits for its line `ready http://ADDRESS`.
    pub(crate) fn start(command: &mut Command) -> Result<(Self, SocketAddr)> {
        let mut process = Self::spawn(command)?;
        let mut line = String::new();
        process.stdout.get_mut().unwrap_or_else(PoisonError::into_inner).read_line(&mut line)?;
        let address = line.trim().strip_prefix("ready http://").and_then(|address| address.parse().ok());
        let address = address.with_context(|| format!("{command:?} is not ready: {line}"))?;
        Ok((process, address))
    }

    /// Starts a program that says nothing.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let stdin = child.stdin.take().context("standard input is a pipe")?;
        let stdout = BufReader::new(child.stdout.take().context("standard output is a pipe")?);
        Ok(Self { child, stdin, stdout: Mutex::new(stdout) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended.
    pub(crate) fn is_running(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "the translator has ended: {ended:?}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// CPU time of all threads of a process, user and system. Those of the measured programs do not end.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // `schedstat` counts nanoseconds, where `stat` counts ticks.
        let line = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds +=
            line.split(' ').next().and_then(|word| word.parse::<u64>().ok()).context("schedstat")?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Bytes of memory that a process has for itself: what no file is behind.
pub(crate) fn anonymous_memory(pid: u32) -> Result<u64> {
    kibibytes(&fs::read_to_string(format!("/proc/{pid}/status"))?, "RssAnon:")
}

fn kibibytes(text: &str, name: &str) -> Result<u64> {
    let value =
        text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
    Ok(value.with_context(|| format!("no {name}"))? * 1024)
}

/// Bytes of memory that the kernel has in buffers of TCP sockets, of the whole system.
pub(crate) fn socket_memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/net/sockstat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("TCP: ")).context("no TCP in sockstat")?;
    let pages =
        line.split(' ').skip_while(|word| *word != "mem").nth(1).and_then(|word| word.parse::<u64>().ok());
    Ok(pages.context("no mem in sockstat")? * rustix::param::page_size() as u64)
}

/// Bytes of the kernel's own objects, sockets among them: the slab of the whole system.
pub(crate) fn slab() -> Result<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo")?, "Slab:")
}
