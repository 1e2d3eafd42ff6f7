//! What a gateway asks the system for, exactly: system calls and allocations of a session that runs already. `cargo xtask perf-gate`
//! compares them.
//!
//! How often a gateway wakes up, and how much each read brings, depends on who is quicker, on every other run. Here it does not: the gateway
//! is a thread of this program, and before each wait for input it waits for its turn, which it gets when all bytes of the turn
//! have arrived at its socket. The runtime is tokio's for one thread, because several wake each other whenever they see fit.

pub(crate) mod calls;
mod turns;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use strait::Limits;
use strait::k8s::Subprotocol;
use strait::leg::Event;
use strait::spdy::LentBlocks;
use strait_bench::Record;
use strait_scenarios::{Direction, Leg, Pace, Scenario};
use strait_tokio::gateway::Gateway;
use strait_tokio::{Shutdown, Upstream};

use self::calls::Asked;
use crate::client::{Client, WebSocket, is_ready};
use crate::forward::{PortsServer, Tunnel};
use crate::head::Head;
use crate::job::{Job, Kind};
use crate::link::{self, Link, Opening, Room};
use crate::traffic::{Traffic, Verifier, Way};
use crate::upstream::{STREAMS, ServerLeg, accept, open};

pub(crate) use self::calls::Spoilt;

/// What is counted.
const SCENARIOS: [&str; 10] = [
    "stdin/log_line",
    "stdin/32KiB",
    "stdout/log_line",
    "stdout/32KiB",
    "both/32KiB",
    "echo/keystroke",
    "tunnel/up/32KiB",
    "tunnel/down/32KiB",
    "tunnel/both/32KiB",
    "tunnel/pairs/4KiB",
];

/// Payload of one turn of bulk traffic, in whole frames: a read takes it all.
const TURN: usize = 32 * 1024;
const MIB: usize = 1024 * 1024;
/// Messages that travel alone.
const MESSAGES: usize = 256;
/// Turns that are not counted: buffers are taken, pages are touched.
const WARM_UP: usize = 8;

/// How long a session may take to begin, and the bytes of a turn to arrive.
const PATIENCE: Duration = Duration::from_mins(1);

/// No timer ends while it is counted, how slow the machine ever is.
const LIMITS: Limits =
    Limits { handshake: Duration::from_hours(1), stream_creation: Duration::from_hours(1), ..link::LIMITS };

/// Counts all scenarios, or those named, and prints a line of JSON for each figure.
pub(crate) fn run(names: &[String], spoilt: Option<Spoilt>) -> Result<()> {
    if let Some(how) = spoilt {
        calls::spoil(how);
    }
    let is_wanted = |name: &&&str| names.is_empty() || names.iter().any(|wanted| wanted == **name);
    let wanted: Vec<_> = SCENARIOS.iter().filter(is_wanted).collect();
    ensure!(!wanted.is_empty(), "nothing is counted of that, but of {}", SCENARIOS.join(", "));
    for name in wanted {
        let scenario = Scenario::find(name).with_context(|| format!("no scenario {name}"))?;
        let records = count(scenario).with_context(|| format!("counting {name}"))?;
        for record in records {
            println!("{record}");
        }
    }
    Ok(())
}

fn count(scenario: &Scenario) -> Result<[Record; 2]> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let gateway = Served::start(listener.local_addr()?)?;
    let job = Job::new(Kind::Carry(scenario.direction), scenario);
    let asked = match scenario.client {
        Leg::WebSocket => {
            let leg =
                || ServerLeg::server(STREAMS, Subprotocol::V4, &LIMITS, LentBlocks(Some(Box::default())));
            begin::<WebSocket, _>(&gateway, listener, &job, scenario, leg)?.count(&gateway, scenario)?
        }
        Leg::Tunnel => {
            let pairs = scenario.pairs;
            let leg = move || PortsServer::new(pairs);
            begin::<Tunnel, _>(&gateway, listener, &job, scenario, leg)?.count(&gateway, scenario)?
        }
        Leg::Spdy | Leg::Ports => bail!("the rig has no such client"),
    };
    let of_what = match scenario.pace {
        Pace::Bulk => "per MiB".to_owned(),
        Pace::Alone => format!("for {MESSAGES} messages"),
    };
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
    let record = |what: &str, unit: &str, count: u64| {
        Record::exact(scenario.name, "gateway", &format!("{what} {of_what}"), unit, count as f64)
    };
    Ok([
        record("system calls", "calls", asked.calls),
        record("allocations", "allocations", asked.allocations),
    ])
}

/// A gateway on a thread that is watched. Dropped, it ends.
struct Served {
    address: SocketAddr,
    runtime: tokio::runtime::Handle,
    shutdown: Shutdown,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Served {
    fn start(upstream: SocketAddr) -> Result<Self> {
        let gateway = Gateway::new(Upstream::parse(&format!("http://{upstream}"))?).with_limits(LIMITS);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (handle, shutdown) = (runtime.handle().clone(), Shutdown::new());
        let stop = shutdown.clone();
        let thread = thread::spawn(move || {
            calls::watch();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                Ok(gateway.serve(listener, stop).await?)
            })
        });
        Ok(Self { address, runtime: handle, shutdown, thread: Some(thread) })
    }

    /// From now on it waits for its turn.
    fn hold(&self) -> Result<()> {
        turns::hold();
        // Wakes it up, if it sleeps.
        self.runtime.spawn(async {});
        turns::is_waiting()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        turns::release();
        self.shutdown.close();
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => {}
            Some(ended) => eprintln!("the gateway has failed: {ended:?}"),
        }
    }
}

/// Both ends of a session through the gateway.
struct Session<'a, C, U> {
    client: Link<C>,
    upstream: Link<U>,
    traffic: &'a Traffic,
    up: Flow,
    down: Flow,
}

/// What goes one way, again and again.
struct Flow {
    /// Frames with what they have of payload.
    frames: Vec<(Vec<u8>, usize)>,
    next: usize,
    verifier: Verifier,
}

/// A session that has begun.
fn begin<'a, C: Client, U: Opening + Send + 'static>(
    gateway: &Served,
    listener: TcpListener,
    job: &'a Job,
    scenario: &Scenario,
    leg: impl FnOnce() -> U + Send + 'static,
) -> Result<Session<'a, C::Leg, U>> {
    let protocol = if scenario.pairs == 0 { "v4.channel.k8s.io" } else { "portforward.k8s.io" };
    let (sender, receiver) = mpsc::channel();
    // Nobody waits for this thread if the client cannot begin.
    thread::spawn(move || sender.send(serve(&listener, protocol, leg())));
    let mut client = C::dial(gateway.address, 0, job, Room::Bulk)?;
    let mut upstream = receiver.recv_timeout(PATIENCE).context("upstream was not asked")??;
    job.begin();
    is_ready(&mut client, job)?;
    let traffic = &job.traffic;
    let up = Flow::new(scenario, traffic, &mut client.leg, Way::Up)?;
    let down = Flow::new(scenario, traffic, &mut upstream.leg, Way::Down)?;
    Ok(Session { client, upstream, traffic, up, down })
}

/// Upstream's end.
fn serve<U: Opening>(listener: &TcpListener, protocol: &str, leg: U) -> Result<Link<U>> {
    let (stream, _) = listener.accept()?;
    let head = Head::read(&stream)?;
    accept(&stream, protocol)?;
    let mut link = Link::new(stream, leg, &head.behind, Room::Bulk)?;
    open(&mut link)?;
    Ok(link)
}

impl<C: Opening, U: Opening> Session<'_, C, U> {
    /// What the gateway asks for while it carries so much of the scenario.
    fn count(mut self, gateway: &Served, scenario: &Scenario) -> Result<Asked> {
        let most = if scenario.pace == Pace::Alone { 1 } else { TURN };
        // What both ends had to say when the session began lies behind the gateway then.
        self.turn([most, most], |_| Ok(()))?;
        gateway.hold()?;
        for _ in 0..WARM_UP {
            self.step(scenario.direction, most)?;
        }
        let before = Asked::so_far();
        let (mut messages, mut carried) = (0, 0);
        while if scenario.pace == Pace::Alone { messages < MESSAGES } else { carried < MIB } {
            carried += self.step(scenario.direction, most)?;
            messages += 1;
        }
        let after = Asked::so_far();
        Ok(Asked { calls: after.calls - before.calls, allocations: after.allocations - before.allocations })
    }

    /// So many bytes each way that the scenario has. How many there were.
    fn step(&mut self, direction: Direction, most: usize) -> Result<usize> {
        match direction {
            Direction::ToUpstream => self.turn([most, 0], take),
            Direction::ToClient => self.turn([0, most], take),
            Direction::Both => self.turn([most, most], take),
            Direction::Echo => Ok(self.turn([most, 0], take)? + self.turn([0, most], take)?),
        }
    }

    /// Sends up to so many bytes of payload up and down, in whole frames, tells the gateway when all have arrived there, and
    /// takes what comes of it.
    fn turn(&mut self, [up, down]: [usize; 2], tell: impl FnOnce([usize; 2]) -> Result<()>) -> Result<usize> {
        let ((up, up_payload), (down, down_payload)) = (self.up.take(up), self.down.take(down));
        self.client.output().write(&up)?;
        self.upstream.output().write(&down)?;
        tell([up.len(), down.len()])?;
        self.up.is_received(&mut self.upstream, self.traffic, up_payload)?;
        self.down.is_received(&mut self.client, self.traffic, down_payload)?;
        Ok(up_payload + down_payload)
    }
}

/// Lets the gateway take what it was sent.
fn take(sent: [usize; 2]) -> Result<()> {
    let begun = Instant::now();
    // It reads nothing until it is told.
    while calls::unread() != sent {
        ensure!(begun.elapsed() < PATIENCE, "{:?} of {sent:?} bytes have arrived", calls::unread());
        thread::sleep(Duration::from_micros(20));
    }
    turns::take()
}

impl Flow {
    fn new(scenario: &Scenario, traffic: &Traffic, leg: &mut impl Opening, way: Way) -> Result<Self> {
        let frames = traffic.encode_each(leg, way)?.into_iter().zip(scenario.frame_sizes()).collect();
        Ok(Self { frames, next: 0, verifier: Verifier::of(traffic, way) })
    }

    /// The next frames, with so many bytes of payload at least, and how many they have.
    fn take(&mut self, least: usize) -> (Vec<u8>, usize) {
        let (mut wire, mut payload) = (vec![], 0);
        while payload < least {
            let (frame, size) = &self.frames[self.next];
            wire.extend_from_slice(frame);
            payload += size;
            self.next = (self.next + 1) % self.frames.len();
        }
        (wire, payload)
    }

    /// Returns when so many bytes have come, and are right.
    fn is_received(
        &mut self,
        link: &mut Link<impl Opening>,
        traffic: &Traffic,
        payload: usize,
    ) -> Result<()> {
        let mut got = 0;
        while got < payload as u64 {
            let goes_on = link.read(|_, event, input| {
                if let Event::Data { channel, range } = event {
                    got += self.verifier.check(traffic, channel, &input[range])?;
                }
                Ok(())
            })?;
            ensure!(goes_on, "the connection has ended");
        }
        ensure!(got == payload as u64, "{got} bytes of {payload} have come");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_the_same_in_every_run() {
        for name in ["stdin/log_line", "echo/keystroke", "tunnel/pairs/4KiB"] {
            let scenario = Scenario::find(name).unwrap();
            let [first, second] = [0, 1].map(|_| count(scenario).unwrap());
            assert_eq!(first, second);
            assert!(first[0].value > 0.0, "no call is seen");
        }
    }

    #[test]
    fn what_is_counted_is_there() {
        for name in SCENARIOS {
            assert!(Scenario::find(name).is_some_and(|scenario| scenario.frames > 0), "{name}");
        }
    }
}
