use super::{Lane, Memory};

/// Whose bytes come next on a socket: those of the lane that carries data to it, or the control bytes of its leg.
///
/// Control bytes come between data frames, and last, so that a Close or a GOAWAY follows all output. Control
/// frames of which a part is written already come first, and so do those that are [told to](Self::first).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// So many of the pending control bytes come before the next data frame. An [`Outbox`](crate::Outbox) holds no more.
    begun: u16,
    /// The last write may have ended inside a data frame: nothing may come before the rest of it.
    is_cut: bool,
}

impl Turn {
    /// A socket to which nothing was written.
    pub const fn new() -> Self {
        Self { begun: 0, is_cut: false }
    }

    /// Has the control bytes that are `pending` now come before the data, if no frame of that is cut: a terminal's size may overtake
    /// input, as if that were read late, but not the other way round.
    pub const fn first(&mut self, pending: usize) {
        if !self.is_cut {
            self.begun = pending as u16;
        }
    }

    /// What has to be written next, in order: pieces of the `pending` control bytes and of the output of `lane`.
    pub fn output<'a, B: Memory, const S: usize>(
        self,
        pending: &'a [u8],
        lane: &'a Lane<B, S>,
    ) -> impl Iterator<Item = &'a [u8]> {
        let (first, last) = pending.split_at_checked(self.begun as usize).unwrap_or((pending, &[]));
        let slices = core::iter::once(first).chain(lane.output()).chain(core::iter::once(last));
        slices.filter(|slice| !slice.is_empty())
    }

    /// The first `count` bytes of [`output`](Self::output) were written, when there were `pending` control
    /// bytes. Returns how many of them were control bytes.
    pub fn written<B: Memory, const S: usize>(
        &mut self,
        pending: usize,
        lane: &mut Lane<B, S>,
        count: usize,
    ) -> usize {
        let first = count.min(self.begun as usize);
        self.begun -= first as u16;
        let last = lane.written(count - first);
        self.is_cut = lane.has_output() && (self.is_cut || count > first);
        if last > 0 {
            self.begun = pending.saturating_sub(first + last) as u16;
        }
        first + last
    }
}
