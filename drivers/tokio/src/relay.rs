use std::net::SocketAddr;
use std::time::Duration;

use strait::Limits;
use strait::gateway::Planner;
use strait::http::Request;
use strait::upgrade::Refusal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::answer;
use crate::head::Head;
use crate::stream::Stream;
use crate::upstream::Upstream;

/// A response may pause so long (a watch, a followed log) before its connections are closed.
const IDLE: Duration = Duration::from_hours(4);

/// A request's body may pause so long: nobody has a reason to send one slowly.
const BODY_IDLE: Duration = Duration::from_secs(30);

/// A request that is no upgrade, as upstream gets it.
pub(crate) struct PlainRequest {
    head: Vec<u8>,
    /// Bytes of its body.
    length: u64,
}

impl PlainRequest {
    /// What upstream gets of a request, or the answer if it cannot be passed on.
    pub(crate) fn of(
        planner: &Planner,
        upstream: &Upstream,
        request: &Request<'_>,
        peer: SocketAddr,
    ) -> Result<Self, Vec<u8>> {
        let plain = planner.plain(request).map_err(|refusal| answer::refusal(&refusal, request))?;
        let head = answer::fitted(|out| plain.write_request(request, &upstream.hop(peer), out));
        let head = head.map_err(|error| answer::refusal(&Refusal::CannotPass(error), request))?;
        Ok(Self { head, length: plain.body() })
    }
}

/// Passes a request that is no upgrade on to upstream, and the answer back.
///
/// Each request gets a connection of its own to upstream, and its client's connection ends with the answer: so
/// nothing can follow the request that was looked at, and exactly its body is passed on.
pub(crate) async fn relay(
    upstream: &Upstream,
    mut client: Stream,
    head: &Head,
    request: PlainRequest,
    limits: &Limits,
) {
    let mut server = match timeout(limits.handshake, upstream.connect()).await {
        Ok(Ok(server)) => server,
        Ok(Err(error)) => {
            let answer = answer::text(502, &format!("error dialing backend: {error}"));
            return answer::send_and_close(client, &answer).await;
        }
        Err(_) => {
            return answer::send_and_close(client, &answer::text(504, "error dialing backend: timed out"))
                .await;
        }
    };
    let passed_on = async {
        let behind = head.behind();
        let first = usize::try_from(request.length).unwrap_or(usize::MAX).min(behind.len());
        server.write_all(&request.head).await?;
        server.write_all(&behind[..first]).await?;
        copy(&mut (&mut client).take(request.length - first as u64), &mut server, BODY_IDLE).await
    };
    if let Err(error) = passed_on.await {
        tracing::debug!(%error, "request was not passed on");
        return answer::send_and_close(client, &answer::text(502, "upstream did not take the request")).await;
    }
    let (mut from_client, mut to_client) = tokio::io::split(&mut client);
    let answered = tokio::select! {
        answered = copy(&mut server, &mut to_client, IDLE) => answered,
        // A client that closes does not want its answer any more.
        gone = gone(&mut from_client) => Err(gone),
    };
    match answered {
        Ok(()) => answer::send_and_close(client, &[]).await,
        Err(error) => tracing::debug!(%error, "answer was not passed on"),
    }
}

/// Copies to the end, if no pause is longer than `idle`.
async fn copy<R, W>(from: &mut R, to: &mut W, idle: Duration) -> std::io::Result<()>
where
    R: AsyncReadExt + Unpin,
    W: AsyncWriteExt + Unpin,
{
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = timeout(idle, from.read(&mut buffer)).await??;
        if count == 0 {
            timeout(idle, to.flush()).await??;
            return Ok(());
        }
        timeout(idle, to.write_all(&buffer[..count])).await??;
    }
}

/// Waits until the client closes. What it sends meanwhile belongs to no request and is dropped.
async fn gone<R: AsyncReadExt + Unpin>(from: &mut R) -> std::io::Error {
    let mut dropped = [0; 1024];
    loop {
        match from.read(&mut dropped).await {
            Ok(0) => return std::io::ErrorKind::ConnectionAborted.into(),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}
