use std::io;
use std::time::Duration;

use strait::http::{HeadError, HeadScanner};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Bytes that one read may bring, so at most so many lie behind a head.
const CHUNK: usize = 16 * 1024;

/// A head as it was received, and what came behind it.
#[derive(Debug)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    len: usize,
}

/// Why there is no head.
#[derive(Debug)]
pub(crate) enum HeadFailure {
    /// The peer closed the connection before its head was whole.
    Closed,
    /// The head was not whole in time.
    Timeout,
    /// It is none, or breaks a limit.
    Malformed(HeadError),
    /// The connection failed.
    Io(io::Error),
}

impl Head {
    /// The head, from the start line to the blank line.
    pub(crate) fn head(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// What was received behind it, at most 16 KiB.
    pub(crate) fn behind(&self) -> &[u8] {
        &self.bytes[self.len..]
    }
}

/// Reads one head of at most `limit` bytes within `deadline`. The buffer grows with what arrives.
pub(crate) async fn read_head<R: AsyncRead + Unpin>(
    io: &mut R,
    limit: usize,
    deadline: Duration,
) -> Result<Head, HeadFailure> {
    timeout(deadline, read(io, limit)).await.unwrap_or(Err(HeadFailure::Timeout))
}

async fn read<R: AsyncRead + Unpin>(io: &mut R, limit: usize) -> Result<Head, HeadFailure> {
    let mut scanner = HeadScanner::new(limit);
    let mut bytes = Vec::with_capacity(1024);
    loop {
        bytes.reserve(1024);
        let received = (&mut *io).take(CHUNK as u64).read_buf(&mut bytes).await.map_err(HeadFailure::Io)?;
        if received == 0 {
            return Err(HeadFailure::Closed);
        }
        if let Some(len) = scanner.scan(&bytes).map_err(HeadFailure::Malformed)? {
            return Ok(Head { bytes, len });
        }
    }
}
