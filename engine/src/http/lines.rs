use super::{HeadError, HeadScanner, Header, trim};

/// Takes a whole head apart: its header lines into `lines`, which has room for all of them up to its length. Returns the start
/// line and how many they are.
///
/// The scanner has judged every byte by then. So a LF ends a line, and the first colon of a header line its name.
// Not inlined, and not generic: there is one of it, for requests and responses of any capacity.
#[inline(never)]
pub(super) fn split<'a>(head: &'a [u8], lines: &mut [Header<'a>]) -> Result<(&'a [u8], usize), HeadError> {
    let incomplete = HeadError::NotOneHead { length: head.len() };
    if HeadScanner::new(usize::MAX).scan(head)? != Some(head.len()) {
        return Err(incomplete);
    }
    let limit = lines.len();
    let mut places = lines.iter_mut();
    let mut found = head.split(|&byte| byte == b'\n').map_while(|line| line.strip_suffix(b"\r"));
    let start = found.next().ok_or(incomplete)?;
    for line in found.take_while(|line| !line.is_empty()) {
        let place = places.next().ok_or(HeadError::TooManyHeaders { limit })?;
        let colon = line.iter().position(|&byte| byte == b':').ok_or(incomplete)?;
        let (name, value) = line.split_at(colon);
        *place = Header { name: text(name)?, value: trim(value.get(1..).unwrap_or_default()) };
    }
    let left = places.len();
    Ok((start, limit - left))
}

/// What a start line says; `is_status_line` is which one it has to be.
#[inline(never)]
pub(super) fn start_line(line: &[u8], is_status_line: bool) -> Result<[&str; 3], HeadError> {
    if line.starts_with(b"HTTP/") != is_status_line {
        return Err(HeadError::StartLine { at: 0 });
    }
    let [first, second, last] = words(line);
    // Only a reason phrase may be no ASCII, and then it is nothing that anybody has to know.
    let last = if last.is_ascii() { last } else { &[] };
    Ok([text(first)?, text(second)?, text(last)?])
}

/// The three words of a start line: between single blanks, which the last one may have in it. Those that are missing are empty.
pub(super) fn words(line: &[u8]) -> [&[u8]; 3] {
    let mut rest = line;
    let [first, second] = [(); 2].map(|()| {
        let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        word
    });
    [first, second, rest]
}

/// What the scanner takes here is ASCII.
fn text(bytes: &[u8]) -> Result<&str, HeadError> {
    str::from_utf8(bytes).map_err(|_| HeadError::StartLine { at: 0 })
}
