use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, bail, ensure};
use cap_std::fs::{Dir, OpenOptions, Permissions, PermissionsExt as _};
use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_OMIT, futimens, utimensat};
use sha2::{Digest as _, Sha256};
use tar::{Archive, Entry, EntryType};

use super::file::hex;

/// Most bytes that stand between the contents of two entries: headers, long names, attributes. They are held in memory.
const BETWEEN: u64 = 1024 * 1024;

/// The longest entry that there can be.
const LONGEST: u64 = i64::MAX as u64;

/// What came out of an archive.
#[derive(Debug, Default)]
pub(super) struct Extracted {
    /// Files and the checksums of what they contain.
    pub(super) files: Vec<(PathBuf, String)>,
    /// What was left out, and why.
    pub(super) refused: Vec<String>,
}

/// Unpacks an archive into a directory, and nowhere else, whatever it says: names, links and sizes are an unknown's.
///
/// Two things keep it there. No name with `..` or from the root on is taken, and no link that leads out; and all is done relative to
/// the directory's descriptor by `cap-std`, which follows no link out of it, those included that were there before.
pub(super) fn extract(
    from: impl Read,
    into: &Dir,
    preserve: bool,
    tell: impl Fn(u64),
) -> anyhow::Result<Extracted> {
    let left = Rc::new(Cell::new(BETWEEN));
    let mut archive = Archive::new(Budget { from, left: Rc::clone(&left) });
    let mut extracted = Extracted::default();
    let mut directories = Vec::new();
    let mut entries = archive.entries()?;
    loop {
        left.set(BETWEEN);
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.context("the archive cannot be read")?;
        let name = entry.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&name).into_owned();
        let size = entry.size();
        ensure!(size < LONGEST, "{shown:?}: {size} bytes are more than a file can have");
        left.set(size.saturating_add(BETWEEN));
        let kind = entry.header().entry_type();
        let path = match inside(&name) {
            Ok(path) => path,
            Err(why) => {
                extracted.refused.push(format!("{shown:?}: {why}"));
                continue;
            }
        };
        let context = || format!("cannot write {shown:?}");
        match kind {
            EntryType::Directory => {
                if path.as_os_str().is_empty() {
                    directories.push((PathBuf::from("."), attributes(&entry)));
                    continue;
                }
                make_directory(into, &path).with_context(context)?;
                directories.push((path, attributes(&entry)));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                ensure!(!path.as_os_str().is_empty(), "{shown:?}: a file without a name");
                let sum = write_file(into, &path, &mut entry, preserve, &tell)
                    .with_context(|| format!("{shown:?} is not complete"))?;
                extracted.files.push((path, sum));
            }
            EntryType::Symlink => match link_inside(&path, &entry) {
                Ok(target) => {
                    clear(into, &path).with_context(context)?;
                    into.symlink(&target, &path).with_context(context)?;
                }
                Err(why) => extracted.refused.push(format!("{shown:?}: {why}")),
            },
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default();
                match inside(&target) {
                    Ok(target) if extracted.files.iter().any(|(file, _)| *file == target) => {
                        clear(into, &path).with_context(context)?;
                        into.hard_link(&target, into, &path).with_context(context)?;
                    }
                    _ => extracted.refused.push(format!(
                        "{shown:?}: a hard link to {:?}, which is no file of this copy",
                        String::from_utf8_lossy(&target)
                    )),
                }
            }
            other => extracted.refused.push(format!("{shown:?}: {}", special(other))),
        }
    }
    // Behind the end of the archive there is padding.
    left.set(u64::MAX);
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    // Inner ones first: a directory may be one that its owner cannot write to.
    for (path, attributes) in directories.into_iter().rev().filter(|_| preserve) {
        let directory = into.open_dir(&path)?;
        directory.set_permissions(".", Permissions::from_mode(attributes.mode))?;
        utimensat(&directory, ".", &attributes.times(), AtFlags::empty())?;
    }
    Ok(extracted)
}

/// The path of an entry below the directory; empty for the directory itself.
fn inside(name: &[u8]) -> Result<PathBuf, &'static str> {
    let mut path = PathBuf::new();
    if name.contains(&0) {
        return Err("a zero byte in a name");
    }
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err("a name with `..`"),
            Component::RootDir | Component::Prefix(_) => return Err("an absolute name"),
        }
    }
    Ok(path)
}

/// The target of a symbolic link, if it stays below the directory wherever the link stands.
fn link_inside<R: Read>(path: &Path, entry: &Entry<'_, R>) -> Result<PathBuf, String> {
    let target = entry.link_name_bytes().unwrap_or_default();
    let shown = String::from_utf8_lossy(&target).into_owned();
    let mut depth = path.components().count();
    if depth == 0 {
        return Err("a link without a name".into());
    }
    depth -= 1;
    for component in Path::new(OsStr::from_bytes(&target)).components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => {
                depth =
                    depth.checked_sub(1).ok_or_else(|| format!("a link out of the copy, to {shown:?}"))?;
            }
            Component::RootDir | Component::Prefix(_) => {
                return Err(format!("a link to {shown:?}, an absolute path"));
            }
        }
    }
    if target.is_empty() || target.contains(&0) {
        return Err("a link to nowhere".into());
    }
    Ok(PathBuf::from(OsStr::from_bytes(&target)))
}

const fn special(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a named pipe",
        _ => "neither a file, nor a directory, nor a link",
    }
}

fn make_directory(into: &Dir, path: &Path) -> anyhow::Result<()> {
    match into.symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => bail!("there is something else"),
        Err(_) => Ok(into.create_dir_all(path)?),
    }
}

/// Makes room for a new file or link: what is there goes, unless it is a directory. A link there is not followed.
fn clear(into: &Dir, path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        into.create_dir_all(parent)?;
    }
    match into.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn write_file<R: Read>(
    into: &Dir,
    path: &Path,
    entry: &mut Entry<'_, R>,
    preserve: bool,
    tell: &impl Fn(u64),
) -> anyhow::Result<String> {
    clear(into, path)?;
    let mut file = into.open_with(path, OpenOptions::new().write(true).create_new(true))?;
    let expected = entry.size();
    let (mut sum, mut written) = (Sha256::new(), 0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match entry.read(&mut buffer)? {
            0 => break,
            count => count,
        };
        file.write_all(&buffer[..count])?;
        sum.update(&buffer[..count]);
        written += count as u64;
        tell(count as u64);
    }
    ensure!(written == expected, "{written} of {expected} bytes have come");
    if preserve {
        let attributes = attributes(entry);
        file.set_permissions(Permissions::from_mode(attributes.mode))?;
        futimens(&file, &attributes.times())?;
    }
    Ok(hex(sum))
}

/// What a file or directory keeps: permissions without set-user-ID and the like, and the time of its last change.
struct Attributes {
    mode: u32,
    modified: u64,
}

fn attributes<R: Read>(entry: &Entry<'_, R>) -> Attributes {
    let header = entry.header();
    Attributes { mode: header.mode().unwrap_or(0o644) & 0o777, modified: header.mtime().unwrap_or(0) }
}

impl Attributes {
    fn times(&self) -> Timestamps {
        let modified = i64::try_from(self.modified).unwrap_or(0);
        Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: modified, tv_nsec: 0 },
        }
    }
}

/// Ends an archive whose headers are longer than anybody's: they are held in memory.
struct Budget<R> {
    from: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Budget<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::other("the headers of an entry are longer than 1 MiB"));
        }
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.from.read(&mut buffer[..most])?;
        self.left.set(self.left.get() - count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
