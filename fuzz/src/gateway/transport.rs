//! Both connections of a gateway in memory: no socket, no clock, no threads.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::task::{Context, Poll};

use embedded_io_async::ErrorKind;
use strait::bridge::Side;
use strait_embassy::{Connection, Dial};

/// Calls without a byte moved after which the gateway is taken to spin.
const SPIN: usize = 100_000;

/// Bytes that one peer may send.
const MOST: usize = 1 << 18;

/// What peers have sent and got.
#[derive(Debug, Clone, Default)]
pub(super) struct Wires(Rc<[RefCell<Wire>; 2]>, Rc<Cell<bool>>);

/// One peer's connection.
#[derive(Debug, Default)]
struct Wire {
    sent: Vec<u8>,
    /// How much of it was read.
    read: usize,
    /// The peer sends nothing more.
    ended: bool,
    got: Vec<u8>,
    /// How much more it takes.
    room: usize,
    /// The gateway has ended its half.
    is_shut: bool,
    /// Calls since a byte was moved.
    idle: usize,
}

impl Wires {
    fn of(&self, side: Side) -> RefMut<'_, Wire> {
        let Self(wires, _) = self;
        wires[usize::from(side == Side::Upstream)].borrow_mut()
    }

    pub(super) fn end_of(&self, side: Side) -> End {
        End { wires: self.clone(), side }
    }

    pub(super) fn send(&self, side: Side, bytes: &[u8]) {
        let mut wire = self.of(side);
        if !wire.ended && wire.sent.len() < MOST {
            wire.sent.extend_from_slice(bytes);
        }
    }

    /// Sends so many bytes that show their place.
    pub(super) fn send_some(&self, side: Side, count: usize) {
        let from = self.of(side).sent.len();
        let bytes: Vec<u8> = (from..from + count).map(|place| (place ^ place >> 8) as u8).collect();
        self.send(side, &bytes);
    }

    pub(super) fn end(&self, side: Side) {
        self.of(side).ended = true;
    }

    pub(super) fn allow(&self, room: usize) {
        for side in [Side::Client, Side::Upstream] {
            self.of(side).room = room;
        }
    }

    pub(super) fn refuse(&self) {
        let Self(_, is_refused) = self;
        is_refused.set(true);
    }

    pub(super) fn got(&self, side: Side) -> Vec<u8> {
        self.of(side).got.clone()
    }

    /// True if a peer's connection began with these bytes.
    pub(super) fn has_sent(&self, side: Side, bytes: &[u8]) -> bool {
        self.of(side).sent.starts_with(bytes)
    }

    /// What a peer has sent behind its head.
    pub(super) fn sent_behind_head(&self, side: Side) -> Vec<u8> {
        let wire = self.of(side);
        let end = super::head(&wire.sent).expect("it has sent a head");
        wire.sent[end..].to_vec()
    }
}

/// The gateway's end of a connection.
#[derive(Debug)]
pub(super) struct End {
    wires: Wires,
    side: Side,
}

impl Connection for End {
    fn poll_read(&mut self, _: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, ErrorKind>> {
        let mut wire = self.wires.of(self.side);
        assert!(!into.is_empty(), "a read into nothing");
        let count = into.len().min(wire.sent.len() - wire.read);
        if count == 0 {
            wire.idle += 1;
            assert!(wire.idle < SPIN, "the gateway spins");
            return if wire.ended { Poll::Ready(Ok(0)) } else { Poll::Pending };
        }
        wire.idle = 0;
        into[..count].copy_from_slice(&wire.sent[wire.read..wire.read + count]);
        wire.read += count;
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, ErrorKind>> {
        let mut wire = self.wires.of(self.side);
        assert!(!from.is_empty(), "a write of nothing");
        assert!(!wire.is_shut, "a write behind the end");
        let count = from.len().min(wire.room);
        if count == 0 {
            wire.idle += 1;
            assert!(wire.idle < SPIN, "the gateway spins");
            return Poll::Pending;
        }
        wire.idle = 0;
        wire.got.extend_from_slice(&from[..count]);
        wire.room -= count;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        Poll::Ready(Ok(()))
    }

    fn end(&mut self) {
        self.wires.of(self.side).is_shut = true;
    }
}

/// Reaches upstream, unless it was refused before.
#[derive(Debug)]
pub(super) struct Dialer(End);

impl Dialer {
    pub(super) fn new(wires: &Wires) -> Self {
        Self(wires.end_of(Side::Upstream))
    }
}

impl Dial for Dialer {
    type Connection = End;

    async fn dial(&mut self) -> Result<&mut End, ErrorKind> {
        let Self(end) = self;
        let Wires(_, is_refused) = &end.wires;
        if is_refused.get() { Err(ErrorKind::ConnectionRefused) } else { Ok(end) }
    }
}

/// A signal that is ready once it is set.
#[derive(Debug, Clone, Default)]
pub(super) struct Switch(Rc<Cell<bool>>);

impl Switch {
    pub(super) fn set(&self) {
        let Self(is_set) = self;
        is_set.set(true);
    }
}

impl Future for Switch {
    type Output = ();

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let Self(is_set) = &*self;
        if is_set.get() { Poll::Ready(()) } else { Poll::Pending }
    }
}
