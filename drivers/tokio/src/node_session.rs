mod end;
mod leg;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use strait::Limits;
use strait::bridge::Seen;
use strait::k8s::{Channel, ChannelSet, Subprotocol, TerminalSize, status};
use strait::leg::{Close, Event};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::hangup::{Tcp, Watch};
use crate::link::{Beat, Link};
use crate::main_process::{STALL, Stalled};
use crate::pool::{Pool, Pooled};
use crate::process::Exit;
use crate::subject::{Aim, Subject};

pub(crate) use end::End;
use leg::ServerLeg;
pub(crate) use leg::SpdyServer;

/// Most payload bytes in one DATA frame (`spdy31.md` section 8).
const PAYLOAD: usize = 32 * 1024;

/// Bytes of stdin that wait for a process which does not read. When they are more, nothing is received
/// until it reads: the connection's only back-pressure is TCP's.
const BACKLOG: usize = 256 * 1024;

/// How long a reset of stdin is not the end of it. So begins a client that leaves, Go's and a gateway's, and a process that saw an end in front of the
/// rest of that would take a part of its input for all.
const LEAVE: Duration = Duration::from_secs(1);

/// The channels that are streams of the process.
const PROCESS: [Channel; 3] = [Channel::STDIN, Channel::STDOUT, Channel::STDERR];

/// Serves one exec or attach session: one socket, one process or a share of one, one task.
pub(crate) struct NodeSession<T, L> {
    link: Link<T, L, Pooled>,
    aim: Aim,
    subject: Option<Subject>,
    /// Of a terminal that there is not yet.
    size: Option<TerminalSize>,
    phase: Phase,
    /// Input that the process has not taken yet.
    backlog: VecDeque<u8>,
    /// Streams of the process that have not ended: stdin by the client, the others by the process.
    running: ChannelSet,
    exit: Option<Result<Exit, Stalled>>,
    /// The client has reset stdin, and this is when that is its end.
    input_ends: Option<Instant>,
    peer_ended: bool,
    timer: Pin<Box<Sleep>>,
    /// Looks after the client while nothing is read from it.
    watch: Watch,
    close: Duration,
    idle: Duration,
    /// When the connection is closed at the latest, once the status is sent.
    last: Option<Instant>,
    /// A ping was sent behind the status.
    is_asked: bool,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    stopped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client opens its streams.
    Opening,
    /// The process runs, or its output is not all sent.
    Running,
    /// The status is sent: the client has until the timer to take it and close.
    Closing(End),
    /// Our GOAWAY is queued.
    GoingAway(End),
}

impl<T: AsyncRead + AsyncWrite + Tcp + Unpin, L: ServerLeg> NodeSession<T, L> {
    pub(crate) fn new(
        io: T,
        behind: &[u8],
        leg: L,
        aim: Aim,
        limits: &Limits,
        pool: &Pool,
        stop: CancellationToken,
    ) -> Self {
        let streams = aim.streams();
        let mut link = Link::new(io, leg, behind, || pool.take(), limits);
        if link.leg.greets() {
            // The only signal of readiness that a client can wait for (`websocket-channels.md` section 3).
            link.output.payload_space();
            link.output.payload(&mut link.leg, streams.ready_channel(), false, 0);
        }
        Self {
            link,
            running: streams.channels(Subprotocol::V4).filter(|channel| PROCESS.contains(channel)).collect(),
            aim,
            subject: None,
            size: None,
            phase: Phase::Opening,
            backlog: VecDeque::new(),
            exit: None,
            input_ends: None,
            peer_ended: false,
            timer: Box::pin(tokio::time::sleep(limits.stream_creation)),
            watch: Watch::default(),
            close: limits.close,
            idle: limits.idle,
            last: None,
            is_asked: false,
            stop: Box::pin(stop.cancelled_owned()),
            stopped: false,
        }
    }

    /// Runs to the end of the connection.
    pub(crate) async fn run(mut self) -> End {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let mut progress = self.poll_write(cx);
            progress |= self.receive(cx);
            progress |= self.start();
            progress |= self.poll_stdin(cx);
            progress |= self.poll_output(cx);
            progress |= self.poll_exit(cx);
            progress |= self.poll_read(cx);
            progress |= self.poll_stop(cx);
            progress |= self.poll_heartbeat(cx);
            progress |= self.flush(cx);
            progress |= !progress && self.look(cx);
            if let Phase::GoingAway(end) = self.phase
                && (self.peer_ended || !self.link.has_output())
                && (self.link.poll_shutdown(cx).is_ready() || self.peer_ended)
            {
                return Poll::Ready(end);
            }
            if !progress && self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        if self.peer_ended {
            return false;
        }
        match self.link.poll_write(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => self.alive(),
            Poll::Ready(Err(error)) => self.peer_gone(Some(error)),
        }
        true
    }

    /// Sees that what was written leaves, without waiting for it. True if the connection was found to be lost.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        if self.peer_ended {
            return false;
        }
        let Poll::Ready(Err(error)) = self.link.poll_flush(cx) else { return false };
        self.peer_gone(Some(error));
        true
    }

    /// Acts on what was received, until there is too much that the process does not take.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while self.backlog.len() < BACKLOG {
            if matches!(self.phase, Phase::GoingAway(_)) {
                self.link.input.discard_input();
                break;
            }
            let step = match self.link.leg.receive(self.link.input.input()) {
                Ok(step) => step,
                Err(error) => {
                    self.link.input.discard_input();
                    self.go_away(End::Broken(error), error.close());
                    return true;
                }
            };
            if step.consumed == 0 && step.event.is_none() {
                break;
            }
            progress = true;
            match step.event {
                Some(Event::Data { channel: Channel::STDIN, range })
                    if self.running.contains(Channel::STDIN) =>
                {
                    let payload = &self.link.input.input()[range];
                    match &mut self.subject {
                        // From where it lies, as long as the process takes it.
                        Some(subject) if self.backlog.is_empty() => match hand_over(cx, subject, payload) {
                            Some(taken) => self.backlog.extend(&payload[taken..]),
                            None => self.running.remove(Channel::STDIN),
                        },
                        _ => self.backlog.extend(payload),
                    }
                }
                Some(Event::HalfClosed(Channel::STDIN)) => self.running.remove(Channel::STDIN),
                Some(Event::Reset(Channel::STDIN, _)) if self.running.contains(Channel::STDIN) => {
                    self.input_ends = Some(Instant::now() + LEAVE);
                    self.await_leave();
                }
                Some(Event::Resize(size)) => self.resize(size),
                Some(Event::End { .. }) => self.go_away(End::ClientGone, Close::Normal),
                // It has got everything in front of that.
                Some(Event::Pong) if self.is_asked => {
                    let last = Instant::now() + self.close;
                    self.last = Some(self.last.map_or(last, |earlier| earlier.min(last)));
                    self.alive();
                }
                _ => {}
            }
            self.link.input.consume(step.consumed);
        }
        progress
    }

    /// A size that comes in front of the process's start waits for it.
    fn resize(&mut self, size: TerminalSize) {
        let Some(subject) = &self.subject else {
            self.size = Some(size);
            return;
        };
        if let Err(error) = subject.resize(size.columns, size.rows) {
            tracing::debug!(%error, "terminal was not resized");
        }
    }

    /// Starts the process, or attaches to it, when all streams are open. Their replies leave first: a client drops DATA that comes ahead
    /// of them (`spdy31.md` section 2).
    fn start(&mut self) -> bool {
        if self.phase != Phase::Opening || !self.link.leg.is_ready() || !self.link.leg.pending().is_empty() {
            return false;
        }
        self.link.leg.opened();
        match self.aim.subject() {
            Ok(subject) => {
                self.subject = Some(subject);
                self.phase = Phase::Running;
                self.await_leave();
                if let Some(size) = self.size.take() {
                    self.resize(size);
                }
            }
            Err(error) => {
                let message = error.to_string();
                tracing::debug!(message, "no process");
                self.end_session(End::NotStarted, |json| status::internal_error(&message, json).unwrap_or(0));
            }
        }
        true
    }

    /// Hands input to the process. A process that does not want it any more loses it, as on a pipe.
    fn poll_stdin(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(subject) = &mut self.subject else {
            // What comes in front of the process's start waits for it; what comes behind its end is for nobody.
            if self.phase != Phase::Opening {
                self.backlog.clear();
            }
            return false;
        };
        let mut progress = false;
        while !self.backlog.is_empty() {
            match hand_over(cx, subject, self.backlog.as_slices().0) {
                Some(0) => return progress,
                Some(count) => drop(self.backlog.drain(..count)),
                None => {
                    self.backlog.clear();
                    self.running.remove(Channel::STDIN);
                }
            }
            progress = true;
        }
        if !self.running.contains(Channel::STDIN) {
            progress |= subject.poll_end_input(cx);
        }
        progress
    }

    /// Frames what the process has written; the end of a stream goes out behind its last byte.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(subject) = &mut self.subject else { return false };
        if self.link.output.has_output() || self.phase != Phase::Running {
            return false;
        }
        let mut progress = false;
        for turn in [Channel::STDOUT, Channel::STDERR] {
            let space = self.link.output.payload_space();
            let len = space.len().min(PAYLOAD);
            if len == 0 {
                break;
            }
            let Poll::Ready((channel, count)) = subject.poll_output(cx, turn, &mut space[..len]) else {
                continue;
            };
            progress = true;
            // Not framed is what a client has reset: the process may still write, and its status is still sent.
            self.link.output.payload(&mut self.link.leg, channel, count == 0, count);
            if count == 0 {
                self.running.remove(channel);
            }
        }
        progress
    }

    fn poll_exit(&mut self, cx: &mut Context<'_>) -> bool {
        if self.phase != Phase::Running {
            return false;
        }
        if self.exit.is_none()
            && let Some(subject) = &mut self.subject
            && let Poll::Ready(exit) = subject.poll_exit(cx)
        {
            self.exit = Some(exit);
        }
        let Some(exit) = self.exit else { return false };
        if !self.running.is_only(Channel::STDIN) || self.link.has_output() {
            return false;
        }
        if let Ok(exit) = exit {
            let code = u32::try_from(exit.code()).unwrap_or(u32::MAX);
            self.end_session(End::Exited(exit), |json| status::exit_code(code, json).unwrap_or(0));
        } else {
            let message = format!("output is missing from here on: none was taken for {STALL:?}");
            self.end_session(End::Stalled, |json| status::internal_error(&message, json).unwrap_or(0));
        }
        true
    }

    /// Sends the status and ends all streams; the connection stays until the client closes it, so that nothing of
    /// the output is cut off (`remotecommand.md` section 7).
    fn end_session(&mut self, end: End, status: impl FnOnce(&mut [u8]) -> usize) {
        if self.phase == Phase::Opening {
            // A client drops what comes ahead of the answers to its streams.
            self.link.answers_first();
        }
        self.link.leg.stop_input();
        let is_json = self.link.leg.status_is_json();
        self.link.output.end_session(&mut self.link.leg, |room| {
            let len = status(room);
            Some(if is_json { len } else { to_text(room, len) })
        });
        self.link.leg.ended();
        self.subject = None;
        self.backlog.clear();
        self.running.remove(Channel::STDIN);
        self.phase = Phase::Closing(end);
        self.last = Some(self.idle).filter(|idle| !idle.is_zero()).map(|idle| Instant::now() + idle);
        self.alive();
    }

    /// Asks a client that goes on sending whether it has got everything.
    fn ask_for_close(&mut self) {
        if matches!(self.phase, Phase::Closing(_)) && !self.is_asked && !self.link.has_output() {
            self.link.leg.ping();
            self.is_asked = true;
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        self.watch.is_read = self.peer_ended;
        if self.peer_ended || self.link.input.space().is_empty() {
            return false;
        }
        match self.link.poll_read(cx) {
            Poll::Pending => {
                self.watch.is_read = true;
                return false;
            }
            Poll::Ready(Ok(1..)) => {
                self.alive();
                self.ask_for_close();
            }
            Poll::Ready(result) => self.peer_gone(result.err()),
        }
        true
    }

    /// A client that has gone is seen so even if nothing is read from it, because the process takes no input.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> bool {
        if self.phase != Phase::Running {
            return false;
        }
        match self.link.poll_heartbeat(cx, self.backlog.len() < BACKLOG) {
            Poll::Pending => return false,
            Poll::Ready(Beat::Asked) => {}
            Poll::Ready(Beat::Silent) => self.peer_gone(Some(io::ErrorKind::TimedOut.into())),
        }
        true
    }

    /// Looks whether a client from which nothing is read is still there. True if that has changed something.
    fn look(&mut self, cx: &mut Context<'_>) -> bool {
        match self.watch.poll(cx, &self.link.io, self.link.received) {
            Seen::Nothing => return false,
            Seen::Ask => self.link.leg.ping(),
            Seen::Gone => self.peer_gone(Some(io::ErrorKind::ConnectionReset.into())),
        }
        true
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> bool {
        if self.stopped || self.stop.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.stopped = true;
        if self.phase == Phase::Opening && !self.link.leg.is_ready() {
            // There is no stream for a status, and the client waits for its streams, not for that.
            self.go_away(End::Stopped, Close::Internal);
        } else if matches!(self.phase, Phase::Opening | Phase::Running) {
            self.end_session(End::Stopped, |json| {
                status::internal_error("the node is shutting down", json).unwrap_or(0)
            });
        }
        true
    }

    /// The connection ended, or will carry nothing more: a process of this session's own is killed.
    fn peer_gone(&mut self, error: Option<io::Error>) {
        if let Some(error) = error {
            tracing::debug!(%error, "connection lost");
        }
        self.peer_ended = true;
        self.go_away(End::ClientGone, Close::Normal);
    }

    fn go_away(&mut self, end: End, reason: Close) {
        let end = match self.phase {
            Phase::Closing(end) | Phase::GoingAway(end) => end,
            Phase::Opening | Phase::Running => end,
        };
        if let Some(subject) = self.subject.take() {
            subject.last_input(self.backlog.make_contiguous());
        }
        self.link.leg.close(reason);
        self.phase = Phase::GoingAway(end);
        self.timer.as_mut().reset(Instant::now() + self.close);
    }

    /// While a process runs, the timer is for this alone.
    fn await_leave(&mut self) {
        if let (Phase::Running, Some(end)) = (self.phase, self.input_ends) {
            self.timer.as_mut().reset(end);
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.phase == Phase::Running && self.input_ends.is_none() {
            return Poll::Pending;
        }
        self.timer.as_mut().poll(cx).map(|()| match self.phase {
            Phase::Opening if self.link.leg.is_ready() => {
                // Its streams are open, and the answers to that did not leave. Without a word a reset would be success before v4.
                self.end_session(End::StreamCreationTimeout, |json| {
                    status::internal_error("the streams were not opened in time", json).unwrap_or(0)
                });
            }
            Phase::Opening => self.go_away(End::StreamCreationTimeout, Close::Internal),
            Phase::Closing(end) => self.go_away(end, Close::Normal),
            Phase::GoingAway(_) => self.peer_ended = true,
            Phase::Running => {
                self.input_ends = None;
                self.running.remove(Channel::STDIN);
            }
        })
    }

    /// A closing peer that still takes or sends bytes gets more time: only a stalled one is cut, and one that has got everything.
    fn alive(&mut self) {
        if matches!(self.phase, Phase::Closing(_)) {
            let until = Instant::now() + self.close;
            self.timer.as_mut().reset(self.last.map_or(until, |last| until.min(last)));
        }
    }
}

/// Hands input to the process, and returns how much of it: none if it does not want any more.
fn hand_over(cx: &mut Context<'_>, subject: &mut Subject, bytes: &[u8]) -> Option<usize> {
    let mut taken = 0;
    while taken < bytes.len() {
        match subject.poll_input(cx, &bytes[taken..]) {
            Poll::Pending => break,
            Poll::Ready(0) => return None,
            Poll::Ready(count) => taken += count,
        }
    }
    Some(taken)
}

/// Makes the JSON status `room[..len]` what protocols before v4 send, and returns its length.
pub(crate) fn to_text(room: &mut [u8], len: usize) -> usize {
    let json = room[..len].to_vec();
    status::Outcome::parse(&json).map_or(0, |outcome| outcome.write_text(room))
}
