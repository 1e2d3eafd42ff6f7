use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use strait::k8s::TerminalSize;
use tokio::io::{AsyncWrite, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Exit, Session, SessionError, Streams};

/// Bytes that each stream holds for the caller.
const BUFFER: usize = 64 * 1024;

/// A remote command with streams, driven by a task of its own.
///
/// A stream that the request did not ask for is `None`. Standard input is half-closed by its `shutdown`, or by dropping it.
/// Output that is dropped is thrown away. **All output has to be read**, or dropped: one connection carries all streams, so one that is not
/// read stops the others, once its 64 KiB are full.
///
/// Dropping the process ends the session; the command then sees the end of its input, and no more.
#[derive(Debug)]
pub struct Process {
    /// Input of the command.
    pub stdin: Option<DuplexStream>,
    /// Its output.
    pub stdout: Option<DuplexStream>,
    /// Its output of errors; none with a terminal.
    pub stderr: Option<DuplexStream>,
    sizes: watch::Sender<Option<TerminalSize>>,
    task: JoinHandle<Result<Exit, SessionError>>,
    detach: CancellationToken,
    _ends_with_this: DropGuard,
}

impl Process {
    pub(super) fn spawn(session: Session) -> Self {
        let asked = session.streams();
        let (sizes, news) = watch::channel(None);
        let detach = CancellationToken::new();
        let mut streams = Streams::new().sizes(news).detach(detach.clone());
        let mut ends = [asked.stdin, asked.stdout, asked.stderr].map(|wanted| wanted.then(|| duplex(BUFFER)));
        let [stdin, stdout, stderr] = ends.each_mut().map(Option::take).map(|end| match end {
            Some((ours, theirs)) => (Some(ours), Some(theirs)),
            None => (None, None),
        });
        if let Some(far) = stdin.1 {
            streams = streams.stdin(far);
        }
        if let Some(far) = stdout.1 {
            streams = streams.stdout(Unread(far));
        }
        if let Some(far) = stderr.1 {
            streams = streams.stderr(Unread(far));
        }
        let task = tokio::spawn(session.run(streams));
        let guard = detach.clone().drop_guard();
        Self {
            stdin: stdin.0,
            stdout: stdout.0,
            stderr: stderr.0,
            sizes,
            task,
            detach,
            _ends_with_this: guard,
        }
    }

    /// Tells the command that its terminal has another size. Of sizes that follow each other quickly the last one counts.
    pub fn resize(&self, size: TerminalSize) {
        self.sizes.send_replace(Some(size));
    }

    /// Ends the session without waiting for the command; [`wait`](Self::wait) then says [`SessionError::Detached`].
    pub fn detach(&self) {
        self.detach.cancel();
    }

    /// Waits for the end of the session. Standard input is half-closed and what is left of the output is thrown away, unless the caller has
    /// taken the streams out before.
    pub async fn wait(mut self) -> Result<Exit, SessionError> {
        drop((self.stdin.take(), self.stdout.take(), self.stderr.take()));
        match (&mut self.task).await {
            Ok(result) => result,
            // The task is never aborted, so it has panicked.
            Err(error) => Err(SessionError::lost("the exit status", Some(io::Error::other(error)))),
        }
    }
}

/// Output that may be dropped: what nobody reads is thrown away.
struct Unread(DuplexStream);

impl AsyncWrite for Unread {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.0).poll_write(cx, bytes) {
            Poll::Ready(Err(_)) => Poll::Ready(Ok(bytes.len())),
            other => other,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
