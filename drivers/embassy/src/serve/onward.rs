mod plain;

use strait::Limits;
use strait::upgrade::Expected;

use super::ask::{Granted, NotGranted, ask, to_answer};
use super::{Ended, Options, deadline, millis};
use crate::connection::{self, Connection};
use crate::head::Head;
use crate::pass_on::pass_on;
use crate::session::Filled;
use crate::socket::Dial;
use crate::wait::within;

/// What goes on to upstream as it came.
pub(super) enum Onward {
    /// A request that is no upgrade, with `body` bytes behind it.
    Plain { request: usize, body: u64 },
    /// A session that nobody looks at.
    Session { request: usize, expected: Expected },
}

/// The HTTP status of an answer, the memory in which it lies, and its length.
pub(super) type Refused<'a> = (u16, &'a mut [u8], usize);

impl Onward {
    /// Goes on to its end. Without upstream: what the client gets.
    #[expect(clippy::too_many_arguments, reason = "a request as it lies in memory, and where it goes")]
    pub(super) async fn run<'a, C: Connection, D: Dial>(
        self,
        client: &mut C,
        upstream: &mut D,
        up: &'a mut [u8],
        head: Head,
        down: &'a mut [u8],
        options: &Options<'_>,
        stop: impl Future<Output = ()>,
    ) -> Result<Ended, Refused<'a>> {
        match self {
            Self::Plain { request, body } => {
                match plain::plain(client, upstream, up, head, down, request, body, options, stop).await {
                    Ok(is_whole) => Ok(Ended::Plain(is_whole)),
                    Err((status, length)) => Err((status, down, length)),
                }
            }
            Self::Session { request, expected } => {
                let behind = Filled::behind_head(&mut *up, head.len, head.filled);
                match ask(upstream, down, request, expected, &options.limits).await {
                    Ok(granted) => Ok(join(client, granted, behind, down, &options.limits, stop).await),
                    Err(refused) => Err(refusal(refused, down, up)),
                }
            }
        }
    }
}

/// What a client gets whose upgrade upstream did not grant: its own answer, which lies in `up`. What upstream has said lies in
/// `down`.
pub(super) fn refusal<'a>(refused: NotGranted, down: &[u8], up: &'a mut [u8]) -> Refused<'a> {
    let (status, length) = to_answer(refused, down, up);
    (status, up, length)
}

/// The client gets upstream's answer, and from then on all bytes are passed on.
async fn join<C: Connection, U: Connection>(
    client: &mut C,
    granted: Granted<'_, U>,
    up: Filled<'_>,
    down: &mut [u8],
    limits: &Limits,
    stop: impl Future<Output = ()>,
) -> Ended {
    let Granted { io, head, .. } = granted;
    let until = within(deadline(limits));
    if connection::write(client, down.get(..head.len).unwrap_or_default(), until).await.is_err() {
        return Ended::Left;
    }
    let down = Filled::behind_head(down, head.len, head.filled);
    Ended::PassedOn(pass_on(client, io, up, down, millis(limits.close), stop).await)
}
