//! Real processes of this host, on pipes and on terminals.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout};

use strait_tokio::process::{Command, Exit, GRACE, Output, Process, SpawnError};

const PATIENCE: Duration = Duration::from_secs(20);

/// Tests that count this program's descriptors and children do not run beside tests that have some.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}

fn command(argv: &[&str]) -> Command {
    Command {
        argv: argv.iter().map(Into::into).collect(),
        tty: false,
        stdin: false,
        stdout: true,
        stderr: true,
    }
}

fn shell(script: &str) -> Command {
    command(&["sh", "-c", script])
}

fn with_stdin(command: Command) -> Command {
    Command { stdin: true, ..command }
}

fn on_tty(command: Command) -> Command {
    Command { tty: true, stdin: true, stderr: false, ..command }
}

fn spawn(command: &Command) -> Process {
    Process::spawn(command).unwrap()
}

async fn read_all(output: Option<Output>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut output) = output {
        timeout(PATIENCE, output.read_to_end(&mut bytes)).await.expect("output never ended").unwrap();
    }
    String::from_utf8(bytes).unwrap()
}

/// Reads on until `end` was seen; returns all that was read.
async fn read_until(output: &mut Output, end: &str) -> String {
    let mut seen = String::new();
    let mut piece = [0; 1024];
    while !seen.contains(end) {
        let read = timeout(PATIENCE, output.read(&mut piece)).await;
        let length = read.unwrap_or_else(|_| panic!("no {end:?} in {seen:?}")).unwrap();
        assert!(length > 0, "ended without {end:?}: {seen:?}");
        seen.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
    seen
}

async fn exit_of(process: &mut Process) -> Exit {
    timeout(PATIENCE, process.wait()).await.expect("the process never exited")
}

/// stdout, stderr and how it ended.
async fn run(command: &Command) -> (String, String, Exit) {
    let mut process = spawn(command);
    let (stdout, stderr) = tokio::join!(read_all(process.stdout.take()), read_all(process.stderr.take()));
    (stdout, stderr, exit_of(&mut process).await)
}

fn is_alive(pid: &str) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

fn state(pid: &str) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

async fn eventually(within: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn descriptors() -> BTreeSet<String> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn children() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(String::from).collect::<Vec<_>>()).collect()
}

const INNER: &str = "STRAIT_TEST_INNER";

/// Whether this is the run of a test that the test itself started.
fn is_inner() -> bool {
    std::env::var_os(INNER).is_some()
}

/// Runs the named test again, in a program that a shell has prepared with `preparation`.
async fn run_inner(preparation: &str, test: &str) -> String {
    let script = format!("{preparation}; exec \"$0\" --nocapture --exact \"$1\"");
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", &script]).arg(std::env::current_exe().unwrap()).arg(test).env(INNER, "1");
    let output = shell.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn streams_stay_apart_and_the_exit_code_arrives() {
    let _alone = alone().await;
    let (stdout, stderr, exit) = run(&shell("echo out; echo err >&2; exit 3")).await;
    assert_eq!((stdout.as_str(), stderr.as_str(), exit), ("out\n", "err\n", Exit::Code(3)));
    assert_eq!(exit.code(), 3);
}

#[tokio::test]
async fn a_process_killed_by_a_signal_has_128_and_the_signal_as_its_code() {
    let _alone = alone().await;
    let (_, _, exit) = run(&shell("kill -KILL $$")).await;
    assert_eq!((exit, exit.code()), (Exit::Signal(9), 137));
}

#[tokio::test]
async fn stdin_reaches_the_process_and_its_half_close_ends_it() {
    let _alone = alone().await;
    let mut process = spawn(&with_stdin(command(&["sha256sum"])));
    let mut stdin = process.stdin.take().unwrap();
    let stdout = tokio::spawn(read_all(process.stdout.take()));
    stdin.write_all(&vec![b'a'; 1_000_000]).await.unwrap();
    stdin.shutdown().await.unwrap();
    let digest = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    assert_eq!(stdout.await.unwrap(), format!("{digest}  -\n"), "the digest of a million times the letter a");
    assert_eq!(exit_of(&mut process).await, Exit::Code(0));
    assert!(stdin.write_all(b"more").await.is_err(), "stdin was written after its end");
}

#[tokio::test]
async fn output_goes_on_after_the_half_close_of_stdin() {
    let _alone = alone().await;
    let mut process = spawn(&with_stdin(shell("cat; sleep 0.2; echo tail")));
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(b"head\n").await.unwrap();
    stdin.shutdown().await.unwrap();
    assert_eq!(read_all(process.stdout.take()).await, "head\ntail\n");
    assert_eq!(exit_of(&mut process).await, Exit::Code(0));
}

#[tokio::test]
async fn streams_not_asked_for_are_dev_null() {
    let _alone = alone().await;
    let script = "readlink /proc/self/fd/0 /proc/self/fd/2";
    let (stdout, _, exit) = run(&Command { stderr: false, ..shell(script) }).await;
    assert_eq!((stdout.as_str(), exit), ("/dev/null\n/dev/null\n", Exit::Code(0)));
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_named_with_the_reason() {
    let error = |argv: &[&str]| Process::spawn(&command(argv)).unwrap_err().to_string();
    assert_eq!(error(&["/no/such/program"]), r#"exec: "/no/such/program": no such file or directory"#);
    assert_eq!(error(&["no-such-program"]), r#"exec: "no-such-program": executable file not found in $PATH"#);
    assert_eq!(error(&["/etc/passwd"]), r#"exec: "/etc/passwd": permission denied"#);
    assert_eq!(error(&[]), "command is empty");
    assert_eq!(error(&[""]), "command is empty");
    let tty = Process::spawn(&on_tty(command(&["/no/such/program"]))).unwrap_err();
    assert!(matches!(tty, SpawnError::Exec { .. }), "{tty}");
}

#[tokio::test]
async fn waiting_again_returns_the_same_exit() {
    let _alone = alone().await;
    let mut process = spawn(&shell("exit 5"));
    assert_eq!(exit_of(&mut process).await, Exit::Code(5));
    assert_eq!(exit_of(&mut process).await, Exit::Code(5));
}

#[tokio::test]
async fn dropping_the_process_kills_it_and_its_children() {
    let _alone = alone().await;
    let mut process = spawn(&shell("sleep 1000 & echo $$ $!; wait"));
    let line = read_until(process.stdout.as_mut().unwrap(), "\n").await;
    let pids: Vec<String> = line.split_whitespace().map(String::from).collect();
    assert_eq!(pids.len(), 2, "{line:?}");
    assert!(pids.iter().all(|pid| is_alive(pid)), "{line:?}");
    drop(process);
    eventually(Duration::from_secs(5), "the process group is gone", || !pids.iter().any(|pid| is_alive(pid)))
        .await;
    eventually(Duration::from_secs(5), "no zombie is left", || state(&pids[0]).is_none()).await;
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed_after_the_grace() {
    let _alone = alone().await;
    // The leader obeys; its child does not, and is still found once the leader has exited.
    let script = "(trap '' TERM; echo ready; while :; do sleep 1; done) & echo $!; wait";
    let mut process = spawn(&shell(script));
    let line = read_until(process.stdout.as_mut().unwrap(), "ready\n").await;
    let stubborn = line.lines().find(|line| *line != "ready").map(String::from);
    let stubborn = match stubborn {
        Some(pid) => pid,
        None => read_until(process.stdout.as_mut().unwrap(), "\n").await.trim().into(),
    };
    process.terminate();
    let begin = Instant::now();
    assert_eq!(exit_of(&mut process).await, Exit::Signal(15));
    assert!(begin.elapsed() < GRACE, "the exit is told when it happens, not after the grace");
    assert!(is_alive(&stubborn));
    eventually(Duration::from_secs(5), "the stubborn one is dead", || !is_alive(&stubborn)).await;
    assert!(begin.elapsed() >= GRACE, "it was given its time");
    let leader = process.id().to_string();
    eventually(Duration::from_secs(5), "the leader is reaped", || state(&leader).is_none()).await;
}

#[tokio::test]
async fn a_stopped_process_is_killed_too() {
    let _alone = alone().await;
    let process = spawn(&shell("kill -STOP $$; exit 1"));
    let pid = process.id().to_string();
    eventually(PATIENCE, "the process has stopped", || state(&pid) == Some('T')).await;
    drop(process);
    eventually(Duration::from_secs(5), "the stopped process is gone", || state(&pid).is_none()).await;
}

#[tokio::test]
async fn what_an_exited_process_left_in_the_background_lives_on() {
    let _alone = alone().await;
    let (daemon, _, exit) = run(&shell("sleep 1000 >/dev/null 2>&1 & echo $!")).await;
    assert_eq!(exit, Exit::Code(0));
    sleep(Duration::from_millis(50)).await;
    assert!(is_alive(daemon.trim()));
    run(&command(&["kill", daemon.trim()])).await;
}

#[test]
fn a_runtime_that_shuts_down_leaves_no_process() {
    let _alone = ALONE.blocking_lock();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let process = runtime.block_on(async { spawn(&shell("trap '' TERM; while :; do sleep 1; done")) });
    let pid = process.id().to_string();
    assert!(is_alive(&pid));
    drop(runtime);
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while is_alive(&pid) {
        assert!(std::time::Instant::now() < deadline, "the process outlived the runtime");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_processes_leave_no_descriptor_and_no_zombie() {
    let _alone = alone().await;
    run(&on_tty(shell("exit 0"))).await;
    run(&shell("exit 0")).await;
    eventually(PATIENCE, "earlier tests' children are reaped", || children().is_empty()).await;
    let before = descriptors();
    let sessions: Vec<_> = (0..50)
        .map(|n| {
            let command = if n % 2 == 0 { shell("echo x; exit 7") } else { on_tty(shell("echo x; exit 7")) };
            tokio::spawn(async move { run(&command).await })
        })
        .collect();
    for session in sessions {
        let (stdout, _, exit) = session.await.unwrap();
        assert_eq!((stdout.trim(), exit), ("x", Exit::Code(7)));
    }
    eventually(Duration::from_secs(5), "no child is left", || children().is_empty()).await;
    eventually(Duration::from_secs(5), "the descriptors are as before", || descriptors() == before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_inherits_no_descriptor_beyond_its_three() {
    let _alone = alone().await;
    // One that whoever started this program forgot to mark close-on-exec.
    let (forgotten, _keep) = std::io::pipe().unwrap();
    rustix::io::fcntl_setfd(&forgotten, rustix::io::FdFlags::empty()).unwrap();
    let _others: Vec<_> = (0..8).map(|_| spawn(&on_tty(with_stdin(command(&["cat"]))))).collect();
    for command in [shell("echo /proc/$$/fd/*"), on_tty(shell("echo /proc/$$/fd/*"))] {
        let (stdout, _, exit) = run(&command).await;
        let open: BTreeSet<&str> =
            stdout.split_whitespace().filter_map(|path| path.rsplit('/').next()).collect();
        // The shell opens the directory itself, and some shells keep a copy of the terminal at 10 or 255.
        let unexpected: Vec<_> = open.iter().filter(|fd| !["0", "1", "2", "3"].contains(fd)).collect();
        assert!(unexpected.is_empty(), "{stdout}");
        assert_eq!(exit, Exit::Code(0));
    }
}

#[tokio::test]
async fn a_process_starts_with_default_signals_whatever_this_program_ignores() {
    let _alone = alone().await;
    let show = "grep SigIgn /proc/self/status";
    if is_inner() {
        println!("{}", run(&shell(show)).await.0);
        return;
    }
    // As `nohup` and a shell's background jobs do.
    let test = "a_process_starts_with_default_signals_whatever_this_program_ignores";
    let output = run_inner(&format!("trap '' HUP INT USR1; {show}"), test).await;
    let masks: Vec<u64> = output
        .lines()
        .filter_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:\t")?, 16).ok())
        .collect();
    let [before, after] = masks[..] else { panic!("{output}") };
    let ignored = 1 << (1 - 1) | 1 << (2 - 1) | 1 << (10 - 1);
    assert_eq!(before & ignored, ignored, "{before:x}");
    // The C library does not let go of the two signals that it keeps for itself, 32 and 33.
    assert_eq!(after & !(0b11 << 31), 0, "{after:x}");
}

#[tokio::test]
async fn a_tty_is_the_controlling_terminal_and_its_exit_code_arrives() {
    let _alone = alone().await;
    let (stdout, _, exit) = run(&on_tty(shell("tty; echo hello >/dev/tty; exit 42"))).await;
    assert!(stdout.starts_with("/dev/pts/"), "{stdout:?}");
    assert!(stdout.ends_with("\r\nhello\r\n"), "{stdout:?}");
    assert_eq!(exit, Exit::Code(42));
}

#[tokio::test]
async fn the_last_output_of_a_tty_is_not_lost() {
    let _alone = alone().await;
    let (stdout, _, exit) = run(&on_tty(command(&["seq", "1", "100000"]))).await;
    let lines: Vec<String> = (1..=100_000).map(|n| n.to_string()).collect();
    let expected = lines.join("\r\n") + "\r\n";
    assert!(stdout == expected, "{} bytes of {}", stdout.len(), expected.len());
    assert_eq!(exit, Exit::Code(0));
}

#[tokio::test]
async fn a_terminal_type_is_handed_down_or_is_xterm() {
    let _alone = alone().await;
    if is_inner() {
        println!("TERM={}", run(&on_tty(shell("echo $TERM"))).await.0);
        return;
    }
    let test = "a_terminal_type_is_handed_down_or_is_xterm";
    let unset = run_inner("unset TERM", test).await;
    assert!(unset.contains("TERM=xterm\r\n"), "{unset}");
    let set = run_inner("export TERM=vt100", test).await;
    assert!(set.contains("TERM=vt100\r\n"), "{set}");
}

#[tokio::test]
async fn a_resize_is_what_the_process_finds_and_zero_is_not_applied() {
    let _alone = alone().await;
    let mut process = spawn(&on_tty(shell("read line; stty size")));
    process.resize(132, 43).unwrap();
    process.resize(0, 10).unwrap();
    process.resize(10, 0).unwrap();
    process.stdin.as_mut().unwrap().write_all(b"\n").await.unwrap();
    read_until(process.stdout.as_mut().unwrap(), "43 132\r\n").await;
    assert_eq!(exit_of(&mut process).await, Exit::Code(0));
}

#[tokio::test]
async fn a_running_process_hears_of_a_resize() {
    let _alone = alone().await;
    let mut process =
        spawn(&on_tty(shell("trap 'stty size; exit 9' WINCH; echo ready; while :; do sleep 0.05; done")));
    let stdout = process.stdout.as_mut().unwrap();
    read_until(stdout, "ready\r\n").await;
    process.resize(100, 30).unwrap();
    read_until(process.stdout.as_mut().unwrap(), "30 100\r\n").await;
    assert_eq!(exit_of(&mut process).await, Exit::Code(9));
}

#[tokio::test]
async fn a_tty_echoes_what_is_typed() {
    let _alone = alone().await;
    let mut process = spawn(&on_tty(shell("read line; echo got:$line")));
    process.stdin.as_mut().unwrap().write_all(b"hello\r").await.unwrap();
    assert_eq!(read_all(process.stdout.take()).await, "hello\r\ngot:hello\r\n");
}

#[tokio::test]
async fn control_c_interrupts_the_foreground_process() {
    let _alone = alone().await;
    let mut process = spawn(&on_tty(shell("echo ready; exec sleep 1000")));
    read_until(process.stdout.as_mut().unwrap(), "ready\r\n").await;
    process.stdin.as_mut().unwrap().write_all(b"\x03").await.unwrap();
    assert_eq!(exit_of(&mut process).await, Exit::Signal(2));
}

#[tokio::test]
async fn the_half_close_of_a_ttys_stdin_ends_input_but_not_output() {
    let _alone = alone().await;
    for typed in ["", "line\n", "unfinished"] {
        let mut process = spawn(&on_tty(shell("stty -echo; echo ready; cat >/dev/null; echo tail")));
        read_until(process.stdout.as_mut().unwrap(), "ready\r\n").await;
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(typed.as_bytes()).await.unwrap();
        stdin.shutdown().await.unwrap();
        assert_eq!(read_all(process.stdout.take()).await, "tail\r\n", "after {typed:?}");
        assert_eq!(exit_of(&mut process).await, Exit::Code(0));
    }
}

#[tokio::test]
async fn a_tty_whose_output_nobody_wants_does_not_block_the_process() {
    let _alone = alone().await;
    let mut process = spawn(&Command { stdout: false, ..on_tty(command(&["seq", "1", "200000"])) });
    assert!(process.stdout.is_none());
    assert_eq!(exit_of(&mut process).await, Exit::Code(0));
}

#[tokio::test]
async fn dropping_a_tty_process_ends_an_interactive_shell() {
    let _alone = alone().await;
    let mut process = spawn(&on_tty(command(&["sh", "-i"])));
    process.stdin.as_mut().unwrap().write_all(b"echo re''ady\n").await.unwrap();
    read_until(process.stdout.as_mut().unwrap(), "ready").await;
    let pid = process.id().to_string();
    drop(process);
    eventually(Duration::from_secs(5), "the shell is gone and reaped", || state(&pid).is_none()).await;
}
