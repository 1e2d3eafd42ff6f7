use core::time::Duration;

/// What the system knows of the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// It is there, as far as is known.
    Connected,
    /// It has sent a FIN, which may wait behind data.
    HalfClosed,
    /// It has sent an RST, or was given up.
    Gone,
}

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Nothing,
    /// The peer sends nothing more: to be asked, once, whether it reads.
    Ask,
    /// The peer is gone.
    Gone,
}

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
#[derive(Debug, Clone, Copy, Default)]
pub struct Hangup {
    /// What had been received at the last look.
    received: u64,
    /// The peer was asked.
    asked: bool,
}

impl Hangup {
    /// How often a driver looks. A loss shows within two looks.
    pub const INTERVAL: Duration = Duration::from_millis(400);

    /// From now on nothing is read from the peer, which has sent `received` bytes. The first look comes an
    /// [`INTERVAL`](Self::INTERVAL) later.
    pub const fn begin(&mut self, received: u64) {
        self.received = received;
    }

    /// Looks: `peer` is asked only if nothing has come since the last look.
    pub fn look(&mut self, received: u64, peer: impl FnOnce() -> Peer) -> Seen {
        if core::mem::replace(&mut self.received, received) != received {
            return Seen::Nothing;
        }
        match peer() {
            Peer::Gone => Seen::Gone,
            Peer::HalfClosed if !core::mem::replace(&mut self.asked, true) => Seen::Ask,
            Peer::HalfClosed | Peer::Connected => Seen::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_asked_once_and_only_while_nothing_of_it_moves() {
        let mut hangup = Hangup::default();
        hangup.begin(10);
        assert_eq!(hangup.look(10, || Peer::Connected), Seen::Nothing);
        assert_eq!(hangup.look(11, || panic!("its data moves")), Seen::Nothing);
        assert_eq!(hangup.look(11, || Peer::HalfClosed), Seen::Ask);
        assert_eq!(hangup.look(11, || Peer::HalfClosed), Seen::Nothing);
        assert_eq!(hangup.look(11, || Peer::Gone), Seen::Gone);
    }

    #[test]
    fn what_came_before_reading_stopped_does_not_hide_a_loss_from_the_first_look() {
        let mut hangup = Hangup::default();
        hangup.begin(10);
        assert_eq!(hangup.look(10, || Peer::Gone), Seen::Gone);
    }
}
