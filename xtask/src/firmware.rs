mod profile;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::bare_metal::{artefacts, cargo, measurable};
use crate::run::command;

const MANIFEST: &str = "drivers/embassy/firmware/Cargo.toml";
const TARGET_DIR: &str = "target/firmware";
const QEMU: &str = "qemu-system-arm";

/// What to do with the firmware.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum Firmware {
    /// Builds the image and says where it is.
    Build,
    /// Runs it on an emulated board, until Ctrl-C: what comes to `listen` is led to the board, whose upstream is `upstream`.
    Run {
        /// A port of this host.
        #[arg(long, default_value_t = 8080)]
        listen: u16,
        /// A port of this host's loopback.
        #[arg(long, default_value_t = 10250)]
        upstream: u16,
    },
    /// Drives real traffic through it: kubectl, the board, a node.
    Test,
    /// Counts the instructions that a byte takes on the board, by crate.
    Profile {
        /// Of this image, and not of the one that is built.
        #[arg(long)]
        image: Option<PathBuf>,
    },
}

pub(crate) fn chore(what: Firmware) -> Result<()> {
    match what {
        Firmware::Build => build().map(|_| ()),
        Firmware::Run { listen, upstream } => run(listen, upstream),
        Firmware::Test => test(),
        Firmware::Profile { image: Some(image) } => profile::chore(&image),
        Firmware::Profile { image: None } => profile::chore(&build()?),
    }
}

/// Builds the image.
pub(crate) fn build() -> Result<PathBuf> {
    build_with(&[])
}

/// The image without port-forward.
pub(crate) fn build_without_port_forward() -> Result<PathBuf> {
    build_with(&["--no-default-features", "--features", "lend,log,pass-on,semihosting"])
}

/// The smallest image: exec and attach over WebSocket and nothing else, without a log, and what carries bytes is made for size too.
pub(crate) fn build_smallest() -> Result<PathBuf> {
    let features = ["--no-default-features", "--features", "semihosting"];
    let for_size = [
        "--config",
        "profile.release.package.strait-firmware.opt-level=\"z\"",
        "--config",
        "profile.release.package.smoltcp.opt-level=\"s\"",
    ];
    build_with(&[features.as_slice(), &for_size].concat())
}

/// Each takes the place of the one before.
fn build_with(arguments: &[&str]) -> Result<PathBuf> {
    let flags = measurable()?;
    let build = ["build", "--release", "--locked", "--manifest-path", MANIFEST, "--config", &flags];
    cargo(&[build.as_slice(), arguments].concat(), "core", Path::new(TARGET_DIR))?.run()?;
    let image = env::current_dir()?.join(artefacts(Path::new(TARGET_DIR), "release")).join("strait-firmware");
    println!("{}", image.display());
    Ok(image)
}

fn run(listen: u16, upstream: u16) -> Result<()> {
    let image = build()?;
    println!(
        "kubectl --server=http://127.0.0.1:{listen} exec demo -- date    (upstream: 127.0.0.1:{upstream})"
    );
    let network = format!("user,hostfwd=tcp:127.0.0.1:{listen}-:8080");
    command(QEMU)
        .args(["-M", "mps2-an385", "-display", "none", "-monitor", "none", "-serial", "stdio"])
        .args(["-semihosting-config", "enable=on,target=native", "-nic", &network])
        .args(["-append", &upstream.to_string(), "-kernel"])
        .args([&image])
        .run()
}

/// Without the tools this is loud, and a failure where they are required.
pub(crate) fn test() -> Result<()> {
    match ready() {
        Ok(image) => command("cargo")
            .args(["test", "--workspace", "--test", "firmware", "--"])
            .args(["--ignored", "--nocapture", "--test-threads", "2"])
            .env("STRAIT_FIRMWARE", image)
            .run(),
        Err(error) if env::var_os("STRAIT_REQUIRE_PEERS").is_some_and(|value| value == "1") => Err(error),
        Err(error) => {
            println!("\nNOT RUN: the firmware's tests, which proves nothing about it: {error:#}");
            Ok(())
        }
    }
}

fn ready() -> Result<PathBuf> {
    if command(QEMU).args(["--version"]).output().is_none() {
        bail!("{QEMU} is missing (Debian: the package qemu-system-arm)");
    }
    build().context("the firmware was not built")
}
