//! The gateway as an image for a Cortex-M board.
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

use cortex_m_rt::{entry, exception};
use embassy_executor::Spawner;
use embassy_net::tcp::TcpSocket;
use embassy_net::{Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use static_cell::StaticCell;

use crate::board::Interrupt;
use crate::ethernet::Ethernet;

const SOCKETS: usize = 16;

static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();

#[entry]
fn main() -> ! {
    console::start();
    clock::start();
    if let Some(mut peripherals) = cortex_m::Peripherals::take() {
        stack::guard(&mut peripherals.MPU);
    }
    log::info!("strait {} for mps2-an385", env!("CARGO_PKG_VERSION"));
    let ethernet = ethernet::start().unwrap_or_else(|error| panic!("{error}"));
    executor::run(|spawner| start(spawner, ethernet))
}

// Not inlined: `embassy_net::new` takes most of the stack, and gives it back.
#[inline(never)]
fn start(spawner: Spawner, ethernet: Ethernet) {
    let seed = seed(&ethernet);
    let resources = RESOURCES.init_with(StackResources::new);
    let (stack, runner) = embassy_net::new(ethernet, config(), resources, seed);
    spawner.spawn(network(runner).expect("started once"));
    spawner.spawn(echo(stack).expect("started once"));
}

fn config() -> embassy_net::Config {
    match settings::ADDRESS {
        None => embassy_net::Config::dhcpv4(embassy_net::DhcpConfig::default()),
        Some((address, prefix, router)) => embassy_net::Config::ipv4_static(StaticConfigV4 {
            address: Ipv4Cidr::new(address, prefix),
            gateway: Some(router),
            dns_servers: Default::default(),
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
async fn network(mut runner: embassy_net::Runner<'static, Ethernet>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn echo(stack: Stack<'static>) -> ! {
    static RX: StaticCell<[u8; 2048]> = StaticCell::new();
    static TX: StaticCell<[u8; 2048]> = StaticCell::new();
    stack.wait_config_up().await;
    log::info!("up {:?}", stack.config_v4().map(|c| c.address));
    let mut socket = TcpSocket::new(stack, RX.init([0; 2048]), TX.init([0; 2048]));
    loop {
        let _ = socket.accept(settings::PORT).await;
        let mut buf = [0; 256];
        while let Ok(n @ 1..) = socket.read(&mut buf).await {
            let mut at = 0;
            while at < n {
                match socket.write(&buf[at..n]).await {
                    Ok(k) => at += k,
                    Err(_) => break,
                }
            }
        }
        socket.close();
        let _ = socket.flush().await;
        socket.abort();
        let _ = socket.flush().await;
        log::info!("stack {}", stack::high_water());
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
