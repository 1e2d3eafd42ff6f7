use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{io, thread};

use socket2::SockRef;

use super::session::Session;
use crate::case::Stop;
use crate::target::Target;

/// What port-forward over SPDY is called.
pub(super) const PROTOCOL: &str = "portforward.k8s.io";

/// A TCP server on this host for the target to dial.
pub(super) struct Port {
    pub(super) port: u16,
    /// Connections that have come.
    pub(super) dialled: Receiver<()>,
}

impl Port {
    /// Serves each connection in a thread of its own. It listens as long as the suite runs.
    pub(super) fn serve(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Result<Self, Stop> {
        Self::on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, serve)
    }

    fn on(listener: TcpListener, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Result<Self, Stop> {
        let port = listener.local_addr()?.port();
        let (sender, dialled) = mpsc::channel();
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = sender.send(());
                let _ = stream.set_read_timeout(Some(Duration::from_mins(1)));
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Ok(Self { port, dialled })
    }

    /// One that reads nothing for 20 s, and whose system takes as little as it can.
    pub(super) fn stopped() -> Result<Self, Stop> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        // Accepted connections inherit it.
        SockRef::from(&listener).set_recv_buffer_size(16 * 1024)?;
        Self::on(listener, |stream| {
            thread::sleep(Duration::from_secs(20));
            drop(stream);
        })
    }

    /// Sends back what it gets.
    pub(super) fn echo() -> Result<Self, Stop> {
        Self::serve(|stream| {
            let (mut reader, mut writer) = (&stream, &stream);
            let _ = io::copy(&mut reader, &mut writer);
            let _ = stream.shutdown(std::net::Shutdown::Write);
        })
    }

    /// Where nobody listens.
    pub(super) fn refused() -> Result<u16, Stop> {
        Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
    }
}

/// A target that dials ports has to be on this host.
pub(super) fn on_this_host(target: &Target) -> Result<(), Stop> {
    let local = ["127.0.0.1:", "localhost:", "[::1]:"].iter().any(|host| target.address.starts_with(host));
    if local {
        Ok(())
    } else {
        Err(Stop::NotRun("the target is not on this host, where the ports are".into()))
    }
}

impl Session {
    /// A connection that forwards ports.
    pub(super) fn forward(target: &Target) -> Result<Self, Stop> {
        on_this_host(target)?;
        Self::upgrade(target, &target.forward, PROTOCOL)
    }

    /// Opens one stream of a pair, and returns its id. Its name here is its type and the request.
    pub(super) fn half(&mut self, kind: &str, port: &str, request: &str) -> u32 {
        let (id, frame) = self.half_frame(kind, port, request);
        self.wire.write(&frame);
        id
    }

    /// The same without sending it.
    pub(super) fn half_frame(&mut self, kind: &str, port: &str, request: &str) -> (u32, Vec<u8>) {
        let id = self.came.keys().max().map_or(1, |highest| highest + 2);
        self.came.entry(id).or_default();
        let mut headers = vec![("streamtype", kind), ("port", port)];
        if !request.is_empty() {
            headers.push(("requestid", request));
        }
        (id, self.wire.syn_stream(id, 0, &headers))
    }

    /// Opens a pair: its error stream and its data stream.
    pub(super) fn pair(&mut self, port: u16, request: &str) -> Result<(u32, u32), Stop> {
        let port = port.to_string();
        let pair = (self.half("error", &port, request), self.half("data", &port, request));
        self.accepted()?;
        Ok(pair)
    }
}

/// Waits for the next connection of a port.
pub(super) fn dialled(port: &Port, limit: Duration) -> Result<(), Stop> {
    port.dialled.recv_timeout(limit).map_err(|_| Stop::Saw("not dialled".into()))
}

/// True as soon as it is so, false if it is not within `limit`.
pub(super) fn soon(limit: Duration, is_so: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}
