//! Peers that stand still for longer than any heartbeat: a process that reads no input, a person who stops kubectl, a pager that
//! waits. None of them is dead, and none of their sessions may end for it.
//!
//! All of them at the same time: they wait.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use strait_tests::{Checksum, Kubectl, Rig, Running, checksum_of};

/// Longer than what a Go client gives a write (60 s) and a peer that answers no ping (61 s), and than the gateway's own
/// time-out (30 s).
const STALL: Duration = Duration::from_secs(70);
/// Of a process that reads nothing: longer than the stall of a client, because the client has to notice too.
const DEAF: Duration = Duration::from_secs(75);
/// What a session may take in all.
const LIFE: Duration = Duration::from_secs(150);

/// A kubectl and a way through a gateway.
struct Way {
    name: &'static str,
    kubectl: fn(&str) -> Option<Kubectl>,
    node: &'static [&'static str],
    gateway: &'static [&'static str],
}

const WAYS: [Way; 4] = [
    Way { name: "translated", kubectl: Kubectl::find, node: &["--websocket-protocols", ""], gateway: &[] },
    Way {
        name: "translated back",
        kubectl: Kubectl::old,
        node: &["--spdy-protocols", ""],
        gateway: &["--upstream-protocol", "websocket"],
    },
    Way {
        name: "WebSocket passed on",
        kubectl: Kubectl::find,
        node: &["--spdy-protocols", ""],
        gateway: &["--upstream-protocol", "websocket"],
    },
    Way { name: "SPDY passed on", kubectl: Kubectl::old, node: &["--websocket-protocols", ""], gateway: &[] },
];

/// Something that stands still, in the sessions of a rig.
type Stall = fn(&Rig);

/// Everything that stands still, on every way.
const STALLS: [(&str, Stall); 4] = [
    ("a process that does not read", a_process_that_does_not_read),
    ("a kubectl that is stopped", a_kubectl_that_is_stopped),
    ("a pager that waits", a_pager_that_waits),
    ("silence", silence),
];

#[test]
fn whoever_stands_still_keeps_the_session() {
    let mut stalls = Vec::new();
    for way in WAYS {
        for (name, stall) in STALLS {
            let name = format!("{}, {name}", way.name);
            let thread = thread::Builder::new().name(name.clone());
            let stall = move || {
                if let Some(rig) = Rig::with(way.kubectl, way.node, way.gateway) {
                    stall(&rig);
                }
            };
            stalls.push((name, thread.spawn(stall).expect("a thread")));
        }
    }
    let failed: Vec<_> =
        stalls.into_iter().filter_map(|(name, stall)| stall.join().is_err().then_some(name)).collect();
    // What is wrong with them is printed above.
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The input is as long as it takes: all buffers on the way are full, and kubectl waits for its write.
fn a_process_that_does_not_read(rig: &Rig) {
    let script = format!("sleep {}; echo alive; exit 3", DEAF.as_secs());
    let zeros = File::open("/dev/zero").expect("/dev/zero");
    let started = Instant::now();
    let finished =
        rig.kubectl.start(&["exec", "-i", "demo", "--", "sh", "-c", &script], zeros, LIFE).finish();
    assert_eq!(
        (finished.status.code(), finished.text().as_str()),
        (Some(3), "alive\n"),
        "after {:?}: {finished:?}\n{}",
        started.elapsed(),
        rig.shores.gateway.log()
    );
}

/// Its output comes when it goes on, all of it.
fn a_kubectl_that_is_stopped(rig: &Rig) {
    let mut kubectl = rig.kubectl.start(&numbers(), Stdio::null(), LIFE);
    let mut sum = Checksum::new();
    copy(&mut kubectl, &mut sum, 1_000_000);
    kubectl.signal(Signal::STOP);
    thread::sleep(STALL);
    kubectl.signal(Signal::CONT);
    finish(kubectl, sum, rig);
}

/// Nobody reads kubectl's pipe, so it reads nothing itself; but it lives, and pings.
fn a_pager_that_waits(rig: &Rig) {
    let mut kubectl = rig.kubectl.start(&numbers(), Stdio::null(), LIFE);
    let mut sum = Checksum::new();
    copy(&mut kubectl, &mut sum, 1_000_000);
    thread::sleep(STALL);
    finish(kubectl, sum, rig);
}

fn silence(rig: &Rig) {
    let script = format!("sleep {}; echo alive; exit 3", STALL.as_secs());
    let finished =
        rig.kubectl.start(&["exec", "demo", "--", "sh", "-c", &script], Stdio::null(), LIFE).finish();
    let end = (finished.status.code(), finished.text());
    assert_eq!(end, (Some(3), "alive\n".into()), "{finished:?}\n{}", rig.shores.gateway.log());
}

/// More than all buffers on the way hold. It waits for kubectl's streams; see [`Kubectl::run`].
const NUMBERS: &str = "sleep 0.1; seq 1 99999999 | head -c 50000000";

fn numbers() -> [&'static str; 6] {
    ["exec", "demo", "--", "sh", "-c", NUMBERS]
}

fn copy(kubectl: &mut Running, sum: &mut Checksum, count: usize) {
    let mut bytes = vec![0; count];
    let stdout = kubectl.stdout.as_mut().expect("standard output is a pipe");
    stdout.read_exact(&mut bytes).expect("kubectl prints");
    sum.write_all(&bytes).expect("sha256sum takes input");
}

#[track_caller]
fn finish(mut kubectl: Running, mut sum: Checksum, rig: &Rig) {
    let mut rest = kubectl.stdout.take().expect("standard output is a pipe");
    let copied = std::io::copy(&mut rest, &mut sum).expect("kubectl's output can be read");
    let finished = kubectl.finish();
    let log = || format!("{copied} bytes more; {finished:?}\n{}", rig.shores.gateway.log());
    assert_eq!(finished.status.code(), Some(0), "{}", log());
    assert_eq!(sum.finish(), checksum_of(NUMBERS), "{}", log());
}
