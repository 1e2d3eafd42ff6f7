use core::fmt::{self, Write as _};

/// A JSON text (RFC 8259) followed byte by byte, without keeping any of it.
///
/// It checks the grammar whole: what it takes to the end is JSON. Two things it leaves to its users:
/// strings are not checked for UTF-8, and a lone surrogate escape (`\ud800`) is taken as Go takes it.
/// Containers may nest [`Scanner::MAX_DEPTH`] deep; the next one is an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanner {
    state: State,
    depth: u8,
    /// One bit for each open container, the innermost lowest: set for an object.
    objects: u32,
}

/// What a byte did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Space, punctuation, or the inside of something that began before.
    Inside,
    /// `{`: the depth is that inside the object.
    Object,
    /// `}`: the depth is that outside the object.
    EndObject,
    /// `[`: the depth is that inside the array.
    Array,
    /// `]`: the depth is that outside the array.
    EndArray,
    /// The opening quote of a key.
    Key,
    /// The closing quote of a key.
    EndKey,
    /// The opening quote of a string that is a value.
    Text,
    /// The closing quote of a string that is a value.
    EndText,
    /// The first byte of a number.
    Number,
    /// The first byte of `true`, `false` or `null`.
    Literal,
}

/// The byte cannot stand where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Value,
    FirstElement,
    FirstKey,
    NextKey,
    Colon,
    AfterValue,
    String {
        key: bool,
    },
    Escape {
        key: bool,
    },
    Hex {
        key: bool,
        left: u8,
    },
    Number(Number),
    /// The next byte must be `LITERALS[_]`; a space there ends the literal.
    Literal(u8),
}

const LITERALS: &[u8] = b"true false null ";

impl Scanner {
    pub(super) const MAX_DEPTH: u8 = 32;

    pub(super) const fn new() -> Self {
        Self { state: State::Value, depth: 0, objects: 0 }
    }

    /// Containers that are open.
    pub(super) const fn depth(self) -> u8 {
        self.depth
    }

    /// True behind each byte of a number.
    pub(super) const fn in_number(self) -> bool {
        matches!(self.state, State::Number(_))
    }

    /// True behind the opening quote of a key and each byte of it.
    pub(super) const fn in_key(self) -> bool {
        matches!(
            self.state,
            State::String { key: true } | State::Escape { key: true } | State::Hex { key: true, .. }
        )
    }

    /// True if the bytes so far are a whole JSON text.
    pub(super) const fn is_complete(self) -> bool {
        self.depth == 0
            && match self.state {
                State::AfterValue => true,
                State::Number(number) => number.may_end(),
                _ => false,
            }
    }

    pub(super) fn push(&mut self, byte: u8) -> Result<Event, Malformed> {
        match self.state {
            State::String { key } => self.string(byte, key),
            State::Escape { key } => self.escape(byte, key),
            State::Hex { key, left } => self.hex(byte, key, left),
            State::Number(number) => self.number(byte, number),
            State::Literal(at) => self.literal(byte, at),
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => Ok(Event::Inside),
            State::FirstElement if byte == b']' => self.close(Event::EndArray),
            State::Value | State::FirstElement => self.value(byte),
            State::FirstKey if byte == b'}' => self.close(Event::EndObject),
            State::FirstKey | State::NextKey if byte == b'"' => {
                self.go(State::String { key: true }, Event::Key)
            }
            State::Colon if byte == b':' => self.go(State::Value, Event::Inside),
            State::FirstKey | State::NextKey | State::Colon => Err(Malformed),
            State::AfterValue => self.after_value(byte),
        }
    }

    fn value(&mut self, byte: u8) -> Result<Event, Malformed> {
        match byte {
            b'{' => self.open(true),
            b'[' => self.open(false),
            b'"' => self.go(State::String { key: false }, Event::Text),
            b't' => self.go(State::Literal(1), Event::Literal),
            b'f' => self.go(State::Literal(6), Event::Literal),
            b'n' => self.go(State::Literal(12), Event::Literal),
            _ => {
                let number = Number::begin(byte).ok_or(Malformed)?;
                self.go(State::Number(number), Event::Number)
            }
        }
    }

    fn after_value(&mut self, byte: u8) -> Result<Event, Malformed> {
        let in_object = self.objects & 1 == 1;
        match byte {
            _ if self.depth == 0 => Err(Malformed),
            b',' => self.go(if in_object { State::NextKey } else { State::Value }, Event::Inside),
            b'}' if in_object => self.close(Event::EndObject),
            b']' if !in_object => self.close(Event::EndArray),
            _ => Err(Malformed),
        }
    }

    fn open(&mut self, object: bool) -> Result<Event, Malformed> {
        if self.depth == Self::MAX_DEPTH {
            return Err(Malformed);
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u32::from(object);
        if object {
            self.go(State::FirstKey, Event::Object)
        } else {
            self.go(State::FirstElement, Event::Array)
        }
    }

    fn close(&mut self, event: Event) -> Result<Event, Malformed> {
        self.depth = self.depth.checked_sub(1).ok_or(Malformed)?;
        self.objects >>= 1;
        self.go(State::AfterValue, event)
    }

    fn string(&mut self, byte: u8, key: bool) -> Result<Event, Malformed> {
        match byte {
            b'"' if key => self.go(State::Colon, Event::EndKey),
            b'"' => self.go(State::AfterValue, Event::EndText),
            b'\\' => self.go(State::Escape { key }, Event::Inside),
            0..0x20 => Err(Malformed),
            _ => Ok(Event::Inside),
        }
    }

    fn escape(&mut self, byte: u8, key: bool) -> Result<Event, Malformed> {
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.go(State::String { key }, Event::Inside)
            }
            b'u' => self.go(State::Hex { key, left: 4 }, Event::Inside),
            _ => Err(Malformed),
        }
    }

    fn hex(&mut self, byte: u8, key: bool, left: u8) -> Result<Event, Malformed> {
        if !byte.is_ascii_hexdigit() {
            return Err(Malformed);
        }
        let next = if left > 1 { State::Hex { key, left: left - 1 } } else { State::String { key } };
        self.go(next, Event::Inside)
    }

    fn number(&mut self, byte: u8, number: Number) -> Result<Event, Malformed> {
        match number.next(byte) {
            Some(next) => self.go(State::Number(next), Event::Inside),
            None if number.may_end() => {
                self.state = State::AfterValue;
                self.push(byte)
            }
            None => Err(Malformed),
        }
    }

    fn literal(&mut self, byte: u8, at: u8) -> Result<Event, Malformed> {
        let at = usize::from(at);
        if LITERALS.get(at) != Some(&byte) {
            return Err(Malformed);
        }
        let ends = LITERALS.get(at + 1) == Some(&b' ');
        self.go(if ends { State::AfterValue } else { State::Literal(at as u8 + 1) }, Event::Inside)
    }

    #[expect(clippy::unnecessary_wraps, reason = "each arm of the automaton ends in it")]
    const fn go(&mut self, state: State, event: Event) -> Result<Event, Malformed> {
        self.state = state;
        Ok(event)
    }
}

/// How far a number has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    E,
    ESign,
    Exponent,
}

impl Number {
    const fn begin(byte: u8) -> Option<Self> {
        match byte {
            b'-' => Some(Self::Minus),
            b'0' => Some(Self::Zero),
            b'1'..=b'9' => Some(Self::Integer),
            _ => None,
        }
    }

    const fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Some(Self::Integer),
            (Self::Zero | Self::Integer, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Some(Self::E),
            (Self::E, b'+' | b'-') => Some(Self::ESign),
            (Self::E | Self::ESign | Self::Exponent, b'0'..=b'9') => Some(Self::Exponent),
            _ => None,
        }
    }

    const fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::Exponent)
    }
}

/// A JSON string as it stands on the wire: what is between the quotes, escapes and all.
///
/// It comes from a reader that has checked it. It compares with plain text, and its `Display` writes
/// the text it means; an escape that means no character (a lone surrogate) means U+FFFD.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonStr<'a>(&'a str);

impl<'a> JsonStr<'a> {
    /// `raw` must have been scanned as a string.
    pub(super) const fn new(raw: &'a str) -> Self {
        Self(raw)
    }

    /// The text between the quotes, with its escapes.
    pub const fn raw(self) -> &'a str {
        self.0
    }

    /// True if the string has no characters.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The characters it means.
    pub fn chars(self) -> impl Iterator<Item = char> + Clone + 'a {
        let mut rest = self.0.chars();
        core::iter::from_fn(move || match rest.next()? {
            '\\' => unescape(&mut rest),
            plain => Some(plain),
        })
    }

    /// Writes the text it means to `out`, cut behind the last character that fits.
    ///
    /// It always fits into as many bytes as [`raw`](Self::raw) has.
    pub fn unescape(self, out: &mut [u8]) -> &str {
        let mut end = 0;
        for character in self.chars() {
            let next = end + character.len_utf8();
            let Some(place) = out.get_mut(end..next) else { break };
            character.encode_utf8(place);
            end = next;
        }
        out.get(..end).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default()
    }
}

impl PartialEq<str> for JsonStr<'_> {
    fn eq(&self, text: &str) -> bool {
        self.chars().eq(text.chars())
    }
}

impl PartialEq<&str> for JsonStr<'_> {
    fn eq(&self, text: &&str) -> bool {
        self == *text
    }
}

impl PartialEq for JsonStr<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.chars().eq(other.chars())
    }
}

impl Eq for JsonStr<'_> {}

impl fmt::Display for JsonStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chars().try_for_each(|character| f.write_char(character))
    }
}

/// The character of the escape whose backslash was taken.
fn unescape(rest: &mut core::str::Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return unescape_utf16(rest),
        itself => itself,
    })
}

/// The character of one `\uXXXX`, or of two that are a surrogate pair.
fn unescape_utf16(rest: &mut core::str::Chars<'_>) -> Option<char> {
    let unit = utf16_unit(rest)?;
    if let 0xd800..0xdc00 = unit {
        let mut ahead = rest.clone();
        if ahead.next() == Some('\\')
            && ahead.next() == Some('u')
            && let Some(low @ 0xdc00..0xe000) = utf16_unit(&mut ahead)
        {
            *rest = ahead;
            return char::from_u32(0x1_0000 + ((unit - 0xd800) << 10 | (low - 0xdc00)));
        }
    }
    Some(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
}

fn utf16_unit(rest: &mut core::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |unit, _| Some(unit << 4 | rest.next()?.to_digit(16)?))
}

#[cfg(test)]
mod tests;
