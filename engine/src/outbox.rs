use crate::shift::shift;

/// An [`Outbox`] has no room for a whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Control bytes that wait to be written: whole frames, in order, in a fixed buffer of `N` bytes, which are fewer than 64 KiB.
///
/// A leg puts its pongs, replies, resets and closes here. The driver writes [`pending`](Self::pending)
/// and tells with [`sent`](Self::sent) how much of it left. As long as the outbox has no room for
/// the answers that one received frame can cause, the leg receives nothing: a peer that floods
/// with pings and does not read its pongs stops itself.
#[derive(Debug, Clone)]
pub struct Outbox<const N: usize> {
    bytes: [u8; N],
    start: usize,
    end: usize,
}

impl<const N: usize> Outbox<N> {
    /// An empty outbox.
    pub const fn new() -> Self {
        const { assert!(N <= u16::MAX as usize) };
        Self { bytes: [0; N], start: 0, end: 0 }
    }

    /// Bytes that [`push`](Self::push) can take.
    pub const fn room(&self) -> usize {
        N - (self.end - self.start)
    }

    /// Appends a whole frame, or nothing of it.
    pub fn push(&mut self, frame: &[u8]) -> Result<(), Full> {
        if frame.len() > self.room() {
            return Err(Full);
        }
        if frame.len() > N - self.end {
            shift(&mut self.bytes, self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let end = self.end + frame.len();
        self.bytes.get_mut(self.end..end).ok_or(Full)?.copy_from_slice(frame);
        self.end = end;
        Ok(())
    }

    /// What has to be written next.
    #[inline]
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// True if nothing waits.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The first `count` pending bytes were written.
    pub fn sent(&mut self, count: usize) {
        self.start += count.min(self.end - self.start);
        if self.is_empty() {
            self.start = 0;
            self.end = 0;
        }
    }
}

impl<const N: usize> Default for Outbox<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_in_order_and_whole() {
        let mut outbox = Outbox::<8>::new();
        outbox.push(b"abcd").unwrap();
        outbox.push(b"ef").unwrap();
        assert_eq!(outbox.push(b"ghi"), Err(Full));
        assert_eq!(outbox.pending(), b"abcdef");
        outbox.sent(3);
        outbox.push(b"ghi").unwrap();
        assert_eq!(outbox.pending(), b"defghi");
        outbox.sent(6);
        assert!(outbox.is_empty());
        assert_eq!(outbox.room(), 8);
    }
}
