mod socket;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use strait::Instant;
use strait::bridge::{Bridge, Carried, Flow, Lane, Outcome, Seen, Side};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::hangup::{Tcp, Watch};
use crate::overflow::Overflow;
use crate::pool::{Lanes, Place, Pool, Pooled};
use crate::together::together;

use self::socket::Socket;

/// Slices of one vectored write: a lane's segments and the control bytes before and behind them.
const SLICES: usize = 66;

/// Bytes that are more than heartbeats and keystrokes bring.
const MUCH: u64 = 1024;

/// An upstream connection whose upgrade was answered with 101.
pub(crate) struct Connected<U, L> {
    pub(crate) io: U,
    pub(crate) leg: L,
    /// Bytes that came behind the 101.
    pub(crate) behind: Vec<u8>,
}

/// Upstream cannot be reached or refused: a Status (JSON) for the client.
pub(crate) struct Refused(pub(crate) Vec<u8>);

/// A connection that is being made.
pub(crate) type Dial<U, L> = Pin<Box<dyn Future<Output = Result<Connected<U, L>, Refused>> + Send>>;

/// What one session carried and how it ended.
#[derive(Debug, Clone, Copy)]
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
    /// From the client's upgrade to the end.
    pub duration: Duration,
    /// Payload that was passed on, if it was looked at.
    pub carried: Carried,
    /// How long the client took to answer the last heartbeat that it answered, in whole milliseconds.
    pub client_round_trip: Option<Duration>,
    /// How long upstream took.
    pub upstream_round_trip: Option<Duration>,
}

/// Runs one session: two sockets, two lanes, and the bridge between them, in one task.
pub(crate) struct Session<C, U, B: Bridge> {
    bridge: B,
    client: Socket<C>,
    upstream: Upstream<U, B::Upstream>,
    /// Input of the client for which there is no room in its lane.
    overflow: Overflow,
    /// Looks after the client while nothing is read from it.
    watch: Watch,
    /// `None` while there is nothing to do: an idle session has neither lanes nor buffers.
    lanes: Option<Place>,
    pool: Pool,
    started: tokio::time::Instant,
    timer: Pin<Box<Sleep>>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    stopped: bool,
    /// Bytes received from both sides when the session last had nothing to do.
    received_at_rest: u64,
}

enum Upstream<U, L> {
    Dialing(Dial<U, L>),
    Connected(Socket<U>),
    /// There is none any more, and never will be. So many bytes were carried.
    Ended {
        received: u64,
        sent: u64,
    },
}

impl<C, U, B: Bridge> Session<C, U, B>
where
    C: AsyncRead + AsyncWrite + Tcp + Unpin,
    U: AsyncRead + AsyncWrite + Tcp + Unpin,
{
    /// A session with a client that got its 101. `behind` is what it sent behind its request's head.
    pub(crate) fn new(
        bridge: B,
        client: C,
        behind: &[u8],
        dial: Dial<U, B::Upstream>,
        pool: &Pool,
        stop: CancellationToken,
    ) -> Box<Self> {
        let mut session = Box::new(Self {
            lanes: None,
            pool: pool.clone(),
            bridge,
            client: Socket::new(client),
            upstream: Upstream::Dialing(dial),
            overflow: Overflow::default(),
            watch: Watch::default(),
            started: tokio::time::Instant::now(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            stop: Box::pin(stop.cancelled_owned()),
            stopped: false,
            received_at_rest: 0,
        });
        let mut place = pool.place();
        let lanes = lanes_in(&mut place, &session.bridge, pool);
        session.bridge.greet(&mut lanes.down);
        session.client.received += fill(&mut lanes.up, behind);
        session.lanes = Some(place);
        session
    }

    /// Runs to the end of both connections. In a box, because a future has the room for what it takes twice.
    pub(crate) async fn run(mut self: Box<Self>) -> Summary {
        poll_fn(|cx| self.poll(cx)).await;
        let (from_upstream, to_upstream) = match &self.upstream {
            Upstream::Connected(socket) => self.end(socket),
            Upstream::Ended { received, sent } => (*received, *sent),
            Upstream::Dialing(_) => (0, 0),
        };
        Summary {
            outcome: self.bridge.outcome().unwrap_or(Outcome::ClientLost),
            from_client: self.client.received,
            to_client: self.client.sent,
            from_upstream,
            to_upstream,
            duration: self.started.elapsed(),
            carried: self.bridge.carried(),
            client_round_trip: self.bridge.round_trip(Side::Client),
            upstream_round_trip: self.bridge.round_trip(Side::Upstream),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut place = self.lanes.take().unwrap_or_else(|| self.pool.place());
        let lanes = lanes_in(&mut place, &self.bridge, &self.pool);
        let ended = self.poll_with(lanes, cx);
        if ended.is_ready() || self.rest(lanes) {
            self.pool.give_back(place);
        } else {
            self.lanes = Some(place);
        }
        ended
    }

    fn poll_with(&mut self, lanes: &mut Lanes, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = self.now();
            self.watch.is_read = false;
            let mut progress = self.poll_stop(cx) | self.poll_dial(lanes, cx, now) | self.release(now);
            // Upstream first: what it says may set free what the client has sent.
            progress |= self.pump(lanes, cx, Side::Upstream, now);
            progress |= self.pump(lanes, cx, Side::Client, now);
            progress |= self.flush(cx, now);
            if self.is_finished(lanes) {
                return Poll::Ready(());
            }
            if !progress && !self.look(cx, now) && self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// True if the lanes are not needed. Buffers in which nothing is are given back, unless much has come since the last time: more
    /// may follow. When nothing does, the next heartbeat comes by here.
    fn rest(&mut self, lanes: &mut Lanes) -> bool {
        let upstream = match &self.upstream {
            Upstream::Dialing(_) => 0,
            Upstream::Connected(socket) => socket.received,
            Upstream::Ended { received, .. } => *received,
        };
        let received = self.client.received + upstream;
        let before = std::mem::replace(&mut self.received_at_rest, received);
        if received - before >= MUCH {
            return false;
        }
        if lanes.up.is_idle() && lanes.down.is_idle() {
            return true;
        }
        for lane in [&mut lanes.up, &mut lanes.down] {
            if let Some(buffer) = lane.idle_buffer() {
                buffer.give_back();
            }
        }
        false
    }

    fn is_finished(&self, lanes: &Lanes) -> bool {
        self.bridge.is_finished()
            && !self.bridge.has_output(Side::Client, &lanes.down)
            && !self.bridge.has_output(Side::Upstream, &lanes.up)
    }

    fn now(&self) -> Instant {
        Instant::from_millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The engine's clock counts whole milliseconds; one more makes sure that the deadline has passed.
        let deadlines = [self.bridge.deadline(), self.overflow.deadline()];
        let Some(first) = deadlines.into_iter().flatten().min() else { return Poll::Pending };
        let deadline = together(self.started + Duration::from_millis(first.as_millis() + 1));
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(cx).map(|()| self.bridge.time(self.now()))
    }

    /// Looks whether a client from which nothing is read is still there. True if that has changed something.
    fn look(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        self.watch.is_read |= self.client.eof;
        match self.watch.poll(cx, &self.client.io, self.client.received) {
            Seen::Nothing => return false,
            Seen::Ask => self.bridge.ask_client(),
            Seen::Gone => self.lost(Side::Client, &io::ErrorKind::ConnectionReset.into(), now),
        }
        true
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> bool {
        if self.stopped || self.stop.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.stopped = true;
        self.bridge.shut_down();
        true
    }

    fn poll_dial(&mut self, lanes: &mut Lanes, cx: &mut Context<'_>, now: Instant) -> bool {
        let Upstream::Dialing(dial) = &mut self.upstream else { return false };
        if self.bridge.outcome().is_some() {
            // The client is gone: nobody waits for this connection any more.
            self.upstream = Upstream::Ended { received: 0, sent: 0 };
            return true;
        }
        let Poll::Ready(result) = dial.as_mut().poll(cx) else { return false };
        match result {
            Ok(Connected { io, leg, behind }) => {
                self.bridge.connected(leg, now);
                let mut socket = Socket::new(io);
                socket.received += fill(&mut lanes.down, &behind);
                self.upstream = Upstream::Connected(socket);
            }
            Err(Refused(status)) => {
                self.bridge.refused(&status, &mut lanes.down);
                self.upstream = Upstream::Ended { received: 0, sent: 0 };
            }
        }
        true
    }

    /// Lets go of an upstream that has no part in what is left of the session. True if it did.
    fn release(&mut self, now: Instant) -> bool {
        let Upstream::Connected(socket) = &self.upstream else { return false };
        if !self.bridge.is_done_with_upstream() {
            return false;
        }
        let (received, sent) = self.end(socket);
        self.upstream = Upstream::Ended { received, sent };
        self.bridge.eof(Side::Upstream, now);
        true
    }

    /// Upstream's connection is about to be dropped. How much was received and sent.
    fn end(&self, socket: &Socket<U>) -> (u64, u64) {
        let is_given_up = !socket.eof && !self.bridge.is_writable(Side::Upstream);
        if is_given_up && self.bridge.outcome() != Some(Outcome::Completed) {
            // It may not read what it was sent, so it would not see an end behind that.
            socket.io.abort();
        }
        (socket.received, socket.sent)
    }

    /// Moves what comes from one side to the other one, as far as it goes without waiting.
    fn pump(&mut self, lanes: &mut Lanes, cx: &mut Context<'_>, from: Side, now: Instant) -> bool {
        let lane = match from {
            Side::Client => &mut lanes.up,
            Side::Upstream => &mut lanes.down,
        };
        let unread = lane.input().len();
        let flow = self.bridge.translate(from, lane, now);
        // What was consumed may have made the bridge ready for the other direction, or left it an answer.
        let mut progress = lane.input().len() < unread;
        for side in [from.other(), from] {
            progress |= self.poll_write(lanes, cx, side, now);
            progress |= self.poll_shutdown(lanes, cx, side);
        }
        if flow != Flow::NeedWrite {
            progress |= self.poll_read(lanes, cx, from, now);
        }
        progress
    }

    fn poll_read(&mut self, lanes: &mut Lanes, cx: &mut Context<'_>, side: Side, now: Instant) -> bool {
        let result = match (side, &mut self.upstream) {
            (Side::Client, _) => {
                self.client.poll_read_or_hold(cx, now, &mut lanes.up, &mut self.overflow, &mut self.watch)
            }
            (Side::Upstream, Upstream::Connected(socket)) => socket.poll_read(cx, &mut lanes.down),
            (Side::Upstream, _) => return false,
        };
        match result {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => self.bridge.eof(side, now),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => self.lost(side, &error, now),
        }
        true
    }

    fn poll_write(&mut self, lanes: &mut Lanes, cx: &mut Context<'_>, side: Side, now: Instant) -> bool {
        let lane = match side {
            Side::Client => &mut lanes.down,
            Side::Upstream => &mut lanes.up,
        };
        if !self.bridge.has_output(side, lane) {
            return false;
        }
        if !self.bridge.is_writable(side) {
            self.bridge.discard_output(side, lane);
            return true;
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (to, from) in slices.iter_mut().zip(self.bridge.output(side, lane)) {
            *to = IoSlice::new(from);
            count += 1;
        }
        let result = match (side, &mut self.upstream) {
            (Side::Client, _) => self.client.poll_write(cx, &slices[..count]),
            (Side::Upstream, Upstream::Connected(socket)) => socket.poll_write(cx, &slices[..count]),
            (Side::Upstream, _) => return false,
        };
        match result {
            Poll::Pending => return false,
            Poll::Ready(Ok(count)) => self.bridge.written(side, lane, count),
            Poll::Ready(Err(error)) => {
                tracing::debug!(?side, %error, "cannot write");
                self.bridge.write_failed(side, now);
            }
        }
        true
    }

    /// Sees that what was written leaves, without waiting for it: TLS may still hold it. True if a connection
    /// was found to be lost.
    fn flush(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let client = self.client.flush(cx).err();
        let upstream = match &mut self.upstream {
            Upstream::Connected(socket) => socket.flush(cx).err(),
            Upstream::Dialing(_) | Upstream::Ended { .. } => None,
        };
        let mut lost = false;
        for (side, error) in [(Side::Client, client), (Side::Upstream, upstream)] {
            if let Some(error) = error {
                self.lost(side, &error, now);
                lost = true;
            }
        }
        lost
    }

    fn poll_shutdown(&mut self, lanes: &Lanes, cx: &mut Context<'_>, side: Side) -> bool {
        let lane = if side == Side::Client { &lanes.down } else { &lanes.up };
        if !self.bridge.shutdown_due(side) || self.bridge.has_output(side, lane) {
            return false;
        }
        match (side, &mut self.upstream) {
            (Side::Client, _) => self.client.poll_shutdown(cx),
            (Side::Upstream, Upstream::Connected(socket)) => socket.poll_shutdown(cx),
            (Side::Upstream, _) => false,
        }
    }

    fn lost(&mut self, side: Side, error: &io::Error, now: Instant) {
        tracing::debug!(?side, %error, "connection lost");
        match (side, &mut self.upstream) {
            (Side::Client, _) => self.client.eof = true,
            (Side::Upstream, Upstream::Connected(socket)) => socket.eof = true,
            (Side::Upstream, _) => {}
        }
        self.bridge.lost(side, now);
    }
}

/// The lanes of a session, made if they are not there, and their buffers.
fn lanes_in<'a>(place: &'a mut Place, bridge: &impl Bridge, pool: &Pool) -> &'a mut Lanes {
    let lanes = place.get_or_insert_with(|| Lanes {
        up: bridge.lane_to(Side::Upstream, pool.take()),
        down: bridge.lane_to(Side::Client, pool.take()),
    });
    for lane in [&mut lanes.up, &mut lanes.down] {
        if let Some(buffer) = lane.idle_buffer() {
            buffer.borrow();
        }
    }
    lanes
}

/// Puts bytes that were read before the session into a lane.
fn fill(lane: &mut Lane<Pooled>, bytes: &[u8]) -> u64 {
    let space = lane.space();
    let count = bytes.len().min(space.len());
    space[..count].copy_from_slice(&bytes[..count]);
    lane.received(count);
    count as u64
}

#[cfg(test)]
mod tests;
