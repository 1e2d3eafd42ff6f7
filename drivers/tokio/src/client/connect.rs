use std::fmt;
use std::io;

use strait::http::{HeadError, WriteError};
use strait::k8s::RequestError;
use strait::upgrade::UpgradeError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::head::HeadFailure;
use crate::listener::prepare;

/// What bytes go through: TCP, TLS, and either within a proxy's tunnel.
pub(super) type Connection = Box<dyn Io>;

pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why there is no session.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no TCP connection.
    Dial {
        /// `host:port`, of the server or of its proxy.
        to: String,
        /// Why.
        error: io::Error,
    },
    /// The proxy did not connect to the server.
    Proxy {
        /// Its URL, without the user.
        proxy: String,
        /// Why.
        error: String,
    },
    /// TLS was not agreed on.
    Tls(io::Error),
    /// There are no credentials, although there should be.
    Credentials(String),
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
    /// The server points elsewhere. That is never followed, because the credentials would go there, too.
    Redirect {
        /// HTTP status.
        status: u16,
    },
    /// A 101 that does not say what was upgraded.
    NotUpgraded,
    /// A 101 that is not the answer to this request's key.
    Accept,
    /// A 101 with a protocol that was not offered; empty if it names none.
    Protocol(String),
    /// This system gives no random bytes.
    Random(String),
}

impl ConnectError {
    /// True if the server has answered, and not with the upgrade that was asked for: another protocol may work where this one did not
    /// (`http-upgrade.md` section 4). A redirect is one for WebSocket.
    ///
    /// False for everything that another protocol would meet again: no connection, no TLS, a proxy that refuses, no answer in time.
    pub const fn is_upgrade_failure(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::Redirect { .. }
                | Self::NotUpgraded
                | Self::Accept
                | Self::Protocol(_)
        )
    }

    pub(super) fn of_head(failure: HeadFailure) -> Self {
        match failure {
            HeadFailure::Closed => Self::Answer(io::ErrorKind::UnexpectedEof.into()),
            HeadFailure::Timeout => Self::Timeout,
            HeadFailure::Malformed(error) => Self::malformed(&error),
            HeadFailure::Io(error) => Self::Answer(error),
        }
    }

    pub(super) fn malformed(error: &HeadError) -> Self {
        Self::Answer(io::Error::new(io::ErrorKind::InvalidData, format!("malformed answer: {error}")))
    }

    /// An answer that is no refusal, and not the upgrade that was asked for.
    pub(super) fn of_upgrade(error: UpgradeError) -> Self {
        match error {
            UpgradeError::Redirect { status } => Self::Redirect { status },
            UpgradeError::Accept => Self::Accept,
            UpgradeError::NoProtocol => Self::Protocol(String::new()),
            UpgradeError::Protocol { name } => Self::Protocol(name.as_str().into()),
            UpgradeError::Refused { status, .. } | UpgradeError::Status { status } => {
                Self::refused(status, b"")
            }
            _ => Self::NotUpgraded,
        }
    }

    /// A refusal with what its body says (`http-upgrade.md` section 2.3).
    pub(super) fn refused(status: u16, body: &[u8]) -> Self {
        let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let said = json.as_ref().and_then(|json| json["message"].as_str().or_else(|| json["error"].as_str()));
        let text = String::from_utf8_lossy(body);
        let message = said.unwrap_or_else(|| text.trim()).to_owned();
        Self::Refused { status, message }
    }
}

impl From<WriteError> for ConnectError {
    fn from(error: WriteError) -> Self {
        Self::Request(error.to_string())
    }
}

impl From<RequestError> for ConnectError {
    fn from(error: RequestError) -> Self {
        Self::Request(error.to_string())
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial { to, error } => write!(f, "cannot connect to {to}: {error}"),
            Self::Proxy { proxy, error } => write!(f, "proxy {proxy}: {error}"),
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::Credentials(error) => write!(f, "no credentials: {error}"),
            Self::Request(error) => write!(f, "the request cannot be made: {error}"),
            Self::Answer(error) => write!(f, "the server did not answer: {error}"),
            Self::Timeout => f.write_str("the server did not answer in time"),
            Self::Refused { status, message } if message.is_empty() => {
                write!(f, "unable to upgrade connection: empty server response (status {status})")
            }
            Self::Refused { message, .. } => write!(f, "unable to upgrade connection: {message}"),
            Self::Redirect { status } => write!(f, "redirect not allowed: the server answered {status}"),
            Self::NotUpgraded => {
                f.write_str("unable to upgrade connection: missing upgrade headers in response")
            }
            Self::Accept => {
                f.write_str("unable to upgrade connection: wrong Sec-WebSocket-Accept in response")
            }
            Self::Protocol(name) if name.is_empty() => f.write_str("the server chose no protocol"),
            Self::Protocol(name) => write!(f, "the server chose a protocol that was not offered: {name}"),
            Self::Random(error) => write!(f, "no random bytes: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dial { error, .. } | Self::Tls(error) | Self::Answer(error) => Some(error),
            _ => None,
        }
    }
}

pub(super) async fn tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let dialled = async {
        let stream = TcpStream::connect((host, port)).await?;
        prepare(&stream)?;
        Ok(stream)
    };
    dialled.await.map_err(|error| ConnectError::Dial { to: format!("{host}:{port}"), error })
}

/// Random bytes that nobody can predict.
pub(super) fn random() -> Result<[u8; 16], ConnectError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| ConnectError::Random(error.to_string()))?;
    Ok(bytes)
}
