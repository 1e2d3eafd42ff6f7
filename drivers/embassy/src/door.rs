use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};

use embassy_futures::poll_once;
use embassy_net::Stack;
use embassy_net::tcp::{State, TcpSocket};
use embassy_time::{Duration, Instant};
use strait::http::write_text;

use crate::backlog::Backlog;
use crate::connection::Connection as _;
use crate::gateway::Place;
use crate::serve::{Ended, deadline};
use crate::socket::{Farewell, Rings};
use crate::switch::{Mode, Switch};
use crate::wait::{poll_until, within};

/// How long a socket rests that could not listen.
const REST: Duration = Duration::from_secs(1);

/// A gateway's way in and out: accepts clients, keeps them until a [`Runner`](crate::Runner) is free, and ends their
/// connections when they were served.
///
/// All sockets that no client has listen at the same time, because the stack keeps no queue: it refuses a connection for which
/// none listens. With a driver from [`Backlog::guard`] the client asks again instead.
pub struct Door<'a, const N: usize, const M: usize, const RING: usize = 2048> {
    pub(crate) clients: &'a mut [Rings<RING>; M],
    pub(crate) backlog: &'a Backlog<'a, N, M>,
    pub(crate) switch: &'a Switch<N>,
    pub(crate) place: &'a Place<'a>,
}

impl<'a, const N: usize, const M: usize, const RING: usize> Door<'a, N, M, RING> {
    /// Lets clients in until the gateway drains, and out until none is left.
    pub async fn run(self, stack: Stack<'a>) {
        let Self { clients, backlog, switch, place } = self;
        let patience = deadline(&place.options.limits);
        let hall = Hall { backlog, switch, port: place.port, patience };
        let mut seats = clients.each_mut().map(|rings| Seat::new(rings.socket(stack)));
        poll_fn(|cx| {
            switch.register_door(cx);
            for (number, seat) in seats.iter_mut().enumerate() {
                seat.poll(cx, number, &hall);
            }
            let free = seats.iter().filter(|seat| seat.is_free()).count();
            backlog.gate.set((switch.mode() < Mode::Draining).then_some(place.port), free, cx);
            let is_over = seats.iter().all(|seat| matches!(seat.stage, Stage::Over));
            if is_over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl<const N: usize, const M: usize, const RING: usize> core::fmt::Debug for Door<'_, N, M, RING> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Door").field("port", &self.place.port).finish_non_exhaustive()
    }
}

/// What all seats have to do with.
struct Hall<'a, const N: usize, const M: usize> {
    backlog: &'a Backlog<'a, N, M>,
    switch: &'a Switch<N>,
    port: u16,
    patience: Duration,
}

/// One client after the other, on one socket.
struct Seat<'a> {
    /// Elsewhere while the client waits and is served.
    socket: Option<TcpSocket<'a>>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Nobody is here.
    Listening,
    /// It could not listen, and tries again.
    Resting(Instant),
    /// A client has connected, and is not worth a runner before it has said something.
    Silent(Instant),
    /// It waits for a runner.
    Waiting(Instant),
    /// It is served.
    Served,
    /// Its connection ends.
    Leaving(Farewell),
    /// Its connection has ended, but for the stack's last word.
    Left(Instant),
    /// Nobody comes any more.
    Over,
}

impl<'a> Seat<'a> {
    fn new(socket: TcpSocket<'a>) -> Self {
        Self { socket: Some(socket), stage: Stage::Listening }
    }

    fn poll<const N: usize, const M: usize>(
        &mut self,
        cx: &mut Context<'_>,
        number: usize,
        hall: &Hall<'a, N, M>,
    ) {
        while let Some(stage) = self.next(cx, number, hall) {
            self.stage = stage;
        }
    }

    /// The next stage, if it has come to that.
    fn next<const N: usize, const M: usize>(
        &mut self,
        cx: &mut Context<'_>,
        number: usize,
        hall: &Hall<'a, N, M>,
    ) -> Option<Stage> {
        let Hall { backlog, switch, port, patience } = *hall;
        let is_draining = switch.mode() >= Mode::Draining;
        match &mut self.stage {
            Stage::Listening if is_draining => {
                self.socket = None;
                Some(Stage::Over)
            }
            Stage::Listening => match poll_accept(cx, self.socket.as_mut()?, port) {
                Poll::Ready(true) => {
                    switch.count.opened();
                    Some(Stage::Silent(within(patience)))
                }
                Poll::Ready(false) => Some(Stage::Resting(within(REST))),
                Poll::Pending => None,
            },
            Stage::Resting(until) => poll_until(cx, *until).is_ready().then_some(Stage::Listening),
            Stage::Silent(until) => match poll_speaks(cx, self.socket.as_mut()?) {
                Poll::Ready(true) => {
                    backlog.queue(number, self.socket.take()?, switch);
                    Some(Stage::Waiting(within(patience)))
                }
                Poll::Pending if !is_draining && poll_until(cx, *until).is_pending() => None,
                _ => self.leave(),
            },
            Stage::Waiting(until) => {
                if !is_draining && poll_until(cx, *until).is_pending() && backlog.has(number) {
                    return None;
                }
                let Some(mut socket) = backlog.withdraw(number) else { return Some(Stage::Served) };
                switch.count.ended(&refuse(&mut socket));
                self.socket = Some(socket);
                self.leave()
            }
            Stage::Served => {
                self.socket = Some(backlog.take_back(number)?);
                self.leave()
            }
            Stage::Leaving(farewell) => match farewell.poll(cx, self.socket.as_mut()?) {
                Poll::Ready(until) => Some(Stage::Left(until)),
                Poll::Pending => None,
            },
            Stage::Left(until) => poll_until(cx, *until).is_ready().then(|| {
                switch.count.closed();
                Stage::Listening
            }),
            Stage::Over => None,
        }
    }

    /// True if a client can come.
    fn is_free(&self) -> bool {
        let is_listening = self.socket.as_ref().is_some_and(|socket| socket.state() == State::Listen);
        is_listening && matches!(self.stage, Stage::Listening)
    }

    fn leave(&mut self) -> Option<Stage> {
        Some(Stage::Leaving(Farewell::begin(self.socket.as_mut()?)))
    }
}

/// Listens until a client comes; false if that cannot be.
fn poll_accept(cx: &mut Context<'_>, socket: &mut TcpSocket<'_>, port: u16) -> Poll<bool> {
    match socket.state() {
        State::Closed | State::TimeWait | State::Listen => {
            pin!(socket.accept(port)).poll(cx).map(|accepted| {
                if accepted.is_err() {
                    debug!("cannot listen");
                }
                accepted.is_ok()
            })
        }
        // It can be written to when it is accepted. A client that is gone by then goes back to the beginning.
        State::SynReceived => pin!(socket.wait_write_ready()).poll(cx).map(|()| true),
        _ => Poll::Ready(true),
    }
}

/// Waits until a client has said something; false if it will not.
fn poll_speaks(cx: &mut Context<'_>, socket: &mut TcpSocket<'_>) -> Poll<bool> {
    match pin!(socket.wait_read_ready()).poll(cx) {
        Poll::Ready(()) => Poll::Ready(true),
        Poll::Pending if socket.may_recv() => Poll::Pending,
        Poll::Pending => Poll::Ready(false),
    }
}

/// Answers a client for which no runner was free.
#[inline(never)]
fn refuse(socket: &mut TcpSocket<'_>) -> Ended {
    const STATUS: u16 = 503;
    info!("refused: all connections are busy");
    let mut answer = [0; 256];
    if let Ok(length) = write_text(STATUS, [], "all connections of this gateway are busy", &mut answer) {
        // Nothing was sent yet: there is room for it.
        let _ = poll_once(poll_fn(|cx| socket.poll_write(cx, answer.get(..length).unwrap_or_default())));
    }
    Ended::Refused(STATUS)
}
