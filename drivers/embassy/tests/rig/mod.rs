//! A gateway on an `embassy-net` stack of its own, without hardware: its wire leads to a second stack, and that one to the
//! sockets of this host.
//!
//! ```text
//! client -- TCP of this host -- stack 10.0.0.2 == wire == stack 10.0.0.1, gateway
//!   node -- TCP of this host -- stack 10.0.0.2 ==
//! ```
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod client;

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use embassy_net::tcp::TcpSocket;
use embassy_net::{Config, IpAddress, IpEndpoint, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use embassy_net_driver_channel as channel;
use embassy_net_driver_channel::driver::{Driver, HardwareAddress, LinkState};
use embassy_time::Duration;
use embedded_io_async::ErrorKind;
use strait_embassy::{
    Backlog, Connection, Counters, Filled, Gateway, Options, PassEnd, Place, State, pass_on,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

const MTU: usize = 1514;
const SOCKETS: usize = 120;
const PORT: u16 = 8080;
const UPSTREAM_PORT: u16 = 10250;
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// Connections that the gateway serves at a time.
pub(crate) const CONNECTIONS: usize = 4;

/// Clients that it has altogether.
pub(crate) const CLIENTS: usize = 12;

/// A gateway that runs until this is dropped.
pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    gateway: Gateway<'static, CONNECTIONS>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Rig {
    /// A gateway in front of `upstream`.
    pub(crate) fn start(upstream: SocketAddr) -> Self {
        Self::start_with(upstream, |_| {})
    }

    /// A gateway whose options were changed.
    pub(crate) fn start_with(
        upstream: SocketAddr,
        change: impl FnOnce(&mut Options<'static>) + Send + 'static,
    ) -> Self {
        let (started, starting) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, async {
                let (address, gateway) = run(upstream, change).await;
                started.send((address, gateway)).unwrap();
                let _ = stopped.await;
            });
        });
        let (address, gateway) = starting.recv().expect("the gateway starts");
        Self { address, gateway, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.gateway.counters()
    }

    pub(crate) fn gateway(&self) -> Gateway<'static, CONNECTIONS> {
        self.gateway
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(ended.is_some_and(|ended| ended.is_ok()), "the gateway panicked");
        }
    }
}

type Wire = channel::Runner<'static, MTU>;
type Port = channel::Device<'static, MTU>;

async fn run(
    upstream: SocketAddr,
    change: impl FnOnce(&mut Options<'static>),
) -> (SocketAddr, Gateway<'static, CONNECTIONS>) {
    let ((one_end, ours), (other_end, hosts)) = (port(1), port(2));
    spawn_local(wire(one_end, other_end));
    let backlog = Box::leak(Box::new(Backlog::<CONNECTIONS, CLIENTS>::new()));
    let (ours, hosts) = (stack(backlog.guard(ours), GATEWAY), stack(hosts, HOST));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(clients(listener, hosts));
    for _ in 0..2 * CONNECTIONS {
        spawn_local(upstreams(hosts, upstream));
    }
    let state = Box::leak(Box::new(State::<CONNECTIONS, CLIENTS>::new()));
    let mut options = Options::insecure_plaintext("10.0.0.2:10250");
    change(&mut options);
    let place = Box::leak(Box::new(Place { port: PORT, upstream: at(HOST, UPSTREAM_PORT), options }));
    let (gateway, door, runners) = strait_embassy::new(state, backlog, place);
    spawn_local(door.run(ours));
    for runner in runners {
        spawn_local(runner.run(ours));
    }
    (address, gateway)
}

fn at(address: Ipv4Addr, port: u16) -> IpEndpoint {
    IpEndpoint::new(IpAddress::Ipv4(address), port)
}

fn port(number: u8) -> (Wire, Port) {
    let state = Box::leak(Box::new(channel::State::<MTU, 8, 8>::new()));
    channel::new(state, HardwareAddress::Ethernet([2, 0, 0, 0, 0, number]))
}

fn stack(port: impl Driver + 'static, address: Ipv4Addr) -> Stack<'static> {
    let resources = Box::leak(Box::new(StackResources::<SOCKETS>::new()));
    let address_here = Ipv4Cidr::new(address, 24);
    let config = StaticConfigV4 { address: address_here, gateway: None, dns_servers: <_>::default() };
    let seed = u64::from(std::process::id()) << 32 | u64::from(address.to_bits());
    let (stack, mut runner) = embassy_net::new(port, Config::ipv4_static(config), resources, seed);
    spawn_local(async move { runner.run().await });
    stack
}

/// Carries frames from each end to the other.
async fn wire(one: Wire, other: Wire) {
    let (state, mut one_in, mut one_out) = one.split();
    state.set_link_state(LinkState::Up);
    let (state, mut other_in, mut other_out) = other.split();
    state.set_link_state(LinkState::Up);
    tokio::join!(carry(&mut one_out, &mut other_in), carry(&mut other_out, &mut one_in));
}

async fn carry(from: &mut channel::TxRunner<'static, MTU>, to: &mut channel::RxRunner<'static, MTU>) {
    loop {
        let frame = from.tx_buf().await;
        let len = frame.len();
        to.rx_buf().await[..len].copy_from_slice(frame);
        to.rx_done(len);
        from.tx_done();
    }
}

/// Leads each connection to this host's listener to the gateway.
async fn clients(listener: TcpListener, stack: Stack<'static>) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        spawn_local(async move {
            let (mut received, mut sent) = (vec![0; 8192], vec![0; 8192]);
            let mut socket = TcpSocket::new(stack, &mut received, &mut sent);
            socket.set_nagle_enabled(false);
            if socket.connect(at(GATEWAY, PORT)).await.is_ok() {
                lead(&mut Host(&mut client), &mut socket).await;
            }
        });
    }
}

/// Leads one of the gateway's connections at a time to `upstream`.
async fn upstreams(stack: Stack<'static>, upstream: SocketAddr) {
    loop {
        let (mut received, mut sent) = (vec![0; 8192], vec![0; 8192]);
        let mut socket = TcpSocket::new(stack, &mut received, &mut sent);
        socket.set_nagle_enabled(false);
        if socket.accept(UPSTREAM_PORT).await.is_ok()
            && let Ok(mut host) = TcpStream::connect(upstream).await
        {
            lead(&mut socket, &mut Host(&mut host)).await;
        }
    }
}

/// Passes bytes on, and the way in which a connection ended.
async fn lead<A: Connection + Abort, B: Connection + Abort>(one: &mut A, other: &mut B) {
    let (mut up, mut down) = (vec![0; 8192], vec![0; 8192]);
    let (up, down) = (Filled::empty(&mut up), Filled::empty(&mut down));
    let passed = pass_on(one, other, up, down, Duration::from_secs(60), pending()).await;
    let is_cut = passed.end != PassEnd::Complete;
    one.finish(is_cut).await;
    other.finish(is_cut).await;
}

/// Ends a connection for good.
trait Abort {
    async fn finish(&mut self, is_cut: bool);
}

impl Abort for TcpSocket<'_> {
    async fn finish(&mut self, is_cut: bool) {
        if is_cut {
            self.abort();
        }
        let _ = embassy_time::with_timeout(Duration::from_secs(5), self.flush()).await;
    }
}

impl Abort for Host<'_> {
    async fn finish(&mut self, is_cut: bool) {
        if is_cut {
            let _ = self.0.set_zero_linger();
        }
    }
}

/// A connection of this host.
struct Host<'a>(&'a mut TcpStream);

impl Connection for Host<'_> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, ErrorKind>> {
        let mut buffer = ReadBuf::new(into);
        let read = Pin::new(&mut *self.0).poll_read(cx, &mut buffer);
        read.map_ok(|()| buffer.filled().len()).map_err(to_kind)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, ErrorKind>> {
        Pin::new(&mut *self.0).poll_write(cx, from).map_err(to_kind)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        Poll::Ready(Ok(()))
    }

    fn end(&mut self) {
        let _ = Pin::new(&mut *self.0).poll_shutdown(&mut Context::from_waker(std::task::Waker::noop()));
    }
}

fn to_kind(_: io::Error) -> ErrorKind {
    ErrorKind::Other
}
