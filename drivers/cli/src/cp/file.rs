use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Manner;
use super::progress::Progress;
use super::remote::{CommandError, Found, Kind, Remote, partial};
use crate::client::{stdin, stdout};

/// Bytes that are read at a time to compute a checksum.
const CHUNK: usize = 256 * 1024;

/// How long to wait before a lost connection is made again.
const BACK_OFF: Duration = Duration::from_secs(1);

/// Copies a file from the container, through a file beside `to`.
pub(super) async fn download(
    remote: &Remote,
    from: &str,
    found: &Found,
    to: &Path,
    manner: Manner,
    progress: &Progress,
) -> anyhow::Result<()> {
    let name = to.file_name().with_context(|| format!("{} is no place for a file", to.display()))?;
    let beside = to.with_file_name(format!(".{}.strait-partial", name.to_string_lossy()));
    let mut resume = manner.resume;
    let mut attempts = 0;
    loop {
        let result = download_once(remote, from, found, &beside, resume, progress).await;
        match result {
            Ok(sum) => {
                verify(remote, from, found, &sum, manner).await.inspect_err(|_| {
                    // Wrong content is nothing to resume.
                    let _ = fs::remove_file(&beside);
                })?;
                break;
            }
            Err(error) if is_lost(&error) && attempts < manner.retries => {
                attempts += 1;
                progress.warn(&format!("{error}; resuming"));
                tokio::time::sleep(BACK_OFF).await;
                resume = true;
            }
            Err(error) => {
                return Err(error.context(interrupted(&beside.display().to_string())));
            }
        }
    }
    if manner.preserve {
        let file = File::open(&beside)?;
        if let Some(mode) = found.mode {
            file.set_permissions(Permissions::from_mode(mode & 0o777))?;
        }
        if let Some(modified) = found.modified {
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(modified))?;
        }
    }
    fs::rename(&beside, to).with_context(|| format!("cannot write {}", to.display()))?;
    progress.finish(&to.display().to_string());
    Ok(())
}

fn interrupted(beside: &str) -> String {
    format!("the copy is not complete; what has come is in {beside}, and --resume goes on from there")
}

fn is_lost(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(CommandError::is_lost_connection)
}

async fn download_once(
    remote: &Remote,
    from: &str,
    found: &Found,
    beside: &Path,
    resume: bool,
    progress: &Progress,
) -> anyhow::Result<String> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(beside);
    let mut file = file.with_context(|| format!("cannot write {}", beside.display()))?;
    let (mut done, mut sum) = (0, Sha256::new());
    if resume {
        let there = file.metadata()?.len();
        if there > 0 && there <= found.size && found.has_checksums {
            hash(&mut file, there, &mut sum)?;
            if hex(sum.clone()) == remote.checksum(from, there).await? {
                done = there;
            }
        }
        if done == 0 && there > 0 {
            progress.warn("what an earlier copy has left is not the beginning of the file: starting again");
            sum = Sha256::new();
        }
    }
    file.set_len(done)?;
    file.seek(SeekFrom::Start(done))?;
    progress.start(Some(found.size), done);
    let mut sink = Sink { to: Target::File(file), sum, count: done, progress };
    let script = "if [ \"$2\" = 1 ]; then exec cat -- \"$1\"; else exec tail -c \"+$2\" -- \"$1\"; fi";
    let offset = (done + 1).to_string();
    if done < found.size {
        remote
            .run(&["sh", "-c", script, "strait", from, &offset], None::<tokio::io::Empty>, &mut sink)
            .await?;
    }
    ensure!(
        sink.count == found.size,
        "{from} has {} bytes, and {} have come: it changed while it was copied",
        found.size,
        sink.count
    );
    Ok(hex(sink.sum))
}

async fn verify(remote: &Remote, path: &str, found: &Found, sum: &str, manner: Manner) -> anyhow::Result<()> {
    if manner.verify && found.has_checksums {
        let expected = remote.checksum(path, found.size).await?;
        ensure!(expected == sum, "{path}: checksums differ: {expected} in the container, {sum} here");
    }
    Ok(())
}

/// Copies a file into the container, through a file beside `to`.
pub(super) async fn upload(
    remote: &Remote,
    from: &Path,
    to: &str,
    manner: Manner,
    progress: &Progress,
) -> anyhow::Result<()> {
    let beside = partial(to);
    let mut resume = manner.resume;
    let mut attempts = 0;
    let (size, sum) = loop {
        match upload_once(remote, from, &beside, resume, progress).await {
            Ok(done) => break done,
            Err(error) if is_lost(&error) && attempts < manner.retries => {
                attempts += 1;
                progress.warn(&format!("{error}; resuming"));
                tokio::time::sleep(BACK_OFF).await;
                resume = true;
            }
            Err(error) => return Err(error.context(interrupted(&beside))),
        }
    };
    let metadata = fs::metadata(from)?;
    let attributes = manner.preserve.then(|| (metadata.mode() & 0o777, metadata.mtime()));
    put_in_place(remote, &beside, to, size, &sum, attributes, manner).await?;
    progress.finish(to);
    Ok(())
}

async fn upload_once(
    remote: &Remote,
    from: &Path,
    beside: &str,
    resume: bool,
    progress: &Progress,
) -> anyhow::Result<(u64, String)> {
    let mut file = File::open(from).with_context(|| from.display().to_string())?;
    let size = file.metadata()?.len();
    let (mut done, mut sum) = (0, Sha256::new());
    if resume {
        let there = remote.look(beside).await?;
        if there.kind == Kind::File && there.size > 0 && there.size <= size && there.has_checksums {
            hash(&mut file, there.size, &mut sum)?;
            if hex(sum.clone()) == remote.checksum(beside, there.size).await? {
                done = there.size;
            }
        }
        if done == 0 && there.kind == Kind::File {
            progress.warn("what an earlier copy has left is not the beginning of the file: starting again");
            sum = Sha256::new();
        }
    }
    file.seek(SeekFrom::Start(done))?;
    progress.start(Some(size), done);
    let mut source = Source { from: Origin::File(file.take(size - done)), sum, count: done, progress };
    // `head` ends where the protocol cannot tell the end of standard input, too.
    let script =
        "if [ \"$3\" = 0 ]; then head -c \"$2\" 3>&1 > \"$1\"; else head -c \"$2\" 3>&1 >> \"$1\"; fi";
    let (left, at) = ((size - done).to_string(), done.to_string());
    if done < size || size == 0 {
        let command = ["sh", "-c", script, "strait", beside, &left, &at];
        remote.run(&command, Some(&mut source), tokio::io::sink()).await?;
    }
    ensure!(source.count == size, "{} changed while it was copied", from.display());
    Ok((size, hex(source.sum)))
}

/// Gives what was uploaded its name, if it is what was sent.
async fn put_in_place(
    remote: &Remote,
    beside: &str,
    to: &str,
    size: u64,
    sum: &str,
    attributes: Option<(u32, i64)>,
    manner: Manner,
) -> anyhow::Result<()> {
    let there = remote.look(beside).await?;
    ensure!(
        there.size == size,
        "{beside} has {} bytes in the container, and {size} were sent: it is not complete",
        there.size
    );
    if let Err(error) = verify(remote, beside, &there, sum, manner).await {
        let _ = remote.shell("rm -f -- \"$1\"", &[beside]).await;
        return Err(error);
    }
    let (mode, modified) = attributes.map_or((String::new(), String::new()), |(mode, modified)| {
        (format!("{mode:o}"), format!("@{modified}"))
    });
    let script = r#"
[ -z "$3" ] || chmod "$3" "$1" || exit
[ -z "$4" ] || touch -c -d "$4" "$1" 2>/dev/null
mv -f -- "$1" "$2"
"#;
    remote.shell(script, &[beside, to, &mode, &modified]).await?;
    Ok(())
}

/// Prints a file of the container.
pub(super) async fn to_stdout(
    remote: &Remote,
    from: &str,
    manner: Manner,
    progress: &Progress,
) -> anyhow::Result<()> {
    let found = remote.look(from).await?;
    match found.kind {
        Kind::Missing => bail!("{from}: no such file in the container"),
        Kind::Directory => bail!("{from} is a directory"),
        Kind::File | Kind::Other => {}
    }
    let mut sink = Sink { to: Target::Stream(stdout()), sum: Sha256::new(), count: 0, progress };
    progress.start((found.kind == Kind::File).then_some(found.size), 0);
    remote.run(&["cat", "--", from], None::<tokio::io::Empty>, &mut sink).await?;
    if found.kind == Kind::File {
        ensure!(sink.count == found.size, "{from} changed while it was copied");
        verify(remote, from, &found, &hex(sink.sum), manner).await?;
    }
    progress.finish(from);
    Ok(())
}

/// Writes standard input into a file of the container.
pub(super) async fn from_stdin(
    remote: &Remote,
    to: &str,
    manner: Manner,
    progress: &Progress,
) -> anyhow::Result<()> {
    ensure!(remote.look(to).await?.kind != Kind::Directory, "{to} is a directory: name a file in it");
    let beside = partial(to);
    progress.start(None, 0);
    let mut source = Source { from: Origin::Stream(stdin()), sum: Sha256::new(), count: 0, progress };
    let command = ["sh", "-c", "cat 3>&1 > \"$1\"", "strait", &beside];
    if let Err(error) = remote.run(&command, Some(&mut source), tokio::io::sink()).await {
        return Err(anyhow::Error::new(error).context("the copy is not complete"));
    }
    put_in_place(remote, &beside, to, source.count, &hex(source.sum), None, manner).await?;
    progress.finish(to);
    Ok(())
}

fn hash(file: &mut File, len: u64, sum: &mut Sha256) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let mut beginning = file.take(len);
    let mut buffer = vec![0; CHUNK];
    loop {
        match beginning.read(&mut buffer)? {
            0 => return Ok(()),
            count => sum.update(&buffer[..count]),
        }
    }
}

pub(super) fn hex(sum: Sha256) -> String {
    sum.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Takes a file as it comes, and its checksum.
struct Sink<'a> {
    to: Target,
    sum: Sha256,
    count: u64,
    progress: &'a Progress,
}

enum Target {
    File(File),
    Stream(crate::client::Output),
}

impl AsyncWrite for Sink<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = match &mut self.to {
            Target::File(file) => io::Write::write(file, bytes)?,
            Target::Stream(stream) => std::task::ready!(Pin::new(stream).poll_write(cx, bytes))?,
        };
        self.sum.update(&bytes[..count]);
        self.count += count as u64;
        self.progress.add(count as u64);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.to {
            Target::File(_) => Poll::Ready(Ok(())),
            Target::Stream(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// Gives a file, and its checksum.
struct Source<'a> {
    from: Origin,
    sum: Sha256,
    count: u64,
    progress: &'a Progress,
}

enum Origin {
    File(io::Take<File>),
    Stream(crate::client::Input),
}

impl AsyncRead for Source<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match &mut self.from {
            Origin::File(file) => {
                let count = file.read(buffer.initialize_unfilled())?;
                buffer.advance(count);
            }
            Origin::Stream(stream) => std::task::ready!(Pin::new(stream).poll_read(cx, buffer))?,
        }
        let news = &buffer.filled()[before..];
        self.sum.update(news);
        self.count += news.len() as u64;
        self.progress.add(news.len() as u64);
        Poll::Ready(Ok(()))
    }
}
