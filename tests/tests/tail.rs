//! The end of an output that is read slowly: the process is long gone, and its last bytes are still in the buffers of every
//! socket on the way. Each of them arrives, and behind them the exit code (kubernetes#60140, #124571).

use std::process::Stdio;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use strait::k8s::{Channel, Subprotocol};
use strait_tests::{Dialect, End, Exec, Kubectl, Said, Server, Shores, Transcript, copy_paced};
use tokio::task::JoinSet;

const MEBIBYTE: u32 = 1 << 20;
const BIG: u32 = 32 * MEBIBYTE;
/// Bytes a second.
const RATE: u32 = MEBIBYTE;
/// What the system takes for very small.
const RECEIVE_BUFFER: u32 = 16 * 1024;
/// What a transfer may take, where it is its reader who makes it slow.
const TRANSFER: Duration = Duration::from_secs(150);
/// Between two heartbeats of a client. What a server has closed answers them with a reset, which takes with it what
/// was not read.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The data says where it is from, so that a gap would show. It waits for kubectl's streams; see [`Kubectl::run`].
const SCRIPT: &str = "sleep 0.1; seq 1 99999999 | head -c 33554432; exit 9";

static EXPECTED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut numbers = Vec::with_capacity(BIG as usize + 16);
    for number in 1.. {
        numbers.extend_from_slice(format!("{number}\n").as_bytes());
        if numbers.len() >= BIG as usize {
            break;
        }
    }
    numbers.truncate(BIG as usize);
    numbers
});

/// A way through a gateway, and who goes it.
struct Way {
    name: &'static str,
    client: Dialect,
    kubectl: fn(&str) -> Option<Kubectl>,
    node: &'static [&'static str],
    gateway: &'static [&'static str],
}

const WAYS: [Way; 4] = [
    Way {
        name: "translated",
        client: Dialect::WebSocket(Subprotocol::V5),
        kubectl: Kubectl::find,
        node: &["--websocket-protocols", ""],
        gateway: &[],
    },
    Way {
        name: "translated back",
        client: Dialect::Spdy(Subprotocol::V4),
        kubectl: Kubectl::old,
        node: &["--spdy-protocols", ""],
        gateway: &["--upstream-protocol", "websocket"],
    },
    Way {
        name: "WebSocket passed on",
        client: Dialect::WebSocket(Subprotocol::V5),
        kubectl: Kubectl::find,
        node: &["--spdy-protocols", ""],
        gateway: &["--upstream-protocol", "websocket"],
    },
    Way {
        name: "SPDY passed on",
        client: Dialect::Spdy(Subprotocol::V4),
        kubectl: Kubectl::old,
        node: &["--websocket-protocols", ""],
        gateway: &[],
    },
];

/// Sessions of each way; with them a kubectl of each.
const SESSIONS: usize = 20;

/// All at the same time: they wait most of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tail_of_a_slow_output_arrives_on_every_way() {
    let mut transfers = JoinSet::new();
    let mut servers = Vec::new();
    for way in WAYS {
        let shores = Arc::new(Shores::behind_gateway(Server::node_with(way.node), way.gateway));
        for number in 0..SESSIONS {
            let (client, gateway) = (way.client, shores.gateway.address());
            transfers.spawn(async move {
                let result = tokio::time::timeout(TRANSFER, read_slowly(client, gateway)).await;
                let result = result.context("it takes too long").and_then(|result| result);
                result.map_err(|error| format!("{}, session {number}: {error:#}", way.name))
            });
        }
        let url = shores.gateway.url().to_owned();
        transfers.spawn_blocking(move || {
            let Some(kubectl) = (way.kubectl)(&url) else { return Ok(()) };
            kubectl_reads_slowly(&kubectl).map_err(|error| format!("{}, kubectl: {error:#}", way.name))
        });
        servers.push(shores);
    }
    let failed: Vec<_> = transfers.join_all().await.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

async fn read_slowly(client: Dialect, gateway: std::net::SocketAddr) -> Result<()> {
    let exec = Exec::script(SCRIPT).with_receive_buffer(RECEIVE_BUFFER);
    let (mut session, started) = (exec.open(gateway, client).await?, Instant::now());
    let (mut end, mut next_ping, mut read) = (Transcript::default(), HEARTBEAT, 0);
    loop {
        match session.next().await? {
            Said::Data(Channel::STDOUT, piece) => {
                let expected = EXPECTED.get(read..read + piece.len());
                ensure!(expected == Some(&piece[..]), "{} wrong bytes behind {read}", piece.len());
                read += piece.len();
            }
            other if end.add(other.clone())? => {}
            _ => break,
        }
        let due = Duration::from_nanos(read as u64 * 1_000_000_000 / u64::from(RATE));
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
        if started.elapsed() > next_ping && end.error.is_empty() {
            next_ping = started.elapsed() + HEARTBEAT;
            session.ping().await?;
        }
    }
    let time = started.elapsed();
    let error = String::from_utf8_lossy(&end.error);
    ensure!(read == EXPECTED.len(), "{read} bytes after {time:?}; {:?}, {error:?}", end.end);
    let status = end.status()?;
    let is_so = end.end == End::Clean && status["details"]["causes"][0]["message"] == "9";
    ensure!(is_so, "{:?}: {status}", end.end);
    assert_slow(time)
}

fn kubectl_reads_slowly(kubectl: &Kubectl) -> Result<()> {
    let started = Instant::now();
    let arguments = ["exec", "demo", "--", "sh", "-c", SCRIPT];
    let mut running = kubectl.start(&arguments, Stdio::null(), TRANSFER);
    let (mut stdout, mut read) = (running.stdout.take().context("a pipe")?, Vec::new());
    copy_paced(&mut stdout, &mut read, RATE)?;
    let finished = running.finish();
    ensure!(finished.status.code() == Some(9), "{finished:?}");
    ensure!(read == *EXPECTED, "{} bytes are not the right ones", read.len());
    assert_slow(started.elapsed())
}

/// The reader was slow, or all of this says nothing.
fn assert_slow(time: Duration) -> Result<()> {
    // The clocks do not begin at the same moment.
    ensure!(time >= Duration::from_secs(u64::from(BIG / RATE)).mul_f64(0.95), "read in {time:?}");
    Ok(())
}
