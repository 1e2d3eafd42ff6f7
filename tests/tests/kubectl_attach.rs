//! A real kubectl attaches to the main process of a node through a gateway.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{ChildStdout, Stdio};
use std::thread;
use std::time::Duration;

use strait_tests::{Rig, Running, Terminal, eventually};

/// What a lost peer, a killed client or the end of a session may take to be noticed everywhere.
const SOON: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_mins(1);

/// An attached kubectl.
struct Attached {
    kubectl: Running,
    lines: BufReader<ChildStdout>,
}

impl Attached {
    fn start(rig: &Rig) -> Self {
        let mut kubectl = rig.kubectl.start(&["attach", "-i", "demo"], Stdio::piped(), PATIENCE);
        let lines = BufReader::new(kubectl.stdout.take().expect("standard output is a pipe"));
        Self { kubectl, lines }
    }

    fn says(&mut self, line: &str) {
        self.kubectl.write(format!("{line}\n").as_bytes());
    }

    /// Reads up to this line.
    #[track_caller]
    fn reads(&mut self, expected: &str) -> Vec<String> {
        let mut read = Vec::new();
        loop {
            let mut line = String::new();
            let count = self.lines.read_line(&mut line).expect("standard output can be read");
            assert!(count > 0, "no {expected:?} in {read:?}\n{}", self.kubectl.stderr());
            read.push(line.trim_end().to_owned());
            if line.trim_end() == expected {
                return read;
            }
        }
    }

    /// The rest of its output, and how it ended.
    #[track_caller]
    fn finish(mut self) -> (String, strait_tests::Finished) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("standard output can be read");
        (rest, self.kubectl.finish())
    }
}

/// A node listens before it has started it.
#[track_caller]
fn main_process(rig: &Rig) -> u32 {
    eventually(SOON, || match rig.shores.node.children()[..] {
        [process] => Ok(process),
        ref children => Err(format!("{children:?} is not one main process")),
    })
}

#[test]
fn out_of_the_box_everybody_reads_what_anybody_writes() {
    let Some(rig) = Rig::start() else { return };
    let mut one = Attached::start(&rig);
    one.says("one");
    one.reads("one");
    let mut other = Attached::start(&rig);
    other.says("other");
    assert_eq!(other.reads("other"), ["other"], "what was earlier is not repeated");
    one.reads("other");
    one.says("both");
    one.reads("both");
    other.reads("both");
}

#[test]
fn output_arrives_without_input_too() {
    let Some(rig) = Rig::with_node(&["--main", "while :; do echo out; echo err >&2; sleep 0.1; done"]) else {
        return;
    };
    let mut kubectl = rig.kubectl.start(&["attach", "demo"], Stdio::null(), PATIENCE);
    let stdout = BufReader::new(kubectl.stdout.take().expect("standard output is a pipe"));
    let lines: Vec<_> = stdout.lines().map_while(Result::ok).take(3).collect();
    assert_eq!(lines, ["out"; 3]);
    eventually(SOON, || if kubectl.stderr().contains("err\n") { Ok(()) } else { Err(kubectl.stderr()) });
}

#[test]
fn the_exit_ends_every_kubectl_and_the_process_starts_again() {
    let main = "while read line; do [ \"$line\" = end ] && echo bye && exit 7; echo \"$$ $line\"; done";
    let Some(rig) = Rig::with_node(&["--main", main]) else { return };
    let first = main_process(&rig);
    let (mut one, mut other) = (Attached::start(&rig), Attached::start(&rig));
    other.says("other");
    other.reads(&format!("{first} other"));
    one.says("one");
    one.reads(&format!("{first} one"));
    one.says("end");
    for attached in [one, other] {
        let (rest, finished) = attached.finish();
        assert!(rest.ends_with("bye\n"), "{rest:?}");
        assert_eq!(finished.status.code(), Some(7), "{finished:?}");
        assert!(finished.stderr.contains("terminated with exit code 7"), "{finished:?}");
    }
    let second = eventually(SOON, || match rig.shores.node.children()[..] {
        [process] if process != first => Ok(process),
        ref children => Err(format!("{children:?} is not a new main process")),
    });
    let mut again = Attached::start(&rig);
    again.says("again");
    again.reads(&format!("{second} again"));
}

#[test]
fn a_terminal_prompts_resizes_and_is_left_without_harm() {
    let Some(rig) = Rig::with_node(&["--main", "PS1='prompt> ' exec sh -i", "--main-tty"]) else { return };
    let main = main_process(&rig);
    let mut terminal = Terminal::start(&rig.kubectl, &["attach", "-it", "demo"], (30, 100));
    terminal.reads("try pressing enter.");
    terminal.types("\r");
    terminal.reads("prompt> ");
    terminal.types("until [ \"$(stty size)\" = '30 100' ]; do sleep 0.05; done; echo si''zed\r");
    terminal.reads("\r\nsized\r\n");
    terminal.resize(41, 123);
    terminal.types("until [ \"$(stty size)\" = '41 123' ]; do sleep 0.05; done; echo re''sized\r");
    terminal.reads("\r\nresized\r\n");
    terminal.reads("prompt> ");
    terminal.types("left=be''hind; echo no''ted\r");
    terminal.reads("\r\nnoted\r\n");
    // As if the window were closed: kubectl is killed.
    drop(terminal);
    let mut terminal = Terminal::start(&rig.kubectl, &["attach", "-it", "demo"], (25, 80));
    terminal.reads("try pressing enter.");
    terminal.types("echo $left\r");
    terminal.reads("\r\nbehind\r\n");
    assert_eq!(rig.shores.node.children(), [main]);
    terminal.types("exit 5\r");
    let finished = terminal.finish();
    assert_eq!(finished.status.code(), Some(5), "{finished:?}");
}

#[test]
fn a_killed_kubectl_leaves_the_main_process_alone_and_nothing_behind() {
    let Some(rig) = Rig::start() else { return };
    let mut warm = Attached::start(&rig);
    warm.says("warm");
    warm.reads("warm");
    drop(warm);
    thread::sleep(Duration::from_millis(500));
    let (baseline, main) = (rig.shores.baseline(), rig.shores.node.children());
    let mut stays = Attached::start(&rig);
    stays.says("first");
    stays.reads("first");
    for number in 0..20 {
        let mut leaves = Attached::start(&rig);
        leaves.says(&format!("line {number}"));
        leaves.reads(&format!("line {number}"));
        if number % 2 == 0 {
            leaves.kubectl.kill();
        }
    }
    stays.says("last");
    stays.reads("last");
    drop(stays);
    rig.shores.return_to(baseline, SOON);
    assert_eq!(rig.shores.node.children(), main);
}
