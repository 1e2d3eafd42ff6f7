//! Terminal sizes: channel 4, or the SPDY stream `resize`.
//!
//! ```text
//! {"Width":80,"Height":24}\n      Go clients
//! {"Width":80,"Height":24}        kube-rs
//! {"height":24,"width":80}        JavaScript
//! ```
//!
//! `websocket-channels.md` section 4. The peer sends a *stream* of such values: messages and DATA frames
//! may split and join them.

use super::json::{Event, Malformed, Scanner};
use super::writer::Writer;
use crate::Full;

/// Finds terminal sizes in the bytes of the resize channel, cut into any pieces.
///
/// It keeps no input, so no length of it can overflow anything. What it takes as a size: a JSON object
/// with the keys `Width` and `Height` in any ASCII case and order, both integers of 1 to 65,535.
/// Other keys may hold any JSON. Everything else is dropped, and the next value is found by
/// these rules:
///
/// 1. Between values all bytes are skipped up to the next `{`.
/// 2. The first byte that cannot stand in JSON drops the value; the search goes on behind it, or with
///    it if it is a `{`.
/// 3. A `{` that is the first byte of a line, blanks aside, begins a new value, whatever came before it. So
///    a client that ends its values with a newline never loses more than the value it broke. (The price:
///    an object nested in a key we do not know must not begin a line.)
#[derive(Debug, Clone)]
pub struct ResizeParser {
    /// `None`: between values.
    scanner: Option<Scanner>,
    /// No byte but blanks came since the last newline.
    line_start: bool,
    value: Value,
}

/// The size that is being read.
#[derive(Debug, Clone, Copy, Default)]
struct Value {
    size: TerminalSize,
    /// A `Width` or `Height` was something that is no size.
    bad: bool,
    key: Key,
}

/// The key of the member that is being read.
#[derive(Debug, Clone, Copy, Default)]
struct Key {
    /// Bytes of the key so far.
    len: u8,
    may_be_width: bool,
    may_be_height: bool,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TerminalSize {
    /// Characters in a line: `Width`.
    pub columns: u16,
    /// Lines: `Height`.
    pub rows: u16,
}

impl TerminalSize {
    /// Bytes that [`write`](Self::write) writes at most.
    pub const MAX_WRITTEN: usize = 31;

    /// Writes the size as Go clients do, newline included, and returns its length.
    pub fn write(self, out: &mut [u8]) -> Result<usize, Full> {
        let mut writer = Writer::new(out);
        writer.bytes(b"{\"Width\":")?;
        writer.decimal(self.columns.into())?;
        writer.bytes(b",\"Height\":")?;
        writer.decimal(self.rows.into())?;
        writer.bytes(b"}\n")?;
        Ok(writer.len())
    }

    /// A terminal of no lines or no columns: must not be applied (`remotecommand.md` section 3).
    pub const fn is_zero(self) -> bool {
        self.columns == 0 || self.rows == 0
    }
}

impl ResizeParser {
    /// A parser at the start of the stream.
    pub const fn new() -> Self {
        let key = Key { len: 0, may_be_width: false, may_be_height: false };
        let value = Value { size: TerminalSize { columns: 0, rows: 0 }, bad: false, key };
        Self { scanner: None, line_start: true, value }
    }

    /// Takes the next bytes of the stream, and returns the newest of the sizes that end in them.
    pub fn feed(&mut self, input: &[u8]) -> Option<TerminalSize> {
        input.iter().fold(None, |newest, &byte| self.push(byte).or(newest))
    }

    fn push(&mut self, byte: u8) -> Option<TerminalSize> {
        let first_of_line = self.line_start;
        self.line_start = match byte {
            b'\n' => true,
            b' ' | b'\t' | b'\r' => first_of_line,
            _ => false,
        };
        if byte == b'{' && (first_of_line || self.scanner.is_none()) {
            self.begin();
            return None;
        }
        let event = self.scanner.as_mut()?.push(byte);
        match (event, self.scanner) {
            (Ok(Event::EndObject), Some(scanner)) if scanner.depth() == 0 => self.end(),
            (Ok(event), Some(scanner)) if scanner.depth() == 1 => {
                self.value.take(event, byte, scanner);
                None
            }
            // In one that is deeper this was said of its member before.
            (Ok(Event::Object | Event::Array), _) => {
                self.value.other();
                None
            }
            (Ok(_), _) => None,
            (Err(Malformed), _) => {
                self.scanner = None;
                if byte == b'{' {
                    self.begin();
                }
                None
            }
        }
    }

    fn begin(&mut self) {
        let mut scanner = Scanner::new();
        self.scanner = scanner.push(b'{').is_ok().then_some(scanner);
        self.value = Value::default();
    }

    fn end(&mut self) -> Option<TerminalSize> {
        self.scanner = None;
        let Value { size, bad, .. } = self.value;
        (!bad && !size.is_zero()).then_some(size)
    }
}

impl Default for ResizeParser {
    fn default() -> Self {
        Self::new()
    }
}

impl Value {
    /// Takes a byte of a member of the outermost object.
    fn take(&mut self, event: Event, byte: u8, scanner: Scanner) {
        match event {
            Event::Key => self.key = Key { len: 0, may_be_width: true, may_be_height: true },
            Event::Inside if scanner.in_key() => self.key.push(byte),
            Event::EndKey => self.key.end(),
            Event::Number => self.begin_number(byte),
            Event::Inside if scanner.in_number() => self.digit(byte),
            Event::Text => self.other(),
            // As in Go, `null` leaves the field as it is.
            Event::Literal if byte != b'n' => self.other(),
            _ => {}
        }
    }

    fn begin_number(&mut self, byte: u8) {
        if let Some(field) = self.field() {
            *field = 0;
        }
        self.digit(byte);
    }

    fn digit(&mut self, byte: u8) {
        let Some(field) = self.field() else { return };
        let digit = char::from(byte).to_digit(10).and_then(|digit| u16::try_from(digit).ok());
        match digit.and_then(|digit| field.checked_mul(10)?.checked_add(digit)) {
            Some(value) => *field = value,
            None => self.bad = true,
        }
    }

    /// The member is something else than a number.
    fn other(&mut self) {
        if self.field().is_some() {
            self.bad = true;
        }
    }

    fn field(&mut self) -> Option<&mut u16> {
        match self.key {
            Key { may_be_width: true, .. } => Some(&mut self.size.columns),
            Key { may_be_height: true, .. } => Some(&mut self.size.rows),
            _ => None,
        }
    }
}

impl Key {
    const WIDTH: &[u8] = b"width";
    const HEIGHT: &[u8] = b"height";

    fn push(&mut self, byte: u8) {
        let at = usize::from(self.len);
        let byte = Some(byte.to_ascii_lowercase());
        self.may_be_width &= Self::WIDTH.get(at).copied() == byte;
        self.may_be_height &= Self::HEIGHT.get(at).copied() == byte;
        self.len = self.len.saturating_add(1);
    }

    fn end(&mut self) {
        let len = usize::from(self.len);
        self.may_be_width &= len == Self::WIDTH.len();
        self.may_be_height &= len == Self::HEIGHT.len();
    }
}

#[cfg(test)]
mod tests;
