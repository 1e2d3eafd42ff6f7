use core::fmt::{self, Display};

use crate::Full;
use crate::http::{HeadError, WriteError, write_response, write_text};
use crate::k8s::{Lossy, Outcome, status};
use crate::upgrade::UpgradeError;

/// Why there is no upstream for a session.
///
/// `E` is the error of a driver's connections, `B` holds the body of a refusal: a `Vec<u8>`, a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialError<E, B> {
    /// There is no connection.
    Connect(E),
    /// There was no upgrade within [`Limits::handshake`](crate::Limits::handshake).
    Timeout,
    /// Upstream closed the connection before its answer was whole.
    Closed,
    /// Upstream's answer was not whole in time.
    Silent,
    /// Upstream's answer is none, or breaks a limit.
    Malformed(HeadError),
    /// The connection failed before the answer was whole.
    Io(E),
    /// Upstream answered, and grants no upgrade.
    Upgrade {
        /// What it answered.
        error: UpgradeError,
        /// The body of a [`Refused`](UpgradeError::Refused), as far as it came and was kept; otherwise empty.
        body: B,
    },
}

impl<E: Display, B: AsRef<[u8]>> DialError<E, B> {
    /// True if another attempt may work where this one did not: upstream has answered, and not with an upgrade
    /// (`http-upgrade.md` section 4).
    pub const fn is_about_the_protocol(&self) -> bool {
        matches!(self, Self::Upgrade { error, .. } if error.is_about_the_protocol())
    }

    /// HTTP status of the answer for a client that was not answered yet.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Timeout | Self::Silent => 504,
            Self::Connect(_) | Self::Closed | Self::Malformed(_) | Self::Io(_) => 502,
            Self::Upgrade { error, .. } => error.status(),
        }
    }

    /// Writes the answer for a client that was not answered yet, and returns its length: upstream's own if it refused,
    /// for which the whole body is needed, and otherwise a text, which is cut if `out` is too small for it.
    pub fn write_answer(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        match self {
            Self::Upgrade { error: UpgradeError::Refused { status, content_type }, body } => {
                write_response(*status, [], content_type, body.as_ref(), out)
            }
            _ => write_text(self.status(), [], self, out),
        }
    }

    /// Writes the `Status` with which a session ends whose client was answered already, and returns its length. What
    /// upstream said keeps its code and reason. With [`status::MIN_OUT`] bytes it never fails.
    pub fn write_status(&self, out: &mut [u8]) -> Result<usize, Full> {
        let Self::Upgrade { error: UpgradeError::Refused { status: code, .. }, body } = self else {
            return status::internal_error(self, out);
        };
        match Outcome::parse(body.as_ref()) {
            Ok(outcome @ Outcome::Failure(_)) => outcome.write(out),
            _ => status::failure(*code, reason(*code), self, out),
        }
    }
}

impl<E: Display, B: AsRef<[u8]>> Display for DialError<E, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "error dialing backend: {error}"),
            Self::Timeout => f.write_str("error dialing backend: timed out"),
            Self::Closed => f.write_str("upstream closed the connection before it answered"),
            Self::Silent => f.write_str("upstream did not answer in time"),
            Self::Malformed(error) => write!(f, "upstream's answer is malformed: {error}"),
            Self::Io(error) => write!(f, "upstream did not answer: {error}"),
            Self::Upgrade { error: UpgradeError::Refused { .. }, body } => {
                let text = match body.as_ref().trim_ascii_end() {
                    b"" => b"empty server response",
                    text => text,
                };
                write!(f, "unable to upgrade connection: {}", Lossy(text))
            }
            Self::Upgrade { error, .. } => error.fmt(f),
        }
    }
}

impl<E: Display + fmt::Debug, B: AsRef<[u8]> + fmt::Debug> core::error::Error for DialError<E, B> {}

/// The reason of a Status for an HTTP status code, as API servers give it.
const fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        500..=599 => "InternalError",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeadError;
    use std::string::String;
    use std::{format, vec};

    type Error = DialError<&'static str, &'static [u8]>;

    fn answer(error: &Error) -> String {
        let mut out = vec![0; 512];
        let length = error.write_answer(&mut out).unwrap();
        String::from_utf8(out[..length].to_vec()).unwrap()
    }

    fn status(error: &Error) -> String {
        let mut out = vec![0; 256];
        let length = error.write_status(&mut out).unwrap();
        String::from_utf8(out[..length].to_vec()).unwrap()
    }

    fn refused(status: u16, content_type: &str, body: &'static str) -> Error {
        let error = UpgradeError::Refused { status, content_type: content_type.try_into().unwrap() };
        DialError::Upgrade { error, body: body.as_bytes() }
    }

    #[test]
    fn a_refusal_keeps_its_code_its_body_and_its_reason() {
        let json = r#"{"status":"Failure","reason":"Teapot","message":"no","code":418}"#;
        let error = refused(418, "application/json", json);
        let text = answer(&error);
        assert!(text.starts_with("HTTP/1.1 418 \r\nContent-Type: application/json\r\n"), "{text}");
        assert!(text.ends_with(json), "{text}");
        let text = status(&error);
        assert!(text.contains(r#""message":"no","reason":"Teapot","code":418"#), "{text}");
        let text = status(&refused(404, "text/plain", "pod does not exist\n"));
        let message = "unable to upgrade connection: pod does not exist";
        assert!(text.contains(&format!(r#""message":"{message}","reason":"NotFound","code":404"#)), "{text}");
        assert!(status(&refused(503, "text/plain", "")).contains("empty server response"));
    }

    #[test]
    fn a_refusal_that_is_no_status_has_the_reason_that_api_servers_give_its_code() {
        for (code, reason) in [
            (400, "BadRequest"),
            (401, "Unauthorized"),
            (403, "Forbidden"),
            (404, "NotFound"),
            (405, "MethodNotAllowed"),
            (409, "Conflict"),
            (418, "Unknown"),
            (429, "TooManyRequests"),
            (499, "Unknown"),
            (500, "InternalError"),
            (503, "ServiceUnavailable"),
            (504, "Timeout"),
            (599, "InternalError"),
            (600, "Unknown"),
        ] {
            let text = status(&refused(code, "text/plain", "no"));
            assert!(text.contains(&format!(r#""reason":"{reason}","code":{code}"#)), "{text}");
        }
    }

    #[test]
    fn other_failures_are_the_gateways() {
        let upgrade = |error| Error::Upgrade { error, body: b"" };
        for (error, code, is_about_the_protocol) in [
            (Error::Connect("refused"), 502, false),
            (Error::Timeout, 504, false),
            (Error::Closed, 502, false),
            (Error::Silent, 504, false),
            (Error::Malformed(HeadError::MissingHost), 502, false),
            (Error::Io("reset"), 502, false),
            (upgrade(UpgradeError::Redirect { status: 302 }), 500, false),
            (upgrade(UpgradeError::Status { status: 200 }), 500, true),
            (upgrade(UpgradeError::NotUpgraded), 500, true),
            (upgrade(UpgradeError::NoProtocol), 500, true),
            (refused(403, "text/plain", "no"), 403, true),
        ] {
            assert_eq!(error.is_about_the_protocol(), is_about_the_protocol, "{error}");
            assert!(answer(&error).starts_with(&format!("HTTP/1.1 {code} ")), "{error}");
            if code >= 500 {
                assert!(status(&error).contains(&format!("Internal error occurred: {error}")), "{error}");
                assert!(answer(&error).ends_with(&format!("\r\n\r\n{error}\n")), "{error}");
            }
        }
    }
}
