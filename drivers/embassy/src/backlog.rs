use core::cell::Cell;
use core::future::poll_fn;
use core::task::Poll;

use embassy_net::driver::Driver;
use embassy_net::tcp::TcpSocket;

use crate::gate::{Gate, Guarded};
use crate::switch::{Mode, Switch};

/// Clients that wait for one of `N` runners, and runners that wait for a client: each comes to its turn in the order of its
/// coming. It takes about 20 bytes for each.
///
/// ```text
/// Door: listens ──── queue ────► waits ── next ──► Runner: serves
///   ▲                              │ withdraw         │
///   └────── ends the connection ◄──┴─── give_back ◄───┘
/// ```
///
/// Each of the `M` sockets of clients has a seat, which says where the socket is. Sockets belong to one executor, so this is no
/// part of [`State`](crate::State), which may lie in any static.
pub struct Backlog<'a, const N: usize, const M: usize> {
    seats: [Place<'a>; M],
    /// Since when runners are idle.
    idle: [Cell<Option<u32>>; N],
    /// Counts who comes.
    turn: Cell<u32>,
    pub(crate) gate: Gate,
}

/// Where a client's socket is.
#[derive(Default)]
enum Seat<'a> {
    /// With the door or with a runner.
    #[default]
    Away,
    /// It waits, since a turn.
    Waiting(u32, TcpSocket<'a>),
    /// A runner has given it back.
    Back(TcpSocket<'a>),
}

impl<'a, const N: usize, const M: usize> Backlog<'a, N, M> {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self {
            seats: [const { Place(Cell::new(Seat::Away)) }; M],
            idle: [const { Cell::new(None) }; N],
            turn: Cell::new(0),
            gate: Gate::new(),
        }
    }

    /// A driver that keeps a question for a connection from the stack while all `M` sockets are in use, as full backlogs elsewhere do:
    /// it is asked again after a second. The stack alone would answer with a reset. For Ethernet and IPv4.
    pub fn guard<D: Driver>(&'a self, driver: D) -> Guarded<'a, D> {
        Guarded { driver, gate: &self.gate }
    }

    /// A client waits from now on.
    pub(crate) fn queue(&self, seat: usize, socket: TcpSocket<'a>, switch: &Switch<N>) {
        if let Some(place) = self.seats.get(seat) {
            place.put(Seat::Waiting(self.next_turn(), socket));
            self.call(switch);
        }
    }

    /// True while a client waits.
    pub(crate) fn has(&self, seat: usize) -> bool {
        self.seats.get(seat).is_some_and(|place| place.since().is_some())
    }

    /// The socket of a client that still waits, and does not any more.
    pub(crate) fn withdraw(&self, seat: usize) -> Option<TcpSocket<'a>> {
        self.seats.get(seat)?.take_waiting()
    }

    /// The socket of a client that was served.
    pub(crate) fn take_back(&self, seat: usize) -> Option<TcpSocket<'a>> {
        self.seats.get(seat)?.take_back()
    }

    /// The client that has waited longest, and its seat: at once, or when one comes; `None` when no more are to be served.
    pub(crate) fn next(
        &self,
        runner: usize,
        switch: &Switch<N>,
    ) -> impl Future<Output = Option<(usize, TcpSocket<'a>)>> {
        poll_fn(move |cx| {
            let Some(idle) = self.idle.get(runner) else { return Poll::Ready(None) };
            switch.register_runner(runner, cx);
            let client = self.take();
            if client.is_some() || switch.mode() >= Mode::Draining {
                idle.set(None);
                return Poll::Ready(client);
            }
            idle.set(idle.get().or_else(|| Some(self.next_turn())));
            Poll::Pending
        })
    }

    /// Returns a client's socket to the door, which ends its connection.
    pub(crate) fn give_back(&self, seat: usize, socket: TcpSocket<'a>, switch: &Switch<N>) {
        if let Some(place) = self.seats.get(seat) {
            place.put(Seat::Back(socket));
            switch.wake_door();
        }
    }

    fn take(&self) -> Option<(usize, TcpSocket<'a>)> {
        let waiting = self.seats.iter().map(Place::since);
        let seat = self.longest(waiting)?;
        Some((seat, self.seats.get(seat)?.take_waiting()?))
    }

    /// Wakes the runner that has been idle longest. It is not idle any more: the next client is for another one.
    fn call(&self, switch: &Switch<N>) {
        if let Some(runner) = self.longest(self.idle.iter().map(Cell::get))
            && let Some(idle) = self.idle.get(runner)
        {
            idle.set(None);
            switch.wake_runner(runner);
        }
    }

    /// Whose turn came first.
    fn longest(&self, since: impl Iterator<Item = Option<u32>>) -> Option<usize> {
        let now = self.turn.get();
        let ages = since.enumerate().filter_map(|(at, since)| Some((now.wrapping_sub(since?), at)));
        ages.max().map(|(_, at)| at)
    }

    fn next_turn(&self) -> u32 {
        self.turn.replace(self.turn.get().wrapping_add(1))
    }
}

impl<const N: usize, const M: usize> Default for Backlog<'_, N, M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize, const M: usize> core::fmt::Debug for Backlog<'_, N, M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let waiting = self.seats.iter().filter_map(Place::since).count();
        f.debug_struct("Backlog").field("waiting", &waiting).finish_non_exhaustive()
    }
}

/// A seat's place: what is there is looked at by taking it out for a moment.
struct Place<'a>(Cell<Seat<'a>>);

impl<'a> Place<'a> {
    /// Since when a socket waits there.
    fn since(&self) -> Option<u32> {
        let seat = self.0.take();
        let since = if let Seat::Waiting(since, _) = seat { Some(since) } else { None };
        self.0.set(seat);
        since
    }

    fn take_waiting(&self) -> Option<TcpSocket<'a>> {
        match self.0.take() {
            Seat::Waiting(_, socket) => Some(socket),
            other => self.put(other),
        }
    }

    fn take_back(&self) -> Option<TcpSocket<'a>> {
        match self.0.take() {
            Seat::Back(socket) => Some(socket),
            other => self.put(other),
        }
    }

    fn put(&self, seat: Seat<'a>) -> Option<TcpSocket<'a>> {
        self.0.set(seat);
        None
    }
}
