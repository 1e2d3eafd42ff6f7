//! The `Status` object that ends an exec or attach: one JSON text on the error channel.
//!
//! ```text
//! success     {"metadata":{},"status":"Success"}
//! exit code   {"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: ...",
//!              "reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"5"}]}}
//! other       {"metadata":{},"status":"Failure","message":"...","reason":"InternalError","code":500}
//! ```
//!
//! `websocket-channels.md` section 5. The writers write into the caller's buffer and return the length. With
//! [`MIN_OUT`] bytes of it they never fail: a message that is too long is cut behind a character.

use super::json::{JsonStr, Scanner};
use super::writer::Writer;
use crate::Full;
use core::fmt::{self, Display, Write as _};
use reader::Reader;

mod reader;
mod settled;

pub use settled::Settled;

/// Bytes of buffer with which no writer fails.
pub const MIN_OUT: usize = 256;

/// Bytes of a reason that are written at most; Kubernetes has none that is longer.
const MAX_REASON: usize = 64;

pub(crate) const INTERNAL_ERROR: &str = "Internal error occurred: ";

const FAILURE: &[u8] = b"{\"metadata\":{},\"status\":\"Failure\",\"message\":\"";
const FAILURE_RESPONSE: &[u8] =
    b"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"";

/// What a `Status` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The command ran and its exit code was 0.
    Success,
    /// The command ran and ended with this exit code. Go clients take only 0 to 255
    /// and report anything else as a protocol error.
    ExitCode(u32),
    /// The command was not run, or what became of it is not known.
    Failure(Failure<'a>),
}

/// A `Status` of any other failure. What it does not say is empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failure<'a> {
    /// HTTP status that describes it, if that is an integer of 16 bit.
    pub code: Option<u16>,
    /// One word for a machine, such as `InternalError`.
    pub reason: JsonStr<'a>,
    /// A sentence for a person.
    pub message: JsonStr<'a>,
}

impl<'a> Outcome<'a> {
    /// Reads the whole content of the error channel (v4 and newer).
    ///
    /// Members may come in any order, unknown ones are skipped, the last of two equal ones counts, and
    /// `null` is as good as absent. Names are compared exactly. Nothing but one JSON
    /// object may be there, UTF-8 throughout.
    pub fn parse(json: &'a [u8]) -> Result<Self, StatusError> {
        let text =
            core::str::from_utf8(json).map_err(|error| StatusError::NotUtf8 { at: error.valid_up_to() })?;
        if json.trim_ascii().is_empty() {
            return Err(StatusError::Empty);
        }
        let mut reader = Reader::default();
        let mut scanner = Scanner::new();
        for (at, &byte) in json.iter().enumerate() {
            let event = scanner.push(byte).map_err(|_| StatusError::NotJson { at })?;
            reader.take(text, at, byte, event, scanner)?;
        }
        if !scanner.is_complete() {
            return Err(StatusError::Truncated);
        }
        reader.outcome()
    }

    /// Writes it for the next leg. Code, reason and message stay what they are, and nothing is put in front.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Full> {
        match self {
            Self::Success => success(out),
            Self::ExitCode(code) => exit_code(*code, out),
            Self::Failure(Failure { code, reason, message }) => failure(*code, reason, message, out),
        }
    }
}

impl Outcome<'_> {
    /// Writes it as protocols before v4 have it, and returns its length: nothing for success, and the message of a
    /// failure, cut where the room ends. They have no exit code but in the text.
    ///
    /// Nothing is written for a failure only if there is no room at all: one without a message says its reason or
    /// that it failed, because silence is success.
    pub fn write_text(&self, out: &mut [u8]) -> usize {
        let mut exit = [0; 64];
        let text = match self {
            Self::Success => return 0,
            Self::Failure(Failure { message, .. }) if !message.is_empty() => {
                return message.unescape(out).len();
            }
            Self::Failure(Failure { reason, .. }) if !reason.is_empty() => return reason.unescape(out).len(),
            Self::Failure(_) => b"the command failed",
            Self::ExitCode(code) => {
                let mut writer = Writer::new(&mut exit);
                let text = writer.bytes(b"command terminated with non-zero exit code: ");
                // The array has room for both.
                let _ = text.and_then(|()| writer.decimal(*code));
                let len = writer.len();
                exit.get(..len).unwrap_or_default()
            }
        };
        let len = text.len().min(out.len());
        for (to, from) in out.iter_mut().zip(text) {
            *to = *from;
        }
        len
    }
}

/// Writes the status of a command that ended with exit code 0.
pub fn success(out: &mut [u8]) -> Result<usize, Full> {
    let mut writer = Writer::new(out);
    writer.bytes(b"{\"metadata\":{},\"status\":\"Success\"}")?;
    Ok(writer.len())
}

/// Writes the status of a command that ended with `code`, in the translator's words; 0 is success.
///
/// Go clients take a `code` above 255 as a protocol error: mask it to its low 8 bits for them.
pub fn exit_code(code: u32, out: &mut [u8]) -> Result<usize, Full> {
    if code == 0 {
        return success(out);
    }
    let mut writer = Writer::new(out);
    writer.bytes(FAILURE)?;
    writer.bytes(b"command terminated with non-zero exit code: command terminated with exit code ")?;
    writer.decimal(code)?;
    writer.bytes(
        b"\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"",
    )?;
    writer.decimal(code)?;
    writer.bytes(b"\"}]}}")?;
    Ok(writer.len())
}

/// Writes an `InternalError` with code 500.
///
/// `Internal error occurred: ` is put in front of `message`, unless the message begins so (a status that
/// crosses several hops gets the prefix from the first of them only).
pub fn internal_error(message: impl Display, out: &mut [u8]) -> Result<usize, Full> {
    write_failure(FAILURE, INTERNAL_ERROR, Some(500), &"InternalError", &message, out)
}

/// Writes a failure with a code of HTTP, a reason and a message.
///
/// Without a code, or with an empty reason, that member is left out. A reason is cut behind 64 bytes.
pub fn failure(
    code: impl Into<Option<u16>>,
    reason: impl Display,
    message: impl Display,
    out: &mut [u8],
) -> Result<usize, Full> {
    write_failure(FAILURE, "", code.into(), &reason, &message, out)
}

/// Writes a failure as the body of an HTTP response: the same, with `kind` and `apiVersion`.
pub fn response(
    code: u16,
    reason: impl Display,
    message: impl Display,
    out: &mut [u8],
) -> Result<usize, Full> {
    write_failure(FAILURE_RESPONSE, "", Some(code), &reason, &message, out)
}

fn write_failure(
    head: &[u8],
    prefix: &str,
    code: Option<u16>,
    reason: &dyn Display,
    message: &dyn Display,
    out: &mut [u8],
) -> Result<usize, Full> {
    let mut tail = [0; MAX_REASON + 32];
    let mut tail = Writer::new(&mut tail);
    write_tail(code, reason, &mut tail)?;

    let mut writer = Writer::new(out);
    writer.bytes(head)?;
    writer.bytes(prefix.as_bytes())?;
    let start = writer.len();
    let room = writer.room().checked_sub(tail.len()).ok_or(Full)?;
    escape(message, room, &mut writer);
    if !prefix.is_empty()
        && writer.written().get(start..).is_some_and(|text| text.starts_with(prefix.as_bytes()))
    {
        writer.remove_before(start, prefix.len());
    }
    writer.bytes(tail.written())?;
    Ok(writer.len())
}

/// What stands behind the message.
fn write_tail(code: Option<u16>, reason: &dyn Display, tail: &mut Writer<'_>) -> Result<(), Full> {
    const REASON: &[u8] = b"\",\"reason\":\"";
    tail.bytes(REASON)?;
    escape(reason, MAX_REASON, tail);
    if tail.len() == REASON.len() {
        tail.remove_before(REASON.len(), REASON.len());
    }
    tail.bytes(b"\"")?;
    if let Some(code) = code {
        tail.bytes(b",\"code\":")?;
        tail.decimal(code.into())?;
    }
    tail.bytes(b"}")
}

/// Appends `text` as the inside of a JSON string: as many whole characters as fit into `room` bytes.
fn escape(text: &dyn Display, room: usize, writer: &mut Writer<'_>) {
    let end = writer.len().saturating_add(room);
    // It fails where the text is cut, which is no failure.
    let _ = write!(Escape { writer, end, cut: false }, "{text}");
}

struct Escape<'w, 'a> {
    writer: &'w mut Writer<'a>,
    end: usize,
    /// A character did not fit: no later one may, however short it is.
    cut: bool,
}

impl fmt::Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| self.write_char(character))
    }

    fn write_char(&mut self, character: char) -> fmt::Result {
        let mut place = [0; 6];
        let mut spelled = Writer::new(&mut place);
        let fits = spell(character, &mut spelled).is_ok() && self.writer.len() + spelled.len() <= self.end;
        if self.cut || !fits || self.writer.bytes(spelled.written()).is_err() {
            self.cut = true;
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// One character inside a JSON string (RFC 8259 section 7).
fn spell(character: char, out: &mut Writer<'_>) -> fmt::Result {
    match character {
        '"' => out.write_str("\\\""),
        '\\' => out.write_str("\\\\"),
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        '\0'..' ' => write!(out, "\\u{:04x}", u32::from(character)),
        _ => out.write_char(character),
    }
}

/// Text that a peer sent, which may be no UTF-8: its `Display` puts U+FFFD for what is none.
///
/// For the messages of statuses: `internal_error(Lossy(body), out)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lossy<'a>(pub &'a [u8]);

impl Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| {
            f.write_str(chunk.valid())?;
            if chunk.invalid().is_empty() { Ok(()) } else { f.write_char(char::REPLACEMENT_CHARACTER) }
        })
    }
}

/// The error channel holds no status. What became of the command is not known: never a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusError {
    /// The channel ended without a byte of it.
    Empty,
    /// It is no UTF-8 from this offset on.
    NotUtf8 {
        /// Offset of the first bad byte.
        at: usize,
    },
    /// The byte at this offset cannot stand there in JSON, or opens too deep a nesting.
    NotJson {
        /// Offset of the byte.
        at: usize,
    },
    /// The JSON ends before it is complete.
    Truncated,
    /// A value at this offset is not of the type that its name demands.
    WrongType {
        /// Offset of the value's first byte.
        at: usize,
    },
    /// `status` is neither `Success` nor `Failure`.
    UnknownStatus,
    /// A `NonZeroExitCode` has no `details`.
    NoDetails,
    /// A `NonZeroExitCode` has no cause with the reason `ExitCode`.
    NoExitCode,
    /// The exit code is no decimal number of 32 bit.
    InvalidExitCode,
}

impl StatusError {
    /// Code of the [`internal_error`] that the other leg is sent instead.
    pub const fn code(self) -> u16 {
        500
    }
}

impl Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error stream protocol error: ")?;
        match self {
            Self::Empty => f.write_str("connection closed before the exit status was received"),
            Self::NotUtf8 { at } => write!(f, "status is not UTF-8 at offset {at}"),
            Self::NotJson { at } => write!(f, "status is not JSON at offset {at}"),
            Self::Truncated => f.write_str("status is cut off"),
            Self::WrongType { at } => write!(f, "value of the wrong type at offset {at}"),
            Self::UnknownStatus => f.write_str("unknown status"),
            Self::NoDetails => f.write_str("details must be set"),
            Self::NoExitCode => f.write_str("no cause with the reason ExitCode"),
            Self::InvalidExitCode => f.write_str("invalid exit code value"),
        }
    }
}

impl core::error::Error for StatusError {}

#[cfg(test)]
mod tests;
