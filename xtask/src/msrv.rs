use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run::command;

/// Checks the minimum supported Rust version, `rust-version` of the workspace.
///
/// With exactly that version CI's own build is the proof. With a newer one this can only see that no
/// dependency asks for more, and says so.
pub(crate) fn check() -> Result<()> {
    let stated = version(env!("CARGO_PKG_RUST_VERSION")).context("rust-version is a version")?;
    let report = command("rustc").args(["--version"]).output().context("rustc does not run")?;
    let ours = report.split(' ').nth(1).and_then(version).context("rustc tells its version")?;
    if ours < stated {
        bail!("rustc {}.{} is older than the stated minimum {}.{}", ours.0, ours.1, stated.0, stated.1);
    }
    let too_new = demands()?.into_iter().filter(|(_, demanded)| *demanded > stated).collect::<Vec<_>>();
    if !too_new.is_empty() {
        bail!("dependencies want a newer Rust than {}.{}: {too_new:?}", stated.0, stated.1);
    }
    if ours == stated {
        println!("minimum supported Rust version {}.{}: built with exactly this", stated.0, stated.1);
    } else {
        println!(
            "minimum supported Rust version {}.{}: no dependency wants more, but NOT BUILT with it (this is {}.{})",
            stated.0, stated.1, ours.0, ours.1
        );
    }
    Ok(())
}

/// The Rust versions that the packages of the lock file ask for.
fn demands() -> Result<Vec<(String, (u32, u32))>> {
    let metadata = command("cargo").args(["metadata", "--format-version", "1", "--locked"]).output();
    let metadata: Value = serde_json::from_str(&metadata.context("cargo metadata failed")?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    Ok(packages
        .iter()
        .filter_map(|package| {
            Some((package["id"].as_str()?.to_owned(), version(package["rust_version"].as_str()?)?))
        })
        .collect())
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}
