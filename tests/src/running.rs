use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How often an exit is looked for.
const POLL: Duration = Duration::from_millis(5);
/// How long standard error may outlive its program, held open by a child of it.
const STDERR_TAIL: Duration = Duration::from_secs(5);

/// A program that is killed at its deadline, or when this value is dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    pid: u32,
    /// Its standard input, if that is a pipe. Dropping it ends the input.
    pub stdin: Option<ChildStdin>,
    /// Its standard output. Left here, [`finish`](Self::finish) reads it.
    pub stdout: Option<ChildStdout>,
    stderr: Arc<Mutex<Vec<u8>>>,
    collector: Option<JoinHandle<()>>,
    order: Sender<Order>,
    watchdog: Option<JoinHandle<End>>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// What it printed, if nobody took its standard output.
    pub stdout: Vec<u8>,
    /// What it said on standard error.
    pub stderr: String,
    /// From its start to its exit.
    pub time: Duration,
}

#[derive(Debug)]
struct Order;

#[derive(Debug)]
struct End {
    status: ExitStatus,
    time: Duration,
    overdue: bool,
}

impl Running {
    /// Starts `command` with its output as pipes; it has `limit` until its end.
    pub fn start(command: &mut Command, limit: Duration) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        Self::watch(format!("{command:?}"), child, limit)
    }

    /// Watches over a program that was started in another way.
    pub fn watch(name: String, mut child: Child, limit: Duration) -> Self {
        let stderr = Arc::default();
        let collected = Arc::clone(&stderr);
        let pipe = child.stderr.take();
        let collector = pipe.map(|pipe| thread::spawn(move || collect(pipe, &collected)));
        let (order, orders) = mpsc::channel();
        Self {
            name,
            pid: child.id(),
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr,
            collector,
            order,
            watchdog: Some(thread::spawn(move || watch(child, limit, &orders))),
        }
    }

    /// Its process id.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has said on standard error so far.
    pub fn stderr(&self) -> String {
        let collected = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&collected).into_owned()
    }

    /// Writes `bytes` to its standard input.
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("standard input is a pipe");
        if let Err(error) = stdin.write_all(bytes) {
            panic!("{} takes no input: {error}\n{}", self.name, self.stderr());
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid.cast_signed()).expect("a process id is not 0");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// Ends its input, waits for its end, and panics if that was by its deadline.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        self.stdin = None;
        let mut stdout = Vec::new();
        if let Some(mut pipe) = self.stdout.take() {
            pipe.read_to_end(&mut stdout).expect("standard output can be read");
        }
        let watchdog = self.watchdog.take().expect("only this takes it");
        let end = watchdog.join().expect("the watchdog does not panic");
        is_over_within(STDERR_TAIL, self.collector.as_ref());
        let stderr = self.stderr();
        assert!(
            !end.overdue,
            "{} was killed after {:?}\nstdout: {}\nstderr: {stderr}",
            self.name,
            end.time,
            String::from_utf8_lossy(&stdout),
        );
        Finished { status: end.status, stdout, stderr, time: end.time }
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.order.send(Order);
        if let Some(watchdog) = self.watchdog.take() {
            let _ = watchdog.join();
        }
    }

    /// True when it has ended, waiting up to `limit`.
    pub fn ends_within(&self, limit: Duration) -> bool {
        is_over_within(limit, self.watchdog.as_ref())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Finished {
    /// Its standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

fn is_over_within<T>(limit: Duration, thread: Option<&JoinHandle<T>>) -> bool {
    let started = Instant::now();
    while thread.is_some_and(|thread| !thread.is_finished()) {
        if started.elapsed() > limit {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

fn collect(mut pipe: impl Read, collected: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer) {
        collected.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
    }
}

fn watch(mut child: Child, limit: Duration, orders: &Receiver<Order>) -> End {
    let started = Instant::now();
    let mut overdue = false;
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return End { status, time: started.elapsed(), overdue };
        }
        match orders.recv_timeout(POLL) {
            Err(RecvTimeoutError::Timeout) if started.elapsed() < limit => continue,
            Err(RecvTimeoutError::Timeout) => overdue = true,
            Ok(Order) | Err(RecvTimeoutError::Disconnected) => {}
        }
        child.kill().expect("a child can be killed");
        let status = child.wait().expect("a child can be waited for");
        return End { status, time: started.elapsed(), overdue };
    }
}
