use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use strait::k8s::{Channel, StreamSet};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::main_process::{Keeper, Share, Stalled};
use crate::process::{Command, Exit, Output, Process, SpawnError};

/// Whose streams a session carries. Dropping it kills a process of the session's own, and only that.
#[derive(Debug)]
pub(crate) enum Subject {
    /// A process of the session's own: exec.
    Own(Process),
    /// A share of the main process: attach.
    Shared(Share),
}

/// What a session is for, until all its streams are open.
#[derive(Debug)]
pub(crate) enum Aim {
    Exec(Command),
    Attach(Arc<Keeper>, StreamSet),
    /// A process that a test has.
    #[cfg(test)]
    Pretended(std::sync::Mutex<Option<Box<Process>>>, StreamSet),
}

/// Why there is nothing to carry. The text is for the session's status.
#[derive(Debug)]
pub(crate) enum NoSubject {
    Spawn(SpawnError),
    NotRunning,
}

impl Aim {
    pub(crate) const fn streams(&self) -> StreamSet {
        match self {
            Self::Exec(Command { stdin, stdout, stderr, tty, .. }) => {
                StreamSet { stdin: *stdin, stdout: *stdout, stderr: *stderr, tty: *tty }
            }
            Self::Attach(_, streams) => *streams,
            #[cfg(test)]
            Self::Pretended(_, streams) => *streams,
        }
    }

    /// The program that is asked for; not its arguments, which may be secrets.
    pub(crate) fn program(&self) -> Option<&OsStr> {
        match self {
            Self::Exec(command) => command.argv.first().map(AsRef::as_ref),
            Self::Attach(..) => None,
            #[cfg(test)]
            Self::Pretended(..) => None,
        }
    }

    pub(crate) fn subject(&self) -> Result<Subject, NoSubject> {
        match self {
            Self::Exec(command) => Process::spawn(command).map(Subject::Own).map_err(NoSubject::Spawn),
            Self::Attach(keeper, streams) => {
                keeper.attach(*streams).map(Subject::Shared).ok_or(NoSubject::NotRunning)
            }
            #[cfg(test)]
            Self::Pretended(process, _) => {
                let process = process.lock().ok().and_then(|mut process| process.take());
                process.map(|process| Subject::Own(*process)).ok_or(NoSubject::NotRunning)
            }
        }
    }
}

impl fmt::Display for NoSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => write!(f, "error executing command in container: {error}"),
            Self::NotRunning => f.write_str("error attaching to container: its main process is not running"),
        }
    }
}

impl Subject {
    /// Hands input over and returns how much; 0 if no more is wanted.
    pub(crate) fn poll_input(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<usize> {
        match self {
            Self::Own(Process { stdin: Some(stdin), .. }) => {
                Pin::new(stdin).poll_write(cx, bytes).map(Result::unwrap_or_default)
            }
            Self::Own(_) => Poll::Ready(0),
            Self::Shared(share) => share.poll_input(cx, bytes),
        }
    }

    /// Ends the session's input. True if that is done, and was not before.
    pub(crate) fn poll_end_input(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Own(Process { stdin, .. }) => {
                let Some(open) = stdin else { return false };
                let has_ended = Pin::new(open).poll_shutdown(cx).is_ready();
                if has_ended {
                    *stdin = None;
                }
                has_ended
            }
            Self::Shared(share) => share.end_input(),
        }
    }

    /// The session ends, and this is input that it has not handed over.
    pub(crate) fn last_input(&self, bytes: &[u8]) {
        // A process of the session's own ends with it.
        if let Self::Shared(share) = self {
            share.last_input(bytes);
        }
    }

    /// Puts output of `turn`, or of whichever channel has some, into `room`, which is not empty. Returns its channel
    /// and length; length 0 is the channel's end.
    pub(crate) fn poll_output(
        &mut self,
        cx: &mut Context<'_>,
        turn: Channel,
        room: &mut [u8],
    ) -> Poll<(Channel, usize)> {
        match self {
            Self::Own(process) => {
                let stream = if turn == Channel::STDOUT { &mut process.stdout } else { &mut process.stderr };
                poll_stream(stream, cx, room).map(|count| (turn, count))
            }
            Self::Shared(share) => share.poll_output(cx, room),
        }
    }

    /// How the process ended. A shared one tells only who has taken all of its output.
    pub(crate) fn poll_exit(&mut self, cx: &mut Context<'_>) -> Poll<Result<Exit, Stalled>> {
        match self {
            Self::Own(process) => process.poll_wait(cx).map(Ok),
            Self::Shared(share) => share.end().map_or(Poll::Pending, Poll::Ready),
        }
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        match self {
            Self::Own(process) => process.resize(columns, rows),
            Self::Shared(share) => share.window().resize(columns, rows),
        }
    }
}

/// Reads a piece of a stream that has not ended. 0 is its end: a read error is one too.
fn poll_stream(stream: &mut Option<Output>, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<usize> {
    let Some(open) = stream else { return Poll::Pending };
    let mut buffer = ReadBuf::new(room);
    Pin::new(open).poll_read(cx, &mut buffer).map(|_| {
        let count = buffer.filled().len();
        if count == 0 {
            *stream = None;
        }
        count
    })
}
