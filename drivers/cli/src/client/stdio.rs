use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use strait_tokio::pipe::Growth;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

/// Bytes in the pipe of a standard input that much comes through.
const LARGE: usize = 1024 * 1024;

pub(crate) type Input = Box<dyn AsyncRead + Send + Unpin>;
pub(crate) type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// Standard input, read in place where that is possible.
///
/// A pipe is opened once more, because the flag that makes reading not wait belongs to all who share the description. Files and devices
/// never wait. Terminals and sockets are read by a thread.
pub(crate) fn stdin() -> Input {
    match kind(io::stdin().as_fd()) {
        Kind::Pipe => match pipe::OpenOptions::new().open_receiver("/proc/self/fd/0") {
            Ok(pipe) => Box::new(Pipe { pipe, growth: Growth::up_to(LARGE) }),
            // It may be somebody else's.
            Err(_) => Box::new(tokio::io::stdin()),
        },
        Kind::File(file) => Box::new(Inline(file)),
        Kind::Other => Box::new(tokio::io::stdin()),
    }
}

/// Standard output, in the same way.
pub(crate) fn stdout() -> Output {
    output(io::stdout().as_fd(), "/proc/self/fd/1", || Box::new(tokio::io::stdout()))
}

/// Standard error, in the same way.
pub(crate) fn stderr() -> Output {
    output(io::stderr().as_fd(), "/proc/self/fd/2", || Box::new(tokio::io::stderr()))
}

fn output(descriptor: BorrowedFd<'_>, path: &str, otherwise: impl FnOnce() -> Output) -> Output {
    match kind(descriptor) {
        Kind::Pipe => match pipe::OpenOptions::new().open_sender(path) {
            Ok(pipe) => Box::new(pipe),
            Err(_) => otherwise(),
        },
        Kind::File(file) => Box::new(Inline(file)),
        Kind::Other => otherwise(),
    }
}

enum Kind {
    Pipe,
    /// Reading and writing never wait for somebody else.
    File(File),
    Other,
}

fn kind(descriptor: BorrowedFd<'_>) -> Kind {
    let Ok(file) = descriptor.try_clone_to_owned().map(File::from) else { return Kind::Other };
    let is_terminal = file.is_terminal();
    match file.metadata().map(|metadata| metadata.file_type()) {
        Ok(kind) if kind.is_fifo() => Kind::Pipe,
        Ok(kind) if kind.is_file() || (kind.is_char_device() && !is_terminal) => Kind::File(file),
        _ => Kind::Other,
    }
}

/// A pipe that is made larger if it is used.
struct Pipe {
    pipe: pipe::Receiver,
    growth: Growth,
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { pipe, growth } = self.get_mut();
        growth.poll_read(pipe, cx, buffer)
    }
}

/// A file that is read and written where it is asked for.
struct Inline(File);

impl AsyncRead for Inline {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = retry(|| self.0.read(buffer.initialize_unfilled()))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Inline {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(retry(|| self.0.write(bytes)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
