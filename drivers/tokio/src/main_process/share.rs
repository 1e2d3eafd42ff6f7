use std::sync::Arc;
use std::task::{Context, Poll, ready};

use strait::k8s::{Channel, ChannelSet};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::{News, PIECE};
use crate::process::{Exit, Window};

/// One session's share of the main process. Dropping it is to detach: the process lives on.
#[derive(Debug)]
pub(crate) struct Share {
    /// Nothing if the session gives no input, or none any more.
    stdin: Option<PollSender<Box<[u8]>>>,
    news: mpsc::Receiver<News>,
    /// What the session has not taken of the last output.
    piece: Option<(Channel, Arc<[u8]>, usize)>,
    /// Outputs that have not ended.
    open: ChannelSet,
    end: Option<Result<Exit, Stalled>>,
    window: Window,
}

/// The session took no output for so long that it was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stalled;

impl Share {
    pub(super) fn new(
        stdin: Option<mpsc::Sender<Box<[u8]>>>,
        news: mpsc::Receiver<News>,
        open: ChannelSet,
        window: Window,
    ) -> Self {
        Self { stdin: stdin.map(PollSender::new), news, piece: None, open, end: None, window }
    }

    /// Hands input over and returns how much; 0 if the process takes none.
    pub(crate) fn poll_input(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<usize> {
        let Some(stdin) = &mut self.stdin else { return Poll::Ready(0) };
        let piece = &bytes[..bytes.len().min(PIECE)];
        let handed = ready!(stdin.poll_reserve(cx)).and_then(|()| stdin.send_item(piece.into()));
        Poll::Ready(if handed.is_ok() { piece.len() } else { 0 })
    }

    /// Ends this session's input, not the process's. True if it had not ended.
    pub(crate) fn end_input(&mut self) -> bool {
        self.stdin.take().is_some()
    }

    /// Hands over what can be without a wait.
    pub(crate) fn last_input(&self, bytes: &[u8]) {
        let Some(stdin) = self.stdin.as_ref().and_then(PollSender::get_ref) else { return };
        for piece in bytes.chunks(PIECE) {
            if stdin.try_send(piece.into()).is_err() {
                return;
            }
        }
    }

    /// Puts output into `room`, which is not empty, and returns its channel and length; length 0 is the channel's
    /// end. Learns of the exit, too, so a session without outputs has to ask.
    pub(crate) fn poll_output(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<(Channel, usize)> {
        loop {
            if let Some((channel, bytes, taken)) = &mut self.piece {
                let (channel, rest) = (*channel, &bytes[*taken..]);
                let count = rest.len().min(room.len());
                room[..count].copy_from_slice(&rest[..count]);
                *taken += count;
                if count == rest.len() {
                    self.piece = None;
                }
                return Poll::Ready((channel, count));
            }
            if self.end.is_some() {
                return self.poll_output_end();
            }
            match ready!(self.news.poll_recv(cx)) {
                Some(News::Output(channel, bytes)) => self.piece = Some((channel, bytes, 0)),
                Some(News::Exit(exit)) => self.end = Some(Ok(exit)),
                None => self.end = Some(Err(Stalled)),
            }
        }
    }

    fn poll_output_end(&mut self) -> Poll<(Channel, usize)> {
        for channel in [Channel::STDOUT, Channel::STDERR] {
            if self.open.contains(channel) {
                self.open.remove(channel);
                return Poll::Ready((channel, 0));
            }
        }
        Poll::Pending
    }

    /// The end, once the session has taken all output in front of it.
    pub(crate) const fn end(&self) -> Option<Result<Exit, Stalled>> {
        self.end
    }

    pub(crate) const fn window(&self) -> &Window {
        &self.window
    }
}
