use core::future::poll_fn;
use core::task::Poll;

use embassy_time::Instant;
use embedded_io_async::ErrorKind;
use strait::http::{HeadError, HeadScanner};

use crate::connection::Connection;
use crate::wait::poll_until;

/// A head that lies in memory, and behind it what came with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    /// Bytes of the head.
    pub(crate) len: usize,
    /// Bytes in the memory.
    pub(crate) filled: usize,
}

/// Why there is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadFailure {
    /// The peer closed the connection before its head was whole.
    Closed,
    /// The head was not whole in time.
    Timeout,
    /// It is none, or there is no room for it.
    Malformed(HeadError),
    /// The connection failed.
    Io(ErrorKind),
}

/// Reads one head, of at most `limit` bytes and no more than `memory` holds.
pub(crate) fn read_head(
    io: &mut impl Connection,
    memory: &mut [u8],
    limit: usize,
    until: Instant,
) -> impl Future<Output = Result<Head, HeadFailure>> {
    let limit = limit.min(memory.len());
    let mut scanner = HeadScanner::new(limit);
    let mut filled = 0;
    poll_fn(move |cx| {
        loop {
            let space = memory.get_mut(filled..).unwrap_or_default();
            if space.is_empty() {
                return Poll::Ready(Err(HeadFailure::Malformed(HeadError::TooLarge { limit })));
            }
            match io.poll_read(cx, space) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(HeadFailure::Closed)),
                Poll::Ready(Ok(count)) => filled += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(HeadFailure::Io(error))),
                Poll::Pending => return poll_until(cx, until).map(|()| Err(HeadFailure::Timeout)),
            }
            match scanner.scan(memory.get(..filled).unwrap_or_default()) {
                Ok(None) => {}
                Ok(Some(len)) => return Poll::Ready(Ok(Head { len, filled })),
                Err(error) => return Poll::Ready(Err(HeadFailure::Malformed(error))),
            }
        }
    })
}
