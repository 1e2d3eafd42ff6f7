use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{Run, command};

/// A Cortex-M3: 32 bits, no operating system, so neither std nor a default allocator.
pub(crate) const TARGET: &str = "thumbv7m-none-eabi";

/// Debian's `rustc-web`, whose package `rust-web-src` brings the library sources that fit it.
const DISTRIBUTION_RUSTC: &str = "/usr/bin/rustc";

/// `cargo ARGUMENTS` for the bare-metal target, with its own folder for what it builds. The libraries are built from
/// source with the project's own profile.
pub(crate) fn cargo(arguments: &[&str], libraries: &str, target_dir: &Path) -> Result<Run> {
    let rustc = compiler()?;
    let sources = format!("build-std={libraries}");
    Ok(command("cargo")
        .args(arguments)
        .args(["--target", TARGET, "-Z", sources.as_str(), "--target-dir"])
        .args([target_dir])
        .env("RUSTC", &rustc)
        // Flags of the nightly compiler, which the stable one has with this variable.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("PATH", path_with_linker()?))
}

/// [`cargo`]'s setting for an image whose stack frames and relocations can be looked at; neither is in its flash. The names of
/// sources are, and they are the same wherever the project and its dependencies lie.
pub(crate) fn measurable() -> Result<String> {
    let names = [(env::current_dir()?, "."), (cargo_home()?, "cargo")];
    let remapped = names.map(|(from, to)| format!("'--remap-path-prefix={}={to}'", from.display()));
    let flags = format!("'-Zemit-stack-sizes','-Clink-arg=--emit-relocs',{}", remapped.join(","));
    Ok(format!("target.{TARGET}.rustflags=[{flags}]"))
}

fn cargo_home() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(env::home_dir()?.join(".cargo"))).context("neither CARGO_HOME nor a home directory")
}

/// Where the artefacts of `profile` lie.
pub(crate) fn artefacts(target_dir: &Path, profile: &str) -> PathBuf {
    target_dir.join(TARGET).join(profile)
}

/// The compiler that [`cargo`] uses, as it calls itself.
pub(crate) fn compiler_version() -> Result<String> {
    command(compiler()?).args(["--version"]).output().context("the compiler tells its version")
}

fn compiler() -> Result<String> {
    let found = ["rustc", DISTRIBUTION_RUSTC].into_iter().find(|rustc| has_sources(rustc));
    found.map(str::to_owned).with_context(|| {
        "NOT RUN: no library sources for a compiler. Install them (rustup component add rust-src) or, on Debian, the \
         packages rustc-web and rust-web-src"
    })
}

fn has_sources(rustc: &str) -> bool {
    let sysroot = command(rustc).args(["--print", "sysroot"]).output();
    sysroot.is_some_and(|path| Path::new(&path).join("lib/rustlib/src/rust/library/core").is_dir())
}

/// The linker of bare-metal targets is `rust-lld`, which rustup's compiler brings in a folder that is not on the path.
fn path_with_linker() -> Result<String> {
    let path = env::var("PATH").unwrap_or_default();
    let sysroot = command("rustc").args(["--print", "sysroot"]).output().context("rustc does not run")?;
    let host =
        command("rustc").args(["--print", "host-tuple"]).output().context("rustc does not tell its host")?;
    let folder = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin");
    if !folder.join("rust-lld").is_file() && !on_path("rust-lld", &path) {
        bail!("NOT RUN: rust-lld is missing, the linker for {TARGET}. rustup's compilers bring it");
    }
    Ok(format!("{path}:{}", folder.display()))
}

fn on_path(program: &str, path: &str) -> bool {
    env::split_paths(path).any(|folder| folder.join(program).is_file())
}
