use std::time::Duration;

use strait::http::{self, HeadWriter};
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
    let body = body.as_ref();
    let mut bytes = vec![0; 1024];
    let mut head = HeadWriter::response(&mut bytes, status, http::reason(status));
    for (name, value) in headers {
        head = head.header(name, value);
    }
    let head = head
        .header("Content-Type", content_type)
        .content_length(body.len() as u64)
        .header("Connection", "close");
    let Ok(len) = head.finish() else {
        return b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n".to_vec();
    };
    bytes.truncate(len);
    bytes.extend_from_slice(body);
    bytes
}

/// A response for a person to read.
pub(crate) fn text(status: u16, message: &str) -> Vec<u8> {
    let headers: &[_] = if status == 429 || status == 503 { &[("Retry-After", "5")] } else { &[] };
    response(status, headers, "text/plain; charset=utf-8", format!("{message}\n"))
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
