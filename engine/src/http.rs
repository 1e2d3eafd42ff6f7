//! Heads of HTTP/1.x messages: found, parsed and written strictly, without an allocator (RFC 9112).
//!
//! ```text
//! request head                              response head
//! method SP target SP HTTP/1.1 CRLF         HTTP/1.1 SP status SP reason CRLF
//! name ":" OWS value OWS CRLF    (0..H)     name ":" OWS value OWS CRLF    (0..H)
//! CRLF                                      CRLF
//! ```
//!
//! An upgrade is a trust boundary: behind it the connection is a pipe to something that runs commands.
//! Where RFC 9112 lets a recipient be lenient (bare LF, leading empty lines, folded lines, a
//! repeated Content-Length), two parsers in a row can disagree about where a message ends, and that is how
//! requests are smuggled. So a [`Request`] or [`Response`] exists only if its head is strictly
//! well-formed and its framing has exactly one reading; everything else is a [`HeadError`], which knows
//! its status code.
//!
//! The life of a head: [`HeadScanner`] finds its end while it arrives, [`Request::parse`] or
//! [`Response::parse`] borrows its parts, [`target::Query`] reads the query, [`HeadWriter`] writes the
//! answer.
//!
//! ```
//! use strait::http::{Body, HeadScanner, HeadWriter, Request};
//!
//! let received = b"GET /exec?command=date&stdout=true HTTP/1.1\r\nHost: node\r\n\r\nbytes behind the head";
//! let end = HeadScanner::new(8192).scan(received)?.expect("the head is whole");
//! // Up to 64 headers. For another capacity write, for example, `Request::<16>::parse`.
//! let request: Request = Request::parse(&received[..end])?;
//! assert_eq!((request.method, request.path()), ("GET", "/exec"));
//! assert_eq!(request.headers.get_str("host"), Some("node"));
//! assert_eq!(request.body(), Body::None);
//! assert!(!request.wants_upgrade());
//!
//! let mut answer = [0; 256];
//! let written = HeadWriter::response(&mut answer, 200, "OK").content_length(0).finish()?;
//! assert_eq!(&answer[..written], b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod answer;
mod error;
mod framing;
mod headers;
pub mod origin;
mod request;
mod response;
mod scan;
pub mod target;
#[cfg(test)]
mod tests;
mod write;

pub use answer::{write_response, write_text};
pub use error::HeadError;
pub use framing::{Body, Version};
pub use headers::{Header, Headers};
pub use request::Request;
pub use response::Response;
pub use scan::HeadScanner;
pub use write::{HeadWriter, WriteError, reason};

/// Longest method that is read or written, in bytes; the longest registered one has 17. Lets a stream
/// of bytes that is no HTTP at all be refused long before the limit of the head.
pub const METHOD_BYTES: usize = 32;

/// True for the bytes of a token (RFC 9110 section 5.6.2): methods and header names.
const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

/// True for the bytes of a header value or reason phrase (RFC 9110 section 5.5): no controls but HTAB.
const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

/// Without the optional whitespace on both sides (RFC 9110 section 5.6.3: only SP and HTAB).
const fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
