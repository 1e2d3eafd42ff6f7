use std::io;

use strait::http::{Body, HeadError, HeadScanner};

use crate::wait::{Io, Patience};

/// Bytes that one read may bring, so at most so many lie behind a head.
const CHUNK: usize = 4 * 1024;

/// Most bytes of a refusal's body that are kept.
pub(crate) const REFUSAL: usize = 64 * 1024;

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
    /// The connection failed, or nobody waits for the head any more.
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

    /// Reads one head of at most `limit` bytes. The buffer grows with what arrives.
    pub(crate) fn read(io: &mut impl Io, limit: usize, patience: &Patience<'_>) -> Result<Self, HeadFailure> {
        let mut scanner = HeadScanner::new(limit);
        let (mut bytes, mut chunk) = (Vec::new(), [0; CHUNK]);
        loop {
            let received = match patience.read(io, &mut chunk) {
                Ok(0) => return Err(HeadFailure::Closed),
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(HeadFailure::Timeout),
                Err(error) => return Err(HeadFailure::Io(error)),
            };
            bytes.extend_from_slice(chunk.get(..received).unwrap_or_default());
            if let Some(len) = scanner.scan(&bytes).map_err(HeadFailure::Malformed)? {
                return Ok(Self { bytes, len });
            }
        }
    }

    /// Reads the body of a refusal, or what comes of it in time, up to 64 KiB.
    pub(crate) fn refusal(&self, io: &mut impl Io, body: Body, patience: &Patience<'_>) -> Vec<u8> {
        let len = match body {
            Body::Length(length) => usize::try_from(length).unwrap_or(REFUSAL).min(REFUSAL),
            Body::None => 0,
            _ => REFUSAL,
        };
        let mut bytes = self.behind().to_vec();
        let mut chunk = [0; CHUNK];
        while bytes.len() < len
            && let Ok(received @ 1..) = patience.read(io, &mut chunk)
        {
            bytes.extend_from_slice(chunk.get(..received).unwrap_or_default());
        }
        bytes.truncate(len);
        bytes
    }
}
