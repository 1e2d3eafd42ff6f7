use std::fmt::Display;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::StreamError;
use super::state::Shared;

/// One stream of a pair. Dropped before both halves have ended, it is reset at once.
///
/// What is written counts as sent when the connection has taken it; a write waits when 128 KiB are on their way.
#[derive(Debug)]
pub struct PairStream {
    shared: Arc<Shared>,
    id: u32,
}

impl PairStream {
    pub(super) const fn new(shared: Arc<Shared>, id: u32) -> Self {
        Self { shared, id }
    }

    /// Its number on the wire.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// An error if it was reset or lost.
    pub fn check(&self) -> Result<(), StreamError> {
        self.shared.lock().check(self.id)
    }

    /// Waits until it was reset, by either end, or lost.
    pub async fn gone(&self) -> StreamError {
        poll_fn(|cx| self.shared.lock().poll_gone(self.id, cx)).await
    }

    /// Reads: `Ok(0)` is the end.
    pub(super) async fn take(&self, buffer: &mut [u8]) -> Result<usize, StreamError> {
        poll_fn(|cx| {
            let mut buf = ReadBuf::new(buffer);
            let taken = self.shared.lock().poll_take(self.id, cx, &mut buf);
            taken.map_ok(|()| buf.filled().len())
        })
        .await
    }

    /// Writes all of `bytes`.
    pub(super) async fn put(&self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let slices = [IoSlice::new(bytes)];
            let count = poll_fn(|cx| self.shared.lock().poll_put(self.id, cx, &slices)).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Waits until the connection has taken all that was written.
    pub(super) async fn flushed(&self) -> Result<(), StreamError> {
        poll_fn(|cx| self.shared.lock().poll_flushed(self.id, cx)).await
    }

    /// Ends our half.
    pub(super) fn finish(&self) {
        self.shared.lock().finish(self.id);
    }

    /// Writes a last text, and resets the stream behind it.
    pub(super) fn fail(&self, text: &dyn Display) {
        self.shared.lock().fail(self.id, text);
    }
}

impl Drop for PairStream {
    fn drop(&mut self) {
        self.shared.lock().release(self.id);
    }
}

impl AsyncRead for PairStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.shared.lock().poll_take(self.id, cx, buf).map_err(io::Error::from)
    }
}

impl AsyncWrite for PairStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.shared.lock().poll_put(self.id, cx, bufs).map_err(io::Error::from)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection sends what it has as soon as it can.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}
