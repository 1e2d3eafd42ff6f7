//! A real kubectl against the answers of `kubernetes_api` and nothing else. It is the one in `PATH`, or what
//! the environment variable `KUBECTL` says.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use strait_tokio::kubernetes_api::{Answer, Pod, answer};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_mins(1);

/// A server of API answers, a home directory without a past, and what was asked so far.
struct Rig {
    server: String,
    home: tempfile::TempDir,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Debug, Clone)]
struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl Rig {
    /// Nothing if there is no kubectl here; that is said loudly, for the test then proves nothing.
    async fn start() -> Option<Self> {
        if let Err(error) = Command::new(kubectl()).arg("--help").output().await {
            // Not `eprintln`: the test harness would swallow it.
            let _ = writeln!(std::io::stderr(), "SKIPPED: cannot run {}: {error}", kubectl().display());
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::default();
        tokio::spawn(accept(listener, Arc::clone(&requests)));
        Some(Self { server, home: tempfile::tempdir().unwrap(), requests })
    }

    async fn kubectl(&self, arguments: &[&str]) -> Output {
        let mut kubectl = Command::new(kubectl());
        kubectl.arg("--server").arg(&self.server).args(arguments);
        kubectl.env("HOME", self.home.path()).env("KUBECONFIG", self.home.path().join("none"));
        for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            kubectl.env_remove(variable);
        }
        kubectl.kill_on_drop(true);
        tokio::time::timeout(PATIENCE, kubectl.output()).await.expect("kubectl never ended").unwrap()
    }

    /// What kubectl printed; it must have succeeded.
    async fn printed(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The requests with an `Upgrade` header.
    fn upgrades(&self) -> Vec<Request> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.header("upgrade").is_some()).cloned().collect()
    }
}

fn kubectl() -> OsString {
    std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into())
}

async fn accept(listener: TcpListener, requests: Arc<Mutex<Vec<Request>>>) {
    let pods: Arc<[Pod]> = Arc::new([Pod::new("demo", SystemTime::now() - Duration::from_mins(181))]);
    while let Ok((socket, _)) = listener.accept().await {
        let (pods, requests) = (Arc::clone(&pods), Arc::clone(&requests));
        tokio::spawn(async move {
            let mut socket = BufReader::new(socket);
            while let Some(request) = read_request(&mut socket).await {
                requests.lock().unwrap().push(request.clone());
                let answer = respond(&request, &pods);
                if socket.write_all(&written(&answer)).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// Upgrades are refused: what belongs to a session is not tested here.
fn respond(request: &Request, pods: &[Pod]) -> Answer {
    if request.header("upgrade").is_some() {
        let body = b"no sessions here".to_vec();
        return Answer { status: 500, content_type: "text/plain", allow: None, body };
    }
    let (path, query) = match request.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (request.target.as_str(), None),
    };
    answer(&request.method, path, query, pods)
}

/// Reads a request without a body.
async fn read_request(socket: &mut BufReader<TcpStream>) -> Option<Request> {
    let first = read_line(socket).await?;
    let mut words = first.split(' ').map(String::from);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let line = read_line(socket).await?;
        if line.is_empty() {
            return Some(Request { method, target, headers });
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.into(), value.trim().into()));
    }
}

async fn read_line(socket: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let length = socket.read_line(&mut line).await.ok()?;
    (length > 0).then(|| line.trim_end().into())
}

fn written(answer: &Answer) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Answer\r\n", answer.status);
    write!(head, "Content-Type: {}\r\nContent-Length: {}\r\n", answer.content_type, answer.body.len())
        .unwrap();
    if let Some(allow) = answer.allow {
        write!(head, "Allow: {allow}\r\n").unwrap();
    }
    head.push_str("\r\n");
    [head.as_bytes(), &answer.body].concat()
}

#[tokio::test]
async fn kubectl_finds_the_pod_and_its_age() {
    let Some(rig) = Rig::start().await else { return };
    let table = rig.printed(&["get", "pod", "demo"]).await;
    let cells: Vec<&str> = table.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!((cells.first(), cells.last()), (Some(&"demo"), Some(&"3h1m")), "{table}");
    assert_eq!(rig.printed(&["get", "pods", "-A", "-o", "name"]).await, "pod/demo\n");
    assert_eq!(rig.printed(&["get", "po", "-n", "elsewhere", "-o", "name"]).await, "");
    assert_eq!(rig.printed(&["get", "namespaces", "-o", "name"]).await, "namespace/default\n");
}

#[tokio::test]
async fn kubectl_reads_the_pod_as_json() {
    let Some(rig) = Rig::start().await else { return };
    let list: serde_json::Value =
        serde_json::from_str(&rig.printed(&["get", "pods", "-o", "json"]).await).unwrap();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list["items"][0]["metadata"]["name"], "demo");
    assert_eq!(list["items"][0]["status"]["phase"], "Running");
}

#[tokio::test]
async fn kubectl_takes_the_version_for_one() {
    let Some(rig) = Rig::start().await else { return };
    let printed = rig.printed(&["version", "-o", "json"]).await;
    let version: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(version["serverVersion"]["gitVersion"], "v1.34.0+strait");
}

#[tokio::test]
async fn kubectl_is_told_that_a_pod_does_not_exist() {
    let Some(rig) = Rig::start().await else { return };
    for arguments in [["get", "pod", "nosuch"].as_slice(), &["exec", "nosuch", "--", "date"]] {
        let output = rig.kubectl(arguments).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("Error from server (NotFound): pods \"nosuch\" not found"), "{output:?}");
        assert_eq!(output.status.code(), Some(1));
    }
    assert!(rig.upgrades().is_empty());
}

#[tokio::test]
async fn kubectl_exec_gets_as_far_as_the_upgrade() {
    let Some(rig) = Rig::start().await else { return };
    let output = rig.kubectl(&["exec", "demo", "--", "date"]).await;
    assert!(!output.status.success(), "{output:?}");
    let upgrades = rig.upgrades();
    let first = upgrades.first().unwrap_or_else(|| panic!("no upgrade was asked for: {output:?}"));
    let expected =
        "/api/v1/namespaces/default/pods/demo/exec?command=date&container=main&stderr=true&stdout=true";
    assert_eq!(parameters(&first.target), parameters(expected));
    // Up to 1.29 kubectl speaks SPDY only.
    match first.header("upgrade") {
        Some("websocket") => {
            assert_eq!(first.method, "GET");
            assert_eq!(first.header("sec-websocket-protocol"), Some("v5.channel.k8s.io"));
        }
        upgrade => assert_eq!((first.method.as_str(), upgrade), ("POST", Some("SPDY/3.1"))),
    }
}

/// The pieces of a request target, in no particular order.
fn parameters(target: &str) -> Vec<&str> {
    let mut pieces: Vec<&str> = target.split(['?', '&']).collect();
    pieces.sort_unstable();
    pieces
}

#[tokio::test]
async fn kubectl_attach_and_port_forward_take_the_pod_for_a_running_one() {
    let Some(rig) = Rig::start().await else { return };
    rig.kubectl(&["attach", "demo"]).await;
    let target = rig.upgrades().last().map(|request| request.target.clone()).unwrap_or_default();
    assert!(target.starts_with("/api/v1/namespaces/default/pods/demo/attach?"), "{target:?}");
    assert!(target.contains("container=main"), "{target:?}");
    let output = rig.kubectl(&["port-forward", "pod/demo", ":80"]).await;
    let target = rig.upgrades().last().map(|request| request.target.clone()).unwrap_or_default();
    assert!(target.starts_with("/api/v1/namespaces/default/pods/demo/portforward"), "{target:?} {output:?}");
}
