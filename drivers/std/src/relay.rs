use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::head::Head;

/// The longest pause in a request's body or in its answer. API servers close idle watches after some minutes.
const IDLE: Duration = Duration::from_mins(10);

/// Passes a request that is no upgrade on to `upstream`, a connection of its own, and the answer back. Exactly the `length`
/// bytes of its body follow `request`, its head as upstream gets it, so that nothing can follow the request that was looked at.
pub(crate) fn relay(
    mut client: &TcpStream,
    head: &Head,
    request: &[u8],
    length: u64,
    mut upstream: &TcpStream,
) -> io::Result<()> {
    for socket in [client, upstream] {
        socket.set_read_timeout(Some(IDLE))?;
        socket.set_write_timeout(Some(IDLE))?;
    }
    upstream.write_all(request)?;
    io::copy(&mut head.behind().chain(client).take(length), &mut upstream)?;
    io::copy(&mut upstream, &mut client)?;
    client.shutdown(Shutdown::Write)
}
