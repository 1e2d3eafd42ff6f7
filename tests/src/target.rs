use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, mem, thread};

use rustix::net::{self, AddressFamily, SocketType};

/// How long a connection of a target may stay silent: longer than any test waits.
const PATIENCE: Duration = Duration::from_mins(5);

/// A TCP server for a node to forward connections to: each is served in a thread of its own.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Target {
    /// On a free port of 127.0.0.1.
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let target = Self { address, open: Arc::default(), stopped: Arc::default() };
        let (open, stopped, serve) = (Arc::clone(&target.open), Arc::clone(&target.stopped), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (open, serve) = (Arc::clone(&open), Arc::clone(&serve));
                open.fetch_add(1, Ordering::Relaxed);
                let _ = stream.set_read_timeout(Some(PATIENCE));
                thread::spawn(move || {
                    serve(stream);
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        target
    }

    /// Sends back what it gets, and the end of it.
    pub fn echo() -> Self {
        Self::start(|stream| {
            let mut reader = &stream;
            let mut writer = &stream;
            let _ = io::copy(&mut reader, &mut writer);
            let _ = stream.shutdown(Shutdown::Write);
        })
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections that are being served.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // So that it looks.
        let _ = TcpStream::connect(self.address);
    }
}

/// A port of 127.0.0.1 where nobody listens, and on `[::1]` most probably neither.
pub fn refused_port() -> u16 {
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = net::getsockname(&socket).expect("it is bound");
    // Nobody else gets the port as long as this lives, and it never listens.
    mem::forget(socket);
    SocketAddr::try_from(address).expect("an address").port()
}

/// Ends a connection with a reset.
pub fn reset(stream: TcpStream) {
    let linger = net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
    linger.expect("a socket can be told to reset");
    drop(stream);
}
