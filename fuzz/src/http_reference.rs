//! A second, strict parser of HTTP/1 heads: it allocates, looks at whole lines, and shares nothing with the engine's.
//!
//! What RFC 9112 leaves to a recipient is decided as the engine's documentation says: no bare CR or LF, no empty line in
//! front, no folding, origin form only, one length, and headers that decide something once.

/// What a head says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) start: Start,
    /// `true`: HTTP/1.1.
    pub(crate) is_11: bool,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) length: Length,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Request { method: String, target: String },
    Response { status: u16, reason: Vec<u8> },
}

/// What the headers say about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Unsaid,
    Bytes(u64),
    Chunked,
}

const MOST_HEADERS: usize = 64;
const LONGEST_METHOD: usize = 32;
const ONCE_IN_REQUESTS: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "authorization",
    "origin",
    "sec-websocket-key",
    "sec-websocket-version",
];
const ONCE_IN_RESPONSES: [&str; 5] =
    ["content-length", "transfer-encoding", "upgrade", "sec-websocket-accept", "sec-websocket-protocol"];

/// Where the first blank line ends.
pub(crate) fn end(wire: &[u8]) -> Option<usize> {
    wire.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Reads a head with its blank line; `None` if it is none, or has two readings.
pub(crate) fn parse(head: &[u8]) -> Option<Head> {
    let text = head.strip_suffix(b"\r\n\r\n")?;
    let mut lines = split_lines(text)?.into_iter();
    let (start, is_11) = start_line(lines.next()?)?;
    let headers = lines.map(header_line).collect::<Option<Vec<_>>>()?;
    if headers.len() > MOST_HEADERS {
        return None;
    }
    let length = length(&headers, is_11)?;
    let head = Head { start, is_11, headers, length };
    head.has_one_meaning().then_some(head)
}

fn split_lines(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut lines = vec![];
    let mut rest = text;
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    lines.iter().all(|line| !line.contains(&b'\r') && !line.contains(&b'\n')).then_some(lines)
}

fn start_line(line: &[u8]) -> Option<(Start, bool)> {
    let version = |text: &[u8]| match text {
        b"HTTP/1.0" => Some(false),
        b"HTTP/1.1" => Some(true),
        _ => None,
    };
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    if let [first, code, reason @ ..] = &words[..]
        && first.starts_with(b"HTTP/")
    {
        let reason = reason.join(&b' ');
        let is_code = code.len() == 3 && code.iter().all(u8::is_ascii_digit);
        let status = str::from_utf8(code).ok().filter(|_| is_code)?.parse().ok()?;
        let is_right = status >= 100 && reason.iter().all(|&byte| is_text(byte));
        return is_right.then_some((Start::Response { status, reason }, version(first)?));
    }
    let [method, target, last] = words[..] else { return None };
    let is_method = is_token(method) && method.len() <= LONGEST_METHOD;
    let is_target =
        target.first() == Some(&b'/') && target.iter().all(|&byte| is_visible(byte) && byte != b'#');
    if !is_method || !is_target {
        return None;
    }
    let word = |word: &[u8]| String::from_utf8(word.to_vec()).ok();
    Some((Start::Request { method: word(method)?, target: word(target)? }, version(last)?))
}

fn header_line(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_right = is_token(name) && value.iter().all(|&byte| is_text(byte));
    let name = String::from_utf8(name.to_vec()).ok()?;
    is_right.then(|| (name, without_space(value).to_vec()))
}

fn length(headers: &[(String, Vec<u8>)], is_11: bool) -> Option<Length> {
    match (&values(headers, "content-length")[..], &values(headers, "transfer-encoding")[..]) {
        ([], []) => Some(Length::Unsaid),
        ([digits], []) => {
            let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let number = str::from_utf8(digits).ok().filter(|_| is_number)?;
            number.parse().ok().map(Length::Bytes)
        }
        ([], [coding]) if is_11 && coding.eq_ignore_ascii_case(b"chunked") => Some(Length::Chunked),
        _ => None,
    }
}

impl Head {
    fn has_one_meaning(&self) -> bool {
        let (once, host_is_right): (&[&str], bool) = match &self.start {
            Start::Request { .. } => (&ONCE_IN_REQUESTS, self.host_is_right()),
            Start::Response { .. } => (&ONCE_IN_RESPONSES, true),
        };
        let is_once = |name: &&str| {
            let values = values(&self.headers, name);
            values.len() <= 1 && values.iter().all(|value| value.is_ascii())
        };
        let is_upgrade = !matches!(self.start, Start::Response { status, .. } if status != 101);
        let contradicts = is_upgrade && self.connection_has("close") && self.connection_has("upgrade");
        once.iter().all(is_once) && host_is_right && !contradicts
    }

    fn host_is_right(&self) -> bool {
        let is_right = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(byte);
        match &values(&self.headers, "host")[..] {
            [] => !self.is_11,
            [host, ..] => !host.is_empty() && host.iter().all(is_right),
        }
    }

    /// True if an item of a Connection line is this one.
    pub(crate) fn connection_has(&self, option: &str) -> bool {
        let values = values(&self.headers, "connection");
        let mut items = values.iter().flat_map(|value| value.split(|&byte| byte == b','));
        items.any(|item| without_space(item).eq_ignore_ascii_case(option.as_bytes()))
    }
}

fn values(headers: &[(String, Vec<u8>)], wanted: &str) -> Vec<Vec<u8>> {
    let of_name = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    of_name.map(|(_, value)| value.clone()).collect()
}

fn is_token(word: &[u8]) -> bool {
    let is_right = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !word.is_empty() && word.iter().all(is_right)
}

fn is_visible(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte)
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn without_space(bytes: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let from = bytes.iter().take_while(|&byte| is_space(byte)).count();
    let bytes = &bytes[from..];
    let behind = bytes.iter().rev().take_while(|&byte| is_space(byte)).count();
    &bytes[..bytes.len() - behind]
}
