//! Every client of a port-forward, on every upstream, through what can happen to its connections. What has to come of it follows from
//! the rules that are written down here; where a protocol cannot say something, the rule says so.
//!
//! One gateway and one node serve all cells of an upstream at a time; each cell has targets of its own.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use strait::k8s::ports::most_ports;
use strait_tests::{
    Carrier, ForwardClient, Forwards, Server, Shores, Target, eventually, refused_port, reset,
};

use Forwards::{Channels, Pairs};
use Scenario::{AllEnd, ClientFirst, Echo, Many, Refused, Reset, TargetFirst};

/// What the end of a connection may take to be noticed everywhere.
const SOON: Duration = Duration::from_secs(10);
/// Longer than containerd waits for the second half of a connection.
const A_WHILE: Duration = Duration::from_millis(1300);
/// More than a frame, less than the buffers on the way: one thread writes and reads.
const PIECE: usize = 100_000;
/// Connections of one session, where the protocol has no bound.
const MANY: usize = 100;

const SCENARIOS: [Scenario; 7] = [Echo, ClientFirst, TargetFirst, AllEnd, Refused, Reset, Many];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upstream {
    Spdy,
    /// WebSocket with nothing but the tunnel.
    Tunnel,
    /// WebSocket with channels too.
    WebSocket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Echo,
    /// The client ends its half, and the target takes its time.
    ClientFirst,
    /// The target ends its half, and the client takes its time.
    TargetFirst,
    /// No connection is left.
    AllEnd,
    Refused,
    Reset,
    Many,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    client: Forwards,
    upstream: Upstream,
    scenario: Scenario,
}

impl Upstream {
    fn node(self) -> &'static [&'static str] {
        match self {
            Self::Spdy => &["--websocket-protocols", ""],
            Self::Tunnel => &["--spdy-protocols", "", "--websocket-protocols", "SPDY/3.1+portforward.k8s.io"],
            Self::WebSocket => &["--spdy-protocols", ""],
        }
    }

    fn gateway(self) -> &'static [&'static str] {
        match self {
            Self::Spdy => &["--upstream-protocol", "spdy"],
            Self::Tunnel | Self::WebSocket => &["--upstream-protocol", "websocket"],
        }
    }
}

/// The rules.
impl Cell {
    /// What the gateway says that it does.
    fn legs(self) -> &'static str {
        match (self.client, self.upstream) {
            (Pairs(Carrier::Spdy), Upstream::Spdy)
            | (Pairs(Carrier::Tunnel), Upstream::Tunnel | Upstream::WebSocket)
            | (Channels(_), Upstream::WebSocket) => "passed on",
            (Pairs(Carrier::Tunnel), Upstream::Spdy) => "tunnel to SPDY/3.1",
            (Pairs(Carrier::Spdy), Upstream::Tunnel | Upstream::WebSocket) => "SPDY/3.1 to tunnel",
            (Channels(_), Upstream::Spdy) => "ports to SPDY/3.1",
            (Channels(_), Upstream::Tunnel) => "ports to tunnel",
        }
    }

    /// What the client's protocol has no word for.
    fn cannot_say(self) -> Option<&'static str> {
        let is_said = self.scenario != ClientFirst || self.client.can_half_close();
        (!is_said).then_some("channels have no half-close")
    }

    fn many(self) -> usize {
        match self.client {
            Pairs(_) => MANY,
            Channels(protocol) => most_ports(protocol),
        }
    }
}

impl Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, upstream, scenario } = self;
        write!(f, "{client:?} {upstream:?} {scenario:?}")
    }
}

#[test]
fn every_client_in_front_of_spdy() {
    run(Upstream::Spdy);
}

#[test]
fn every_client_in_front_of_a_tunnel() {
    run(Upstream::Tunnel);
}

#[test]
fn every_client_in_front_of_websocket() {
    run(Upstream::WebSocket);
}

/// Runs all cells of an upstream, and fails with all that fail.
fn run(upstream: Upstream) {
    let shores = Shores::behind_gateway(Server::node_with(upstream.node()), upstream.gateway());
    let address = shores.gateway.address();
    let cells = Forwards::ALL
        .into_iter()
        .flat_map(|client| SCENARIOS.into_iter().map(move |scenario| Cell { client, upstream, scenario }));
    let (unsaid, cells): (Vec<_>, Vec<_>) = cells.partition(|cell| cell.cannot_say().is_some());
    for cell in unsaid {
        println!("{cell}: {}", cell.cannot_say().unwrap_or_default());
    }
    // A cell fails by panicking, in a thread of its own.
    let running: Vec<_> =
        cells.iter().map(|&cell| (cell, thread::spawn(move || cell.run(address)))).collect();
    let failed = running.into_iter().filter_map(|(cell, thread)| thread.join().err().map(|why| (cell, why)));
    let failed: Vec<_> = failed.map(|(cell, why)| format!("{cell}: {}", said(&*why))).collect();
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), cells.len(), failed.join("\n"));

    let mut expected = BTreeMap::<&str, usize>::new();
    for cell in &cells {
        *expected.entry(cell.legs()).or_default() += 1;
    }
    eventually(SOON, || {
        let log = shores.gateway.log();
        let counts = expected.keys().map(|legs| (*legs, log.matches(&format!("legs=\"{legs}\"")).count()));
        let counts: BTreeMap<_, _> = counts.collect();
        if counts == expected { Ok(()) } else { Err(format!("{counts:?} instead of {expected:?}: {log}")) }
    });
}

/// What a panic said.
fn said(why: &(dyn std::any::Any + Send)) -> &str {
    let text = why.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| why.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}

impl Cell {
    fn run(self, gateway: SocketAddr) {
        let connect = |ports: &[u16]| ForwardClient::connect(gateway, self.client, ports);
        match self.scenario {
            Echo => echo(self, connect),
            ClientFirst => client_first(connect),
            TargetFirst => target_first(self, connect),
            AllEnd => all_end(self, connect),
            Refused => refused(connect),
            Reset => reset_by_target(connect),
            Many => many(self, connect),
        }
    }
}

/// Both halves are ended by the client here, the session by its end.
fn echo(cell: Cell, connect: impl Fn(&[u16]) -> ForwardClient) {
    let target = Target::echo();
    let mut client = connect(&[target.port()]);
    let bytes: Vec<u8> = (0..PIECE).map(|index| (index % 251) as u8).collect();
    for piece in bytes.chunks(PIECE / 3) {
        client.send(0, piece);
    }
    client.until("all of it", |client| client.data(0).len() >= PIECE);
    if cell.client.can_half_close() {
        client.half_close(0);
        client.until("its end", |client| client.is_finished(0));
    }
    assert!(client.data(0) == bytes, "another echo");
    assert_eq!(client.error(0), "");
    drop(client);
    closes(&target);
}

fn client_first(connect: impl Fn(&[u16]) -> ForwardClient) {
    let target = Target::start(|mut stream| {
        let mut request = String::new();
        let _ = stream.read_to_string(&mut request);
        thread::sleep(A_WHILE);
        let _ = write!(stream, "got {request}");
    });
    let mut client = connect(&[target.port()]);
    client.send(0, b"question");
    client.half_close(0);
    client.until("an answer, and its end", |client| client.is_finished(0));
    assert_eq!(client.data(0), b"got question");
    assert_eq!(client.error(0), "");
    closes(&target);
}

fn target_first(cell: Cell, connect: impl Fn(&[u16]) -> ForwardClient) {
    let ((target, texts), other) = (farewell(), Target::echo());
    let mut client = connect(&[target.port(), other.port()]);
    client.until("a farewell", |client| client.data(0).len() >= 7);
    if cell.client.can_half_close() {
        client.until("its end", |client| client.is_half_closed(0));
        client.read_for(A_WHILE);
        client.send(0, b"thanks");
        client.half_close(0);
        client.until("the end", |client| client.is_finished(0));
        assert_eq!(texts.recv_timeout(SOON).expect("the target hears the end"), "thanks");
    } else {
        // As the client cannot end its half, it is ended for it.
        texts.recv_timeout(SOON).expect("the target hears the end");
    }
    assert_eq!((client.data(0), client.error(0)), (&b"goodbye"[..], String::new()));
    client.assert_echo(1, b"the other one goes on");
    closes(&target);
}

fn all_end(cell: Cell, connect: impl Fn(&[u16]) -> ForwardClient) {
    let ((target, _texts), other) = (farewell(), Target::echo());
    let mut client = connect(&[target.port(), target.port()]);
    client.until("farewells", |client| [0, 1].iter().all(|&index| client.data(index) == b"goodbye"));
    if cell.client.can_half_close() {
        for index in [0, 1] {
            client.half_close(index);
            client.until("its end", |client| client.is_finished(index));
        }
        let new = client.open(other.port()).expect("a session that goes on");
        client.assert_echo(new, b"goes on");
    } else {
        client.until("over", ForwardClient::is_gone);
        assert!(client.ended_clean(), "{client:?}");
    }
    closes(&target);
}

fn refused(connect: impl Fn(&[u16]) -> ForwardClient) {
    let (refused, other) = (refused_port(), Target::echo());
    let mut client = connect(&[refused, other.port()]);
    client.until("a failure", |client| client.has_failed(0));
    let error = client.error(0);
    let expected = format!("error forwarding port {refused} to pod demo, uid strait-default-demo: ");
    assert!(error.starts_with(&expected) && error.to_lowercase().contains("connection refused"), "{error}");
    assert_eq!(client.data(0), b"");
    others_go_on(client, &other);
}

fn reset_by_target(connect: impl Fn(&[u16]) -> ForwardClient) {
    let other = Target::echo();
    let target = Target::start(|mut stream| {
        let _ = stream.read(&mut [0; 10]);
        let _ = stream.write_all(b"said before");
        // So that it has left.
        thread::sleep(Duration::from_millis(500));
        reset(stream);
    });
    let mut client = connect(&[target.port(), other.port()]);
    client.assert_echo(1, b"before");
    client.send(0, b"x");
    client.until("a failure", |client| client.has_failed(0));
    let error = client.error(0);
    let expected = format!("error forwarding port {} to pod demo, uid strait-default-demo: ", target.port());
    assert!(error.starts_with(&expected) && error.to_lowercase().contains("reset"), "{error}");
    assert_eq!(client.data(0), b"said before");
    closes(&target);
    others_go_on(client, &other);
}

fn many(cell: Cell, connect: impl Fn(&[u16]) -> ForwardClient) {
    let (target, count) = (Target::echo(), cell.many());
    let mut client = connect(&vec![target.port(); count]);
    let bytes = |index: usize| format!("connection {index}, ").repeat(200 + index).into_bytes();
    for index in 0..count {
        client.send(index, &bytes(index));
    }
    for index in 0..count {
        client.until("an echo", |client| client.data(index).len() >= bytes(index).len());
    }
    eventually(SOON, || if target.open() == count { Ok(()) } else { Err("not all at a time") });
    if cell.client.can_half_close() {
        for index in 0..count {
            client.half_close(index);
        }
        client.until("all ends", |client| (0..count).all(|index| client.is_finished(index)));
    }
    for index in 0..count {
        assert!(client.data(index) == bytes(index), "another echo of {index}");
        assert_eq!(client.error(index), "");
    }
    drop(client);
    closes(&target);
}

/// Connection 1, to `other`, and new ones where there are any.
fn others_go_on(mut client: ForwardClient, other: &Target) {
    client.assert_echo(1, b"the other one goes on");
    assert_eq!(client.error(1), "");
    if let Some(new) = client.open(other.port()) {
        client.assert_echo(new, b"so does a new one");
    }
    assert!(!client.is_gone(), "the session ended");
}

/// A target that ends its half at once, and tells what it hears.
fn farewell() -> (Target, Receiver<String>) {
    let (texts, heard) = mpsc::channel();
    let target = Target::start(move |mut stream| {
        let _ = stream.write_all(b"goodbye");
        let _ = stream.shutdown(Shutdown::Write);
        let mut all = String::new();
        let _ = stream.read_to_string(&mut all);
        let _ = texts.send(all);
    });
    (target, heard)
}

/// No connection to it is left.
#[track_caller]
fn closes(target: &Target) {
    eventually(SOON, || match target.open() {
        0 => Ok(()),
        open => Err(format!("{open} connections are left")),
    });
}
