//! Peers from their registries, at pinned versions, into the target directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use strait_tests::{Running, peers};

/// What one step may take: a first build of Kubernetes' modules is the longest.
const STEP: Duration = Duration::from_mins(8);

/// A directory of `tests/peers`.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}

/// A directory for what is installed.
pub(crate) fn place(name: &str) -> Result<PathBuf, String> {
    let place = peers().join(name);
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    Ok(place)
}

/// Runs one step. What it prints is the result.
pub(crate) fn step(command: &mut Command) -> Result<String, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let finished = Running::watch(format!("{command:?}"), child, STEP).finish();
    if finished.status.success() {
        return Ok(finished.text());
    }
    Err(format!("{command:?}: {}\n{}{}", finished.status, finished.text(), finished.stderr.trim()))
}

/// Upstream's Go programs of one version.
#[derive(Debug, Clone)]
pub(crate) struct GoPeers {
    /// Version of Kubernetes, without the patch.
    pub(crate) version: String,
    programs: PathBuf,
}

impl GoPeers {
    /// Builds the module in `tests/peers/NAME`.
    pub(crate) fn build(name: &str) -> Result<Self, String> {
        let (source, programs) = (source(name), place(name)?);
        step(Command::new("go").arg("build").arg("-o").arg(&programs).arg("./...").current_dir(&source))?;
        let listed = step(Command::new("go").args(["list", "-m", "k8s.io/client-go"]).current_dir(&source))?;
        let version = listed.trim().rsplit_once('v').ok_or("go list names no version")?.1.to_owned();
        Ok(Self { version, programs })
    }

    /// One of its programs: `server`, `proxy` or `client`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// A Python of the target directory, with nothing but pip.
pub(crate) fn python() -> Result<PathBuf, String> {
    let python = peers().join("python/bin/python");
    if !python.exists() {
        step(Command::new("python3").args(["-m", "venv"]).arg(peers().join("python")))?;
    }
    Ok(python)
}

/// The same, with Python's `kubernetes`; its version.
pub(crate) fn python_kubernetes() -> Result<(PathBuf, String), String> {
    let (python, pinned) = (python()?, source("python/requirements.txt"));
    let requirements = fs::read_to_string(&pinned).map_err(|error| error.to_string())?;
    once(&peers().join("python/installed.txt"), requirements.as_bytes(), || {
        let pip = ["-m", "pip", "install", "--quiet", "--require-hashes", "--requirement"];
        step(Command::new(&python).args(pip).arg(&pinned))
    })?;
    let version =
        requirements.lines().find_map(|line| line.strip_prefix("kubernetes==")).ok_or("no version")?;
    Ok((python, version.split(' ').next().unwrap_or_default().to_owned()))
}

/// Installs what `pinned` names, unless `mark` says that it is there. The mark is written last: what was interrupted is no
/// installation.
fn once(mark: &Path, pinned: &[u8], install: impl FnOnce() -> Result<String, String>) -> Result<(), String> {
    if fs::read(mark).is_ok_and(|installed| installed == pinned) {
        return Ok(());
    }
    install()?;
    fs::write(mark, pinned).map_err(|error| error.to_string())
}

/// The program for Node, next to the packages of its lock file.
pub(crate) fn node() -> Result<(PathBuf, String), String> {
    let (place, version) = npm("node", "@kubernetes/client-node")?;
    fs::copy(source("node/client.js"), place.join("client.js"))
        .map_err(|error| format!("client.js: {error}"))?;
    Ok((place.join("client.js"), version))
}

/// The packages of the lock file in `tests/peers/NAME`, which npm verifies; where they are, and the version of `package`.
pub(crate) fn npm(name: &str, package: &str) -> Result<(PathBuf, String), String> {
    let (source, place) = (source(name), place(name)?);
    let lock = fs::read(source.join("package-lock.json")).map_err(|error| error.to_string())?;
    once(&place.join("installed.json"), &lock, || {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(source.join(name), place.join(name)).map_err(|error| format!("{name}: {error}"))?;
        }
        step(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&place))
    })?;
    let lock: serde_json::Value = serde_json::from_slice(&lock).map_err(|error| error.to_string())?;
    let version = &lock["packages"][format!("node_modules/{package}")]["version"];
    Ok((place, version.as_str().ok_or("no version")?.to_owned()))
}

/// The program with kube-rs.
pub(crate) fn kube_rs() -> Result<(PathBuf, String), String> {
    let (source, place) = (source("rust"), place("rust")?);
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    step(cargo.args(["build", "--locked", "--quiet", "--target-dir"]).arg(&place).current_dir(&source))?;
    let manifest = fs::read_to_string(source.join("Cargo.toml")).map_err(|error| error.to_string())?;
    let version = manifest.split_once("kube = { version = \"=").and_then(|(_, rest)| rest.split_once('"'));
    Ok((place.join("debug/kube-client"), version.ok_or("no version")?.0.to_owned()))
}

/// A kubectl of `tests/peers/kubectl/wheels.txt`.
pub(crate) fn kubectl(version: &str) -> Result<PathBuf, String> {
    let program = peers().join(format!("kubectl-{version}"));
    if !program.exists() {
        step(Command::new(python()?).arg(source("kubectl/fetch.py")).arg(version).arg(peers()))?;
    }
    Ok(program)
}

/// All versions there.
pub(crate) fn kubectl_versions() -> Vec<String> {
    let wheels = fs::read_to_string(source("kubectl/wheels.txt")).expect("wheels.txt");
    let lines = wheels.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
}
