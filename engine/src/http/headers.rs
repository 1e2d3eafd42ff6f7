use core::fmt;
use core::slice;

use super::trim;

/// One header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name as it was sent: a token, to be compared case-insensitively.
    pub name: &'a str,
    /// The value without whitespace on either side; no controls but HTAB, not necessarily UTF-8.
    pub value: &'a [u8],
}

/// The header lines of one head, at most `H`, in the order in which they came.
///
/// All names are compared case-insensitively. Lines of one name are equivalent to one line with
/// their values joined by commas (RFC 9110 section 5.3); [`tokens`](Self::tokens) reads either.
///
/// `Debug` shows names only: values can be credentials.
#[derive(Clone)]
pub struct Headers<'a, const H: usize = 64> {
    lines: [httparse::Header<'a>; H],
    count: usize,
}

impl<'a, const H: usize> Headers<'a, H> {
    pub(super) const fn new(lines: [httparse::Header<'a>; H], count: usize) -> Self {
        Self { lines, count }
    }

    /// The value of the first line of this name.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.lines(name).next()
    }

    /// The value of the first line of this name, if it is UTF-8.
    ///
    /// To learn whether a header is there at all, use [`get`](Self::get).
    pub fn get_str(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(|value| str::from_utf8(value).ok())
    }

    /// The values of all lines of this name.
    pub fn lines(&self, name: &str) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// The items of the comma-separated lists in all lines of this name, trimmed; empty items and
    /// items that are not UTF-8 are left out (RFC 9110 section 5.6.1).
    ///
    /// For lists of tokens: a comma within quotes is not known as such.
    pub fn tokens(&self, name: &str) -> impl Iterator<Item = &'a str> + Clone {
        Tokens { lines: self.lines.get(..self.count).unwrap_or_default().iter(), name, rest: &[] }
    }

    /// True if [`tokens`](Self::tokens) of this name has `token`, in upper or lower case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.tokens(name).any(|item| item.eq_ignore_ascii_case(token))
    }

    /// All lines.
    pub fn iter(&self) -> impl Iterator<Item = Header<'a>> + Clone {
        self.lines.iter().take(self.count).map(|line| Header { name: line.name, value: line.value })
    }

    /// The number of lines.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// True if there is no line.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

// By hand, and not of the iterators of slices: their code would be there for each place of use, and for each capacity.
#[derive(Clone)]
struct Tokens<'h, 'n, 'a> {
    lines: slice::Iter<'h, httparse::Header<'a>>,
    name: &'n str,
    /// What was not looked at yet of a line.
    rest: &'a [u8],
}

impl<'a> Iterator for Tokens<'_, '_, 'a> {
    type Item = &'a str;

    #[inline(never)]
    fn next(&mut self) -> Option<&'a str> {
        loop {
            if self.rest.is_empty() {
                self.rest = self.lines.find(|line| line.name.eq_ignore_ascii_case(self.name))?.value;
            }
            let end = self.rest.iter().position(|&byte| byte == b',').unwrap_or(self.rest.len());
            let (item, behind) = self.rest.split_at(end);
            self.rest = behind.get(1..).unwrap_or_default();
            match str::from_utf8(trim(item)) {
                Ok("") | Err(_) => {}
                Ok(item) => return Some(item),
            }
        }
    }
}

impl<const H: usize> fmt::Debug for Headers<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|header| header.name)).finish()
    }
}
