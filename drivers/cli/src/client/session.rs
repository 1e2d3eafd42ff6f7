use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use strait::k8s::{Pod, StreamSet};
use strait_tokio::client::{Executor, Exit, Session, SessionError, Streams};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::detach::DetachKeys;
use super::terminal::{self, RawTerminal};
use super::{Place, stdio, transport};
use crate::arguments::{Attach, Exec};

/// kubectl's switch between WebSocket and SPDY for everything that runs commands.
pub(crate) const WEBSOCKETS: &str = "KUBECTL_REMOTE_COMMAND_WEBSOCKETS";

const NO_TERMINAL: &str = "Unable to use a TTY - input is not a terminal or the right kind of file";

/// Runs a command and ends with its exit code.
pub(crate) async fn exec(arguments: Exec) -> anyhow::Result<ExitCode> {
    let Exec { pod, container, stdin, tty, quiet, command, server } = arguments;
    let place = server.find(&pod, container.as_deref(), quiet).await?;
    let streams = streams(stdin, tty, quiet);
    let command = command.iter().map(|argument| argument.as_bytes());
    let session = place.executor().exec(&place.pod(), command, streams).await?;
    run(session, quiet, Vec::new()).await
}

/// Joins the main process and ends with its exit code, or with 0 if the user leaves before.
pub(crate) async fn attach(arguments: Attach) -> anyhow::Result<ExitCode> {
    let Attach { pod, container, stdin, tty, quiet, detach_keys, server } = arguments;
    let place = server.find(&pod, container.as_deref(), quiet).await?;
    let has_terminal = place.info.container(&place.container).is_some_and(|container| container.tty);
    if tty && !has_terminal && !quiet {
        eprintln!("Unable to use a TTY - container {} did not allocate one", place.container);
    }
    // With a terminal in the container, output comes as from one, whether it is asked for or not.
    let mut streams = streams(stdin, tty && has_terminal, quiet);
    let is_raw = streams.tty;
    streams.tty = has_terminal;
    let session = place.executor().attach(&place.pod(), streams).await?;
    if is_raw && !quiet {
        eprintln!("If you don't see a command prompt, try pressing enter.");
    }
    run(session, quiet, if is_raw { detach_keys.0 } else { Vec::new() }).await
}

/// A terminal is used with standard input only, and only if that is one.
fn streams(stdin: bool, tty: bool, quiet: bool) -> StreamSet {
    let is_terminal = io::stdin().is_terminal();
    if tty && stdin && !is_terminal && !quiet {
        eprintln!("{NO_TERMINAL}");
    }
    StreamSet { stdin, stdout: true, stderr: true, tty: tty && stdin && is_terminal }
}

impl Place {
    pub(crate) fn executor(&self) -> Executor {
        Executor::new(self.server.clone()).with_transport(transport(WEBSOCKETS))
    }

    pub(crate) fn pod(&self) -> Pod<'_> {
        Pod { namespace: &self.namespace, name: &self.pod, container: Some(&self.container) }
    }
}

async fn run(session: Session, quiet: bool, detach_keys: Vec<u8>) -> anyhow::Result<ExitCode> {
    let asked = session.streams();
    let detach = CancellationToken::new();
    let signalled = end_on_signal(&detach)?;
    let is_raw = asked.tty && asked.stdin && io::stdin().is_terminal();
    let raw = if is_raw { Some(RawTerminal::enter()?) } else { None };
    let mut streams = Streams::new().stdout(stdio::stdout()).detach(detach.clone());
    if asked.stderr {
        streams = streams.stderr(stdio::stderr());
    }
    if asked.stdin {
        streams = streams.stdin(DetachKeys::new(stdio::stdin(), detach_keys, detach));
    }
    if asked.tty {
        streams = streams.sizes(sizes()?);
    }
    #[cfg(debug_assertions)]
    panic_for_a_test(is_raw);
    let result = session.run(streams).await;
    drop(raw);
    let signal = *signalled.borrow();
    match (result, signal) {
        (Err(SessionError::Detached), Some(signal)) => Ok(ExitCode::from(128 + signal)),
        (Err(SessionError::Detached), None) => {
            if !quiet {
                eprintln!("\ndetached");
            }
            Ok(ExitCode::SUCCESS)
        }
        // As with a program that is killed because nobody reads its output.
        (Err(SessionError::Output(error)), _) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::from(128 + 13))
        }
        (Ok(exit), _) => Ok(code(exit, quiet)),
        (Err(error), _) => Err(error.into()),
    }
}

/// The exit code of this program for that of the command. What does not fit into 8 bits is cut as a system would cut it, but never to 0.
fn code(Exit { code }: Exit, quiet: bool) -> ExitCode {
    if code != 0 && !quiet {
        eprintln!("command terminated with exit code {code}");
    }
    match (code, (code & 0xff) as u8) {
        (1.., 0) => ExitCode::FAILURE,
        (_, low) => ExitCode::from(low),
    }
}

/// Ends the session in order when somebody wants this program to end, and tells which signal it was. The second one ends it at once.
fn end_on_signal(detach: &CancellationToken) -> io::Result<watch::Receiver<Option<u8>>> {
    let (told, signalled) = watch::channel(None);
    for (kind, number) in [
        (SignalKind::hangup(), 1),
        (SignalKind::interrupt(), 2),
        (SignalKind::quit(), 3),
        (SignalKind::terminate(), 15),
    ] {
        let mut signals = signal(kind)?;
        let (told, detach) = (told.clone(), detach.clone());
        tokio::spawn(async move {
            signals.recv().await;
            terminal::restore();
            told.send_replace(Some(number));
            detach.cancel();
            signals.recv().await;
            std::process::exit(128 + i32::from(number));
        });
    }
    Ok(signalled)
}

/// The size of the terminal as it is, and whenever it changes.
fn sizes() -> io::Result<watch::Receiver<Option<strait::k8s::TerminalSize>>> {
    let (news, sizes) = watch::channel(terminal::size());
    let mut changes = signal(SignalKind::window_change())?;
    tokio::spawn(async move {
        while changes.recv().await.is_some() {
            if news.send(terminal::size()).is_err() {
                return;
            }
        }
    });
    Ok(sizes)
}

/// Panics if a test wants to see what becomes of the terminal.
#[cfg(debug_assertions)]
fn panic_for_a_test(is_raw: bool) {
    assert!(!is_raw || std::env::var_os("STRAIT_TEST_PANIC").is_none(), "a test asked for this");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failure_becomes_a_success_by_being_cut() {
        let of = |exit| format!("{:?}", code(Exit { code: exit }, true));
        let expected = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!([of(0), of(7), of(255)], [expected(0), expected(7), expected(255)]);
        assert_eq!([of(256), of(259), of(u32::MAX)], [expected(1), expected(3), expected(255)]);
    }
}
