//! The gateway as an image for a Cortex-M board.
//!
//! One file a subject: the [board] and its devices ([clock], [ethernet], [console]), the [executor], what happens when things
//! go wrong ([failure], [stack]), and what the image is told when it is built ([settings]).
#![no_std]
#![no_main]

mod board;
mod clock;
mod console;
mod ethernet;
mod executor;
mod failure;
mod semihosting;
mod settings;
mod stack;

use core::fmt::Write as _;

use cortex_m_rt::{entry, exception};
use embassy_executor::Spawner;
use embassy_net::{IpAddress, IpEndpoint, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use embassy_time::{Duration, Timer};
use heapless::String;
use static_cell::{ConstStaticCell, StaticCell};
use strait_embassy::{Backlog, Counters, Door, Gateway, Guarded, Options, Place, Runner, State};

use crate::board::Interrupt;
use crate::ethernet::Ethernet;

/// Connections that are served at a time.
const CONNECTIONS: usize = 4;

/// Clients altogether, with those that wait and those whose connection ends: four kubectls ask for three things each at once.
const CLIENTS: usize = 12;

/// One for each client and each upstream, and one for DHCP.
const SOCKETS: usize = CLIENTS + CONNECTIONS + 1;

/// Bytes of one direction's memory.
const LANE: usize = 2048;

/// Bytes that TCP holds for one direction of one connection.
const RING: usize = 2048;

/// How often what has happened is looked at, to be told if it has changed.
const REPORT: Duration = Duration::from_secs(1);

type Clients = Backlog<'static, CONNECTIONS, CLIENTS>;

static RESOURCES: ConstStaticCell<StackResources<SOCKETS>> = ConstStaticCell::new(StackResources::new());
static STATE: ConstStaticCell<State<CONNECTIONS, CLIENTS, LANE, RING>> = ConstStaticCell::new(State::new());
static BACKLOG: StaticCell<Clients> = StaticCell::new();
static AUTHORITY: StaticCell<String<24>> = StaticCell::new();
static PLACE: StaticCell<Place<'static>> = StaticCell::new();

/// What `cargo xtask size` reads from the image.
// SAFETY: no other symbol of this name is linked.
#[unsafe(no_mangle)]
#[used]
static STRAIT_CONNECTIONS: [u32; 2] = [CONNECTIONS as u32, LANE as u32];

#[entry]
fn main() -> ! {
    console::start();
    clock::start();
    if let Some(mut peripherals) = cortex_m::Peripherals::take() {
        stack::guard(&mut peripherals.MPU);
    }
    log::info!("strait {} for mps2-an385", env!("CARGO_PKG_VERSION"));
    executor::run(start)
}

// Not inlined: what it takes of the stack is given back before the first task runs.
#[inline(never)]
fn start(spawner: Spawner) {
    let ethernet = ethernet::start().unwrap_or_else(|error| panic!("{error}"));
    let seed = seed(&ethernet);
    let backlog = BACKLOG.init(Backlog::new());
    let (stack, runner) = embassy_net::new(backlog.guard(ethernet), config(), RESOURCES.take(), seed);
    spawner.spawn(network(runner).expect("it is started once"));
    serve(spawner, stack, backlog);
}

#[inline(never)]
fn serve(spawner: Spawner, stack: Stack<'static>, backlog: &'static Clients) {
    let upstream = settings::upstream();
    let authority = AUTHORITY.init(String::new());
    write!(authority, "{upstream}").expect("it holds any address");
    let place = PLACE.init(Place {
        port: settings::PORT,
        upstream: IpEndpoint::new(IpAddress::Ipv4(*upstream.ip()), upstream.port()),
        options: Options::insecure_plaintext(authority),
    });
    let (gateway, door, runners) = strait_embassy::new(STATE.take(), backlog, place);
    spawner.spawn(clients(door, stack).expect("it is started once"));
    for runner in runners {
        spawner.spawn(connections(runner, stack).expect("there are as many tasks as connections"));
    }
    spawner.spawn(report(gateway, stack).expect("it is started once"));
    let state = size_of_val(&STATE);
    log::info!("upstream {upstream}, {CONNECTIONS} of {CLIENTS} clients at a time, {state} bytes of state");
}

fn config() -> embassy_net::Config {
    match settings::ADDRESS {
        None => embassy_net::Config::dhcpv4(embassy_net::DhcpConfig::default()),
        Some((address, prefix, router)) => embassy_net::Config::ipv4_static(StaticConfigV4 {
            address: Ipv4Cidr::new(address, prefix),
            gateway: Some(router),
            dns_servers: <_>::default(),
        }),
    }
}

/// What the numbers of ports and segments begin with. The board has no source of randomness; one that has should use
/// it, because these numbers make it hard to forge segments.
fn seed(ethernet: &Ethernet) -> u64 {
    let [a, b, c, d, e, f] = ethernet.address();
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0]) ^ embassy_time::Instant::now().as_ticks() << 32
}

#[embassy_executor::task]
async fn network(mut runner: embassy_net::Runner<'static, Guarded<'static, Ethernet>>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn clients(door: Door<'static, CONNECTIONS, CLIENTS, RING>, stack: Stack<'static>) {
    door.run(stack).await;
}

#[embassy_executor::task(pool_size = CONNECTIONS)]
async fn connections(runner: Runner<'static, CONNECTIONS, CLIENTS, LANE, RING>, stack: Stack<'static>) {
    runner.run(stack).await;
}

/// Tells what has happened, and how deep the stack was.
#[embassy_executor::task]
async fn report(gateway: Gateway<'static, CONNECTIONS>, stack: Stack<'static>) -> ! {
    stack.wait_config_up().await;
    if let Some(config) = stack.config_v4() {
        log::info!("ready {}:{}", config.address.address(), settings::PORT);
    }
    let mut told = Counters::default();
    loop {
        let now = gateway.counters();
        if now != told {
            let Counters { connections, open, completed, failed, passed_on, plain, refused, .. } = now;
            log::info!(
                "connections {connections} open {open} completed {completed} failed {failed} passed_on {passed_on} \
                 plain {plain} refused {refused} stack {}",
                stack::high_water()
            );
            told = now;
        }
        Timer::after(REPORT).await;
    }
}

/// All interrupts of the board.
#[exception]
unsafe fn DefaultHandler(number: i16) {
    if number == Interrupt::TIMER0.number() {
        clock::on_interrupt();
    } else if number == Interrupt::ETHERNET.number() {
        ethernet::on_interrupt();
    } else {
        panic!("unexpected interrupt {number}");
    }
}
