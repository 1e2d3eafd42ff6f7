//! Port-forward over SPDY/3.1: any number of TCP connections on one connection, each as a pair of streams.
//!
//! ```text
//! local connection ── Forwarded ──┐                          ┌── Incoming ── port
//! local connection ── Forwarded ──┤ Connection ── Connection ├── Incoming ── port
//!                                 └── Forwarder       Pairs ─┘
//!                                       client        server
//! ```
//!
//! [`client`] and [`server`] take the two ends of an upgraded connection: SPDY (`portforward.k8s.io`) as it is, or the
//! [tunnel](crate::tunnel) as a [`TunnelStream`](crate::tunnel::TunnelStream). Each is a [`Connection`], a future that has to run, and a
//! handle. What one forwarded connection does concerns that one alone: it is refused, it is reset, or its reader stops,
//! and the others go on (`port-forward.md` section 1).
//!
//! SPDY has no flow control in this dialect. What comes for a reader that is slow is kept up to
//! [`Limits::stream_buffer`]; then little is read of the whole connection until the reader goes on, so a slow reader loses nothing. One that
//! takes nothing at all for [`Limits::stall`] while others wait for it is reset.

mod connection;
mod entry;
mod join;
mod output;
mod state;
mod stream;

#[cfg(test)]
mod tests;

use std::fmt::{self, Display};
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use strait::spdy::{ConnectionError, RstStatus};
use strait::{Limits, Role};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use state::Shared;

pub use connection::Connection;
pub use stream::PairStream;

/// The client's end of a connection; `behind` is what was received behind the head of the upgrade.
pub fn client<T>(io: T, behind: &[u8], limits: &Limits) -> (Forwarder, Connection<T>) {
    let shared = Shared::new(Role::Client, limits, 0);
    let forwarder =
        Forwarder { shared: Arc::clone(&shared), creation: limits.stream_creation, close: limits.close };
    (forwarder, Connection::new(io, behind, Role::Client, limits, shared))
}

/// The server's end of a connection; `behind` is what was received behind the head of the upgrade.
pub fn server<T>(io: T, behind: &[u8], limits: &Limits) -> (Pairs, Connection<T>) {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let shared = Shared::new(Role::Server, limits, NUMBER.fetch_add(1, Ordering::Relaxed));
    let pairs = Pairs { shared: Arc::clone(&shared), close: limits.close };
    (pairs, Connection::new(io, behind, Role::Server, limits, shared))
}

/// Opens forwarded connections. Clones are the same client.
#[derive(Debug, Clone)]
pub struct Forwarder {
    shared: Arc<Shared>,
    creation: Duration,
    close: Duration,
}

impl Forwarder {
    /// Opens a connection to a port of the pod: one round trip. Whether the port can be dialled shows later.
    ///
    /// # Errors
    /// [`OpenError::TimedOut`] after [`Limits::stream_creation`].
    pub async fn open(&self, port: u16) -> Result<Forwarded, OpenError> {
        let ids = self.shared.lock().open(port)?;
        // From here on they are reset if this future is dropped.
        let stream = |id| PairStream::new(Arc::clone(&self.shared), id);
        let pair = Forwarded { error: stream(ids.0), data: stream(ids.1), close: self.close };
        let accepted = poll_fn(|cx| self.shared.lock().poll_accepted(ids, cx));
        timeout(self.creation, accepted).await.map_err(|_| OpenError::TimedOut)??;
        Ok(pair)
    }

    /// Opens nothing more; the connection is closed when the last forwarded connection has ended.
    pub fn drain(&self) {
        self.shared.lock().refuse();
    }

    /// Closes the connection: what is forwarded is reset.
    pub fn close(&self) {
        self.shared.lock().close();
    }
}

/// A connection to a port of the pod. Reading and writing is its data; a shutdown is the half-close.
///
/// Dropped before both halves have ended, it is reset at once. After a connection that could not be dialled, reading fails with
/// [`StreamError::Reset`], and [`result`](Self::result) says why.
#[derive(Debug)]
pub struct Forwarded {
    data: PairStream,
    error: PairStream,
    close: Duration,
}

impl Forwarded {
    /// Copies both ways until both have ended, with half-closes, or until the other end has told a failure, and says how it ended.
    pub async fn join<L: AsyncRead + AsyncWrite + Unpin>(self, local: L) -> Result<(), ForwardError> {
        let mut text = Vec::new();
        let failed = failure(&self.error, &mut text);
        let joined = join::join(&self.data, None, local, self.close, failed).await;
        let told = self.result_behind(text).await;
        match (joined, told) {
            // The text says more than the reset that follows it.
            (_, Err(ForwardError::Remote(text))) => Err(ForwardError::Remote(text)),
            (Ok(()), told) => told,
            (Err(error), _) => Err(error),
        }
    }

    /// Ends the connection if it has not ended, and waits for what the other end has to say about it, at most for
    /// [`Limits::close`].
    pub async fn result(self) -> Result<(), ForwardError> {
        self.result_behind(Vec::new()).await
    }

    /// The same where some of what the other end has to say was read before.
    async fn result_behind(self, mut text: Vec<u8>) -> Result<(), ForwardError> {
        let Self { data, mut error, close } = self;
        let reset = data.check();
        drop(data);
        let ended = timeout(close, error.read_to_end(&mut text)).await;
        if !text.is_empty() {
            return Err(ForwardError::Remote(String::from_utf8_lossy(&text).into_owned()));
        }
        match (reset, ended) {
            (Err(error), _) => Err(ForwardError::Stream(error)),
            (Ok(()), Ok(Err(_))) => match error.check() {
                // How upstream's servers end it too.
                Ok(()) | Err(StreamError::Reset(_)) => Ok(()),
                Err(error) => Err(ForwardError::Stream(error)),
            },
            (Ok(()), Ok(Ok(_)) | Err(_)) => Ok(()),
        }
    }
}

/// Reads an error stream to its end; never done if nothing stands in it.
///
/// Today's servers reset the data stream behind a text. Those of containerd 1.6 and its time end both streams, which the data
/// stream alone does not tell from a port that has said all it had to say.
async fn failure(stream: &PairStream, text: &mut Vec<u8>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stream.take(&mut buffer).await {
        text.extend_from_slice(&buffer[..count]);
    }
    if text.is_empty() {
        pending::<()>().await;
    }
}

impl AsyncRead for Forwarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.data).poll_read(cx, buf)
    }
}

impl AsyncWrite for Forwarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.data).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.data).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.data).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.data).poll_shutdown(cx)
    }
}

/// The pairs that a client opens.
#[derive(Debug)]
pub struct Pairs {
    shared: Arc<Shared>,
    close: Duration,
}

impl Pairs {
    /// The next pair that is complete; `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Incoming> {
        let pair = poll_fn(|cx| self.shared.lock().poll_pair(cx)).await?;
        let stream = |id| PairStream::new(Arc::clone(&self.shared), id);
        Some(Incoming {
            port: pair.port,
            request: pair.request,
            data: stream(pair.data),
            error: stream(pair.error),
            close: self.close,
        })
    }

    /// Closes the connection: what is forwarded is reset.
    pub fn close(&self) {
        self.shared.lock().close();
    }

    /// True once it was told to close.
    pub fn is_closing(&self) -> bool {
        self.shared.lock().is_closing()
    }
}

/// A connection that a client asks for. Dropped, it is reset without a word.
#[derive(Debug)]
pub struct Incoming {
    /// The port to dial.
    pub port: u16,
    /// What names the pair on the wire.
    pub request: u64,
    data: PairStream,
    error: PairStream,
    close: Duration,
}

impl Incoming {
    /// Copies both ways until both have ended, with half-closes.
    ///
    /// When the target ends its half, the error stream ends with it: upstream's clients pass the end on to their
    /// own connection only then, and old ones do not even end their half before. So of what fails behind it
    /// the client gets the reset and no text.
    pub async fn join<L: AsyncRead + AsyncWrite + Unpin>(&self, local: L) -> Result<(), ForwardError> {
        join::join(&self.data, Some(&self.error), local, self.close, pending()).await
    }

    /// Waits until the client has given the connection up, or is gone. What it has sent before can still be read.
    pub async fn gone(&self) -> StreamError {
        self.data.gone().await
    }

    /// Ends it well.
    pub fn finish(self) {
        self.error.finish();
    }

    /// Ends it with a text for the client, behind all that was sent to it.
    pub async fn fail(self, text: impl Display) {
        let _ = timeout(self.close, self.data.flushed()).await;
        self.error.fail(&text);
        self.data.fail(&"");
    }
}

/// Why a forwarded connection could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// The other end refused a stream of it.
    Refused(RstStatus),
    /// The other end did not accept it within [`Limits::stream_creation`].
    TimedOut,
    /// [`Limits::pairs`] are open.
    TooMany,
    /// All stream numbers of the connection were used: it ends with its last stream, and another one is needed.
    IdsExhausted,
    /// The connection is closed, or about to be.
    Closed,
}

impl Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status) => write!(f, "the stream was refused: {status}"),
            Self::TimedOut => f.write_str("Timeout occurred"),
            Self::TooMany => f.write_str("too many forwarded connections"),
            Self::IdsExhausted => f.write_str("the connection has no stream numbers left"),
            Self::Closed => f.write_str("the connection is closed"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why a stream carries nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamError {
    /// The other end has reset it.
    Reset(RstStatus),
    /// We have reset it: its reader took nothing for so long, and others waited for it.
    Stalled(Duration),
    /// The connection has ended.
    Lost,
    /// Nothing may be sent behind the half-close.
    Finished,
}

impl Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset(status) => write!(f, "the stream was reset: {status}"),
            Self::Stalled(time) => {
                write!(f, "nothing was read of the connection for {time:?}, and others waited for it")
            }
            Self::Lost => f.write_str("the connection that carried the stream has ended"),
            Self::Finished => f.write_str("nothing can be sent behind the half-close"),
        }
    }
}

impl std::error::Error for StreamError {}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::Reset(_) => io::ErrorKind::ConnectionReset,
            StreamError::Stalled(_) => io::ErrorKind::TimedOut,
            StreamError::Lost => io::ErrorKind::ConnectionAborted,
            StreamError::Finished => io::ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}

/// How a forwarded connection failed.
#[derive(Debug)]
pub enum ForwardError {
    /// What the other end says: the port could not be dialled, or the connection failed there.
    Remote(String),
    /// Its streams failed.
    Stream(StreamError),
    /// The connection at this end failed.
    Local(io::Error),
}

impl Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(text) => f.write_str(text),
            Self::Stream(error) => write!(f, "{error}"),
            Self::Local(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for ForwardError {}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer closed it, and nothing was open.
    Finished,
    /// This end closed it.
    Closed,
    /// It was cut, or closed with forwarded connections open.
    Lost(Option<io::ErrorKind>),
    /// The peer broke the protocol.
    Broken(ConnectionError),
    /// The peer answered nothing for [`Limits::peer_timeout`].
    PeerTimeout,
    /// Nothing was forwarded for [`Limits::idle`].
    Idle,
}

impl Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("closed by the peer"),
            Self::Closed => f.write_str("closed"),
            Self::Lost(None) => f.write_str("lost"),
            Self::Lost(Some(kind)) => write!(f, "lost: {kind}"),
            Self::Broken(error) => write!(f, "{error}"),
            Self::PeerTimeout => f.write_str("the peer is silent"),
            Self::Idle => f.write_str("idle"),
        }
    }
}
