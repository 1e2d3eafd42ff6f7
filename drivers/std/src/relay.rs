use std::io;
use std::net::TcpStream;
use std::time::Duration;

use strait::bridge::Peer;

use crate::answer::send_and_close;
use crate::head::Head;
use crate::stop::Stop;
use crate::wait::{Patience, peer};

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
    stop: &Stop,
) -> io::Result<()> {
    let stopping = || stop.is_closing();
    let patience = Patience::new(IDLE, &stopping);
    patience.write_all(&mut upstream, request)?;
    let mut left = usize::try_from(length).unwrap_or(usize::MAX);
    let mut space = vec![0; 16 * 1024];
    let behind = head.behind();
    let first = behind.get(..behind.len().min(left)).unwrap_or_default();
    patience.write_all(&mut upstream, first)?;
    left -= first.len();
    while left > 0 {
        let most = left.min(space.len());
        let piece = space.get_mut(..most).unwrap_or_default();
        let count = patience.anew(IDLE).read(&mut client, piece)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        patience.anew(IDLE).write_all(&mut upstream, piece.get(..count).unwrap_or_default())?;
        left -= count;
    }
    // A client that closes does not want its answer any more.
    let is_over = || stop.is_closing() || peer(client) != Peer::Connected;
    let patience = Patience::new(IDLE, &is_over);
    loop {
        let count = patience.anew(IDLE).read(&mut upstream, &mut space)?;
        if count == 0 {
            send_and_close(client, &[], stop);
            return Ok(());
        }
        patience.anew(IDLE).write_all(&mut client, space.get(..count).unwrap_or_default())?;
    }
}
