//! A connection in memory that breaks where it is told to.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use strait::bridge::Peer;
use strait_tests::Random;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::time::{Instant, Sleep, sleep};

use crate::hangup::Tcp;

/// What both systems hold of one direction.
const BUFFER: usize = 16 * 1024;

/// What happens to one half of a connection, behind so many bytes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Both halves end: what was written before can be read, and what the writer has not read is lost.
    Cut {
        /// With an error, not with an end.
        reset: bool,
        at: u64,
    },
    /// This half ends, what is written to it later is lost, and the other one goes on.
    HalfClose {
        at: u64,
    },
    /// For so many seconds nothing more is taken.
    Stall {
        at: u64,
        seconds: u64,
    },
}

impl Fault {
    pub(super) const fn at(self, at: u64) -> Self {
        match self {
            Self::None => Self::None,
            Self::Cut { reset, .. } => Self::Cut { reset, at },
            Self::HalfClose { .. } => Self::HalfClose { at },
            Self::Stall { seconds, .. } => Self::Stall { at, seconds },
        }
    }

    pub(super) fn random(random: &mut Random, most: u64) -> Self {
        let at = random.length(most.max(400) as usize) as u64;
        match random.below(5) {
            0 => Self::Cut { reset: false, at },
            1 => Self::Cut { reset: true, at },
            2 => Self::HalfClose { at },
            // Some are longer than any heartbeat waits.
            _ => Self::Stall { at, seconds: [1, 10, 40, 100, 200][random.below(5)] },
        }
    }

    /// It loses nothing, and nobody takes the peer for dead.
    pub(super) const fn is_harmless(&self) -> bool {
        matches!(self, Self::None | Self::Stall { seconds: ..=10, .. })
    }
}

/// How bytes come through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    Fast,
    /// Up to so many at a time, both ways; some are not ready at once, and some late.
    Pieces {
        seed: u64,
        most: usize,
    },
}

impl Pace {
    pub(super) const fn random(seed: u64, random: &mut Random) -> Self {
        Self::Pieces { seed, most: 1 << (1 + random.below(16)) }
    }

    /// So much gets through in a few minutes.
    pub(super) const fn most_input(self) -> usize {
        match self {
            Self::Pieces { most, .. } if most < 100 => 1000 * most,
            _ => 100_000,
        }
    }

    /// The same pace, in another order.
    pub(super) const fn with(self, number: u64) -> Self {
        match self {
            Self::Fast => Self::Fast,
            Self::Pieces { seed, most } => Self::Pieces { seed: seed * 8 + number, most },
        }
    }
}

/// Both ends of a connection.
pub(super) struct Wire {
    pub(super) near: Faulty,
    pub(super) far: Faulty,
}

/// A connection whose halves have these faults, by who writes to them.
pub(super) fn wire(near: Fault, far: Fault, pace: Pace) -> Wire {
    let (one, other) = duplex(BUFFER);
    let reset = Arc::<AtomicBool>::default();
    let gone = Arc::<AtomicBool>::default();
    Wire {
        near: Faulty::new(one, near, pace.with(1), (&reset, &gone)),
        far: Faulty::new(other, far, pace.with(2), (&reset, &gone)),
    }
}

/// One end. Its fault is that of the half that it writes to.
pub(super) struct Faulty {
    /// None once it is cut.
    io: Option<DuplexStream>,
    fault: Fault,
    pace: Pace,
    random: Random,
    written: Arc<AtomicU64>,
    /// Whoever reads to the end gets an error.
    reset: Arc<AtomicBool>,
    /// The connection was cut.
    gone: Arc<AtomicBool>,
    is_half_closed: bool,
    pause: Option<Pin<Box<Sleep>>>,
    /// Of reading and of writing.
    waits: [Option<Pin<Box<Sleep>>>; 2],
}

const READ: usize = 0;
const WRITE: usize = 1;

impl Faulty {
    fn new(io: DuplexStream, fault: Fault, pace: Pace, flags: (&Arc<AtomicBool>, &Arc<AtomicBool>)) -> Self {
        let seed = if let Pace::Pieces { seed, .. } = pace { seed } else { 0 };
        Self {
            io: Some(io),
            fault,
            pace,
            random: Random::new(seed),
            written: Arc::default(),
            reset: Arc::clone(flags.0),
            gone: Arc::clone(flags.1),
            is_half_closed: false,
            pause: None,
            waits: [None, None],
        }
    }

    /// Of bytes that were written.
    pub(super) fn count(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.written)
    }

    /// How many bytes may go through now.
    fn poll_pace(&mut self, cx: &mut Context<'_>, which: usize) -> Poll<usize> {
        if let Some(wait) = &mut self.waits[which] {
            ready!(wait.as_mut().poll(cx));
            self.waits[which] = None;
        }
        let Pace::Pieces { most, .. } = self.pace else { return Poll::Ready(usize::MAX) };
        match self.random.below(8) {
            // Not ready, and ready at once.
            0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            1 => {
                let time = Duration::from_millis(1 + self.random.below(20) as u64);
                let mut wait = Box::pin(sleep(time));
                let _ = wait.as_mut().poll(cx);
                self.waits[which] = Some(wait);
                Poll::Pending
            }
            _ => Poll::Ready(1 + self.random.below(most)),
        }
    }

    /// Does what is due behind the bytes so far. How many more may be written until the next is.
    fn poll_fault(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let written = self.written.load(Ordering::Relaxed);
        let (Fault::Cut { at, .. } | Fault::HalfClose { at } | Fault::Stall { at, .. }) = self.fault else {
            return Poll::Ready(Ok(u64::MAX));
        };
        if written < at {
            return Poll::Ready(Ok(at - written));
        }
        match self.fault {
            Fault::Cut { reset, .. } => {
                self.reset.store(reset, Ordering::Relaxed);
                self.gone.store(true, Ordering::Relaxed);
                self.io = None;
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            Fault::HalfClose { .. } => {
                if let Some(io) = &mut self.io {
                    let _ = ready!(Pin::new(io).poll_shutdown(cx));
                }
                self.is_half_closed = true;
            }
            Fault::Stall { seconds, .. } => {
                let until = Instant::now() + Duration::from_secs(seconds);
                let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                ready!(pause.as_mut().poll(cx));
            }
            Fault::None => {}
        }
        self.fault = Fault::None;
        Poll::Ready(Ok(u64::MAX))
    }
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A cut behind all that is written comes when it is due, not when more is written.
        if matches!(self.fault, Fault::Cut { .. } | Fault::HalfClose { .. }) {
            let _ = self.poll_fault(cx);
        }
        let most = ready!(self.poll_pace(cx, READ)).min(buffer.remaining());
        let is_reset = self.reset.load(Ordering::Relaxed);
        let Some(io) = &mut self.io else { return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())) };
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(io).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        if count == 0 && is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let most = ready!(self.poll_pace(cx, WRITE));
        let until = ready!(self.poll_fault(cx))?;
        let bytes = &bytes[..bytes.len().min(most).min(until.min(1 << 30) as usize)];
        if self.is_half_closed {
            return Poll::Ready(Ok(bytes.len()));
        }
        let Some(io) = &mut self.io else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        let count = ready!(Pin::new(io).poll_write(cx, bytes))?;
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        // A fault behind the last byte is one, too.
        if matches!(self.fault, Fault::Cut { .. } | Fault::HalfClose { .. }) {
            let _ = self.poll_fault(cx);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Some(io) => Pin::new(io).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Tcp for Faulty {
    fn peer(&self) -> Peer {
        if self.gone.load(Ordering::Relaxed) { Peer::Gone } else { Peer::Connected }
    }

    fn abort(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }
}

/// A writer at the client that takes output at a pace of its own.
pub(super) struct Slow<'a> {
    to: &'a mut Vec<u8>,
    pace: Pace,
    random: Random,
    wait: Option<Pin<Box<Sleep>>>,
}

impl<'a> Slow<'a> {
    pub(super) fn new(to: &'a mut Vec<u8>, pace: Pace) -> Self {
        let seed = if let Pace::Pieces { seed, .. } = pace { seed } else { 0 };
        Self { to, pace, random: Random::new(seed), wait: None }
    }
}

impl AsyncWrite for Slow<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        let Pace::Pieces { most, .. } = self.pace else {
            self.to.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        };
        let count = bytes.len().min(1 + self.random.below(most));
        self.to.extend_from_slice(&bytes[..count]);
        // As long as the piece is: there may be very many.
        let time = Duration::from_millis(self.random.below(1 + 500 * count / most) as u64);
        self.wait = Some(Box::pin(sleep(time)));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
