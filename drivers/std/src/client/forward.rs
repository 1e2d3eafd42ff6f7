use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use strait::Limits;
use strait::k8s::{Channel, PortChannel, PortStream, Ports};
use strait::leg::{Close, Event, PortsLeg, SpdyPorts, Tunnelled};
use strait::ws::MaskKeys;

use super::executor::Upgraded;
use super::link::Link;
use super::session::{CLOSE, LONGEST, PAYLOAD, SMALLEST};
use super::{SessionError, Transport};
use crate::wait::{LOOK, is_not_ready, sleep_on};

/// Most bytes of an error text that are kept; more say no more.
const TEXT: usize = 64 * 1024;

const DATA: Channel = PortChannel { index: 0, stream: PortStream::Data }.channel();
const ERROR: Channel = PortChannel { index: 0, stream: PortStream::Error }.channel();

/// A connection to a port of a pod that the server has agreed to, and that has not begun. Whether the port can be dialled shows
/// later.
#[derive(Debug)]
pub struct Forwarding {
    upgraded: Upgraded,
    port: u16,
    limits: Limits,
    seed: [u8; 16],
}

impl Forwarding {
    pub(super) const fn new(upgraded: Upgraded, port: u16, limits: Limits, seed: [u8; 16]) -> Self {
        Self { upgraded, port, limits, seed }
    }

    /// What carries it: [`Transport::WebSocket`] or [`Transport::Spdy`].
    pub const fn transport(&self) -> Transport {
        self.upgraded.transport
    }

    /// Copies between `local` and the port until both have ended, with half-closes, and says how it ended. `local` is made
    /// non-blocking. It is reset if the other end is, as far as its system can.
    pub fn join(self, local: impl Into<Local>) -> Result<(), SessionError> {
        let Self { upgraded: Upgraded { io, behind, transport, .. }, port, limits, seed } = self;
        let local = local.into();
        local.set_nonblocking().map_err(SessionError::Local)?;
        let ports = SpdyPorts::<1>::client(Ports::one(port), &limits);
        if transport == Transport::Spdy {
            return Running::new(Link::new(io, ports, &behind, &limits), local, limits).run();
        }
        strait_simd::install();
        let leg = Tunnelled::client(ports, &limits, MaskKeys::new(seed));
        Running::new(Link::new(io, leg, &behind, &limits), local, limits).run()
    }

    /// Runs it in a thread of its own, with a stream to read from and write to.
    pub fn spawn(self) -> io::Result<Forwarded> {
        let (near, far) = UnixStream::pair()?;
        let thread = thread::Builder::new().name("forward".into()).spawn(move || self.join(far))?;
        Ok(Forwarded { stream: near, thread })
    }
}

/// A connection to a port of a pod, which blocks. [`shutdown`](Self::shutdown) is the half-close; dropped, it ends.
///
/// The end of what is read may be a failure: [`result`](Self::result) says which.
#[derive(Debug)]
pub struct Forwarded {
    stream: UnixStream,
    thread: JoinHandle<Result<(), SessionError>>,
}

impl Forwarded {
    /// Half-closes it: nothing more is written.
    pub fn shutdown(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Its stream, for another thread or for time-outs.
    pub const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Ends the connection if it has not ended, and says how it ended.
    pub fn result(self) -> Result<(), SessionError> {
        drop(self.stream);
        // It has panicked otherwise.
        self.thread.join().unwrap_or(Err(SessionError::lost("the end of the connection", None)))
    }
}

impl Read for Forwarded {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.stream.read(space)
    }
}

impl Write for Forwarded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end of a forwarded connection at this end.
#[derive(Debug)]
pub enum Local {
    /// Over TCP.
    Tcp(TcpStream),
    /// On this host.
    Unix(UnixStream),
}

impl From<TcpStream> for Local {
    fn from(io: TcpStream) -> Self {
        Self::Tcp(io)
    }
}

impl From<UnixStream> for Local {
    fn from(io: UnixStream) -> Self {
        Self::Unix(io)
    }
}

impl Local {
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(io) => io.set_nonblocking(true),
            Self::Unix(io) => io.set_nonblocking(true),
        }
    }

    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(io) => io.read(space),
            Self::Unix(io) => io.read(space),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(io) => io.write(bytes),
            Self::Unix(io) => io.write(bytes),
        }
    }

    fn shut_down(&self) {
        // A connection that has gone already has no half to be closed.
        let _ = match self {
            Self::Tcp(io) => io.shutdown(Shutdown::Write),
            Self::Unix(io) => io.shutdown(Shutdown::Write),
        };
    }

    /// Its end will be a reset, where there is such a thing.
    fn abort(&self) {
        if let Self::Tcp(io) = self {
            crate::wait::abort(io);
        }
    }
}

impl AsFd for Local {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(io) => io.as_fd(),
            Self::Unix(io) => io.as_fd(),
        }
    }
}

/// Data that lies in the lane's input.
#[derive(Debug)]
struct Held {
    range: Range<usize>,
    /// What is consumed of the input when it is delivered.
    consumed: usize,
}

/// One forwarded connection.
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one connection")]
struct Running<L> {
    link: Link<L>,
    local: Local,
    limits: Limits,
    started: Instant,
    accepted: bool,
    /// Data that the local end has not taken yet.
    held: Option<Held>,
    /// The local end sends nothing more.
    local_ended: bool,
    /// The port sends nothing more.
    remote_ended: bool,
    /// The error stream says nothing more.
    told: bool,
    text: Vec<u8>,
    /// When both halves had ended, and something was written last.
    ended: Option<Instant>,
    /// The result, and until when the server may close.
    result: Option<(Result<(), SessionError>, Instant)>,
}

impl<L: PortsLeg> Running<L> {
    fn new(link: Link<L>, local: Local, limits: Limits) -> Self {
        Self {
            link,
            local,
            limits,
            started: Instant::now(),
            accepted: false,
            held: None,
            local_ended: false,
            remote_ended: false,
            told: false,
            text: Vec::new(),
            ended: None,
            result: None,
        }
    }

    fn run(mut self) -> Result<(), SessionError> {
        loop {
            let mut progress = self.receive();
            progress |= self.send();
            progress |= self.write();
            progress |= self.link.read();
            progress |= self.time();
            if let Some((result, deadline)) = self.result.take() {
                if self.link.is_closed() || Instant::now() >= deadline {
                    return result;
                }
                self.result = Some((result, deadline));
            }
            if !progress {
                self.sleep();
            }
        }
    }

    fn receive(&mut self) -> bool {
        let mut progress = false;
        loop {
            match self.deliver() {
                None => return progress,
                Some(delivered) => progress |= delivered,
            }
            if self.result.is_some() {
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
                    self.lost();
                    return true;
                }
                return progress;
            }
            progress = true;
            let consumed = step.consumed;
            match step.event {
                Some(Event::Data { channel: ERROR, range }) => {
                    let piece = self.link.input.input().get(range).unwrap_or_default();
                    let room = TEXT.saturating_sub(self.text.len());
                    self.text.extend(piece.iter().take(room));
                }
                Some(Event::Data { channel: DATA, range }) => {
                    self.held = Some(Held { range, consumed });
                    continue;
                }
                Some(Event::Accepted(DATA)) => self.accepted = true,
                Some(Event::HalfClosed(DATA)) => {
                    self.remote_ended = true;
                    self.local.shut_down();
                }
                // Some servers end well that way, too, when both halves have ended.
                Some(Event::Reset(DATA, status)) if !(self.remote_ended && self.local_ended) => {
                    self.local.abort();
                    self.fail(format!("the connection was reset: {status}"));
                }
                Some(Event::HalfClosed(ERROR) | Event::Reset(ERROR, _)) => self.told = true,
                Some(Event::End { .. }) => self.lost(),
                Some(_) | None => {}
            }
            self.link.input.consume(consumed);
            self.settle();
        }
    }

    /// Hands data that is held to the local end. True if there was any, `None` if that takes nothing.
    fn deliver(&mut self) -> Option<bool> {
        let Some(held) = &mut self.held else { return Some(false) };
        let mut failed = None;
        while !held.range.is_empty() {
            match self.local.write(self.link.input.input().get(held.range.clone()).unwrap_or_default()) {
                Ok(count @ 1..) => held.range.start += count,
                Err(error) if is_not_ready(&error) => return None,
                Ok(_) => failed = Some(io::ErrorKind::WriteZero.into()),
                Err(error) => failed = Some(error),
            }
            if failed.is_some() {
                break;
            }
        }
        let consumed = held.consumed;
        self.held = None;
        self.link.input.consume(consumed);
        if let Some(error) = failed {
            self.local_failed(error);
        }
        Some(true)
    }

    fn takes_local(&self) -> bool {
        self.link.leg.is_ready() && !self.local_ended && self.result.is_none() && self.link.takes_payload()
    }

    /// Frames what the local end sends, as far as there is room.
    fn send(&mut self) -> bool {
        let mut progress = false;
        while self.takes_local() || (progress && !self.local_ended) {
            let space = self.link.output.payload_space();
            let len = space.len().min(PAYLOAD);
            if len < SMALLEST {
                break;
            }
            match self.local.read(space.get_mut(..len).unwrap_or_default()) {
                Err(error) if is_not_ready(&error) => break,
                Ok(count @ 1..) => {
                    // A stream that was reset takes nothing: what it says of that comes.
                    self.link.output.payload(&mut self.link.leg, DATA, false, count);
                }
                Ok(_) => {
                    self.local_ended = true;
                    self.link.leg.half_close(DATA);
                    self.settle();
                }
                Err(error) => self.local_failed(error),
            }
            progress = true;
            if self.result.is_some() {
                break;
            }
        }
        progress
    }

    fn write(&mut self) -> bool {
        let wrote = self.link.write();
        if wrote && self.ended.is_some() {
            self.ended = Some(Instant::now());
            self.settle();
        }
        wrote
    }

    fn local_failed(&mut self, error: io::Error) {
        self.local_ended = true;
        self.link.leg.reset(DATA);
        self.finish(Err(SessionError::Local(error)), Close::Normal);
    }

    /// When both halves have ended, it remains what the server has to say about it.
    fn settle(&mut self) {
        if self.told && !self.text.is_empty() {
            return self.fail(String::new());
        }
        if self.local_ended && self.remote_ended {
            self.ended.get_or_insert_with(Instant::now);
            // Nothing that the port is sent stays behind.
            if self.told && (!self.link.has_output() || self.link.write_error.is_some()) {
                self.finish(Ok(()), Close::Normal);
            }
        }
    }

    /// It has failed, for the reason that the server gives, or for this one.
    fn fail(&mut self, otherwise: String) {
        let text = String::from_utf8_lossy(&self.text).into_owned();
        if !self.remote_ended {
            self.local.abort();
        }
        let text = if text.is_empty() { otherwise } else { text };
        self.finish(Err(SessionError::failed(text)), Close::Normal);
    }

    fn lost(&mut self) {
        if !self.text.is_empty() {
            return self.fail(String::new());
        }
        if self.ended.is_some() {
            return self.finish(Ok(()), Close::Normal);
        }
        self.local.abort();
        let Link { read_error, write_error, .. } = &mut self.link;
        let error = read_error.take().or_else(|| write_error.take());
        self.finish(Err(SessionError::lost("the end of the connection", error)), Close::Normal);
    }

    fn finish(&mut self, result: Result<(), SessionError>, reason: Close) {
        if self.result.is_none() {
            self.link.leg.close(reason);
            self.result = Some((result, Instant::now() + CLOSE));
        }
    }

    fn time(&mut self) -> bool {
        if self.result.is_some() {
            return false;
        }
        let now = Instant::now();
        if !self.accepted && now >= self.started + self.limits.stream_creation {
            self.local.abort();
            self.finish(Err(SessionError::StreamCreationTimeout), Close::Internal);
        } else if self.ended.is_some_and(|ended| now >= ended + self.limits.close) {
            // A server that says nothing more says nothing bad.
            self.finish(Ok(()), Close::Normal);
        } else if self.link.is_silent(self.held.is_some()) {
            self.link.eof = true;
            self.local.abort();
            self.finish(Err(SessionError::Silent), Close::Normal);
        } else if self.local_ended && !self.remote_ended && self.is_abandoned() {
            // Nobody is left to take what the port still says.
            self.link.leg.reset(DATA);
            self.finish(Err(SessionError::Detached), Close::Normal);
        } else {
            return false;
        }
        true
    }

    /// The local end has closed both its halves.
    fn is_abandoned(&self) -> bool {
        let mut local = [PollFd::new(&self.local, PollFlags::empty())];
        let hung_up = sleep_on(&mut local, Duration::ZERO).unwrap_or(false);
        let [local] = local;
        hung_up && local.revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }

    /// Until the connection or the local end is ready, or a deadline has passed.
    fn sleep(&mut self) {
        let takes_local = self.takes_local();
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN, takes_local);
        wanted.set(PollFlags::OUT, self.held.is_some());
        let due = [
            self.result.as_ref().map(|(_, deadline)| *deadline),
            self.link.deadline().filter(|_| self.result.is_none()),
            (!self.accepted).then(|| self.started + self.limits.stream_creation),
            self.ended.map(|ended| ended + self.limits.close),
            // Whether the local end is there is looked at.
            (self.local_ended && !self.remote_ended).then(|| Instant::now() + LOOK),
        ];
        let left = due.into_iter().flatten().min();
        let left = left.map_or(LONGEST, |due| due.saturating_duration_since(Instant::now()));
        let local = (!wanted.is_empty()).then(|| PollFd::new(&self.local, wanted));
        let mut waiting: Vec<_> = self.link.interest().into_iter().chain(local).collect();
        if let Err(error) = sleep_on(&mut waiting, left) {
            tracing::debug!(%error, "cannot poll");
            thread::sleep(LOOK);
        }
    }
}
