use std::io::{self, PipeReader, PipeWriter, Read as _, pipe};
use std::os::fd::AsFd;
use std::thread::{self, JoinHandle};

use strait::Limits;
use strait::k8s::{StreamSet, Subprotocol, Verb};
use strait::leg::{SpdyLeg, WebSocketLeg};
use strait::ws::MaskKeys;

use super::control::Control;
use super::executor::Upgraded;
use super::link::Link;
use super::session::{Pipes, Running};
use super::{Exit, SessionError, Transport};

/// A remote command with streams, driven by a thread of its own.
///
/// The streams are pipes: they block, and can be given to child processes. One that the request did not ask for is `None`.
/// Standard input is half-closed by dropping it. Output that is dropped is thrown away. **All output has to be read**, or dropped: one
/// connection carries all streams, so one that is not read stops the others, once its pipe is full.
///
/// Dropping the process ends the session; the command then sees the end of its input, and no more.
#[derive(Debug)]
pub struct Process {
    /// Input of the command.
    pub stdin: Option<PipeWriter>,
    /// Its output.
    pub stdout: Option<PipeReader>,
    /// Its output of errors; none with a terminal.
    pub stderr: Option<PipeReader>,
    transport: Transport,
    protocol: Subprotocol,
    control: Control,
    thread: Option<JoinHandle<Result<Exit, SessionError>>>,
}

/// All that a command has printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Its output.
    pub stdout: Vec<u8>,
    /// Its output of errors.
    pub stderr: Vec<u8>,
}

impl Process {
    pub(super) fn start(
        upgraded: Upgraded,
        asked: StreamSet,
        verb: Verb,
        limits: Limits,
        seed: [u8; 16],
    ) -> io::Result<Self> {
        let Upgraded { io, behind, protocol, transport } = upgraded;
        let streams = asked.without_stderr_of_tty();
        let (mut pipes, control) = (Pipes::default(), Control::new()?);
        let (mut stdin, mut stdout, mut stderr) = (None, None, None);
        if streams.stdin {
            let (near, far) = pipe()?;
            (pipes.stdin, stdin) = (Some(non_blocking(near)?), Some(far));
        }
        if streams.stdout {
            let (far, near) = pipe()?;
            (pipes.stdout, stdout) = (Some(non_blocking(near)?), Some(far));
        }
        if streams.stderr {
            let (far, near) = pipe()?;
            (pipes.stderr, stderr) = (Some(non_blocking(near)?), Some(far));
        }
        let orders = control.clone();
        let run = move || {
            let what = (asked, verb);
            if transport == Transport::Spdy {
                let leg = SpdyLeg::client(asked, protocol, &limits);
                let link = Link::new(io, leg, &behind, &limits);
                return Running::new(link, pipes, orders, what, &limits).run();
            }
            strait_simd::install();
            let leg = WebSocketLeg::client(protocol, &limits, MaskKeys::new(seed));
            let link = Link::new(io, leg, &behind, &limits);
            Running::new(link, pipes, orders, what, &limits).run()
        };
        let thread = Some(thread::Builder::new().name("session".into()).spawn(run)?);
        Ok(Self { stdin, stdout, stderr, transport, protocol, control, thread })
    }

    /// The subprotocol that the server chose.
    pub const fn protocol(&self) -> Subprotocol {
        self.protocol
    }

    /// What carries it: [`Transport::WebSocket`] or [`Transport::Spdy`].
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// What tells it something from other threads, while one waits.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Waits for the end of the session. Standard input is half-closed and what is left of the output is thrown away, unless the caller has
    /// taken the streams out before.
    pub fn wait(mut self) -> Result<Exit, SessionError> {
        drop((self.stdin.take(), self.stdout.take(), self.stderr.take()));
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            // It has panicked.
            _ => Err(SessionError::lost("the exit status", None)),
        }
    }

    /// Waits for the end of the session, and collects its output. Standard input is half-closed.
    pub fn wait_with_output(mut self) -> Result<Output, SessionError> {
        drop(self.stdin.take());
        let errors = self.stderr.take();
        let reader = thread::Builder::new().name("stderr".into()).spawn(move || read_all(errors));
        let stdout = read_all(self.stdout.take());
        let stderr = reader.ok().and_then(|reader| reader.join().ok()).unwrap_or_default();
        Ok(Output { exit: self.wait()?, stdout, stderr })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.control.detach();
        }
    }
}

fn read_all(pipe: Option<PipeReader>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Reading a pipe does not fail.
    let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
    bytes
}

/// The other end of a pipe blocks on.
fn non_blocking<T: AsFd>(end: T) -> io::Result<T> {
    rustix::io::ioctl_fionbio(&end, true)?;
    Ok(end)
}
