use embedded_io_async::ErrorKind;
use strait::gateway::DialError;

use super::super::{Options, deadline, millis};
use crate::connection::{self, Connection};
use crate::head::Head;
use crate::pass_on;
use crate::socket::{Dial, dial};
use crate::wait::within;

/// A request that is no upgrade, on a connection of its own to upstream: exactly its body is passed on, and then the answer to
/// the end of that connection: true if it was whole. Without upstream, the status and the length of what the client gets, which
/// lies in `down`.
#[expect(clippy::too_many_arguments, reason = "a request as it lies in memory, and where it goes")]
pub(super) async fn plain<C: Connection, D: Dial>(
    client: &mut C,
    upstream: &mut D,
    up: &mut [u8],
    head: Head,
    down: &mut [u8],
    request: usize,
    body: u64,
    options: &Options<'_>,
    stop: impl Future<Output = ()>,
) -> Result<bool, (u16, usize)> {
    let limits = &options.limits;
    let sending = async {
        let until = || within(deadline(limits));
        let io = dial(upstream, until()).await.map_err(DialError::<ErrorKind, &[u8]>::Connect)?;
        let request = down.get(..request).unwrap_or_default();
        connection::write(io, request, until()).await.map_err(DialError::Connect)?;
        let mut left = body;
        let (mut start, mut end) = (head.len, head.filled);
        while left > 0 {
            if start == end {
                (start, end) = (0, connection::read(client, up, until()).await.unwrap_or(0));
                if end == 0 {
                    return Err(DialError::Closed);
                }
            }
            end = end.min(start.saturating_add(usize::try_from(left).unwrap_or(usize::MAX)));
            let piece = up.get(start..end).unwrap_or_default();
            connection::write(io, piece, until()).await.map_err(DialError::Io)?;
            left = left.saturating_sub(piece.len() as u64);
            start = end;
        }
        Ok(io)
    };
    match sending.await {
        Ok(io) => Ok(pass_on::answer(client, io, down, millis(limits.idle), stop).await),
        Err(error) => Err((error.status(), error.write_answer(down).unwrap_or_default())),
    }
}
