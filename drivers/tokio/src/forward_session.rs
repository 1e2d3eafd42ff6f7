//! A node's end of a port-forward session: it dials the ports that the client's pairs of streams name.

mod channels;

use std::fmt::{self, Display};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use socket2::SockRef;
use strait::Limits;
use strait::k8s::pairs::ForwardFailed;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::hangup::Tcp;
use crate::listener::prepare;
use crate::port_forward::{self, End, ForwardError, Incoming, StreamError};

pub(crate) use channels::ChannelStream;

/// For each of the two addresses of a port.
const CONNECT: Duration = Duration::from_secs(5);

/// Bytes that the kernel keeps for a target.
const SEND_BUFFER: usize = 256 * 1024;

/// The pod as it is named to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) pod: String,
    pub(crate) uid: String,
}

/// Serves a client's pairs until its connection ends or `stop` says so: `dial` connects to a port. How it ended, and how many
/// connections it had.
pub(crate) async fn serve<T, S, D>(
    client: T,
    behind: &[u8],
    named: &Named,
    limits: &Limits,
    stop: &CancellationToken,
    dial: impl Fn(u16) -> D,
) -> (End, u64)
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Tcp + Send + Unpin + 'static,
    D: Future<Output = Result<S, DialError>> + Send + 'static,
{
    let (mut pairs, connection) = port_forward::server(client, behind, limits);
    let mut connection = std::pin::pin!(connection);
    // Dropped with what is left in it when the connection has been lost: so are the sockets.
    let mut forwarded = JoinSet::new();
    let mut count = 0;
    let end = loop {
        tokio::select! {
            end = connection.as_mut() => break end,
            Some(incoming) = pairs.next() => {
                count += 1;
                forwarded.spawn(forward(dial(incoming.port), incoming, named.clone()));
            }
            Some(_) = forwarded.join_next() => {}
            () = stop.cancelled(), if !pairs.is_closing() => pairs.close(),
        }
    };
    if end == End::Finished {
        // A client that closes behind its last half-close has said all, and its targets may not have got it yet.
        tokio::select! {
            _ = timeout(limits.close, async { while forwarded.join_next().await.is_some() {} }) => {}
            () = stop.cancelled() => {}
        }
    }
    (end, count)
}

/// Serves one connection. Whatever comes of it is for this one alone.
async fn forward<S>(dialling: impl Future<Output = Result<S, DialError>>, incoming: Incoming, named: Named)
where
    S: AsyncRead + AsyncWrite + Tcp + Unpin,
{
    let port = incoming.port;
    // Also for a client that has reset it meanwhile: what it has sent before is delivered.
    let error = match dialling.await {
        Err(error) => Failure::Dial(error),
        Ok(stream) => {
            let mut target = Target { stream, is_over: false };
            match incoming.join(&mut target.stream).await {
                // The reset is how upstream's clients end a connection whose target has closed.
                Ok(()) | Err(ForwardError::Stream(StreamError::Reset(_))) => {
                    target.is_over = true;
                    return incoming.finish();
                }
                Err(ForwardError::Stream(StreamError::Lost)) => return incoming.finish(),
                Err(error) => Failure::Copy(error),
            }
        }
    };
    tracing::debug!(port, %error, "connection failed");
    incoming.fail(ForwardFailed { port, pod: &named.pod, uid: &named.uid, error }).await;
}

/// A target's connection. With a client that is lost it ends with an RST: a FIN would say that the input was all there is.
struct Target<S: Tcp> {
    stream: S,
    /// It has ended in order.
    is_over: bool,
}

impl<S: Tcp> Drop for Target<S> {
    fn drop(&mut self) {
        if !self.is_over {
            self.stream.abort();
        }
    }
}

/// Connects to a port of this host, over IPv4 or else IPv6, as inside a pod.
pub(crate) async fn dial(port: u16) -> Result<TcpStream, DialError> {
    let mut failed = Vec::new();
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let connected = timeout(CONNECT, TcpStream::connect((address, port))).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => match prepare(&stream).and_then(|()| notice_progress(&stream)) {
                Ok(()) => return Ok(stream),
                Err(error) => failed.push((address, error)),
            },
            Err(error) => failed.push((address, error)),
        }
    }
    Err(DialError { port, failed })
}

/// A writer is told that a full socket has room again when a third of its buffer is free. By default that may be more than a slow
/// reader takes before it passes for one that has stopped.
fn notice_progress(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_send_buffer_size(SEND_BUFFER)
}

/// No address of a port could be reached.
#[derive(Debug)]
pub(crate) struct DialError {
    port: u16,
    failed: Vec<(IpAddr, io::Error)>,
}

impl Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to connect to localhost:{}", self.port)?;
        for (index, (address, error)) in self.failed.iter().enumerate() {
            let separator = if index == 0 { ": " } else { ", " };
            write!(f, "{separator}{address}: {error}")?;
        }
        Ok(())
    }
}

enum Failure {
    Dial(DialError),
    Copy(ForwardError),
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Copy(error) => error.fmt(f),
        }
    }
}
