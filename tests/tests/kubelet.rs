//! A gateway in front of a kubelet: clients speak to it as to an API server, and it asks for a kubelet's paths and queries.

use std::process::Stdio;
use std::time::Duration;

use strait::k8s::Subprotocol;
use strait_tests::{Dialect, Exec, Kubectl, Proxy, Refusal, Rig, Server};

use Dialect::{Spdy, WebSocket};

const KUBELET: [&str; 2] = ["--upstream-kind", "kubelet"];
const PATIENCE: Duration = Duration::from_mins(1);

const CLIENTS: [Dialect; 5] = [
    WebSocket(Subprotocol::V5),
    WebSocket(Subprotocol::V4),
    WebSocket(Subprotocol::V4Base64),
    Spdy(Subprotocol::V2),
    Spdy(Subprotocol::V4),
];

/// Every client runs a command and attaches, and the kubelet is asked for both by this method.
async fn asks_a_kubelet(upstream: &str, method: &str) {
    let node = Server::node();
    let wire = Proxy::start(node.address()).await;
    let gateway = Server::gateway(&wire.url(), &[&KUBELET[..], &["--upstream-protocol", upstream]].concat());
    let exec = Exec::script("cat; exit 3").in_container("main").with_stdin();
    let attach = Exec::attach().in_container("main").with_stdin();
    for client in CLIENTS {
        for asked in [&exec, &attach] {
            let mut session = asked.open(gateway.address(), client).await.expect("a session");
            session.send(b"in and out\n").await.expect("it takes input");
            assert_eq!(session.line().await.expect("a line"), "in and out", "{client:?}");
        }
    }
    let heads = wire.heads();
    let lines: Vec<_> = heads.iter().filter_map(|head| head.lines().next()).collect();
    let targets = [
        "/exec/default/demo/main?command=sh&command=-c&command=cat%3B%20exit%203&error=1&input=1&output=1",
        "/attach/default/demo/main?error=1&input=1&output=1",
    ];
    let expected = targets.map(|target| format!("{method} {target} HTTP/1.1"));
    assert_eq!(lines, expected.each_ref().map(String::as_str).repeat(CLIENTS.len()));
}

#[tokio::test]
async fn its_paths_are_asked_for_over_spdy() {
    asks_a_kubelet("spdy", "POST").await;
}

#[tokio::test]
async fn its_paths_are_asked_for_over_websocket() {
    asks_a_kubelet("websocket", "GET").await;
}

#[tokio::test]
async fn it_is_not_asked_for_websocket_without_the_gate_for_that() {
    let node = Server::node();
    let wire = Proxy::start(node.address()).await;
    let off = ["--upstream-protocol", "auto", "--feature-gates", "ExtendWebSocketsToKubelet=false"];
    let gateway = Server::gateway(&wire.url(), &[&KUBELET[..], &off].concat());
    let exec = Exec::command(&["true"]).in_container("main");
    let session = exec.open(gateway.address(), WebSocket(Subprotocol::V5)).await.expect("a session");
    session.finish().await.expect("an end");
    let heads = wire.heads();
    assert!(heads.len() == 1 && heads[0].starts_with("POST /exec/default/demo/main?"), "{heads:?}");
}

#[tokio::test]
async fn a_container_has_to_be_named() {
    let node = Server::node();
    let gateway = Server::gateway(node.url(), &KUBELET);
    let answer = Exec::command(&["true"]).open(gateway.address(), WebSocket(Subprotocol::V5)).await;
    let refusal: Refusal = answer.err().expect("no session").downcast().expect("an answer");
    assert_eq!((refusal.status, refusal.body.as_str()), (400, "a container name must be specified\n"));
}

#[test]
fn a_kubectl_runs_and_attaches() {
    for kubectl in [Kubectl::find, Kubectl::old] {
        let main = "read line; echo \"got $line\"; exit 4";
        let Some(rig) = Rig::with(kubectl, &["--main", main], &KUBELET) else { continue };
        let mut exec = rig.kubectl.start(&["exec", "-i", "demo", "--", "cat"], Stdio::piped(), PATIENCE);
        exec.write(b"in and out\n");
        let finished = exec.finish();
        assert_eq!(
            (finished.text().as_str(), finished.status.code()),
            ("in and out\n", Some(0)),
            "{finished:?}"
        );

        let mut attach = rig.kubectl.start(&["attach", "-i", "demo"], Stdio::piped(), PATIENCE);
        attach.write(b"line\n");
        let finished = attach.finish();
        assert_eq!(
            (finished.text().as_str(), finished.status.code()),
            ("got line\n", Some(4)),
            "{finished:?}"
        );
    }
}
