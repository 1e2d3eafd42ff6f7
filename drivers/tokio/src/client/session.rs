use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use strait::Limits;
use strait::bridge::{Lane, Turn};
use strait::k8s::{Channel, ChannelSet, StreamSet, Subprotocol, TerminalSize, Verb};
use strait::leg::{Close, Event, Leg, SpdyLeg, WebSocketLeg};
use strait::ws::MaskKeys;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::Transport;
use super::connect::{ConnectError, Connection, random};
use super::exit::{Exit, SessionError, Status};
use super::process::Process;
use super::upgrade::Upgraded;

/// Most bytes of standard input in one message (`websocket-channels.md` section 2).
const PAYLOAD: usize = 32 * 1024;

/// Bytes of the buffer of each direction: a handful of messages go through with one read and one write.
const BUFFER: usize = 160 * 1024;

/// Less room than this is not worth a message.
const SMALLEST: usize = 4 * 1024;

/// Slices of one vectored write.
const SLICES: usize = 16;

/// How long a server may take to close the connection once the session is over.
const CLOSE: Duration = Duration::from_secs(1);

/// An exec or attach that the server has agreed to, and that has not begun on this side.
pub struct Session {
    upgraded: Upgraded,
    streams: StreamSet,
    verb: Verb,
    limits: Limits,
}

/// What a session reads and writes on this side. Whatever is not set is empty input, or output that is thrown away.
#[derive(Default)]
pub struct Streams<'a> {
    stdin: Option<Box<dyn AsyncRead + Send + Unpin + 'a>>,
    stdout: Option<Box<dyn AsyncWrite + Send + Unpin + 'a>>,
    stderr: Option<Box<dyn AsyncWrite + Send + Unpin + 'a>>,
    sizes: Option<watch::Receiver<Option<TerminalSize>>>,
    detach: Option<CancellationToken>,
}

impl<'a> Streams<'a> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Input of the command. Its end is passed on, where the protocol can (v5, SPDY).
    #[must_use]
    pub fn stdin(mut self, from: impl AsyncRead + Send + Unpin + 'a) -> Self {
        self.stdin = Some(Box::new(from));
        self
    }

    /// Output of the command. A writer that fails ends the session.
    #[must_use]
    pub fn stdout(mut self, to: impl AsyncWrite + Send + Unpin + 'a) -> Self {
        self.stdout = Some(Box::new(to));
        self
    }

    /// Output of errors, without a terminal.
    #[must_use]
    pub fn stderr(mut self, to: impl AsyncWrite + Send + Unpin + 'a) -> Self {
        self.stderr = Some(Box::new(to));
        self
    }

    /// Sizes of the terminal: the first one is sent at once, and each change.
    #[must_use]
    pub fn sizes(mut self, sizes: watch::Receiver<Option<TerminalSize>>) -> Self {
        self.sizes = Some(sizes);
        self
    }

    /// What ends the session before the command has ended.
    #[must_use]
    pub fn detach(mut self, token: CancellationToken) -> Self {
        self.detach = Some(token);
        self
    }
}

impl Session {
    pub(super) const fn new(upgraded: Upgraded, streams: StreamSet, verb: Verb, limits: Limits) -> Self {
        Self { upgraded, streams, verb, limits }
    }

    /// What the request asked for.
    pub const fn streams(&self) -> StreamSet {
        self.streams.without_stderr_of_tty()
    }

    /// The subprotocol that the server chose.
    pub const fn protocol(&self) -> Subprotocol {
        self.upgraded.protocol
    }

    /// What carries it: [`Transport::WebSocket`] or [`Transport::Spdy`].
    pub const fn transport(&self) -> Transport {
        self.upgraded.transport
    }

    /// Runs the session to its end. Payload goes between the connection's buffer and the readers and writers without another copy.
    ///
    /// All output is written and flushed when this returns, also with an error. Dropping the future cuts the connection.
    pub async fn run(self, streams: Streams<'_>) -> Result<Exit, SessionError> {
        let Self { upgraded, streams: asked, verb, limits } = self;
        let Upgraded { io, behind, protocol, transport } = upgraded;
        if transport == Transport::Spdy {
            let leg = SpdyLeg::client(asked, protocol, &limits);
            return Running::new(io, leg, &behind, (asked, verb), streams, &limits).run().await;
        }
        let seed = match random() {
            Ok(seed) => seed,
            Err(error) => return Err(SessionError::lost("the exit status", Some(io::Error::other(error)))),
        };
        let leg = WebSocketLeg::client(protocol, &limits, MaskKeys::new(seed));
        Running::new(io, leg, &behind, (asked, verb), streams, &limits).run().await
    }

    /// Runs the session in a task of its own, with streams to read from and write to.
    pub fn spawn(self) -> Process {
        Process::spawn(self)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("transport", &self.transport())
            .field("protocol", &self.protocol())
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Streams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams")
            .field("stdin", &self.stdin.is_some())
            .field("stdout", &self.stdout.is_some())
            .field("stderr", &self.stderr.is_some())
            .finish_non_exhaustive()
    }
}

/// One session: one connection, one leg, and the caller's readers and writers.
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one connection")]
struct Running<'a, L> {
    io: Connection,
    leg: L,
    input: Lane<Box<[u8]>>,
    output: Lane<Box<[u8]>>,
    turn: Turn,
    streams: Streams<'a>,
    phase: Phase,
    /// Payload that the caller has not taken yet. It stays where it was received, and nothing behind it is looked at.
    held: Option<Held>,
    /// Output was given to a writer that may still hold it.
    unflushed: bool,
    stdin: Stdin,
    /// Channels that the server has not ended.
    outputs: ChannelSet,
    status: Status,
    result: Option<Result<Exit, SessionError>>,
    size: Option<NextSize<'a>>,
    /// The first size is sent after another one, so that what runs on the terminal draws itself again.
    redraws: bool,
    eof: bool,
    shut: bool,
    /// Nothing can be written any more. What the server has sent is still read.
    write_error: Option<io::Error>,
    read_error: Option<io::Error>,
    detach: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
    timer: Pin<Box<Sleep>>,
    heartbeat: Pin<Box<Sleep>>,
    ping_interval: Duration,
    peer_timeout: Duration,
    /// When the server sent something last, or was not asked to.
    heard: Instant,
    /// Data was written to the server since: it may be busy with it, and deaf behind it.
    busy: bool,
}

/// The next change of the size. The receiver comes back with it.
type Sizes = watch::Receiver<Option<TerminalSize>>;
type NextSize<'a> = Pin<Box<dyn Future<Output = Option<Sizes>> + Send + 'a>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The server accepts the streams.
    Opening,
    Running,
    /// The result is known. The connection has until the timer to be closed.
    Closing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stdin {
    Open,
    /// The server is to be told that it has ended.
    Ending,
    Ended,
}

#[derive(Debug)]
struct Held {
    channel: Channel,
    /// In the lane's input.
    range: Range<usize>,
    /// What is consumed of it when the payload is delivered.
    consumed: usize,
}

impl<'a, L: Leg> Running<'a, L> {
    fn new(
        io: Connection,
        leg: L,
        behind: &[u8],
        (asked, verb): (StreamSet, Verb),
        mut streams: Streams<'a>,
        limits: &Limits,
    ) -> Self {
        let buffer = || vec![0; BUFFER].into_boxed_slice();
        let mut input = Lane::new(buffer());
        // What comes behind a head is shorter than the buffer.
        input.space()[..behind.len()].copy_from_slice(behind);
        input.received(behind.len());
        let outputs = [Channel::ERROR, Channel::STDOUT, Channel::STDERR];
        let size = streams.sizes.take().filter(|_| asked.tty).map(|sizes| next_size(sizes, true));
        let detach = streams.detach.take().map(|token| Box::pin(token.cancelled_owned()) as Pin<Box<_>>);
        let phase = if leg.is_ready() { Phase::Running } else { Phase::Opening };
        Self {
            io,
            output: Lane::to_leg(buffer(), &leg),
            leg,
            input,
            turn: Turn::new(),
            phase,
            held: None,
            unflushed: false,
            stdin: if asked.stdin { Stdin::Open } else { Stdin::Ended },
            outputs: asked.channels(Subprotocol::V4).filter(|channel| outputs.contains(channel)).collect(),
            status: Status::default(),
            result: None,
            size,
            redraws: verb == Verb::Attach,
            eof: false,
            shut: false,
            write_error: None,
            read_error: None,
            detach,
            streams,
            timer: Box::pin(tokio::time::sleep(limits.stream_creation)),
            heartbeat: Box::pin(tokio::time::sleep(limits.ping_interval)),
            ping_interval: limits.ping_interval,
            peer_timeout: limits.peer_timeout,
            heard: Instant::now(),
            busy: false,
        }
    }

    async fn run(mut self) -> Result<Exit, SessionError> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Exit, SessionError>> {
        loop {
            let mut progress = self.receive(cx);
            progress |= self.poll_stdin(cx);
            progress |= self.poll_size(cx);
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

    fn has_output(&self) -> bool {
        self.output.has_output() || !self.leg.pending().is_empty()
    }

    /// Acts on what was received, as far as the caller takes the output.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        loop {
            match self.deliver(cx) {
                Poll::Pending => return progress,
                Poll::Ready(delivered) => progress |= delivered,
            }
            if self.phase == Phase::Closing {
                self.input.discard_input();
                return progress;
            }
            let step = match self.leg.receive(self.input.input()) {
                Ok(step) => step,
                Err(error) => {
                    self.finish(Err(SessionError::Protocol(error)), error.close());
                    return true;
                }
            };
            if step.consumed == 0 && step.event.is_none() {
                if self.eof && self.leg.can_receive() {
                    self.settle(false);
                    return true;
                }
                return progress;
            }
            progress = true;
            let consumed = step.consumed;
            match step.event {
                Some(Event::Data { channel: Channel::ERROR, range }) => {
                    self.status.collect(&self.input.input()[range]);
                }
                Some(Event::Data { channel, range }) => {
                    self.held = Some(Held { channel, range, consumed });
                    continue;
                }
                Some(Event::Accepted(_)) if self.leg.is_ready() && self.phase == Phase::Opening => {
                    self.phase = Phase::Running;
                }
                Some(Event::HalfClosed(Channel::STDIN) | Event::Reset(Channel::STDIN, _)) => {
                    self.end_stdin();
                }
                Some(Event::HalfClosed(channel) | Event::Reset(channel, _)) => {
                    self.outputs.remove(channel);
                    if self.outputs.is_empty() {
                        self.settle(true);
                    }
                }
                Some(Event::Status) => self.settle(true),
                Some(Event::End { clean }) => self.settle(clean),
                Some(Event::Accepted(_) | Event::Opened(_) | Event::Resize(_) | Event::Pong) | None => {}
            }
            self.input.consume(consumed);
        }
    }

    /// Hands the payload that is held to its writer. True if there was any.
    fn deliver(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(held) = &mut self.held else { return Poll::Ready(false) };
        let writer =
            if held.channel == Channel::STDOUT { &mut self.streams.stdout } else { &mut self.streams.stderr };
        let mut failed = None;
        if let Some(writer) = writer {
            while !held.range.is_empty() {
                let payload = &self.input.input()[held.range.clone()];
                match Pin::new(&mut *writer).poll_write(cx, payload) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(count @ 1..)) => held.range.start += count,
                    Poll::Ready(Ok(_)) => failed = Some(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Err(error)) => failed = Some(error),
                }
                if failed.is_some() {
                    break;
                }
            }
            self.unflushed = true;
        }
        let consumed = held.consumed;
        self.held = None;
        self.input.consume(consumed);
        if let Some(error) = failed {
            self.output_failed(error);
        }
        Poll::Ready(true)
    }

    /// True if the writers hold nothing back: neither while there is nothing else to do, nor at the end.
    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> bool {
        if self.held.is_some() {
            return false;
        }
        if !self.unflushed {
            return true;
        }
        let mut failed = None;
        for writer in [&mut self.streams.stdout, &mut self.streams.stderr].into_iter().flatten() {
            match Pin::new(writer).poll_flush(cx) {
                Poll::Pending => return false,
                Poll::Ready(result) => failed = failed.or(result.err()),
            }
        }
        self.unflushed = false;
        if let Some(error) = failed {
            self.output_failed(error);
        }
        true
    }

    fn output_failed(&mut self, error: io::Error) {
        (self.streams.stdout, self.streams.stderr) = (None, None);
        self.unflushed = false;
        self.finish(Err(SessionError::Output(error)), Close::Normal);
    }

    /// Frames what the caller sends, as far as there is room.
    fn poll_stdin(&mut self, cx: &mut Context<'_>) -> bool {
        if self.phase != Phase::Running || self.output.has_output() || self.write_error.is_some() {
            return false;
        }
        let mut progress = false;
        while self.stdin == Stdin::Open {
            let space = self.output.payload_space();
            let len = space.len().min(PAYLOAD);
            if len < SMALLEST {
                return progress;
            }
            let Some(stdin) = &mut self.streams.stdin else {
                self.end_stdin();
                break;
            };
            let mut buffer = ReadBuf::new(&mut space[..len]);
            match Pin::new(stdin).poll_read(cx, &mut buffer) {
                Poll::Pending => return progress,
                Poll::Ready(Err(error)) => {
                    self.finish(Err(SessionError::Input(error)), Close::Normal);
                    return true;
                }
                Poll::Ready(Ok(())) => {
                    let count = buffer.filled().len();
                    if count == 0 || !self.output.payload(&mut self.leg, Channel::STDIN, false, count) {
                        self.end_stdin();
                    }
                }
            }
            progress = true;
        }
        if self.stdin == Stdin::Ending && !self.output.has_output() {
            self.output.end_stream(&mut self.leg, Channel::STDIN);
            self.stdin = Stdin::Ended;
            progress = true;
        }
        progress
    }

    fn end_stdin(&mut self) {
        if self.stdin == Stdin::Open {
            self.stdin = Stdin::Ending;
        }
        self.streams.stdin = None;
    }

    fn poll_size(&mut self, cx: &mut Context<'_>) -> bool {
        if self.phase != Phase::Running {
            return false;
        }
        let Some(next) = &mut self.size else { return false };
        let Poll::Ready(sizes) = next.as_mut().poll(cx) else { return false };
        self.size = sizes.map(|mut sizes| {
            let size = *sizes.borrow_and_update();
            if let Some(size) = size {
                if mem::take(&mut self.redraws) {
                    let (columns, rows) = (size.columns.saturating_add(1), size.rows.saturating_add(1));
                    self.leg.resize(TerminalSize { columns, rows });
                }
                self.leg.resize(size);
            }
            next_size(sizes, false)
        });
        true
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.has_output() {
            return false;
        }
        if self.write_error.is_some() || self.shut {
            self.discard_output();
            return false;
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (to, from) in slices.iter_mut().zip(self.turn.output(self.leg.pending(), &self.output)) {
            *to = IoSlice::new(from);
            count += 1;
        }
        match Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..count]) {
            Poll::Pending => return false,
            Poll::Ready(Ok(count @ 1..)) => {
                let pending = self.leg.pending().len();
                let control = self.turn.written(pending, &mut self.output, count);
                self.leg.sent(control);
                self.busy |= control < count;
            }
            Poll::Ready(Ok(_)) => self.write_error = Some(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Err(error)) => self.write_error = Some(error),
        }
        true
    }

    fn discard_output(&mut self) {
        self.output.discard_output();
        self.turn = Turn::new();
        let pending = self.leg.pending().len();
        self.leg.sent(pending);
    }

    /// Sees that what was written leaves, without waiting for it: TLS may still hold it.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        if self.write_error.is_some() || self.shut {
            return false;
        }
        let Poll::Ready(Err(error)) = Pin::new(&mut self.io).poll_flush(cx) else { return false };
        self.write_error = Some(error);
        true
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        let space = self.input.space();
        if self.eof || space.is_empty() {
            return false;
        }
        let mut buffer = ReadBuf::new(space);
        match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => {
                let count = buffer.filled().len();
                self.input.received(count);
                self.eof = count == 0;
                (self.heard, self.busy) = (Instant::now(), false);
            }
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
        (self.held, self.unflushed) = (None, false);
        self.finish(Err(SessionError::Detached), Close::Normal);
        true
    }

    /// Asks for a sign of life from time to time. A server that owes one for too long has gone; one that has input to deal with may be
    /// deaf behind it, and nobody hears it while the caller takes no output.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> bool {
        if self.ping_interval.is_zero() || self.phase != Phase::Running {
            return false;
        }
        if self.heartbeat.as_mut().poll(cx).is_pending() {
            return false;
        }
        let now = Instant::now();
        self.heartbeat.as_mut().reset(now + self.ping_interval);
        if self.busy || self.held.is_some() || self.has_output() || self.peer_timeout.is_zero() {
            self.heard = now;
        }
        if now.duration_since(self.heard) > self.peer_timeout {
            self.eof = true;
            self.finish(Err(SessionError::Silent), Close::Normal);
        }
        self.leg.ping();
        true
    }

    /// The server has ended the session, `in_order` or not: what it has told decides.
    fn settle(&mut self, in_order: bool) {
        let error = self.read_error.take().or_else(|| self.write_error.take());
        let result = if in_order || self.outputs.is_only(Channel::ERROR) {
            self.status.settle(self.leg.status_is_json(), in_order)
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
        self.streams.stdin = None;
        self.size = None;
        self.leg.close(reason);
        self.timer.as_mut().reset(Instant::now() + CLOSE);
    }

    /// True if the connection is done with. Until the server has closed its end, what it sends is read: to drop a socket with unread bytes
    /// would take our Close away from it.
    fn is_closed(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.shut && (!self.has_output() || self.write_error.is_some()) {
            self.shut = Pin::new(&mut self.io).poll_shutdown(cx).is_ready();
        }
        self.eof || self.timer.is_elapsed()
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.phase == Phase::Running || self.timer.is_elapsed() {
            return Poll::Pending;
        }
        self.timer.as_mut().poll(cx).map(|()| {
            if self.phase == Phase::Opening {
                self.finish(Err(SessionError::StreamCreationTimeout), Close::Internal);
            }
        })
    }
}

/// The next change, or what there is already if it is the `first` one.
fn next_size<'a>(mut sizes: Sizes, first: bool) -> NextSize<'a> {
    Box::pin(async move {
        if first && sizes.borrow().is_some() {
            return Some(sizes);
        }
        sizes.changed().await.ok().map(|()| sizes)
    })
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        Self::other(error)
    }
}
