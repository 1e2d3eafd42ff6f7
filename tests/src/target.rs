use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, thread};

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

/// A port of 127.0.0.1 and of `[::1]` where nobody listens, most probably.
pub fn refused_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Ends a connection with a reset.
pub fn reset(stream: TcpStream) {
    let linger = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
    linger.expect("a socket can be told to reset");
    drop(stream);
}
