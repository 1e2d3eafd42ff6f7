use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::CancellationToken;

/// Standard input in which a sequence of keys ends the session instead of going to the process.
///
/// Keys that begin the sequence are held back until it is clear that they do not: then they go on.
pub(super) struct DetachKeys<R> {
    from: R,
    keys: Vec<u8>,
    /// So many of the keys were typed last.
    typed: usize,
    /// What was read and not handed out, in reverse order.
    ready: Vec<u8>,
    detach: CancellationToken,
}

impl<R> DetachKeys<R> {
    pub(super) const fn new(from: R, keys: Vec<u8>, detach: CancellationToken) -> Self {
        Self { from, keys, typed: 0, ready: Vec::new(), detach }
    }

    /// Looks at what was typed. What follows the sequence is dropped.
    fn look(&mut self, bytes: &[u8]) {
        let mut out = Vec::with_capacity(bytes.len() + self.typed);
        let _ = bytes.iter().any(|&byte| self.look_at(byte, &mut out));
        out.reverse();
        self.ready = out;
    }

    /// True if this ends the session.
    fn look_at(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        while self.typed > 0 && self.keys[self.typed] != byte {
            self.give_way(out);
        }
        if self.keys[self.typed] == byte {
            self.typed += 1;
        } else {
            out.push(byte);
        }
        self.typed == self.keys.len()
    }

    /// What was typed is not the sequence from its first key on; it may be from a later one on.
    fn give_way(&mut self, out: &mut Vec<u8>) {
        let typed = &self.keys[..self.typed];
        let kept = (0..typed.len()).rev().find(|&kept| typed.ends_with(&self.keys[..kept]));
        let kept = kept.unwrap_or(0);
        out.extend_from_slice(&self.keys[..self.typed - kept]);
        self.typed = kept;
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for DetachKeys<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.keys.is_empty() {
            return Pin::new(&mut this.from).poll_read(cx, buffer);
        }
        while this.ready.is_empty() {
            if this.typed == this.keys.len() {
                this.detach.cancel();
                // Nothing is typed any more, and the session is told so by the token.
                return Poll::Pending;
            }
            let mut bytes = [0; 1024];
            let mut typed = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.from).poll_read(cx, &mut typed))?;
            if typed.filled().is_empty() {
                // What was held back comes first, and then the end again.
                this.ready = this.keys[..this.typed].iter().rev().copied().collect();
                this.typed = 0;
                if this.ready.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            } else {
                this.look(typed.filled());
            }
        }
        while buffer.remaining() > 0
            && let Some(byte) = this.ready.pop()
        {
            buffer.put_slice(&[byte]);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncReadExt as _;

    /// What goes through of `pieces`, and whether the session was ended.
    async fn typed(keys: &[u8], pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut input = tokio_test_stream(pieces);
        let detach = CancellationToken::new();
        let mut keys = DetachKeys::new(&mut input, keys.to_vec(), detach.clone());
        let mut out = Vec::new();
        let _ = tokio::time::timeout(Duration::from_millis(50), keys.read_to_end(&mut out)).await;
        (out, detach.is_cancelled())
    }

    /// A reader that gives one piece at a time.
    fn tokio_test_stream(pieces: &[&[u8]]) -> impl AsyncRead + Unpin {
        let mut all: Box<dyn AsyncRead + Unpin> = Box::new(tokio::io::empty());
        for piece in pieces.iter().rev() {
            all = Box::new(io::Cursor::new(piece.to_vec()).chain(all));
        }
        all
    }

    #[tokio::test]
    async fn only_the_whole_sequence_ends_the_session() {
        let keys = [16, 17];
        assert_eq!(typed(&keys, &[b"ab\x10\x11cd"]).await, (b"ab".to_vec(), true));
        assert_eq!(typed(&keys, &[b"ab\x10", b"\x11"]).await, (b"ab".to_vec(), true));
        assert_eq!(typed(&keys, &[b"\x10", b"\x10", b"\x11"]).await, (b"\x10".to_vec(), true));
        assert_eq!(typed(&keys, &[b"a\x10", b"b\x11"]).await, (b"a\x10b\x11".to_vec(), false));
        assert_eq!(typed(&keys, &[b"a\x10"]).await, (b"a\x10".to_vec(), false), "the end gives it free");
        assert_eq!(typed(b"aab", &[b"xaaa", b"b"]).await, (b"xa".to_vec(), true));
        assert_eq!(typed(&[], &[b"\x10\x11"]).await, (b"\x10\x11".to_vec(), false));
    }
}
