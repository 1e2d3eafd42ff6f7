use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// Goes to the workspace's root, wherever the chore was started.
pub(crate) fn at_the_root() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has a parent folder")?;
    std::env::set_current_dir(root).with_context(|| format!("cannot go to {}", root.display()))
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from)
}

/// A program to run, which is shown before it starts.
pub(crate) struct Run(Command);

pub(crate) fn command(program: impl AsRef<OsStr>) -> Run {
    let mut command = Command::new(program);
    // What cargo tells a chore about its package would look like a changed environment to some build scripts: with it, each build
    // of a chore and each one of a test would compile the same crates again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    Run(command)
}

pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Result<()> {
    command("cargo").args(arguments).run()
}

impl Run {
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.0.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// The same, but only with processor time that nothing else wants.
    pub(crate) fn idle(self) -> Self {
        let mut idle = command("nice").args(["-n", "19"]);
        idle.0.arg(self.0.get_program()).args(self.0.get_args());
        for (name, value) in self.0.get_envs() {
            match value {
                Some(value) => idle.0.env(name, value),
                None => idle.0.env_remove(name),
            };
        }
        idle
    }

    /// Runs it; anything but success is an error that names the command.
    pub(crate) fn run(mut self) -> Result<()> {
        let line = self.line();
        println!("\n$ {line}");
        let status = self.0.status().with_context(|| format!("cannot run {line}"))?;
        if !status.success() {
            bail!("{line}: {status}");
        }
        Ok(())
    }

    /// Runs it in silence: what it printed, and how it ended.
    pub(crate) fn record(mut self) -> Result<Output> {
        let line = self.line();
        self.0.output().with_context(|| format!("cannot run {line}"))
    }

    /// What it prints on standard output, without the white space around it; `None` if it fails.
    pub(crate) fn output(mut self) -> Option<String> {
        let output = self.0.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn line(&self) -> String {
        let words = std::iter::once(self.0.get_program()).chain(self.0.get_args());
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}
