use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a process group may take to end after SIGTERM before it gets SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);

/// How often a process that was told to end is asked whether it did.
const LOOK: Duration = Duration::from_millis(20);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code, 0 to 255.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

impl Exit {
    /// The exit code as a shell and a container runtime report it: 128 plus the number for a signal.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or(libc::SIGKILL)),
        }
    }
}

/// Starts the task that outlives the session: it tells `exit` how the process ended, and kills the process
/// group when the other side of `terminate` is gone. `leader` is the child, and names its group.
pub(super) fn start(
    child: Child,
    leader: Pid,
    tty: bool,
    terminate: oneshot::Receiver<()>,
    exit: oneshot::Sender<Exit>,
) {
    let supervisor = Supervisor { group: Group { leader, reaped: false }, child, tty, exit: Some(exit) };
    tokio::spawn(supervisor.run(terminate));
}

struct Supervisor {
    /// Before `child`: should the runtime drop the task, the group must be killed while the leader is not yet
    /// reaped.
    group: Group,
    child: Child,
    tty: bool,
    exit: Option<oneshot::Sender<Exit>>,
}

impl Supervisor {
    async fn run(mut self, terminate: oneshot::Receiver<()>) {
        tokio::select! {
            biased;
            status = self.child.wait() => self.reaped(status),
            _ = terminate => self.kill().await,
        }
    }

    /// From SIGTERM to SIGKILL the leader, should it have exited, stays a zombie: its id names the group, and
    /// once it is reaped and the group is empty the system may give that id to a stranger.
    async fn kill(&mut self) {
        let deadline = Instant::now() + GRACE;
        self.group.ask_to_end(self.tty);
        tokio::select! {
            () = sleep_until(deadline) => {}
            exit = exited(self.group.leader) => {
                self.report(exit);
                sleep_until(deadline).await;
            }
        }
        self.group.signal(Signal::KILL);
        let status = self.child.wait().await;
        self.reaped(status);
    }

    fn reaped(&mut self, status: io::Result<ExitStatus>) {
        match status {
            Ok(status) => {
                self.group.reaped = true;
                self.report(status.into());
            }
            Err(error) => tracing::error!(pid = self.child.id(), %error, "cannot wait for a process"),
        }
    }

    fn report(&mut self, exit: Exit) {
        if let Some(sender) = self.exit.take() {
            // Nobody may be left to hear it.
            let _ = sender.send(exit);
        }
    }
}

/// Waits until the process has exited, without reaping it.
async fn exited(leader: Pid) -> Exit {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    loop {
        if let Ok(Some(status)) = waitid(WaitId::Pid(leader), look) {
            return match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, signal) => Exit::Signal(signal.unwrap_or(libc::SIGKILL)),
            };
        }
        sleep(LOOK).await;
    }
}

/// The process group, killed on drop unless its leader has been reaped.
struct Group {
    leader: Pid,
    reaped: bool,
}

impl Group {
    fn ask_to_end(&self, tty: bool) {
        if tty {
            self.signal(Signal::HUP);
        }
        self.signal(Signal::TERM);
        // A stopped process acts on neither.
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.leader, signal) {
            tracing::warn!(group = self.leader.as_raw_pid(), ?signal, %error, "cannot signal a process group");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(Signal::KILL);
        }
    }
}
