//! The listener for those who operate a server: `/metrics`, `/healthz` and `/readyz`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use strait::http::Request;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::answer;
use crate::head::read_head;
use crate::metrics::{self, Metrics};
use crate::server::{Exposed, is_loopback};
use crate::shutdown::Shutdown;

/// Connections at one time; one scrape is one.
const CONNECTIONS: usize = 64;

/// For one request, from the connection to the answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Bytes of a request's head.
const HEAD: usize = 16 * 1024;

/// Answers for a server whose `metrics` and `shutdown` these are, until the future is dropped: an orchestrator
/// wants to hear of a server that drains.
///
/// | path | answer |
/// |---|---|
/// | `/metrics` | the metrics, in `OpenMetrics` text |
/// | `/healthz` | 200: the server runs |
/// | `/readyz` | 200, or 503 once it drains |
pub async fn serve(listener: TcpListener, metrics: Metrics, shutdown: Shutdown) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await;
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for metrics");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (metrics, shutdown) = (metrics.clone(), shutdown.clone());
        tokio::spawn(async move {
            if timeout(DEADLINE, serve_one(stream, &metrics, &shutdown)).await.is_err() {
                tracing::debug!(%peer, "a request for metrics took too long");
            }
            drop(slot);
        });
    }
}

/// Whether the answers may be had at `address`: they are plain text, and say what goes on.
pub fn check(address: SocketAddr, insecure_allow_plaintext: bool) -> Result<(), Exposed> {
    if is_loopback(address) || insecure_allow_plaintext { Ok(()) } else { Err(Exposed::Plaintext(address)) }
}

async fn serve_one(mut stream: TcpStream, metrics: &Metrics, shutdown: &Shutdown) {
    let answer = match read_head(&mut stream, HEAD, DEADLINE).await {
        Ok(head) => match Request::<64>::parse(head.head()) {
            Ok(request) => respond(&request, metrics, shutdown),
            Err(error) => answer::text(error.status(), &error.to_string()),
        },
        Err(failure) => match answer::to_failed_head(&failure) {
            Some(answer) => answer,
            None => return,
        },
    };
    answer::send_and_close(stream, &answer).await;
}

fn respond(request: &Request<'_>, metrics: &Metrics, shutdown: &Shutdown) -> Vec<u8> {
    if request.method != "GET" {
        return answer::response(405, &[("Allow", "GET")], "text/plain", "");
    }
    match request.path() {
        "/metrics" => answer::response(200, &[], metrics::CONTENT_TYPE, metrics.to_text()),
        "/readyz" if shutdown.is_draining() => answer::text(503, "draining"),
        "/healthz" | "/readyz" => answer::text(200, "ok"),
        _ => answer::text(404, "there are /metrics, /healthz and /readyz"),
    }
}
