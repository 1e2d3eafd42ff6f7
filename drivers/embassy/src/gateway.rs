use core::net::IpAddr;
use core::pin::pin;

use embassy_net::{IpAddress, IpEndpoint, Stack};
use embassy_time::{Duration, Instant, Timer};

use crate::backlog::Backlog;
use crate::counters::Counters;
use crate::door::Door;
use crate::serve::{Ended, Options, serve};
use crate::socket::{Dialer, Rings, hang_up};
use crate::switch::{Mode, Switch};

/// How often a draining gateway is asked whether it is empty.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// The memory of a gateway that serves `N` connections at a time and has `M` clients altogether, those that wait and those
/// whose connection ends included: a static. Beside it lies a [`Backlog`].
///
/// | what | bytes |
/// |---|---|
/// | lanes: what a session reads, translates and writes, and the heads in front of it | 2 `LANE` for each of `N` |
/// | rings: what TCP holds of a socket, both ways | 2 `RING` for each of `N` and of `M` |
/// | counters and switches | about 100, and 8 for each of `N` |
///
/// The state machines are not here but in the futures of [`Runner::run`], about 4 KiB each on a 32-bit machine (1.9 without the
/// feature `port-forward`), and of [`Door::run`], about 35 bytes for each of `M`.
///
/// `LANE` bounds a client's head: it has to fit with about 250 bytes more for upstream. Frames of any length pass
/// through in pieces. With `LANE` = 512 or less some statuses would be cut.
///
/// `M` bounds how many connections can come at once. A client asks with several at once (kubectl with an empty cache: four), and a
/// connection's end takes a moment. One that finds no place is reset, or with [`Backlog::guard`] asks again after a second.
#[derive(Debug)]
pub struct State<const N: usize, const M: usize, const LANE: usize = 2048, const RING: usize = 2048> {
    desks: [Desk<LANE, RING>; N],
    clients: [Rings<RING>; M],
    switch: Switch<N>,
}

/// What a runner works with.
#[derive(Debug)]
struct Desk<const LANE: usize, const RING: usize> {
    up: [u8; LANE],
    down: [u8; LANE],
    upstream: Rings<RING>,
}

impl<const N: usize, const M: usize, const LANE: usize, const RING: usize> State<N, M, LANE, RING> {
    /// The memory of a gateway that was not started.
    pub const fn new() -> Self {
        Self {
            desks: [const { Desk { up: [0; LANE], down: [0; LANE], upstream: Rings::new() } }; N],
            clients: [const { Rings::new() }; M],
            switch: Switch::new(),
        }
    }
}

impl<const N: usize, const M: usize, const LANE: usize, const RING: usize> Default
    for State<N, M, LANE, RING>
{
    fn default() -> Self {
        Self::new()
    }
}

/// A gateway: how it is watched, and stopped.
#[derive(Debug, Clone, Copy)]
pub struct Gateway<'a, const N: usize> {
    switch: &'a Switch<N>,
}

/// Serves one of a gateway's connections at a time, over and over.
pub struct Runner<'a, const N: usize, const M: usize, const LANE: usize = 2048, const RING: usize = 2048> {
    number: usize,
    desk: &'a mut Desk<LANE, RING>,
    backlog: &'a Backlog<'a, N, M>,
    switch: &'a Switch<N>,
    place: &'a Place<'a>,
}

/// Where a gateway listens, and what is behind it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The port of this machine.
    pub port: u16,
    /// Upstream.
    pub upstream: IpEndpoint,
    /// How clients are treated.
    pub options: Options<'a>,
}

/// Makes a gateway. Its [`Door`] and each [`Runner`] are to be run, each by a task of its own, all with the same stack, which
/// has `N + M` sockets for them.
///
/// The door accepts clients. One that has sent something is served by the next runner that is free, in the order of their
/// coming; one for which none is free within [`Limits::handshake`](strait::Limits::handshake) is answered 503.
pub fn new<'a, const N: usize, const M: usize, const LANE: usize, const RING: usize>(
    state: &'a mut State<N, M, LANE, RING>,
    backlog: &'a Backlog<'a, N, M>,
    place: &'a Place<'a>,
) -> (Gateway<'a, N>, Door<'a, N, M, RING>, [Runner<'a, N, M, LANE, RING>; N]) {
    const { assert!(N <= M, "there are places for at least those who are served") };
    let State { desks, clients, switch } = state;
    let switch = &*switch;
    let door = Door { clients, backlog, switch, place };
    let mut number = 0;
    let runners = desks.each_mut().map(|desk| {
        number += 1;
        Runner { number: number - 1, desk, backlog, switch, place }
    });
    (Gateway { switch }, door, runners)
}

impl<const N: usize> Gateway<'_, N> {
    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.switch.count.read()
    }

    /// Lets nobody new in; sessions go on. There is no way back.
    pub fn drain(&self) {
        self.switch.set(Mode::Draining);
    }

    /// Drains, and ends sessions with a status that says why.
    pub fn close(&self) {
        self.switch.set(Mode::Closing);
    }

    /// Waits until no connection is open.
    pub async fn drained(&self) {
        while self.counters().open > 0 {
            Timer::after(DRAIN_STEP).await;
        }
    }
}

impl<'a, const N: usize, const M: usize, const LANE: usize, const RING: usize> Runner<'a, N, M, LANE, RING> {
    /// Serves one connection after the other, until the gateway drains.
    pub async fn run(self, stack: Stack<'a>) {
        let Self { number, desk, backlog, switch, place } = self;
        let Desk { up, down, upstream } = desk;
        let mut upstream = upstream.socket(stack);
        let mut free_at = Instant::MIN;
        while let Some((seat, mut client)) = backlog.next(number, switch).await {
            let peer = client.remote_endpoint().map(|peer| to_ip(peer.addr));
            let mut dialer = Dialer { socket: &mut upstream, upstream: place.upstream, free_at };
            let stop = pin!(switch.closing(number));
            let ended = serve(&mut client, peer, &mut dialer, (up, down), &place.options, stop).await;
            tell(&ended);
            switch.count.ended(&ended);
            backlog.give_back(seat, client, switch);
            free_at = hang_up(&mut upstream).await;
        }
    }
}

impl<const N: usize, const M: usize, const LANE: usize, const RING: usize> core::fmt::Debug
    for Runner<'_, N, M, LANE, RING>
{
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Runner").field("number", &self.number).finish_non_exhaustive()
    }
}

const fn to_ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4(address) => IpAddr::V4(address),
    }
}

fn tell(ended: &Ended) {
    match ended {
        Ended::Session(summary) => info!(
            "session {}: {} bytes in, {} out, {} ms",
            if ended.is_complete() { "completed" } else { "failed" },
            summary.carried.stdin,
            summary.carried.stdout.wrapping_add(summary.carried.stderr),
            summary.duration.as_millis()
        ),
        Ended::PassedOn(passed) => {
            info!("session passed on: {} bytes up, {} down", passed.from_client, passed.from_upstream);
        }
        Ended::Refused(status) => info!("refused: {}", status),
        Ended::Plain(_) | Ended::Left => {}
    }
}
