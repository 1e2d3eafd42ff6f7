//! Pipes that much goes through.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::pipe::fcntl_setpipe_size;
use tokio::io::{AsyncRead, ReadBuf};

/// After so many bytes a pipe is made larger.
const MUCH: usize = 1024 * 1024;

/// Makes a pipe larger once much has gone through it.
///
/// A pipe holds 64 KiB, so whoever writes and whoever reads wake each other for each of them, which costs more than the copying. A
/// user has 64 MiB for all his pipes before new ones get smaller (`pipe(7)`), so only those get more that use it.
#[derive(Debug)]
pub struct Growth {
    size: usize,
    /// Bytes that have to go through before.
    left: usize,
}

impl Growth {
    /// Up to `size` bytes; the system allows everybody 1 MiB.
    pub const fn up_to(size: usize) -> Self {
        Self { size, left: MUCH }
    }

    /// Reads from `pipe`, as its own `poll_read`.
    pub fn poll_read<P: AsyncRead + AsFd + Unpin>(
        &mut self,
        pipe: &mut P,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut *pipe).poll_read(cx, buffer);
        self.passed(pipe, buffer.filled().len() - before);
        result
    }

    /// `count` bytes have gone through `pipe`. Where it cannot be made larger it stays as it is.
    pub fn passed(&mut self, pipe: &impl AsFd, count: usize) {
        if self.left == 0 {
            return;
        }
        self.left = self.left.saturating_sub(count);
        if self.left == 0
            && let Err(error) = fcntl_setpipe_size(pipe, self.size)
        {
            tracing::debug!(%error, "a pipe stays small");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::fcntl_getpipe_size;

    #[test]
    fn a_pipe_grows_when_much_has_gone_through_it_and_not_before() {
        let (reader, _writer) = io::pipe().unwrap();
        let size = || fcntl_getpipe_size(&reader).unwrap();
        let (before, mut growth) = (size(), Growth::up_to(256 * 1024));
        growth.passed(&reader, MUCH - 1);
        assert_eq!(size(), before);
        growth.passed(&reader, 1);
        growth.passed(&reader, MUCH);
        assert_eq!(size(), 256 * 1024);
    }
}
