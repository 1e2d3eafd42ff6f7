use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::bare_metal::{TARGET, artefacts, cargo};
use crate::run::command;

const MANIFEST: &str = "engine/proofs/instructions/Cargo.toml";
const TARGET_DIR: &str = "target/proofs";

/// An instruction is a fixed piece of time, so that the board's counter counts instructions.
const EMULATOR: &str = "qemu-system-arm";
const BOARD: &[&str] = &["-M", "mps2-an385", "-display", "none", "-monitor", "none", "-serial", "null"];
const COUNTING: &[&str] = &["-icount", "shift=6,sleep=off", "-semihosting-config", "enable=on,target=native"];

/// What a frame of each scenario costs on a Cortex-M3, in instructions; the same in every run.
pub(crate) fn rows() -> Result<Vec<(String, u64)>> {
    let arguments = ["build", "--release", "--locked", "--manifest-path", MANIFEST];
    cargo(&arguments, "core", Path::new(TARGET_DIR))?.run()?;
    let image = artefacts(Path::new(TARGET_DIR), "release").join("strait-instructions");
    let run = command(EMULATOR).args(BOARD).args(COUNTING).args(["-kernel"]).args([&image]);
    let printed = run.output().with_context(|| {
        format!("NOT RUN: {EMULATOR} is missing or has failed with an image for {TARGET}. On Debian it is the package of that name")
    })?;
    let rows: Vec<_> = printed.lines().map(row).collect::<Result<_>>()?;
    ensure!(!rows.is_empty(), "the image has printed nothing");
    Ok(rows)
}

/// `name|frames|bytes of payload|instructions`, as one frame of it.
fn row(line: &str) -> Result<(String, u64)> {
    let mut fields = line.split('|');
    let name = fields.next().context("no name")?;
    let numbers: Vec<u64> =
        fields.map(str::parse).collect::<Result<_, _>>().with_context(|| line.to_owned())?;
    let [frames, bytes, instructions] = *numbers else { anyhow::bail!("{line} has other fields") };
    let (whole, rest) = (instructions / bytes, instructions % bytes * 1000 / bytes);
    println!("{name}: {} instructions a frame, {whole}.{rest:03} a byte", instructions / frames);
    Ok((format!("instructions a frame on the target: {name}"), instructions / frames))
}
