use std::io::{self, IoSlice, Read as _, Write as _};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use strait::Limits;
use strait::bridge::{Lane, Turn};
use strait::leg::Framing;

use super::Connection;
use crate::wait::{Io as _, is_not_ready};

/// Bytes of the buffer of each direction: a handful of messages go through with one read and one write.
const BUFFER: usize = 160 * 1024;

/// Slices of one vectored write.
const SLICES: usize = 16;

/// One connection to a server, the leg that is spoken on it, and a buffer for each direction.
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one connection")]
pub(super) struct Link<L> {
    io: Connection,
    pub(super) leg: L,
    pub(super) input: Lane<Vec<u8>>,
    pub(super) output: Lane<Vec<u8>>,
    turn: Turn,
    /// The server sends nothing more.
    pub(super) eof: bool,
    shut: bool,
    /// What was written may not have left.
    unflushed: bool,
    /// A write has to wait.
    is_full: bool,
    /// Nothing can be written any more. What the server has sent is still read.
    pub(super) write_error: Option<io::Error>,
    pub(super) read_error: Option<io::Error>,
    ping_interval: Duration,
    peer_timeout: Duration,
    next_ping: Instant,
    /// When the server sent something last, or was not asked to.
    heard: Instant,
    /// Data was written to the server since: it may be busy with it, and deaf behind it.
    busy: bool,
}

impl<L: Framing> Link<L> {
    pub(super) fn new(io: Connection, leg: L, behind: &[u8], limits: &Limits) -> Self {
        let mut input = Lane::new(vec![0; BUFFER]);
        // What comes behind a head is shorter than the buffer.
        for (to, from) in input.space().iter_mut().zip(behind) {
            *to = *from;
        }
        input.received(behind.len());
        Self {
            io,
            output: Lane::to_leg(vec![0; BUFFER], &leg),
            leg,
            input,
            turn: Turn::new(),
            eof: false,
            shut: false,
            unflushed: false,
            is_full: false,
            write_error: None,
            read_error: None,
            ping_interval: limits.ping_interval,
            peer_timeout: limits.peer_timeout,
            next_ping: Instant::now() + limits.ping_interval,
            heard: Instant::now(),
            busy: false,
        }
    }

    pub(super) fn has_output(&self) -> bool {
        self.output.has_output() || !self.leg.pending().is_empty()
    }

    /// True if payload of the caller's can be put into the output.
    pub(super) fn takes_payload(&self) -> bool {
        !self.output.has_output() && self.write_error.is_none()
    }

    /// Writes what there is, as far as it goes without waiting.
    pub(super) fn write(&mut self) -> bool {
        self.is_full = false;
        if !self.has_output() {
            return self.flush();
        }
        if self.write_error.is_some() || self.shut {
            self.output.discard_output();
            self.turn = Turn::new();
            let pending = self.leg.pending().len();
            self.leg.sent(pending);
            return false;
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (to, from) in slices.iter_mut().zip(self.turn.output(self.leg.pending(), &self.output)) {
            *to = IoSlice::new(from);
            count += 1;
        }
        match self.io.write_vectored(slices.get(..count).unwrap_or_default()) {
            Ok(0) => self.write_error = Some(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                let pending = self.leg.pending().len();
                let control = self.turn.written(pending, &mut self.output, count);
                self.leg.sent(control);
                self.busy |= control < count;
                self.unflushed = true;
            }
            Err(error) if is_not_ready(&error) => {
                self.is_full = true;
                return false;
            }
            Err(error) => self.write_error = Some(error),
        }
        true
    }

    /// Sees that what was written leaves: TLS may still hold it.
    fn flush(&mut self) -> bool {
        if !self.unflushed || self.write_error.is_some() {
            return false;
        }
        match self.io.flush() {
            Ok(()) => self.unflushed = false,
            Err(error) if is_not_ready(&error) => self.is_full = true,
            Err(error) => {
                self.write_error = Some(error);
                return true;
            }
        }
        false
    }

    /// Reads what there is, as far as there is room.
    pub(super) fn read(&mut self) -> bool {
        let space = self.input.space();
        if self.eof || space.is_empty() {
            return false;
        }
        match self.io.read(space) {
            Ok(count) => {
                self.input.received(count);
                self.eof = count == 0;
                (self.heard, self.busy) = (Instant::now(), false);
            }
            Err(error) if is_not_ready(&error) => return false,
            Err(error) => {
                self.eof = true;
                self.read_error = Some(error);
            }
        }
        true
    }

    /// Asks for a sign of life from time to time. True if the server owes one for too long. It owes none while `is_deaf`: nobody
    /// hears it while the caller takes no output. Nor does one that has input to deal with.
    pub(super) fn is_silent(&mut self, is_deaf: bool) -> bool {
        let now = Instant::now();
        if self.ping_interval.is_zero() || now < self.next_ping {
            return false;
        }
        self.next_ping = now + self.ping_interval;
        if self.busy || is_deaf || self.has_output() || self.peer_timeout.is_zero() {
            self.heard = now;
        }
        self.leg.ping();
        now.duration_since(self.heard) > self.peer_timeout
    }

    /// When [`is_silent`](Self::is_silent) is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.ping_interval.is_zero()).then_some(self.next_ping)
    }

    /// Ends this side's half when all is written. True if the server has ended its own. Until then, what it sends is read: to drop a
    /// socket with unread bytes would take our last words away from it.
    pub(super) fn is_closed(&mut self) -> bool {
        if !self.shut && ((!self.has_output() && !self.unflushed) || self.write_error.is_some()) {
            self.shut = true;
            self.io.shut_down();
        }
        self.eof
    }

    /// What of the connection is waited for, if anything.
    pub(super) fn interest(&mut self) -> Option<PollFd<'_>> {
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN, !self.eof && !self.input.space().is_empty());
        wanted.set(PollFlags::OUT, self.is_full && self.write_error.is_none());
        (!wanted.is_empty()).then(|| PollFd::new(self.io.socket(), wanted))
    }
}
