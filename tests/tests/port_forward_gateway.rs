//! Port-forward through a gateway while something happens to one of the programs, for every client and upstream, and with real kubectls.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use strait_tests::{
    Counters, ForwardClient, Forwarding, Forwards, Kubectl, Server, Shores, Target, eventually, exec_prints,
    refused_port,
};

const UPSTREAMS: [&str; 2] = ["spdy", "websocket"];
const SOON: Duration = Duration::from_secs(10);
/// Of a session.
const ECHO: usize = 0;
const STREAM: usize = 1;

/// A node, a gateway, and a session of each client with a connection that is idle and one that is not.
struct Busy {
    shores: Shores,
    baseline: [Counters; 2],
    clients: Vec<ForwardClient>,
    echo: Target,
    /// Sends as long as it is let.
    stream: Target,
}

impl Busy {
    fn start(upstream: &str, gateway: &[&str]) -> Self {
        let options = [&["--upstream-protocol", upstream], gateway].concat();
        let shores = Shores::start(&options);
        let baseline = shores.baseline();
        let echo = Target::echo();
        let stream = Target::start(|mut stream| {
            while stream.write_all(&[7; 10_000]).is_ok() {
                thread::sleep(Duration::from_millis(10));
            }
        });
        let ports = [echo.port(), stream.port()];
        let mut clients =
            Forwards::ALL.map(|client| ForwardClient::connect(shores.gateway.address(), client, &ports));
        for client in &mut clients {
            client.assert_echo(ECHO, b"begins");
            client.until("busy", |client| client.data(STREAM).len() > 20_000);
        }
        Self { shores, baseline, clients: clients.into(), echo, stream }
    }

    /// No connection to a target is left.
    #[track_caller]
    fn closes(&self) {
        eventually(SOON, || match self.echo.open() + self.stream.open() {
            0 => Ok(()),
            open => Err(format!("{open} connections are left")),
        });
    }
}

/// Each upstream, at the same time.
fn each(test: impl Fn(&str) + Sync) {
    thread::scope(|scope| {
        for upstream in UPSTREAMS {
            let test = &test;
            scope.spawn(move || test(upstream));
        }
    });
}

#[test]
fn a_killed_node_ends_all_sessions() {
    each(|upstream| {
        let mut busy = Busy::start(upstream, &[]);
        busy.shores.node.kill();
        for client in &mut busy.clients {
            client.until("over", ForwardClient::is_gone);
        }
        busy.closes();
        busy.clients.clear();
        busy.shores.gateway.returns_to(busy.baseline[0], SOON);
    });
}

#[test]
fn killed_clients_leave_nothing_behind() {
    each(|upstream| {
        let mut busy = Busy::start(upstream, &[]);
        // With data that they have not read, as a killed process leaves them.
        busy.clients.clear();
        busy.closes();
        busy.shores.return_to(busy.baseline, SOON);
    });
}

#[test]
fn a_killed_gateway_leaves_nothing_behind() {
    each(|upstream| {
        let mut busy = Busy::start(upstream, &[]);
        busy.shores.gateway.kill();
        busy.closes();
        busy.shores.node.returns_to(busy.baseline[1], SOON);
        for client in &mut busy.clients {
            client.until("over", ForwardClient::is_gone);
        }
    });
}

#[test]
fn a_gateway_that_drains_lets_connections_go_on_and_ends_them_in_time() {
    const DRAIN: Duration = Duration::from_secs(3);
    each(|upstream| {
        let node = Server::node();
        exec_prints(node.address(), "warm");
        thread::sleep(Duration::from_millis(500));
        let baseline = node.counters();
        let options = ["gateway", "--listen", "127.0.0.1:0", "--upstream-protocol", upstream];
        let rest = ["--drain-timeout", &DRAIN.as_secs().to_string(), "--upstream", node.url()];
        let gateway = Server::spawn(&[&options[..], &rest[..]].concat());
        let (echo, address) = (Target::echo(), gateway.address());
        let mut clients = Forwards::ALL.map(|client| ForwardClient::connect(address, client, &[echo.port()]));
        for client in &mut clients {
            client.assert_echo(ECHO, b"begins");
        }
        let started = Instant::now();
        gateway.signal(Signal::TERM);
        eventually(SOON, || match std::net::TcpStream::connect(address) {
            Ok(_) => Err("it still accepts"),
            Err(_) => Ok(()),
        });
        for client in &mut clients {
            client.assert_echo(ECHO, b"goes on");
            assert!(!client.is_gone());
        }
        assert!(started.elapsed() < DRAIN, "too slow a machine: {:?}", started.elapsed());
        for client in &mut clients {
            client.until("over", ForwardClient::is_gone);
        }
        assert!(started.elapsed() >= DRAIN, "cut after {:?}", started.elapsed());
        drop(clients);
        let ended = gateway.end_by(Signal::TERM);
        assert!(ended.status.success(), "{ended:?}");
        eventually(SOON, || if echo.open() == 0 { Ok(()) } else { Err("a connection is left") });
        node.returns_to(baseline, SOON);
    });
}

/// Then all stop reading: nobody answers pings any more, whoever sends them.
#[test]
fn idle_connections_live_as_long_as_somebody_answers_pings() {
    let limits = ["--ping-interval", "1", "--peer-timeout", "3"];
    each(|upstream| {
        let options = [&["--upstream-protocol", upstream][..], &limits[..]].concat();
        let shores = Shores::behind_gateway(Server::node_with(&limits), &options);
        let (echo, address) = (Target::echo(), shores.gateway.address());
        let idle = |client: Forwards| {
            let mut client = ForwardClient::connect(address, client, &[echo.port()]);
            client.assert_echo(ECHO, b"begins");
            client.read_for(Duration::from_secs(5));
            client.assert_echo(ECHO, b"goes on");
            // Whoever got data last, and said nothing since, may still be busy with it.
            client.read_for(Duration::from_millis(2500));
            client
        };
        let silent: Vec<_> = thread::scope(|scope| {
            let threads = Forwards::ALL.map(|client| scope.spawn(move || idle(client)));
            threads.into_iter().map(|thread| thread.join().expect("an idle client lives")).collect()
        });
        assert_eq!(echo.open(), silent.len());
        eventually(Duration::from_secs(20), || match echo.open() {
            0 => Ok(()),
            open => Err(format!("{open} connections are left: {}", shores.gateway.log())),
        });
    });
}

/// As long as there is room for what it does not read, the others notice nothing; then it is the one that ends.
#[test]
fn a_target_that_stops_reading_leaves_the_others_going() {
    const ROOM: usize = 2 << 20;
    const TOO_MUCH: usize = 8 << 20;
    let deaf = Target::start(|stream| {
        thread::sleep(Duration::from_mins(1));
        drop(stream);
    });
    let echo = Target::echo();
    each(|upstream| {
        let shores = Shores::start(&["--upstream-protocol", upstream]);
        let address = shores.gateway.address();
        let stalls = |client: Forwards| {
            let mut client = ForwardClient::connect(address, client, &[echo.port(), deaf.port()]);
            let piece = vec![7; 32 * 1024];
            for _ in 0..ROOM / piece.len() {
                client.send(1, &piece);
            }
            for _ in 0..32 {
                client.assert_echo(ECHO, &piece);
            }
            assert_eq!(client.error(1), "");
            for _ in ROOM / piece.len()..TOO_MUCH / piece.len() {
                client.send(1, &piece);
            }
            assert!(client.within(Duration::from_secs(40), |client| client.has_failed(1)), "{client:?}");
            let error = client.error(1);
            assert!(error.contains("nothing was read of the connection for 10s"), "{error}");
            client.assert_echo(ECHO, b"goes on");
        };
        thread::scope(|scope| {
            for client in Forwards::ALL {
                scope.spawn(move || stalls(client));
            }
        });
    });
}

#[test]
fn kubectl_over_the_tunnel() {
    each(|upstream| kubectl(Kubectl::find, upstream));
}

#[test]
fn kubectl_over_spdy() {
    each(|upstream| kubectl(Kubectl::old, upstream));
}

fn kubectl(find: fn(&str) -> Option<Kubectl>, upstream: &str) {
    let shores = Shores::start(&["--upstream-protocol", upstream]);
    let Some(kubectl) = find(shores.gateway.url()) else { return };
    let baseline = shores.baseline();
    let (echo, refused) = (Target::echo(), refused_port());
    let mut forwarding = Forwarding::start(&kubectl, &[echo.port(), refused]);
    let bytes = b"there and back ".repeat(10_000);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let mut stream = forwarding.connect(0);
                    let mut writer = stream.try_clone().expect("a second handle");
                    let mut got = Vec::new();
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            writer.write_all(&bytes).expect("kubectl takes it");
                            writer.shutdown(Shutdown::Write).expect("a half can be closed");
                        });
                        stream.read_to_end(&mut got).expect("an echo, and its end");
                    });
                    assert!(got == bytes, "{} bytes", got.len());
                }
            });
        }
    });
    // It ends all of its connections then, by itself.
    let _ = forwarding.connect(1).read(&mut [0]);
    let expected = format!("error forwarding port {refused} to pod demo, uid strait-default-demo: ");
    eventually(SOON, || {
        let said = forwarding.kubectl.stderr();
        if said.contains(&expected) { Ok(()) } else { Err(said) }
    });
    forwarding.kubectl.kill();

    let mut forwarding = Forwarding::start(&kubectl, &[echo.port()]);
    let mut streams = [forwarding.connect(0), forwarding.connect(0)];
    for stream in &mut streams {
        stream.write_all(b"x").expect("kubectl takes it");
        stream.read_exact(&mut [0]).expect("an echo");
    }
    forwarding.kubectl.kill();
    eventually(SOON, || if echo.open() == 0 { Ok(()) } else { Err("a connection is left") });
    shores.return_to(baseline, SOON);
}
