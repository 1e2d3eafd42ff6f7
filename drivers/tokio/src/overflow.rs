use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use strait::Instant;
use strait::bridge::Relief;
use tokio::io::{AsyncRead, ReadBuf};

/// Input of a client that the process at the other end does not read, as [`Relief`] has it.
#[derive(Debug, Default)]
pub(crate) struct Overflow {
    bytes: VecDeque<u8>,
    relief: Relief,
}

impl Overflow {
    /// When a stalled client may send something.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.relief.deadline()
    }

    /// Moves held bytes into `space` and says how many; `None` if none are held.
    pub(crate) fn give(&mut self, space: &mut [u8]) -> Option<usize> {
        self.relief.flows();
        if self.bytes.is_empty() {
            return None;
        }
        let count = self.bytes.len().min(space.len());
        for (to, from) in space.iter_mut().zip(self.bytes.drain(..count)) {
            *to = from;
        }
        Some(count)
    }

    /// Takes a portion from a client that is stalled, when it is due. The result is as of a read.
    pub(crate) fn poll_take<T: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        from: &mut T,
    ) -> Poll<io::Result<usize>> {
        let portion = self.relief.portion(now, self.bytes.len());
        if portion == 0 {
            return Poll::Pending;
        }
        let mut taken = 0;
        let mut piece = vec![0; 64 * 1024];
        while taken < portion {
            let mut buffer = ReadBuf::new(&mut piece);
            match Pin::new(&mut *from).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.bytes.extend(buffer.filled());
                    taken += buffer.filled().len();
                }
                // Whatever ended is told when what was taken has been passed on.
                _ if taken > 0 => break,
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(0)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncWriteExt, duplex};

    #[tokio::test]
    async fn what_is_held_of_a_stalled_client_is_given_in_order() {
        let (mut client, mut ours) = duplex(64 * 1024 * 1024);
        let sent: Vec<u8> = (0..20 * 1024 * 1024).map(|index: u32| (index % 251) as u8).collect();
        client.write_all(&sent).await.unwrap();
        let (mut overflow, mut now) = (Overflow::default(), Instant::ZERO);
        let first = poll_fn(|cx| Poll::Ready(overflow.poll_take(cx, now, &mut ours))).await;
        assert!(first.is_pending(), "not before the first interval");
        for _ in 0..60 {
            now = overflow.deadline().unwrap();
            // A cooperative budget may end a portion early; the next one goes on.
            let _ = poll_fn(|cx| Poll::Ready(overflow.poll_take(cx, now, &mut ours))).await;
            tokio::task::yield_now().await;
        }
        let held = overflow.bytes.len();
        assert!((Relief::LIMIT..Relief::LIMIT + Relief::PORTION).contains(&held), "{held}");
        let mut given = Vec::new();
        let mut space = vec![0; 70_000];
        while let Some(count) = overflow.give(&mut space) {
            given.extend_from_slice(&space[..count]);
        }
        assert!(sent.starts_with(&given));
        assert_eq!(overflow.deadline(), None, "it is not stalled any more");
    }
}
