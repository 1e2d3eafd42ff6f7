use core::ops::Range;

use super::{ByteStream, Close, Event, Framing, LegError};
use crate::k8s::Channel;
use crate::step::Step;

/// A stream of bytes that is a connection as it is: a SPDY connection that nobody looks into.
///
/// It has no header, no heartbeat and no Close; each direction ends with the sending half of the connection.
#[derive(Debug, Default)]
pub struct RawLeg {
    closed: bool,
}

impl RawLeg {
    /// Either end of a connection.
    pub const fn new() -> Self {
        Self { closed: false }
    }
}

impl Framing for RawLeg {
    #[inline]
    fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, LegError> {
        if input.is_empty() {
            return Ok(Step::NEED_MORE);
        }
        Ok(Step::event(input.len(), Event::Data { channel: Channel::BYTES, range: 0..input.len() }))
    }

    fn can_receive(&self) -> bool {
        true
    }

    #[inline]
    fn lead(&self, input: &[u8]) -> Option<usize> {
        (!input.is_empty()).then_some(0)
    }

    #[inline]
    fn header_max(&self, _: usize) -> usize {
        0
    }

    #[inline]
    fn frame(&mut self, channel: Channel, _: bool, _: &mut [u8], payload: Range<usize>) -> Option<usize> {
        self.can_send(channel).then_some(payload.start)
    }

    #[inline]
    fn can_send(&self, channel: Channel) -> bool {
        channel == Channel::BYTES && !self.closed
    }

    /// Its end is that of the connection's sending half.
    fn can_half_close(&self, _: Channel) -> bool {
        false
    }

    fn ping(&mut self) {}

    fn close(&mut self, _: Close) {
        self.closed = true;
    }

    fn pending(&self) -> &[u8] {
        &[]
    }

    fn sent(&mut self, _: usize) {}
}

impl ByteStream for RawLeg {
    fn has_close(&self) -> bool {
        false
    }
}
