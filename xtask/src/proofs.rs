use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::bare_metal::{TARGET, artefacts, cargo, measurable};
use crate::image::Image;
use crate::run::{Run, command};

const TARGET_DIR: &str = "target/proofs";

/// The image of all that the engine does behind the handshake.
const NO_PANIC: &str = "engine/proofs/no_panic/Cargo.toml";

/// What its panic handler calls.
const PANIC: &str = "strait_has_a_path_to_a_panic";

/// The engine with its own tests, and what stands in for `std` and `test` there.
const ON_TARGET: &str = "engine/proofs/on_target/Cargo.toml";

/// Runs an image on a Cortex-M3 whose debugger is this terminal; the image tells the exit status.
const EMULATOR: &str = "qemu-system-arm";
const BOARD: &[&str] = &["-M", "mps2-an385", "-display", "none", "-monitor", "none", "-serial", "null"];
const DEBUGGER: &[&str] = &["-semihosting-config", "enable=on,target=native", "-kernel"];

/// What a linker can prove, and what an emulator can show.
pub(crate) fn check() -> Result<()> {
    no_panic()?;
    on_target()
}

/// Runs the engine's tests, all of them, on a machine of 32 bits without an operating system.
fn on_target() -> Result<()> {
    ensure!(
        command(EMULATOR).args(["--version"]).output().is_some(),
        "NOT RUN: {EMULATOR} is missing. On Debian it is the package of that name"
    );
    let runner: Vec<_> = [&[EMULATOR], BOARD, DEBUGGER].concat();
    let runner = format!("target.{TARGET}.runner={runner:?}");
    let script = format!("target.{TARGET}.rustflags=['-Clink-arg=-Tlink.x']");
    let arguments =
        ["test", "--lib", "--tests", "--manifest-path", ON_TARGET, "--config", &runner, "--config", &script];
    cargo(&arguments, "core,alloc", Path::new("target/on-target"))?.run()
}

/// The image is built with nothing but `core`, so that it links at all proves that the engine needs no allocator. Then it
/// is linked without what its panic handler calls, which fails if a path leads there.
fn no_panic() -> Result<()> {
    ensure!(!links(&["--features", "broken"])?, "the proof does not notice a panic that is there");
    if links(&[])? {
        println!(
            "the engine links without an allocator and, behind the handshake, without a path to a panic"
        );
        return Ok(());
    }
    image(&["--features", "defined"])?.run().context("the engine does not build with nothing but core")?;
    let image = Image::read(&path())?;
    let paths = image.callers(PANIC);
    for path in &paths {
        println!("{}", path.join("\n    -> "));
    }
    bail!("{} paths to a panic are left", paths.len())
}

/// The image for [`size`](crate::size), which has no panics.
pub(crate) fn build() -> Result<Image> {
    image(&[])?.run()?;
    Image::read(&path())
}

fn links(features: &[&str]) -> Result<bool> {
    Ok(image(features)?.output().is_some())
}

/// Builds the image with its stack frames and its relocations.
fn image(features: &[&str]) -> Result<Run> {
    let flags = measurable()?;
    let mut arguments = vec!["build", "--release", "--manifest-path", NO_PANIC, "--config", &flags];
    arguments.extend(features);
    cargo(&arguments, "core", Path::new(TARGET_DIR))
}

fn path() -> PathBuf {
    artefacts(Path::new(TARGET_DIR), "release").join("strait-no-panic")
}
