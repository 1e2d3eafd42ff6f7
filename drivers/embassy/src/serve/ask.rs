use embassy_time::with_timeout;
use embedded_io_async::ErrorKind;
use strait::Limits;
use strait::gateway::{Attempt, DialError};
use strait::http::{Body, Response, write_text};
use strait::k8s::Subprotocol;
use strait::upgrade::UpgradeError;

use super::{HEADERS, deadline};
use crate::connection::{self, Connection};
use crate::head::{Head, HeadFailure, read_head};
use crate::socket::Dial;

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
    pub(super) fn in_memory<'a>(&self, memory: &'a [u8]) -> DialError<ErrorKind, &'a [u8]> {
        match &self.error {
            DialError::Connect(error) => DialError::Connect(*error),
            DialError::Timeout => DialError::Timeout,
            DialError::Closed => DialError::Closed,
            DialError::Silent => DialError::Silent,
            DialError::Malformed(error) => DialError::Malformed(*error),
            DialError::Io(error) => DialError::Io(*error),
            DialError::Upgrade { error, .. } => DialError::Upgrade {
                error: error.clone(),
                body: memory.get(self.body.clone()).unwrap_or_default(),
            },
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
    attempt: Attempt,
    limits: &Limits,
) -> Result<Granted<'d, D::Connection>, NotGranted> {
    let asking = async {
        let io = upstream.dial().await.map_err(DialError::Connect)?;
        connection::write(io, memory.get(..request).unwrap_or_default()).await.map_err(DialError::Connect)?;
        // A quarter stays free for what the session writes in front of what came behind the head.
        let room = memory.len() - memory.len() / 4;
        let room = memory.get_mut(..room).unwrap_or_default();
        let head = read_head(io, room, limits.head_bytes, deadline(limits)).await.map_err(to_dial_error)?;
        Ok::<_, DialError<ErrorKind, ()>>((io, head))
    };
    let (io, head) = with_timeout(deadline(limits), asking).await.unwrap_or(Err(DialError::Timeout))?;
    match judge(memory.get(..head.len).unwrap_or_default(), &attempt) {
        Ok(protocol) => Ok(Granted { io, head, protocol }),
        Err((error, length)) => {
            let filled = read_body(io, memory, head, length, limits).await;
            Err(NotGranted { error, body: head.len..filled })
        }
    }
}

fn to_dial_error(failure: HeadFailure) -> DialError<ErrorKind, ()> {
    match failure {
        HeadFailure::Closed => DialError::Closed,
        HeadFailure::Timeout => DialError::Silent,
        HeadFailure::Malformed(error) => DialError::Malformed(error),
        HeadFailure::Io(error) => DialError::Io(error),
    }
}

/// What upstream's answer means: the protocol that it chose, or the error and how many bytes of body it announces.
#[inline(never)]
fn judge(head: &[u8], attempt: &Attempt) -> Result<Subprotocol, (DialError<ErrorKind, ()>, u64)> {
    let response: Response<'_, HEADERS> = match Response::parse(head) {
        Ok(response) => response,
        Err(error) => return Err((DialError::Malformed(error), 0)),
    };
    attempt.check_answer(&response).map_err(|error| {
        let length = match (&error, response.body("POST")) {
            (UpgradeError::Refused { .. }, Body::Length(length)) => length,
            (UpgradeError::Refused { .. }, Body::Chunked | Body::UntilClose) => u64::MAX,
            _ => 0,
        };
        (DialError::Upgrade { error, body: () }, length)
    })
}

/// Reads the body of a refusal, as far as it comes within the deadline and as there is room. Returns where it ends.
async fn read_body(
    io: &mut impl Connection,
    memory: &mut [u8],
    head: Head,
    length: u64,
    limits: &Limits,
) -> usize {
    let end = memory.len().min(head.len.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)));
    let mut filled = head.filled.min(end);
    let reading = async {
        while let Some(space) = memory.get_mut(filled..end).filter(|space| !space.is_empty()) {
            match connection::read(io, space).await {
                Ok(count @ 1..) => filled += count,
                _ => return,
            }
        }
    };
    let _ = with_timeout(deadline(limits) / 3, reading).await;
    filled
}

/// Writes what a client gets whose upgrade upstream did not grant, and says the HTTP status.
#[inline(never)]
pub(super) fn to_answer(refused: &NotGranted, memory: &[u8], out: &mut [u8]) -> (u16, usize) {
    let error = refused.in_memory(memory);
    info!("upgrade refused by upstream: {}", error.status());
    // A body that has no room beside its head is cut.
    let written = error.write_answer(out).or_else(|_| write_text(error.status(), [], &error, out));
    (error.status(), written.unwrap_or_default())
}
