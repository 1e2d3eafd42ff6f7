use std::fmt;

use strait::leg::LegError;

use crate::process::Exit;

/// How a session of the node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The process ended so, and its status was sent.
    Exited(Exit),
    /// No process could be started, or there is none to attach to.
    NotStarted,
    /// The client took no output for so long that it was cut off from the main process, and was told.
    Stalled,
    /// The client closed the connection while the process ran.
    ClientGone,
    /// The client did not open its streams in time.
    StreamCreationTimeout,
    /// The client broke the protocol.
    Broken(LegError),
    /// The node stopped.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(exit) => write!(f, "exit code {}", exit.code()),
            Self::NotStarted => f.write_str("not started"),
            Self::Stalled => f.write_str("cut off from the main process"),
            Self::ClientGone => f.write_str("client gone"),
            Self::StreamCreationTimeout => f.write_str("streams were not opened in time"),
            Self::Broken(error) => write!(f, "{error}"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}
