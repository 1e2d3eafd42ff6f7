//! Peers that stand still for longer than any heartbeat: a process that reads no input, a person who stops kubectl, a pager that
//! waits. None of them is dead, and none of their sessions may end for it.
//!
//! All of them at the same time: they wait.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use strait::k8s::{Channel, Subprotocol};
use strait_tests::{
    Checksum, Dialect, End, Exec, Kubectl, Rig, Running, Said, Server, Shores, Transcript, checksum_of,
};

/// Longer than what a Go client gives one write (60 s) and a server that answers no ping (61 s), and than what the gateway
/// gives a peer (30 s).
const LONG: Duration = Duration::from_secs(72);
/// Longer than what the gateway gives a peer, but not than what a Go client gives its server.
const SHORT: Duration = Duration::from_secs(48);
/// What a session may take in all.
const LIFE: Duration = Duration::from_secs(150);

/// A kubectl and a way through a gateway.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    kubectl: fn(&str) -> Option<Kubectl>,
    node: &'static [&'static str],
    gateway: &'static [&'static str],
    /// How long this kubectl bears a process that does not read.
    deaf: Duration,
    /// How long it bears to be stopped itself. Over WebSocket it has a deadline for the next pong: when it goes on, that has
    /// passed, and it reads nothing more, whatever waits for it.
    stopped: Duration,
}

const TRANSLATED: Way = Way {
    name: "translated",
    kubectl: Kubectl::find,
    node: &["--websocket-protocols", ""],
    gateway: &[],
    deaf: LONG,
    stopped: SHORT,
};

const WAYS: [Way; 4] = [
    TRANSLATED,
    Way {
        name: "translated back",
        kubectl: Kubectl::old,
        node: &["--spdy-protocols", ""],
        gateway: &["--upstream-protocol", "websocket"],
        stopped: LONG,
        ..TRANSLATED
    },
    Way {
        name: "WebSocket passed on",
        node: &["--spdy-protocols", ""],
        gateway: &["--upstream-protocol", "websocket"],
        // A gateway that passes bytes on holds none back, so this is between kubectl and its node.
        deaf: SHORT,
        ..TRANSLATED
    },
    Way { name: "SPDY passed on", kubectl: Kubectl::old, stopped: LONG, ..TRANSLATED },
];

/// Something that stands still in a session of a rig.
type Stall = fn(&Way, &Rig);

/// Everything that stands still, on every way.
const STALLS: [(&str, Stall); 4] = [
    ("a process that does not read", a_process_that_does_not_read),
    ("a kubectl that is stopped", a_kubectl_that_is_stopped),
    ("a pager that waits", a_pager_that_waits),
    ("silence", silence),
];

/// The same of a client that is no kubectl, in a session with a gateway.
type RawStall = fn(SocketAddr, Dialect) -> Result<()>;

/// Such clients bear anything.
const RAW_STALLS: [(&str, RawStall); 2] = [
    ("input that is not read", input_that_is_not_read),
    ("a client that does not read", a_client_that_does_not_read),
];

#[test]
fn whoever_stands_still_keeps_the_session() {
    let mut stalls = Vec::new();
    let mut begin = |name: String, stall: Box<dyn FnOnce() + Send>| {
        let thread = thread::Builder::new().name(name.clone()).spawn(stall).expect("a thread");
        stalls.push((name, thread));
    };
    for way in WAYS {
        for (name, stall) in STALLS {
            let stall = move || {
                if let Some(rig) = Rig::with(way.kubectl, way.node, way.gateway) {
                    stall(&way, &rig);
                }
            };
            begin(format!("{}, {name}", way.name), Box::new(stall));
        }
        for client in [Dialect::WebSocket(Subprotocol::V5), Dialect::Spdy(Subprotocol::V4)] {
            for (name, stall) in RAW_STALLS {
                let stall = move || {
                    let shores = Shores::behind_gateway(Server::node_with(way.node), way.gateway);
                    stall(shores.gateway.address(), client).expect("the session lives");
                };
                begin(format!("{client:?}, gateway as for {}, {name}", way.name), Box::new(stall));
            }
        }
    }
    let failed: Vec<_> =
        stalls.into_iter().filter_map(|(name, stall)| stall.join().is_err().then_some(name)).collect();
    // What is wrong with them is printed above.
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The input is as long as it takes: all buffers on the way are full, and kubectl waits for its write.
fn a_process_that_does_not_read(way: &Way, rig: &Rig) {
    let zeros = File::open("/dev/zero").expect("/dev/zero");
    is_alive_after(way.deaf, rig, &["exec", "-i"], zeros.into());
}

fn silence(_: &Way, rig: &Rig) {
    is_alive_after(LONG, rig, &["exec"], Stdio::null());
}

#[track_caller]
fn is_alive_after(time: Duration, rig: &Rig, exec: &[&str], stdin: Stdio) {
    let script = format!("sleep {}; echo alive; exit 3", time.as_secs());
    let arguments = [exec, &["demo", "--", "sh", "-c", &script]].concat();
    let finished = rig.kubectl.start(&arguments, stdin, LIFE).finish();
    let end = (finished.status.code(), finished.text());
    assert_eq!(end, (Some(3), "alive\n".into()), "{finished:?}\n{}", rig.shores.gateway.log());
}

/// Its output comes when it goes on, all of it.
fn a_kubectl_that_is_stopped(way: &Way, rig: &Rig) {
    let mut kubectl = rig.kubectl.start(&numbers(), Stdio::null(), LIFE);
    let mut sum = Checksum::new();
    copy(&mut kubectl, &mut sum, 1_000_000);
    kubectl.signal(Signal::STOP);
    thread::sleep(way.stopped);
    kubectl.signal(Signal::CONT);
    finish(kubectl, sum, rig);
}

/// Nobody reads kubectl's pipe, so it reads nothing itself; but it lives, and pings.
fn a_pager_that_waits(way: &Way, rig: &Rig) {
    let mut kubectl = rig.kubectl.start(&numbers(), Stdio::null(), LIFE);
    let mut sum = Checksum::new();
    copy(&mut kubectl, &mut sum, 1_000_000);
    thread::sleep(way.stopped);
    finish(kubectl, sum, rig);
}

#[tokio::main(flavor = "current_thread")]
async fn input_that_is_not_read(gateway: SocketAddr, client: Dialect) -> Result<()> {
    let script = format!("echo ready; sleep {}; echo alive; exit 3", LONG.as_secs());
    let mut session = Exec::script(&script).with_stdin().open(gateway, client).await?;
    ensure!(session.line().await? == "ready");
    let (started, zeros) = (Instant::now(), vec![0; 32 * 1024]);
    // Up to where the way is full: what is not sent then waits, as it does in a client that blocks.
    while started.elapsed() < LONG / 2 && session.try_send(&zeros, LONG / 3).await? {}
    ensure!(started.elapsed() > LONG / 3, "it was not full");
    tokio::time::sleep(LONG.saturating_sub(started.elapsed())).await;
    let mut all = Transcript::default();
    while all.add(session.next().await.with_context(|| format!("behind {all:?}"))?)? {}
    ensure!(all.stdout == b"alive\n" && all.end == End::Clean, "{all:?}");
    let status = all.status()?;
    ensure!(status["details"]["causes"][0]["message"] == "3", "{status}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn a_client_that_does_not_read(gateway: SocketAddr, client: Dialect) -> Result<()> {
    let mut session = Exec::script(NUMBERS).open(gateway, client).await?;
    tokio::time::sleep(LONG).await;
    let (mut sum, mut end) = (Checksum::new(), Transcript::default());
    loop {
        match session.next().await? {
            Said::Data(Channel::STDOUT, bytes) => sum.write_all(&bytes)?,
            other if end.add(other.clone())? => {}
            _ => break,
        }
    }
    ensure!(end.end == End::Clean && end.status()?["status"] == "Success", "{end:?}");
    ensure!(sum.finish() == checksum_of(NUMBERS), "other output");
    Ok(())
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
