use super::{HeadError, HeadScanner, Headers};

/// The version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no upgrade, no chunked bodies, connections close by default.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    pub(super) const fn of_minor(minor: Option<u8>) -> Self {
        if matches!(minor, Some(0)) { Self::Http10 } else { Self::Http11 }
    }
}

/// What follows the head (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Nothing: the next byte belongs to the next message, or to the protocol that was upgraded to.
    None,
    /// This many bytes; not 0.
    Length(u64),
    /// Chunks (RFC 9112 section 7.1).
    Chunked,
    /// All bytes until the connection closes. Only responses.
    UntilClose,
}

/// What the headers of a message alone say about its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Unsaid,
    Length(u64),
    Chunked,
}

impl Framing {
    /// Reads Content-Length and Transfer-Encoding, which [`check_singletons`] found at most once.
    pub(super) fn of<const H: usize>(headers: &Headers<'_, H>, version: Version) -> Result<Self, HeadError> {
        match (headers.get("Transfer-Encoding"), headers.get("Content-Length")) {
            (None, None) => Ok(Self::Unsaid),
            (None, Some(length)) => Ok(Self::Length(content_length(length)?)),
            (Some(_), Some(_)) => Err(HeadError::TwoLengths),
            (Some(_), None) if version == Version::Http10 => Err(HeadError::TransferEncodingInHttp10),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Self::Chunked),
            (Some(_), None) => Err(HeadError::TransferCoding),
        }
    }

    /// The body, where `unsaid` is what it is if no header says anything.
    pub(super) const fn body(self, unsaid: Body) -> Body {
        match self {
            Self::Unsaid => unsaid,
            Self::Length(0) => Body::None,
            Self::Length(length) => Body::Length(length),
            Self::Chunked => Body::Chunked,
        }
    }
}

/// Content-Length is digits and nothing else (RFC 9110 section 8.6).
fn content_length(value: &[u8]) -> Result<u64, HeadError> {
    let add = |sum: u64, &byte: &u8| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    };
    if value.is_empty() {
        return Err(HeadError::ContentLength);
    }
    value.iter().try_fold(0, add).ok_or(HeadError::ContentLength)
}

/// Refuses what is not exactly one strictly well-formed head: the parser behind this is lenient.
pub(super) fn check_lines(head: &[u8]) -> Result<(), HeadError> {
    let incomplete = HeadError::NotOneHead { length: head.len() };
    let unlimited = usize::MAX;
    match HeadScanner::new(unlimited).scan(head)? {
        Some(end) if end == head.len() => Ok(()),
        _ => Err(incomplete),
    }
}

/// Refuses a repetition of any header in `names`, of which there can be 32, and non-ASCII values in them.
///
/// A check made of the first line of such a header must not be undone by a second one that somebody
/// else reads; and a value that decides something must not be invisible to those who read text.
pub(super) fn check_singletons<const H: usize>(
    headers: &Headers<'_, H>,
    names: &[&'static str],
) -> Result<(), HeadError> {
    let mut seen = 0_u32;
    for header in headers.iter() {
        let same = |&(_, name): &(u32, &&str)| header.name.eq_ignore_ascii_case(name);
        let Some((index, &name)) = (0..u32::BITS).zip(names).find(same) else { continue };
        let bit = 1 << index;
        if seen & bit != 0 {
            return Err(HeadError::Duplicate { name });
        }
        if !header.value.is_ascii() {
            return Err(HeadError::NotAscii { name });
        }
        seen |= bit;
    }
    Ok(())
}

/// True if the connection stays open after this message, as far as its Connection lines say
/// (RFC 9112 section 9.3).
pub(super) fn keeps_alive<const H: usize>(headers: &Headers<'_, H>, version: Version) -> bool {
    match version {
        _ if headers.has_token("Connection", "close") => false,
        Version::Http10 => headers.has_token("Connection", "keep-alive"),
        Version::Http11 => true,
    }
}

/// What the lenient parser still found wrong in a head whose lines are well-formed.
pub(super) const fn parse_error<const H: usize>(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooManyHeaders { limit: H },
        _ => HeadError::StartLine { at: 0 },
    }
}

/// True if Connection has both `close` and `upgrade`: one of the two readers would be wrong.
pub(super) fn closes_and_upgrades<const H: usize>(headers: &Headers<'_, H>) -> bool {
    headers.has_token("Connection", "close") && headers.has_token("Connection", "upgrade")
}
