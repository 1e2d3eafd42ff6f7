use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use strait::Instant;
use strait::bridge::Lane;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::hangup::Watch;
use crate::overflow::Overflow;
use crate::pool::Pooled;

/// One of a session's connections, and what is known of it.
pub(super) struct Socket<T> {
    pub(super) io: T,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) eof: bool,
    shut: bool,
    /// Something was written since the last complete flush.
    unflushed: bool,
}

impl<T> Socket<T> {
    pub(super) const fn new(io: T) -> Self {
        Self { io, received: 0, sent: 0, eof: false, shut: false, unflushed: false }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Socket<T> {
    /// Reads into the lane, or, from a client for whose input there has been no room for a while, beside it.
    pub(super) fn poll_read_or_hold(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        lane: &mut Lane<Pooled>,
        overflow: &mut Overflow,
        watch: &mut Watch,
    ) -> Poll<io::Result<usize>> {
        let space = lane.space();
        if !space.is_empty() {
            if let Some(count) = overflow.give(space) {
                lane.received(count);
                return Poll::Ready(Ok(count));
            }
            let result = self.poll_read(cx, lane);
            watch.is_read = result.is_pending();
            return result;
        }
        if self.eof {
            return Poll::Pending;
        }
        match overflow.poll_take(cx, now, &mut self.io) {
            Poll::Ready(Ok(count)) => {
                self.received += count as u64;
                self.eof = count == 0;
                Poll::Ready(Ok(count))
            }
            other => other,
        }
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        lane: &mut Lane<Pooled>,
    ) -> Poll<io::Result<usize>> {
        let space = lane.space();
        if self.eof || space.is_empty() {
            return Poll::Pending;
        }
        let mut buffer = ReadBuf::new(space);
        match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                let count = buffer.filled().len();
                lane.received(count);
                self.received += count as u64;
                self.eof = count == 0;
                Poll::Ready(Ok(count))
            }
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        match result {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(count)) => {
                self.sent += count as u64;
                self.unflushed = true;
                Poll::Ready(Ok(count))
            }
            other => other,
        }
    }

    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.unflushed
            && let Poll::Ready(result) = Pin::new(&mut self.io).poll_flush(cx)
        {
            self.unflushed = false;
            result?;
        }
        Ok(())
    }

    /// True if the sending half was shut down by this call.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> bool {
        if self.shut {
            return false;
        }
        self.shut = Pin::new(&mut self.io).poll_shutdown(cx).is_ready();
        self.shut
    }
}
