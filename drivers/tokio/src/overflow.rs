use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

/// How often something is taken from a client whose input nobody wants at the moment.
const INTERVAL: Duration = Duration::from_secs(40);

/// How much is taken then. It has to set the client's write free: Linux opens a closed window only when a sixteenth of the
/// receive buffer is free, and lets a process write again only when a third of its send buffer is, which
/// may be 6 MiB and 4 MiB.
const PORTION: usize = 2 * 1024 * 1024;

/// Most that is held for one session; after that, its client has to wait after all.
const LIMIT: usize = 16 * 1024 * 1024;

/// Input of a client that the process at the other end does not read.
///
/// A Go client gives up a session when one of its messages cannot be written for 60 s
/// (`websocket-channels.md` section 7), although a process that does not read its input is nothing unusual.
/// So a stalled client is allowed a little from time to time: enough for some five minutes.
#[derive(Debug, Default)]
pub(crate) struct Overflow {
    bytes: VecDeque<u8>,
    /// When the next portion is due, if the client is stalled.
    next: Option<Instant>,
}

impl Overflow {
    /// When a stalled client may send something.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Moves held bytes into `space` and says how many; `None` if none are held.
    pub(crate) fn give(&mut self, space: &mut [u8]) -> Option<usize> {
        self.next = None;
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
        from: &mut T,
    ) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        let due = *self.next.get_or_insert(now + INTERVAL);
        if now < due {
            return Poll::Pending;
        }
        self.next = Some(now + INTERVAL);
        if self.bytes.len() >= LIMIT {
            return Poll::Pending;
        }
        let mut taken = 0;
        let mut piece = vec![0; 64 * 1024];
        while taken < PORTION {
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

    #[tokio::test(start_paused = true)]
    async fn a_stalled_client_may_send_a_portion_at_a_time_up_to_the_limit() {
        let (mut client, mut ours) = duplex(64 * 1024 * 1024);
        let sent: Vec<u8> = (0..20 * 1024 * 1024).map(|index: u32| (index % 251) as u8).collect();
        client.write_all(&sent).await.unwrap();
        let mut overflow = Overflow::default();
        let first = poll_fn(|cx| Poll::Ready(overflow.poll_take(cx, &mut ours))).await;
        assert!(first.is_pending(), "not before the first interval");
        for _ in 0..60 {
            tokio::time::advance(INTERVAL).await;
            // A cooperative budget may end a portion early; the next one goes on.
            let _ = poll_fn(|cx| Poll::Ready(overflow.poll_take(cx, &mut ours))).await;
        }
        assert!((LIMIT..LIMIT + PORTION).contains(&overflow.bytes.len()), "{}", overflow.bytes.len());
        let mut given = Vec::new();
        let mut space = vec![0; 70_000];
        while let Some(count) = overflow.give(&mut space) {
            given.extend_from_slice(&space[..count]);
        }
        assert!(sent.starts_with(&given));
        assert_eq!(overflow.deadline(), None, "it is not stalled any more");
    }
}
