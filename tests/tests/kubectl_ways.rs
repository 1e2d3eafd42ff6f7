//! The same sessions on every way that a gateway knows: an old kubectl that speaks SPDY only and the machine's, in front of
//! upstreams that speak one protocol or the other. The log says that it was the way which the test means.

use std::io::{BufReader, Read as _, Write as _};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use strait_tests::{Checksum, Finished, Kubectl, Random, Rig, Running, Terminal, checksum_of, eventually};

/// What a lost peer, a killed client or the end of a session may take to be noticed everywhere.
const SOON: Duration = Duration::from_secs(10);
/// What a transfer may take.
const TRANSFER: Duration = Duration::from_mins(2);
const BIG: usize = 30_000_000;

/// A kubectl, a gateway and a node that have one way to speak to each other.
struct Way {
    kubectl: fn(&str) -> Option<Kubectl>,
    node: &'static [&'static str],
    gateway: &'static [&'static str],
    /// What the gateway says of the legs of each session.
    legs: &'static str,
    /// The end of stdin can be told all the way.
    half_close: bool,
    /// An exec session that is lost is an error for this kubectl, whoever stands between.
    ///
    /// kubectl over SPDY takes the end of an empty error stream for success (kubernetes#73056), so the gateway has to
    /// tell it of the loss, which it cannot where it passes bytes on.
    loss_is_told: bool,
}

const NO_SPDY: &[&str] = &["--spdy-protocols", ""];
const OVER_WEBSOCKET: &[&str] = &["--upstream-protocol", "websocket"];

const OLD_PASSED_ON: Way = Way {
    kubectl: Kubectl::old,
    node: &["--websocket-protocols", ""],
    gateway: &[],
    legs: "passed on",
    half_close: true,
    loss_is_told: false,
};
const OLD_TO_WEBSOCKET: Way = Way {
    kubectl: Kubectl::old,
    node: NO_SPDY,
    gateway: OVER_WEBSOCKET,
    legs: "SPDY/3.1 to WebSocket",
    half_close: true,
    loss_is_told: true,
};
const NEW_TO_SPDY: Way = Way {
    kubectl: Kubectl::find,
    node: &["--websocket-protocols", ""],
    gateway: &[],
    legs: "WebSocket to SPDY/3.1",
    half_close: true,
    loss_is_told: true,
};
const NEW_PASSED_ON: Way = Way { node: NO_SPDY, gateway: OVER_WEBSOCKET, legs: "passed on", ..NEW_TO_SPDY };
const NEW_AUTO: Way =
    Way { node: &[], gateway: &["--upstream-protocol", "auto"], legs: "passed on", ..NEW_TO_SPDY };
const NEW_AUTO_TO_SPDY: Way = Way { gateway: &["--upstream-protocol", "auto"], ..NEW_TO_SPDY };
const NEW_REFRAMED: Way = Way {
    node: &["--spdy-protocols", "", "--websocket-protocols", "v4.channel.k8s.io"],
    gateway: OVER_WEBSOCKET,
    legs: "WebSocket to WebSocket",
    half_close: false,
    ..NEW_TO_SPDY
};
const NEW_GATE_OFF: Way = Way {
    node: NO_SPDY,
    gateway: &["--feature-gates", "TranslateStreamCloseWebsocketRequests=false"],
    legs: "passed on",
    ..NEW_TO_SPDY
};

macro_rules! table {
    ($($way:ident is $constant:ident;)*) => {$(
        mod $way {
            use super::$constant as WAY;

            #[test]
            fn a_command_prints_and_succeeds() {
                WAY.prints_and_succeeds();
            }

            #[test]
            fn both_streams_stay_apart_and_the_exit_code_arrives() {
                WAY.keeps_streams_apart();
            }

            #[test]
            fn thirty_megabytes_of_input_arrive_unchanged() {
                WAY.takes_input();
            }

            #[test]
            fn thirty_megabytes_of_output_arrive_unchanged() {
                WAY.gives_output();
            }

            #[test]
            fn a_process_that_does_not_read_its_input_ends_the_session_at_once() {
                WAY.ends_without_reading();
            }

            #[test]
            fn empty_input_ends_and_output_goes_on() {
                WAY.goes_on_behind_empty_input();
            }

            #[test]
            fn a_terminal_prompts_echoes_and_resizes() {
                WAY.has_a_terminal();
            }

            #[test]
            fn a_program_that_does_not_exist_is_named_in_the_error() {
                WAY.names_what_is_missing();
            }

            #[test]
            fn very_short_sessions_end_as_they_should() {
                WAY.ends_short_sessions();
            }

            #[test]
            fn a_killed_kubectl_leaves_nothing_behind() {
                WAY.leaves_nothing_of_a_killed_client();
            }

            #[test]
            fn a_lost_node_is_noticed() {
                WAY.notices_a_lost_node();
            }
        }
    )*};
}

table! {
    an_old_kubectl_passed_on is OLD_PASSED_ON;
    an_old_kubectl_to_websocket is OLD_TO_WEBSOCKET;
    a_new_kubectl_to_spdy is NEW_TO_SPDY;
    a_new_kubectl_passed_on is NEW_PASSED_ON;
    a_new_kubectl_where_websocket_is_found is NEW_AUTO;
    a_new_kubectl_where_spdy_is_found is NEW_AUTO_TO_SPDY;
    a_new_kubectl_to_an_older_websocket is NEW_REFRAMED;
    a_new_kubectl_without_translation is NEW_GATE_OFF;
}

/// Sessions that load both cores take turns: two at a time would make each other's deadlines a matter of luck.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Way {
    fn rig(&self) -> Option<Rig> {
        Rig::with(self.kubectl, self.node, self.gateway)
    }

    /// The session ended with `code`, and it went this way.
    #[track_caller]
    fn assert_exit(&self, rig: &Rig, finished: &Finished, code: i32) {
        let log = || format!("{finished:?}\n--- gateway\n{}", rig.shores.gateway.log());
        assert_eq!(finished.status.code(), Some(code), "{}", log());
        eventually(SOON, || if self.was_taken(rig) { Ok(()) } else { Err(log()) });
    }

    /// Every session so far went this way, and there was one.
    fn was_taken(&self, rig: &Rig) -> bool {
        let log = rig.shores.gateway.log();
        let mut sessions = log.lines().filter(|line| line.contains("session ended")).peekable();
        let quoted = format!("legs=\"{}\"", self.legs);
        sessions.peek().is_some() && sessions.all(|line| line.contains(&quoted))
    }

    fn prints_and_succeeds(&self) {
        let Some(rig) = self.rig() else { return };
        let before = seconds_since_1970();
        let finished = rig.kubectl.run(&["exec", "demo", "--", "date", "+%s"]);
        self.assert_exit(&rig, &finished, 0);
        let printed: u64 = finished.text().trim().parse().expect("a time in seconds");
        assert!((before..=seconds_since_1970()).contains(&printed), "{printed}");
        assert_eq!(finished.stderr, "");
    }

    fn keeps_streams_apart(&self) {
        let Some(rig) = self.rig() else { return };
        let finished = rig.kubectl.run(&["exec", "demo", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
        self.assert_exit(&rig, &finished, 7);
        assert_eq!(finished.text(), "out\n");
        assert_eq!(finished.stderr, "err\ncommand terminated with exit code 7\n");
    }

    fn takes_input(&self) {
        let Some(rig) = self.rig() else { return };
        let _turn = turn();
        // Without half-close a process that waits for the end of its input would wait for ever.
        let script = if self.half_close { "sha256sum" } else { "head -c 30000000 | sha256sum" };
        let arguments = ["exec", "-i", "demo", "--", "sh", "-c", script];
        let mut kubectl = rig.kubectl.start(&arguments, Stdio::piped(), TRANSFER);
        let (mut random, mut expected) = (Random::of_this_run(), Checksum::new());
        let mut buffer = vec![0; 1_000_000];
        for _ in 0..BIG / buffer.len() {
            random.fill(&mut buffer);
            expected.write_all(&buffer).expect("sha256sum takes input");
            kubectl.write(&buffer);
        }
        let finished = kubectl.finish();
        self.assert_exit(&rig, &finished, 0);
        assert_eq!(finished.text(), expected.finish());
    }

    fn gives_output(&self) {
        let Some(rig) = self.rig() else { return };
        let _turn = turn();
        // The data says where it is from, so that a swap would show. It waits for kubectl's streams; see `Kubectl::run`.
        let numbers = "sleep 0.1; seq 1 99999999 | head -c 30000000";
        let command = ["exec", "demo", "--", "sh", "-c", numbers];
        let mut kubectl = rig.kubectl.start(&command, Stdio::null(), TRANSFER);
        let sum = Checksum::of(kubectl.stdout.take().expect("standard output is a pipe")).finish();
        let finished = kubectl.finish();
        self.assert_exit(&rig, &finished, 0);
        assert_eq!(sum, checksum_of(numbers));
    }

    fn ends_without_reading(&self) {
        let Some(rig) = self.rig() else { return };
        let _turn = turn();
        let arguments = ["exec", "-i", "demo", "--", "sh", "-c", "sleep 0.1; head -c 10; echo done"];
        let zeros = std::fs::File::open("/dev/zero").expect("/dev/zero");
        let finished = rig.kubectl.start(&arguments, zeros, Duration::from_mins(1)).finish();
        self.assert_exit(&rig, &finished, 0);
        assert_eq!(finished.stdout, b"\0\0\0\0\0\0\0\0\0\0done\n");
        assert!(finished.time < SOON, "{:?}", finished.time);
    }

    /// The half-close of an empty input arrives, and no more than that is closed.
    fn goes_on_behind_empty_input(&self) {
        let Some(rig) = self.rig() else { return };
        let script = if self.half_close { "cat; sleep 0.3; echo later" } else { "sleep 0.3; echo later" };
        let null = std::fs::File::open("/dev/null").expect("/dev/null");
        let arguments = ["exec", "-i", "demo", "--", "sh", "-c", script];
        let finished = rig.kubectl.start(&arguments, null, Duration::from_secs(30)).finish();
        self.assert_exit(&rig, &finished, 0);
        assert_eq!(finished.text(), "later\n");
    }

    fn has_a_terminal(&self) {
        let Some(rig) = self.rig() else { return };
        let arguments = ["exec", "-it", "demo", "--", "env", "PS1=prompt> ", "sh"];
        let mut terminal = Terminal::start(&rig.kubectl, &arguments, (30, 100));
        terminal.reads("prompt> ");
        terminal.types("echo spo''ken\r");
        terminal.reads("\r\nspoken\r\n");
        // Sizes travel beside the keys, on a channel of their own, so the loops wait for them.
        terminal.types("until [ \"$(stty size)\" = '30 100' ]; do sleep 0.05; done; echo si''zed\r");
        terminal.reads("\r\nsized\r\n");
        terminal.resize(41, 123);
        terminal.types("until [ \"$(stty size)\" = '41 123' ]; do sleep 0.05; done; echo re''sized\r");
        terminal.reads("\r\nresized\r\n");
        // It says itself that it runs: a shell that is just starting a program may lose the signal.
        terminal.types("sh -c \"echo as''leep; exec sleep 1000\"\r");
        terminal.reads("\r\nasleep\r\n");
        terminal.types("\x03");
        terminal.reads("prompt> ");
        terminal.types("exit 42\r");
        self.assert_exit(&rig, &terminal.finish(), 42);
    }

    fn names_what_is_missing(&self) {
        let Some(rig) = self.rig() else { return };
        let finished = rig.kubectl.run(&["exec", "demo", "--", "/no/such/program"]);
        self.assert_exit(&rig, &finished, 1);
        assert!(finished.stderr.contains("/no/such/program"), "{finished:?}");
        assert!(finished.stderr.contains("no such file or directory"), "{finished:?}");
        assert_eq!(finished.text(), "");
    }

    /// The end comes while the client still opens its session, or has just done so.
    fn ends_short_sessions(&self) {
        const SESSIONS: usize = 12;
        let Some(rig) = self.rig() else { return };
        let _turn = turn();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for number in 0..SESSIONS / 2 {
                        let finished = rig.kubectl.run(&[
                            "exec",
                            "-i",
                            "demo",
                            "--",
                            "sh",
                            "-c",
                            &format!("exit {number}"),
                        ]);
                        self.assert_exit(&rig, &finished, i32::try_from(number).expect("a small number"));
                    }
                });
            }
        });
    }

    fn leaves_nothing_of_a_killed_client(&self) {
        let Some(rig) = self.rig() else { return };
        assert_eq!(rig.kubectl.run(&["exec", "demo", "--", "echo", "warm"]).text(), "warm\n");
        thread::sleep(Duration::from_millis(500));
        let baseline = [rig.shores.gateway.counters(), rig.shores.node.counters()];
        let asleep = ["exec", "demo", "--", "sh", "-c", "sleep 0.1; echo x; exec sleep 1000"];
        for command in [asleep, ["exec", "demo", "--", "sh", "-c", "sleep 0.1; echo x; exec yes"]] {
            let mut kubectl = rig.kubectl.start(&command, Stdio::null(), TRANSFER);
            read_two(&mut kubectl);
            // Nobody reads kubectl's output from here, so all buffers on the way fill up.
            thread::sleep(Duration::from_millis(300));
            kubectl.kill();
            rig.shores.return_to(baseline, SOON);
        }
    }

    fn notices_a_lost_node(&self) {
        for command in ["sleep 0.1; echo x; exec sleep 1000", "sleep 0.1; echo x; exec yes"] {
            let Some(mut rig) = self.rig() else { return };
            let mut kubectl =
                rig.kubectl.start(&["exec", "demo", "--", "sh", "-c", command], Stdio::null(), TRANSFER);
            read_two(&mut kubectl);
            let stdout = kubectl.stdout.take().expect("standard output is a pipe");
            let rest = thread::spawn(move || drain(BufReader::new(stdout)));
            let started = Instant::now();
            rig.shores.node.kill();
            assert!(kubectl.ends_within(SOON), "kubectl does not notice: {}", kubectl.stderr());
            assert!(started.elapsed() < SOON);
            rest.join().expect("the reader does not panic");
            let finished = kubectl.finish();
            eventually(SOON, || if self.was_taken(&rig) { Ok(()) } else { Err(rig.shores.gateway.log()) });
            if self.loss_is_told {
                assert!(finished.status.code().is_some_and(|code| code != 0), "{finished:?}");
                assert!(!finished.stderr.is_empty(), "{finished:?}");
            }
        }
    }
}

fn seconds_since_1970() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_secs()
}

/// What every process of these tests prints first.
#[track_caller]
fn read_two(kubectl: &mut Running) {
    let mut first = [0; 2];
    let stdout = kubectl.stdout.as_mut().expect("standard output is a pipe");
    assert!(stdout.read_exact(&mut first).is_ok(), "{}", kubectl.stderr());
    assert_eq!(&first, b"x\n");
}

fn drain(mut output: impl std::io::BufRead) {
    while output.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
        let count = output.fill_buf().map_or(0, <[u8]>::len);
        output.consume(count);
    }
}
