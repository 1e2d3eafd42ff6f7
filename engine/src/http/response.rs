use super::framing::{Framing, check_lines, check_singletons, closes_and_upgrades, keeps_alive, parse_error};
use super::{Body, HeadError, Headers, Version};

/// Headers that a response may have once.
const SINGLETONS: [&str; 5] =
    ["Content-Length", "Transfer-Encoding", "Upgrade", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol"];

/// The head of a response, with at most `H` headers, whose framing is sound.
#[derive(Debug, Clone)]
pub struct Response<'a, const H: usize = 64> {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase; empty if there is none or if it is not ASCII.
    pub reason: &'a str,
    /// The version.
    pub version: Version,
    /// The header lines.
    pub headers: Headers<'a, H>,
    framing: Framing,
}

impl<'a, const H: usize> Response<'a, H> {
    /// Parses a whole head, as [`HeadScanner`](super::HeadScanner) found it, and checks all that
    /// decides where the message ends.
    ///
    /// As strict as for requests, but `Connection: close, upgrade` is wrong only in a 101: a 426 names
    /// what it would upgrade to and may close all the same.
    pub fn parse(head: &'a [u8]) -> Result<Self, HeadError> {
        check_lines(head)?;
        let mut lines = [httparse::EMPTY_HEADER; H];
        let mut response = httparse::Response::new(&mut lines);
        response.parse(head).map_err(parse_error::<H>)?;
        let status = response.code.ok_or(HeadError::StartLine { at: 0 })?;
        let reason = response.reason.unwrap_or_default();
        let version = Version::of_minor(response.version);
        let count = response.headers.len();
        let headers = Headers::new(lines, count);

        if status < 100 {
            return Err(HeadError::StatusCode { code: status });
        }
        check_singletons(&headers, &SINGLETONS)?;
        if status == 101 && closes_and_upgrades(&headers) {
            return Err(HeadError::CloseAndUpgrade);
        }
        let framing = Framing::of(&headers, version)?;
        Ok(Self { status, reason, version, headers, framing })
    }

    /// The body that follows, if this answers a request with the method `request_method`
    /// (RFC 9112 section 6.3).
    ///
    /// Answers to HEAD, 2xx answers to CONNECT and all 1xx, 204 and 304 have none, whatever their
    /// headers say.
    pub fn body(&self, request_method: &str) -> Body {
        match (self.status, request_method) {
            (100..=199 | 204 | 304, _) | (_, "HEAD") | (200..=299, "CONNECT") => Body::None,
            _ => self.framing.body(Body::UntilClose),
        }
    }

    /// True if Connection lets the connection stay open after this response. A body of
    /// [`Body::UntilClose`] closes it nevertheless.
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(&self.headers, self.version)
    }
}
