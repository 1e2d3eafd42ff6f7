use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

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

    /// True if the value of `Authorization` is this token. How long the comparison takes says nothing about it but
    /// its length.
    pub(crate) fn is_shown_by(&self, authorization: Option<&[u8]>) -> bool {
        let Some(value) = authorization else { return false };
        let Some((scheme, shown)) = value.split_at_checked(7) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(shown.trim_ascii().ct_eq(&self.0))
    }
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

    #[test]
    fn only_the_whole_token_behind_bearer_is_accepted() {
        let token = Token(b"secret".into());
        for shown in ["Bearer secret", "bearer secret", "BEARER  secret"] {
            assert!(token.is_shown_by(Some(shown.as_bytes())), "{shown}");
        }
        for shown in ["", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret", "secret"] {
            assert!(!token.is_shown_by(Some(shown.as_bytes())), "{shown}");
        }
        assert!(!token.is_shown_by(None));
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
