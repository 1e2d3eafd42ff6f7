use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};

use embassy_time::{Duration, Instant};
use embedded_io_async::ErrorKind;

use crate::connection::Connection;
use crate::session::Filled;
use crate::wait::poll_until;

/// Bytes that were passed on, by whom they came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PassedOn {
    /// Bytes of the client.
    pub from_client: u64,
    /// Bytes of upstream.
    pub from_upstream: u64,
    /// How it ended.
    pub end: PassEnd,
}

/// How passing on came to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PassEnd {
    /// Both directions have ended.
    #[default]
    Complete,
    /// A connection failed, or stalled after the other one had ended.
    Cut,
    /// This end shut down.
    Stopped,
}

/// Passes bytes on as they are, both ways, until both directions have ended.
///
/// The end of one direction is passed on as a half-close and the other one goes on: what is still on its way arrives.
/// Once a direction has ended, the other gets `linger` between two bytes. An error ends both.
pub async fn pass_on<C: Connection, U: Connection>(
    client: &mut C,
    upstream: &mut U,
    up: Filled<'_>,
    down: Filled<'_>,
    linger: Duration,
    stop: impl Future<Output = ()>,
) -> PassedOn {
    let (mut up, mut down) = (Direction::new(up), Direction::new(down));
    let mut stop = pin!(stop);
    let mut until = Instant::now() + linger;
    let end = poll_fn(|cx| {
        loop {
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(PassEnd::Stopped);
            }
            let (Ok(went_up), Ok(went_down)) =
                (up.poll(cx, client, upstream), down.poll(cx, upstream, client))
            else {
                return Poll::Ready(PassEnd::Cut);
            };
            let ended = [up.state, down.state].map(|state| state == State::Ended);
            if ended == [true, true] {
                return Poll::Ready(PassEnd::Complete);
            }
            if went_up || went_down {
                until = Instant::now() + linger;
                continue;
            }
            if ended == [false, false] || poll_until(cx, until).is_pending() {
                return Poll::Pending;
            }
            return Poll::Ready(PassEnd::Cut);
        }
    })
    .await;
    PassedOn { from_client: up.passed, from_upstream: down.passed, end }
}

/// Passes an answer on, to the end of its connection. A client that closes does not want it any more; what it sends meanwhile
/// belongs to no request and is dropped. False if it was cut, by an end or by a pause longer than `idle`.
#[cfg(feature = "pass-on")]
pub(crate) async fn answer<C: Connection, U: Connection>(
    client: &mut C,
    upstream: &mut U,
    memory: &mut [u8],
    idle: Duration,
    stop: impl Future<Output = ()>,
) -> bool {
    let mut down = Direction::new(Filled::empty(memory));
    let mut stop = pin!(stop);
    let mut until = Instant::now() + idle;
    poll_fn(|cx| {
        loop {
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            let mut dropped = [0; 64];
            match client.poll_read(cx, &mut dropped) {
                Poll::Ready(Ok(1..)) => continue,
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending => {}
            }
            match down.poll(cx, upstream, client) {
                Ok(_) if down.state == State::Ended => return Poll::Ready(true),
                Ok(true) => until = Instant::now() + idle,
                Ok(false) if poll_until(cx, until).is_pending() => return Poll::Pending,
                Ok(false) | Err(_) => return Poll::Ready(false),
            }
        }
    })
    .await
}

struct Direction<'a> {
    memory: &'a mut [u8],
    start: usize,
    end: usize,
    passed: u64,
    unflushed: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The source has ended; what is buffered is not written yet.
    Draining,
    /// All is written and the sink's sending half is ended.
    Ended,
}

impl<'a> Direction<'a> {
    fn new(from: Filled<'a>) -> Self {
        let (memory, received) = from.into_parts();
        Self {
            memory,
            start: received.start,
            end: received.end,
            passed: 0,
            unflushed: false,
            state: State::Open,
        }
    }

    /// Moves what can be moved without waiting; true if something was.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Connection,
        to: &mut impl Connection,
    ) -> Result<bool, ErrorKind> {
        let mut progress = false;
        if let Some(waiting) = self.memory.get(self.start..self.end).filter(|waiting| !waiting.is_empty()) {
            match to.poll_write(cx, waiting)? {
                Poll::Pending => return Ok(false),
                Poll::Ready(0) => return Err(ErrorKind::WriteZero),
                Poll::Ready(count) => {
                    self.start += count;
                    self.passed += count as u64;
                    self.unflushed = true;
                    progress = true;
                }
            }
        }
        if self.unflushed && self.start == self.end && to.poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        if self.start == self.end
            && self.state == State::Open
            && let Poll::Ready(count) = from.poll_read(cx, self.memory)?
        {
            (self.start, self.end) = (0, count);
            if count == 0 {
                self.state = State::Draining;
            }
            progress = true;
        }
        if self.start == self.end && self.state == State::Draining {
            to.end();
            self.state = State::Ended;
            progress = true;
        }
        Ok(progress)
    }
}
