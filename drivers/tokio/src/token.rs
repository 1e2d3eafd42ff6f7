use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use strait::http::Request;
use strait::upgrade::bearer_token;
use subtle::ConstantTimeEq;

/// The bearer token that clients have to show (RFC 6750 section 2.1).
pub(crate) struct Token(Vec<u8>);

/// Why a file holds no token.
#[derive(Debug)]
pub enum TokenError {
    /// It cannot be read.
    Io(PathBuf, io::Error),
    /// It is empty, or holds something else than one word of visible ASCII.
    Malformed(PathBuf),
}

impl Token {
    /// The token in a file; whitespace around it is ignored.
    pub(crate) fn from_file(file: &Path) -> Result<Self, TokenError> {
        let bytes = std::fs::read(file).map_err(|error| TokenError::Io(file.into(), error))?;
        let token = bytes.trim_ascii();
        if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::Malformed(file.into()));
        }
        Ok(Self(token.into()))
    }

    /// True if a request shows this token. How long the comparison takes says nothing about it but its length.
    pub(crate) fn is_shown_by(&self, request: &Request<'_>) -> bool {
        match request.headers.get("Authorization") {
            Some(value) => value.split_at_checked(7).is_some_and(|(scheme, shown)| {
                scheme.eq_ignore_ascii_case(b"Bearer ") && self.is(shown.trim_ascii())
            }),
            None => of_browser(request).is_some_and(|shown| self.is(&shown)),
        }
    }

    fn is(&self, shown: &[u8]) -> bool {
        shown.ct_eq(&self.0).into()
    }
}

/// The token that a browser shows among its subprotocols.
fn of_browser(request: &Request<'_>) -> Option<Vec<u8>> {
    let length = bearer_token(request, &mut [])?;
    let mut token = vec![0; length];
    let length = bearer_token(request, &mut token)?;
    token.truncate(length);
    Some(token)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(file, error) => write!(f, "cannot read the token in {}: {error}", file.display()),
            Self::Malformed(file) => {
                write!(f, "{} holds no token: one word of visible ASCII is expected", file.display())
            }
        }
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use super::*;

    const BROWSERS_TOKEN: &str = "base64url.bearer.authorization.k8s.io.";

    fn is_shown(headers: &str) -> bool {
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        Token(b"secret".into()).is_shown_by(&Request::parse(head.as_bytes()).unwrap())
    }

    #[test]
    fn only_the_whole_token_behind_bearer_is_accepted() {
        for shown in ["Bearer secret", "bearer secret", "BEARER  secret"] {
            assert!(is_shown(&format!("Authorization: {shown}\r\n")), "{shown}");
        }
        for shown in ["", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret", "secret"] {
            assert!(!is_shown(&format!("Authorization: {shown}\r\n")), "{shown}");
        }
        assert!(!is_shown(""));
    }

    #[test]
    fn a_browser_shows_its_token_once_among_its_subprotocols() {
        let token = format!("{BROWSERS_TOKEN}c2VjcmV0");
        let lines = |items: &str| format!("Sec-WebSocket-Protocol: {items}\r\n");
        assert!(is_shown(&lines(&format!("v4.channel.k8s.io, {token}"))));
        assert!(!is_shown(&lines(&format!("{token}, v4.channel.k8s.io, {token}"))));
        assert!(!is_shown(&lines(&format!("{BROWSERS_TOKEN}c2VjcmU"))));
        assert!(!is_shown(&lines(&format!("{BROWSERS_TOKEN}c2VjcmV0="))));
        assert!(!is_shown(&format!("Authorization: Bearer wrong\r\n{}", lines(&token))));
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (content, good) in [("t\n", true), (" t\r\n", true), ("", false), ("\n", false), ("a b", false)] {
            std::fs::write(file.path(), content).unwrap();
            assert_eq!(Token::from_file(file.path()).is_ok(), good, "{content:?}");
        }
    }
}
