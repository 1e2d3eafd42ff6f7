use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::metrics::{Limit, Metrics};
use crate::server::ServerOptions;
use crate::shutdown::Shutdown;

/// How long sessions that were told to end may take to do so.
const STOP: Duration = Duration::from_secs(5);

/// After an accept that failed for want of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A peer that vanished without a word while nothing is sent is found after 60 s and four probes 15 s apart.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_mins(1))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// Accepts connections until `shutdown` says to drain, and runs `serve` for each in a task of its own.
///
/// Connections that run then have the drain timeout to end by themselves. After it, the [`Shutdown`] that they were
/// given tells them to end, and they get 5 s more.
pub(crate) async fn serve<F>(
    listener: TcpListener,
    options: &ServerOptions,
    shutdown: &Shutdown,
    serve: impl Fn(TcpStream, SocketAddr, Shutdown) -> F,
) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let shutdown = shutdown.child();
    let tasks = TaskTracker::new();
    tokio::select! {
        () = shutdown.drained() => {}
        () = accept(&listener, options, &tasks, |stream, peer| serve(stream, peer, shutdown.clone())) => {}
    }
    drop(listener);
    tasks.close();
    tokio::select! {
        () = tasks.wait() => return Ok(()),
        () = shutdown.closed() => {}
        () = tokio::time::sleep(options.drain_timeout) => {
            tracing::info!(left = tasks.len(), "drain timeout: running sessions are ended");
            shutdown.close();
        }
    }
    if tokio::time::timeout(STOP, tasks.wait()).await.is_err() {
        tracing::warn!(left = tasks.len(), "connections were cut: they did not end in time");
    }
    Ok(())
}

/// Accepts connections until it is dropped.
async fn accept<F>(
    listener: &TcpListener,
    options: &ServerOptions,
    tasks: &TaskTracker,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS)));
    loop {
        let slot = slot(&slots, &options.metrics).await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = prepare(&stream) {
                    tracing::debug!(%peer, %error, "connection lost");
                    continue;
                }
                let open = options.metrics.connection();
                // Boxed: a task that only waits for it would have room for it twice.
                let serving = Box::pin(serve(stream, peer));
                tasks.spawn(async move {
                    serving.await;
                    drop((open, slot));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// Waits for the right to have one connection more. Meanwhile clients wait in the kernel's queue.
async fn slot(slots: &Arc<Semaphore>, metrics: &Metrics) -> Option<OwnedSemaphorePermit> {
    if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        return Some(slot);
    }
    metrics.limit_hit(Limit::Connections);
    tracing::warn!("no more connections are accepted until some end: the limit is reached");
    // It fails when the semaphore is closed, which nobody does.
    Arc::clone(slots).acquire_owned().await.ok()
}

/// Sets what every connection of either leg needs.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Small frames carry keystrokes: they must not wait for an acknowledgement.
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&KEEPALIVE)
}
