use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use rustix::event::{self, PollFd, PollFlags, Timespec};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::stream::Stream;

/// How often a peer is looked at from which nothing is read. A loss shows within two looks.
const INTERVAL: Duration = Duration::from_millis(400);

const NOT_AT_ALL: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Looks after a peer from which nothing is read, because nobody takes what it has sent.
///
/// The end of a connection is read behind its last byte, so a peer that dies while its data waits would be missed until two
/// heartbeats have failed: the first brings its system's RST, and the second one its error. TCP knows earlier:
///
/// * After an **RST** nothing that is written arrives: the peer is gone, whatever of it waits.
/// * A **FIN** says only that the peer sends nothing more. It may still read, and what it sent may be wanted, so this is
///   no loss. But it is a reason to ask: the system of a peer that reads nothing either answers any byte with an RST.
///
/// While data of the peer moves, however slowly, nothing is looked at: its end is read in its turn. (Go's servers and clients
/// look at nothing here, and find such a peer by their heartbeats.)
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The peer is read from: the end of the connection will wake whoever waits for it.
    pub(crate) is_read: bool,
    /// Until the next look. Made when it is needed first.
    timer: Option<Pin<Box<Sleep>>>,
    is_set: bool,
    /// What had been received when it was set.
    received: u64,
    /// The peer was asked.
    asked: bool,
}

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Nothing,
    /// The peer sends nothing more: to be asked, once, whether it reads.
    Ask,
    /// The peer is gone.
    Gone,
}

/// What the system knows of the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Connected,
    /// It has sent a FIN, which may wait behind data.
    HalfClosed,
    /// It has sent an RST, or was given up.
    Gone,
}

/// A connection, beyond its bytes.
pub(crate) trait Tcp {
    /// What is known of the peer, data that waits notwithstanding.
    fn peer(&self) -> Peer {
        Peer::Connected
    }

    /// The end of this connection will be an RST, at once: not a FIN behind data that the peer does not take.
    fn abort(&self) {}
}

impl Watch {
    /// Call it before each sleep; it wakes the caller for the next look. `received` counts bytes.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, io: &impl Tcp, received: u64) -> Seen {
        // Once set, it stays: back-pressure comes and goes a thousand times a second.
        if self.is_read && !self.is_set {
            return Seen::Nothing;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(INTERVAL)));
        if self.is_set && timer.as_mut().poll(cx).is_pending() {
            return Seen::Nothing;
        }
        let is_due = std::mem::replace(&mut self.is_set, !self.is_read);
        if self.is_read {
            return Seen::Nothing;
        }
        timer.as_mut().reset(Instant::now() + INTERVAL);
        // It has to know whom to wake.
        let _ = timer.as_mut().poll(cx);
        let has_moved = std::mem::replace(&mut self.received, received) != received;
        if !is_due || has_moved {
            return Seen::Nothing;
        }
        match io.peer() {
            Peer::Gone => Seen::Gone,
            Peer::HalfClosed if !self.asked => {
                self.asked = true;
                Seen::Ask
            }
            Peer::HalfClosed | Peer::Connected => Seen::Nothing,
        }
    }
}

/// Waits until a client that has sent its request closes its sending half: it wants no answer any more. So does Go's HTTP
/// server take it, and with it upstream.
pub(crate) async fn gone(client: &impl Tcp) {
    while client.peer() == Peer::Connected {
        sleep(INTERVAL).await;
    }
}

impl Tcp for Stream {
    fn peer(&self) -> Peer {
        self.tcp().peer()
    }

    fn abort(&self) {
        self.tcp().abort();
    }
}

impl Tcp for TcpStream {
    fn peer(&self) -> Peer {
        let mut sockets = [PollFd::new(self, PollFlags::RDHUP)];
        if event::poll(&mut sockets, Some(&NOT_AT_ALL)).is_err() {
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

    fn abort(&self) {
        if let Err(error) = SockRef::from(self).set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "the connection ends slowly");
        }
    }
}

#[cfg(test)]
impl Tcp for tokio::io::DuplexStream {}

#[cfg(test)]
impl<T> Tcp for tokio::io::BufStream<T> {}

#[cfg(test)]
mod tests;
