use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::mem;
use std::ops::Range;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use strait::Limits;
use strait::k8s::{Channel, ChannelSet, Settled, StreamSet, Subprotocol, TerminalSize, Verb};
use strait::leg::{Close, Event, Leg};

use super::control::Control;
use super::link::Link;
use super::{Exit, SessionError};
use crate::wait::{LOOK, is_not_ready, sleep_on};

/// Most bytes of standard input in one message (`websocket-channels.md` section 2).
pub(super) const PAYLOAD: usize = 32 * 1024;

/// Less room than this is not worth a message.
pub(super) const SMALLEST: usize = 4 * 1024;

/// How long a server may take to close the connection once the session is over.
pub(super) const CLOSE: Duration = Duration::from_secs(1);

/// The longest sleep: a day is as good as never.
pub(super) const LONGEST: Duration = Duration::from_hours(24);

/// Most bytes of a status that are kept; Kubernetes writes some hundred.
const STATUS: usize = 64 * 1024;

/// The session's ends of the pipes to its caller, which are not blocking. None where nobody reads or writes.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    pub(super) stdin: Option<PipeReader>,
    pub(super) stdout: Option<PipeWriter>,
    pub(super) stderr: Option<PipeWriter>,
}

/// One exec or attach: one connection, and the caller's pipes.
pub(super) struct Running<L> {
    link: Link<L>,
    pipes: Pipes,
    control: Control,
    phase: Phase,
    /// Until when the server has to accept the streams, or to close.
    deadline: Instant,
    /// Payload that the caller has not taken yet. It stays where it was received, and nothing behind it is looked at.
    held: Option<Held>,
    stdin: Stdin,
    /// Channels that the server has not ended.
    outputs: ChannelSet,
    status: Vec<u8>,
    is_too_long: bool,
    result: Option<Result<Exit, SessionError>>,
    tty: bool,
    size: Option<TerminalSize>,
    /// The first size is sent after another one, so that what runs on the terminal draws itself again.
    redraws: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The server accepts the streams.
    Opening,
    Running,
    /// The result is known. The connection has until the deadline to be closed.
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

impl<L: Leg> Running<L> {
    pub(super) fn new(
        link: Link<L>,
        pipes: Pipes,
        control: Control,
        (asked, verb): (StreamSet, Verb),
        limits: &Limits,
    ) -> Self {
        let outputs = [Channel::ERROR, Channel::STDOUT, Channel::STDERR];
        Self {
            phase: if link.leg.is_ready() { Phase::Running } else { Phase::Opening },
            link,
            pipes,
            control,
            deadline: Instant::now() + limits.stream_creation,
            held: None,
            stdin: if asked.stdin { Stdin::Open } else { Stdin::Ended },
            outputs: asked.channels(Subprotocol::V4).filter(|channel| outputs.contains(channel)).collect(),
            status: Vec::new(),
            is_too_long: false,
            result: None,
            tty: asked.tty,
            size: None,
            redraws: verb == Verb::Attach,
        }
    }

    /// Runs the session to its end. All output is in the pipes then.
    pub(super) fn run(mut self) -> Result<Exit, SessionError> {
        loop {
            let mut progress = self.receive();
            progress |= self.obey();
            progress |= self.read_stdin();
            progress |= self.link.write();
            progress |= self.link.read();
            progress |= self.time();
            if self.phase == Phase::Closing && self.held.is_none() {
                // Whoever reads to the end does not wait for the server to close.
                self.pipes = Pipes::default();
                if (self.link.is_closed() || Instant::now() >= self.deadline)
                    && let Some(result) = self.result.take()
                {
                    return result;
                }
            }
            if !progress {
                self.sleep();
            }
        }
    }

    /// Acts on what was received, as far as the caller takes the output.
    fn receive(&mut self) -> bool {
        let mut progress = false;
        loop {
            match self.deliver() {
                None => return progress,
                Some(delivered) => progress |= delivered,
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
                if self.link.eof && self.link.leg.can_receive() {
                    self.settle(false);
                    return true;
                }
                return progress;
            }
            progress = true;
            let consumed = step.consumed;
            match step.event {
                Some(Event::Data { channel: Channel::ERROR, range }) => self.collect(range),
                Some(Event::Data { channel, range }) => {
                    self.held = Some(Held { channel, range, consumed });
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
                        self.settle(true);
                    }
                }
                Some(Event::Status) => self.settle(true),
                Some(Event::End { clean }) => self.settle(clean),
                Some(Event::Accepted(_) | Event::Opened(_) | Event::Resize(_) | Event::Pong) | None => {}
            }
            self.link.input.consume(consumed);
        }
    }

    fn collect(&mut self, range: Range<usize>) {
        let piece = self.link.input.input().get(range).unwrap_or_default();
        if self.status.len() + piece.len() > STATUS {
            self.is_too_long = true;
        } else {
            self.status.extend_from_slice(piece);
        }
    }

    /// Hands the payload that is held to its pipe. True if there was any, `None` if the pipe is full.
    fn deliver(&mut self) -> Option<bool> {
        let Some(held) = &mut self.held else { return Some(false) };
        let pipe = self.pipes.output(held.channel);
        while let Some(writer) = pipe
            && !held.range.is_empty()
        {
            match writer.write(self.link.input.input().get(held.range.clone()).unwrap_or_default()) {
                Ok(count) => held.range.start += count,
                Err(error) if is_not_ready(&error) => return None,
                // Nobody reads it any more: what comes is thrown away.
                Err(_) => *pipe = None,
            }
        }
        self.link.input.consume(held.consumed);
        self.held = None;
        Some(true)
    }

    /// Does what the caller says.
    fn obey(&mut self) -> bool {
        let orders = self.control.take();
        if orders.detach && self.phase != Phase::Closing {
            // Whoever leaves does not wait for what is held up on the way to it.
            self.held = None;
            self.finish(Err(SessionError::Detached), Close::Normal);
            return true;
        }
        self.size = orders.size.or(self.size);
        if self.phase != Phase::Running || !self.tty {
            return false;
        }
        let Some(size) = self.size.take() else { return false };
        if mem::take(&mut self.redraws) {
            let (columns, rows) = (size.columns.saturating_add(1), size.rows.saturating_add(1));
            self.link.leg.resize(TerminalSize { columns, rows });
        }
        self.link.leg.resize(size);
        true
    }

    fn takes_stdin(&self) -> bool {
        self.phase == Phase::Running && self.stdin == Stdin::Open && self.link.takes_payload()
    }

    /// Frames what the caller sends, as far as there is room.
    fn read_stdin(&mut self) -> bool {
        let mut progress = false;
        if self.takes_stdin() {
            progress = self.fill();
        }
        if self.stdin == Stdin::Ending && self.phase == Phase::Running && self.link.takes_payload() {
            self.link.output.end_stream(&mut self.link.leg, Channel::STDIN);
            self.stdin = Stdin::Ended;
            progress = true;
        }
        progress
    }

    fn fill(&mut self) -> bool {
        let mut progress = false;
        while self.stdin == Stdin::Open {
            let space = self.link.output.payload_space();
            let len = space.len().min(PAYLOAD);
            if len < SMALLEST {
                break;
            }
            let read = match &mut self.pipes.stdin {
                Some(pipe) => pipe.read(space.get_mut(..len).unwrap_or_default()),
                None => Ok(0),
            };
            match read {
                Err(error) if is_not_ready(&error) => break,
                Ok(count @ 1..)
                    if self.link.output.payload(&mut self.link.leg, Channel::STDIN, false, count) => {}
                _ => self.end_stdin(),
            }
            progress = true;
        }
        progress
    }

    fn end_stdin(&mut self) {
        if self.stdin == Stdin::Open {
            self.stdin = Stdin::Ending;
        }
        self.pipes.stdin = None;
    }

    fn time(&mut self) -> bool {
        match self.phase {
            Phase::Opening if Instant::now() >= self.deadline => {
                self.finish(Err(SessionError::StreamCreationTimeout), Close::Internal);
                true
            }
            Phase::Running if self.link.is_silent(self.held.is_some()) => {
                self.link.eof = true;
                self.finish(Err(SessionError::Silent), Close::Normal);
                true
            }
            _ => false,
        }
    }

    /// The server has ended the session, `in_order` or not: what it has told decides.
    fn settle(&mut self, in_order: bool) {
        let result = if self.is_too_long {
            Err(SessionError::Status(format!("it is longer than {STATUS} bytes")))
        } else if in_order || self.outputs.is_only(Channel::ERROR) {
            match Settled::of(&self.status, self.link.leg.status_is_json(), in_order) {
                Settled::Exit(code) => Ok(Exit { code }),
                Settled::Failed(failure) => Err(SessionError::Failed {
                    code: failure.code,
                    reason: failure.reason.to_string(),
                    message: failure.message.to_string(),
                }),
                Settled::FailedText(text) => {
                    Err(SessionError::failed(format!("error executing remote command: {text}")))
                }
                Settled::Missing => Err(self.lost("the exit status")),
                Settled::Malformed(error) => Err(SessionError::Status(error.to_string())),
            }
        } else {
            Err(self.lost("the end of the output"))
        };
        self.finish(result, Close::Normal);
    }

    fn lost(&mut self, missing: &'static str) -> SessionError {
        let Link { read_error, write_error, .. } = &mut self.link;
        SessionError::lost(missing, read_error.take().or_else(|| write_error.take()))
    }

    fn finish(&mut self, result: Result<Exit, SessionError>, reason: Close) {
        if self.phase == Phase::Closing {
            return;
        }
        self.result = Some(result);
        self.phase = Phase::Closing;
        self.pipes.stdin = None;
        self.link.leg.close(reason);
        self.deadline = Instant::now() + CLOSE;
    }

    /// Until the connection or a pipe is ready, there is an order, or a deadline has passed.
    fn sleep(&mut self) {
        let takes_stdin = self.takes_stdin();
        let due = match self.phase {
            Phase::Running => self.link.deadline(),
            Phase::Opening | Phase::Closing => Some(self.deadline),
        };
        let left = due.map_or(LONGEST, |due| due.saturating_duration_since(Instant::now()));
        let stdin = self.pipes.stdin.as_ref().filter(|_| takes_stdin);
        let full = self.held.as_ref().and_then(|held| self.pipes.full(held.channel));
        let waiting = [
            self.link.interest(),
            Some(PollFd::new(&self.control, PollFlags::IN)),
            stdin.map(|pipe| PollFd::new(pipe, PollFlags::IN)),
            full.map(|pipe| PollFd::new(pipe, PollFlags::OUT)),
        ];
        let mut waiting: Vec<_> = waiting.into_iter().flatten().collect();
        if let Err(error) = sleep_on(&mut waiting, left) {
            tracing::debug!(%error, "cannot poll");
            std::thread::sleep(LOOK);
        }
    }
}

impl Pipes {
    const fn output(&mut self, channel: Channel) -> &mut Option<PipeWriter> {
        if channel.number() == Channel::STDOUT.number() { &mut self.stdout } else { &mut self.stderr }
    }

    fn full(&self, channel: Channel) -> Option<&PipeWriter> {
        if channel == Channel::STDOUT { self.stdout.as_ref() } else { self.stderr.as_ref() }
    }
}
