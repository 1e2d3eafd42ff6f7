//! Sessions that attach to a node's main process, over real sockets.
#![cfg(target_os = "linux")]

mod rig;

use std::time::Duration;

use strait_tokio::ServerOptions;
use strait_tokio::node::{MainProcess, Node};
use tokio::net::TcpStream;
use tokio::time::sleep;

use rig::{Exec, PATIENCE, Server, eventually, exec, get, open, refusal, status, tcp};

async fn node(main: MainProcess) -> Server {
    let options = ServerOptions { drain_timeout: Duration::ZERO, ..ServerOptions::default() };
    Server::node(Node::new("demo").with_main_process(main).with_options(options).unwrap()).await
}

async fn attach(server: &Server, query: &str) -> Exec<TcpStream> {
    open(tcp(server.address).await, &format!("attach?{query}"), &[]).await.unwrap()
}

/// Attaches and waits until the process answers: then it is attached for sure.
async fn attached(server: &Server, word: &str) -> Exec<TcpStream> {
    let mut session = attach(server, "stdin=true&stdout=true").await;
    session.send(format!("{word}\n").as_bytes()).await;
    session.reads(&format!("{word}\n")).await;
    session
}

#[tokio::test]
async fn all_sessions_see_what_each_of_them_writes() {
    let server = node(MainProcess::new("cat")).await;
    let mut one = attached(&server, "one").await;
    let mut other = attached(&server, "other").await;
    one.reads("other\n").await;
    assert_eq!(String::from_utf8_lossy(&other.stdout), "other\n", "what was earlier is not repeated");
    one.half_close().await;
    other.send(b"still\n").await;
    one.reads("still\n").await;
    other.reads("still\n").await;
}

#[tokio::test]
async fn the_exit_ends_all_sessions_and_the_next_process_starts() {
    let server = node(MainProcess::new(
        "echo started; while read line; do [ $line = end ] && exit 7; echo $line; done",
    ))
    .await;
    let one = attached(&server, "one").await;
    let mut other = attached(&server, "other").await;
    other.send(b"end\n").await;
    for session in [one, other] {
        let session = session.finish().await;
        assert!(session.status.contains(r#""reason":"NonZeroExitCode""#), "{}", session.status);
        assert!(session.status.contains(r#""message":"7""#), "{}", session.status);
    }
    eventually("it runs again", async || {
        let mut session = attach(&server, "stdin=true&stdout=true").await;
        session.send(b"again\nend\n").await;
        let session = session.finish().await;
        session.stdout.ends_with(b"again\n") || {
            assert!(session.status.contains("its main process is not running"), "{}", session.status);
            false
        }
    })
    .await;
}

#[tokio::test]
async fn output_arrives_to_its_last_byte_before_the_exit() {
    let server = node(MainProcess::new("read go; head -c 5000000 /dev/zero; exit 3")).await;
    let mut session = attach(&server, "stdin=true&stdout=true").await;
    session.send(b"go\n").await;
    let session = session.finish().await;
    assert_eq!(session.stdout.len(), 5_000_000);
    assert!(session.status.contains(r#""message":"3""#), "{}", session.status);
}

#[tokio::test]
async fn a_process_in_the_background_does_not_keep_sessions() {
    let server = node(MainProcess::new("read go; sleep 1000 & echo pid $!; exit 0")).await;
    let mut session = attach(&server, "stdin=true&stdout=true").await;
    session.send(b"go\n").await;
    let session = session.finish().await;
    assert!(session.status.contains("Success"), "{}", session.status);
    let text = String::from_utf8_lossy(&session.stdout).into_owned();
    let pid = text.trim().strip_prefix("pid ").unwrap();
    std::process::Command::new("kill").arg(pid).status().unwrap();
}

#[tokio::test]
async fn a_client_that_vanishes_leaves_the_process_to_the_others() {
    let server = node(MainProcess::new("echo $$; exec cat")).await;
    let mut session = attached(&server, "one").await;
    for _ in 0..20 {
        drop(attached(&server, "lost").await);
    }
    session.send(b"still here\n").await;
    session.reads("still here\n").await;
}

#[tokio::test]
async fn a_session_that_reads_nothing_holds_the_process_until_it_goes() {
    let server = node(MainProcess::new("read go; exec yes")).await;
    let mut deaf = attach(&server, "stdin=true&stdout=true").await;
    let mut reader = attach(&server, "stdout=true").await;
    // Both are attached when they have what belongs to all.
    sleep(Duration::from_millis(300)).await;
    deaf.send(b"go\n").await;
    deaf.reads("y\n").await;
    reader.reads_bytes(1_000_000).await;
    let before = reader.stdout.len();
    let held = tokio::time::timeout(Duration::from_secs(2), reader.reads_bytes(before + 100_000_000)).await;
    assert!(held.is_err(), "output was not held for the session that does not read");
    drop(deaf);
    let before = reader.stdout.len();
    tokio::time::timeout(PATIENCE, reader.reads_bytes(before + 20_000_000)).await.unwrap();
}

#[tokio::test]
async fn a_terminal_is_resized_by_whoever_is_attached() {
    let server = node(MainProcess::new("while read line; do stty size; done").on_terminal()).await;
    let pod = get(server.address, "/api/v1/namespaces/default/pods/demo", "").await;
    assert!(pod.contains(r#""stdin":true"#) && pod.contains(r#""tty":true"#), "{pod}");
    let mut session = attach(&server, "stdin=true&stdout=true&tty=true").await;
    session.send_on(4, br#"{"Width":123,"Height":45}"#).await;
    session.send(b"\n").await;
    session.reads("45 123\r\n").await;
}

#[tokio::test]
async fn a_node_that_stops_tells_its_sessions_and_ends_the_process() {
    let server = node(MainProcess::new("echo pid $$; read line; echo pid $$; exec cat")).await;
    let mut session = attach(&server, "stdin=true&stdout=true").await;
    session.send(b"\n").await;
    session.reads("pid ").await;
    session.reads("\n").await;
    let text = String::from_utf8_lossy(&session.stdout).into_owned();
    let pid = text.lines().last().unwrap().strip_prefix("pid ").unwrap().to_owned();
    server.shutdown.close();
    let session = session.finish().await;
    assert!(session.status.contains("the node is shutting down"), "{}", session.status);
    server.stopped().await;
    assert!(!std::path::Path::new(&format!("/proc/{pid}/cwd")).exists(), "{pid} lives on");
}

#[tokio::test]
async fn there_may_be_nothing_to_attach_to() {
    let server = Server::node(Node::new("demo")).await;
    let refused = open(tcp(server.address).await, "attach?stdout=true", &[]).await;
    assert_eq!(refusal(refused, "Allow").0, 400);
    let pod = get(server.address, "/api/v1/namespaces/default/pods/demo", "").await;
    assert_eq!(status(&pod), 200);
    assert!(pod.contains(r#""stdin":false"#), "{pod}");
    // Commands run as ever.
    exec(tcp(server.address).await, "echo hello", &[]).await.unwrap().reads("hello\n").await;
}
