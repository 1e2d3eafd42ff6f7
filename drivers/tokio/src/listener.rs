use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long running sessions may take to end when the server stops.
const STOP: Duration = Duration::from_secs(5);

/// After an accept that failed for want of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Accepts connections until `stop` is cancelled, and runs `serve` for each in a task of its own.
///
/// When it stops, no connection is accepted any more, and those that run get 5 s to end; the same `stop`
/// tells them to.
pub(crate) async fn serve<F>(
    listener: TcpListener,
    stop: CancellationToken,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Small frames carry keystrokes: they must not wait for an acknowledgement.
                let _ = stream.set_nodelay(true);
                tasks.spawn(serve(stream, peer));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(STOP, tasks.wait()).await.is_err() {
        tracing::warn!(left = tasks.len(), "connections were cut: they did not end in time");
    }
    Ok(())
}
