//! The main process of a node's pod: kept running, and shared by all sessions that attach.
//!
//! | stream | what sessions get, or give |
//! |---|---|
//! | output | each session all of it from the moment it attaches; while nobody is attached it is dropped |
//! | input | merged in the order in which it arrives; the end of a session's input is not the end of the process's |
//! | exit | every session, behind the last output |
//!
//! Output waits for the slowest session, for to lose some without a word is worse: up to 1 MiB waits for each of
//! them, then the process waits on its pipe, as it does in containerd. But no session holds it for ever: one that has
//! gone is not waited for, and one that takes nothing for [`STALL`] is cut off. Such a session still gets all that
//! waits for it, and then an error instead of a status.

mod back_off;
mod share;

use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strait::k8s::{Channel, ChannelSet, StreamSet};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::process::{Command, Exit, Process, Window};
use back_off::BackOff;
pub(crate) use share::{Share, Stalled};

/// Most bytes that are read from the process, or taken from a session, in one piece.
const PIECE: usize = 32 * 1024;

/// Pieces of output that wait for one session: 1 MiB at the most.
const PIECES: usize = 32;

/// Pieces of all sessions' input that wait for the process.
const KEYS: usize = 8;

/// How long a session may take nothing, with all its room used, before it is cut off.
pub(crate) const STALL: Duration = Duration::from_mins(1);

/// When the process has exited, all that it wrote is in its pipes, and is read without a wait. A read that waits is
/// for what it left in the background, which would keep its sessions for ever.
const SILENCE: Duration = Duration::from_millis(200);

/// What it left in the background may also write without a pause. No pipe of a process holds more than this, unless it
/// is privileged.
const LAST_WORDS: usize = 1024 * 1024;

/// The process that sessions attach to: a shell's command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MainProcess {
    command: Command,
}

impl MainProcess {
    /// `sh -c LINE`, on pipes. Its standard input stays open until the node stops.
    pub fn new(line: impl Into<OsString>) -> Self {
        let argv = vec!["sh".into(), "-c".into(), line.into()];
        Self { command: Command { argv, tty: false, stdin: true, stdout: true, stderr: true } }
    }

    /// On a terminal instead.
    #[must_use]
    pub fn on_terminal(self) -> Self {
        Self { command: Command { tty: true, stderr: false, ..self.command } }
    }

    /// Whether it runs on a terminal.
    pub const fn tty(&self) -> bool {
        self.command.tty
    }
}

/// The one who keeps a main process running, and whom sessions ask for a share of it.
#[derive(Debug)]
pub(crate) struct Keeper {
    process: MainProcess,
    /// Nothing while it does not run.
    stage: Mutex<Option<Stage>>,
}

/// A running main process, for sessions.
#[derive(Debug)]
struct Stage {
    stdin: mpsc::Sender<Box<[u8]>>,
    window: Window,
    audience: Vec<Listener>,
}

/// A session, for the main process.
#[derive(Debug)]
struct Listener {
    channels: ChannelSet,
    news: mpsc::Sender<News>,
    /// Room for the last news, however much waits in front of it.
    last: OwnedPermit<News>,
}

/// What a session is told.
#[derive(Debug, Clone)]
enum News {
    Output(Channel, Arc<[u8]>),
    Exit(Exit),
}

impl Keeper {
    pub(crate) const fn new(process: MainProcess) -> Self {
        Self { process, stage: Mutex::new(None) }
    }

    /// A share of the process from now on, if it runs.
    pub(crate) fn attach(&self, streams: StreamSet) -> Option<Share> {
        let mut stage = self.stage();
        let stage = stage.as_mut()?;
        // Who has gone is found by output, but there may be none.
        stage.audience.retain(|listener| !listener.news.is_closed());
        let (news, queue) = mpsc::channel(PIECES + 1);
        let last = news.clone().try_reserve_owned().ok()?;
        let outputs = [(Channel::STDOUT, streams.stdout), (Channel::STDERR, streams.stderr)];
        let channels: ChannelSet =
            outputs.into_iter().filter(|(_, asked)| *asked).map(|(channel, _)| channel).collect();
        stage.audience.push(Listener { channels, news, last });
        let stdin = streams.stdin.then(|| stage.stdin.clone());
        Some(Share::new(stdin, queue, channels, stage.window.clone()))
    }

    /// Runs the process again and again until `stop`, and waits then until it has exited.
    pub(crate) async fn keep(&self, stop: &CancellationToken) {
        let mut back_off = BackOff::new();
        while !stop.is_cancelled() {
            let started = Instant::now();
            match Process::spawn(&self.process.command) {
                Ok(process) => {
                    tracing::debug!(pid = process.id(), "the main process runs");
                    let exit = self.run(process, stop).await;
                    tracing::info!(code = exit.code(), "the main process exited");
                }
                Err(error) => tracing::warn!(%error, "the main process cannot be started"),
            }
            stop.run_until_cancelled(sleep(back_off.after(started.elapsed()))).await;
        }
    }

    pub(crate) async fn run(&self, mut process: Process, stop: &CancellationToken) -> Exit {
        let (stdin, keys) = mpsc::channel(KEYS);
        *self.stage() = Some(Stage { stdin, window: process.window(), audience: Vec::new() });
        let exited = CancellationToken::new();
        let input = exited.run_until_cancelled(feed(process.stdin.take(), keys));
        let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
        // Sessions are ended before the process is: nobody hears what it says then.
        let stdout = stop.run_until_cancelled(self.relay(stdout, Channel::STDOUT, &exited));
        let stderr = stop.run_until_cancelled(self.relay(stderr, Channel::STDERR, &exited));
        let exit = async {
            let exit = exit_of(process, stop).await;
            exited.cancel();
            exit
        };
        let (exit, ..) = tokio::join!(exit, input, stdout, stderr);
        self.close(exit);
        exit
    }

    /// Nobody can attach any more, and who is attached is told why.
    fn close(&self, exit: Exit) {
        let stage = self.stage().take();
        for listener in stage.into_iter().flat_map(|stage| stage.audience) {
            listener.last.send(News::Exit(exit));
        }
    }

    /// Reads output to its end, and tells the audience.
    async fn relay(
        &self,
        from: Option<impl AsyncRead + Unpin>,
        channel: Channel,
        exited: &CancellationToken,
    ) {
        let Some(mut from) = from else { return };
        let mut buffer = vec![0; PIECE];
        let mut after_exit = 0;
        while after_exit < LAST_WORDS {
            let silence = async {
                exited.cancelled().await;
                sleep(SILENCE).await;
            };
            let read = tokio::select! {
                biased;
                read = from.read(&mut buffer) => read,
                () = silence => return,
            };
            let Ok(count @ 1..) = read else { return };
            if exited.is_cancelled() {
                after_exit += count;
            }
            self.tell(channel, &buffer[..count]).await;
        }
    }

    async fn tell(&self, channel: Channel, output: &[u8]) {
        let deadline = Instant::now() + STALL;
        let listeners = self.listeners_on(channel);
        if listeners.is_empty() {
            return;
        }
        let output: Arc<[u8]> = output.into();
        for listener in listeners {
            let told = timeout_at(deadline, listener.send(News::Output(channel, Arc::clone(&output)))).await;
            if told.is_err() {
                tracing::warn!(?STALL, "a session is cut off from the main process: it takes no output");
            }
            if !matches!(told, Ok(Ok(()))) {
                self.forget(&listener);
            }
        }
    }

    fn listeners_on(&self, channel: Channel) -> Vec<mpsc::Sender<News>> {
        let stage = self.stage();
        let audience = stage.iter().flat_map(|stage| &stage.audience);
        audience
            .filter(|listener| listener.channels.contains(channel))
            .map(|listener| listener.news.clone())
            .collect()
    }

    fn forget(&self, gone: &mpsc::Sender<News>) {
        if let Some(stage) = self.stage().as_mut() {
            stage.audience.retain(|listener| !listener.news.same_channel(gone));
        }
    }

    fn stage(&self) -> MutexGuard<'_, Option<Stage>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the process's exit, and brings it about when the node stops.
async fn exit_of(mut process: Process, stop: &CancellationToken) -> Exit {
    if let Some(exit) = stop.run_until_cancelled(process.wait()).await {
        return exit;
    }
    process.terminate();
    process.wait().await
}

/// Hands the sessions' input to the process. One that does not want it any more loses it, as on a pipe.
async fn feed(stdin: Option<impl AsyncWrite + Unpin>, mut keys: mpsc::Receiver<Box<[u8]>>) {
    let Some(mut stdin) = stdin else { return };
    while let Some(piece) = keys.recv().await {
        if let Err(error) = stdin.write_all(&piece).await {
            tracing::debug!(%error, "the main process takes no input");
        }
    }
}

#[cfg(test)]
mod tests;
