use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

use embassy_futures::join::join_array;
use embassy_futures::poll_once;
use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, Timer, with_timeout};
use strait::http::write_text;

use crate::backlog::{Backlog, Waited};
use crate::gateway::Place;
use crate::serve::{Ended, deadline};
use crate::socket::{Rings, hang_up, pause};
use crate::switch::Switch;

/// How long a listener rests that could not listen.
const REST: Duration = Duration::from_secs(1);

/// A gateway's way in and out: accepts clients, keeps them until a [`Runner`](crate::Runner) is free, and ends their
/// connections when they were served.
///
/// All sockets that no client has listen at the same time, because the stack keeps no queue: it refuses a connection for which
/// none listens.
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
        let mut seats = 0..M;
        let sockets = clients.each_mut().map(|rings| rings.socket(stack));
        let visits = sockets.map(|socket| {
            let seat = seats.next().unwrap_or_default();
            visits(seat, socket, backlog, switch, place)
        });
        join_array(visits).await;
    }
}

impl<const N: usize, const M: usize, const RING: usize> core::fmt::Debug for Door<'_, N, M, RING> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Door").field("port", &self.place.port).finish_non_exhaustive()
    }
}

/// One client after the other on one socket.
async fn visits<'a, const N: usize, const M: usize>(
    seat: usize,
    mut socket: TcpSocket<'a>,
    backlog: &Backlog<'a, N, M>,
    switch: &Switch<N>,
    place: &Place<'_>,
) {
    let patience = deadline(&place.options.limits);
    while accepted(&mut socket, switch, place.port).await {
        switch.count.opened();
        if speaks(&socket, patience, switch).await {
            socket = match backlog.wait(seat, socket, patience, switch).await {
                Waited::Served(socket) => socket,
                Waited::Overdue(mut socket) => {
                    switch.count.ended(&refuse(&mut socket));
                    socket
                }
            };
        }
        pause(hang_up(&mut socket).await).await;
        switch.count.closed();
    }
}

/// Listens until a client comes; false if none shall come any more.
async fn accepted<const N: usize>(socket: &mut TcpSocket<'_>, switch: &Switch<N>, port: u16) -> bool {
    loop {
        match select(switch.draining(), socket.accept(port)).await {
            Either::First(()) => return false,
            Either::Second(Ok(())) => return true,
            Either::Second(Err(_)) => {
                debug!("cannot listen");
                socket.abort();
                Timer::after(REST).await;
            }
        }
    }
}

/// Waits until a client has said something: only then it is worth a runner. False if it does not, or not in time.
async fn speaks<const N: usize>(socket: &TcpSocket<'_>, patience: Duration, switch: &Switch<N>) -> bool {
    let speaking = poll_fn(|cx| match pin!(socket.wait_read_ready()).poll(cx) {
        Poll::Ready(()) => Poll::Ready(true),
        Poll::Pending if socket.may_recv() => Poll::Pending,
        Poll::Pending => Poll::Ready(false),
    });
    matches!(with_timeout(patience, select(switch.draining(), speaking)).await, Ok(Either::Second(true)))
}

/// Answers a client for which no runner was free.
#[inline(never)]
fn refuse(socket: &mut TcpSocket<'_>) -> Ended {
    const STATUS: u16 = 503;
    info!("refused: all connections are busy");
    let mut answer = [0; 256];
    if let Ok(length) = write_text(STATUS, [], "all connections of this gateway are busy", &mut answer) {
        // Nothing was sent yet: there is room for it.
        let _ = poll_once(socket.write(answer.get(..length).unwrap_or_default()));
    }
    Ended::Refused(STATUS)
}
