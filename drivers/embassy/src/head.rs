use embassy_time::Instant;
use embedded_io_async::ErrorKind;
use strait::http::{HeadError, HeadScanner};

use crate::connection::{self, Connection};

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
pub(crate) async fn read_head(
    io: &mut impl Connection,
    memory: &mut [u8],
    limit: usize,
    until: Instant,
) -> Result<Head, HeadFailure> {
    let limit = limit.min(memory.len());
    let mut scanner = HeadScanner::new(limit);
    let mut filled = 0;
    loop {
        let space = memory.get_mut(filled..).unwrap_or_default();
        if space.is_empty() {
            return Err(HeadFailure::Malformed(HeadError::TooLarge { limit }));
        }
        match connection::read(io, space, until).await {
            Ok(0) => return Err(HeadFailure::Closed),
            Ok(count) => filled += count,
            Err(ErrorKind::TimedOut) => return Err(HeadFailure::Timeout),
            Err(error) => return Err(HeadFailure::Io(error)),
        }
        let received = memory.get(..filled).unwrap_or_default();
        if let Some(len) = scanner.scan(received).map_err(HeadFailure::Malformed)? {
            return Ok(Head { len, filled });
        }
    }
}
