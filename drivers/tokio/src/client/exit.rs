use std::fmt;
use std::io;

use strait::k8s::Settled;
use strait::leg::LegError;

/// Most bytes of a status that are kept; Kubernetes writes some hundred.
const STATUS: usize = 64 * 1024;

/// How a remote command ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code. Servers before v4 name no code: they have 0, or a [`SessionError::Failed`].
    pub code: u32,
}

/// Why a session has no exit code.
#[derive(Debug)]
pub enum SessionError {
    /// The server says that the command was not run, or that it is not known what became of it.
    Failed {
        /// HTTP status that describes it.
        code: Option<u16>,
        /// One word for a machine, such as `InternalError`; may be empty.
        reason: String,
        /// A sentence for a person.
        message: String,
    },
    /// The connection ended before the end of the output, or before the exit status.
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
    /// The caller's standard input cannot be read.
    Input(io::Error),
    /// The caller's standard output or standard error cannot be written.
    Output(io::Error),
    /// The caller ended the session before the command had ended.
    Detached,
}

/// The exit status as it comes.
#[derive(Debug, Default)]
pub(super) struct Status {
    bytes: Vec<u8>,
    is_too_long: bool,
}

impl Status {
    pub(super) fn collect(&mut self, piece: &[u8]) {
        if self.bytes.len() + piece.len() > STATUS {
            self.is_too_long = true;
        } else {
            self.bytes.extend_from_slice(piece);
        }
    }

    /// What it says: `is_json` from v4 on. Before, silence was success, if the session ended `in_order`.
    pub(super) fn settle(&self, is_json: bool, in_order: bool) -> Result<Exit, SessionError> {
        if self.is_too_long {
            return Err(SessionError::Status(format!("it is longer than {STATUS} bytes")));
        }
        match Settled::of(&self.bytes, is_json, in_order) {
            Settled::Exit(code) => Ok(Exit { code }),
            Settled::Failed(failure) => Err(SessionError::Failed {
                code: failure.code,
                reason: failure.reason.to_string(),
                message: failure.message.to_string(),
            }),
            Settled::FailedText(text) => {
                Err(SessionError::failed(format!("error executing remote command: {text}")))
            }
            Settled::Missing => Err(SessionError::lost("the exit status", None)),
            Settled::Malformed(error) => Err(SessionError::Status(error.to_string())),
        }
    }
}

impl SessionError {
    pub(super) const fn lost(missing: &'static str, error: Option<io::Error>) -> Self {
        Self::Lost { missing, error }
    }

    fn failed(message: String) -> Self {
        Self::Failed { code: None, reason: String::new(), message }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { message, reason, .. } if message.is_empty() => {
                write!(f, "the command failed: {reason}")
            }
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
            Self::Input(error) => write!(f, "cannot read standard input: {error}"),
            Self::Output(error) => write!(f, "cannot write the output: {error}"),
            Self::Detached => f.write_str("detached"),
        }
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Lost { error: Some(error), .. } | Self::Input(error) | Self::Output(error) => Some(error),
            Self::Protocol(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(text: &str, is_json: bool, in_order: bool) -> Result<Exit, String> {
        let mut status = Status::default();
        text.as_bytes().chunks(7).for_each(|piece| status.collect(piece));
        status.settle(is_json, in_order).map_err(|error| error.to_string())
    }

    #[test]
    fn a_missing_status_is_never_a_success_from_v4_on() {
        assert_eq!(settled(r#"{"metadata":{},"status":"Success"}"#, true, false), Ok(Exit { code: 0 }));
        let lost = Err("connection closed before the exit status was received".into());
        assert_eq!(settled("", true, true), lost);
        assert_eq!(settled("", false, false), lost);
        assert_eq!(settled("", false, true), Ok(Exit { code: 0 }));
    }

    #[test]
    fn codes_and_messages_come_out_of_a_status() {
        let json = r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"259"}]}}"#;
        assert_eq!(settled(json, true, true), Ok(Exit { code: 259 }));
        let json = r#"{"status":"Failure","reason":"InternalError","message":"no \"such\" file","code":500}"#;
        assert_eq!(settled(json, true, true), Err(r#"no "such" file"#.into()));
        assert_eq!(settled("boom", false, true), Err("error executing remote command: boom".into()));
        assert!(settled("{]", true, true).is_err());
        assert!(settled(&"x".repeat(STATUS + 1), false, true).is_err());
    }
}
