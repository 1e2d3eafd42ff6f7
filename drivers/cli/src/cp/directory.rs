use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use cap_std::fs::Dir;
use sha2::{Digest as _, Sha256};
use tar::{Builder, Header};
use tokio::io::{AsyncWriteExt as _, duplex};
use tokio_util::io::SyncIoBridge;

use super::Manner;
use super::extract::{Extracted, extract};
use super::file::hex;
use super::progress::Progress;
use super::remote::Remote;

/// Bytes between the connection and the thread that packs or unpacks.
const PIPE: usize = 256 * 1024;

/// Prints one line with a checksum for each of the names that come on standard input, with zero bytes between.
const CHECKSUMS: &str = r#"cd -- "$1" && xargs -0 sha256sum --"#;

/// Copies a directory from the container. All that stays out is told.
pub(super) async fn download(
    remote: &Remote,
    from: &str,
    to: &Path,
    manner: Manner,
    progress: &Progress,
) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let into = Dir::open_ambient_dir(to, cap_std::ambient_authority())?;
    progress.start(None, 0);
    let (mut near, far) = duplex(PIPE);
    let bytes = progress.counter();
    let unpacking = tokio::task::spawn_blocking(move || {
        extract(SyncIoBridge::new(far), &into, manner.preserve, |count| bytes.add(count))
    });
    // `.` and not the name: so it is the directory that a link leads to, and each entry is below it.
    let packed = remote.run(&["tar", "cf", "-", "-C", from, "."], None::<tokio::io::Empty>, &mut near).await;
    if packed.is_ok() {
        near.shutdown().await?;
    }
    drop(near);
    let unpacked = unpacking.await?;
    let Extracted { files, refused } = match (packed, unpacked) {
        // If unpacking has failed, that is why the command was cut off.
        (Ok(()), unpacked) => unpacked?,
        (Err(error), Err(unpacking)) if !error.is_lost_connection() => {
            return Err(unpacking.context("the copy is not complete"));
        }
        (Err(error), _) => return Err(anyhow::Error::new(error).context("the copy is not complete")),
    };
    for entry in &refused {
        progress.warn(&format!("left out {entry}"));
    }
    compare(remote, from, &files, manner).await?;
    progress.finish(&format!("{} files in {}", files.len(), to.display()));
    ensure!(refused.is_empty(), "{} entries were left out", refused.len());
    Ok(())
}

/// Copies a directory into the container.
pub(super) async fn upload(
    remote: &Remote,
    from: &Path,
    to: &str,
    manner: Manner,
    progress: &Progress,
) -> anyhow::Result<()> {
    remote.shell("mkdir -p -- \"$1\"", &[to]).await?;
    progress.start(None, 0);
    let (near, mut far) = duplex(PIPE);
    let (root, bytes) = (from.to_owned(), progress.counter());
    let packing = tokio::task::spawn_blocking(move || {
        let mut packed = Packed {
            builder: Builder::new(SyncIoBridge::new(near)),
            files: Vec::new(),
            left_out: Vec::new(),
        };
        packed.builder.follow_symlinks(false);
        packed.add(&root, Path::new("."), &|count| bytes.add(count))?;
        let mut pipe = packed.builder.into_inner()?;
        pipe.shutdown()?;
        anyhow::Ok((packed.files, packed.left_out))
    });
    let mut command = vec!["tar"];
    if !manner.preserve {
        command.extend(["--no-same-permissions", "--no-same-owner", "-m"]);
    }
    command.extend(["-xf", "-", "-C", to]);
    let unpacked = remote.run(&command, Some(&mut far), tokio::io::sink()).await;
    drop(far);
    let packed = packing.await?;
    let (files, left_out) = match (unpacked, packed) {
        (Ok(()), packed) => packed.context("the copy is not complete")?,
        (Err(error), _) => return Err(anyhow::Error::new(error).context("the copy is not complete")),
    };
    for entry in &left_out {
        progress.warn(&format!("left out {entry}"));
    }
    compare(remote, to, &files, manner).await?;
    progress.finish(&format!("{} files in {to}", files.len()));
    ensure!(left_out.is_empty(), "{} entries were left out", left_out.len());
    Ok(())
}

/// Compares the checksums of what was copied with what the container says of it, if it can.
async fn compare(
    remote: &Remote,
    directory: &str,
    files: &[(PathBuf, String)],
    manner: Manner,
) -> anyhow::Result<()> {
    if !manner.verify || files.is_empty() || !remote.look(directory).await?.has_checksums {
        return Ok(());
    }
    let names: Vec<u8> =
        files.iter().flat_map(|(path, _)| [path.as_os_str().as_bytes(), b"\0"].concat()).collect();
    let answer = remote.shell_with(CHECKSUMS, &[directory], io::Cursor::new(names)).await?;
    // A name with a line break in it is printed on one line, behind a backslash.
    let sums: Vec<&str> = answer.lines().map(|line| line.trim_start_matches('\\')).collect();
    ensure!(sums.len() == files.len(), "{} of {} checksums have come", sums.len(), files.len());
    for ((path, sum), line) in files.iter().zip(sums) {
        if line.get(..sum.len()) != Some(sum) {
            bail!("{}: checksums differ: {line} in the container, {sum} here", path.display());
        }
    }
    Ok(())
}

/// An archive that is being written, and what is in it.
struct Packed<W: Write> {
    builder: Builder<W>,
    files: Vec<(PathBuf, String)>,
    left_out: Vec<String>,
}

impl<W: Write> Packed<W> {
    /// Adds what is at `path` under `name`, and all below it in the order of their names.
    fn add(&mut self, path: &Path, name: &Path, tell: &impl Fn(u64)) -> anyhow::Result<()> {
        let context = || path.display().to_string();
        // The root may be a link; below it links stay links.
        let metadata = if name == Path::new(".") { fs::metadata(path) } else { fs::symlink_metadata(path) };
        let metadata = metadata.with_context(context)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            self.builder.append_dir(name, path).with_context(context)?;
            let entries = fs::read_dir(path).with_context(context)?;
            let mut names: Vec<OsString> = entries
                .map(|entry| Ok(entry?.file_name()))
                .collect::<io::Result<_>>()
                .with_context(context)?;
            names.sort();
            for entry in names {
                self.add(&path.join(&entry), &name.join(&entry), tell)?;
            }
        } else if kind.is_file() {
            let file = File::open(path).with_context(context)?;
            let mut header = Header::new_gnu();
            header.set_metadata(&metadata);
            let mut hashed = Hashed { from: file.take(metadata.len()), sum: Sha256::new(), count: 0, tell };
            self.builder.append_data(&mut header, name, &mut hashed).with_context(context)?;
            ensure!(hashed.count == metadata.len(), "{} changed while it was copied", path.display());
            self.files.push((name.components().collect(), hex(hashed.sum)));
        } else if kind.is_symlink() {
            self.builder.append_path_with_name(path, name).with_context(context)?;
        } else {
            let what = if kind.is_socket() { "a socket" } else { "a device or a named pipe" };
            self.left_out.push(format!("{}: {what}", path.display()));
        }
        Ok(())
    }
}

/// A file on its way into the archive, and its checksum.
struct Hashed<'a, R, F> {
    from: R,
    sum: Sha256,
    count: u64,
    tell: &'a F,
}

impl<R: Read, F: Fn(u64)> Read for Hashed<'_, R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.sum.update(&buffer[..count]);
        self.count += count as u64;
        (self.tell)(count as u64);
        Ok(count)
    }
}
