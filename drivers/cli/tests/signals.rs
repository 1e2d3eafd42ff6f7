//! The programs and their signals.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running program, killed if the test fails.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strait"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("ready http://").unwrap_or_else(|| panic!("{line:?}")).into();
        Self { child, address }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it lives on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A session that runs until somebody ends it.
async fn session(gateway: &Program) -> Socket {
    let command = "command=sh&command=-c&command=echo+ready%3B+exec+sleep+100&stdout=true";
    let url = format!("ws://{}/api/v1/namespaces/default/pods/demo/exec?{command}", gateway.address);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "v5.channel.k8s.io".parse().unwrap());
    let connected = timeout(PATIENCE, Box::pin(tokio_tungstenite::connect_async(request))).await;
    let (mut socket, _) = connected.unwrap().unwrap();
    while !read(&mut socket).await.is_some_and(|bytes| bytes.ends_with(b"ready\n")) {}
    socket
}

async fn read(socket: &mut Socket) -> Option<Vec<u8>> {
    match timeout(PATIENCE, socket.next()).await.expect("nothing comes")? {
        Ok(Message::Binary(bytes)) => Some(bytes.to_vec()),
        Ok(_) => Some(Vec::new()),
        Err(error) => panic!("{error}"),
    }
}

async fn status(socket: &mut Socket) -> String {
    let mut status = String::new();
    while let Some(message) = read(socket).await {
        if let Some((3, bytes)) = message.split_first() {
            status.push_str(std::str::from_utf8(bytes).unwrap());
        }
    }
    status
}

fn gateway(node: &Program, arguments: &[&str]) -> Program {
    let upstream = format!("http://{}", node.address);
    Program::start(&[&["gateway", "--upstream", &upstream], arguments].concat())
}

#[tokio::test]
async fn sigterm_drains_and_a_second_signal_ends_sessions_with_a_status() {
    let node = Program::start(&["node"]);
    for second in ["-TERM", "-INT"] {
        let mut gateway = gateway(&node, &["--drain-timeout", "3600"]);
        let mut socket = session(&gateway).await;
        gateway.signal("-TERM");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&gateway.address).await.is_ok() {
            assert!(Instant::now() < deadline, "it still accepts");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(timeout(Duration::from_millis(300), socket.next()).await.is_err(), "the session goes on");
        gateway.signal(second);
        assert!(status(&mut socket).await.contains("shutting down"));
        assert_eq!(gateway.exit_code(), Some(0));
    }
}

#[tokio::test]
async fn sigint_ends_sessions_with_a_status_at_once() {
    let node = Program::start(&["node"]);
    let mut gateway = gateway(&node, &["--drain-timeout", "3600"]);
    let mut socket = session(&gateway).await;
    gateway.signal("-INT");
    assert!(status(&mut socket).await.contains("shutting down"));
    assert_eq!(gateway.exit_code(), Some(0));
}

#[tokio::test]
async fn a_drain_timeout_of_zero_ends_sessions_at_once() {
    let node = Program::start(&["node"]);
    let mut gateway = gateway(&node, &["--drain-timeout", "0"]);
    let mut socket = session(&gateway).await;
    gateway.signal("-TERM");
    assert!(status(&mut socket).await.contains("shutting down"));
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn what_would_be_open_to_everybody_does_not_start() {
    for (arguments, flag) in [
        (&["node", "--listen", "0.0.0.0:0"][..], "--insecure-allow-plaintext"),
        (&["node", "--listen", "0.0.0.0:0", "--insecure-allow-plaintext"], "--token-file"),
        (&["gateway", "--upstream", "http://127.0.0.1:1", "--listen", "[::]:0"], "--tls-cert-file"),
        (&["gateway", "--upstream", "http://192.0.2.1:1"], "--insecure-allow-plaintext"),
        (&["node", "--metrics-listen", "0.0.0.0:0"], "--insecure-allow-plaintext"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strait"));
        let mut child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let mut program = Program { child, address: String::new() };
        assert_eq!(program.exit_code(), Some(1), "{arguments:?}");
        let mut error = String::new();
        stderr.read_to_string(&mut error).unwrap();
        assert!(error.contains(flag), "{arguments:?}: {error}");
    }
}
