use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::wait::{Io, prepare};

/// What the bytes of a client go through: a TCP connection, or what its caller speaks on one, such as TLS.
pub struct Connection {
    socket: TcpStream,
    over: Option<Box<dyn Stream>>,
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl Connection {
    /// A TCP connection as it is. It is made non-blocking.
    pub fn new(socket: TcpStream) -> io::Result<Self> {
        prepare(&socket)?;
        Ok(Self { socket, over: None })
    }

    /// A stream of the caller's over `socket`, a [clone](TcpStream::try_clone) of what it reads and writes. Its handshake has
    /// to be over.
    ///
    /// The socket is made non-blocking, and slept on. So a read of `stream` has to bring all that came before it says
    /// `WouldBlock`, and what a write leaves behind has to leave with `flush`: TLS by `rustls` does both.
    pub fn over(stream: impl Read + Write + Send + 'static, socket: TcpStream) -> io::Result<Self> {
        Ok(Self { over: Some(Box::new(stream)), ..Self::new(socket)? })
    }

    /// Ends this side's half, when all that was written has left.
    pub(super) fn shut_down(&self) {
        // A connection that is gone has no half to end.
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

impl Io for Connection {
    fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

impl Read for Connection {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match &mut self.over {
            None => self.socket.read(space),
            Some(over) => over.read(space),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.over {
            None => self.socket.write(bytes),
            Some(over) => over.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.over {
            None => self.socket.write_vectored(slices),
            Some(over) => over.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.over {
            None => Ok(()),
            Some(over) => over.flush(),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("socket", &self.socket).finish_non_exhaustive()
    }
}
