use core::fmt;

use super::{METHOD_BYTES, is_token_byte, is_value_byte, trim};

/// Writes a head of HTTP/1.1 into a caller's buffer.
///
/// Names, values, methods, targets and reasons come from configuration or from another peer, so
/// whatever could end a line early (CR, LF), end a string early (NUL) or change a line's meaning is refused:
/// no value can inject a header. The first error is kept and told by [`finish`](Self::finish).
#[derive(Debug)]
#[must_use = "a head is only written when it is finished"]
pub struct HeadWriter<'a> {
    buf: &'a mut [u8],
    /// Bytes of the head so far; counts on when the buffer is full, to tell how much is needed.
    length: usize,
    headers: usize,
    error: Option<WriteError>,
}

impl<'a> HeadWriter<'a> {
    /// Begins a request. `target` is written as it is, so it must be percent-encoded; any form is taken
    /// (`/path?query`, `host:port` for CONNECT).
    pub fn request(buf: &'a mut [u8], method: &str, target: &str) -> Self {
        let mut head = Self { buf, length: 0, headers: 0, error: None };
        head.check(is_token(method) && method.len() <= METHOD_BYTES, WriteError::Method);
        head.check(
            !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic()),
            WriteError::Target,
        );
        head.put(&[method.as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"]);
        head
    }

    /// Begins a request whose target is written in place: `target` gets the room for it, and tells its length, also if
    /// the room was too small. Without a target there is no request.
    pub(crate) fn request_with(
        buf: &'a mut [u8],
        method: &str,
        target: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Self {
        let mut head = Self { buf, length: 0, headers: 0, error: None };
        head.check(is_token(method) && method.len() <= METHOD_BYTES, WriteError::Method);
        head.put(&[method.as_bytes(), b" "]);
        let target = |room: &mut [u8]| target(room).filter(|&length| length > 0);
        let is_target = head.put_with(target).is_some_and(|target| target.iter().all(u8::is_ascii_graphic));
        head.check(is_target, WriteError::Target);
        head.put(&[b" HTTP/1.1\r\n"]);
        head
    }

    /// Begins a response. `reason` may be empty; [`reason`] has the usual ones.
    pub fn response(buf: &'a mut [u8], status: u16, reason: &str) -> Self {
        let mut head = Self { buf, length: 0, headers: 0, error: None };
        head.check((100..=999).contains(&status), WriteError::Status { code: status });
        head.check(reason.is_ascii() && reason.bytes().all(is_value_byte), WriteError::Reason);
        let mut digits = [0; DIGITS];
        head.put(&[b"HTTP/1.1 ", decimal(u64::from(status), &mut digits), b" ", reason.as_bytes(), b"\r\n"]);
        head
    }

    /// Appends a header line. Whitespace on both sides of the value is not part of it and left out.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.line(name, value.as_ref());
        self
    }

    // The one of all kinds of values, as `item` is of all kinds of lists.
    #[inline(never)]
    fn line(&mut self, name: &str, value: &[u8]) {
        let value = trim(value);
        self.check(is_token(name), WriteError::Name { header: self.headers });
        self.check(value.iter().copied().all(is_value_byte), WriteError::Value { header: self.headers });
        self.put(&[name.as_bytes(), b": ", value, b"\r\n"]);
        self.headers += 1;
    }

    /// Appends a header line whose value is `prefix` and what `value` writes in place: it gets the room for it, and
    /// tells its length, also if the room was too small. Without a value there is no line.
    pub(crate) fn header_with(
        mut self,
        name: &str,
        prefix: &str,
        value: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Self {
        let before = self.length;
        self.put(&[name.as_bytes(), b": ", prefix.as_bytes()]);
        let Some(value) = self.put_with(value) else {
            self.length = before;
            return self;
        };
        let is_value = value.iter().copied().all(is_value_byte);
        self.check(is_token(name), WriteError::Name { header: self.headers });
        self.check(is_value, WriteError::Value { header: self.headers });
        self.put(&[b"\r\n"]);
        self.headers += 1;
        self
    }

    /// Appends one header line with all `items`, joined by `, `; none if there are no items.
    pub fn list<T: AsRef<[u8]>>(mut self, name: &str, items: impl IntoIterator<Item = T>) -> Self {
        let mut is_empty = true;
        for item in items {
            self.item(name, item.as_ref(), is_empty);
            is_empty = false;
        }
        if !is_empty {
            self.put(&[b"\r\n"]);
            self.headers += 1;
        }
        self
    }

    #[inline(never)]
    fn item(&mut self, name: &str, item: &[u8], is_first: bool) {
        let item = trim(item);
        let is_item = !item.is_empty() && item.iter().all(|&byte| is_value_byte(byte) && byte != b',');
        self.check(is_token(name), WriteError::Name { header: self.headers });
        self.check(is_item, WriteError::Value { header: self.headers });
        let before = if is_first { [name.as_bytes(), b": "] } else { [b", ".as_slice(), b""] };
        self.put(&before);
        self.put(&[item]);
    }

    /// Appends Content-Length.
    pub fn content_length(self, length: u64) -> Self {
        self.header("Content-Length", decimal(length, &mut [0; DIGITS]))
    }

    /// Ends the head and tells its bytes: it is `buf[..n]`. After an error nothing of `buf` may be sent.
    pub fn finish(mut self) -> Result<usize, WriteError> {
        self.put(&[b"\r\n"]);
        match self.error {
            Some(error) => Err(error),
            None if self.length > self.buf.len() => Err(WriteError::Full { needed: self.length }),
            None => Ok(self.length),
        }
    }

    fn check(&mut self, holds: bool, error: WriteError) {
        if !holds {
            self.error.get_or_insert(error);
        }
    }

    /// What `write` put into the rest of the buffer; empty if that was too small.
    fn put_with(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<&[u8]> {
        let start = self.length;
        let written = write(self.buf.get_mut(start..).unwrap_or_default())?;
        self.length = start.saturating_add(written);
        Some(self.buf.get(start..self.length).unwrap_or_default())
    }

    fn put(&mut self, parts: &[&[u8]]) {
        for part in parts {
            let end = self.length.saturating_add(part.len());
            if let Some(room) = self.buf.get_mut(self.length..end) {
                room.copy_from_slice(part);
            }
            self.length = end;
        }
    }
}

/// Why a head was not written. All but [`Full`](Self::Full) are attempts, by accident or not, to write
/// what would be read as something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// The buffer is too small.
    Full {
        /// Bytes that the whole head takes.
        needed: usize,
    },
    /// The method is not a token of at most [`METHOD_BYTES`] bytes.
    Method,
    /// The target is empty or has a byte that is not visible ASCII.
    Target,
    /// The status code has not three digits.
    Status {
        /// The code.
        code: u16,
    },
    /// The reason phrase has a control byte or is not ASCII.
    Reason,
    /// The name of a header is not a token.
    Name {
        /// Which header, counted from 0.
        header: usize,
    },
    /// The value of a header has a control byte; or an item of a list is empty or has a comma.
    Value {
        /// Which header, counted from 0.
        header: usize,
    },
}

impl WriteError {
    /// The status code for the request that led to this head: it is never the peer's fault alone, so 500.
    pub const fn status(self) -> u16 {
        500
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Full { needed } => write!(f, "head needs {needed} bytes"),
            Self::Method => f.write_str("method is not a token"),
            Self::Target => f.write_str("request target is not visible ASCII"),
            Self::Status { code } => write!(f, "status code {code} has not three digits"),
            Self::Reason => f.write_str("reason phrase has control or non-ASCII bytes"),
            Self::Name { header } => write!(f, "name of header {header} is not a token"),
            Self::Value { header } => write!(f, "value of header {header} has forbidden bytes"),
        }
    }
}

impl core::error::Error for WriteError {}

/// The usual reason phrase of a status code; empty for those that nothing here sends (RFC 9110 section 15).
pub const fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// Decimal digits of the largest `u64`.
const DIGITS: usize = 20;

fn decimal(mut number: u64, digits: &mut [u8; DIGITS]) -> &[u8] {
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        count += 1;
        if number == 0 {
            break;
        }
    }
    digits.get(DIGITS - count..).unwrap_or_default()
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::String, vec};

    fn finish(begin: impl FnOnce(&mut [u8]) -> HeadWriter<'_>) -> Result<String, WriteError> {
        let mut buf = vec![0; 512];
        let length = begin(&mut buf).finish()?;
        Ok(String::from_utf8(buf[..length].to_vec()).unwrap())
    }

    #[test]
    fn heads_are_written_line_by_line() {
        let request = finish(|buf| {
            HeadWriter::request(buf, "GET", "/exec?stdin=true")
                .header("Host", "[::1]:8080")
                .header("X", b" \xc3\xa9\t".as_slice())
                .content_length(u64::MAX)
        });
        let expected = "GET /exec?stdin=true HTTP/1.1\r\nHost: [::1]:8080\r\nX: \u{e9}\r\n\
            Content-Length: 18446744073709551615\r\n\r\n";
        assert_eq!(request.unwrap(), expected);
        assert_eq!(
            finish(|buf| HeadWriter::response(buf, 403, reason(403))).unwrap(),
            "HTTP/1.1 403 Forbidden\r\n\r\n"
        );
        assert_eq!(
            finish(|buf| HeadWriter::request(buf, "CONNECT", "a:443")).unwrap(),
            "CONNECT a:443 HTTP/1.1\r\n\r\n"
        );
    }

    #[test]
    fn lists_are_joined_with_commas_and_left_out_if_empty() {
        let head = finish(|buf| {
            HeadWriter::response(buf, 101, "")
                .list("A", ["x", " y ", "z"])
                .list("B", [""; 0])
                .list("C", ["x"])
        });
        assert_eq!(head.unwrap(), "HTTP/1.1 101 \r\nA: x, y, z\r\nC: x\r\n\r\n");
    }

    #[test]
    fn no_value_can_inject_a_line() {
        fn head(buf: &mut [u8]) -> HeadWriter<'_> {
            HeadWriter::request(buf, "GET", "/").header("A", "a")
        }
        for byte in (0..=u8::MAX).filter(u8::is_ascii_control).filter(|byte| *byte != b'\t') {
            let value = [b'a', byte, b'b'];
            let text = str::from_utf8(&value).unwrap();
            assert_eq!(finish(|buf| head(buf).header("B", value)), Err(WriteError::Value { header: 1 }));
            assert_eq!(finish(|buf| head(buf).list("B", [value])), Err(WriteError::Value { header: 1 }));
            assert_eq!(finish(|buf| head(buf).header(text, "b")), Err(WriteError::Name { header: 1 }));
            assert_eq!(finish(|buf| head(buf).list(text, ["b"])), Err(WriteError::Name { header: 1 }));
            assert_eq!(finish(|buf| HeadWriter::request(buf, text, "/")), Err(WriteError::Method));
            assert_eq!(finish(|buf| HeadWriter::request(buf, "GET", text)), Err(WriteError::Target));
            assert_eq!(finish(|buf| HeadWriter::response(buf, 200, text)), Err(WriteError::Reason));
        }
        let at_the_edges = finish(|buf| HeadWriter::response(buf, 200, "").header("A", "b\r\n"));
        assert_eq!(at_the_edges, Err(WriteError::Value { header: 0 }));
    }

    #[test]
    fn names_methods_targets_and_codes_are_what_their_grammar_allows() {
        for name in ["", "a b", "a:", "a(", "\u{e9}"] {
            let head = finish(|buf| HeadWriter::response(buf, 200, "OK").header(name, "a"));
            assert_eq!(head, Err(WriteError::Name { header: 0 }), "{name:?}");
            assert_eq!(
                finish(|buf| HeadWriter::request(buf, name, "/")),
                Err(WriteError::Method),
                "{name:?}"
            );
        }
        let long = "A".repeat(METHOD_BYTES + 1);
        assert_eq!(finish(|buf| HeadWriter::request(buf, &long, "/")), Err(WriteError::Method));
        for target in ["", "/a b", "/\u{e9}"] {
            assert_eq!(finish(|buf| HeadWriter::request(buf, "GET", target)), Err(WriteError::Target));
        }
        for code in [0, 99, 1000] {
            assert_eq!(finish(|buf| HeadWriter::response(buf, code, "")), Err(WriteError::Status { code }));
        }
        assert_eq!(finish(|buf| HeadWriter::response(buf, 200, "\u{e9}")), Err(WriteError::Reason));
        for item in ["", " ", "a,b"] {
            let head = finish(|buf| HeadWriter::response(buf, 200, "").list("A", ["a", item]));
            assert_eq!(head, Err(WriteError::Value { header: 0 }), "{item:?}");
        }
    }

    /// Writes a text where it is to stand.
    fn in_place(text: &str) -> impl FnOnce(&mut [u8]) -> Option<usize> {
        |room| {
            room.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
            Some(text.len())
        }
    }

    #[test]
    fn what_is_written_in_place_is_checked_like_what_is_given() {
        let request = |method: &str, target: &str| {
            finish(|buf| HeadWriter::request_with(buf, method, in_place(target)))
        };
        assert_eq!(request("GET", "/a?b").unwrap(), "GET /a?b HTTP/1.1\r\n\r\n");
        for method in ["", "G T", &"A".repeat(METHOD_BYTES + 1)] {
            assert_eq!(request(method, "/"), Err(WriteError::Method), "{method:?}");
        }
        for target in ["", "/a b", "/\u{e9}", "/\r\nA: b"] {
            assert_eq!(request("GET", target), Err(WriteError::Target), "{target:?}");
        }
        assert_eq!(finish(|buf| HeadWriter::request_with(buf, "GET", |_| None)), Err(WriteError::Target));

        let header = |name: &str, value: &str| {
            finish(|buf| HeadWriter::response(buf, 200, "OK").header_with(name, "b ", in_place(value)))
        };
        assert_eq!(header("A", "c").unwrap(), "HTTP/1.1 200 OK\r\nA: b c\r\n\r\n");
        assert_eq!(header("A ", "c"), Err(WriteError::Name { header: 0 }));
        assert_eq!(header("A", "c\r\nD: e"), Err(WriteError::Value { header: 0 }));
    }

    #[test]
    fn a_header_that_is_written_in_place_counts_if_it_has_a_value() {
        let behind = |value: fn(&mut [u8]) -> Option<usize>| {
            finish(|buf| HeadWriter::response(buf, 200, "").header_with("A", "b ", value).header("C", "\n"))
        };
        let c = |room: &mut [u8]| {
            *room.first_mut()? = b'c';
            Some(1)
        };
        assert_eq!(behind(c), Err(WriteError::Value { header: 1 }));
        assert_eq!(behind(|_| None), Err(WriteError::Value { header: 0 }));
    }

    #[test]
    fn errors_tell_which_header_is_wrong() {
        let head = finish(|buf| {
            let head = HeadWriter::response(buf, 200, "").list("A", ["a", "b"]).list("B", [""; 0]);
            head.header("C", "c").header("D", "\n")
        });
        assert_eq!(head, Err(WriteError::Value { header: 2 }));
    }

    #[test]
    fn the_first_error_is_told() {
        let head = finish(|buf| HeadWriter::request(buf, "GET", "").header("", "a").header("A", "\n"));
        assert_eq!(head, Err(WriteError::Target));
    }

    #[test]
    fn a_buffer_that_is_too_small_is_told_how_much_is_needed() {
        let write = |buf: &mut [u8]| HeadWriter::response(buf, 200, "OK").header("A", "b").finish();
        let expected = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        let mut buf = [b'#'; 32];
        for room in 0..expected.len() {
            assert_eq!(write(&mut buf[..room]), Err(WriteError::Full { needed: expected.len() }));
            assert_eq!(buf[room], b'#');
        }
        assert_eq!(write(&mut buf[..expected.len()]), Ok(expected.len()));
        assert_eq!(&buf[..expected.len()], expected);
    }
}
