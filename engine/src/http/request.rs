use super::framing::{Framing, check_lines, check_singletons, closes_and_upgrades, keeps_alive, parse_error};
use super::{Body, HeadError, Headers, Version};

/// Headers that a request may have once. Repeating any of them would let a check pass on one value and
/// an action follow another.
const SINGLETONS: [&str; 8] = [
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Upgrade",
    "Authorization",
    "Origin",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
];

/// The head of a request, with at most `H` headers, whose framing is sound.
#[derive(Debug, Clone)]
pub struct Request<'a, const H: usize = 64> {
    /// The method, a token; case matters (`GET`).
    pub method: &'a str,
    /// The target in origin form as it was sent: begins with `/`, visible ASCII, nothing decoded.
    pub target: &'a str,
    /// The version.
    pub version: Version,
    /// The header lines.
    pub headers: Headers<'a, H>,
    framing: Framing,
}

impl<'a, const H: usize> Request<'a, H> {
    /// Parses a whole head, as [`HeadScanner`](super::HeadScanner) found it, and checks all that
    /// decides where the message ends and whom it is for.
    pub fn parse(head: &'a [u8]) -> Result<Self, HeadError> {
        check_lines(head)?;
        let mut lines = [httparse::EMPTY_HEADER; H];
        let mut request = httparse::Request::new(&mut lines);
        request.parse(head).map_err(parse_error::<H>)?;
        let malformed = HeadError::StartLine { at: 0 };
        let method = request.method.ok_or(malformed)?;
        let target = request.path.ok_or(malformed)?;
        let version = Version::of_minor(request.version);
        let count = request.headers.len();
        let headers = Headers::new(lines, count);

        if !target.starts_with('/') || target.contains('#') {
            return Err(HeadError::TargetForm);
        }
        check_singletons(&headers, &SINGLETONS)?;
        check_host(&headers, version)?;
        if closes_and_upgrades(&headers) {
            return Err(HeadError::CloseAndUpgrade);
        }
        let framing = Framing::of(&headers, version)?;
        Ok(Self { method, target, version, headers, framing })
    }

    /// The target up to its query, not decoded.
    pub fn path(&self) -> &'a str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// What follows the first `?` of the target, for [`Query`](super::target::Query).
    pub fn query(&self) -> Option<&'a str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The body that follows; never [`Body::UntilClose`].
    pub const fn body(&self) -> Body {
        self.framing.body(Body::None)
    }

    /// True if the request asks for an upgrade: HTTP/1.1, `upgrade` in any Connection line, and something in
    /// Upgrade (RFC 9110 section 7.8: in HTTP/1.0 an Upgrade is ignored).
    pub fn wants_upgrade(&self) -> bool {
        self.version == Version::Http11
            && self.headers.has_token("Connection", "upgrade")
            && self.headers.tokens("Upgrade").next().is_some()
    }

    /// True if the connection may stay open after the answer (RFC 9112 section 9.3).
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(&self.headers, self.version)
    }
}

/// RFC 9112 section 3.2: needed in HTTP/1.1, and refused if it is no `uri-host [":" port]`.
fn check_host<const H: usize>(headers: &Headers<'_, H>, version: Version) -> Result<(), HeadError> {
    match headers.get("Host") {
        None if version == Version::Http11 => Err(HeadError::MissingHost),
        None => Ok(()),
        Some(host) if !host.is_empty() && host.iter().copied().all(is_host_byte) => Ok(()),
        Some(_) => Err(HeadError::InvalidHost),
    }
}

/// Unreserved, percent sign, sub-delims (but the comma, which would make a list), and what IP literals and
/// ports need (RFC 3986 section 3.2).
const fn is_host_byte(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+')
        || matches!(byte, b';' | b'=' | b':' | b'[' | b']')
        || byte.is_ascii_alphanumeric()
}
