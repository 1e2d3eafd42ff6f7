//! Clients that are programs.

use std::env;
use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use strait_tests::{Kubectl, Random, Running, strait};

use crate::job::{Came, PATIENCE, right};

/// The largest input.
const MOST: usize = 8_000_000;

/// Where a client finds its gateway.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    /// Who has signed the gateway's certificate, if it speaks TLS.
    pub(crate) ca: Option<PathBuf>,
}

/// The program `strait` as a client.
pub(crate) fn client(front: &Front, subcommand: &str) -> Command {
    let mut command = Command::new(strait());
    command.env_clear().env("HOME", "/nonexistent").env("PATH", env::var_os("PATH").unwrap_or_default());
    let scheme = if front.ca.is_some() { "https" } else { "http" };
    command.args([subcommand, "--server", &format!("{scheme}://{}", front.address)]);
    if let Some(ca) = &front.ca {
        command.arg("--certificate-authority").arg(ca);
    }
    command
}

/// The kubectl of this machine.
pub(crate) fn kubectl() -> std::ffi::OsString {
    env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into())
}

/// Input that comes back, through `strait exec` or kubectl. All of it and the command's exit code, or the client's own, and what came is a part.
pub(crate) fn exec(
    front: &Front,
    with_kubectl: bool,
    mark: &str,
    random: &mut Random,
    payload: &mut usize,
) -> Result<Came> {
    // 1 is the clients' own word for what went wrong.
    let code = [0, 2, 7, 137, 255][random.below(5)];
    let length = random.length(MOST);
    let input = random.bytes(length);
    *payload = 2 * input.len();
    let mut file = tempfile::tempfile()?;
    file.write_all(&input)?;
    file.rewind()?;
    let script = format!(": {mark}; cat; exit {code}");
    let arguments = ["exec", "-i", "demo", "--", "sh", "-c", &script];
    let finished = if with_kubectl {
        let kubectl = Kubectl::at(kubectl(), &[], &format!("http://{}", front.address));
        kubectl.start(&arguments, file, PATIENCE).finish()
    } else {
        let mut command = client(front, "exec");
        let websockets = if random.below(2) == 0 { "true" } else { "false" };
        command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets);
        Running::start(command.args(&arguments[1..]).stdin(file), PATIENCE).finish()
    };
    // The one that reads its connection before it has made its streams; see `Kubectl::run`.
    let is_its_own = with_kubectl && finished.stderr.contains("Unknown stream id");
    right!(
        input.starts_with(&finished.stdout) || is_its_own,
        "other output, {} bytes",
        finished.stdout.len()
    );
    let got = finished.status.code();
    if got == Some(code) {
        right!(
            finished.stdout == input || is_its_own,
            "exit code {code} and {} of {} bytes: {}",
            finished.stdout.len(),
            input.len(),
            finished.stderr
        );
        return Ok(Came::All);
    }
    right!(
        got == Some(1) && !finished.stderr.is_empty(),
        "exit code {got:?}, not {code}: {:?}",
        finished.stderr
    );
    Ok(Came::Error(finished.stderr))
}

/// A tree, to the node and back.
pub(crate) fn copy(front: &Front, mark: &str, random: &mut Random, payload: &mut usize) -> Result<Came> {
    let room = tempfile::tempdir()?;
    let tree = room.path().join("tree");
    // The wires look for the mark in the path.
    let there = room.path().join(mark).join("there");
    fs::create_dir_all(room.path().join(mark))?;
    let back = room.path().join("back");
    for number in 0..=random.below(20) {
        let directory = tree.join(format!("d{}", number % 3));
        fs::create_dir_all(&directory)?;
        let length = random.length(100_000);
        *payload += 2 * length;
        File::create(directory.join(number.to_string()))?.write_all(&random.bytes(length))?;
    }
    let remote = format!("demo:{}", there.display());
    let text = |path: &Path| path.display().to_string();
    for (from, to) in [(text(&tree), remote.clone()), (remote, text(&back))] {
        let mut command = client(front, "cp");
        let finished = Running::start(command.args([&from, &to]).stdin(Stdio::null()), PATIENCE).finish();
        if !finished.status.success() {
            right!(!finished.stderr.is_empty(), "no word of what went wrong: {finished:?}");
            return Ok(Came::Error(finished.stderr));
        }
    }
    let diff = Command::new("diff").arg("-r").args([&tree, &back]).output()?;
    right!(diff.status.success(), "success and another tree: {}", String::from_utf8_lossy(&diff.stdout));
    Ok(Came::All)
}
