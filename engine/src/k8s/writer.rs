use core::fmt;

use crate::Full;
use crate::shift::shift;

/// Appends to the caller's buffer: each piece whole or not at all.
pub(super) struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Bytes written so far.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes that still fit.
    pub(super) const fn room(&self) -> usize {
        self.out.len().saturating_sub(self.len)
    }

    /// What was written so far.
    pub(super) fn written(&self) -> &[u8] {
        self.out.get(..self.len).unwrap_or_default()
    }

    pub(super) fn bytes(&mut self, piece: &[u8]) -> Result<(), Full> {
        let end = self.len.checked_add(piece.len()).ok_or(Full)?;
        self.out.get_mut(self.len..end).ok_or(Full)?.copy_from_slice(piece);
        self.len = end;
        Ok(())
    }

    pub(super) fn decimal(&mut self, number: u32) -> Result<(), Full> {
        let mut digits = [0; 10];
        let mut rest = number;
        let mut count = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        self.bytes(digits.get(digits.len() - count..).unwrap_or_default())
    }

    /// Takes the `count` bytes in front of `from` out again, if they are there.
    pub(super) fn remove_before(&mut self, from: usize, count: usize) {
        if let Some(to) = from.checked_sub(count)
            && from <= self.len
        {
            shift(self.out, from..self.len, to);
            self.len -= count;
        }
    }
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.bytes(piece.as_bytes()).map_err(|Full| fmt::Error)
    }
}
