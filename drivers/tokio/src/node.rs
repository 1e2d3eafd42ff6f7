//! The node: a kubelet-like streaming server that runs commands on this host, with just enough of the
//! Kubernetes API around it that a stock kubectl talks to it without a cluster.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;
use std::time::SystemTime;

use strait::Limits;
use strait::http::{self, Body, HeadWriter, Request};
use strait::k8s::{Refused, Subprotocol, Target, Verb, negotiate};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::answer;
use crate::head::{Head, read_head};
use crate::kubernetes_api::{self, Answer, Pod};
use crate::listener;
use crate::node_session::NodeSession;
use crate::pool::Pool;
use crate::process::Command;

/// Buffers that are kept for the next sessions.
const KEPT_BUFFERS: usize = 64;

/// A streaming server for the processes of this host.
#[derive(Debug, Clone)]
pub struct Node {
    pods: Vec<Pod>,
    limits: Limits,
    pool: Pool,
}

impl Node {
    /// A node that answers as the pod `name` in the namespace `default`.
    pub fn new(name: &str) -> Self {
        Self {
            pods: vec![Pod::new(name, SystemTime::now())],
            limits: Limits::HOST,
            pool: Pool::new(KEPT_BUFFERS),
        }
    }

    /// Serves until `stop` is cancelled; sessions that run then are ended, and cut after 5 s.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let node = Arc::new(self);
        listener::serve(listener, stop.clone(), move |stream, peer| {
            let (node, stop) = (Arc::clone(&node), stop.clone());
            async move { node.connection(stream, peer, stop).await }
        })
        .await
    }

    async fn connection(&self, mut client: TcpStream, peer: SocketAddr, stop: CancellationToken) {
        let head = match read_head(&mut client, self.limits.head_bytes, self.limits.handshake).await {
            Ok(head) => head,
            Err(failure) => {
                if let Some(answer) = answer::to_failed_head(&failure) {
                    answer::send_and_close(client, &answer).await;
                }
                return;
            }
        };
        let request: Request = match Request::parse(head.head()) {
            Ok(request) => request,
            Err(error) => {
                let answer = answer::text(error.status(), &error.to_string());
                return answer::send_and_close(client, &answer).await;
            }
        };
        match self.accept(&request) {
            Ok(accepted) => self.session(client, peer, &head, accepted, stop).await,
            Err(answer) => answer::send_and_close(client, &answer).await,
        }
    }

    async fn session(
        &self,
        mut client: TcpStream,
        peer: SocketAddr,
        head: &Head,
        accepted: Accepted,
        stop: CancellationToken,
    ) {
        if client.write_all(&accepted.answer).await.is_err() {
            return;
        }
        let argv: Vec<_> = accepted.command.argv.clone();
        let session = NodeSession::new(
            client,
            head.behind(),
            accepted.command,
            accepted.protocol,
            &self.limits,
            &self.pool,
            stop,
        );
        let end = session.run().await;
        tracing::info!(%peer, ?argv, %end, "session ended");
    }

    /// What to do with a request: run a command, or send this answer.
    fn accept(&self, request: &Request<'_>) -> Result<Accepted, Vec<u8>> {
        if !request.headers.tokens("Upgrade").any(|_| true) {
            return Err(self.plain(request));
        }
        let target = Target::parse(request.target)
            .map_err(|error| answer::text(error.status(), &error.to_string()))?;
        let Some(pod) = kubernetes_api::find(&self.pods, target.namespace, target.pod) else {
            return Err(to_bytes(&Answer::pod_not_found(target.pod)));
        };
        if target.container.is_some_and(|name| name != pod.container) {
            let message =
                format!("container {} is not valid for pod {}", target.container.unwrap_or(""), pod.name);
            return Err(to_bytes(&Answer::bad_request(&message)));
        }
        if target.verb != Verb::Exec {
            return Err(answer::text(501, "this node serves exec only"));
        }
        if request.headers.has_token("Upgrade", "websocket") {
            // As a CRI streaming server answers a protocol that it does not know.
            return Err(b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec());
        }
        let streams = target.streams().map_err(|error| answer::text(error.status(), &error.to_string()))?;
        let protocol = negotiate_spdy(request)?;
        let argv = target.command().map(|argument| OsString::from_vec(argument.bytes().collect())).collect();
        let command = Command {
            argv,
            tty: streams.tty,
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr,
        };
        let answer = write_101(protocol).ok_or_else(|| answer::text(500, "the answer cannot be written"))?;
        Ok(Accepted { answer, command, protocol })
    }

    fn plain(&self, request: &Request<'_>) -> Vec<u8> {
        if !matches!(request.body(), Body::None | Body::Length(0)) {
            return answer::text(413, "this node takes no request bodies");
        }
        to_bytes(&kubernetes_api::answer(request.method, request.path(), request.query(), &self.pods))
    }
}

/// A command to run for a client whose upgrade is accepted.
struct Accepted {
    answer: Vec<u8>,
    command: Command,
    protocol: Subprotocol,
}

/// The versions that this node speaks over SPDY.
const SPOKEN: &[Subprotocol] = &[Subprotocol::V4];

/// The checks of a SPDY upgrade, in the order in which upstream's servers do them, with their answers
/// (`http-upgrade.md` section 2.2).
fn negotiate_spdy(request: &Request<'_>) -> Result<Subprotocol, Vec<u8>> {
    const NAME: &str = "X-Stream-Protocol-Version";
    let offered = || request.headers.lines(NAME);
    let list = offered().map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
    let protocol = negotiate(offered(), SPOKEN).map_err(|refused| match refused {
        Refused::Missing => answer::text(
            400,
            &format!(
                "unable to upgrade: header {NAME} does not exist in request with {} headers",
                request.headers.len()
            ),
        ),
        Refused::NoItem => {
            answer::text(400, &format!("unable to upgrade: header {NAME} contains [{list}], but no valid protocols"))
        }
        Refused::OnlyBearer | Refused::NothingInCommon => {
            let accepted: Vec<_> = SPOKEN.iter().map(|known| known.name()).collect();
            let headers: Vec<_> =
                accepted.iter().map(|name| ("X-Accepted-Stream-Protocol-Versions", *name)).collect();
            let message = format!(
                "unable to upgrade: unable to negotiate protocol: client supports [{list}], server accepts [{}]\n",
                accepted.join(" ")
            );
            answer::response(403, &headers, "text/plain; charset=utf-8", message)
        }
    })?;
    if !request.wants_upgrade() || !request.headers.has_token("Upgrade", "SPDY/3.1") {
        return Err(answer::text(400, "unable to upgrade: missing upgrade headers in request"));
    }
    Ok(protocol)
}

fn write_101(protocol: Subprotocol) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 256];
    let head = HeadWriter::response(&mut bytes, 101, http::reason(101))
        .header("Connection", "Upgrade")
        .header("Upgrade", "SPDY/3.1")
        .header("X-Stream-Protocol-Version", protocol.name());
    let len = head.finish().ok()?;
    bytes.truncate(len);
    Some(bytes)
}

fn to_bytes(answer: &Answer) -> Vec<u8> {
    let allow: Vec<_> = answer.allow.iter().map(|methods| ("Allow", *methods)).collect();
    answer::response(answer.status, &allow, answer.content_type, &answer.body)
}
