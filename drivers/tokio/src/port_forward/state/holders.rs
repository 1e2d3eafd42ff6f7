//! What holders of streams do with them.

use std::fmt::Display;
use std::io;
use std::task::{Context, Poll};

use strait::k8s::{Pair, PortStream, ports};
use strait::spdy::{RstStatus, StreamId};
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::{ERROR_TEXT, State};
use crate::port_forward::entry::{Entry, Remote};
use crate::port_forward::{OpenError, StreamError};

impl State {
    /// Opens a pair: both streams at once, so that it costs one round trip.
    pub(in crate::port_forward) fn open(&mut self, port: u16) -> Result<(u32, u32), OpenError> {
        if self.refusing || self.closing || self.end.is_some() {
            return Err(OpenError::Closed);
        }
        if self.streams.len() + 2 > 2 * self.limits.pairs {
            return Err(OpenError::TooMany);
        }
        let (error, data) = (self.next_own, self.next_own + 2);
        if data > StreamId::MAX.get() {
            self.refuse();
            return Err(OpenError::IdsExhausted);
        }
        self.next_own = data + 2;
        let (port, request) = (port.to_string(), self.next_request.to_string());
        self.next_request += 1;
        for (id, stream) in [(error, PortStream::Error), (data, PortStream::Data)] {
            let headers = [
                (ports::STREAM_TYPE, stream.stream_type()),
                (ports::PORT, port.as_str()),
                (ports::REQUEST_ID, request.as_str()),
            ];
            self.write_headers(|writer, out| {
                StreamId::new(id).and_then(|id| writer.syn_stream(id, false, &headers, out).ok())
            });
        }
        self.data_frame(error, true, &[]);
        self.streams.insert(error, Entry::new(ERROR_TEXT).without_output());
        self.streams.insert(data, Entry::new(usize::MAX));
        self.wake();
        Ok((error, data))
    }

    /// Waits until both streams of a pair are accepted.
    pub(in crate::port_forward) fn poll_accepted(
        &mut self,
        pair: (u32, u32),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), OpenError>> {
        let mut accepted = true;
        for id in [pair.0, pair.1] {
            let Some(entry) = self.streams.get_mut(&id) else { return Poll::Ready(Err(OpenError::Closed)) };
            match entry.remote {
                Remote::Reset(status) if !entry.accepted => {
                    return Poll::Ready(Err(OpenError::Refused(status)));
                }
                Remote::Lost => return Poll::Ready(Err(OpenError::Closed)),
                _ => {}
            }
            if !entry.accepted {
                entry.watcher = Some(cx.waker().clone());
                accepted = false;
            }
        }
        if accepted { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// The next complete pair; `None` when there will be none.
    pub(in crate::port_forward) fn poll_pair(&mut self, cx: &mut Context<'_>) -> Poll<Option<Pair>> {
        if let Some(pair) = self.complete.pop_front() {
            return Poll::Ready(Some(pair));
        }
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        self.acceptor = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes what has come on a stream. Nothing taken is its end.
    pub(in crate::port_forward) fn poll_take(
        &mut self,
        id: u32,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), StreamError>> {
        let was_held = self.held();
        let Some(entry) = self.streams.get_mut(&id) else { return Poll::Ready(Err(StreamError::Lost)) };
        let before = entry.incoming.len();
        let taken = entry.take(buf);
        if taken == 0 {
            if buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            return match entry.remote {
                Remote::Open => {
                    entry.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
                Remote::Finished => Poll::Ready(Ok(())),
                Remote::Reset(status) => Poll::Ready(Err(StreamError::Reset(status))),
                Remote::Stalled => Poll::Ready(Err(StreamError::Stalled(self.limits.stall))),
                Remote::Lost => Poll::Ready(Err(StreamError::Lost)),
            };
        }
        entry.last_taken = Instant::now();
        self.recount(before, before - taken);
        if was_held != self.held() {
            self.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// Queues bytes to be sent on a stream: as many as there is room for.
    pub(in crate::port_forward) fn poll_put(
        &mut self,
        id: u32,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<Result<usize, StreamError>> {
        let Some(entry) = self.streams.get_mut(&id) else { return Poll::Ready(Err(StreamError::Lost)) };
        entry.check_output(self.limits.stall)?;
        if !entry.has_room() {
            entry.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut count = 0;
        for slice in slices {
            count += entry.put(id, slice);
        }
        self.queue(id);
        Poll::Ready(Ok(count))
    }

    /// Waits until all that was queued on a stream is on its way.
    pub(in crate::port_forward) fn poll_flushed(
        &mut self,
        id: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        let Some(entry) = self.streams.get_mut(&id) else { return Poll::Ready(Err(StreamError::Lost)) };
        entry.check_reset(self.limits.stall)?;
        if entry.outgoing.is_empty() {
            return Poll::Ready(Ok(()));
        }
        entry.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ends our half of a stream behind all that was queued.
    pub(in crate::port_forward) fn finish(&mut self, id: u32) {
        if let Some(entry) = self.streams.get_mut(&id)
            && entry.finish(id)
        {
            self.queue(id);
        }
    }

    /// An error if a stream was reset or lost.
    pub(in crate::port_forward) fn check(&self, id: u32) -> Result<(), StreamError> {
        self.streams.get(&id).map_or(Err(StreamError::Lost), |entry| entry.check_reset(self.limits.stall))
    }

    /// Waits until a stream was reset, by either end, or lost.
    pub(in crate::port_forward) fn poll_gone(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<StreamError> {
        let Some(entry) = self.streams.get_mut(&id) else { return Poll::Ready(StreamError::Lost) };
        if let Err(error) = entry.check_reset(self.limits.stall) {
            return Poll::Ready(error);
        }
        entry.watcher = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Writes a last text on a stream, and resets it behind that and all that was queued before. Its holder may drop it.
    pub(in crate::port_forward) fn fail(&mut self, id: u32, text: &dyn Display) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        let text = text.to_string();
        if !text.is_empty() && entry.local_open {
            entry.put_all(id, text.as_bytes());
        }
        entry.reset_behind(id);
        self.queue(id);
    }

    /// Nobody holds a stream any more. If it has not ended by itself it is reset at once, and what waits on it is dropped.
    pub(in crate::port_forward) fn release(&mut self, id: u32) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        let before = entry.incoming.len();
        entry.incoming.clear();
        entry.released = true;
        let (ended, has_output) = (entry.is_ended(), !entry.outgoing.is_empty());
        self.recount(before, 0);
        self.wake();
        if ended && has_output {
            // It is forgotten when that has left.
            return;
        }
        if !ended {
            self.reset_frame(id, RstStatus::CANCEL);
        }
        self.streams.remove(&id);
    }

    /// The connection is to be closed: every stream is reset, and the peer is told.
    pub(in crate::port_forward) fn close(&mut self) {
        self.closing = true;
        self.wake();
    }

    /// No stream is opened any more; the connection ends when none is open.
    pub(in crate::port_forward) fn refuse(&mut self) {
        self.refusing = true;
        self.wake();
    }
}
