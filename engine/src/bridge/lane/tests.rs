use std::vec::Vec;

use super::*;
use crate::bridge::testbed::{STDERR, STDOUT, data, message, read_as_client, stdin};
use crate::k8s::{StreamSet, Subprotocol};
use crate::leg::{Event, SpdyLeg, WebSocketLeg};
use crate::spdy::SkipBlocks;
use crate::{Limits, Step};

impl<B: AsRef<[u8]> + AsMut<[u8]>, const S: usize> Lane<B, S> {
    /// Segments follow each other, and end before the input begins.
    pub(crate) fn assert_sound(&self) {
        let mut end = 0;
        for segment in &self.segments {
            assert!(end <= segment.start, "{:?} overlap", self.segments);
            assert!(segment.start <= segment.end, "{:?}", self.segments);
            end = segment.end;
        }
        if self.has_output() || self.has_input() {
            assert!(end <= self.start, "output up to {end} lies over input from {}", self.start);
        }
        assert!(self.start <= self.end && self.end <= self.buffer.as_ref().len());
        assert!(self.open.is_none(), "an unfinished frame is left between two calls");
    }

    /// Where the pieces of the output lie.
    fn places(&self) -> Vec<Range<usize>> {
        self.segments.iter().cloned().collect()
    }
}
