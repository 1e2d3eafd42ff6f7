//! Pseudoterminals. Not from a crate: pty-process marks the manager side close-on-exec only after opening it,
//! so a process started by another thread in between would hold this session's terminal open.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::ReadBuf;
use tokio::io::unix::AsyncFd;

/// The end-of-file character of a terminal with default settings: Ctrl-D.
const VEOF: u8 = 0x04;

/// The manager side of a pseudoterminal. At most one reader and one writer wait on it.
#[derive(Debug)]
pub(super) struct Terminal(AsyncFd<OwnedFd>);

impl Terminal {
    /// Opens a terminal; the second value is the side for the process.
    pub(super) fn open() -> io::Result<(Self, OwnedFd)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let manager = openpt(flags)?;
        grantpt(&manager)?;
        unlockpt(&manager)?;
        let user = ioctl_tiocgptpeer(&manager, flags)?;
        rustix::io::ioctl_fionbio(&manager, true)?;
        Ok((Self(register(manager)?), user))
    }

    pub(super) fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(self.0.get_ref(), size)?)
    }

    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            let read = ready
                .try_io(|manager| Ok(rustix::io::read(manager.get_ref(), buffer.initialize_unfilled())?));
            match read {
                Ok(Ok(length)) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                // Linux says so when the last process on the terminal has closed it.
                Ok(Err(error)) if is(&error, Errno::IO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) if is(&error, Errno::INTR) => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(cx))?;
            let written = ready.try_io(|manager| Ok(rustix::io::write(manager.get_ref(), bytes)?));
            match written {
                Ok(Err(error)) if is(&error, Errno::IO) => {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                Ok(Err(error)) if is(&error, Errno::INTR) => {}
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }
}

/// The size of a process's terminal, if it has one.
#[derive(Debug, Clone)]
pub(crate) struct Window(Option<Arc<Terminal>>);

impl Window {
    pub(super) const fn of(terminal: Option<Arc<Terminal>>) -> Self {
        Self(terminal)
    }

    /// Sets it in characters, unless either value is 0.
    pub(crate) fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        match &self.0 {
            Some(terminal) if columns > 0 && rows > 0 => terminal.resize(columns, rows),
            _ => Ok(()),
        }
    }
}

#[expect(unsafe_code, reason = "tokio's only call that is not deprecated")]
fn register(manager: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is one open descriptor all its life, and nobody here takes it out or duplicates
    // another over it.
    Ok(unsafe { AsyncFd::register(manager) }?)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// The one who types on a terminal, and who knows whether the cursor stands at the start of a line.
#[derive(Debug)]
pub(super) struct Keyboard {
    terminal: Arc<Terminal>,
    line_begun: bool,
}

impl Keyboard {
    pub(super) fn new(terminal: Arc<Terminal>) -> Self {
        Self { terminal, line_begun: false }
    }

    pub(super) fn poll_type(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let length = ready!(self.terminal.poll_write(cx, bytes))?;
        if let Some(last) = bytes.get(..length).and_then(<[u8]>::last) {
            self.line_begun = !matches!(*last, b'\n' | b'\r' | VEOF);
        }
        Poll::Ready(Ok(length))
    }

    /// Types the end of file: once at the start of a line; twice behind an unfinished one, because there the
    /// first only hands the line to the reader.
    pub(super) fn poll_type_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.line_begun {
            ready!(self.poll_type(cx, &[VEOF]))?;
        }
        self.terminal.poll_write(cx, &[VEOF]).map_ok(|_| ())
    }
}
