use std::io::{self, Read};
use std::net::TcpStream;
use std::time::Instant;

use strait::http::{HeadError, HeadScanner};

/// Bytes that one read may bring, so at most so many lie behind a head.
const CHUNK: usize = 4 * 1024;

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
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// What was received behind it, at most 4 KiB.
    pub(crate) fn behind(&self) -> &[u8] {
        self.bytes.get(self.len..).unwrap_or_default()
    }

    /// Reads one head of at most `limit` bytes until `deadline`. The buffer grows with what arrives.
    pub(crate) fn read(mut io: &TcpStream, limit: usize, deadline: Instant) -> Result<Self, HeadFailure> {
        let mut scanner = HeadScanner::new(limit);
        let (mut bytes, mut chunk) = (Vec::new(), [0; CHUNK]);
        loop {
            until(io, deadline).map_err(HeadFailure::Io)?;
            let received = match io.read(&mut chunk) {
                Ok(0) => return Err(HeadFailure::Closed),
                Ok(received) => received,
                Err(error) if is_late(&error) => return Err(HeadFailure::Timeout),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(HeadFailure::Io(error)),
            };
            bytes.extend_from_slice(chunk.get(..received).unwrap_or_default());
            if let Some(len) = scanner.scan(&bytes).map_err(HeadFailure::Malformed)? {
                return Ok(Self { bytes, len });
            }
        }
    }

    /// Reads `len` bytes of the body, or what comes of them until `deadline`.
    pub(crate) fn body(&self, mut io: &TcpStream, len: usize, deadline: Instant) -> Vec<u8> {
        let mut body = self.behind().to_vec();
        let mut chunk = [0; CHUNK];
        while body.len() < len && until(io, deadline).is_ok() {
            match io.read(&mut chunk) {
                Ok(received) if received > 0 => {
                    body.extend_from_slice(chunk.get(..received).unwrap_or_default());
                }
                _ => break,
            }
        }
        body.truncate(len);
        body
    }
}

/// Reads and writes of `io` fail behind `deadline`.
pub(crate) fn until(io: &TcpStream, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    io.set_read_timeout(Some(left))?;
    io.set_write_timeout(Some(left))
}

pub(crate) fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
