use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{SockRef, TcpKeepalive};
use strait::bridge::Peer;

/// The longest time that a thread sleeps before it looks whether it has to stop.
pub(crate) const LOOK: Duration = Duration::from_millis(200);

/// A peer that vanished without a word while nothing is sent is found after 60 s and four probes 15 s apart.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_mins(1))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// Waits for one socket, until a deadline or until nobody wants any more what it brings. All sockets are non-blocking.
#[derive(Clone, Copy)]
pub(crate) struct Patience<'a> {
    deadline: Instant,
    is_over: &'a dyn Fn() -> bool,
}

/// Bytes over a socket that can be waited for.
pub(crate) trait Io: Read + Write {
    /// What is waited for.
    fn socket(&self) -> &TcpStream;
}

impl Io for &TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl<'a> Patience<'a> {
    /// For `time` from now on.
    pub(crate) fn new(time: Duration, is_over: &'a dyn Fn() -> bool) -> Self {
        Self { deadline: Instant::now() + time, is_over }
    }

    /// The same, for `time` from now on.
    pub(crate) fn anew(self, time: Duration) -> Self {
        Self { deadline: Instant::now() + time, ..self }
    }

    /// Waits until `io` is ready.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `ConnectionAborted` if it is over before.
    pub(crate) fn wait(&self, io: impl AsFd, ready: PollFlags) -> io::Result<()> {
        loop {
            if (self.is_over)() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if sleep_on(&mut [PollFd::new(&io, ready)], left.min(LOOK))? {
                return Ok(());
            }
        }
    }

    /// Reads what there is, once there is something.
    pub(crate) fn read(&self, io: &mut impl Io, space: &mut [u8]) -> io::Result<usize> {
        loop {
            match io.read(space) {
                Err(error) if is_not_ready(&error) => self.wait(io.socket(), PollFlags::IN)?,
                result => return result,
            }
        }
    }

    /// Writes all of `bytes`.
    pub(crate) fn write_all(&self, io: &mut impl Io, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match io.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if is_not_ready(&error) => self.wait(io.socket(), PollFlags::OUT)?,
                Err(error) => return Err(error),
            }
        }
        loop {
            match io.flush() {
                Err(error) if is_not_ready(&error) => self.wait(io.socket(), PollFlags::OUT)?,
                result => return result,
            }
        }
    }
}

/// Sleeps until one of `waiting` is ready, which is true, or for `time`.
pub(crate) fn sleep_on(waiting: &mut [PollFd<'_>], time: Duration) -> io::Result<bool> {
    let tv_sec = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let timeout = Timespec { tv_sec, tv_nsec: i64::from(time.subsec_nanos()) };
    match poll(waiting, Some(&timeout)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Sets a connection up as sessions want it.
pub(crate) fn prepare(io: &TcpStream) -> io::Result<()> {
    io.set_nonblocking(true)?;
    io.set_nodelay(true)?;
    SockRef::from(io).set_tcp_keepalive(&KEEPALIVE)
}

/// What is known of the other end of a connection, data that waits notwithstanding.
pub(crate) fn peer(io: &TcpStream) -> Peer {
    let mut sockets = [PollFd::new(io, PollFlags::RDHUP)];
    if sleep_on(&mut sockets, Duration::ZERO).is_err() {
        return Peer::Connected;
    }
    let [socket] = sockets;
    let seen = socket.revents();
    if seen.intersects(PollFlags::HUP | PollFlags::ERR) {
        Peer::Gone
    } else if seen.contains(PollFlags::RDHUP) {
        Peer::HalfClosed
    } else {
        Peer::Connected
    }
}

/// The end of this connection will be an RST, at once: not a FIN behind data that the peer does not take.
pub(crate) fn abort(io: &TcpStream) {
    if let Err(error) = SockRef::from(io).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "the connection ends slowly");
    }
}

pub(crate) fn is_not_ready(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
