//! A real kubectl executes commands on a node through a gateway, over WebSocket as it does by default.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use strait_tests::{
    Checksum, Finished, Kubectl, Random, Rig, Running, Server, Shores, Terminal, checksum_of, copy_paced,
    eventually, is_alive,
};

/// What a lost peer, a killed client or the end of a session may take to be noticed everywhere.
const SOON: Duration = Duration::from_secs(5);
/// What a transfer may take.
const TRANSFER: Duration = Duration::from_mins(2);
const BIG: usize = 300_000_000;

/// Transfers take turns: two at a time would make each other's deadlines a matter of luck.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fails with the gateway's log if kubectl did not exit with `code`.
#[track_caller]
fn assert_exit(rig: &Rig, finished: &Finished, code: i32) {
    let log = || format!("{finished:?}\n--- gateway\n{}", rig.shores.gateway.log());
    assert_eq!(finished.status.code(), Some(code), "{}", log());
}

#[test]
fn a_command_prints_and_succeeds() {
    let Some(rig) = Rig::start() else { return };
    let before = seconds_since_1970();
    let finished = rig.kubectl.run(&["exec", "demo", "--", "date", "+%s"]);
    assert_exit(&rig, &finished, 0);
    let printed: u64 = finished.text().trim().parse().expect("a time in seconds");
    assert!((before..=seconds_since_1970()).contains(&printed), "{printed}");
    assert_eq!(finished.stderr, "");
}

fn seconds_since_1970() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_secs()
}

#[test]
fn kubectl_uses_websocket_and_does_not_fall_back() {
    let Some(rig) = Rig::start() else { return };
    let finished = rig.kubectl.run(&["exec", "-v=8", "demo", "--", "echo", "hello"]);
    assert_exit(&rig, &finished, 0);
    assert_eq!(finished.text(), "hello\n");
    let said = finished.stderr.to_ascii_lowercase();
    assert!(said.contains("101 switching protocols"), "{said}");
    assert!(said.contains("sec-websocket-protocol: v5.channel.k8s.io"), "{said}");
    assert!(!said.contains("spdy/3.1"), "{said}");
}

#[test]
fn both_streams_stay_apart_and_the_exit_code_arrives() {
    let Some(rig) = Rig::start() else { return };
    let finished = rig.kubectl.run(&["exec", "demo", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_exit(&rig, &finished, 7);
    assert_eq!(finished.text(), "out\n");
    assert_eq!(finished.stderr, "err\ncommand terminated with exit code 7\n");
}

#[test]
fn every_exit_code_arrives() {
    let Some(rig) = Rig::start() else { return };
    for code in [1, 2, 126, 127, 128, 137, 255] {
        let finished = rig.kubectl.run(&["exec", "demo", "--", "sh", "-c", &format!("exit {code}")]);
        assert_exit(&rig, &finished, code);
    }
}

#[test]
fn a_program_that_does_not_exist_is_named_in_the_error() {
    let Some(rig) = Rig::start() else { return };
    let finished = rig.kubectl.run(&["exec", "demo", "--", "/no/such/program"]);
    assert!(finished.status.code().is_some_and(|code| code != 0), "{finished:?}");
    assert!(finished.stderr.contains("/no/such/program"), "{finished:?}");
    assert!(finished.stderr.contains("no such file or directory"), "{finished:?}");
    assert_eq!(finished.text(), "");
}

#[test]
fn three_hundred_megabytes_of_input_arrive_unchanged() {
    let Some(rig) = Rig::start() else { return };
    let _turn = turn();
    let mut kubectl = rig.kubectl.start(&["exec", "-i", "demo", "--", "sha256sum"], Stdio::piped(), TRANSFER);
    let (mut random, mut expected) = (Random::of_this_run(), Checksum::new());
    let mut stdin = kubectl.stdin.take().expect("standard input is a pipe");
    let mut buffer = vec![0; 1_000_000];
    for _ in 0..BIG / buffer.len() {
        random.fill(&mut buffer);
        expected.write_all(&buffer).expect("sha256sum takes input");
        if let Err(error) = stdin.write_all(&buffer) {
            panic!("kubectl takes no input: {error}\n{:?}", kubectl.finish());
        }
    }
    drop(stdin);
    let finished = kubectl.finish();
    assert_exit(&rig, &finished, 0);
    assert_eq!(finished.text(), expected.finish());
}

#[test]
fn three_hundred_megabytes_of_output_arrive_unchanged() {
    let Some(rig) = Rig::start() else { return };
    let _turn = turn();
    let command = ["exec", "demo", "--", "head", "-c", "300000000", "/dev/zero"];
    let mut kubectl = rig.kubectl.start(&command, Stdio::null(), TRANSFER);
    let sum = Checksum::of(kubectl.stdout.take().expect("standard output is a pipe")).finish();
    let finished = kubectl.finish();
    assert_exit(&rig, &finished, 0);
    assert_eq!(sum, checksum_of("head -c 300000000 /dev/zero"));
}

/// The data says where it is from, so that a swap would show; and the tail must survive the end of the process.
#[test]
fn three_hundred_megabytes_of_output_arrive_at_a_slow_reader() {
    const RATE: u32 = 20_000_000;
    let Some(rig) = Rig::start() else { return };
    let _turn = turn();
    let numbers = "seq 1 99999999 | head -c 300000000";
    let mut kubectl =
        rig.kubectl.start(&["exec", "demo", "--", "sh", "-c", numbers], Stdio::null(), TRANSFER);
    let mut stdout = kubectl.stdout.take().expect("standard output is a pipe");
    let mut sum = Checksum::new();
    let copied = copy_paced(&mut stdout, &mut sum, RATE).expect("kubectl's output can be read");
    let finished = kubectl.finish();
    assert_exit(&rig, &finished, 0);
    assert_eq!(copied, BIG as u64);
    assert_eq!(sum.finish(), checksum_of(numbers));
    // The two clocks do not begin at the same moment.
    let paced = Duration::from_secs(BIG as u64 / u64::from(RATE)).mul_f64(0.95);
    assert!(finished.time >= paced, "{:?}", finished.time);
}

#[test]
fn a_process_that_does_not_read_its_input_ends_the_session_at_once() {
    let Some(rig) = Rig::start() else { return };
    let _turn = turn();
    let mut file = tempfile::tempfile().expect("a temporary file");
    io::copy(&mut io::repeat(b'x').take(100_000_000), &mut file).expect("room for 100 MB");
    io::Seek::rewind(&mut file).expect("a file can be rewound");
    let finished = exec_with(&rig, file, "head -c 10; echo done");
    assert_exit(&rig, &finished, 0);
    assert_eq!(finished.text(), "xxxxxxxxxxdone\n");
    assert!(finished.time < Duration::from_secs(10), "{:?}", finished.time);
}

fn exec_with(rig: &Rig, stdin: File, script: &str) -> Finished {
    let arguments = ["exec", "-i", "demo", "--", "sh", "-c", script];
    rig.kubectl.start(&arguments, stdin, Duration::from_secs(30)).finish()
}

/// The half-close of an empty input arrives, and no more than that is closed.
#[test]
fn empty_input_ends_and_output_goes_on() {
    let Some(rig) = Rig::start() else { return };
    let null = File::open("/dev/null").expect("/dev/null");
    let finished = exec_with(&rig, null, "cat; sleep 0.3; echo later");
    assert_exit(&rig, &finished, 0);
    assert_eq!(finished.text(), "later\n");
}

#[test]
fn a_terminal_prompts_echoes_resizes_and_interrupts() {
    let Some(rig) = Rig::start() else { return };
    let arguments = ["exec", "-it", "demo", "--", "env", "PS1=prompt> ", "sh"];
    let mut terminal = Terminal::start(&rig.kubectl, &arguments, (30, 100));
    terminal.reads("prompt> ");
    terminal.types("echo spo''ken\r");
    let shown = terminal.reads("\r\nspoken\r\n");
    assert!(shown.starts_with("echo spo''ken\r\n"), "no echo: {shown:?}");
    terminal.reads("prompt> ");

    terminal.types("stty size\r");
    terminal.reads("\r\n30 100\r\n");
    terminal.reads("prompt> ");
    // The new size travels beside the keys: it has its own channel, so the loop waits for it.
    terminal.resize(41, 123);
    terminal.types("until [ \"$(stty size)\" = '41 123' ]; do sleep 0.05; done; echo re''sized\r");
    terminal.reads("\r\nresized\r\n");
    terminal.reads("prompt> ");

    // It says itself that it runs: a shell that is just starting a program may lose the signal.
    terminal.types("sh -c \"echo as''leep; exec sleep 1000\"\r");
    terminal.reads("\r\nasleep\r\n");
    let interrupted = Instant::now();
    terminal.types("\x03");
    terminal.reads("prompt> ");
    assert!(interrupted.elapsed() < SOON);
    terminal.types("echo code $?\r");
    terminal.reads("\r\ncode 130\r\n");
    terminal.reads("prompt> ");

    terminal.types("exit 42\r");
    let finished = terminal.finish();
    assert_exit(&rig, &finished, 42);
}

#[test]
fn fifty_sessions_at_a_time_leave_nothing_behind() {
    const SESSIONS: usize = 50;
    /// A kubectl's start is mostly its own work; more at a time would only make each of them late.
    const STARTERS: usize = 5;
    let Some(rig) = Rig::start() else { return };
    let _turn = turn();
    let baseline = rig.shores.baseline();
    let mut sessions: Vec<Running> = thread::scope(|scope| {
        let starters: Vec<_> =
            (0..STARTERS).map(|_| scope.spawn(|| open(&rig.kubectl, SESSIONS / STARTERS))).collect();
        starters.into_iter().flat_map(|starter| starter.join().expect("sessions open")).collect()
    });
    let open = [rig.shores.gateway.counters(), rig.shores.node.counters()];
    assert!(open[0].descriptors >= baseline[0].descriptors + 2 * SESSIONS, "{open:?}");
    assert_eq!(open[1].children, baseline[1].children + SESSIONS, "{open:?}");
    for (number, session) in sessions.iter_mut().enumerate() {
        session.write(format!("line {number}\n").as_bytes());
    }
    for (number, session) in sessions.into_iter().enumerate() {
        let finished = session.finish();
        assert_exit(&rig, &finished, 0);
        assert_eq!(finished.text(), format!("line {number}\n"));
    }
    rig.shores.return_to(baseline, SOON);
}

/// That many sessions, one after the other, each of them open: the process has answered and waits.
fn open(kubectl: &Kubectl, count: usize) -> Vec<Running> {
    let arguments = ["exec", "-i", "demo", "--", "sh", "-c", "echo x; read line; echo \"$line\""];
    (0..count)
        .map(|_| {
            let mut session = kubectl.start(&arguments, Stdio::piped(), TRANSFER);
            assert_eq!(read_exactly(&mut session, 2), b"x\n", "{}", session.stderr());
            session
        })
        .collect()
}

/// The next `count` bytes of output, or what came before its end.
fn read_exactly(session: &mut Running, count: u64) -> Vec<u8> {
    let stdout = session.stdout.as_mut().expect("standard output is a pipe");
    let mut bytes = Vec::new();
    stdout.take(count).read_to_end(&mut bytes).expect("standard output can be read");
    bytes
}

const SLEEPING: [&str; 6] = ["exec", "demo", "--", "sh", "-c", "echo asleep; exec sleep 1000"];

#[test]
fn the_process_of_a_killed_kubectl_is_gone_soon() {
    let Some(rig) = Rig::start() else { return };
    let baseline = rig.shores.baseline();
    let mut kubectl = rig.kubectl.start(&SLEEPING, Stdio::null(), TRANSFER);
    assert_eq!(read_exactly(&mut kubectl, 7), b"asleep\n");
    assert_eq!(rig.shores.node.children().len(), baseline[1].children + 1);
    kubectl.kill();
    rig.shores.return_to(baseline, SOON);
}

/// A gateway that cannot pass input on reads none, and kubectl's FIN cannot come past a full window: the first heartbeat finds out.
#[test]
fn a_killed_kubectl_that_was_sending_leaves_nothing_behind() {
    let Some(rig) = Rig::start() else { return };
    let baseline = rig.shores.baseline();
    // The process reads nothing, so all buffers on the way are full when the client dies.
    let deaf = ["exec", "-i", "demo", "--", "sh", "-c", "echo deaf; exec sleep 1000"];
    let zeros = File::open("/dev/zero").expect("/dev/zero");
    let mut kubectl = rig.kubectl.start(&deaf, zeros, TRANSFER);
    assert_eq!(read_exactly(&mut kubectl, 5), b"deaf\n");
    thread::sleep(Duration::from_millis(500));
    kubectl.kill();
    rig.shores.return_to(baseline, 2 * SOON);
}

#[test]
fn a_killed_kubectl_that_was_receiving_leaves_nothing_behind() {
    let Some(rig) = Rig::start() else { return };
    let baseline = rig.shores.baseline();
    let mut kubectl = rig.kubectl.start(&["exec", "demo", "--", "yes"], Stdio::null(), TRANSFER);
    read_exactly(&mut kubectl, 1_000_000);
    // Nobody reads kubectl's output from here, so all buffers on the way fill up.
    thread::sleep(Duration::from_millis(500));
    kubectl.kill();
    rig.shores.return_to(baseline, SOON);
}

#[test]
fn a_node_that_dies_in_the_middle_of_output_is_an_error() {
    let Some(mut rig) = Rig::start() else { return };
    let kubectl = rig.kubectl.start(&["exec", "demo", "--", "yes"], Stdio::null(), TRANSFER);
    let kubectl = lose(kubectl, 10_000_000, || rig.shores.node.kill());
    assert_lost(&rig, &kubectl);
}

#[test]
fn a_node_that_dies_in_silence_is_an_error() {
    let Some(mut rig) = Rig::start() else { return };
    let silent = ["exec", "demo", "--", "sh", "-c", "echo x; exec sleep 30"];
    let kubectl = rig.kubectl.start(&silent, Stdio::null(), TRANSFER);
    let kubectl = lose(kubectl, 2, || rig.shores.node.kill());
    assert_lost(&rig, &kubectl);
}

#[test]
fn a_gateway_that_dies_in_the_middle_of_output_is_an_error() {
    let Some(mut rig) = Rig::start() else { return };
    let kubectl = rig.kubectl.start(&["exec", "demo", "--", "yes"], Stdio::null(), TRANSFER);
    let kubectl = lose(kubectl, 10_000_000, || rig.shores.gateway.kill());
    assert_lost(&rig, &kubectl);
    no_commands(&rig.shores.node);
}

/// Waits until the node runs its main process and nothing else.
#[track_caller]
fn no_commands(node: &Server) {
    let children = || node.children();
    eventually(SOON, || if children().len() == 1 { Ok(()) } else { Err(format!("left: {:?}", children())) });
}

#[test]
fn a_gateway_that_stops_tells_its_clients() {
    let Some(Rig { kubectl, shores: Shores { gateway, node } }) = Rig::start() else { return };
    let mut session = kubectl.start(&SLEEPING, Stdio::null(), TRANSFER);
    assert_eq!(read_exactly(&mut session, 7), b"asleep\n");
    let stopped = gateway.end_by(Signal::TERM);
    assert_eq!(stopped.status.code(), Some(0), "{stopped:?}");
    let finished = session.finish();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(finished.stderr.contains("shutting down"), "{finished:?}");
    no_commands(&node);
}

#[test]
fn a_node_that_stops_tells_its_clients_and_leaves_no_process() {
    let Some(Rig { kubectl, shores: Shores { gateway, node } }) = Rig::start() else { return };
    let mut session = kubectl.start(&SLEEPING, Stdio::null(), TRANSFER);
    assert_eq!(read_exactly(&mut session, 7), b"asleep\n");
    let processes = node.children();
    assert_eq!(processes.len(), 2, "the main process and a command: {processes:?}");
    let stopped = node.end_by(Signal::TERM);
    assert_eq!(stopped.status.code(), Some(0), "{stopped:?}");
    let finished = session.finish();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}\n{}", gateway.log());
    assert!(finished.stderr.contains("shutting down"), "{finished:?}");
    for process in processes {
        eventually(
            SOON,
            || if is_alive(process) { Err(format!("process {process} lives on")) } else { Ok(()) },
        );
    }
}

/// Reads `count` bytes, lets the server be lost, and goes on reading. What became of kubectl, and in what time.
#[track_caller]
fn lose(mut kubectl: Running, count: u64, server: impl FnOnce()) -> Finished {
    assert_eq!(read_exactly(&mut kubectl, count).len() as u64, count, "{}", kubectl.stderr());
    let mut stdout = BufReader::new(kubectl.stdout.take().expect("standard output is a pipe"));
    let rest = thread::spawn(move || {
        while stdout.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
            let count = stdout.buffer().len();
            stdout.consume(count);
        }
    });
    server();
    assert!(kubectl.ends_within(SOON), "kubectl does not notice: {}", kubectl.stderr());
    rest.join().expect("the reader does not panic");
    kubectl.finish()
}

#[track_caller]
fn assert_lost(rig: &Rig, finished: &Finished) {
    let failed = finished.status.code().is_some_and(|code| code != 0);
    assert!(failed && !finished.stderr.is_empty(), "{finished:?}\n{}", rig.shores.gateway.log());
}
