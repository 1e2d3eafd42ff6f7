use core::fmt;

/// Why a head was refused. Offsets count bytes from the start of the head.
///
/// A head that was refused ends its connection: what follows it cannot be told apart from it. A server
/// answers with [`status`](Self::status), a gateway whose upstream sent such a response with 502.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// The head does not end within the limit.
    TooLarge {
        /// The scanner's limit in bytes.
        limit: usize,
    },
    /// More header lines than there is room for.
    TooManyHeaders {
        /// The capacity.
        limit: usize,
    },
    /// A line break where the start line must be (RFC 9112 section 2.2 allows to skip it, we don't).
    LeadingEmptyLine,
    /// What stands at this place cannot be part of a request line or status line: not HTTP.
    StartLine {
        /// Where it went wrong.
        at: usize,
    },
    /// An HTTP version other than 1.0 and 1.1, such as the preface of HTTP/2.
    UnsupportedVersion,
    /// A request target that is not in origin form: it must begin with `/` and have no fragment. `*`,
    /// absolute form and authority form (RFC 9112 section 3.2) are for servers and proxies of other kinds.
    TargetForm,
    /// A status code below 100.
    StatusCode {
        /// The code.
        code: u16,
    },
    /// LF without CR (RFC 9112 section 2.2 allows to take it as a line end, we don't).
    BareLf {
        /// Where the LF stands.
        at: usize,
    },
    /// CR without LF.
    BareCr {
        /// Where the CR stands.
        at: usize,
    },
    /// A header line that begins with SP or HTAB: obsolete line folding (RFC 9112 section 5.2).
    ObsoleteFold {
        /// Where the line begins.
        at: usize,
    },
    /// A header line that begins with the colon.
    EmptyName {
        /// Where the line begins.
        at: usize,
    },
    /// A byte in a header name that is not allowed in tokens.
    NameByte {
        /// Where it stands.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// Whitespace between header name and colon (RFC 9112 section 5.1).
    SpaceBeforeColon {
        /// Where the whitespace begins.
        at: usize,
    },
    /// A header line without a colon.
    MissingColon {
        /// Where the line ends.
        at: usize,
    },
    /// A control byte in a header value.
    ValueByte {
        /// Where it stands.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// A header that may occur once came twice, even if with equal values.
    Duplicate {
        /// Its name.
        name: &'static str,
    },
    /// A header that decides something has bytes beyond ASCII in its value.
    NotAscii {
        /// Its name.
        name: &'static str,
    },
    /// An HTTP/1.1 request without Host (RFC 9112 section 3.2).
    MissingHost,
    /// A Host that is empty or has bytes that no host and port can have.
    InvalidHost,
    /// A Content-Length that is not one decimal number below 2^64 (no sign, no list).
    ContentLength,
    /// Content-Length beside Transfer-Encoding (RFC 9112 section 6.3).
    TwoLengths,
    /// A Transfer-Encoding that is not exactly `chunked`.
    TransferCoding,
    /// Transfer-Encoding in HTTP/1.0, which has none (RFC 9112 section 6.1).
    TransferEncodingInHttp10,
    /// Connection asks for both `close` and `upgrade`.
    CloseAndUpgrade,
    /// Misuse: the slice to be parsed does not end where its head ends.
    NotOneHead {
        /// Bytes in the slice.
        length: usize,
    },
}

impl HeadError {
    /// The status code of the answer: 400, 431, 501 or 505.
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLarge { .. } | Self::TooManyHeaders { .. } => 431,
            Self::TransferCoding => 501,
            Self::UnsupportedVersion => 505,
            _ => 400,
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One place writes where it went wrong: each would be code.
        let (text, at) = match *self {
            Self::TooLarge { limit } => return write!(f, "head is larger than {limit} bytes"),
            Self::TooManyHeaders { limit } => return write!(f, "more than {limit} headers"),
            Self::NotOneHead { length } => return write!(f, "{length} bytes are not exactly one head"),
            Self::StatusCode { code } => return write!(f, "status code {code:03} is not valid"),
            Self::Duplicate { name } => return write!(f, "more than one {name} header"),
            Self::NotAscii { name } => {
                f.write_str(name)?;
                (" header is not ASCII", None)
            }
            Self::NameByte { at, byte } | Self::ValueByte { at, byte } => {
                write!(f, "byte 0x{byte:02x} in a header ")?;
                (if matches!(self, Self::NameByte { .. }) { "name" } else { "value" }, Some(at))
            }
            Self::StartLine { at } => ("not an HTTP/1 start line", Some(at)),
            Self::BareLf { at } => ("LF without CR", Some(at)),
            Self::BareCr { at } => ("CR without LF", Some(at)),
            Self::ObsoleteFold { at } => ("folded header line", Some(at)),
            Self::EmptyName { at } => ("header without a name", Some(at)),
            Self::SpaceBeforeColon { at } => ("whitespace before the colon of a header", Some(at)),
            Self::MissingColon { at } => ("header line without a colon", Some(at)),
            Self::LeadingEmptyLine => ("empty line before the start line", None),
            Self::UnsupportedVersion => ("HTTP version is neither 1.0 nor 1.1", None),
            Self::TargetForm => ("request target is not a path (origin form)", None),
            Self::MissingHost => ("no Host header", None),
            Self::InvalidHost => ("Host header is not a host and port", None),
            Self::ContentLength => ("Content-Length is not a decimal number", None),
            Self::TwoLengths => ("both Content-Length and Transfer-Encoding", None),
            Self::TransferCoding => ("Transfer-Encoding is not chunked", None),
            Self::TransferEncodingInHttp10 => ("Transfer-Encoding in HTTP/1.0", None),
            Self::CloseAndUpgrade => ("Connection has both close and upgrade", None),
        };
        f.write_str(text)?;
        at.map_or(Ok(()), |at| write!(f, " (byte {at})"))
    }
}

impl core::error::Error for HeadError {}
