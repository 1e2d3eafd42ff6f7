use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use strait::spdy::{Event, GoawayStatus, Inflate, LentBlocks, Receiver};
use strait::{Limits, Role};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::End;
use super::output::{Output, SLICES};
use super::state::{Held, Shared};

/// Bytes of one read.
const INPUT: usize = 64 * 1024;

/// Bytes of DATA that are taken out of the streams' queues at a time. What is taken is in front of control frames.
const OUTPUT: usize = 128 * 1024;

/// How often, and how much, is read of a connection that is held up: 1 MiB/s. Behind the data of a stream that nobody reads
/// there may be its own reset, an answer to a heartbeat, or a new stream.
const LOOK_OUT: Duration = Duration::from_millis(100);
const PORTION: usize = 100 * 1024;

/// How long the peer has to close behind our GOAWAY.
const LINGER: Duration = Duration::from_secs(1);

/// One end of a port-forward connection: a future that ends with the connection. Dropped, it ends the connection at once.
#[derive(Debug)]
pub struct Connection<T> {
    io: T,
    shared: Arc<Shared>,
    role: Role,
    receiver: Receiver<LentBlocks<Box<Inflate>>>,
    input: Box<[u8]>,
    /// What is received and not consumed.
    start: usize,
    end: usize,
    output: Output,
    phase: Phase,
    timers: Timers,
    next_ping: u32,
    /// The peer has sent a GOAWAY.
    peer_goes: bool,
    /// Bytes that may be read although the connection is held up.
    allowance: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Our GOAWAY is queued.
    GoingAway(End),
    /// It has left, and the peer has a moment to close.
    Lingering(End),
}

#[derive(Debug)]
struct Timers {
    sleep: Pin<Box<Sleep>>,
    ping_interval: Duration,
    peer_timeout: Duration,
    idle: Duration,
    /// When the next heartbeat is due.
    ping: Instant,
    /// When the peer sent something last, or was not asked to.
    heard: Instant,
    /// DATA was sent to the peer since: it may be busy with it, and deaf behind it.
    busy: bool,
    /// When DATA was sent or received last.
    carried: Instant,
    /// When a connection that is held up is read again.
    look_out: Option<Instant>,
    /// When a connection that goes away is cut.
    close: Instant,
}

impl<T> Connection<T> {
    pub(super) fn new(io: T, behind: &[u8], role: Role, limits: &Limits, shared: Arc<Shared>) -> Self {
        let inflate = (role == Role::Server).then(Box::default);
        let mut input = vec![0; INPUT.max(behind.len())].into_boxed_slice();
        input[..behind.len()].copy_from_slice(behind);
        let now = Instant::now();
        Self {
            io,
            shared,
            role,
            receiver: Receiver::new(role, limits, LentBlocks(inflate)),
            input,
            start: 0,
            end: behind.len(),
            output: Output::default(),
            phase: Phase::Running,
            timers: Timers {
                sleep: Box::pin(tokio::time::sleep_until(now)),
                ping_interval: limits.ping_interval,
                peer_timeout: limits.peer_timeout,
                idle: limits.idle,
                ping: now + limits.ping_interval,
                heard: now,
                busy: false,
                carried: now,
                look_out: None,
                close: now,
            },
            next_ping: if role == Role::Client { 1 } else { 2 },
            peer_goes: false,
            allowance: 0,
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Connection<T> {
    type Output = End;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let this = self.get_mut();
        this.shared.lock().register(cx.waker());
        let end = std::task::ready!(this.poll_end(cx));
        this.shared.lock().ended(end);
        Poll::Ready(end)
    }
}

impl<T> Drop for Connection<T> {
    fn drop(&mut self) {
        self.shared.lock().ended(End::Lost(None));
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let mut progress = false;
            match self.poll_round(cx, &mut progress) {
                // What the peer did to end it is told from what was found out while it ended.
                Err(end) => return Poll::Ready(if let Some(known) = self.phase.end() { known } else { end }),
                Ok(()) if progress => {}
                Ok(()) => return Poll::Pending,
            }
        }
    }

    fn poll_round(&mut self, cx: &mut Context<'_>, progress: &mut bool) -> Result<(), End> {
        *progress |= self.poll_write(cx)?;
        *progress |= self.receive();
        *progress |= self.poll_read(cx)?;
        *progress |= self.phase(cx);
        *progress |= self.poll_timers(cx)?;
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let room = OUTPUT.saturating_sub(self.output.data());
        self.shared.lock().output(&mut self.output, room);
        let mut progress = false;
        if !self.output.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.output.slices(&mut slices);
            match Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..count]) {
                Poll::Pending => {}
                Poll::Ready(Ok(count @ 1..)) => {
                    if self.output.written(count) {
                        (self.timers.busy, self.timers.carried) = (true, Instant::now());
                    }
                    progress = true;
                }
                Poll::Ready(Ok(0)) => return Err(End::Lost(Some(io::ErrorKind::WriteZero))),
                Poll::Ready(Err(error)) => return Err(lost(&error)),
            }
        }
        // TLS may hold what it has taken.
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(lost(&error)),
            _ => Ok(progress),
        }
    }

    /// Acts on all that was received.
    fn receive(&mut self) -> bool {
        if self.phase != Phase::Running {
            (self.start, self.end) = (0, 0);
            return false;
        }
        let mut state = self.shared.lock();
        let mut progress = false;
        let mut broken = None;
        while !state.is_flooded() {
            let input = &self.input[self.start..self.end];
            let step = match self.receiver.receive(input) {
                Ok(step) => step,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            };
            if step.consumed == 0 && step.event.is_none() {
                break;
            }
            progress = true;
            match step.event {
                Some(Event::SynStream { stream, fin, .. }) => {
                    state.syn_stream(stream, fin, self.receiver.headers());
                }
                Some(Event::SynReply { stream, fin }) => state.syn_reply(stream.get(), fin),
                Some(Event::Data { stream, range, fin, .. }) => {
                    state.data(stream.get(), &input[range], fin);
                    self.timers.carried = self.timers.heard;
                }
                Some(Event::Headers { stream, fin: true }) => state.data(stream.get(), &[], true),
                Some(Event::RstStream { stream, status }) => state.rst_stream(stream.get(), status),
                Some(Event::Ping { id }) => state.ping(id),
                // Streams that are open may still go on; upstream's peers close right away.
                Some(Event::GoAway { .. }) => {
                    self.peer_goes = true;
                    state.refuse();
                }
                Some(Event::PingReply { .. } | Event::Headers { .. }) | None => {}
            }
            self.start += step.consumed;
        }
        drop(state);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if let Some(error) = broken {
            tracing::debug!(%error, "the peer broke the protocol");
            self.go_away(End::Broken(error), error.goaway_status());
        }
        progress
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.end == self.input.len() {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let most = self.may_read();
        let space = &mut self.input[self.end..];
        let len = space.len().min(most);
        if len == 0 {
            return Ok(false);
        }
        let mut buffer = ReadBuf::new(&mut space[..len]);
        match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(error)) => Err(lost(&error)),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                let is_in_use = self.shared.lock().is_in_use();
                Err(if is_in_use { End::Lost(None) } else { End::Finished })
            }
            Poll::Ready(Ok(())) => {
                let count = buffer.filled().len();
                self.end += count;
                self.allowance = self.allowance.saturating_sub(count);
                (self.timers.heard, self.timers.busy) = (Instant::now(), false);
                Ok(true)
            }
        }
    }

    /// Bytes that may be read now.
    fn may_read(&mut self) -> usize {
        if self.phase != Phase::Running {
            return usize::MAX;
        }
        let state = self.shared.lock();
        match state.held() {
            _ if state.is_flooded() => 0,
            Held::Free => {
                (self.allowance, self.timers.look_out) = (0, None);
                usize::MAX
            }
            Held::Slow => {
                if self.allowance == 0 && self.timers.look_out.is_none() {
                    self.timers.look_out = Some(Instant::now() + LOOK_OUT);
                }
                self.allowance
            }
            Held::Full => {
                (self.allowance, self.timers.look_out) = (0, None);
                0
            }
        }
    }

    /// Moves on to the end.
    fn phase(&mut self, cx: &mut Context<'_>) -> bool {
        match self.phase {
            Phase::Running => {
                let state = self.shared.lock();
                let (is_closing, is_drained) = (state.is_closing(), state.is_drained());
                drop(state);
                if is_closing || (is_drained && self.output.is_empty()) {
                    let end = if self.peer_goes && !is_closing { End::Finished } else { End::Closed };
                    self.go_away(end, GoawayStatus::OK);
                    return true;
                }
                false
            }
            Phase::GoingAway(end) if self.output.is_empty() && !self.shared.lock().has_control() => {
                if Pin::new(&mut self.io).poll_shutdown(cx).is_pending() {
                    return false;
                }
                self.phase = Phase::Lingering(end);
                self.timers.close = Instant::now() + LINGER;
                true
            }
            Phase::GoingAway(_) | Phase::Lingering(_) => false,
        }
    }

    /// Resets all streams and queues a GOAWAY, behind which nothing is sent.
    fn go_away(&mut self, end: End, status: GoawayStatus) {
        if self.phase != Phase::Running {
            return;
        }
        let mut state = self.shared.lock();
        state.go_away(status);
        state.ended(end);
        drop(state);
        self.output.abandon();
        self.phase = Phase::GoingAway(end);
        self.timers.close = Instant::now() + LINGER;
    }

    /// Does what is due, and sleeps until something is.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let deadline = self.deadline();
        if self.timers.sleep.deadline() != deadline {
            self.timers.sleep.as_mut().reset(deadline);
        }
        if self.timers.sleep.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        let now = Instant::now();
        if self.phase != Phase::Running {
            // The peer does not take it: nobody waits for it any longer.
            return if now >= self.timers.close { Err(End::Closed) } else { Ok(true) };
        }
        self.shared.lock().expire(now);
        if self.timers.look_out.is_some_and(|at| at <= now) {
            (self.timers.look_out, self.allowance) = (None, PORTION);
        }
        if !self.timers.ping_interval.is_zero() && self.timers.ping <= now {
            self.heartbeat(now);
        }
        if !self.timers.idle.is_zero() && now.duration_since(self.timers.carried) >= self.timers.idle {
            self.go_away(End::Idle, GoawayStatus::OK);
        }
        Ok(true)
    }

    fn heartbeat(&mut self, now: Instant) {
        self.timers.ping = now + self.timers.ping_interval;
        let is_read = self.shared.lock().held() == Held::Free;
        if self.timers.busy || !is_read || !self.output.is_empty() || self.timers.peer_timeout.is_zero() {
            self.timers.heard = now;
        }
        if now.duration_since(self.timers.heard) > self.timers.peer_timeout {
            return self.go_away(End::PeerTimeout, GoawayStatus::OK);
        }
        let id = self.next_ping;
        let first = if self.role == Role::Client { 1 } else { 2 };
        self.next_ping = id.checked_add(2).unwrap_or(first);
        self.shared.lock().ping(id);
    }

    fn deadline(&self) -> Instant {
        let timers = &self.timers;
        if self.phase != Phase::Running {
            return timers.close;
        }
        let ping = (!timers.ping_interval.is_zero()).then_some(timers.ping);
        let idle = (!timers.idle.is_zero()).then(|| timers.carried + timers.idle);
        let streams = self.shared.lock().deadline();
        let all = ping.into_iter().chain(idle).chain(streams).chain(timers.look_out);
        // A day is as good as never.
        all.min().unwrap_or_else(|| timers.carried + Duration::from_hours(24))
    }
}

impl Phase {
    const fn end(self) -> Option<End> {
        match self {
            Self::Running => None,
            Self::GoingAway(end) | Self::Lingering(end) => Some(end),
        }
    }
}

fn lost(error: &io::Error) -> End {
    tracing::debug!(%error, "connection lost");
    End::Lost(Some(error.kind()))
}
