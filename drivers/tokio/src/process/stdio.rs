use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use super::terminal::{Keyboard, Terminal};
use crate::pipe::Growth;

/// Bytes in the pipe of a process that much goes to or comes from.
const LARGE: usize = 256 * 1024;

/// Where the session writes the process's standard input.
///
/// Shutting it down is the half-close: a pipe is closed. A terminal cannot be half-closed, so the end-of-file
/// character (Ctrl-D) is typed: a shell or a program that reads lines sees the end of its input, and the
/// output goes on. A program that has the terminal in raw mode gets the character and does what it does with
/// it. (containerd ends the output instead.) Dropping it closes a pipe, too, but types nothing.
#[derive(Debug)]
pub struct Input(Far);

#[derive(Debug)]
enum Far {
    Pipe(ChildStdin, Growth),
    Terminal(Keyboard),
    Closed,
}

impl Input {
    pub(super) fn pipe(pipe: ChildStdin) -> Self {
        Self(Far::Pipe(pipe, Growth::up_to(LARGE)))
    }

    pub(super) fn terminal(terminal: Arc<Terminal>) -> Self {
        Self(Far::Terminal(Keyboard::new(terminal)))
    }
}

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Far::Pipe(pipe, growth) => {
                let result = Pin::new(&mut *pipe).poll_write(cx, bytes);
                if let Poll::Ready(Ok(count)) = &result {
                    growth.passed(pipe, *count);
                }
                result
            }
            Far::Terminal(keyboard) => keyboard.poll_type(cx, bytes),
            Far::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Far::Terminal(keyboard) = &mut self.0 {
            std::task::ready!(keyboard.poll_type_end(cx))?;
        }
        // tokio's own shutdown of a pipe does nothing; only dropping it closes it.
        self.0 = Far::Closed;
        Poll::Ready(Ok(()))
    }
}

/// Where the session reads the process's standard output or standard error. Ends (reads 0 bytes) when no
/// process holds the other side any more.
#[derive(Debug)]
pub struct Output {
    near: Near,
    growth: Growth,
}

#[derive(Debug)]
enum Near {
    Stdout(ChildStdout),
    Stderr(ChildStderr),
    Terminal(Arc<Terminal>),
}

impl Output {
    const fn new(near: Near) -> Self {
        Self { near, growth: Growth::up_to(LARGE) }
    }

    pub(super) fn stdout(pipe: ChildStdout) -> Self {
        Self::new(Near::Stdout(pipe))
    }

    pub(super) fn stderr(pipe: ChildStderr) -> Self {
        Self::new(Near::Stderr(pipe))
    }

    pub(super) fn terminal(terminal: Arc<Terminal>) -> Self {
        Self::new(Near::Terminal(terminal))
    }
}

impl AsyncRead for Output {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { near, growth } = self.get_mut();
        match near {
            Near::Stdout(pipe) => growth.poll_read(pipe, cx, buffer),
            Near::Stderr(pipe) => growth.poll_read(pipe, cx, buffer),
            Near::Terminal(terminal) => terminal.poll_read(cx, buffer),
        }
    }
}
