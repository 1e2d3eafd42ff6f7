use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use strait::bridge::{Outcome, Seen};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use crate::hangup::{Tcp, Watch};
use crate::pool::{Pool, Pooled};

/// Bytes that were passed on, by whom they came from, and how that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PassedOn {
    pub(crate) from_client: u64,
    pub(crate) from_upstream: u64,
    /// [`Outcome::ClientLost`] is a connection that failed, or made no progress for too long after the other one had ended.
    pub(crate) outcome: Outcome,
}

/// Passes the bytes of an upgraded connection on, both ways, until both directions have ended.
///
/// The end of one direction is passed on as a half-close and the other one goes on: what is still on
/// its way arrives (upstream's proxy closes both, and loses it). Once a direction has ended, the
/// other gets `linger` between two bytes. An error ends both, and so does `stop`.
pub(crate) async fn pass_on<C, U>(
    client: C,
    upstream: U,
    linger: Duration,
    pool: &Pool,
    stop: CancellationToken,
) -> PassedOn
where
    C: AsyncRead + AsyncWrite + Tcp + Unpin,
    U: AsyncRead + AsyncWrite + Tcp + Unpin,
{
    let mut pipes = Pipes {
        client,
        upstream,
        up: Direction::new(pool),
        down: Direction::new(pool),
        watch: Watch::default(),
        linger,
        timer: Box::pin(tokio::time::sleep(linger)),
    };
    let outcome = match stop.run_until_cancelled(poll_fn(|cx| pipes.poll(cx))).await {
        Some(Ok(())) => Outcome::Completed,
        Some(Err(error)) => {
            tracing::debug!(%error, "connection cut");
            // It may not read what it is sent, so it would not see an end behind that.
            pipes.upstream.abort();
            Outcome::ClientLost
        }
        None => Outcome::Shutdown,
    };
    PassedOn { from_client: pipes.up.passed, from_upstream: pipes.down.passed, outcome }
}

/// Bytes that are more than heartbeats and keystrokes bring.
const MUCH: usize = 1024;

struct Pipes<C, U> {
    client: C,
    upstream: U,
    up: Direction,
    down: Direction,
    /// Looks after the client while nothing is read from it.
    watch: Watch,
    linger: Duration,
    timer: Pin<Box<Sleep>>,
}

struct Direction {
    buffer: Pooled,
    start: usize,
    end: usize,
    passed: u64,
    /// Something was written since the last complete flush: TLS may still hold it.
    unflushed: bool,
    /// The source has nothing to read, and wakes the session when it has.
    is_read: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The source has ended; what is buffered is not written yet.
    Draining,
    /// All is written and the sink's sending half is shut down.
    Ended,
}

impl<C, U> Pipes<C, U>
where
    C: AsyncRead + AsyncWrite + Tcp + Unpin,
    U: AsyncRead + AsyncWrite + Tcp + Unpin,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let up = self.up.poll(cx, &mut self.client, &mut self.upstream)?;
            let down = self.down.poll(cx, &mut self.upstream, &mut self.client)?;
            let ended = [self.up.state, self.down.state].map(|state| state == State::Ended);
            if ended == [true, true] {
                return Poll::Ready(Ok(()));
            }
            if up || down {
                self.timer.as_mut().reset(Instant::now() + self.linger);
                continue;
            }
            // A client that has half-closed is left to upstream's heartbeats: nothing of our own goes in between.
            self.watch.is_read = self.up.is_read || self.up.state != State::Open;
            if self.watch.poll(cx, &self.client, self.up.passed) == Seen::Gone {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if ended == [false, false] || self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
    }
}

impl Direction {
    fn new(pool: &Pool) -> Self {
        Self {
            buffer: pool.take(),
            start: 0,
            end: 0,
            passed: 0,
            unflushed: false,
            is_read: false,
            state: State::Open,
        }
    }

    /// Moves what can be moved without waiting; true if something was.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> io::Result<bool>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut progress = false;
        self.is_read = false;
        if self.start < self.end {
            match Pin::new(&mut *to).poll_write(cx, &self.buffer.as_ref()[self.start..self.end]) {
                Poll::Pending => return Ok(false),
                Poll::Ready(result) => {
                    let count = result?;
                    if count == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    self.start += count;
                    self.passed += count as u64;
                    self.unflushed = true;
                    progress = true;
                }
            }
        }
        if self.unflushed
            && self.start == self.end
            && let Poll::Ready(flushed) = Pin::new(&mut *to).poll_flush(cx)
        {
            flushed?;
            self.unflushed = false;
        }
        if self.start == self.end && self.state == State::Open {
            self.buffer.borrow();
            let mut buffer = ReadBuf::new(self.buffer.as_mut());
            if let Poll::Ready(result) = Pin::new(from).poll_read(cx, &mut buffer) {
                result?;
                (self.start, self.end) = (0, buffer.filled().len());
                if self.end == 0 {
                    self.state = State::Draining;
                }
                progress = true;
            } else {
                self.is_read = true;
                // After much, more may follow. An idle connection has heartbeats.
                if self.end < MUCH {
                    self.buffer.give_back();
                }
            }
        }
        if self.start == self.end && self.state == State::Draining {
            // A sink that is gone already needs no half-close.
            if Pin::new(to).poll_shutdown(cx).is_ready() {
                self.state = State::Ended;
                progress = true;
            }
        }
        Ok(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const LINGER: Duration = Duration::from_secs(5);

    async fn passing(client: DuplexStream, upstream: impl AsyncRead + AsyncWrite + Tcp + Unpin) -> PassedOn {
        pass_on(client, upstream, LINGER, &Pool::new(4), CancellationToken::new()).await
    }

    #[tokio::test]
    async fn a_half_close_is_passed_on_and_the_other_direction_goes_on() {
        let (mut client, ours) = duplex(1000);
        let (theirs, mut upstream) = duplex(1000);
        let passing = tokio::spawn(passing(ours, theirs));
        client.write_all(b"request").await.unwrap();
        client.shutdown().await.unwrap();
        let mut request = Vec::new();
        upstream.read_to_end(&mut request).await.unwrap();
        assert_eq!(request, b"request");
        let answer = vec![7; 300_000];
        let mut received = Vec::new();
        let answering = async {
            upstream.write_all(&answer).await.unwrap();
            drop(upstream);
        };
        tokio::join!(answering, async { client.read_to_end(&mut received).await.unwrap() });
        assert_eq!(received, answer);
        let expected = PassedOn { from_client: 7, from_upstream: 300_000, outcome: Outcome::Completed };
        assert_eq!(passing.await.unwrap(), expected);
    }

    #[tokio::test]
    async fn what_was_passed_on_until_it_was_stopped_is_told() {
        let (mut client, ours) = duplex(1000);
        let (theirs, mut upstream) = duplex(1000);
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let passing =
            tokio::spawn(async move { pass_on(ours, theirs, LINGER, &Pool::new(4), stopping).await });
        client.write_all(b"request").await.unwrap();
        upstream.read_exact(&mut [0; 7]).await.unwrap();
        upstream.write_all(b"an answer").await.unwrap();
        client.read_exact(&mut [0; 9]).await.unwrap();
        stop.cancel();
        let expected = PassedOn { from_client: 7, from_upstream: 9, outcome: Outcome::Shutdown };
        assert_eq!(passing.await.unwrap(), expected);
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_was_written_does_not_wait_in_a_buffer() {
        let (mut client, ours) = duplex(1000);
        let (theirs, mut upstream) = duplex(1000);
        let theirs = tokio::io::BufStream::new(theirs);
        tokio::spawn(passing(ours, theirs));
        client.write_all(b"x").await.unwrap();
        let mut received = [0];
        let read = tokio::time::timeout(Duration::from_secs(10), upstream.read_exact(&mut received)).await;
        read.expect("it was not flushed").unwrap();
        assert_eq!(received, *b"x");
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_stalls_after_the_other_has_ended_is_cut() {
        let (client, ours) = duplex(1000);
        let (theirs, mut upstream) = duplex(1000);
        let passing = tokio::spawn(passing(ours, theirs));
        drop(client);
        let begin = Instant::now();
        assert_eq!(passing.await.unwrap().outcome, Outcome::ClientLost);
        assert_eq!(begin.elapsed().as_secs(), 5);
        assert_eq!(upstream.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
