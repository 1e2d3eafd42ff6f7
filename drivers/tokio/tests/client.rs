//! The client: which answers make it fall back, and sessions with a node, directly and through a gateway.
#![cfg(target_os = "linux")]

mod rig;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strait::Limits;
use strait::k8s::{StreamSet, Subprotocol, TerminalSize};
use strait_tests::{FALLBACK, SPDY_101, websocket_101};
use strait_tokio::client::{ConnectError, Executor, Exit, Pod, Server, SessionError, Streams, Transport};
use strait_tokio::gateway::Gateway;
use strait_tokio::node::Node;
use strait_tokio::{Metrics, ServerOptions, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use rig::{Ca, soon};

const POD: Pod<'static> = Pod { namespace: "default", name: "demo", container: None };
const OUTPUT: StreamSet = StreamSet { stdin: false, stdout: true, stderr: true, tty: false };
const ALL: StreamSet = StreamSet { stdin: true, ..OUTPUT };

/// A server that answers each request with what `answer` says of its head, and then nothing more.
struct Script {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Script {
    async fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut io, _)) = listener.accept().await {
                let head = read_head(&mut io).await;
                let answer = answer(&head);
                seen.lock().unwrap().push(head);
                io.write_all(answer.as_bytes()).await.unwrap();
                // An upgraded connection stays; any other one ends.
                if answer.starts_with("HTTP/1.1 101") {
                    open.push(io);
                }
            }
        });
        Self { address, heads, task }
    }

    fn server(&self) -> Server {
        Server::new(&format!("http://{}", self.address)).unwrap()
    }

    /// The start lines of the requests so far.
    fn methods(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        heads.iter().map(|head| head.split(' ').next().unwrap().to_owned()).collect()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_head(io: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match io.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn header(head: &str, name: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
}

/// `http-upgrade.md` section 4: what falls back, and what does not.
///
/// Covers: KEP4006-5, RFC6455-4.1-2
#[tokio::test]
async fn the_fallback_falls_back_exactly_when_the_upgrade_failed() {
    for (case, falls_back, answer) in FALLBACK {
        let script =
            Script::start(move |head| if head.starts_with("POST") { SPDY_101.into() } else { answer(head) })
                .await;
        let executor = Executor::new(script.server());
        let session = soon(case, executor.exec(&POD, ["date"], OUTPUT)).await;
        let expected: &[&str] = if falls_back { &["GET", "POST"] } else { &["GET"] };
        assert_eq!(script.methods(), expected, "{case}: {session:?}");
        match session {
            Ok(session) if falls_back => {
                assert_eq!(
                    (session.transport(), session.protocol()),
                    (Transport::Spdy, Subprotocol::V4),
                    "{case}"
                );
            }
            Ok(session) => assert_eq!(session.transport(), Transport::WebSocket, "{case}"),
            Err(error) => {
                assert!(!falls_back && matches!(error, ConnectError::Answer(_)), "{case}: {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_that_spdy_would_meet_again_makes_it_fall_back() {
    // Nobody listens.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = Executor::new(Server::new(&format!("http://{free}")).unwrap());
    let error = nobody.exec(&POD, ["date"], OUTPUT).await.unwrap_err();
    assert!(matches!(error, ConnectError::Dial { .. }), "{error:?}");
    // Nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let limits = Limits { handshake: Duration::from_millis(100), ..Limits::HOST };
    let error = Executor::new(server).with_limits(limits).exec(&POD, ["date"], OUTPUT).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error:?}");
    let (_first, _) = listener.accept().await.unwrap();
    let second = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(second.is_err(), "it asked again");
    // The proxy refuses.
    let proxy = Script::start(|_| "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".into()).await;
    let server = Server::new("http://api.example:6443").unwrap();
    let server = server.with_proxy(Some(&format!("http://{}", proxy.address))).unwrap();
    let error = Executor::new(server).exec(&POD, ["date"], OUTPUT).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Proxy { error, .. } if error.contains("403")), "{error:?}");
    assert_eq!(proxy.methods(), ["CONNECT"]);
}

#[tokio::test]
async fn what_spdy_says_is_what_the_user_gets() {
    let script = Script::start(|head| {
        let json =
            format!(r#"{{"kind":"Status","message":"{} is refused"}}"#, head.split(' ').next().unwrap());
        format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{json}", json.len())
    })
    .await;
    let error = Executor::new(script.server()).exec(&POD, ["date"], OUTPUT).await.unwrap_err();
    assert_eq!(error.to_string(), "unable to upgrade connection: POST is refused");
    let websocket = Executor::new(script.server()).with_transport(Transport::WebSocket);
    let error = websocket.exec(&POD, ["date"], OUTPUT).await.unwrap_err();
    assert_eq!(error.to_string(), "unable to upgrade connection: GET is refused");
    assert_eq!(script.methods(), ["GET", "POST", "GET"]);
}

/// `http-upgrade.md` sections 2.1 and 3.1, and `kubectl-requests.md`.
#[tokio::test]
async fn requests_are_those_of_kubectl() {
    let script = Script::start(|_| "HTTP/1.1 403 Forbidden\r\n\r\n".into()).await;
    let server = script.server().with_token("secret").unwrap();
    let pod = Pod { container: Some("c"), ..POD };
    Executor::new(server).exec(&pod, ["echo", "a b"], OUTPUT).await.unwrap_err();
    let heads = script.heads.lock().unwrap().clone();
    let query = "/api/v1/namespaces/default/pods/demo/exec?command=echo&command=a+b&container=c&stderr=true&stdout=true";
    let [websocket, spdy] = &heads[..] else { panic!("{heads:?}") };
    assert!(websocket.starts_with(&format!("GET {query} HTTP/1.1\r\n")), "{websocket}");
    for (name, value) in [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "v5.channel.k8s.io"),
        ("Authorization", "Bearer secret"),
    ] {
        assert_eq!(header(websocket, name), value);
    }
    assert!(!websocket.contains("Origin"), "{websocket}");
    assert!(spdy.starts_with(&format!("POST {query} HTTP/1.1\r\n")), "{spdy}");
    let offered: Vec<_> =
        spdy.lines().filter_map(|line| line.strip_prefix("X-Stream-Protocol-Version: ")).collect();
    let names = ["v5", "v4", "v3", "v2", ""].map(|version| match version {
        "" => "channel.k8s.io".to_owned(),
        _ => format!("{version}.channel.k8s.io"),
    });
    assert_eq!(offered, names);
    assert_eq!((&*header(spdy, "Upgrade"), &*header(spdy, "Content-Length")), ("SPDY/3.1", "0"));
    assert_eq!(header(spdy, "Authorization"), "Bearer secret");
}

/// A server of each kind, by name: a node of each transport, and a gateway in front of a node.
async fn ways() -> Vec<(&'static str, rig::Server, Option<rig::Server>, Transport)> {
    let options = || ServerOptions { drain_timeout: Duration::ZERO, ..ServerOptions::default() };
    let node = || Node::new("demo").with_options(options()).unwrap();
    let plain = async || rig::Server::node(node()).await;
    let v4 = || node().with_protocols(Subprotocol::SPDY_SERVER, Subprotocol::WEBSOCKET_SERVER);
    let spdy_only = || node().with_protocols(Subprotocol::SPDY_SERVER, &[]);
    let gateway = async |server: &rig::Server| {
        let upstream = Upstream::parse(&format!("http://{}", server.address)).unwrap();
        rig::Server::gateway(Gateway::new(upstream).with_options(options()).unwrap()).await
    };
    let behind = plain().await;
    let in_front = gateway(&behind).await;
    vec![
        ("a node over WebSocket v5", plain().await, None, Transport::WebSocket),
        ("a node over SPDY v4", plain().await, None, Transport::Spdy),
        ("a node without v5, fallen back", rig::Server::node(v4()).await, None, Transport::Fallback),
        (
            "a node without WebSocket, fallen back",
            rig::Server::node(spdy_only()).await,
            None,
            Transport::Fallback,
        ),
        ("a gateway in front of SPDY", in_front, Some(behind), Transport::Fallback),
    ]
}

fn executor(address: SocketAddr, transport: Transport) -> Executor {
    Executor::new(Server::new(&format!("http://{address}")).unwrap()).with_transport(transport)
}

async fn run(
    executor: &Executor,
    script: &str,
    stdin: &[u8],
    asked: StreamSet,
) -> (Vec<u8>, Vec<u8>, Result<Exit, SessionError>) {
    let session = executor.exec(&POD, ["sh", "-c", script], asked).await.expect(script);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let streams = Streams::new().stdin(stdin).stdout(&mut stdout).stderr(&mut stderr);
    let result = soon(script, session.run(streams)).await;
    (stdout, stderr, result)
}

#[tokio::test]
async fn output_errors_and_exit_codes_come_over_every_way() {
    for (way, server, _behind, transport) in ways().await {
        let executor = executor(server.address, transport);
        for code in [0, 1, 7, 126, 255] {
            let script = format!("echo out; echo err >&2; exit {code}");
            let (stdout, stderr, result) = run(&executor, &script, b"", OUTPUT).await;
            assert_eq!((&stdout[..], &stderr[..]), (&b"out\n"[..], &b"err\n"[..]), "{way}");
            assert_eq!(result.map_err(|error| error.to_string()), Ok(Exit { code }), "{way}");
        }
        let error =
            executor.exec(&POD, ["/no/such/program"], OUTPUT).await.unwrap().run(Streams::new()).await;
        let error = error.unwrap_err();
        assert!(
            matches!(&error, SessionError::Failed { message, .. } if message.contains("/no/such/program")),
            "{way}: {error:?}"
        );
    }
}

#[tokio::test]
async fn the_end_of_input_is_passed_on_and_output_goes_on() {
    let input: Vec<u8> = (0..3_000_000_u32).map(|at| (at * 7 / 3) as u8).collect();
    for (way, server, _behind, transport) in ways().await {
        let executor = executor(server.address, transport);
        let (stdout, _, result) = run(&executor, "cat; echo end; exit 9", &input, ALL).await;
        assert!(stdout.strip_suffix(b"end\n") == Some(&input[..]), "{way}: {} bytes", stdout.len());
        assert_eq!(result.unwrap().code, 9, "{way}");
        // Input that nobody reads does not keep the command from ending.
        let (stdout, _, result) = run(&executor, "echo done; exit 4", &input, ALL).await;
        assert_eq!((&stdout[..], result.unwrap().code), (&b"done\n"[..], 4), "{way}");
    }
}

#[tokio::test]
async fn a_spawned_process_has_streams_and_a_terminal_sizes() {
    for (way, server, _behind, transport) in ways().await {
        let executor = executor(server.address, transport);
        let session = executor.exec(&POD, ["cat"], ALL).await.unwrap();
        let mut process = session.spawn();
        let (mut stdin, mut stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut answer = [0; 4];
        for word in [b"one\n", b"two\n"] {
            stdin.write_all(word).await.unwrap();
            soon(way, stdout.read_exact(&mut answer)).await.unwrap();
            assert_eq!(&answer, word, "{way}");
        }
        stdin.shutdown().await.unwrap();
        assert_eq!(soon(way, stdout.read(&mut answer)).await.unwrap(), 0, "{way}");
        assert_eq!(process.wait().await.unwrap().code, 0, "{way}");

        let asked = StreamSet { stdin: true, stdout: true, stderr: true, tty: true };
        let script = "trap 'stty size' WINCH; echo ready; while :; do read -r line && exit 3; done";
        let mut process = executor.exec(&POD, ["sh", "-c", script], asked).await.unwrap().spawn();
        assert!(process.stderr.is_none());
        let mut screen = process.stdout.take().unwrap();
        reads(&mut screen, "ready").await;
        process.resize(TerminalSize { columns: 123, rows: 45 });
        reads(&mut screen, "45 123").await;
        process.resize(TerminalSize { columns: 90, rows: 20 });
        reads(&mut screen, "20 90").await;
        process.stdin.as_mut().unwrap().write_all(b"line\r").await.unwrap();
        assert_eq!(soon(way, process.wait()).await.unwrap().code, 3, "{way}");
    }
}

async fn reads(from: &mut (impl tokio::io::AsyncRead + Unpin), text: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let mut buffer = [0; 1024];
        let count = soon(text, from.read(&mut buffer)).await.unwrap();
        assert!(count > 0, "no {text:?} in {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
}

#[tokio::test]
async fn a_lost_connection_is_an_error_and_a_detached_one_says_so() {
    for transport in [Transport::WebSocket, Transport::Spdy] {
        let node = rig::Server::node(Node::new("demo")).await;
        let executor = executor(node.address, transport);
        // A wire between them that can be cut.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = listener.local_addr().unwrap();
        let far = node.address;
        let cut = tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(far).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
        let through =
            Executor::new(Server::new(&format!("http://{wire}")).unwrap()).with_transport(transport);
        let mut process =
            through.exec(&POD, ["sh", "-c", "echo up; sleep 100"], OUTPUT).await.unwrap().spawn();
        reads(process.stdout.as_mut().unwrap(), "up").await;
        cut.abort();
        let error = soon("the loss", process.wait()).await.unwrap_err();
        assert!(matches!(error, SessionError::Lost { .. }), "{transport}: {error:?}");

        let mut process =
            executor.exec(&POD, ["sh", "-c", "echo up; sleep 100"], OUTPUT).await.unwrap().spawn();
        reads(process.stdout.as_mut().unwrap(), "up").await;
        process.detach();
        let error = soon("the end", process.wait()).await.unwrap_err();
        assert!(matches!(error, SessionError::Detached), "{transport}: {error:?}");
    }
}

/// A server that sends a 101 and what `script` makes of the request, and closes.
#[tokio::test]
async fn a_session_that_ends_without_a_status_has_failed() {
    let table = [
        ("nothing", Vec::new(), "connection closed before"),
        ("output and Close 1000", b"\x82\x04\x01out\x88\x02\x03\xe8".to_vec(), "the exit status"),
        ("output and the end of the connection", b"\x82\x04\x01out".to_vec(), "connection closed before"),
        ("half a status", b"\x02\x04\x03{\"s".to_vec(), "connection closed before"),
        ("no JSON", b"\x82\x03\x03hi\x88\x02\x03\xe8".to_vec(), "no proper exit status"),
        ("a broken frame", b"\xff\xff\xff\xff".to_vec(), "broke the protocol"),
        ("Close 1011", b"\x88\x02\x03\xf3".to_vec(), "connection closed before"),
    ];
    for (case, bytes, expected) in table {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut io, _) = listener.accept().await.unwrap();
            let head = read_head(&mut io).await;
            io.write_all(websocket_101(&head, "v5.channel.k8s.io").as_bytes()).await.unwrap();
            io.write_all(&bytes).await.unwrap();
            io.shutdown().await.unwrap();
            let _ = io.read_to_end(&mut Vec::new()).await;
        });
        let executor = executor(address, Transport::Fallback);
        let (_, _, result) = run(&executor, "x", b"", OUTPUT).await;
        let error = result.expect_err(case).to_string();
        assert!(error.contains(expected), "{case}: {error}");
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_a_stopped_reader_is_not() {
    let script = Script::start(|head| websocket_101(head, "v5.channel.k8s.io")).await;
    let limits = Limits {
        ping_interval: Duration::from_millis(50),
        peer_timeout: Duration::from_millis(300),
        ..Limits::HOST
    };
    let silent = Executor::new(script.server()).with_limits(limits);
    let session = silent.exec(&POD, ["date"], OUTPUT).await.unwrap();
    let error = soon("silence", session.run(Streams::new())).await.unwrap_err();
    assert!(matches!(error, SessionError::Silent), "{error:?}");

    let node = rig::Server::node(Node::new("demo")).await;
    let executor = executor(node.address, Transport::Fallback).with_limits(limits);
    let command = ["sh", "-c", "head -c 5000000 /dev/zero; exit 6"];
    let mut process = executor.exec(&POD, command, OUTPUT).await.unwrap().spawn();
    let mut stdout = process.stdout.take().unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    let mut output = Vec::new();
    soon("all output", stdout.read_to_end(&mut output)).await.unwrap();
    assert_eq!((output.len(), process.wait().await.unwrap().code), (5_000_000, 6));
}

#[tokio::test]
async fn a_writer_that_fails_ends_the_session() {
    let node = rig::Server::node(Node::new("demo")).await;
    let session = executor(node.address, Transport::Fallback).exec(&POD, ["yes"], OUTPUT).await.unwrap();
    let mut room = [0; 10_000];
    let result =
        soon("its end", session.run(Streams::new().stdout(std::io::Cursor::new(&mut room[..])))).await;
    assert!(matches!(result, Err(SessionError::Output(_))), "{result:?}");
}

#[tokio::test]
async fn tls_and_a_token_and_a_proxy_are_on_the_way() {
    let ca = Ca::new("ca");
    let token = ca.write("token", "secret");
    let options = ServerOptions {
        tls: Some(ca.server_tls()),
        metrics: Metrics::default(),
        drain_timeout: Duration::ZERO,
        ..ServerOptions::default()
    };
    let node = Node::new("demo").with_options(options).unwrap().with_token_file(&token).unwrap();
    let node = rig::Server::node(node).await;
    let proxy = proxy().await;
    for url in [None, Some(format!("http://user:pass@{proxy}")), Some(format!("socks5://{proxy}"))] {
        let server = Server::with_tls(&format!("https://{}", node.address), ca.client_tls(None)).unwrap();
        let server = server.with_token("secret").unwrap().with_proxy(url.as_deref()).unwrap();
        let (stdout, _, result) = run(&Executor::new(server.clone()), "echo hi", b"", OUTPUT).await;
        assert_eq!((&stdout[..], result.unwrap().code), (&b"hi\n"[..], 0), "{url:?}");
        let info = server.pod("default", "demo").await.unwrap();
        assert_eq!((&*info.phase, info.default_container().is_some()), ("Running", true));
        let missing = server.pod("default", "other").await.unwrap_err();
        assert!(missing.to_string().contains("NotFound"), "{missing}");
    }
    let stranger = Server::with_tls(&format!("https://{}", node.address), ca.client_tls(None)).unwrap();
    let error = Executor::new(stranger).exec(&POD, ["date"], OUTPUT).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { status: 401, .. }), "{error:?}");
    let distrusting = Server::new(&format!("https://{}", node.address)).unwrap();
    let error = Executor::new(distrusting).exec(&POD, ["date"], OUTPUT).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error:?}");
}

/// A proxy for CONNECT and SOCKS5, by what comes first.
async fn proxy() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut first = [0];
                near.peek(&mut first).await.unwrap();
                let target = if first[0] == 5 {
                    let mut greeting = [0; 3];
                    near.read_exact(&mut greeting).await.unwrap();
                    near.write_all(&[5, 0]).await.unwrap();
                    let mut request = [0; 10];
                    near.read_exact(&mut request).await.unwrap();
                    assert_eq!(request[..4], [5, 1, 0, 1], "CONNECT to an IPv4 address");
                    near.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
                    let ip: [u8; 4] = request[4..8].try_into().unwrap();
                    SocketAddr::from((ip, u16::from_be_bytes([request[8], request[9]])))
                } else {
                    let head = read_head(&mut near).await;
                    assert_eq!(header(&head, "Proxy-Authorization"), "Basic dXNlcjpwYXNz");
                    near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                    head.split(' ').nth(1).unwrap().parse().unwrap()
                };
                let mut far = TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}
