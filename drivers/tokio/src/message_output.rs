use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use strait::Role;
use strait::ws::Sender;
use tokio::io::AsyncWrite;

/// What waits to be written to a WebSocket: messages, then control frames, none of them within another frame.
#[derive(Debug)]
pub(crate) struct MessageOutput {
    /// Whole messages.
    pub(crate) messages: Vec<u8>,
    sent: usize,
    /// Pings, pongs, the Close.
    pub(crate) sender: Sender,
    /// Bytes that are left of control frames that have left in part. What was queued behind them waits for the messages: it may be the Close.
    begun: usize,
}

impl MessageOutput {
    pub(crate) const fn new(role: Role) -> Self {
        Self { messages: Vec::new(), sent: 0, sender: Sender::new(role), begun: 0 }
    }

    /// Bytes of messages that have not left.
    pub(crate) const fn waiting(&self) -> usize {
        self.messages.len() - self.sent
    }

    /// Writes until nothing waits.
    pub(crate) fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let messages = self.messages.get(self.sent..).filter(|messages| !messages.is_empty());
            let control = self.sender.outbox().pending();
            let is_message = messages.is_some() && self.begun == 0;
            let bytes = match messages {
                Some(messages) if is_message => messages,
                _ if control.is_empty() => return Poll::Ready(Ok(())),
                _ if self.begun == 0 => control,
                _ => &control[..self.begun],
            };
            let all = bytes.len();
            let count = ready!(Pin::new(&mut *io).poll_write(cx, bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if is_message {
                self.sent += count;
                if count == all {
                    self.messages.clear();
                    self.sent = 0;
                }
            } else {
                self.sender.outbox_mut().sent(count);
                self.begun = all - count;
            }
        }
    }
}
