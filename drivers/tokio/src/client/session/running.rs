use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use strait::Limits;
use strait::k8s::{Channel, ChannelSet, StreamSet, Subprotocol, Verb};
use strait::leg::{Close, Event, Leg};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::delivery::Delivery;
use super::resizes::Resizes;
use super::{Reader, Streams};
use crate::client::connect::Connection;
use crate::client::exit::{Exit, SessionError, Status};
use crate::link::{Beat, Link};

/// Most bytes of standard input in one message (`websocket-channels.md` section 2).
const PAYLOAD: usize = 32 * 1024;

/// Bytes of the buffer of each direction: a handful of messages go through with one read and one write.
const BUFFER: usize = 160 * 1024;

/// Less room than this is not worth a message.
const SMALLEST: usize = 4 * 1024;

/// How long a server may take to close the connection once the session is over.
const CLOSE: Duration = Duration::from_secs(1);

/// One session: one connection, one leg, and the caller's readers and writers.
pub(super) struct Running<'a, L> {
    link: Link<Connection, L, Box<[u8]>>,
    phase: Phase,
    stdin: Stdin<'a>,
    delivery: Delivery<'a>,
    /// Channels that the server has not ended.
    outputs: ChannelSet,
    status: Status,
    result: Option<Result<Exit, SessionError>>,
    resizes: Resizes<'a>,
    eof: bool,
    shut: bool,
    /// Nothing can be written any more. What the server has sent is still read.
    write_error: Option<io::Error>,
    read_error: Option<io::Error>,
    detach: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
    timer: Pin<Box<Sleep>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The server accepts the streams.
    Opening,
    Running,
    /// The result is known. The connection has until the timer to be closed.
    Closing,
}

enum Stdin<'a> {
    Open(Reader<'a>),
    /// The server is to be told that it has ended.
    Ending,
    Ended,
}

impl<'a, L: Leg> Running<'a, L> {
    pub(super) fn new(
        io: Connection,
        leg: L,
        behind: &[u8],
        (asked, verb): (StreamSet, Verb),
        streams: Streams<'a>,
        limits: &Limits,
    ) -> Self {
        let outputs = [Channel::ERROR, Channel::STDOUT, Channel::STDERR];
        let detach = streams.detach.map(|token| Box::pin(token.cancelled_owned()) as Pin<Box<_>>);
        Self {
            phase: if leg.is_ready() { Phase::Running } else { Phase::Opening },
            link: Link::new(io, leg, behind, || vec![0; BUFFER].into_boxed_slice(), limits),
            stdin: match streams.stdin {
                Some(stdin) if asked.stdin => Stdin::Open(stdin),
                None if asked.stdin => Stdin::Ending,
                _ => Stdin::Ended,
            },
            delivery: Delivery::new(streams.stdout, streams.stderr),
            outputs: asked.channels(Subprotocol::V4).filter(|channel| outputs.contains(channel)).collect(),
            status: Status::default(),
            result: None,
            resizes: Resizes::new(streams.sizes.filter(|_| asked.tty), verb == Verb::Attach),
            eof: false,
            shut: false,
            write_error: None,
            read_error: None,
            detach,
            timer: Box::pin(tokio::time::sleep(limits.stream_creation)),
        }
    }

    pub(super) async fn run(mut self) -> Result<Exit, SessionError> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Exit, SessionError>> {
        loop {
            let mut progress = self.receive(cx);
            // What reads the input may ask for the size.
            progress |= self.poll_size(cx);
            progress |= self.poll_stdin(cx);
            progress |= self.poll_write(cx);
            progress |= self.poll_read(cx);
            progress |= self.poll_detach(cx);
            progress |= self.poll_heartbeat(cx);
            progress |= self.flush(cx);
            let delivered = self.poll_delivered(cx);
            if self.phase == Phase::Closing
                && delivered
                && self.is_closed(cx)
                && let Some(result) = self.result.take()
            {
                return Poll::Ready(result);
            }
            if !progress && self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Acts on what was received, as far as the caller takes the output.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        loop {
            match self.delivery.poll(cx, self.link.input.input()) {
                Poll::Pending => return progress,
                Poll::Ready(Ok(delivered)) => {
                    self.link.input.consume(delivered);
                    progress |= delivered > 0;
                }
                Poll::Ready(Err(error)) => {
                    self.output_failed(error);
                    progress = true;
                }
            }
            if self.phase == Phase::Closing {
                self.link.input.discard_input();
                return progress;
            }
            let step = match self.link.leg.receive(self.link.input.input()) {
                Ok(step) => step,
                Err(error) => {
                    self.finish(Err(SessionError::Protocol(error)), error.close());
                    return true;
                }
            };
            if step.consumed == 0 && step.event.is_none() {
                if self.eof && self.link.leg.can_receive() {
                    self.settle(false);
                    return true;
                }
                return progress;
            }
            progress = true;
            match step.event {
                Some(Event::Data { channel: Channel::ERROR, range }) => {
                    self.status.collect(&self.link.input.input()[range]);
                }
                Some(Event::Data { channel, range }) => {
                    self.delivery.hold(channel, range, step.consumed);
                    continue;
                }
                Some(Event::Accepted(_)) if self.link.leg.is_ready() && self.phase == Phase::Opening => {
                    self.phase = Phase::Running;
                }
                Some(Event::HalfClosed(Channel::STDIN) | Event::Reset(Channel::STDIN, _)) => {
                    self.end_stdin();
                }
                Some(Event::HalfClosed(channel) | Event::Reset(channel, _)) => {
                    self.outputs.remove(channel);
                    if self.outputs.is_empty() {
                        // Streams that are not accepted are refused, and no session that has ended without a word.
                        self.settle(self.phase == Phase::Running);
                    }
                }
                Some(Event::Status) => self.settle(true),
                Some(Event::End { clean }) => self.settle(clean),
                Some(Event::Accepted(_) | Event::Opened(_) | Event::Resize(_) | Event::Pong) | None => {}
            }
            self.link.input.consume(step.consumed);
        }
    }

    /// True if the writers hold nothing back.
    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> bool {
        match self.delivery.poll_flush(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.output_failed(error),
        }
        true
    }

    fn output_failed(&mut self, error: io::Error) {
        self.delivery.close();
        self.finish(Err(SessionError::Output(error)), Close::Normal);
    }

    /// Frames what the caller sends, as far as there is room.
    fn poll_stdin(&mut self, cx: &mut Context<'_>) -> bool {
        if self.phase != Phase::Running || self.link.has_output() || self.write_error.is_some() {
            return false;
        }
        let mut progress = false;
        while let Stdin::Open(stdin) = &mut self.stdin {
            let space = self.link.output.payload_space();
            let len = space.len().min(PAYLOAD);
            if len < SMALLEST {
                return progress;
            }
            let mut buffer = ReadBuf::new(&mut space[..len]);
            match Pin::new(stdin).poll_read(cx, &mut buffer) {
                Poll::Pending => return progress,
                Poll::Ready(Err(error)) => {
                    self.finish(Err(SessionError::Input(error)), Close::Normal);
                    return true;
                }
                Poll::Ready(Ok(())) => {
                    let count = buffer.filled().len();
                    let Link { output, leg, .. } = &mut self.link;
                    if count == 0 || !output.payload(leg, Channel::STDIN, false, count) {
                        self.end_stdin();
                    }
                }
            }
            progress = true;
        }
        if matches!(self.stdin, Stdin::Ending) && !self.link.output.has_output() {
            self.link.output.end_stream(&mut self.link.leg, Channel::STDIN);
            self.stdin = Stdin::Ended;
            progress = true;
        }
        progress
    }

    fn end_stdin(&mut self) {
        if matches!(self.stdin, Stdin::Open(_)) {
            self.stdin = Stdin::Ending;
        }
    }

    fn poll_size(&mut self, cx: &mut Context<'_>) -> bool {
        if self.phase != Phase::Running {
            return false;
        }
        let Poll::Ready(sizes) = self.resizes.poll(cx) else { return false };
        for size in sizes.into_iter().flatten() {
            self.link.leg.resize(size);
        }
        true
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        if self.write_error.is_some() || self.shut {
            self.link.discard_output();
            return false;
        }
        match self.link.poll_write(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.write_error = Some(error),
        }
        true
    }

    /// Sees that what was written leaves, without waiting for it.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        if self.write_error.is_some() || self.shut {
            return false;
        }
        let Poll::Ready(Err(error)) = self.link.poll_flush(cx) else { return false };
        self.write_error = Some(error);
        true
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        if self.eof {
            return false;
        }
        match self.link.poll_read(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(count)) => self.eof = count == 0,
            Poll::Ready(Err(error)) => {
                self.eof = true;
                self.read_error = Some(error);
            }
        }
        true
    }

    fn poll_detach(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(detach) = &mut self.detach else { return false };
        if self.phase == Phase::Closing || detach.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.detach = None;
        // Whoever leaves does not wait for what is held up on the way to it.
        self.delivery.abandon();
        self.finish(Err(SessionError::Detached), Close::Normal);
        true
    }

    /// Nobody hears the server while the caller takes no output.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> bool {
        if self.phase != Phase::Running {
            return false;
        }
        match self.link.poll_heartbeat(cx, !self.delivery.is_holding()) {
            Poll::Pending => return false,
            Poll::Ready(Beat::Asked) => {}
            Poll::Ready(Beat::Silent) => {
                self.eof = true;
                self.finish(Err(SessionError::Silent), Close::Normal);
            }
        }
        true
    }

    /// The server has ended the session, `in_order` or not: what it has told decides.
    fn settle(&mut self, in_order: bool) {
        let error = self.read_error.take().or_else(|| self.write_error.take());
        let result = if in_order || self.outputs.is_only(Channel::ERROR) {
            self.status.settle(self.link.leg.status_is_json(), in_order)
        } else {
            Err(SessionError::lost("the end of the output", None))
        };
        let result = match result {
            Err(SessionError::Lost { missing, .. }) => Err(SessionError::Lost { missing, error }),
            other => other,
        };
        self.finish(result, Close::Normal);
    }

    fn finish(&mut self, result: Result<Exit, SessionError>, reason: Close) {
        if self.phase == Phase::Closing {
            return;
        }
        self.result = Some(result);
        self.phase = Phase::Closing;
        self.stdin = Stdin::Ended;
        self.link.leg.close(reason);
        self.timer.as_mut().reset(Instant::now() + CLOSE);
    }

    /// True if the connection is done with. Until the server has closed its end, what it sends is read: to drop a socket with unread bytes
    /// would take our Close away from it.
    fn is_closed(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.shut && (!self.link.has_output() || self.write_error.is_some()) {
            self.shut = self.link.poll_shutdown(cx).is_ready();
        }
        self.eof || self.timer.is_elapsed()
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.phase {
            Phase::Opening => self.timer.as_mut().poll(cx).map(|()| {
                self.finish(Err(SessionError::StreamCreationTimeout), Close::Internal);
            }),
            Phase::Closing if !self.timer.is_elapsed() => self.timer.as_mut().poll(cx),
            Phase::Closing | Phase::Running => Poll::Pending,
        }
    }
}
