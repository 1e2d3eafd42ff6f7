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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_and_sent_as_they_are() {
        let mut leg = RawLeg::new();
        let mut bytes = *b"\x80\x03";
        assert_eq!((leg.lead(&bytes), leg.lead(b"")), (Some(0), None));
        assert_eq!(leg.receive(&mut []), Ok(Step::NEED_MORE));
        let whole = Event::Data { channel: Channel::BYTES, range: 0..2 };
        assert_eq!(leg.receive(&mut bytes), Ok(Step::event(2, whole)));

        assert_eq!((leg.header_max(65_536), leg.headroom(65_536)), (0, 0));
        assert_eq!(leg.frame(Channel::BYTES, false, &mut bytes, 1..2), Some(1));
        assert_eq!(leg.frame(Channel::STDERR, false, &mut bytes, 1..2), None, "there is one channel");
        assert_eq!(&bytes, b"\x80\x03");
    }

    #[test]
    fn its_end_is_that_of_the_connection() {
        let mut leg = RawLeg::new();
        assert!(leg.can_send(Channel::BYTES) && !leg.can_half_close(Channel::BYTES));
        leg.ping();
        leg.close(Close::Normal);
        assert_eq!(leg.pending(), b"", "it has no words for either");
        assert!(leg.can_receive() && !leg.can_send(Channel::BYTES));
    }
}
