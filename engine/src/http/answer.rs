use core::fmt::{self, Display, Write as _};

use super::write::{HeadWriter, WriteError, reason};

/// Seconds after which a client may come again whom an overloaded server sends away.
const RETRY_AFTER: &str = "5";

const TEXT: &str = "text/plain; charset=utf-8";

/// Writes a whole response with a body, after which the connection is closed, and returns its length.
pub fn write_response<'h>(
    status: u16,
    headers: impl IntoIterator<Item = (&'h str, &'h str), IntoIter: Clone>,
    content_type: &str,
    body: &[u8],
    out: &mut [u8],
) -> Result<usize, WriteError> {
    let headers = headers.into_iter();
    let length = body.len();
    let written = head(status, &|head| add(head, headers.clone()), content_type, length, out).finish();
    let (start, room) = match written {
        Ok(start) => (start, out.get_mut(start..).and_then(|room| room.get_mut(..length))),
        Err(WriteError::Full { needed }) => (needed, None),
        Err(error) => return Err(error),
    };
    let needed = start.saturating_add(length);
    room.ok_or(WriteError::Full { needed })?.copy_from_slice(body);
    Ok(needed)
}

/// Writes a whole response for a person to read, after which the connection is closed, and returns its length.
///
/// A message that is too long for `out` is cut behind a character. A 429 or 503 says when to come again.
///
/// ```
/// let mut out = [0; 256];
/// let length = strait::http::write_text(503, [], "too many sessions", &mut out)?;
/// assert_eq!(
///     str::from_utf8(&out[..length])?,
///     "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Type: text/plain; charset=utf-8\r\n\
///      Content-Length: 18\r\nConnection: close\r\n\r\ntoo many sessions\n"
/// );
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub fn write_text<'h>(
    status: u16,
    headers: impl IntoIterator<Item = (&'h str, &'h str), IntoIter: Clone>,
    message: impl Display,
    out: &mut [u8],
) -> Result<usize, WriteError> {
    let headers = headers.into_iter();
    text(status, &|head| add(head, headers.clone()), &message, out)
}

/// What adds header lines to a head.
type Add<'h> = dyn for<'a> Fn(HeadWriter<'a>) -> HeadWriter<'a> + 'h;

fn add<'a, 'h>(head: HeadWriter<'a>, headers: impl Iterator<Item = (&'h str, &'h str)>) -> HeadWriter<'a> {
    headers.fold(head, |head, (name, value)| head.header(name, value))
}

// The one of all messages and headers.
fn text(status: u16, headers: &Add<'_>, message: &dyn Display, out: &mut [u8]) -> Result<usize, WriteError> {
    let is_later = matches!(status, 429 | 503);
    let headers: &Add<'_> = &|head| {
        let head = headers(head);
        if is_later { head.header("Retry-After", RETRY_AFTER) } else { head }
    };
    // The head is written behind its body, which tells its length, and may then be shorter by some digits.
    let behind = match head(status, headers, TEXT, out.len(), &mut []).finish() {
        Err(WriteError::Full { needed }) => needed,
        other => return other,
    };
    let mut body = Cut { out: out.get_mut(behind..).ok_or(WriteError::Full { needed: behind })?, length: 0 };
    // It fails where the text is cut, which is no failure.
    let _ = writeln!(body, "{message}");
    let length = body.length;
    let start = head(status, headers, TEXT, length, out.get_mut(..behind).unwrap_or_default()).finish()?;
    if let Some(end) = behind.checked_add(length).filter(|&end| end <= out.len() && start <= behind) {
        out.copy_within(behind..end, start);
    }
    Ok(start + length)
}

fn head<'a>(
    status: u16,
    headers: &Add<'_>,
    content_type: &str,
    length: usize,
    out: &'a mut [u8],
) -> HeadWriter<'a> {
    let head = headers(HeadWriter::response(out, status, reason(status)));
    head.header("Content-Type", content_type).content_length(length as u64).header("Connection", "close")
}

/// Takes as many whole characters as fit.
struct Cut<'a> {
    out: &'a mut [u8],
    length: usize,
}

impl fmt::Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.out.get_mut(self.length..).unwrap_or_default();
        let text_bytes = text.as_bytes();
        let fits = text.floor_char_boundary(room.len());
        for (to, from) in room.iter_mut().zip(text_bytes.iter().take(fits)) {
            *to = *from;
        }
        self.length += fits;
        if fits == text.len() {
            return Ok(());
        }
        // Nothing may follow a gap.
        self.out = Default::default();
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec;

    fn text(message: &str, room: usize) -> Result<String, WriteError> {
        let mut out = vec![0; room];
        let length = write_text(400, [("X", "y")], message, &mut out)?;
        Ok(String::from_utf8(out[..length].to_vec()).unwrap())
    }

    #[test]
    fn a_text_is_whole_or_cut_behind_a_character_and_its_length_is_right() {
        let whole = text("caf\u{e9}", 200).unwrap();
        assert!(whole.starts_with("HTTP/1.1 400 Bad Request\r\nX: y\r\nContent-Type: text/plain"));
        assert!(whole.ends_with("Content-Length: 6\r\nConnection: close\r\n\r\ncaf\u{e9}\n"), "{whole}");
        for room in 0..200 {
            match text("caf\u{e9}", room) {
                Ok(cut) => {
                    let (head, body) = cut.split_once("\r\n\r\n").unwrap();
                    assert!("caf\u{e9}\n".starts_with(body), "{body}");
                    assert!(head.contains(&std::format!("Content-Length: {}\r\n", body.len())), "{cut}");
                }
                Err(error) => assert!(matches!(error, WriteError::Full { needed } if needed > room)),
            }
        }
    }

    #[test]
    fn a_body_fits_whole_or_not_at_all() {
        let mut out = [0; 200];
        let length = write_response(403, [], "application/json", b"{}", &mut out).unwrap();
        let expected = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
            Connection: close\r\n\r\n{}";
        assert_eq!(str::from_utf8(&out[..length]).unwrap(), expected);
        for room in 0..length {
            let full = write_response(403, [], "application/json", b"{}", &mut out[..room]);
            assert_eq!(full, Err(WriteError::Full { needed: length }));
        }
    }

    #[test]
    fn no_header_can_inject_a_line() {
        let mut out = [0; 200];
        let error = Err(WriteError::Value { header: 0 });
        assert_eq!(write_text(400, [("A", "b\r\nC: d")], "", &mut out), error);
        assert_eq!(write_response(400, [], "a\r\nb: c", b"", &mut out), error);
    }
}
