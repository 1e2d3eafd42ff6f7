//! The demo: the first thing that a newcomer runs.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use strait_tests::{Running, Server, exec_prints, strait};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_demo_tests_itself_and_says_what_happened() {
    let mut command = Command::new(strait());
    command.args(["demo", "--once"]).stdin(Stdio::null());
    let finished = Running::start(&mut command, PATIENCE).finish();
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    let printed = finished.text();
    for expected in ["bytes in", "bytes out", "exit code  3", "kubectl --server=http://127.0.0.1:"] {
        assert!(printed.contains(expected), "no {expected:?} in {printed}");
    }
}

#[test]
fn the_demo_goes_on_serving() {
    let demo = Server::spawn(&["demo"]);
    exec_prints(demo.address(), "hello");
    let finished = demo.end_by(Signal::INT);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}
