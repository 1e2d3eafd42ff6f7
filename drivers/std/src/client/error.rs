use std::fmt;
use std::io;

use strait::k8s::{Lossy, Outcome};
use strait::leg::LegError;
use strait::upgrade::UpgradeError;

use crate::head::HeadFailure;

/// Why there is no session.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no connection.
    Dial {
        /// `host:port`.
        to: String,
        /// Why.
        error: io::Error,
    },
    /// The request cannot be written: the pod's name, say, is none.
    Request(String),
    /// The request was not sent, or no answer, or none of HTTP, came.
    Answer(io::Error),
    /// All that did not come in time.
    Timeout,
    /// The server refused the upgrade.
    Refused {
        /// HTTP status.
        status: u16,
        /// What the body says.
        message: String,
    },
    /// The server has answered with something else than the upgrade that was asked for: a redirect, which is never followed because
    /// the credentials would go there, too, or a 101 to something else.
    NotUpgraded(UpgradeError),
    /// This end cannot run a session: no random bytes, no thread, no pipe.
    Local(io::Error),
}

impl ConnectError {
    /// True if the server has answered, and not with the upgrade that was asked for: another protocol may work where this one did not
    /// (`http-upgrade.md` section 4). A redirect is one for WebSocket.
    ///
    /// False for everything that another protocol would meet again: no connection, no answer in time.
    pub const fn is_upgrade_failure(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::NotUpgraded(_))
    }

    pub(super) fn of_head(failure: HeadFailure) -> Self {
        match failure {
            HeadFailure::Closed => Self::Answer(io::ErrorKind::UnexpectedEof.into()),
            HeadFailure::Timeout => Self::Timeout,
            HeadFailure::Malformed(error) => Self::malformed(error),
            HeadFailure::Io(error) => Self::of_answer(error),
        }
    }

    pub(super) fn of_answer(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Timeout,
            _ => Self::Answer(error),
        }
    }

    pub(super) fn malformed(error: impl fmt::Display) -> Self {
        Self::Answer(io::Error::new(io::ErrorKind::InvalidData, format!("malformed answer: {error}")))
    }

    /// A refusal with what its body says (`http-upgrade.md` section 2.3).
    pub(super) fn refused(status: u16, body: &[u8]) -> Self {
        let message = match Outcome::parse(body) {
            Ok(Outcome::Failure(failure)) => failure.message.to_string(),
            _ => Lossy(body.trim_ascii()).to_string(),
        };
        Self::Refused { status, message }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial { to, error } => write!(f, "cannot connect to {to}: {error}"),
            Self::Request(error) => write!(f, "the request cannot be made: {error}"),
            Self::Answer(error) => write!(f, "the server did not answer: {error}"),
            Self::Timeout => f.write_str("the server did not answer in time"),
            Self::Refused { status, message } if message.is_empty() => {
                write!(f, "unable to upgrade connection: empty server response (status {status})")
            }
            Self::Refused { message, .. } => write!(f, "unable to upgrade connection: {message}"),
            Self::NotUpgraded(error) => error.fmt(f),
            Self::Local(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dial { error, .. } | Self::Answer(error) | Self::Local(error) => Some(error),
            Self::NotUpgraded(error) => Some(error),
            Self::Request(_) | Self::Timeout | Self::Refused { .. } => None,
        }
    }
}

/// How a remote command ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code. Servers before v4 name no code: they have 0, or a [`SessionError::Failed`].
    pub code: u32,
}

/// Why a session has no exit code, or a forwarded connection no good end.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// The server says that the command was not run, or that it is not known what became of it; or that a port could not be
    /// dialled.
    Failed {
        /// HTTP status that describes it.
        code: Option<u16>,
        /// One word for a machine, such as `InternalError`; may be empty.
        reason: String,
        /// A sentence for a person.
        message: String,
    },
    /// The connection ended before what was to come.
    Lost {
        /// What is missing.
        missing: &'static str,
        /// How the connection failed, unless it was just closed.
        error: Option<io::Error>,
    },
    /// The server says nothing any more, not even to heartbeats.
    Silent,
    /// The server did not accept the streams in time.
    StreamCreationTimeout,
    /// The server broke the protocol.
    Protocol(LegError),
    /// What came as exit status is none.
    Status(String),
    /// The connection at this end failed, which was forwarded.
    Local(io::Error),
    /// The caller ended the session before it had ended.
    Detached,
}

impl SessionError {
    pub(super) const fn lost(missing: &'static str, error: Option<io::Error>) -> Self {
        Self::Lost { missing, error }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::Failed { code: None, reason: String::new(), message: message.into() }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { message, reason, .. } if message.is_empty() => write!(f, "it failed: {reason}"),
            Self::Failed { message, .. } => f.write_str(message),
            Self::Lost { missing, error: None } => {
                write!(f, "connection closed before {missing} was received")
            }
            Self::Lost { missing, error: Some(error) } => {
                write!(f, "connection lost before {missing} was received: {error}")
            }
            Self::Silent => f.write_str("connection lost: the server does not answer any more"),
            Self::StreamCreationTimeout => f.write_str("the server did not accept the streams in time"),
            Self::Protocol(error) => write!(f, "the server broke the protocol: {error}"),
            Self::Status(error) => write!(f, "the server sent no proper exit status: {error}"),
            Self::Local(error) => error.fmt(f),
            Self::Detached => f.write_str("detached"),
        }
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Lost { error: Some(error), .. } | Self::Local(error) => Some(error),
            Self::Protocol(error) => Some(error),
            _ => None,
        }
    }
}
