use core::future::poll_fn;
use core::task::Poll;

use embedded_io_async::ErrorKind;
use strait::Limits;
use strait::gateway::DialError;
use strait::http::{Body, Response};
use strait::k8s::Subprotocol;
use strait::upgrade::{Expected, UpgradeError};

use super::{HEADERS, deadline};
use crate::connection::{self, Connection};
use crate::head::{Head, HeadFailure, read_head};
use crate::socket::{Dial, dial};
use crate::wait::{poll_until, within};

/// An upstream that has granted its upgrade: its connection, the head of its answer, which lies in memory, and what is spoken.
pub(super) struct Granted<'a, U> {
    pub(super) io: &'a mut U,
    pub(super) head: Head,
    pub(super) protocol: Subprotocol,
}

/// An upstream that has not: why, and where in memory the body of its answer lies.
pub(super) struct NotGranted {
    error: DialError<ErrorKind, ()>,
    body: core::ops::Range<usize>,
}

impl NotGranted {
    /// The error with its body.
    pub(super) fn in_memory(self, memory: &[u8]) -> DialError<ErrorKind, &[u8]> {
        match self.error {
            DialError::Connect(error) => DialError::Connect(error),
            DialError::Timeout => DialError::Timeout,
            DialError::Closed => DialError::Closed,
            DialError::Silent => DialError::Silent,
            DialError::Malformed(error) => DialError::Malformed(error),
            DialError::Io(error) => DialError::Io(error),
            DialError::Upgrade { error, .. } => {
                DialError::Upgrade { error, body: memory.get(self.body).unwrap_or_default() }
            }
        }
    }
}

impl From<DialError<ErrorKind, ()>> for NotGranted {
    fn from(error: DialError<ErrorKind, ()>) -> Self {
        Self { error, body: 0..0 }
    }
}

/// Connects to upstream, sends it the first `request` bytes of `memory`, and reads its answer into their place.
pub(super) async fn ask<'d, D: Dial>(
    upstream: &'d mut D,
    memory: &mut [u8],
    request: usize,
    expected: Expected,
    limits: &Limits,
) -> Result<Granted<'d, D::Connection>, NotGranted> {
    let until = within(deadline(limits));
    let io = dial(upstream, until).await.map_err(to_connect_error)?;
    let request = memory.get(..request).unwrap_or_default();
    connection::write(io, request, until).await.map_err(to_connect_error)?;
    // A quarter stays free for what the session writes in front of what came behind the head.
    let room = memory.len() - memory.len() / 4;
    let room = memory.get_mut(..room).unwrap_or_default();
    let head = read_head(io, room, limits.head_bytes, until).await.map_err(to_dial_error)?;
    match judge(memory.get(..head.len).unwrap_or_default(), &expected) {
        Ok(protocol) => Ok(Granted { io, head, protocol }),
        Err((error, length)) => {
            let filled = read_body(io, memory, head, length, limits).await;
            Err(NotGranted { error, body: head.len..filled })
        }
    }
}

fn to_connect_error(error: ErrorKind) -> DialError<ErrorKind, ()> {
    match error {
        ErrorKind::TimedOut => DialError::Timeout,
        error => DialError::Connect(error),
    }
}

fn to_dial_error(failure: HeadFailure) -> DialError<ErrorKind, ()> {
    match failure {
        HeadFailure::Closed => DialError::Closed,
        HeadFailure::Timeout => DialError::Timeout,
        HeadFailure::Malformed(error) => DialError::Malformed(error),
        HeadFailure::Io(error) => DialError::Io(error),
    }
}

/// What upstream's answer means: the protocol that it chose, or the error and how many bytes of body it announces.
#[inline(never)]
fn judge(head: &[u8], expected: &Expected) -> Result<Subprotocol, (DialError<ErrorKind, ()>, u64)> {
    let response: Response<'_, HEADERS> = match Response::parse(head) {
        Ok(response) => response,
        Err(error) => return Err((DialError::Malformed(error), 0)),
    };
    expected.check(&response).map_err(|error| {
        let length = match (&error, response.body("POST")) {
            (UpgradeError::Refused { .. }, Body::Length(length)) => length,
            (UpgradeError::Refused { .. }, Body::Chunked | Body::UntilClose) => u64::MAX,
            _ => 0,
        };
        (DialError::Upgrade { error, body: () }, length)
    })
}

/// Reads the body of a refusal, as far as it comes within the deadline and as there is room. Returns where it ends.
fn read_body(
    io: &mut impl Connection,
    memory: &mut [u8],
    head: Head,
    length: u64,
    limits: &Limits,
) -> impl Future<Output = usize> {
    let end = memory.len().min(head.len.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)));
    let mut filled = head.filled.min(end);
    let until = within(deadline(limits) / 3);
    poll_fn(move |cx| {
        while let Some(space) = memory.get_mut(filled..end).filter(|space| !space.is_empty()) {
            match io.poll_read(cx, space) {
                Poll::Ready(Ok(count @ 1..)) => filled += count,
                Poll::Ready(_) => break,
                Poll::Pending => return poll_until(cx, until).map(|()| filled),
            }
        }
        Poll::Ready(filled)
    })
}

/// Writes what a client gets whose upgrade upstream did not grant, and says the HTTP status.
#[cfg(feature = "pass-on")]
#[inline(never)]
pub(super) fn to_answer(refused: NotGranted, memory: &[u8], out: &mut [u8]) -> (u16, usize) {
    let error = refused.in_memory(memory);
    info!("upgrade refused by upstream: {}", error.status());
    // A body that has no room beside its head is cut.
    let written =
        error.write_answer(out).or_else(|_| strait::http::write_text(error.status(), [], &error, out));
    (error.status(), written.unwrap_or_default())
}
