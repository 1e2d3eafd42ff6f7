use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use strait::spdy::frame::{self, DATA_HEADER, FLAG_FIN, RstStatus, StreamId};
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::StreamError;
use super::state::wake;

/// Most payload bytes in one DATA frame (`spdy31.md` section 8).
const PAYLOAD: usize = 32 * 1024;

/// Bytes that wait to be sent on one stream before its writer has to wait.
const OUTPUT: usize = 4 * PAYLOAD;

/// A queue of input that was larger than this gives its memory back when it is empty.
const KEPT: usize = 256 * 1024;

/// One stream of a connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four facts, of which any combination occurs")]
pub(super) struct Entry {
    pub(super) incoming: VecDeque<u8>,
    /// Bytes of input that are kept for the reader; more are dropped.
    keep: usize,
    pub(super) remote: Remote,
    /// The `SYN_REPLY` was sent or received.
    pub(super) accepted: bool,
    /// More may be queued.
    pub(super) local_open: bool,
    /// Whole frames, in order.
    pub(super) outgoing: VecDeque<Vec<u8>>,
    queued: usize,
    /// It is in the connection's list of streams that have something to send.
    pub(super) in_turn: bool,
    /// When its reader took something last, or something began to wait.
    pub(super) last_taken: Instant,
    /// Nobody holds it any more.
    pub(super) released: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    pub(super) watcher: Option<Waker>,
}

/// The peer's half of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remote {
    /// It may send.
    Open,
    /// It will send nothing more.
    Finished,
    /// It has ended both halves.
    Reset(RstStatus),
    /// We have ended both halves, because nobody read what was sent.
    Stalled,
    /// The connection is gone.
    Lost,
}

impl Entry {
    pub(super) fn new(keep: usize) -> Self {
        Self {
            incoming: VecDeque::new(),
            keep,
            remote: Remote::Open,
            accepted: false,
            local_open: true,
            outgoing: VecDeque::new(),
            queued: 0,
            in_turn: false,
            last_taken: Instant::now(),
            released: false,
            reader: None,
            writer: None,
            watcher: None,
        }
    }

    /// Our half has ended already.
    pub(super) const fn without_output(mut self) -> Self {
        self.local_open = false;
        self
    }

    /// Nothing more comes or is queued. What was queued may still have to leave.
    pub(super) const fn is_ended(&self) -> bool {
        match self.remote {
            Remote::Open => false,
            Remote::Finished => !self.local_open,
            Remote::Reset(_) | Remote::Stalled | Remote::Lost => true,
        }
    }

    /// An error if the stream was reset or lost.
    pub(super) const fn check_reset(&self, stall: Duration) -> Result<(), StreamError> {
        match self.remote {
            Remote::Open | Remote::Finished => Ok(()),
            Remote::Reset(status) => Err(StreamError::Reset(status)),
            Remote::Stalled => Err(StreamError::Stalled(stall)),
            Remote::Lost => Err(StreamError::Lost),
        }
    }

    /// An error if nothing can be sent.
    pub(super) const fn check_output(&self, stall: Duration) -> Result<(), StreamError> {
        match self.check_reset(stall) {
            Ok(()) if !self.local_open => Err(StreamError::Finished),
            checked => checked,
        }
    }

    /// Keeps input for the reader.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        let room = self.keep.saturating_sub(self.incoming.len());
        let bytes = &bytes[..bytes.len().min(room)];
        if bytes.is_empty() {
            return;
        }
        if self.incoming.is_empty() {
            self.last_taken = Instant::now();
        }
        self.incoming.extend(bytes);
        wake(&mut self.reader);
    }

    /// Hands input to the reader, and says how much.
    pub(super) fn take(&mut self, buf: &mut ReadBuf<'_>) -> usize {
        let (front, back) = self.incoming.as_slices();
        let first = front.len().min(buf.remaining());
        buf.put_slice(&front[..first]);
        let second = back.len().min(buf.remaining());
        buf.put_slice(&back[..second]);
        self.incoming.drain(..first + second);
        if self.incoming.is_empty() && self.incoming.capacity() > KEPT {
            self.incoming = VecDeque::new();
        }
        first + second
    }

    pub(super) const fn has_room(&self) -> bool {
        self.queued < OUTPUT
    }

    /// Queues as much of `bytes` as there is room for.
    pub(super) fn put(&mut self, id: u32, bytes: &[u8]) -> usize {
        let room = OUTPUT.saturating_sub(self.queued);
        let count = bytes.len().min(room);
        self.put_all(id, &bytes[..count]);
        count
    }

    /// Queues all of `bytes`: small pieces that wait together leave in one frame.
    pub(super) fn put_all(&mut self, id: u32, mut bytes: &[u8]) {
        self.queued += bytes.len();
        if let Some(last) = self.outgoing.back_mut() {
            let room = (DATA_HEADER + PAYLOAD).saturating_sub(last.len());
            let (first, rest) = bytes.split_at(bytes.len().min(room));
            last.extend_from_slice(first);
            set_length(last);
            bytes = rest;
        }
        for payload in bytes.chunks(PAYLOAD) {
            let mut frame = Vec::with_capacity(DATA_HEADER + payload.len());
            frame.extend_from_slice(&header(id, false));
            frame.extend_from_slice(payload);
            set_length(&mut frame);
            self.outgoing.push_back(frame);
        }
    }

    /// Ends our half behind what is queued. False if it had ended.
    pub(super) fn finish(&mut self, id: u32) -> bool {
        if !std::mem::replace(&mut self.local_open, false) || self.check_reset(Duration::ZERO).is_err() {
            return false;
        }
        match self.outgoing.back_mut().and_then(|last| last.get_mut(4)) {
            Some(flags) => *flags |= FLAG_FIN,
            None => self.outgoing.push_back(header(id, true).to_vec()),
        }
        true
    }

    /// Ends both halves behind what is queued.
    pub(super) fn reset_behind(&mut self, id: u32) {
        let has_ended = self.is_ended();
        self.local_open = false;
        if !has_ended && self.check_reset(Duration::ZERO).is_ok() {
            self.remote = Remote::Finished;
            if let Some(id) = StreamId::new(id) {
                self.outgoing.push_back(frame::rst_stream(id, RstStatus::CANCEL).to_vec());
            }
        }
    }

    /// The next frame to be sent.
    pub(super) fn next_frame(&mut self) -> Option<Vec<u8>> {
        let frame = self.outgoing.pop_front()?;
        self.queued = self.queued.saturating_sub(frame.len() - DATA_HEADER);
        wake(&mut self.writer);
        Some(frame)
    }

    /// The peer's half ends, or both do.
    pub(super) fn ended(&mut self, end: Remote) {
        let is_finish = end == Remote::Finished;
        if self.check_reset(Duration::ZERO).is_err() || (is_finish && self.remote == Remote::Finished) {
            return;
        }
        // What came in front of a FIN stays to be read, and what came in front of a reset too.
        self.remote = end;
        wake(&mut self.reader);
        if is_finish {
            return;
        }
        self.local_open = false;
        self.outgoing.clear();
        self.queued = 0;
        if end == Remote::Stalled {
            self.incoming = VecDeque::new();
        }
        wake(&mut self.writer);
        wake(&mut self.watcher);
    }
}

fn header(id: u32, fin: bool) -> [u8; DATA_HEADER] {
    StreamId::new(id).map_or([0; DATA_HEADER], |id| frame::data_header(id, fin, 0))
}

/// Writes the length of a DATA frame's payload into its header. It is at most [`PAYLOAD`].
fn set_length(frame: &mut [u8]) {
    let [_, length @ ..] = ((frame.len() - DATA_HEADER) as u32).to_be_bytes();
    if let Some(field) = frame.get_mut(5..DATA_HEADER) {
        field.copy_from_slice(&length);
    }
}
