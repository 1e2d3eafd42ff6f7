use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use strait::bridge::{Bridge, Carried, Flow, Hangup, Lane, Outcome, Seen, Side};

use crate::overflow::Overflow;
use crate::stop::Stop;
use crate::wait::{LOOK, abort, is_not_ready, peer, sleep_on};

/// Bytes of a lane, one for each direction.
const LANE: usize = 64 * 1024;

/// Most pieces of output that one write takes.
const SLICES: usize = 64;

/// How long a session that was told to end may take to do so.
const STOP: Duration = Duration::from_secs(5);

/// What a session was.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// How it ended.
    pub outcome: Outcome,
    /// Payload that was passed on.
    pub carried: Carried,
    /// How long it took.
    pub duration: Duration,
}

/// Moves bytes between two sockets and a bridge: a session's whole life after its upgrades.
pub(crate) struct Session<B> {
    bridge: B,
    /// From the client to upstream.
    up: Lane<Vec<u8>>,
    /// From upstream to the client.
    down: Lane<Vec<u8>>,
    client: Socket,
    upstream: Option<Socket>,
    /// Input of the client for which there is no room in its lane.
    overflow: Overflow,
    /// Looks after the client while nothing is read from it.
    hangup: Hangup,
    next_look: Option<strait::Instant>,
    started: Instant,
    /// When it was told to end.
    stopped: Option<Instant>,
}

#[expect(clippy::struct_excessive_bools, reason = "two facts of each direction")]
struct Socket {
    io: TcpStream,
    received: u64,
    /// Nothing more comes.
    ended: bool,
    /// Nothing more is sent.
    shut: bool,
    wants_read: bool,
    wants_write: bool,
}

impl<B: Bridge> Session<B> {
    /// A session with a client that got its 101. `behind` is what it sent behind its request's head.
    pub(crate) fn new(mut bridge: B, client: TcpStream, behind: &[u8]) -> Self {
        let mut up = bridge.lane_to(Side::Upstream, vec![0; LANE]);
        let mut down = bridge.lane_to(Side::Client, vec![0; LANE]);
        bridge.greet(&mut down);
        let mut client = Socket::new(client);
        client.received += fill(&mut up, behind);
        Self {
            bridge,
            up,
            down,
            client,
            upstream: None,
            overflow: Overflow::default(),
            hangup: Hangup::default(),
            next_look: None,
            started: Instant::now(),
            stopped: None,
        }
    }

    /// The client's connection.
    pub(crate) const fn client(&self) -> &TcpStream {
        &self.client.io
    }

    /// Sends what a client gets before anything else, as far as it takes it.
    pub(crate) fn greet(&mut self) {
        self.write(Side::Client, self.now());
    }

    /// Upstream has answered the upgrade. `behind` is what it sent behind its answer's head.
    pub(crate) fn connected(&mut self, io: TcpStream, leg: B::Upstream, behind: &[u8]) {
        self.bridge.connected(leg, self.now());
        let mut socket = Socket::new(io);
        socket.received += fill(&mut self.down, behind);
        self.upstream = Some(socket);
    }

    /// Upstream cannot be reached, or refused with this Status.
    pub(crate) fn refused(&mut self, status: &[u8]) {
        self.bridge.refused(status, &mut self.down);
    }

    /// Runs to the end of both connections.
    pub(crate) fn run(mut self, stop: &Stop) -> Summary {
        while !self.is_finished() && !self.is_overdue(stop) {
            let now = self.now();
            let released = self.release(now);
            // Upstream first: what it says may set free what the client has sent.
            let moved = self.pump(Side::Upstream, now) | self.pump(Side::Client, now) | released;
            if !moved && !self.is_finished() && !self.look(now) {
                self.sleep();
                if self.bridge.deadline().is_some_and(|deadline| deadline <= self.now()) {
                    self.bridge.time(self.now());
                }
            }
        }
        self.end();
        Summary {
            outcome: self.bridge.outcome().unwrap_or(Outcome::ClientLost),
            carried: self.bridge.carried(),
            duration: self.started.elapsed(),
        }
    }

    /// True if it was told to end and takes too long. Tells it when it is time.
    fn is_overdue(&mut self, stop: &Stop) -> bool {
        match self.stopped {
            Some(since) => since.elapsed() >= STOP,
            None if stop.is_closing() => {
                self.stopped = Some(Instant::now());
                self.bridge.shut_down();
                false
            }
            None => false,
        }
    }

    /// Lets go of an upstream that has no part in what is left of the session. True if it did.
    fn release(&mut self, now: strait::Instant) -> bool {
        if self.upstream.is_none() || !self.bridge.is_done_with_upstream() {
            return false;
        }
        self.end();
        self.bridge.eof(Side::Upstream, now);
        true
    }

    /// Drops upstream's connection.
    fn end(&mut self) {
        let Some(socket) = self.upstream.take() else { return };
        let is_given_up = !socket.ended && !self.bridge.is_writable(Side::Upstream);
        if is_given_up && self.bridge.outcome() != Some(Outcome::Completed) {
            // It may not read what it was sent, so it would not see an end behind that.
            abort(&socket.io);
        }
    }

    /// Looks whether a client from which nothing is read is still there. True if that has changed something.
    fn look(&mut self, now: strait::Instant) -> bool {
        if self.client.wants_read || self.client.ended {
            self.next_look = None;
            return false;
        }
        match self.next_look {
            Some(at) if now < at => return false,
            Some(_) => {}
            None => self.hangup.begin(self.client.received),
        }
        let is_due = self.next_look.replace(now.after(Hangup::INTERVAL)).is_some();
        let io = &self.client.io;
        let seen = if is_due { self.hangup.look(self.client.received, || peer(io)) } else { Seen::Nothing };
        match seen {
            Seen::Nothing => return false,
            Seen::Ask => self.bridge.ask_client(),
            Seen::Gone => {
                tracing::debug!("the client is gone");
                self.client.ended = true;
                self.bridge.lost(Side::Client, now);
            }
        }
        true
    }

    fn is_finished(&self) -> bool {
        self.bridge.is_finished()
            && !self.bridge.has_output(Side::Client, &self.down)
            && !self.bridge.has_output(Side::Upstream, &self.up)
    }

    fn now(&self) -> strait::Instant {
        let millis = self.started.elapsed().as_millis();
        strait::Instant::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// Moves what comes from one side to the other one, as far as it goes without waiting.
    fn pump(&mut self, from: Side, now: strait::Instant) -> bool {
        let lane = match from {
            Side::Client => &mut self.up,
            Side::Upstream => &mut self.down,
        };
        let unread = lane.input().len();
        let flow = self.bridge.translate(from, lane, now);
        let mut moved = lane.input().len() < unread;
        for side in [from.other(), from] {
            moved |= self.write(side, now);
            self.shut_down(side);
        }
        moved | self.read(from, flow, now)
    }

    fn read(&mut self, side: Side, flow: Flow, now: strait::Instant) -> bool {
        let (socket, lane) = match side {
            Side::Client => (Some(&mut self.client), &mut self.up),
            Side::Upstream => (self.upstream.as_mut(), &mut self.down),
        };
        let Some(socket) = socket else { return false };
        let space = lane.space();
        socket.wants_read = flow != Flow::NeedWrite && !socket.ended && !space.is_empty();
        if !socket.wants_read {
            return side == Side::Client && flow != Flow::NeedWrite && self.hold(now);
        }
        // What was held of it comes first.
        if side == Side::Client
            && let Some(count) = self.overflow.give(space)
        {
            lane.received(count);
            return true;
        }
        let result = socket.io.read(space);
        if let Ok(count) = result {
            lane.received(count);
        }
        self.came(side, result, now)
    }

    /// Takes from a client for whose input there has been no room for a while.
    fn hold(&mut self, now: strait::Instant) -> bool {
        if self.client.ended {
            return false;
        }
        self.overflow.take(now, &self.client.io).is_some_and(|result| self.came(Side::Client, result, now))
    }

    /// Acts on the result of a read. False if nothing came of it.
    fn came(&mut self, side: Side, result: io::Result<usize>, now: strait::Instant) -> bool {
        let socket = match side {
            Side::Client => Some(&mut self.client),
            Side::Upstream => self.upstream.as_mut(),
        };
        let Some(socket) = socket else { return false };
        match result {
            Ok(0) => {
                socket.ended = true;
                self.bridge.eof(side, now);
            }
            Ok(count) => socket.received += count as u64,
            Err(error) if is_not_ready(&error) => return false,
            Err(error) => {
                tracing::debug!(?side, %error, "connection lost");
                socket.ended = true;
                self.bridge.lost(side, now);
            }
        }
        true
    }

    fn write(&mut self, side: Side, now: strait::Instant) -> bool {
        let (socket, lane) = match side {
            Side::Client => (Some(&mut self.client), &mut self.down),
            Side::Upstream => (self.upstream.as_mut(), &mut self.up),
        };
        if !self.bridge.has_output(side, lane) {
            if let Some(socket) = socket {
                socket.wants_write = false;
            }
            return false;
        }
        let Some(socket) = socket.filter(|_| self.bridge.is_writable(side)) else {
            self.bridge.discard_output(side, lane);
            return true;
        };
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (to, from) in slices.iter_mut().zip(self.bridge.output(side, lane)) {
            *to = IoSlice::new(from);
            count += 1;
        }
        let written = socket.io.write_vectored(slices.get(..count).unwrap_or_default());
        socket.wants_write = false;
        match written {
            Ok(count) if count > 0 => self.bridge.written(side, lane, count),
            Err(error) if is_not_ready(&error) => {
                socket.wants_write = true;
                return false;
            }
            Ok(_) => self.bridge.write_failed(side, now),
            Err(error) => {
                tracing::debug!(?side, %error, "cannot write");
                self.bridge.write_failed(side, now);
            }
        }
        true
    }

    fn shut_down(&mut self, side: Side) {
        let (socket, lane) = match side {
            Side::Client => (Some(&mut self.client), &self.down),
            Side::Upstream => (self.upstream.as_mut(), &self.up),
        };
        if let Some(socket) = socket
            && !socket.shut
            && self.bridge.shutdown_due(side)
            && !self.bridge.has_output(side, lane)
        {
            socket.shut = true;
            // A connection that is gone has no half to end.
            let _ = socket.io.shutdown(Shutdown::Write);
        }
    }

    /// Until a socket is ready, a deadline has passed, or it is time to look whether all has to stop.
    fn sleep(&self) {
        let deadline = [self.bridge.deadline(), self.overflow.deadline()].into_iter().flatten().min();
        // The engine's clock counts whole milliseconds; one more makes sure that the deadline has passed.
        let left = deadline.map(|deadline| deadline.since(self.now()) + Duration::from_millis(1));
        let left = left.map_or(LOOK, |left| left.min(LOOK));
        let sockets = [Some(&self.client), self.upstream.as_ref()];
        let mut waiting: Vec<_> = sockets.into_iter().flatten().filter_map(Socket::interest).collect();
        if let Err(error) = sleep_on(&mut waiting, left) {
            tracing::debug!(%error, "cannot poll");
            std::thread::sleep(left);
        }
    }
}

impl Socket {
    const fn new(io: TcpStream) -> Self {
        Self { io, received: 0, ended: false, shut: false, wants_read: false, wants_write: false }
    }

    fn interest(&self) -> Option<PollFd<'_>> {
        let read = if self.wants_read { PollFlags::IN } else { PollFlags::empty() };
        let write = if self.wants_write { PollFlags::OUT } else { PollFlags::empty() };
        // One that waits for nothing would wake us with its hang-up, again and again.
        (self.wants_read || self.wants_write).then(|| PollFd::new(&self.io, read | write))
    }
}

/// Puts what came behind a head into an empty lane.
fn fill(lane: &mut Lane<Vec<u8>>, behind: &[u8]) -> u64 {
    let space = lane.space();
    let count = behind.len().min(space.len());
    for (to, from) in space.iter_mut().zip(behind) {
        *to = *from;
    }
    lane.received(count);
    count as u64
}
