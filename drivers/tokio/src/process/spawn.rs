use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::{fmt, io};

use rustix::process::Pid;
use tokio::process::Child;

use super::stdio::{Input, Output};
use super::terminal::Terminal;

/// What a client asked to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "an exec request has these four flags, each its own parameter"
)]
pub struct Command {
    /// The program, looked up in `PATH` if it has no slash, and its arguments.
    pub argv: Vec<OsString>,
    /// Run it on a terminal. `TERM` becomes `xterm` if this process has none to hand down.
    pub tty: bool,
    /// The client sends standard input. With a tty: it types.
    pub stdin: bool,
    /// The client wants standard output. With a tty and without this, what the terminal shows is discarded.
    pub stdout: bool,
    /// The client wants standard error. Means nothing with a tty.
    pub stderr: bool,
}

/// Why a process could not be started. The text is what a container runtime says, for the status's message.
#[derive(Debug)]
pub enum SpawnError {
    /// The client named no program.
    EmptyCommand,
    /// The program could not be executed.
    Exec {
        /// The program as it was asked for.
        program: OsString,
        /// What the system said.
        source: io::Error,
    },
    /// No terminal could be opened.
    Terminal(io::Error),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyCommand => f.write_str("command is empty"),
            Self::Exec { program, source } => {
                write!(f, "exec: {:?}: {}", program.to_string_lossy(), reason(program, source))
            }
            Self::Terminal(source) => write!(f, "cannot open a terminal: {source}"),
        }
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::EmptyCommand => None,
            Self::Exec { source, .. } | Self::Terminal(source) => Some(source),
        }
    }
}

/// The words people know from container runtimes and search for, where there are such words.
fn reason(program: &OsStr, source: &io::Error) -> String {
    let has_slash = program.as_encoded_bytes().contains(&b'/');
    match source.raw_os_error() {
        Some(libc::ENOENT) if !has_slash => "executable file not found in $PATH".into(),
        Some(libc::ENOENT) => "no such file or directory".into(),
        Some(libc::EACCES) => "permission denied".into(),
        Some(libc::ENOEXEC) => "exec format error".into(),
        Some(libc::E2BIG) => "argument list too long".into(),
        _ => source.to_string(),
    }
}

/// A started process, not yet supervised.
pub(super) struct Spawned {
    pub(super) child: Child,
    pub(super) id: Pid,
    pub(super) stdin: Option<Input>,
    pub(super) stdout: Option<Output>,
    pub(super) stderr: Option<Output>,
    pub(super) terminal: Option<Arc<Terminal>>,
}

pub(super) fn spawn(command: &Command) -> Result<Spawned, SpawnError> {
    let (program, arguments) = command.argv.split_first().ok_or(SpawnError::EmptyCommand)?;
    if program.is_empty() {
        return Err(SpawnError::EmptyCommand);
    }
    let mut builder = tokio::process::Command::new(program);
    builder.args(arguments);
    let failed = |source| SpawnError::Exec { program: program.clone(), source };
    if command.tty {
        let (terminal, user_side) = Terminal::open().map_err(SpawnError::Terminal)?;
        attach(&mut builder, user_side).map_err(SpawnError::Terminal)?;
        let (child, id) = start(&mut builder).map_err(failed)?;
        Ok(on_terminal(command, child, id, terminal))
    } else {
        let stdio = |asked: bool| if asked { Stdio::piped() } else { Stdio::null() };
        builder.stdin(stdio(command.stdin)).stdout(stdio(command.stdout)).stderr(stdio(command.stderr));
        builder.process_group(0);
        prepare(&mut builder, false);
        let (child, id) = start(&mut builder).map_err(failed)?;
        Ok(on_pipes(child, id))
    }
}

fn attach(builder: &mut tokio::process::Command, user_side: OwnedFd) -> io::Result<()> {
    builder.stdin(user_side.try_clone()?).stdout(user_side.try_clone()?).stderr(user_side);
    if std::env::var_os("TERM").is_none() {
        builder.env("TERM", "xterm");
    }
    prepare(builder, true);
    Ok(())
}

fn start(builder: &mut tokio::process::Command) -> io::Result<(Child, Pid)> {
    let child = builder.spawn()?;
    // A child has no id only after it was waited for.
    let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).ok_or(io::ErrorKind::NotFound)?;
    Ok((child, id))
}

fn on_terminal(command: &Command, child: Child, id: Pid, terminal: Terminal) -> Spawned {
    let terminal = Arc::new(terminal);
    let stdin = command.stdin.then(|| Input::terminal(Arc::clone(&terminal)));
    let mut output = Output::terminal(Arc::clone(&terminal));
    let stdout = if command.stdout {
        Some(output)
    } else {
        // Unread, the terminal would fill and block the process. This ends with the last user of the
        // terminal.
        tokio::spawn(async move { tokio::io::copy(&mut output, &mut tokio::io::sink()).await });
        None
    };
    Spawned { child, id, stdin, stdout, stderr: None, terminal: Some(terminal) }
}

fn on_pipes(mut child: Child, id: Pid) -> Spawned {
    let stdin = child.stdin.take().map(Input::pipe);
    let stdout = child.stdout.take().map(Output::stdout);
    let stderr = child.stderr.take().map(Output::stderr);
    Spawned { child, id, stdin, stdout, stderr, terminal: None }
}

/// What the child does for itself between fork and exec.
#[expect(unsafe_code, reason = "code between fork and exec can only be given by an unsafe call")]
fn prepare(builder: &mut tokio::process::Command, tty: bool) {
    let in_child = move || {
        if tty {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        default_signals();
        close_inherited_on_exec();
        Ok(())
    };
    // SAFETY: the closure makes system calls only, all async-signal-safe; it takes no lock and does not
    // allocate.
    unsafe { builder.pre_exec(in_child) };
}

/// Started by `nohup` or as a shell's background job, this program ignores SIGHUP or SIGINT, and ignored
/// signals survive an exec: Ctrl-C would do nothing.
#[expect(unsafe_code, reason = "signal(2) may install a handler, so every call of it is unsafe")]
fn default_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is not a handler. Refused for SIGKILL, SIGSTOP and the C library's own signals,
        // which is fine.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Ours are close-on-exec from birth, but whoever started this program may have left others open.
#[expect(unsafe_code, reason = "the call that closes a range of descriptors is unsafe by nature")]
fn close_inherited_on_exec() {
    let first: libc::c_uint = 3;
    // SAFETY: marks descriptors of this child only, and closes none: the exec does. The system call and not
    // the C library's wrapper, which old C libraries lack. Linux before 5.11 refuses it, and the descriptors
    // stay.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}
