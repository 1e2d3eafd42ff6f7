use std::path::Path;

use anyhow::{Result, bail};

use crate::run::command;

/// A Cortex-M3: 32 bits, no operating system, so neither std nor a default allocator.
const TARGET: &str = "thumbv7m-none-eabi";

/// Debian's `rustc-web`, whose package `rust-web-src` brings the library sources that fit it.
const DISTRIBUTION_RUSTC: &str = "/usr/bin/rustc";

/// Builds the engine with nothing but `core`: code that links std or alloc cannot be built so.
pub(crate) fn check() -> Result<()> {
    let build = ["build", "--package", "strait", "--release", "--target", TARGET];
    let target_dir = ["--target-dir", "target/no-std"];
    if has_core("rustc") {
        return command("cargo").args(build).args(target_dir).run();
    }
    if !has_sources(DISTRIBUTION_RUSTC) {
        bail!(
            "NOT RUN: no core library for {TARGET}. Install the target (rustup target add {TARGET}) or, on Debian, \
             the packages rustc-web and rust-web-src"
        );
    }
    command("cargo")
        .args(build)
        .args(target_dir)
        .args(["-Z", "build-std=core"])
        .env("RUSTC", DISTRIBUTION_RUSTC)
        .env("RUSTC_BOOTSTRAP", "1")
        .run()
}

fn has_core(rustc: &str) -> bool {
    let libraries = command(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    libraries.is_some_and(|path| Path::new(&path).is_dir())
}

fn has_sources(rustc: &str) -> bool {
    let sysroot = command(rustc).args(["--print", "sysroot"]).output();
    sysroot.is_some_and(|path| Path::new(&path).join("lib/rustlib/src/rust/library/core").is_dir())
}
