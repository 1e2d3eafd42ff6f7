use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};

use embassy_net::tcp::{ConnectError, State, TcpSocket};
use embassy_net::{IpEndpoint, Stack};
use embassy_time::{Duration, Instant};
use embedded_io_async::{Error, ErrorKind};

use crate::connection::{Connection, too_late};
use crate::wait::{poll_until, within};

/// A peer that vanished without a word is asked after so long whether it is there,
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// and given up when it has said nothing for so long.
const SILENCE: Duration = Duration::from_secs(300);

/// How long the end of a connection may take: until the peer has all that was written, and until it ends its half too.
const FAREWELL: Duration = Duration::from_secs(2);

// The socket lends its ring, and bytes are copied by `copy`. The stack's own way is `memcpy`, which takes more than twice the
// instructions where ring and session are not aligned to each other, and that is nearly always.
impl Connection for TcpSocket<'_> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, ErrorKind>> {
        let mut filled = 0;
        // A ring lends what lies up to its end, and then what lies at its beginning.
        while let Some(room) = into.get_mut(filled..).filter(|room| !room.is_empty()) {
            let loan = self.read_with(|received| {
                let count = copy(room, received);
                (count, count)
            });
            let read = pin!(loan).poll(cx);
            match read {
                Poll::Ready(Ok(count)) => filled += count,
                _ if filled > 0 => break,
                Poll::Pending => return Poll::Pending,
                // Without room for a byte this tells the end of the peer's half from that of the connection.
                Poll::Ready(Err(_)) => {
                    return pin!(self.read(&mut [])).poll(cx).map_err(|error| error.kind());
                }
            }
        }
        Poll::Ready(Ok(filled))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, ErrorKind>> {
        let loan = self.write_with(|free| {
            let count = copy(free, from);
            (count, count)
        });
        pin!(loan).poll(cx).map_err(|error| error.kind())
    }

    /// The stack sends what it was given; its own `flush` would wait until the peer has it.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        Poll::Ready(Ok(()))
    }

    fn end(&mut self) {
        self.close();
    }
}

/// Copies what there is, as far as there is room, and says how much that was.
///
/// Words are read and written wherever they lie. `memcpy` of a Cortex-M3 puts each together from two, because others of its
/// architecture must.
fn copy(to: &mut [u8], from: &[u8]) -> usize {
    let count = to.len().min(from.len());
    let (to, to_tail) = to.get_mut(..count).unwrap_or_default().as_chunks_mut::<16>();
    let (from, from_tail) = from.get(..count).unwrap_or_default().as_chunks::<16>();
    for (to, from) in to.iter_mut().zip(from) {
        // One by one, or the compiler would see that this is `memcpy`.
        if let ([to_1, to_2, to_3, to_4], [from_1, from_2, from_3, from_4]) =
            (to.as_chunks_mut::<4>().0, from.as_chunks::<4>().0)
        {
            (*to_1, *to_2, *to_3, *to_4) = (*from_1, *from_2, *from_3, *from_4);
        }
    }
    for (to, from) in to_tail.iter_mut().zip(from_tail) {
        *to = *from;
    }
    count
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_whole_at_every_length_and_place() {
        let source: [u8; 64] = core::array::from_fn(|at| at as u8 + 1);
        for (from, to) in (0..16).zip(0..4).chain((0..4).zip([3, 0, 2, 1])) {
            for len in 0..=40 {
                let mut target = [0; 64];
                assert_eq!(copy(&mut target[to..to + len], &source[from..]), len);
                assert_eq!(target[to..to + len], source[from..from + len]);
                assert!(target[..to].iter().chain(&target[to + len..]).all(|byte| *byte == 0));
                assert_eq!(copy(&mut target, &source[..len]), len, "there is no more to copy");
            }
        }
    }
}
