use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use strait::http::{WriteError, write_text};

use crate::stop::Stop;
use crate::wait::Patience;

/// How long, and how many bytes, a peer that was refused may still send before it is cut.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 2 * 1024 * 1024;

/// A response for a person to read.
pub(crate) fn text(status: u16, text: impl std::fmt::Display) -> Vec<u8> {
    written(|out| write_text(status, [], &text, out))
}

/// What `write` writes, with as much room as it asks for.
pub(crate) fn written(write: impl Fn(&mut [u8]) -> Result<usize, WriteError>) -> Vec<u8> {
    fitted(write)
        .unwrap_or_else(|_| b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n".to_vec())
}

/// The same, or that it cannot be written.
pub(crate) fn fitted(write: impl Fn(&mut [u8]) -> Result<usize, WriteError>) -> Result<Vec<u8>, WriteError> {
    let mut bytes = vec![0; 2048];
    let length = match write(&mut bytes) {
        Err(WriteError::Full { needed }) => {
            bytes.resize(needed, 0);
            write(&mut bytes)
        }
        result => result,
    }?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Sends the last bytes of a connection and closes it so that they arrive: what the peer still sends is
/// read for a while, because unread bytes at the close make the kernel reset the connection.
pub(crate) fn send_and_close(io: &TcpStream, bytes: &[u8], stop: &Stop) {
    let closing = || stop.is_closing();
    let patience = Patience::new(LINGER, &closing);
    let mut socket = io;
    let sent = patience.write_all(&mut socket, bytes).and_then(|()| io.shutdown(Shutdown::Write));
    let (mut dropped, mut space) = (0, [0; 4096]);
    while sent.is_ok()
        && dropped < LINGER_BYTES
        && let Ok(count @ 1..) = patience.read(&mut socket, &mut space)
    {
        dropped += count;
    }
}
