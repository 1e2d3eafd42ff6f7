use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, fs, io};

use crate::binary;
use crate::{Checksum, Running};

/// What a download may take.
const DOWNLOAD: Duration = Duration::from_mins(2);

/// `/usr/bin/kubectl` of Debian 12's package `kubernetes-client` 1.20.5+really1.20.2-1.1+deb12u1 for amd64.
const SHA_256: &str = "f6dccba14307041c08d5b95ee5e5fb81a9f6f7ec45340c721edfc1a0ef581041";

/// kubectl 1.20.2, fetched once into the target directory, or why it cannot be had.
pub fn kubectl_1_20() -> Result<&'static Path, &'static str> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = PROGRAM.get_or_init(|| match env::var_os("KUBECTL_1_20") {
        Some(given) => Ok(given.into()),
        None => cached().map_err(|error| format!("no kubectl 1.20.2: {error}")),
    });
    found.as_deref().map_err(String::as_str)
}

fn cached() -> io::Result<PathBuf> {
    let peers = binary::peers();
    let program = peers.join("kubectl-1.20.2");
    if verify(&program).is_err() {
        fs::create_dir_all(&peers)?;
        // Beside its place, so that a rename puts the whole program there: others may fetch it at the same time.
        let room = tempfile::tempdir_in(&peers)?;
        run(Command::new("apt-get").args(["download", "kubernetes-client"]).current_dir(room.path()))?;
        let package = fs::read_dir(room.path())?.flatten().map(|entry| entry.path());
        let package = package.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "deb"));
        let package = package.ok_or(io::ErrorKind::NotFound)?;
        run(Command::new("dpkg-deb").arg("-x").arg(package).arg(room.path()))?;
        let fetched = room.path().join("usr/bin/kubectl");
        verify(&fetched)?;
        fs::rename(fetched, &program)?;
    }
    Ok(program)
}

fn run(command: &mut Command) -> io::Result<()> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let finished = Running::watch(format!("{command:?}"), child, DOWNLOAD).finish();
    if finished.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}", finished.stderr.trim())))
}

fn verify(program: &Path) -> io::Result<()> {
    let sum = Checksum::of(fs::File::open(program)?).finish();
    if sum.starts_with(SHA_256) {
        return Ok(());
    }
    Err(io::Error::other(format!("{} has another checksum: {sum}", program.display())))
}
