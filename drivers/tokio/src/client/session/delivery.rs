use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use strait::k8s::Channel;
use tokio::io::AsyncWrite;

use super::Writer;

/// Hands output to the caller's writers from where it was received.
///
/// What a writer does not take is **held** there, and nothing behind it is looked at: the only back-pressure that one connection has.
pub(super) struct Delivery<'a> {
    stdout: Option<Writer<'a>>,
    stderr: Option<Writer<'a>>,
    held: Option<Held>,
    /// Output was given to a writer that may still hold it.
    unflushed: bool,
}

struct Held {
    channel: Channel,
    /// In what was received.
    range: Range<usize>,
    /// What is consumed of that when the payload is delivered.
    consumed: usize,
}

impl<'a> Delivery<'a> {
    pub(super) const fn new(stdout: Option<Writer<'a>>, stderr: Option<Writer<'a>>) -> Self {
        Self { stdout, stderr, held: None, unflushed: false }
    }

    /// A payload has come: `range` of the input, of which `consumed` bytes are done with once it is delivered.
    pub(super) fn hold(&mut self, channel: Channel, range: Range<usize>, consumed: usize) {
        self.held = Some(Held { channel, range, consumed });
    }

    pub(super) const fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Hands over what is held of `input`, and returns how much of that is done with: 0 if nothing is held.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, input: &[u8]) -> Poll<io::Result<usize>> {
        let Some(held) = &mut self.held else { return Poll::Ready(Ok(0)) };
        let writer = if held.channel == Channel::STDOUT { &mut self.stdout } else { &mut self.stderr };
        if let Some(writer) = writer {
            self.unflushed = true;
            while !held.range.is_empty() {
                let payload = input.get(held.range.clone()).unwrap_or_default();
                match ready!(Pin::new(&mut *writer).poll_write(cx, payload))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => held.range.start += count,
                }
            }
        }
        let consumed = held.consumed;
        self.held = None;
        Poll::Ready(Ok(consumed))
    }

    /// Ready if the writers hold nothing back: neither while there is nothing else to do, nor at the end.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.is_some() {
            return Poll::Pending;
        }
        if !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        let mut result = Ok(());
        for writer in [&mut self.stdout, &mut self.stderr].into_iter().flatten() {
            result = result.and(ready!(Pin::new(writer).poll_flush(cx)));
        }
        self.unflushed = false;
        Poll::Ready(result)
    }

    /// Forgets what is on its way.
    pub(super) fn abandon(&mut self) {
        (self.held, self.unflushed) = (None, false);
    }

    /// Nothing is written any more: one of the writers has failed.
    pub(super) fn close(&mut self) {
        self.abandon();
        (self.stdout, self.stderr) = (None, None);
    }
}
