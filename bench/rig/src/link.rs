use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::net::sockopt::set_socket_linger;
use strait::Limits;
use strait::leg::{Event, Framing};

/// What one read takes at most.
const READ: usize = 256 * 1024;
/// A peer that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// The rig's own ends send no heartbeats, and answer those of others.
pub(crate) const LIMITS: Limits =
    Limits { ping_interval: Duration::ZERO, idle: Duration::ZERO, ..Limits::HOST };

/// The sending half of a connection: whole frames, of whichever thread.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// Not a second descriptor, of which there are none to spare.
    stream: Arc<TcpStream>,
    turn: Arc<Mutex<()>>,
}

impl Output {
    pub(crate) fn write(&self, frames: &[u8]) -> Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        (&*self.stream).write_all(frames).context("cannot write")
    }
}

/// A leg that has to wait before a session can begin.
pub(crate) trait Opening: Framing {
    /// All streams are there.
    fn is_open(&self) -> bool;
}

/// The receiving half of a connection, whose leg answers what wants an answer.
pub(crate) struct Link<L> {
    stream: Arc<TcpStream>,
    output: Output,
    pub(crate) leg: L,
    buffer: Vec<u8>,
    filled: usize,
}

impl<L: Framing> Link<L> {
    /// `behind` is what was received behind the head of the upgrade.
    pub(crate) fn new(stream: TcpStream, leg: L, behind: &[u8], room: Room) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let stream = Arc::new(stream);
        let output = Output { stream: Arc::clone(&stream), turn: Arc::default() };
        let size = match room {
            Room::Bulk => READ,
            Room::Little => 4 * 1024,
        };
        let mut buffer = vec![0; size.max(2 * behind.len())];
        buffer[..behind.len()].copy_from_slice(behind);
        Ok(Self { stream, output, leg, buffer, filled: behind.len() })
    }

    pub(crate) fn output(&self) -> Output {
        self.output.clone()
    }

    /// Reads once, and tells what was in it. False at the end of the connection.
    pub(crate) fn read(&mut self, on: impl FnMut(&mut L, Event, &[u8]) -> Result<()>) -> Result<bool> {
        let count = (&*self.stream).read(&mut self.buffer[self.filled..]).context("cannot read")?;
        self.filled += count;
        self.received(on)?;
        Ok(count > 0)
    }

    /// Tells what is in that which was received already, and answers it.
    pub(crate) fn received(&mut self, mut on: impl FnMut(&mut L, Event, &[u8]) -> Result<()>) -> Result<()> {
        let mut at = 0;
        loop {
            let input = &mut self.buffer[at..self.filled];
            let step = self.leg.receive(input)?;
            if step.consumed == 0 && step.event.is_none() {
                if self.leg.pending().is_empty() {
                    break;
                }
                // It may have stopped for want of room.
                self.answer()?;
                continue;
            }
            if let Some(event) = step.event {
                on(&mut self.leg, event, input)?;
            }
            at += step.consumed;
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }

    /// Writes what the leg has to say: what leaves may make room for more.
    pub(crate) fn answer(&mut self) -> Result<()> {
        while !self.leg.pending().is_empty() {
            let pending = self.leg.pending();
            let count = pending.len();
            self.output.write(pending)?;
            self.leg.sent(count);
        }
        Ok(())
    }

    /// Tells it from all others of this program.
    pub(crate) fn number(&self) -> i32 {
        self.stream.as_raw_fd()
    }

    /// Ends this side's half.
    pub(crate) fn shut_down(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection at once, with an RST, when the last of its outputs is dropped.
    pub(crate) fn reset(self) -> Result<()> {
        Ok(set_socket_linger(&*self.stream, Some(Duration::ZERO))?)
    }

    /// Reads to the end of the connection, whatever comes. The session has ended: Go's handlers reset what is left of it.
    pub(crate) fn drain(&mut self) {
        while matches!(self.read(|_, _, _| Ok(())), Ok(true)) {}
    }
}

impl<L> std::os::fd::AsFd for Link<L> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// How much a link reads at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Bulk,
    Little,
}
