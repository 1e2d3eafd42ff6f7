use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use indicatif::HumanBytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What was forwarded.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    opened: AtomicU64,
    failed: AtomicU64,
    reconnected: AtomicU64,
    /// Bytes to the pod.
    up: AtomicU64,
    /// Bytes from the pod.
    down: AtomicU64,
}

impl Statistics {
    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reconnected(&self) {
        self.reconnected.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [opened, failed, reconnected, up, down] =
            [&self.opened, &self.failed, &self.reconnected, &self.up, &self.down]
                .map(|counter| counter.load(Ordering::Relaxed));
        write!(
            f,
            "{opened} connections forwarded, {failed} failed, {} sent, {} received",
            HumanBytes(up),
            HumanBytes(down)
        )?;
        if reconnected > 0 {
            write!(f, ", connected to the pod again {reconnected} times")?;
        }
        Ok(())
    }
}

/// A local connection whose bytes are counted.
pub(super) struct Counted<'a, T> {
    io: T,
    statistics: &'a Statistics,
}

impl<'a, T> Counted<'a, T> {
    pub(super) const fn new(io: T, statistics: &'a Statistics) -> Self {
        Self { io, statistics }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buffer);
        self.statistics.up.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.statistics.down.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.io).poll_write_vectored(cx, slices))?;
        self.statistics.down.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
