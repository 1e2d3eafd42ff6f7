use core::net::IpAddr;

use embassy_futures::join::join;
use embassy_futures::select::{Either, select};
use embassy_net::tcp::TcpSocket;
use embassy_net::{IpAddress, IpEndpoint, Stack};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::watch::Watch;
use embassy_time::{Duration, Timer};

use crate::counters::{Count, Counters};
use crate::serve::{Ended, Options, serve};
use crate::socket::{Dialer, hang_up, prepare};

/// How often a draining gateway is asked whether it is empty.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// How long a listener rests that could not listen.
const REST: Duration = Duration::from_secs(1);

/// The memory of a gateway for `N` connections at a time: a static.
///
/// | what | bytes |
/// |---|---|
/// | lanes: what a session reads, translates and writes, and the heads in front of it | 2 `LANE` a connection |
/// | rings: what TCP holds of two sockets, both ways | 4 `RING` a connection |
/// | counters and switches | about 100, and 16 a connection |
///
/// The state machines are not here but in the futures of [`Runner::run`]: about 3 KiB each on a 32-bit machine.
///
/// `LANE` bounds a client's head: it has to fit with about 250 bytes more for upstream. Frames of any length pass
/// through in pieces. With `LANE` = 512 or less some statuses would be cut.
#[derive(Debug)]
pub struct State<const N: usize, const LANE: usize = 2048, const RING: usize = 2048> {
    slots: [Slot<LANE, RING>; N],
    switch: Switch<N>,
}

#[derive(Debug)]
struct Slot<const LANE: usize, const RING: usize> {
    up: [u8; LANE],
    down: [u8; LANE],
    client: Rings<RING>,
    upstream: Rings<RING>,
}

#[derive(Debug)]
struct Rings<const RING: usize> {
    received: [u8; RING],
    sent: [u8; RING],
}

impl<const RING: usize> Rings<RING> {
    const fn new() -> Self {
        Self { received: [0; RING], sent: [0; RING] }
    }

    fn socket<'a>(&'a mut self, stack: Stack<'a>) -> TcpSocket<'a> {
        let mut socket = TcpSocket::new(stack, &mut self.received, &mut self.sent);
        prepare(&mut socket);
        socket
    }
}

/// What all connections of a gateway look at.
struct Switch<const N: usize> {
    mode: Watch<CriticalSectionRawMutex, Mode, N>,
    count: Count,
}

impl<const N: usize> core::fmt::Debug for Switch<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Switch").field("mode", &self.mode.try_get()).field("count", &self.count).finish()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Serving,
    /// Nobody new is let in.
    Draining,
    /// Sessions end, too.
    Closing,
}

impl<const N: usize, const LANE: usize, const RING: usize> State<N, LANE, RING> {
    /// The memory of a gateway that was not started.
    pub const fn new() -> Self {
        Self {
            slots: [const { Slot { up: [0; LANE], down: [0; LANE], client: Rings::new(), upstream: Rings::new() } };
                N],
            switch: Switch { mode: Watch::new_with(Mode::Serving), count: Count::new() },
        }
    }
}

impl<const N: usize, const LANE: usize, const RING: usize> Default for State<N, LANE, RING> {
    fn default() -> Self {
        Self::new()
    }
}

/// A gateway: how it is watched, and stopped.
#[derive(Debug, Clone, Copy)]
pub struct Gateway<'a, const N: usize> {
    switch: &'a Switch<N>,
}

/// One of a gateway's connections at a time, over and over.
#[derive(Debug)]
pub struct Runner<'a, const N: usize, const LANE: usize = 2048, const RING: usize = 2048> {
    slot: &'a mut Slot<LANE, RING>,
    switch: &'a Switch<N>,
    place: Place<'a>,
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

/// Makes a gateway for `N` connections at a time. Each [`Runner`] is to be run by a task of its own; a stack that has
/// sockets for all of them has two a runner.
///
/// There is no queue in front: a client that connects while all runners are at work is refused by TCP. Give it one or two
/// more than clients are expected, because a connection's end takes a moment.
pub fn new<'a, const N: usize, const LANE: usize, const RING: usize>(
    state: &'a mut State<N, LANE, RING>,
    place: Place<'a>,
) -> (Gateway<'a, N>, [Runner<'a, N, LANE, RING>; N]) {
    let State { slots, switch } = state;
    let switch = &*switch;
    let runners = slots.each_mut().map(|slot| Runner { slot, switch, place });
    (Gateway { switch }, runners)
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

impl<const N: usize> Switch<N> {
    fn set(&self, mode: Mode) {
        self.mode.sender().send_if_modified(|current| {
            let is_later = current.is_none_or(|current| current < mode);
            if is_later {
                *current = Some(mode);
            }
            is_later
        });
    }

    /// Waits for a mode.
    async fn reached(&self, wanted: Mode) {
        match self.mode.receiver() {
            Some(mut mode) => {
                mode.get_and(|&mode| mode >= wanted).await;
            }
            // There are as many receivers as runners, and a runner waits for one mode at a time.
            None => core::future::pending().await,
        }
    }
}

impl<const N: usize, const LANE: usize, const RING: usize> Runner<'_, N, LANE, RING> {
    /// Serves one connection after the other, until the gateway drains.
    pub async fn run(self, stack: Stack<'_>) {
        let Self { slot, switch, place } = self;
        loop {
            let Slot { up, down, client, upstream } = &mut *slot;
            let mut client = client.socket(stack);
            if !accepted(&mut client, switch, place.port).await {
                return;
            }
            switch.count.opened();
            let mut upstream = upstream.socket(stack);
            let peer = client.remote_endpoint().map(|peer| to_ip(peer.addr));
            let mut dialer = Dialer { socket: &mut upstream, upstream: place.upstream };
            let stop = switch.reached(Mode::Closing);
            let ended = serve(&mut client, peer, &mut dialer, (up, down), &place.options, stop).await;
            tell(&ended);
            switch.count.ended(&ended);
            join(hang_up(&mut upstream), hang_up(&mut client)).await;
            switch.count.closed();
        }
    }
}

/// Listens until a client comes; false if none shall come any more.
async fn accepted<const N: usize>(socket: &mut TcpSocket<'_>, switch: &Switch<N>, port: u16) -> bool {
    loop {
        match select(switch.reached(Mode::Draining), socket.accept(port)).await {
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
