use std::fs::{self, File, Metadata};
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
const CHECKSUMS: &str = r#"cd -- "$1" && head -c "$2" | xargs -0 sha256sum --"#;

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
    let root = from.to_owned();
    let listing = tokio::task::spawn_blocking(move || Listing::of(&root)).await??;
    remote.shell("mkdir -p -- \"$1\"", &[to]).await?;
    progress.start(Some(listing.content()), 0);
    // So it ends where the protocol cannot tell the end of standard input, too.
    let attributes = if manner.preserve { "" } else { "--no-same-permissions --no-same-owner -m" };
    let script = format!("head -c \"$1\" | tar {attributes} -xf - -C \"$2\"");
    let size = listing.size()?.to_string();
    let command = ["sh", "-c", &script, "strait", &size, to];
    let (near, mut far) = duplex(PIPE);
    let bytes = progress.counter();
    let packing = tokio::task::spawn_blocking(move || {
        let mut files = Vec::new();
        let pipe = listing.pack(SyncIoBridge::new(near), |builder, header, entry| {
            let tell = |count| bytes.add(count);
            let from = File::open(&entry.path)?.take(entry.content());
            let mut hashed = Hashed { from, sum: Sha256::new(), count: 0, tell: &tell };
            builder.append_data(header, &entry.name, &mut hashed)?;
            ensure!(hashed.count == entry.content(), "it changed while it was copied");
            files.push((entry.name.components().collect(), hex(hashed.sum)));
            Ok(())
        });
        pipe?.shutdown()?;
        anyhow::Ok((files, listing.left_out))
    });
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
    let length = names.len().to_string();
    let answer = remote.shell_with(CHECKSUMS, &[directory, &length], io::Cursor::new(names)).await?;
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

/// What there is to be packed, in its order.
#[derive(Default)]
struct Listing {
    entries: Vec<Listed>,
    left_out: Vec<String>,
}

struct Listed {
    path: PathBuf,
    /// In the archive.
    name: PathBuf,
    metadata: Metadata,
    /// Of a symbolic link.
    target: Option<PathBuf>,
}

impl Listing {
    fn of(root: &Path) -> anyhow::Result<Self> {
        let mut listing = Self::default();
        // The root may be a link; below it links stay links.
        let metadata = fs::metadata(root).with_context(|| root.display().to_string())?;
        listing.add(root, Path::new("."), metadata)?;
        Ok(listing)
    }

    /// Adds what is at `path` under `name`, and all below it in the order of their names.
    fn add(&mut self, path: &Path, name: &Path, metadata: Metadata) -> anyhow::Result<()> {
        let kind = metadata.file_type();
        if !(kind.is_dir() || kind.is_file() || kind.is_symlink()) {
            let what = if kind.is_socket() { "a socket" } else { "a device or a named pipe" };
            self.left_out.push(format!("{}: {what}", path.display()));
            return Ok(());
        }
        let context = || path.display().to_string();
        let target = if kind.is_symlink() { Some(fs::read_link(path).with_context(context)?) } else { None };
        self.entries.push(Listed { path: path.to_owned(), name: name.to_owned(), metadata, target });
        if kind.is_dir() {
            let entries = fs::read_dir(path).with_context(context)?;
            let names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>();
            let mut names = names.with_context(context)?;
            names.sort();
            for entry in names {
                let (path, name) = (path.join(&entry), name.join(&entry));
                let metadata = fs::symlink_metadata(&path).with_context(|| path.display().to_string())?;
                self.add(&path, &name, metadata)?;
            }
        }
        Ok(())
    }

    /// Bytes of all files.
    fn content(&self) -> u64 {
        self.entries.iter().map(Listed::content).sum()
    }

    /// Bytes of the archive.
    fn size(&self) -> anyhow::Result<u64> {
        let between = self.pack(Count(0), |builder, header, entry| {
            builder.append_data(header, &entry.name, io::empty()).map_err(Into::into)
        })?;
        Ok(self.entries.iter().fold(between.0, |sum, entry| sum + entry.content().next_multiple_of(512)))
    }

    /// Writes the archive, its files by `file`.
    fn pack<W: Write>(
        &self,
        to: W,
        mut file: impl FnMut(&mut Builder<W>, &mut Header, &Listed) -> anyhow::Result<()>,
    ) -> anyhow::Result<W> {
        let mut builder = Builder::new(to);
        for entry in &self.entries {
            let mut header = Header::new_gnu();
            header.set_metadata(&entry.metadata);
            let written = match &entry.target {
                Some(target) => builder.append_link(&mut header, &entry.name, target).map_err(Into::into),
                None if entry.metadata.is_dir() => {
                    builder.append_data(&mut header, &entry.name, io::empty()).map_err(Into::into)
                }
                None => file(&mut builder, &mut header, entry),
            };
            written.with_context(|| entry.path.display().to_string())?;
        }
        Ok(builder.into_inner()?)
    }
}

impl Listed {
    fn content(&self) -> u64 {
        if self.metadata.is_file() { self.metadata.len() } else { 0 }
    }
}

/// Counts what is written.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
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
