//! What is counted: the engine's calls, each behind a function of its own that is never inlined, so that a tool can count in
//! this module and nowhere else.

use strait::Instant;
use strait::bridge::{Bridge, Flow, Lane, Memory, Side};

/// Pieces that one write takes, as a driver has them: a lane's segments, the rest of a control frame, and the outbox.
pub(crate) const SLICES: usize = 66;

#[inline(never)]
pub(crate) fn translate<B: Bridge, M: Memory>(bridge: &mut B, from: Side, lane: &mut Lane<M>) -> Flow {
    bridge.translate(from, lane, Instant::ZERO)
}

/// How many of `slices` it has filled.
#[inline(never)]
pub(crate) fn output<'a, B: Bridge, M: Memory>(
    bridge: &'a B,
    to: Side,
    lane: &'a Lane<M>,
    slices: &mut [&'a [u8]; SLICES],
) -> usize {
    let mut count = 0;
    for (slot, slice) in slices.iter_mut().zip(bridge.output(to, lane)) {
        *slot = slice;
        count += 1;
    }
    count
}

#[inline(never)]
pub(crate) fn written<B: Bridge, M: Memory>(bridge: &mut B, to: Side, lane: &mut Lane<M>, count: usize) {
    bridge.written(to, lane, count);
}

/// Anything else.
#[inline(never)]
pub(crate) fn work<T>(work: impl FnOnce() -> T) -> T {
    work()
}
