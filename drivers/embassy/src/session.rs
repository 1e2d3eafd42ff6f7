use core::future::poll_fn;
use core::ops::Range;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use embassy_time::{Duration, Instant};
use strait::bridge::{Bridge, Carried, Flow, Lane, Outcome, Side};

use crate::connection::Connection;
use crate::wait::poll_until;

/// Pieces of output that a lane can hold at a time. A read of 2 KiB brings that many frames only if each is between 126 and
/// some 250 bytes long, and then the rest waits for one write; smaller ones are merged.
pub const SEGMENTS: usize = 8;

/// One direction's memory.
pub(crate) type SessionLane<'a> = Lane<&'a mut [u8], SEGMENTS>;

/// What a session carried and how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How it ended.
    pub outcome: Outcome,
    /// Bytes received from the client, framing included.
    pub from_client: u64,
    /// Bytes sent to the client, framing included.
    pub to_client: u64,
    /// Bytes received from upstream, framing included.
    pub from_upstream: u64,
    /// Bytes sent to upstream, framing included.
    pub to_upstream: u64,
    /// Payload that was passed on, if it was looked at.
    pub carried: Carried,
    /// From its beginning to its end.
    pub duration: Duration,
}

/// One session: two connections, two lanes, and the bridge between them.
///
/// Upstream is connected already, which `bridge` was told before, or has refused.
pub struct Session<'a, B, C, U> {
    bridge: &'a mut B,
    client: Half<'a, C>,
    upstream: Option<Half<'a, U>>,
    /// From the client to upstream.
    up: SessionLane<'a>,
    /// From upstream to the client.
    down: SessionLane<'a>,
    started: Instant,
    is_stopped: bool,
}

/// What a session knows of one of its connections.
struct Half<'a, T> {
    io: &'a mut T,
    received: u64,
    sent: u64,
    eof: bool,
    is_ended: bool,
    /// Something was written since the last complete flush.
    unflushed: bool,
}

impl<'a, T> Half<'a, T> {
    const fn new(io: &'a mut T) -> Self {
        Self { io, received: 0, sent: 0, eof: false, is_ended: false, unflushed: false }
    }
}

/// Memory of one direction, at whose end lie bytes that were received before the session began: behind the head of an
/// upgrade.
#[derive(Debug)]
pub struct Filled<'a> {
    memory: &'a mut [u8],
    behind: usize,
}

impl<'a> Filled<'a> {
    /// Memory in which nothing lies.
    pub const fn empty(memory: &'a mut [u8]) -> Self {
        Self { memory, behind: 0 }
    }

    /// Memory in whose first `filled` bytes lies a head of `head` bytes, and behind it the first bytes of the session.
    ///
    /// Of the memory, the rest must be room enough for what a session writes first: a quarter of it always is.
    pub fn behind_head(memory: &'a mut [u8], head: usize, filled: usize) -> Self {
        let received = head.min(filled)..filled.min(memory.len());
        let behind = received.len();
        memory.copy_within(received, memory.len() - behind);
        Self { memory, behind }
    }

    /// What is free of the memory.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let end = self.memory.len() - self.behind;
        self.memory.get_mut(..end).unwrap_or_default()
    }

    /// The memory, and where the bytes lie in it.
    pub(crate) fn into_parts(self) -> (&'a mut [u8], Range<usize>) {
        let end = self.memory.len();
        (self.memory, end - self.behind..end)
    }
}

impl<'a, B: Bridge, C: Connection, U: Connection> Session<'a, B, C, U> {
    /// A session whose client was told that its upgrade is granted. `up` is the memory for what goes to upstream, `down` that
    /// for what goes to the client. If upstream has refused, the first `upstream` bytes of `up` are the Status that says why.
    // Not inlined: what it makes is on the stack of a task only while it is made.
    #[inline(never)]
    pub fn new(
        bridge: &'a mut B,
        client: &'a mut C,
        upstream: Result<&'a mut U, usize>,
        up: Filled<'a>,
        down: Filled<'a>,
    ) -> Self {
        let (from_client, from_upstream) = (up.behind, down.behind);
        let mut down = bridge.lane_to(Side::Client, down.memory);
        bridge.greet(&mut down);
        if let Err(status) = upstream {
            bridge.refused(up.memory.get(..status).unwrap_or_default(), &mut down);
        }
        let up = bridge.lane_to(Side::Upstream, up.memory);
        let mut session = Self {
            bridge,
            client: Half::new(client),
            upstream: upstream.ok().map(Half::new),
            up,
            down,
            started: Instant::now(),
            is_stopped: false,
        };
        session.begin_with(Side::Client, from_client);
        session.begin_with(Side::Upstream, from_upstream);
        session
    }

    /// Takes the last `count` bytes of a lane's memory as its first input.
    fn begin_with(&mut self, from: Side, count: usize) {
        let lane = match from {
            Side::Client => &mut self.up,
            Side::Upstream => &mut self.down,
        };
        let space = lane.space();
        let Some(at) = space.len().checked_sub(count) else {
            // There was not enough room behind the head: bytes of the session are gone.
            let now = self.now();
            return self.lost(from, now);
        };
        space.copy_within(at.., 0);
        lane.received(count);
        match (from, &mut self.upstream) {
            (Side::Client, _) => self.client.received += count as u64,
            (Side::Upstream, Some(upstream)) => upstream.received += count as u64,
            (Side::Upstream, None) => {}
        }
    }

    /// Runs to the end of both connections. When `stop` is ready, the client is told that this end shuts down.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) -> Summary {
        let mut stop = pin!(stop);
        poll_fn(|cx| self.poll(cx, stop.as_mut())).await;
        let upstream = self.upstream.as_ref();
        Summary {
            outcome: self.bridge.outcome().unwrap_or(Outcome::ClientLost),
            from_client: self.client.received,
            to_client: self.client.sent,
            from_upstream: upstream.map_or(0, |upstream| upstream.received),
            to_upstream: upstream.map_or(0, |upstream| upstream.sent),
            carried: self.bridge.carried(),
            duration: self.started.elapsed(),
        }
    }

    // Not inlined, so that it adds nothing to the stack of the handshake, which is the same task's.
    #[inline(never)]
    fn poll(&mut self, cx: &mut Context<'_>, mut stop: Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
        loop {
            let now = self.now();
            let mut progress = self.poll_stop(cx, stop.as_mut());
            // Upstream first: what it says may set free what the client has sent.
            progress |= self.pump(cx, Side::Upstream, now);
            progress |= self.pump(cx, Side::Client, now);
            progress |= self.flush(cx, now);
            if self.is_finished() {
                return Poll::Ready(());
            }
            if !progress && self.poll_deadline(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn is_finished(&self) -> bool {
        self.bridge.is_finished()
            && !self.bridge.has_output(Side::Client, &self.down)
            && !self.bridge.has_output(Side::Upstream, &self.up)
    }

    fn now(&self) -> strait::Instant {
        strait::Instant::from_millis(self.started.elapsed().as_millis())
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.bridge.deadline() else { return Poll::Pending };
        // The engine's clock counts whole milliseconds; one more makes sure that the deadline has passed.
        let deadline = self.started + Duration::from_millis(deadline.as_millis() + 1);
        let passed = poll_until(cx, deadline);
        if passed.is_ready() {
            let now = self.now();
            self.bridge.time(now);
        }
        passed
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>, stop: Pin<&mut impl Future<Output = ()>>) -> bool {
        if self.is_stopped || stop.poll(cx).is_pending() {
            return false;
        }
        self.is_stopped = true;
        self.bridge.shut_down();
        true
    }

    /// Moves what comes from one side to the other one, as far as it goes without waiting.
    fn pump(&mut self, cx: &mut Context<'_>, from: Side, now: strait::Instant) -> bool {
        let lane = match from {
            Side::Client => &mut self.up,
            Side::Upstream => &mut self.down,
        };
        let unread = lane.input().len();
        let flow = self.bridge.translate(from, lane, now);
        // What was consumed may have made the bridge ready for the other direction, or left it an answer.
        let mut progress = lane.input().len() < unread;
        for side in [from.other(), from] {
            progress |= self.poll_write(cx, side, now);
            progress |= self.end(side);
        }
        if flow != Flow::NeedWrite {
            progress |= self.poll_read(cx, from, now);
        }
        progress
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, side: Side, now: strait::Instant) -> bool {
        let result = match (side, &mut self.upstream) {
            (Side::Client, _) => self.client.poll_read(cx, &mut self.up),
            (Side::Upstream, Some(upstream)) => upstream.poll_read(cx, &mut self.down),
            (Side::Upstream, None) => return false,
        };
        match result {
            Poll::Pending => return false,
            Poll::Ready(Some(0)) => self.bridge.eof(side, now),
            Poll::Ready(Some(_)) => {}
            Poll::Ready(None) => self.lost(side, now),
        }
        true
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, side: Side, now: strait::Instant) -> bool {
        let lane = match side {
            Side::Client => &mut self.down,
            Side::Upstream => &mut self.up,
        };
        let mut progress = false;
        // Mostly there is nothing, and to see that is less than to look for it.
        while self.bridge.has_output(side, lane) {
            if !self.bridge.is_writable(side) {
                self.bridge.discard_output(side, lane);
                return true;
            }
            let Some(next) = self.bridge.output(side, lane).next() else { break };
            let written = match (side, &mut self.upstream) {
                (Side::Client, _) => self.client.poll_write(cx, next),
                (Side::Upstream, Some(upstream)) => upstream.poll_write(cx, next),
                (Side::Upstream, None) => break,
            };
            match written {
                Poll::Pending => break,
                Poll::Ready(Some(count)) => self.bridge.written(side, lane, count),
                Poll::Ready(None) => {
                    debug!("session: cannot write to {}", name(side));
                    self.bridge.write_failed(side, now);
                    return true;
                }
            }
            progress = true;
        }
        progress
    }

    /// Sees that what was written leaves, without waiting for it. True if a connection was found to be lost.
    fn flush(&mut self, cx: &mut Context<'_>, now: strait::Instant) -> bool {
        let client = self.client.flush(cx);
        let upstream = self.upstream.as_mut().is_none_or(|upstream| upstream.flush(cx));
        for (side, is_there) in [(Side::Client, client), (Side::Upstream, upstream)] {
            if !is_there {
                self.lost(side, now);
            }
        }
        !(client && upstream)
    }

    /// Ends a sending half that has nothing more to send. True if that was done now.
    fn end(&mut self, side: Side) -> bool {
        let lane = if side == Side::Client { &self.down } else { &self.up };
        if !self.bridge.shutdown_due(side) || self.bridge.has_output(side, lane) {
            return false;
        }
        match (side, &mut self.upstream) {
            (Side::Client, _) => self.client.end(),
            (Side::Upstream, Some(upstream)) => upstream.end(),
            (Side::Upstream, None) => false,
        }
    }

    fn lost(&mut self, side: Side, now: strait::Instant) {
        debug!("session: lost {}", name(side));
        match (side, &mut self.upstream) {
            (Side::Client, _) => self.client.eof = true,
            (Side::Upstream, Some(upstream)) => upstream.eof = true,
            (Side::Upstream, None) => {}
        }
        self.bridge.lost(side, now);
    }
}

impl<T: Connection> Half<'_, T> {
    /// The bytes that were read; `None` if the connection is lost.
    fn poll_read(&mut self, cx: &mut Context<'_>, lane: &mut SessionLane<'_>) -> Poll<Option<usize>> {
        let space = lane.space();
        if self.eof || space.is_empty() {
            return Poll::Pending;
        }
        let count = match self.io.poll_read(cx, space) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(result) => result.ok(),
        };
        let read = count.unwrap_or_default();
        lane.received(read);
        self.received += read as u64;
        self.eof = read == 0;
        Poll::Ready(count)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Option<usize>> {
        match self.io.poll_write(cx, from) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_) | Ok(0)) => Poll::Ready(None),
            Poll::Ready(Ok(count)) => {
                self.sent += count as u64;
                self.unflushed = true;
                Poll::Ready(Some(count))
            }
        }
    }

    /// False if the connection is lost.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        if self.unflushed
            && let Poll::Ready(result) = self.io.poll_flush(cx)
        {
            self.unflushed = false;
            return result.is_ok();
        }
        true
    }

    fn end(&mut self) -> bool {
        if self.is_ended {
            return false;
        }
        self.io.end();
        self.is_ended = true;
        true
    }
}

/// For the log.
const fn name(side: Side) -> &'static str {
    match side {
        Side::Client => "the client",
        Side::Upstream => "upstream",
    }
}
