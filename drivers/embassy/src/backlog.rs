use core::cell::Cell;
use core::future::poll_fn;
use core::task::Poll;

use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, with_timeout};

use crate::switch::{Mode, Switch};

/// Clients that wait for a runner, and runners that wait for a client: each comes to its turn in the order of its coming.
///
/// ```text
/// Door: listens ── has spoken ──► waits ── next ──► Runner: serves
///   ▲                               │ overdue          │
///   └────── ends the connection ◄───┴─── give_back ◄───┘
/// ```
///
/// Each of the `M` sockets has a seat, which says where the socket is.
pub(crate) struct Backlog<'a, const N: usize, const M: usize> {
    seats: [Place<'a>; M],
    /// Since when runners are idle.
    idle: [Cell<Option<u32>>; N],
    /// Counts who comes.
    turn: Cell<u32>,
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

/// What became of a client that waited.
pub(crate) enum Waited<'a> {
    /// A runner has served it.
    Served(TcpSocket<'a>),
    /// No runner was free in time, or none will be any more.
    Overdue(TcpSocket<'a>),
}

impl<'a, const N: usize, const M: usize> Backlog<'a, N, M> {
    pub(crate) const fn new() -> Self {
        Self {
            seats: [const { Place(Cell::new(Seat::Away)) }; M],
            idle: [const { Cell::new(None) }; N],
            turn: Cell::new(0),
        }
    }

    /// Waits for up to `patience` until a runner takes the client, and then until it gives it back.
    pub(crate) async fn wait(
        &self,
        seat: usize,
        socket: TcpSocket<'a>,
        patience: Duration,
        switch: &Switch<N>,
    ) -> Waited<'a> {
        let Some(place) = self.seats.get(seat) else { return Waited::Overdue(socket) };
        place.put(Seat::Waiting(self.next_turn(), socket));
        self.call(switch);
        let taken = poll_fn(|cx| {
            switch.register_door(cx);
            if place.since().is_some() && switch.mode() < Mode::Draining {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        });
        let _ = with_timeout(patience, taken).await;
        if let Some(socket) = place.take_waiting() {
            return Waited::Overdue(socket);
        }
        poll_fn(|cx| {
            switch.register_door(cx);
            place.take_back().map_or(Poll::Pending, |socket| Poll::Ready(Waited::Served(socket)))
        })
        .await
    }

    /// The client that has waited longest, and its seat: at once, or when one comes; `None` when no more are to be served.
    pub(crate) async fn next(&self, runner: usize, switch: &Switch<N>) -> Option<(usize, TcpSocket<'a>)> {
        let idle = self.idle.get(runner)?;
        poll_fn(|cx| {
            switch.register_runner(runner, cx);
            let client = self.take();
            if client.is_some() || switch.mode() >= Mode::Draining {
                idle.set(None);
                return Poll::Ready(client);
            }
            idle.set(idle.get().or_else(|| Some(self.next_turn())));
            Poll::Pending
        })
        .await
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
