mod holders;

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use strait::k8s::pairs::{Added, AlreadyAssigned, StreamRequest, TimedOut};
use strait::k8s::{Pair, PairTable, PortStream};
use strait::spdy::frame::{self, RstStatus, StreamId};
use strait::spdy::{HeaderBlock, HeaderWriter};
use strait::{Limits, Role};
use tokio::time::Instant;

use super::End;
use super::entry::{Entry, Remote};
use super::output::Output;

/// Pairs of which one stream is there.
const HALVES: usize = 256;

/// Bytes of control frames that may wait for a peer that does not read them. Beyond that it is not read from.
const CONTROL: usize = 64 * 1024;

/// Bytes of an error stream that are kept; more say no more.
const ERROR_TEXT: usize = 64 * 1024;

/// What the connection's task and the streams' holders have in common.
#[derive(Debug)]
pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) fn new(role: Role, limits: &Limits, connection: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State::new(role, limits, connection))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The streams of one connection, and what waits to be sent and to be read.
#[derive(Debug)]
pub(super) struct State {
    limits: Limits,
    /// Tells the connections of this process apart.
    number: u64,
    epoch: Instant,
    streams: HashMap<u32, Entry>,
    /// Streams that have something to send, each once.
    turn: VecDeque<u32>,
    /// Control frames that leave before any DATA.
    control: Vec<u8>,
    writer: HeaderWriter,
    next_own: u32,
    next_peer: u32,
    next_request: u64,
    last_accepted: Option<StreamId>,
    /// Bytes that wait for readers, and how many streams have more than their share of them.
    waiting: usize,
    over: usize,
    /// Pairs with one stream; a server's.
    halves: Option<Box<PairTable<HALVES>>>,
    /// Pairs that nobody has taken yet.
    complete: VecDeque<Pair>,
    acceptor: Option<Waker>,
    connection: Option<Waker>,
    /// No stream is opened any more.
    refusing: bool,
    /// The connection is to be closed.
    closing: bool,
    end: Option<End>,
}

/// How much may be read of a connection whose streams are not all read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Anything.
    Free,
    /// A little from time to time: control frames may be behind the data.
    Slow,
    /// Nothing.
    Full,
}

impl State {
    fn new(role: Role, limits: &Limits, number: u64) -> Self {
        let (next_own, next_peer) = match role {
            Role::Client => (1, 2),
            Role::Server => (2, 1),
        };
        let halves = || Box::new(PairTable::new(limits.stream_creation));
        Self {
            limits: *limits,
            number,
            epoch: Instant::now(),
            streams: HashMap::new(),
            turn: VecDeque::new(),
            control: Vec::new(),
            writer: HeaderWriter::new(),
            next_own,
            next_peer,
            next_request: 0,
            last_accepted: None,
            waiting: 0,
            over: 0,
            halves: (role == Role::Server).then(halves),
            complete: VecDeque::new(),
            acceptor: None,
            connection: None,
            refusing: false,
            closing: false,
            end: None,
        }
    }

    pub(super) fn register(&mut self, waker: &Waker) {
        if !self.connection.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.connection = Some(waker.clone());
        }
    }

    pub(super) const fn is_closing(&self) -> bool {
        self.closing
    }

    pub(super) fn is_drained(&self) -> bool {
        self.refusing && self.streams.is_empty()
    }

    /// True if the peer does not read its answers: then it is not read from.
    pub(super) const fn is_flooded(&self) -> bool {
        self.control.len() > CONTROL
    }

    /// How much may be read.
    pub(super) const fn held(&self) -> Held {
        if self.waiting >= self.limits.session_buffer {
            Held::Full
        } else if self.over > 0 {
            Held::Slow
        } else {
            Held::Free
        }
    }

    pub(super) fn ping(&mut self, id: u32) {
        self.control.extend_from_slice(&frame::ping(id));
    }

    /// The peer sent a `SYN_STREAM`. What is to be logged about it is the error.
    pub(super) fn syn_stream(&mut self, stream: StreamId, fin: bool, headers: HeaderBlock<'_>) {
        let id = stream.get();
        if id < self.next_peer {
            return self.reset_frame(id, RstStatus::PROTOCOL_ERROR);
        }
        self.next_peer = id.saturating_add(2);
        if self.refusing || self.closing {
            // As upstream: it reads no answer any more.
            return;
        }
        if self.streams.len() >= 2 * self.limits.pairs {
            tracing::debug!(limit = self.limits.pairs, "stream refused: too many are open");
            return self.reset_frame(id, RstStatus::REFUSED_STREAM);
        }
        let asked = match StreamRequest::parse(id, |name| headers.get(name)) {
            Ok(asked) => asked,
            Err(error) => {
                tracing::debug!(id, %error, "stream refused");
                return self.reset_frame(id, RstStatus::CANCEL);
            }
        };
        let now = self.now();
        let Some(halves) = &mut self.halves else { return self.reset_frame(id, RstStatus::CANCEL) };
        match halves.add(id, asked, now) {
            Added::Full => return self.reset_frame(id, RstStatus::REFUSED_STREAM),
            Added::Duplicate { error } => {
                self.reset_frame(id, RstStatus::CANCEL);
                let text = AlreadyAssigned { request: asked.request, stream: asked.stream };
                return self.tell(error, &text);
            }
            Added::Waiting => {}
            Added::Complete(pair) => {
                self.complete.push_back(pair);
                wake(&mut self.acceptor);
            }
        }
        // What a client writes on an error stream means nothing.
        let keep = if asked.stream == PortStream::Error { 0 } else { usize::MAX };
        let mut entry = Entry::new(keep);
        entry.accepted = true;
        if fin {
            entry.remote = Remote::Finished;
        }
        self.streams.insert(id, entry);
        self.last_accepted = Some(stream);
        self.write_headers(|writer, out| writer.syn_reply(stream, out).ok());
        if id >= StreamId::MAX.get() - 1 {
            // There are no numbers left for another one.
            self.refuse();
        }
    }

    pub(super) fn syn_reply(&mut self, id: u32, fin: bool) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        entry.accepted = true;
        wake(&mut entry.watcher);
        if fin {
            self.remote_ended(id, Remote::Finished);
        }
    }

    /// DATA of the peer. What is for nobody is dropped.
    pub(super) fn data(&mut self, id: u32, bytes: &[u8], fin: bool) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        if entry.remote == Remote::Open && !entry.released {
            let before = entry.incoming.len();
            entry.receive(bytes);
            let after = entry.incoming.len();
            self.recount(before, after);
        }
        if fin {
            self.remote_ended(id, Remote::Finished);
        }
    }

    pub(super) fn rst_stream(&mut self, id: u32, status: RstStatus) {
        if let Some(halves) = &mut self.halves {
            halves.forget(id);
        }
        self.remote_ended(id, Remote::Reset(status));
    }

    /// Gives out what is to be written next: control frames, and DATA of all streams in turn, up to some `room` for bytes.
    pub(super) fn output(&mut self, output: &mut Output, room: usize) {
        output.control(&mut self.control);
        if self.has_control() {
            // The answer to a stream may be among those that come later: its data would pass it, and be dropped.
            return;
        }
        let mut taken = 0;
        while taken < room
            && let Some(id) = self.turn.pop_front()
        {
            let Some(entry) = self.streams.get_mut(&id) else { continue };
            if let Some(frame) = entry.next_frame() {
                taken += frame.len();
                output.push(frame);
            }
            if !entry.outgoing.is_empty() {
                self.turn.push_back(id);
                continue;
            }
            entry.in_turn = false;
            if entry.released && entry.is_ended() {
                self.streams.remove(&id);
            }
        }
    }

    /// Control frames wait.
    pub(super) const fn has_control(&self) -> bool {
        !self.control.is_empty()
    }

    /// Resets what is open, and says as the last thing that nothing more is taken.
    pub(super) fn go_away(&mut self, status: frame::GoawayStatus) {
        let open: Vec<_> =
            self.streams.iter().filter(|(_, entry)| !entry.is_ended()).map(|(id, _)| *id).collect();
        for id in open {
            self.reset_frame(id, RstStatus::CANCEL);
        }
        self.control.extend_from_slice(&frame::goaway(self.last_accepted, status));
    }

    /// The connection is over: so are all streams. One that has ended in order has lost nothing, and what came on it stays to be read.
    pub(super) fn ended(&mut self, end: End) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(end);
        let is_lost = |entry: &Entry| !entry.is_ended() || !entry.outgoing.is_empty();
        let lost = self.streams.iter().filter(|(_, entry)| is_lost(entry)).map(|(id, _)| *id);
        for id in lost.collect::<Vec<_>>() {
            self.remote_ended(id, Remote::Lost);
        }
        wake(&mut self.acceptor);
    }

    /// True if a stream is open: then an end of the connection is a loss.
    pub(super) fn is_in_use(&self) -> bool {
        self.streams.values().any(|entry| !entry.is_ended())
    }

    /// When pairs or stalled readers have to be looked at next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let halves = self.halves.as_ref().and_then(|halves| halves.deadline());
        let halves = halves.map(|at| self.epoch + at.since(strait::Instant::ZERO));
        let stalled = self.suspect().map(|id| self.streams[&id].last_taken + self.limits.stall);
        halves.into_iter().chain(stalled).min()
    }

    /// Ends pairs that were not completed in time, and resets streams whose reader has stopped where others wait for it.
    pub(super) fn expire(&mut self, now: Instant) {
        let late = self.now();
        while let Some(half) = self.halves.as_mut().and_then(|halves| halves.expired(late)) {
            let text = TimedOut { connection: self.number, request: half.request };
            tracing::debug!("{text}");
            let is_error = half.stream == PortStream::Error;
            self.fail(half.id, if is_error { &text } else { &"" });
            self.release(half.id);
        }
        while let Some(id) = self.suspect()
            && self.streams[&id].last_taken + self.limits.stall <= now
        {
            self.reset_frame(id, RstStatus::CANCEL);
            self.remote_ended(id, Remote::Stalled);
        }
    }

    /// The stream that holds up the others, if any does: of those that have too much waiting, the one whose reader has
    /// taken nothing for the longest time. A reader that is alone holds up nobody but those who want to come, as long as there is room to look
    /// out for them.
    fn suspect(&self) -> Option<u32> {
        let least = match self.held() {
            Held::Free => return None,
            Held::Slow if self.streams.len() <= 2 => return None,
            Held::Slow => self.limits.stream_buffer,
            // One of them has as much at least.
            Held::Full => {
                let share = self.limits.session_buffer / self.streams.len().max(1);
                self.limits.stream_buffer.min(share).max(1)
            }
        };
        let slow = self.streams.iter().filter(|(_, entry)| entry.incoming.len() >= least);
        slow.min_by_key(|(_, entry)| entry.last_taken).map(|(id, _)| *id)
    }

    fn now(&self) -> strait::Instant {
        strait::Instant::ZERO.after(self.epoch.elapsed())
    }

    fn remote_ended(&mut self, id: u32, end: Remote) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        let before = entry.incoming.len();
        entry.ended(end);
        let after = entry.incoming.len();
        let forget = entry.released && entry.is_ended() && entry.outgoing.is_empty();
        self.recount(before, after);
        if forget {
            self.streams.remove(&id);
        }
    }

    /// The bytes that wait on one stream were `before` and are `after`.
    fn recount(&mut self, before: usize, after: usize) {
        self.waiting = self.waiting - before + after;
        let limit = self.limits.stream_buffer;
        self.over = self.over + usize::from(after >= limit) - usize::from(before >= limit);
    }

    /// Tells an error stream something, and leaves it open.
    fn tell(&mut self, id: Option<u32>, text: &dyn Display) {
        let Some((id, entry)) = id.and_then(|id| Some((id, self.streams.get_mut(&id)?))) else { return };
        entry.put_all(id, text.to_string().as_bytes());
        self.queue(id);
    }

    /// A stream has something to send.
    fn queue(&mut self, id: u32) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        if !entry.outgoing.is_empty() && !std::mem::replace(&mut entry.in_turn, true) {
            self.turn.push_back(id);
            self.wake();
        }
    }

    fn reset_frame(&mut self, id: u32, status: RstStatus) {
        if let Some(id) = StreamId::new(id) {
            self.control.extend_from_slice(&frame::rst_stream(id, status));
        }
        self.wake();
    }

    fn data_frame(&mut self, id: u32, fin: bool, payload: &[u8]) {
        if let Some(id) = StreamId::new(id) {
            self.control.extend_from_slice(&frame::data_header(id, fin, payload.len() as u32));
            self.control.extend_from_slice(payload);
        }
    }

    /// Queues a frame with headers. Such frames leave in the order in which they were written.
    fn write_headers(&mut self, write: impl FnOnce(&mut HeaderWriter, &mut [u8]) -> Option<usize>) {
        let mut frame = [0; 256];
        let count = write(&mut self.writer, &mut frame);
        self.control.extend_from_slice(frame.get(..count.unwrap_or(0)).unwrap_or_default());
    }

    fn wake(&mut self) {
        wake(&mut self.connection);
    }

    /// For tests: the next stream of this end gets this number.
    #[cfg(test)]
    pub(super) fn set_next_own(&mut self, id: u32) {
        self.next_own = id;
    }
}

pub(super) fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
