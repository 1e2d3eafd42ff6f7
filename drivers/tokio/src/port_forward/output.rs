use std::collections::VecDeque;
use std::io::IoSlice;

/// Slices of one vectored write.
pub(super) const SLICES: usize = 32;

/// Frames on their way into the socket: the one that was begun, then control frames, then DATA.
///
/// Control frames are taken in only when those before them have left, and DATA only as much as leaves soon: all else waits
/// where it can still be dropped, and where a peer's flood can be seen.
#[derive(Debug, Default)]
pub(super) struct Output {
    control: Vec<u8>,
    control_sent: usize,
    frames: VecDeque<Vec<u8>>,
    /// How much of the first of them has left.
    frame_sent: usize,
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.frames.is_empty()
    }

    /// Bytes of DATA frames.
    pub(super) fn data(&self) -> usize {
        self.frames.iter().map(Vec::len).sum()
    }

    /// Takes control frames in.
    pub(super) fn control(&mut self, frames: &mut Vec<u8>) {
        if self.control.is_empty() {
            std::mem::swap(&mut self.control, frames);
        }
    }

    /// Takes a frame in that leaves behind all others.
    pub(super) fn push(&mut self, frame: Vec<u8>) {
        self.frames.push_back(frame);
    }

    /// Drops what was not begun, but for control frames.
    pub(super) fn abandon(&mut self) {
        self.frames.truncate(usize::from(self.frame_sent > 0));
    }

    /// What is to be written next. How many slices there are.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let begun = usize::from(self.frame_sent > 0);
        let control = self.control.get(self.control_sent..).filter(|control| !control.is_empty());
        let front = self.frames.iter().take(begun).filter_map(|frame| frame.get(self.frame_sent..));
        let rest = self.frames.iter().skip(begun).map(Vec::as_slice);
        let mut count = 0;
        for (to, from) in slices.iter_mut().zip(front.chain(control).chain(rest)) {
            *to = IoSlice::new(from);
            count += 1;
        }
        count
    }

    /// The first `count` bytes were written. True if DATA was among them.
    pub(super) fn written(&mut self, mut count: usize) -> bool {
        let mut data = false;
        if self.frame_sent > 0 {
            count -= self.frame_written(count);
            data = true;
        }
        let control = count.min(self.control.len() - self.control_sent);
        self.control_sent += control;
        count -= control;
        if self.control_sent == self.control.len() {
            self.control.clear();
            self.control_sent = 0;
        }
        while count > 0 && !self.frames.is_empty() {
            count -= self.frame_written(count);
            data = true;
        }
        data
    }

    /// Up to `count` bytes of the first frame were written. How many of them.
    fn frame_written(&mut self, count: usize) -> usize {
        let Some(frame) = self.frames.front() else { return 0 };
        let left = frame.len() - self.frame_sent;
        let written = left.min(count);
        self.frame_sent += written;
        if written == left {
            self.frames.pop_front();
            self.frame_sent = 0;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written with at most `most` bytes a write.
    fn write(output: &mut Output, most: usize, all: &mut Vec<u8>) {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = output.slices(&mut slices);
        let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
        let written = most.min(bytes.len());
        all.extend_from_slice(&bytes[..written]);
        output.written(written);
    }

    #[test]
    fn control_frames_pass_data_but_break_into_no_frame() {
        let (mut output, mut all) = (Output::default(), Vec::new());
        output.push(b"first".to_vec());
        output.push(b"second".to_vec());
        write(&mut output, 2, &mut all);
        output.control(&mut b"CONTROL".to_vec());
        write(&mut output, 5, &mut all);
        let mut late = b"LATE".to_vec();
        output.control(&mut late);
        assert_eq!(late, b"LATE", "not among those that have begun to leave");
        write(&mut output, 100, &mut all);
        output.control(&mut late);
        write(&mut output, 100, &mut all);
        assert_eq!(String::from_utf8_lossy(&all), "firstCONTROLsecondLATE");
        assert!(output.is_empty());
    }
}
