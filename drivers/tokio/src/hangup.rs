use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use rustix::event::{self, PollFd, PollFlags, Timespec};
use socket2::SockRef;
use strait::bridge::{Hangup, Peer, Seen};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::stream::Stream;

const NOT_AT_ALL: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The timer of a [`Hangup`].
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The peer is read from: the end of the connection will wake whoever waits for it.
    pub(crate) is_read: bool,
    /// Until the next look. Made when it is needed first.
    timer: Option<Pin<Box<Sleep>>>,
    is_set: bool,
    hangup: Hangup,
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
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(Hangup::INTERVAL)));
        if self.is_set && timer.as_mut().poll(cx).is_pending() {
            return Seen::Nothing;
        }
        let is_due = std::mem::replace(&mut self.is_set, !self.is_read);
        if self.is_read {
            return Seen::Nothing;
        }
        timer.as_mut().reset(Instant::now() + Hangup::INTERVAL);
        // It has to know whom to wake.
        let _ = timer.as_mut().poll(cx);
        if !is_due {
            self.hangup.begin(received);
            return Seen::Nothing;
        }
        self.hangup.look(received, || io.peer())
    }
}

/// Waits until a client that has sent its request closes its sending half: it wants no answer any more. So does Go's HTTP
/// server take it, and with it upstream.
pub(crate) async fn gone(client: &impl Tcp) {
    while client.peer() == Peer::Connected {
        sleep(Hangup::INTERVAL).await;
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
