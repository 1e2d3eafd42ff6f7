use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};

use embassy_net::tcp::{ConnectError, State, TcpSocket};
use embassy_net::{IpEndpoint, Stack};
use embassy_time::{Duration, Instant};
use embedded_io_async::{Error, ErrorKind};

use crate::connection::{Connection, too_late};
use crate::wait::{poll_until, within};

#[cfg_attr(feature = "lend", path = "socket/lent.rs")]
#[cfg_attr(not(feature = "lend"), path = "socket/copied.rs")]
mod ring;

/// A peer that vanished without a word is asked after so long whether it is there,
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// and given up when it has said nothing for so long.
const SILENCE: Duration = Duration::from_secs(300);

/// How long the end of a connection may take: until the peer has all that was written, and until it ends its half too.
const FAREWELL: Duration = Duration::from_secs(2);

impl Connection for TcpSocket<'_> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, ErrorKind>> {
        ring::poll_read(self, cx, into).map_err(|error| error.kind())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, ErrorKind>> {
        ring::poll_write(self, cx, from).map_err(|error| error.kind())
    }

    /// The stack sends what it was given; its own `flush` would wait until the peer has it.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        Poll::Ready(Ok(()))
    }

    fn end(&mut self) {
        self.close();
    }
}

/// Where upstream connections come from.
#[expect(async_fn_in_trait, reason = "a session runs where it was started")]
pub trait Dial {
    /// What a connection is.
    type Connection: Connection;

    /// Connects. Called once in a session.
    async fn dial(&mut self) -> Result<&mut Self::Connection, ErrorKind>;
}

/// The same within a time, and [`ErrorKind::TimedOut`] behind it.
pub(crate) async fn dial<D: Dial>(upstream: &mut D, until: Instant) -> Result<&mut D::Connection, ErrorKind> {
    let mut dialling = pin!(upstream.dial());
    poll_fn(|cx| match dialling.as_mut().poll(cx) {
        Poll::Pending => too_late(cx, until),
        ready @ Poll::Ready(_) => ready,
    })
    .await
}

/// Connects a socket to one address.
pub(crate) struct Dialer<'a, 's> {
    pub(crate) socket: &'a mut TcpSocket<'s>,
    pub(crate) upstream: IpEndpoint,
    /// When the socket's last connection is done with.
    pub(crate) free_at: Instant,
}

impl<'s> Dial for Dialer<'_, 's> {
    type Connection = TcpSocket<'s>;

    async fn dial(&mut self) -> Result<&mut TcpSocket<'s>, ErrorKind> {
        poll_fn(|cx| poll_until(cx, self.free_at)).await;
        match self.socket.connect(self.upstream).await {
            Ok(()) => Ok(self.socket),
            Err(ConnectError::ConnectionReset) => Err(ErrorKind::ConnectionRefused),
            Err(error) => Err(error.kind()),
        }
    }
}

/// What TCP holds of one socket.
#[derive(Debug)]
pub(crate) struct Rings<const RING: usize> {
    received: [u8; RING],
    sent: [u8; RING],
}

impl<const RING: usize> Rings<RING> {
    pub(crate) const fn new() -> Self {
        Self { received: [0; RING], sent: [0; RING] }
    }

    /// A socket fit for sessions: bytes leave when they are written, and a peer that vanished is noticed.
    pub(crate) fn socket<'a>(&'a mut self, stack: Stack<'a>) -> TcpSocket<'a> {
        let mut socket = TcpSocket::new(stack, &mut self.received, &mut self.sent);
        socket.set_nagle_enabled(false);
        socket.set_keep_alive(Some(KEEP_ALIVE));
        socket.set_timeout(Some(SILENCE));
        socket
    }
}

/// How long a socket is kept that has seen the peer's end. The stack answers that end after the 10 ms for which it delays every
/// acknowledgement; without the answer the peer would wait, and ask again.
const LAST_WORD: Duration = Duration::from_millis(15);

/// Ends a connection so that all that was written arrives, or cuts it where the peer does not take it. Says when the socket can
/// be used again.
pub(crate) fn hang_up(socket: &mut TcpSocket<'_>) -> impl Future<Output = Instant> {
    let mut farewell = Farewell::begin(socket);
    poll_fn(move |cx| farewell.poll(cx, socket))
}

/// The end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Farewell {
    until: Instant,
    is_cut: bool,
}

impl Farewell {
    pub(crate) fn begin(socket: &mut TcpSocket<'_>) -> Self {
        socket.close();
        Self { until: within(FAREWELL), is_cut: false }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, socket: &mut TcpSocket<'_>) -> Poll<Instant> {
        if !self.is_cut {
            let mut has_ended = pin!(socket.flush()).poll(cx).is_ready();
            // What still comes is dropped: bytes that nobody reads would be answered with a reset, which may overtake our last.
            has_ended &= loop {
                match socket.poll_read(cx, &mut [0; 64]) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => break true,
                    Poll::Pending => break false,
                }
            };
            if !has_ended && poll_until(cx, self.until).is_pending() {
                return Poll::Pending;
            }
            match socket.state() {
                State::Closed => {}
                State::TimeWait => return Poll::Ready(within(LAST_WORD)),
                _ => socket.abort(),
            }
            *self = Self { until: within(FAREWELL), is_cut: true };
        }
        if pin!(socket.flush()).poll(cx).is_pending() && poll_until(cx, self.until).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(Instant::now())
    }
}
