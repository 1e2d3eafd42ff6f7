use core::fmt;

use super::frame::{RstStatus, StreamId};
use crate::Role;

/// The open streams of one connection, at most `N`, and the ids that were used up.
///
/// A stream is forgotten when both halves are closed or when it was reset. What arrives for a stream
/// that is not in the table is to be dropped, without an answer (SPDY/3.1 draft section 2.3.7, as spdystream
/// practises it).
#[derive(Debug, Clone)]
pub struct Streams<const N: usize> {
    slots: [Option<(StreamId, StreamState)>; N],
    /// The lowest id that the peer may open next.
    peer_next: u32,
    /// The id that we open next.
    own_next: u32,
    last_accepted: Option<StreamId>,
    going_away: bool,
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four facts, of which any combination occurs")]
pub struct StreamState {
    /// Opened by this end.
    pub own: bool,
    /// The acceptor's `SYN_REPLY` was sent or received.
    pub replied: bool,
    /// This end may still send.
    pub local_open: bool,
    /// The peer may still send.
    pub remote_open: bool,
}

impl<const N: usize> Streams<N> {
    /// An empty table for the end `role`.
    pub const fn new(role: Role) -> Self {
        let (own_next, peer_next) = match role {
            Role::Client => (1, 2),
            Role::Server => (2, 1),
        };
        Self { slots: [None; N], peer_next, own_next, last_accepted: None, going_away: false }
    }

    /// Opens a stream of ours with the next id; its `SYN_STREAM` must leave before that of any later one.
    pub fn open(&mut self) -> Result<StreamId, OpenError> {
        if self.going_away {
            return Err(OpenError::GoingAway);
        }
        let id = StreamId::new(self.own_next).ok_or(OpenError::IdsExhausted)?;
        self.insert(id, true).ok_or(OpenError::TableFull)?;
        self.own_next += 2;
        Ok(id)
    }

    /// The peer sent a `SYN_STREAM`. Its id must be higher by 2 than that of the last one; its parity is not
    /// looked at, as upstream.
    pub fn peer_opened(&mut self, id: StreamId) -> Result<(), Refusal> {
        if self.going_away {
            return Err(Refusal::GoingAway);
        }
        if id.get() < self.peer_next || self.get(id).is_some() {
            return Err(Refusal::IdInUse);
        }
        self.peer_next = id.get().saturating_add(2);
        self.insert(id, false).ok_or(Refusal::TableFull)?;
        self.last_accepted = Some(id);
        Ok(())
    }

    /// The `SYN_REPLY` of a stream was sent or received. False if the stream is unknown or has had one.
    pub fn replied(&mut self, id: StreamId) -> bool {
        self.state_mut(id).is_some_and(|state| !core::mem::replace(&mut state.replied, true))
    }

    /// What to do with DATA that arrives for this stream.
    #[inline]
    pub fn receives(&self, id: StreamId) -> DataVerdict {
        match self.get(id) {
            Some(state) if !state.remote_open => DataVerdict::Drop,
            Some(state) if state.own && !state.replied => DataVerdict::BeforeReply,
            Some(_) => DataVerdict::Deliver,
            None => DataVerdict::Drop,
        }
    }

    /// The peer finished its half. False if it had already, or the stream is unknown.
    pub fn remote_fin(&mut self, id: StreamId) -> bool {
        self.close_half(id, |state| core::mem::take(&mut state.remote_open))
    }

    /// This end finished its half. False if it had already, or the stream is unknown.
    pub fn local_fin(&mut self, id: StreamId) -> bool {
        self.close_half(id, |state| core::mem::take(&mut state.local_open))
    }

    /// An `RST_STREAM` was sent or received: forgets the stream, and says how far it had come.
    pub fn reset(&mut self, id: StreamId) -> Option<StreamState> {
        let slot = self.slots.iter_mut().find(|slot| holds(**slot, id))?;
        slot.take().map(|(_, state)| state)
    }

    /// A GOAWAY was sent or received: no more streams are opened, by either end.
    pub const fn going_away(&mut self) {
        self.going_away = true;
    }

    /// The highest stream of the peer that was accepted: what a GOAWAY tells.
    pub const fn last_accepted(&self) -> Option<StreamId> {
        self.last_accepted
    }

    /// The state of an open stream.
    #[inline]
    pub fn get(&self, id: StreamId) -> Option<StreamState> {
        self.slots.iter().find(|slot| holds(**slot, id)).copied().flatten().map(|(_, state)| state)
    }

    /// The open streams, in no particular order. The end that closes the connection resets all that have
    /// `local_open`.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, StreamState)> {
        self.slots.iter().copied().flatten()
    }

    /// True if no stream is open.
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    fn insert(&mut self, id: StreamId, own: bool) -> Option<()> {
        let state = StreamState { own, replied: false, local_open: true, remote_open: true };
        *self.slots.iter_mut().find(|slot| slot.is_none())? = Some((id, state));
        Some(())
    }

    fn state_mut(&mut self, id: StreamId) -> Option<&mut StreamState> {
        self.slots.iter_mut().flatten().find(|(open, _)| *open == id).map(|(_, state)| state)
    }

    fn close_half(&mut self, id: StreamId, close: impl FnOnce(&mut StreamState) -> bool) -> bool {
        let Some(slot) = self.slots.iter_mut().find(|slot| holds(**slot, id)) else { return false };
        let Some((_, state)) = slot else { return false };
        let closed = close(state);
        if !state.local_open && !state.remote_open {
            *slot = None;
        }
        closed
    }
}

#[inline]
fn holds(slot: Option<(StreamId, StreamState)>, id: StreamId) -> bool {
    matches!(slot, Some((open, _)) if open == id)
}

/// What to do with received DATA. See [`Streams::receives`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataVerdict {
    /// It belongs to an open stream.
    Deliver,
    /// It came ahead of the `SYN_REPLY` that must precede it. Upstream drops it silently.
    BeforeReply,
    /// The stream is unknown or the peer has finished its half: drop it, without an answer.
    Drop,
}

/// Why no stream can be opened by this end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// The table has no free entry.
    TableFull,
    /// All ids of this connection were used.
    IdsExhausted,
    /// A GOAWAY was sent or received.
    GoingAway,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TableFull => "too many open streams",
            Self::IdsExhausted => "no stream ids are left",
            Self::GoingAway => "the connection is going away",
        })
    }
}

impl core::error::Error for OpenError {}

/// Why a stream of the peer is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The id is not higher than that of the peer's last stream, or is that of an open one.
    IdInUse,
    /// The table has no free entry.
    TableFull,
    /// A GOAWAY was sent or received: the `SYN_STREAM` is dropped.
    GoingAway,
}

impl Refusal {
    /// The status of the `RST_STREAM` that answers it; `None` if it has no answer.
    pub const fn rst_status(self) -> Option<RstStatus> {
        match self {
            Self::IdInUse => Some(RstStatus::PROTOCOL_ERROR),
            Self::TableFull => Some(RstStatus::REFUSED_STREAM),
            Self::GoingAway => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdInUse => "the stream id was used before",
            Self::TableFull => "too many open streams",
            Self::GoingAway => "the connection is going away",
        })
    }
}

impl core::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn id(number: u32) -> StreamId {
        StreamId::new(number).unwrap()
    }

    /// Covers: SPDY-2.3.2-1
    #[test]
    fn clients_open_odd_streams_and_servers_even_ones() {
        let mut client = Streams::<3>::new(Role::Client);
        let mut server = Streams::<3>::new(Role::Server);
        for number in 0..3 {
            assert_eq!(client.open(), Ok(id(2 * number + 1)));
            assert_eq!(server.open(), Ok(id(2 * number + 2)));
        }
        assert_eq!(client.open(), Err(OpenError::TableFull));
        assert!(client.reset(id(3)).is_some());
        assert_eq!(client.open(), Ok(id(7)), "the failed attempt used no id");
    }

    #[test]
    fn ids_run_out_and_are_not_used_twice() {
        let mut streams = Streams::<1> { own_next: 0x7fff_ffff, ..Streams::new(Role::Client) };
        assert_eq!(streams.open(), Ok(StreamId::MAX));
        streams.reset(StreamId::MAX);
        assert_eq!(streams.open(), Err(OpenError::IdsExhausted));
        assert_eq!(streams.open(), Err(OpenError::IdsExhausted));

        let mut streams = Streams::<1>::new(Role::Server);
        streams.peer_opened(StreamId::MAX).unwrap();
        streams.reset(StreamId::MAX);
        assert_eq!(streams.peer_opened(StreamId::MAX), Err(Refusal::IdInUse));
    }

    /// Covers: SPDY-2.3.2-1
    #[test]
    fn ids_of_the_peer_rise_by_two_and_their_parity_is_free() {
        let mut server = Streams::<8>::new(Role::Server);
        assert_eq!(server.peer_opened(id(1)), Ok(()));
        assert_eq!(server.peer_opened(id(2)), Err(Refusal::IdInUse));
        assert_eq!(server.peer_opened(id(1)), Err(Refusal::IdInUse));
        assert_eq!(server.peer_opened(id(4)), Ok(()));
        assert_eq!(server.peer_opened(id(9)), Ok(()));
        assert_eq!(server.last_accepted(), Some(id(9)));
        assert_eq!(Refusal::IdInUse.rst_status(), Some(RstStatus::PROTOCOL_ERROR));

        let mut client = Streams::<8>::new(Role::Client);
        assert_eq!(client.peer_opened(id(1)), Err(Refusal::IdInUse));
        assert_eq!(client.peer_opened(id(2)), Ok(()));
    }

    /// Covers: SPDY-2.3.2-2
    #[test]
    fn a_peer_cannot_open_a_stream_that_we_have_open() {
        let mut client = Streams::<8>::new(Role::Client);
        client.open().unwrap();
        let ours = client.open().unwrap();
        assert_eq!(client.peer_opened(ours), Err(Refusal::IdInUse));
        assert!(client.get(ours).unwrap().own);
    }

    #[test]
    fn a_refused_stream_is_not_told_in_goaway_but_uses_up_its_id() {
        let mut server = Streams::<1>::new(Role::Server);
        assert_eq!(server.last_accepted(), None);
        server.peer_opened(id(1)).unwrap();
        assert_eq!(server.peer_opened(id(3)), Err(Refusal::TableFull));
        assert_eq!(Refusal::TableFull.rst_status(), Some(RstStatus::REFUSED_STREAM));
        assert_eq!(server.last_accepted(), Some(id(1)));
        server.reset(id(1));
        assert_eq!(server.peer_opened(id(3)), Err(Refusal::IdInUse));
        assert_eq!(server.peer_opened(id(5)), Ok(()));
    }

    /// Covers: SPDY-2.6.6-1
    #[test]
    fn no_stream_is_opened_after_goaway() {
        let mut server = Streams::<2>::new(Role::Server);
        server.peer_opened(id(1)).unwrap();
        server.going_away();
        assert_eq!(server.peer_opened(id(3)), Err(Refusal::GoingAway));
        assert_eq!(Refusal::GoingAway.rst_status(), None);
        assert_eq!(server.open(), Err(OpenError::GoingAway));
        assert_eq!(server.receives(id(1)), DataVerdict::Deliver, "open streams go on");
    }

    /// Covers: SPDY-2.3.6-1
    #[test]
    fn a_stream_goes_on_until_both_halves_are_finished() {
        for local_first in [true, false] {
            let mut server = Streams::<2>::new(Role::Server);
            server.peer_opened(id(1)).unwrap();
            let first = if local_first { Streams::local_fin } else { Streams::remote_fin };
            let second = if local_first { Streams::remote_fin } else { Streams::local_fin };
            assert!(first(&mut server, id(1)));
            assert!(!first(&mut server, id(1)), "twice");
            assert!(!server.is_empty(), "the other half is open");
            let state = server.get(id(1)).unwrap();
            assert_eq!((state.local_open, state.remote_open), (!local_first, local_first));
            assert!(second(&mut server, id(1)));
            assert!(server.is_empty());
            assert!(!second(&mut server, id(1)), "forgotten");
        }
    }

    /// Covers: SPDY-2.2.2-2, SPDY-2.3.6-1
    #[test]
    fn data_is_delivered_from_the_reply_to_the_fin() {
        let mut client = Streams::<2>::new(Role::Client);
        let stream = client.open().unwrap();
        assert_eq!(client.receives(stream), DataVerdict::BeforeReply);
        assert!(client.replied(stream));
        assert!(!client.replied(stream), "a second reply");
        assert_eq!(client.receives(stream), DataVerdict::Deliver);
        client.local_fin(stream);
        assert_eq!(client.receives(stream), DataVerdict::Deliver, "half-closed");
        client.remote_fin(stream);
        assert_eq!(client.receives(stream), DataVerdict::Drop);
        assert_eq!(client.receives(id(99)), DataVerdict::Drop);
        assert!(!client.replied(stream), "too late");

        let mut server = Streams::<2>::new(Role::Server);
        server.peer_opened(id(1)).unwrap();
        assert_eq!(server.receives(id(1)), DataVerdict::Deliver, "ahead of our own reply");
        server.remote_fin(id(1));
        assert_eq!(server.receives(id(1)), DataVerdict::Drop);
    }

    #[test]
    fn the_end_that_closes_finds_the_streams_to_reset() {
        let mut client = Streams::<4>::new(Role::Client);
        let opened: Vec<_> = (0..4).map(|_| client.open().unwrap()).collect();
        client.local_fin(opened[1]);
        client.reset(opened[2]);
        assert_eq!(client.reset(opened[2]), None);
        let to_reset: Vec<_> =
            client.iter().filter(|(_, state)| state.local_open).map(|(id, _)| id.get()).collect();
        assert_eq!(to_reset, [1, 7]);
    }

    #[test]
    fn the_table_takes_eight_bytes_a_stream() {
        assert_eq!(size_of::<Streams<5>>(), 5 * 8 + 16);
    }
}
