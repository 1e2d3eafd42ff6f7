use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};

use rustix::event::PollFlags;
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::wait::{Patience, prepare};

/// Connects to `authority`, `host:port`, trying each of its addresses. Only the resolver may take longer than `patience` lasts.
pub(crate) fn connect(authority: &str, patience: &Patience<'_>) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in authority.to_socket_addrs()? {
        match connect_to(address, patience) {
            Ok(io) => return Ok(io),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_to(address: SocketAddr, patience: &Patience<'_>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {
            patience.wait(&socket, PollFlags::OUT)?;
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
        }
        result => result?,
    }
    let io = TcpStream::from(socket);
    prepare(&io)?;
    Ok(io)
}
