use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use strait::k8s::{Channel, Outcome, Pod, StreamSet, Subprotocol};
use strait_tokio::gateway::Gateway;
use strait_tokio::node::{MainProcess, Node};
use strait_tokio::{Shutdown, Summary, Upstream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const POD: &str = "demo";

/// What the self-run executes: it reads its input to the end, so it ends only if the half-close arrives.
const COMMAND: [&str; 3] =
    ["sh", "-c", "echo \"hello from $(uname -n)\"; wc -c; echo 'and a warning' >&2; exit 3"];
const EXIT_CODE: u32 = 3;

/// Bytes that the self-run sends to the command.
const INPUT: usize = 1_000_000;

const DEADLINE: Duration = Duration::from_secs(30);

/// Starts a node and a gateway, sends a command through both and prints what happened.
pub(crate) async fn run(once: bool, shutdown: Shutdown) -> anyhow::Result<ExitCode> {
    let node = TcpListener::bind("127.0.0.1:0").await?;
    let gateway = TcpListener::bind("127.0.0.1:0").await?;
    let (node_address, address) = (node.local_addr()?, gateway.local_addr()?);
    let upstream = Upstream::parse(&format!("http://{node_address}"))?;
    println!("client --WebSocket--> gateway {address} --SPDY/3.1--> node {node_address} --> process\n");

    let server = Node::new(POD).with_main_process(MainProcess::new("cat"));
    let node = tokio::spawn(server.serve(node, shutdown.clone()));
    let (report, mut reports) = mpsc::unbounded_channel();
    let translator = Gateway::new(upstream).with_observer(move |summary| {
        // After the self-run nobody listens.
        let _ = report.send(*summary);
    });
    let gateway = tokio::spawn(translator.serve(gateway, shutdown.clone()));

    let self_run = async { anyhow::Ok((exec(address).await?, reports.recv().await)) };
    let (session, summary) = timeout(DEADLINE, self_run).await.context("the self-run took too long")??;
    let code = session.print(&summary.context("the gateway did not report the session")?)?;
    drop(reports);
    print_instructions(address);
    if once {
        shutdown.close();
    } else {
        println!("ready http://{address}");
    }
    gateway.await??;
    node.await??;
    Ok(if code == EXIT_CODE { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the client saw.
struct Session {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: Vec<u8>,
}

impl Session {
    /// Prints what crossed, and returns the exit code of the command.
    fn print(&self, summary: &Summary) -> anyhow::Result<u32> {
        println!("command    {}", COMMAND.join(" "));
        println!("stdin      {INPUT} bytes, then half-closed");
        println!("stdout     {:?}", String::from_utf8_lossy(&self.stdout));
        println!("stderr     {:?}", String::from_utf8_lossy(&self.stderr));
        println!("client     {} bytes in, {} bytes out (WebSocket)", summary.from_client, summary.to_client);
        println!(
            "upstream   {} bytes out, {} bytes in (SPDY/3.1)",
            summary.to_upstream, summary.from_upstream
        );
        println!("session    {} in {:.1?}", summary.outcome, summary.duration);
        let code = match Outcome::parse(&self.status) {
            Ok(Outcome::Success) => 0,
            Ok(Outcome::ExitCode(code)) => code,
            other => bail!("the session ended without an exit code: {other:?}"),
        };
        println!("exit code  {code}, as expected: {}\n", code == EXIT_CODE);
        let counted = INPUT.to_string();
        ensure!(
            String::from_utf8_lossy(&self.stdout).contains(&counted),
            "the command did not count {counted} bytes of input"
        );
        Ok(code)
    }
}

/// A client of the gateway, as kubectl is one.
async fn exec(gateway: SocketAddr) -> anyhow::Result<Session> {
    let streams = StreamSet { stdin: true, stdout: true, stderr: true, tty: false };
    let mut target = [0; 512];
    let pod = Pod { namespace: "default", name: POD, container: None };
    let len = pod.write_exec(COMMAND, streams, &mut target)?;
    let mut request =
        format!("ws://{gateway}{}", String::from_utf8_lossy(&target[..len])).into_client_request()?;
    let protocol = Subprotocol::V5.name().parse().context("a protocol's name is a header value")?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.context("no session")?;

    let mut left = INPUT;
    while left > 0 {
        let count = left.min(32 * 1024);
        let mut message = vec![Channel::STDIN.number()];
        message.resize(1 + count, b'x');
        socket.send(Message::Binary(message.into())).await?;
        left -= count;
    }
    socket.send(Message::Binary(Channel::STDIN.close_message().to_vec().into())).await?;

    let mut session = Session { stdout: vec![], stderr: vec![], status: vec![] };
    while let Some(message) = socket.next().await {
        let Message::Binary(message) = message? else { continue };
        let Some((channel, payload)) = message.split_first() else { continue };
        match Channel::new(*channel) {
            Channel::STDOUT => session.stdout.extend_from_slice(payload),
            Channel::STDERR => session.stderr.extend_from_slice(payload),
            Channel::ERROR => session.status.extend_from_slice(payload),
            other => bail!("the gateway sent data on channel {other}"),
        }
    }
    Ok(session)
}

fn print_instructions(gateway: SocketAddr) {
    println!("Try it with kubectl:");
    for command in [
        "exec demo -- date",
        "exec -i demo -- sha256sum < /etc/hostname",
        "exec -it demo -- sh",
        "attach -i demo",
    ] {
        println!("    kubectl --server=http://{gateway} {command}");
    }
}
