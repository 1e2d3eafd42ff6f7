use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};

use embassy_time::Instant;
use embedded_io_async::{Error, ErrorKind, Read, Write};

use crate::wait::poll_until;

/// A connection, as a session uses it.
///
/// A session looks at both of its connections in turn and waits for whichever moves first, so it never waits in a read or a
/// write: each call does what can be done now, or sees to it that the task is woken when it is worth another call.
pub trait Connection {
    /// Reads some bytes into the front of `into`, which is not empty; `Ok(0)` is the end of what the peer sends.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, ErrorKind>>;

    /// Writes some bytes from the front of `from`, which is not empty.
    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, ErrorKind>>;

    /// Sees to it that what was written leaves, if this connection would keep it otherwise.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>>;

    /// Ends the sending half, behind all that was written: the peer reads on to an end.
    fn end(&mut self);
}

/// A [`Connection`] over anything that reads and writes by `embedded-io-async`: a serial line, TLS, a modem.
///
/// * Its `read`, `write` and `flush` must be cancel-safe: a future that is dropped before it was ready has moved
///   nothing, and wakes the task nevertheless. What `embedded-io-async` recommends is needed here.
/// * These traits know no half-close. The peer learns of the end when the transport is dropped or closed by its owner.
#[derive(Debug)]
pub struct Io<T> {
    io: T,
    is_ended: bool,
}

impl<T> Io<T> {
    /// A connection over `io`.
    pub const fn new(io: T) -> Self {
        Self { io, is_ended: false }
    }

    /// What it was made of.
    pub fn into_inner(self) -> T {
        self.io
    }
}

impl<T: Read + Write> Connection for Io<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, ErrorKind>> {
        pin!(self.io.read(into)).poll(cx).map_err(|error| error.kind())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, ErrorKind>> {
        if self.is_ended {
            return Poll::Ready(Err(ErrorKind::BrokenPipe));
        }
        pin!(self.io.write(from)).poll(cx).map_err(|error| error.kind())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        pin!(self.io.flush()).poll(cx).map_err(|error| error.kind())
    }

    fn end(&mut self) {
        self.is_ended = true;
    }
}

/// A reader and a writer as one.
#[derive(Debug)]
pub struct Halves<R, W> {
    /// What is read from.
    pub reader: R,
    /// What is written to.
    pub writer: W,
}

impl<R: Read, W: Write<Error = R::Error>> embedded_io_async::ErrorType for Halves<R, W> {
    type Error = R::Error;
}

impl<R: Read, W: Write<Error = R::Error>> Read for Halves<R, W> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Self::Error> {
        self.reader.read(into).await
    }
}

impl<R: Read, W: Write<Error = R::Error>> Write for Halves<R, W> {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Self::Error> {
        self.writer.write(from).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.writer.flush().await
    }
}

// None of these is an `async fn`, which would be a state more, with its code and its memory.

/// Reads some bytes; `Ok(0)` is the end. [`ErrorKind::TimedOut`] if none have come until then.
pub(crate) fn read(
    from: &mut impl Connection,
    into: &mut [u8],
    until: Instant,
) -> impl Future<Output = Result<usize, ErrorKind>> {
    poll_fn(move |cx| match from.poll_read(cx, into) {
        Poll::Pending => too_late(cx, until),
        ready @ Poll::Ready(_) => ready,
    })
}

/// Writes all of `bytes`, and sees that they leave. [`ErrorKind::TimedOut`] if they have not until then; and where there are none,
/// because there was no room for what was to be said, that is an error.
pub(crate) fn write(
    to: &mut impl Connection,
    bytes: &[u8],
    until: Instant,
) -> impl Future<Output = Result<(), ErrorKind>> {
    let mut written = 0;
    poll_fn(move |cx| {
        loop {
            let rest = bytes.get(written..).unwrap_or_default();
            let next = if written > 0 && rest.is_empty() {
                to.poll_flush(cx).map_ok(|()| None)
            } else {
                to.poll_write(cx, rest).map_ok(Some)
            };
            match next {
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Some(0))) => return Poll::Ready(Err(ErrorKind::WriteZero)),
                Poll::Ready(Ok(Some(count))) => written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return too_late(cx, until),
            }
        }
    })
}

/// What waits has failed at that time; before it, the task is woken then. A future with a time-out round it would be code for each
/// place of use.
pub(crate) fn too_late<T>(cx: &mut Context<'_>, until: Instant) -> Poll<Result<T, ErrorKind>> {
    poll_until(cx, until).map(|()| Err(ErrorKind::TimedOut))
}
