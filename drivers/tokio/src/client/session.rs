mod delivery;
mod resizes;
mod running;

use std::fmt;
use std::io;

use strait::Limits;
use strait::k8s::{StreamSet, Subprotocol, TerminalSize, Verb};
use strait::leg::{SpdyLeg, WebSocketLeg};
use strait::ws::MaskKeys;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Transport;
use super::connect::{ConnectError, random};
use super::exit::{Exit, SessionError};
use super::process::Process;
use super::upgrade::Upgraded;
use running::Running;

/// A reader of the caller's.
type Reader<'a> = Box<dyn AsyncRead + Send + Unpin + 'a>;

/// A writer of the caller's.
type Writer<'a> = Box<dyn AsyncWrite + Send + Unpin + 'a>;

/// An exec or attach that the server has agreed to, and that has not begun on this side.
pub struct Session {
    upgraded: Upgraded,
    streams: StreamSet,
    verb: Verb,
    limits: Limits,
}

/// What a session reads and writes on this side. Whatever is not set is empty input, or output that is thrown away.
#[derive(Default)]
pub struct Streams<'a> {
    stdin: Option<Reader<'a>>,
    stdout: Option<Writer<'a>>,
    stderr: Option<Writer<'a>>,
    sizes: Option<watch::Receiver<Option<TerminalSize>>>,
    detach: Option<CancellationToken>,
}

impl<'a> Streams<'a> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Input of the command. Its end is passed on, where the protocol can (v5, SPDY).
    #[must_use]
    pub fn stdin(mut self, from: impl AsyncRead + Send + Unpin + 'a) -> Self {
        self.stdin = Some(Box::new(from));
        self
    }

    /// Output of the command. A writer that fails ends the session.
    #[must_use]
    pub fn stdout(mut self, to: impl AsyncWrite + Send + Unpin + 'a) -> Self {
        self.stdout = Some(Box::new(to));
        self
    }

    /// Output of errors, without a terminal.
    #[must_use]
    pub fn stderr(mut self, to: impl AsyncWrite + Send + Unpin + 'a) -> Self {
        self.stderr = Some(Box::new(to));
        self
    }

    /// Sizes of the terminal: the first one is sent at once, and each change.
    #[must_use]
    pub fn sizes(mut self, sizes: watch::Receiver<Option<TerminalSize>>) -> Self {
        self.sizes = Some(sizes);
        self
    }

    /// What ends the session before the command has ended.
    #[must_use]
    pub fn detach(mut self, token: CancellationToken) -> Self {
        self.detach = Some(token);
        self
    }
}

impl Session {
    pub(super) const fn new(upgraded: Upgraded, streams: StreamSet, verb: Verb, limits: Limits) -> Self {
        Self { upgraded, streams, verb, limits }
    }

    /// What the request asked for.
    pub const fn streams(&self) -> StreamSet {
        self.streams.without_stderr_of_tty()
    }

    /// The subprotocol that the server chose.
    pub const fn protocol(&self) -> Subprotocol {
        self.upgraded.protocol
    }

    /// What carries it: [`Transport::WebSocket`] or [`Transport::Spdy`].
    pub const fn transport(&self) -> Transport {
        self.upgraded.transport
    }

    /// Runs the session to its end. Payload goes between the connection's buffer and the readers and writers without another copy.
    ///
    /// All output is written and flushed when this returns, also with an error. Dropping the future cuts the connection.
    pub async fn run(self, streams: Streams<'_>) -> Result<Exit, SessionError> {
        let Self { upgraded, streams: asked, verb, limits } = self;
        let Upgraded { io, behind, protocol, transport } = upgraded;
        if transport == Transport::Spdy {
            let leg = SpdyLeg::client(asked, protocol, &limits);
            return Running::new(io, leg, &behind, (asked, verb), streams, &limits).run().await;
        }
        let seed = match random() {
            Ok(seed) => seed,
            Err(error) => return Err(SessionError::lost("the exit status", Some(io::Error::other(error)))),
        };
        strait_simd::install();
        let leg = WebSocketLeg::client(protocol, &limits, MaskKeys::new(seed));
        Running::new(io, leg, &behind, (asked, verb), streams, &limits).run().await
    }

    /// Runs the session in a task of its own, with streams to read from and write to.
    pub fn spawn(self) -> Process {
        Process::spawn(self)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("transport", &self.transport())
            .field("protocol", &self.protocol())
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Streams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams")
            .field("stdin", &self.stdin.is_some())
            .field("stdout", &self.stdout.is_some())
            .field("stderr", &self.stderr.is_some())
            .finish_non_exhaustive()
    }
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        Self::other(error)
    }
}
