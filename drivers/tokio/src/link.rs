use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use strait::Limits;
use strait::bridge::{Lane, Memory, Turn};
use strait::leg::Leg;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Slices of one vectored write.
const SLICES: usize = 16;

/// What a session at one end of the wire has of it: one connection, one leg, and a lane for each direction.
///
/// Nothing here waits, and nothing decides what an error means: that is the session's.
pub(crate) struct Link<T, L, B> {
    pub(crate) io: T,
    pub(crate) leg: L,
    /// What was received.
    pub(crate) input: Lane<B>,
    /// What is to be sent.
    pub(crate) output: Lane<B>,
    turn: Turn,
    /// Bytes that were received.
    pub(crate) received: u64,
    heartbeat: Heartbeat,
}

struct Heartbeat {
    timer: Pin<Box<Sleep>>,
    interval: Duration,
    timeout: Duration,
    /// When the peer sent something last, or was not asked to.
    heard: Instant,
    /// Data was written to the peer since: it may be busy with it, and deaf behind it.
    busy: bool,
}

/// What a heartbeat has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// The peer is asked for a sign of life.
    Asked,
    /// The peer owes one for too long: it has gone.
    Silent,
}

impl<T: AsyncRead + AsyncWrite + Unpin, L: Leg, B: Memory> Link<T, L, B> {
    /// `behind` is what came behind the head of the upgrade. It is shorter than `memory`.
    pub(crate) fn new(io: T, leg: L, behind: &[u8], memory: impl Fn() -> B, limits: &Limits) -> Self {
        let mut input = Lane::new(memory());
        input.space()[..behind.len()].copy_from_slice(behind);
        input.received(behind.len());
        Self {
            io,
            output: Lane::to_leg(memory(), &leg),
            leg,
            input,
            turn: Turn::new(),
            received: 0,
            heartbeat: Heartbeat {
                timer: Box::pin(tokio::time::sleep(limits.ping_interval)),
                interval: limits.ping_interval,
                timeout: limits.peer_timeout,
                heard: Instant::now(),
                busy: false,
            },
        }
    }

    /// True if something waits to be written.
    pub(crate) fn has_output(&self) -> bool {
        self.output.has_output() || !self.leg.pending().is_empty()
    }

    /// What the leg has to say now leaves in front of all data that does not.
    pub(crate) fn answers_first(&mut self) {
        self.turn.first(self.leg.pending().len());
    }

    /// Writes once. Pending, too, if there is nothing to write.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_output() {
            return Poll::Pending;
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (to, from) in slices.iter_mut().zip(self.turn.output(self.leg.pending(), &self.output)) {
            *to = IoSlice::new(from);
            count += 1;
        }
        let count = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..count]))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let pending = self.leg.pending().len();
        let control = self.turn.written(pending, &mut self.output, count);
        self.leg.sent(control);
        self.heartbeat.busy |= control < count;
        Poll::Ready(Ok(()))
    }

    /// Sees that what was written leaves: TLS may still hold it.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Ends this half of the connection.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Forgets what waits to be written, for a peer that takes nothing any more.
    pub(crate) fn discard_output(&mut self) {
        self.output.discard_output();
        self.turn = Turn::new();
        let pending = self.leg.pending().len();
        self.leg.sent(pending);
    }

    /// Reads once and returns how many bytes have come, 0 at the end. Pending, too, if there is no room for any.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let space = self.input.space();
        if space.is_empty() {
            return Poll::Pending;
        }
        let mut buffer = ReadBuf::new(space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        let count = buffer.filled().len();
        self.input.received(count);
        self.received += count as u64;
        (self.heartbeat.heard, self.heartbeat.busy) = (Instant::now(), false);
        Poll::Ready(Ok(count))
    }

    /// Asks for a sign of life from time to time. One that the peer was sent data since it was heard last may be deaf behind that, and one
    /// that is not `listened` to is not heard: neither owes any.
    pub(crate) fn poll_heartbeat(&mut self, cx: &mut Context<'_>, listened: bool) -> Poll<Beat> {
        if self.heartbeat.interval.is_zero() {
            return Poll::Pending;
        }
        ready!(self.heartbeat.timer.as_mut().poll(cx));
        let now = Instant::now();
        let is_excused = self.heartbeat.busy || !listened || self.has_output();
        let Heartbeat { timer, interval, timeout, heard, .. } = &mut self.heartbeat;
        timer.as_mut().reset(now + *interval);
        if is_excused || timeout.is_zero() {
            *heard = now;
        }
        if now.duration_since(*heard) > *timeout {
            return Poll::Ready(Beat::Silent);
        }
        self.leg.ping();
        Poll::Ready(Beat::Asked)
    }
}
