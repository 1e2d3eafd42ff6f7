//! A real process for one exec session: spawned, resized, waited for, and never left behind.
//!
//! | asked for | stdin | stdout | stderr |
//! |---|---|---|---|
//! | without tty | pipe or `/dev/null` | pipe or `/dev/null` | pipe or `/dev/null` |
//! | with tty | the terminal | the terminal | the terminal |
//!
//! The process leads a process group of its own (with a tty: a session of its own, the terminal being its
//! controlling one), starts with default signal dispositions, and inherits no descriptor beyond 0, 1 and 2.
//!
//! Three ends are apart, and the session decides what to make of them: the process exits ([`Process::wait`]),
//! its output ends ([`Output`] reads 0 bytes), the client goes away (drop the [`Process`]). Output ends when
//! *every* process that holds the other side has closed it: a background child that kept stdout holds it open
//! beyond the exit. containerd waits for it without limit by default; a session that wants a limit stops
//! reading.
//!
//! Linux only.

#[cfg(test)]
pub(crate) mod pretended;
mod spawn;
mod stdio;
mod supervisor;
mod terminal;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::process::Pid;
use tokio::sync::oneshot;

pub use spawn::{Command, SpawnError};
pub use stdio::{Input, Output};
pub use supervisor::{Exit, GRACE};
pub(crate) use terminal::Window;

/// A running process and the near ends of its streams.
///
/// The streams may be taken out and used in other tasks. Dropping this value while the process runs kills its
/// whole process group as [`terminate`](Self::terminate) does; it needs no runtime context. The process is
/// reaped in any case.
#[derive(Debug)]
pub struct Process {
    /// The process's standard input, if it was asked for.
    pub stdin: Option<Input>,
    /// The process's standard output, if it was asked for; with a tty standard error too.
    pub stdout: Option<Output>,
    /// The process's standard error, if it was asked for; never with a tty.
    pub stderr: Option<Output>,
    window: Window,
    id: Pid,
    exit: Waiting,
    /// Dropping it is the order to terminate.
    lifeline: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
enum Waiting {
    Running(oneshot::Receiver<Exit>),
    Exited(Exit),
}

impl Process {
    /// Starts `command`. When this returns the program has been executed.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O and time enabled. If that runtime shuts down while the process runs,
    /// the process group gets SIGKILL at once.
    pub fn spawn(command: &Command) -> Result<Self, SpawnError> {
        let spawned = spawn::spawn(command)?;
        let (lifeline, terminate) = oneshot::channel();
        let (exit, exited) = oneshot::channel();
        supervisor::start(spawned.child, spawned.id, spawned.terminal.is_some(), terminate, exit);
        Ok(Self {
            stdin: spawned.stdin,
            stdout: spawned.stdout,
            stderr: spawned.stderr,
            window: Window::of(spawned.terminal),
            id: spawned.id,
            exit: Waiting::Running(exited),
            lifeline: Some(lifeline),
        })
    }

    /// The process id, which is also the id of its process group.
    pub fn id(&self) -> i32 {
        self.id.as_raw_pid()
    }

    /// Sets the terminal's size in characters; the foreground processes get SIGWINCH.
    ///
    /// Does nothing without a tty, or if either value is 0 (clients send such sizes, and they must not be
    /// applied).
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        self.window.resize(columns, rows)
    }

    /// What may [`resize`](Self::resize) it while another has the process.
    pub(crate) fn window(&self) -> Window {
        self.window.clone()
    }

    /// Waits until the process has exited. Output may follow; see the module's description. Cancel safe, and
    /// after the exit it returns the same again.
    pub async fn wait(&mut self) -> Exit {
        poll_fn(|cx| self.poll_wait(cx)).await
    }

    /// [`wait`](Self::wait) for a caller who polls.
    pub fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        let exit = match &mut self.exit {
            Waiting::Exited(exit) => return Poll::Ready(*exit),
            // The supervisor goes without a word only with its runtime, and kills the process as it goes.
            Waiting::Running(exit) => ready!(Pin::new(exit).poll(cx)).unwrap_or(Exit::Signal(libc::SIGKILL)),
        };
        self.exit = Waiting::Exited(exit);
        Poll::Ready(exit)
    }

    /// Kills the process group: SIGTERM (with a tty SIGHUP first), and [`GRACE`] later SIGKILL for who is
    /// still there.
    ///
    /// Returns at once; [`wait`](Self::wait) tells when the process is gone. Once the process has exited by
    /// itself this does nothing: what it left in the background (a daemon it was asked to start) lives on, as
    /// in a container.
    pub fn terminate(&mut self) {
        self.lifeline = None;
    }
}
