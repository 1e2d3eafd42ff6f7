use std::time::Duration;

use strait::http::{self, Request, WriteError};
use strait::upgrade::Refusal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::head::HeadFailure;

/// How long, and how many bytes, a peer that was refused may still send before it is cut.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 2 * 1024 * 1024;

/// A whole response with a body, after which the connection is closed.
pub(crate) fn response(
    status: u16,
    headers: &[(&str, &str)],
    content_type: &str,
    body: impl AsRef<[u8]>,
) -> Vec<u8> {
    let headers = || headers.iter().copied();
    written(|out| http::write_response(status, headers(), content_type, body.as_ref(), out))
}

/// A response for a person to read.
pub(crate) fn text(status: u16, message: &str) -> Vec<u8> {
    written(|out| http::write_text(status, [], message, out))
}

/// The answer to a client that gets no session.
pub(crate) fn refusal(refusal: &Refusal<'_>, request: &Request<'_>) -> Vec<u8> {
    written(|out| refusal.write(request, out))
}

/// What `write` writes, or that it failed.
pub(crate) fn written(write: impl Fn(&mut [u8]) -> Result<usize, WriteError>) -> Vec<u8> {
    let failed = |_| b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n".to_vec();
    fitted(write).unwrap_or_else(failed)
}

/// What `write` writes, with as much room as it asks for.
pub(crate) fn fitted(write: impl Fn(&mut [u8]) -> Result<usize, WriteError>) -> Result<Vec<u8>, WriteError> {
    let mut bytes = vec![0; 2048];
    let length = match write(&mut bytes) {
        Err(WriteError::Full { needed }) => {
            bytes.resize(needed, 0);
            write(&mut bytes)
        }
        result => result,
    }?;
    bytes.truncate(length);
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// The answer to a request whose head could not be read; `None` if there is nobody to answer.
pub(crate) fn to_failed_head(failure: &HeadFailure) -> Option<Vec<u8>> {
    match failure {
        HeadFailure::Closed | HeadFailure::Io(_) => None,
        HeadFailure::Timeout => Some(text(408, "the request's head was not complete in time")),
        HeadFailure::Malformed(error) => Some(text(error.status(), &error.to_string())),
    }
}

/// The status code of an answer.
pub(crate) fn status(answer: &[u8]) -> Option<u16> {
    str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

/// The first line of an answer, for the log.
pub(crate) fn start_line(answer: &[u8]) -> &str {
    let line = answer.split(|&byte| byte == b'\r').next().unwrap_or_default();
    str::from_utf8(line).unwrap_or_default()
}

/// Sends the last bytes of a connection and closes it so that they arrive: what the peer still sends is
/// read for a while, because unread bytes at the close make the kernel reset the connection.
pub(crate) async fn send_and_close<T: AsyncRead + AsyncWrite + Unpin>(mut io: T, bytes: &[u8]) {
    let closing = async {
        io.write_all(bytes).await?;
        io.shutdown().await?;
        tokio::io::copy(&mut io.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    if !matches!(timeout(LINGER, closing).await, Ok(Ok(_))) {
        tracing::debug!("the peer did not take its answer in time");
    }
}
