//! What whole translators do and cost: the load rig of `bench/rig`, and what it drives.

mod crates;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::run::{Run, command, target};

/// In the folder that cargo builds in.
const RIG: &str = "lab/strait-rig";

/// Builds the targets and the rig, and runs it with these arguments. After `crates` they are scenarios of the engine's, which is
/// counted next to other crates.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let [first, scenarios @ ..] = arguments
        && first == "crates"
    {
        return crates::count(scenarios);
    }
    for build in builds() {
        build.run()?;
    }
    let target = target();
    let translator = go().inspect_err(|error| println!("{error:#}")).ok();
    // Without it the rig says that it is not run, or fails where it has to be.
    let go = translator.map(|translator| ["--go".into(), translator]);
    let strait = ["--strait".into(), target.join("release/strait")];
    command(target.join(RIG)).args(strait).args(go.into_iter().flatten()).args(arguments).run()
}

/// The rig, built.
pub(crate) fn rig() -> Result<PathBuf> {
    let [_, rig] = builds();
    rig.run()?;
    Ok(target().join(RIG))
}

/// What builds the gateway as users have it, and the rig.
pub(crate) fn builds() -> [Run; 2] {
    [["--release", "--package", "strait-cli"].as_slice(), &["--profile", "lab", "--package", "strait-rig"]]
        .map(|what| command("cargo").args(["build"]).args(what))
}

/// Builds the translator of Kubernetes' own code.
fn go() -> Result<PathBuf> {
    let place = std::path::absolute(target().join("peers/go"))?;
    std::fs::create_dir_all(&place)?;
    command("go")
        .args(["-C", "tests/peers/go", "build", "-o"])
        .args([&*place, Path::new("./proxy")])
        .run()?;
    Ok(place.join("proxy"))
}
