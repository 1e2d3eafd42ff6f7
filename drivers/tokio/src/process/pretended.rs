//! A process that is none: real pipes, in the hands of a test. So it may run in virtual time.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::getpid;
use tokio::net::unix::pipe;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::oneshot;

use super::stdio::{Input, Output};
use super::{Exit, Process, Waiting, Window};

/// What the process itself has.
pub(crate) struct Program {
    pub(crate) stdin: pipe::Receiver,
    pub(crate) stdout: pipe::Sender,
    pub(crate) stderr: pipe::Sender,
    /// Done when the process is to be killed.
    pub(crate) killed: oneshot::Receiver<()>,
    /// How it ends.
    pub(crate) exit: oneshot::Sender<Exit>,
}

/// Both sides of it.
pub(crate) fn process() -> io::Result<(Process, Program)> {
    let (stdin, stdin_near) = io::pipe()?;
    let (stdout_near, stdout) = io::pipe()?;
    let (stderr_near, stderr) = io::pipe()?;
    let (lifeline, killed) = oneshot::channel();
    let (exit, exited) = oneshot::channel();
    let process = Process {
        stdin: Some(Input::pipe(ChildStdin::from_std(OwnedFd::from(stdin_near).into())?)),
        stdout: Some(Output::stdout(ChildStdout::from_std(OwnedFd::from(stdout_near).into())?)),
        stderr: Some(Output::stderr(ChildStderr::from_std(OwnedFd::from(stderr_near).into())?)),
        window: Window::of(None),
        // Nobody signals it but its supervisor, which it has not.
        id: getpid(),
        exit: Waiting::Running(exited),
        lifeline: Some(lifeline),
    };
    let program = Program {
        stdin: pipe::Receiver::from_owned_fd(stdin.into())?,
        stdout: pipe::Sender::from_owned_fd(stdout.into())?,
        stderr: pipe::Sender::from_owned_fd(stderr.into())?,
        killed,
        exit,
    };
    Ok((process, program))
}
