use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::{ForwardError, PairStream, StreamError};

/// Bytes that are copied at a time.
const PIECE: usize = 64 * 1024;

/// Copies both ways between a data stream and a connection at this end until both have ended. The end of one direction is
/// passed on as a half-close, and the other one goes on for as long as it takes.
///
/// What the peer sent in front of a reset, or of a failure that `failed` has heard of, is still delivered, if that takes no longer
/// than `linger`. When `local` has ended its half, `finish` is ended with it.
pub(super) async fn join<L: AsyncRead + AsyncWrite + Unpin>(
    data: &PairStream,
    finish: Option<&PairStream>,
    local: L,
    linger: Duration,
    failed: impl Future<Output = ()>,
) -> Result<(), ForwardError> {
    let (mut reader, mut writer) = tokio::io::split(local);
    let mut inbound = pin!(inbound(data, &mut writer));
    let mut outbound = pin!(outbound(&mut reader, data, finish));
    let mut inbound_has_ended = false;
    let gone = tokio::select! {
        // What has ended well has ended, whatever came after it.
        biased;
        joined = both(data, inbound.as_mut(), &mut inbound_has_ended, outbound.as_mut()) => return joined,
        gone = data.gone() => Some(gone),
        () = failed => None,
    };
    if matches!(gone, None | Some(StreamError::Reset(_))) && !inbound_has_ended {
        let _ = timeout(linger, inbound).await;
    }
    gone.map_or(Ok(()), |gone| Err(ForwardError::Stream(gone)))
}

async fn both(
    data: &PairStream,
    mut inbound: Pin<&mut impl Future<Output = Result<(), ForwardError>>>,
    inbound_has_ended: &mut bool,
    mut outbound: Pin<&mut impl Future<Output = Result<(), ForwardError>>>,
) -> Result<(), ForwardError> {
    let first = tokio::select! {
        result = inbound.as_mut() => {
            *inbound_has_ended = true;
            Some(result)
        }
        result = outbound.as_mut() => {
            outbound_result(result, data).await?;
            None
        }
    };
    match first {
        Some(Ok(())) => outbound_result(outbound.await, data).await,
        // It takes nothing more, but what it has said before is still delivered.
        Some(Err(error @ ForwardError::Local(_))) => {
            tokio::select! {
                _ = outbound => {}
                () = discard(data) => {}
            }
            Err(error)
        }
        Some(Err(error)) => Err(error),
        None => {
            let result = inbound.await;
            *inbound_has_ended = true;
            result
        }
    }
}

/// A stream that cannot be written to was reset, and then there may be something in front of the reset to be delivered: that is
/// for the one who watches over the stream.
async fn outbound_result(result: Result<(), ForwardError>, data: &PairStream) -> Result<(), ForwardError> {
    if let Err(ForwardError::Stream(_)) = result {
        data.gone().await;
        std::future::pending::<()>().await;
    }
    result
}

async fn inbound(data: &PairStream, local: &mut (impl AsyncWrite + Unpin)) -> Result<(), ForwardError> {
    let mut buffer = vec![0; PIECE];
    loop {
        let count = data.take(&mut buffer).await.map_err(ForwardError::Stream)?;
        if count == 0 {
            // A connection that has gone already has no half to be closed.
            return ignore_gone(local.shutdown().await).map_err(ForwardError::Local);
        }
        let written = async {
            local.write_all(&buffer[..count]).await?;
            local.flush().await
        };
        written.await.map_err(ForwardError::Local)?;
    }
}

async fn outbound(
    local: &mut (impl AsyncRead + Unpin),
    data: &PairStream,
    finish: Option<&PairStream>,
) -> Result<(), ForwardError> {
    let mut buffer = vec![0; PIECE];
    loop {
        let count = local.read(&mut buffer).await.map_err(ForwardError::Local)?;
        if count == 0 {
            data.finish();
            if let Some(stream) = finish {
                stream.finish();
            }
            return Ok(());
        }
        data.put(&buffer[..count]).await.map_err(ForwardError::Stream)?;
    }
}

/// Reads to the end, or to the reset, what nobody wants.
async fn discard(data: &PairStream) {
    let mut buffer = vec![0; PIECE];
    while let Ok(1..) = data.take(&mut buffer).await {}
    std::future::pending::<()>().await;
}

fn ignore_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}
