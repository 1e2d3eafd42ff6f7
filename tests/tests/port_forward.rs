//! Port-forward of real kubectls, the tunnel of 1.32 and the SPDY of 1.20, to a node and real servers behind it.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use strait_tests::{
    Checksum, Forwarding, Kubectl, Random, Running, Server, Target, eventually, missing, refused_port,
};

const SOON: Duration = Duration::from_secs(5);
const READY: Duration = Duration::from_mins(1);
const LIFE: Duration = Duration::from_mins(10);

/// Carried each way by each kubectl.
const BULK: u64 = 256 << 20;
const BULK_LONG: u64 = 1 << 30;

type Find = fn(&str) -> Option<Kubectl>;

/// The tunnel, and SPDY.
const KUBECTLS: [Find; 2] = [Kubectl::find, Kubectl::old];

/// A node, and each of the kubectls that there are, forwarding to these ports.
fn each(ports: &[u16], test: impl Fn(&Server, Forwarding)) {
    for find in KUBECTLS {
        let node = Server::node();
        let Some(kubectl) = find(node.url()) else { continue };
        test(&node, Forwarding::start(&kubectl, ports));
    }
}

/// What comes back for a request, up to the end of the connection.
fn ask(mut stream: TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).expect("kubectl takes a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer, and its end");
    answer
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Starts a server on a port, and waits until it accepts.
fn serve(command: &mut Command, port: u16) -> Running {
    let running = Running::start(command.stdin(Stdio::null()), LIFE);
    eventually(READY, || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .map_err(|error| format!("{error}: {}", running.stderr()))
    });
    running
}

#[test]
fn files_of_an_http_server_arrive() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = Random::of_this_run().bytes(20_000_000);
    fs::write(directory.path().join("file"), &file).expect("room for a file");
    let port = free_port();
    let mut python = Command::new("python3");
    python.args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1", "--directory"]);
    let _server = serve(python.arg(directory.path()), port);
    each(&[port], |_, forwarding| {
        for _ in 0..3 {
            let answer = ask(forwarding.connect(0), b"GET /file HTTP/1.0\r\n\r\n");
            assert!(answer.starts_with(b"HTTP/1.0 200 OK\r\n"));
            assert!(answer.ends_with(&file), "{} bytes", answer.len());
        }
        assert!(ask(forwarding.connect(0), b"GET /none HTTP/1.0\r\n\r\n").starts_with(b"HTTP/1.0 404 "));
    });
}

#[test]
fn redis_answers() {
    if let Err(error) = Command::new("redis-server").arg("--version").output() {
        return missing(&format!("no redis-server: {error}")).unwrap_or_default();
    }
    let (port, directory) = (free_port(), tempfile::tempdir().expect("a directory"));
    let mut redis = Command::new("redis-server");
    redis.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]);
    let _server = serve(redis.arg(directory.path()), port);
    let value = Random::of_this_run().bytes(3_000_000);
    each(&[port], |_, forwarding| {
        let mut stream = forwarding.connect(0);
        let set = [b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3000000\r\n", &value[..], b"\r\n"].concat();
        let pings = b"PING\r\n".repeat(10_000);
        for (request, answer) in [
            (set, b"+OK\r\n".to_vec()),
            (b"GET k\r\n".to_vec(), [b"$3000000\r\n", &value[..], b"\r\n"].concat()),
            (pings, b"+PONG\r\n".repeat(10_000)),
        ] {
            thread::scope(|scope| {
                let mut writer = stream.try_clone().expect("a second handle");
                scope.spawn(move || writer.write_all(&request).expect("kubectl takes a request"));
                let mut got = vec![0; answer.len()];
                stream.read_exact(&mut got).expect("redis answers");
                assert!(got == answer);
            });
        }
    });
}

/// The client's half-close arrives, and the answer may take longer than containerd's one second.
#[test]
fn an_answer_may_follow_the_end_of_its_request_by_seconds() {
    let target = Target::start(|mut stream| {
        let mut request = String::new();
        let _ = stream.read_to_string(&mut request);
        thread::sleep(Duration::from_secs(3));
        let _ = write!(stream, "got {request}");
    });
    each(&[target.port()], |_, forwarding| {
        let mut stream = forwarding.connect(0);
        stream.write_all(b"question").expect("kubectl takes it");
        stream.shutdown(Shutdown::Write).expect("a half can be closed");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer, and its end");
        assert_eq!(answer, "got question");
    });
}

/// kubectl itself then ends the connection: what it was sent is whole.
#[test]
fn a_server_that_speaks_first_and_closes_is_heard() {
    let target = Target::start(|mut stream| {
        let _ = stream.write_all(&b"banner ".repeat(10_000));
        let _ = stream.shutdown(Shutdown::Write);
        let _ = io::copy(&mut stream, &mut io::sink());
    });
    each(&[target.port()], |_, forwarding| {
        for _ in 0..5 {
            assert!(ask(forwarding.connect(0), b"").ends_with(&b"banner ".repeat(10_000)));
        }
        eventually(SOON, || match target.open() {
            0 => Ok(()),
            open => Err(format!("{open} connections are left")),
        });
    });
}

#[test]
fn a_thousand_connections_one_after_the_other() {
    let target = Target::echo();
    each(&[target.port()], |node, forwarding| {
        let baseline = node.counters();
        for number in 0..1000 {
            let mut stream = forwarding.connect(0);
            let sent = format!("connection {number}");
            stream.write_all(sent.as_bytes()).expect("kubectl takes it");
            stream.shutdown(Shutdown::Write).expect("a half can be closed");
            let mut got = String::new();
            stream.read_to_string(&mut got).expect("an echo, and its end");
            assert_eq!(got, sent);
        }
        node.returns_to(baseline, SOON);
    });
}

#[test]
fn sixty_four_connections_at_a_time() {
    const CONNECTIONS: usize = 64;
    const EACH: usize = 500_000;
    let target = Target::echo();
    each(&[target.port()], |node, forwarding| {
        let baseline = node.counters();
        let streams: Vec<_> = (0..CONNECTIONS).map(|_| forwarding.connect(0)).collect();
        thread::scope(|scope| {
            for (seed, stream) in (0..).zip(&streams) {
                scope.spawn(move || {
                    let sent = Random::new(seed).bytes(EACH);
                    thread::scope(|scope| {
                        let mut writer = stream;
                        let all = &sent;
                        scope.spawn(move || writer.write_all(all).expect("kubectl takes it"));
                        let (mut reader, mut got) = (stream, vec![0; EACH]);
                        reader.read_exact(&mut got).expect("an echo");
                        assert!(got == sent);
                    });
                });
            }
        });
        assert_eq!(target.open(), CONNECTIONS);
        drop(streams);
        node.returns_to(baseline, SOON);
    });
}

#[test]
fn bulk_arrives_unchanged_both_ways() {
    let is_long = strait_tests::long_tests_are_wanted("1 GiB each way (256 MiB are)");
    let bulk = if is_long { BULK_LONG } else { BULK };
    let (sums, sum) = mpsc::channel();
    let sink = Target::start(move |mut stream| {
        let mut checksum = Checksum::new();
        let _ = io::copy(&mut stream, &mut checksum);
        let _ = sums.send(checksum.finish());
    });
    let source = Target::start(move |mut stream| {
        copy_random(&mut stream, bulk);
    });
    each(&[sink.port(), source.port()], |_, forwarding| {
        let mut expected = Checksum::new();
        copy_random(&mut expected, bulk);
        let expected = expected.finish();

        let mut up = forwarding.connect(0);
        copy_random(&mut up, bulk);
        up.shutdown(Shutdown::Write).expect("a half can be closed");
        assert_eq!(sum.recv_timeout(LIFE).expect("the upload ends"), expected);

        let mut down = Checksum::new();
        let copied = io::copy(&mut forwarding.connect(1), &mut down).expect("the download ends");
        assert_eq!((copied, down.finish()), (bulk, expected));
    });
}

/// The same bytes every time; a writer that fails takes no more.
fn copy_random(to: &mut impl io::Write, count: u64) {
    let (mut random, mut buffer) = (Random::new(7), vec![0; 1 << 18]);
    for _ in 0..count / buffer.len() as u64 {
        random.fill(&mut buffer);
        if to.write_all(&buffer).is_err() {
            return;
        }
    }
}

/// What upstream's client then does with its other connections is its own affair.
#[test]
fn a_port_that_refuses_is_named_in_the_error() {
    let port = refused_port();
    each(&[port], |node, forwarding| {
        assert_eq!(ask(forwarding.connect(0), b""), b"");
        let expected = format!("error forwarding port {port} to pod demo, uid strait-default-demo: ");
        eventually(SOON, || {
            let said = forwarding.kubectl.stderr();
            if said.contains(&expected) { Ok(()) } else { Err(format!("{said}\n{}", node.log())) }
        });
    });
}

#[test]
fn a_killed_kubectl_leaves_no_connection_behind() {
    let target = Target::echo();
    each(&[target.port()], |node, mut forwarding| {
        let mut streams: Vec<_> = (0..5).map(|_| forwarding.connect(0)).collect();
        for stream in &mut streams {
            stream.write_all(b"x").expect("kubectl takes it");
            stream.read_exact(&mut [0]).expect("an echo");
        }
        assert_eq!(target.open(), 5);
        forwarding.kubectl.kill();
        eventually(SOON, || match target.open() {
            0 => Ok(()),
            open => Err(format!("{open} connections are left: {}", node.log())),
        });
    });
}

#[test]
fn a_killed_node_ends_everything() {
    let target = Target::echo();
    for find in KUBECTLS {
        let mut node = Server::node();
        let Some(kubectl) = find(node.url()) else { continue };
        let forwarding = Forwarding::start(&kubectl, &[target.port()]);
        let mut stream = forwarding.connect(0);
        stream.write_all(b"x").expect("kubectl takes it");
        stream.read_exact(&mut [0]).expect("an echo");
        node.kill();
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
        eventually(SOON, || if target.open() == 0 { Ok(()) } else { Err("a connection is left") });
    }
}

#[test]
fn a_node_that_stops_ends_its_sessions() {
    let target = Target::echo();
    for find in KUBECTLS {
        let node = Server::node();
        let Some(kubectl) = find(node.url()) else { continue };
        let forwarding = Forwarding::start(&kubectl, &[target.port()]);
        let mut stream = forwarding.connect(0);
        stream.write_all(b"x").expect("kubectl takes it");
        stream.read_exact(&mut [0]).expect("an echo");
        let started = Instant::now();
        let stopped = node.end_by(Signal::TERM);
        assert!(stopped.status.success() && started.elapsed() < SOON, "{stopped:?}");
        assert!(stopped.stderr.contains("session ended"), "{stopped:?}");
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    }
}

/// Heartbeats keep a connection that carries nothing.
#[test]
fn an_idle_connection_outlives_the_peer_timeout() {
    let target = Target::echo();
    let arguments = ["--ping-interval", "1", "--peer-timeout", "3"];
    for find in KUBECTLS {
        let node = Server::node_with(&arguments);
        let Some(kubectl) = find(node.url()) else { continue };
        let forwarding = Forwarding::start(&kubectl, &[target.port()]);
        let mut stream = forwarding.connect(0);
        for _ in 0..2 {
            stream.write_all(b"x").expect("kubectl takes it");
            stream.read_exact(&mut [0]).expect("an echo");
            thread::sleep(Duration::from_secs(7));
        }
        stream.write_all(b"x").expect("kubectl takes it");
        stream.read_exact(&mut [0]).expect("an echo");
    }
}
