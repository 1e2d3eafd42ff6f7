use core::fmt;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress_with_limit, inflate_flags};

use super::header_block::{HeaderBlock, HeaderBlockError, HeaderRules};
use super::receive::HeaderBlocks;

/// Reads the header blocks of one direction: a zlib stream that goes on from block to block, with the
/// dictionary of SPDY/3 (SPDY/3.1 draft section 2.6.10.1, RFC 1950, RFC 1951).
///
/// ```text
/// first block only   CMF FLG (2), DICTID (4) if FLG says so     no dictionary is accepted, another is not
/// every block        deflate blocks, the last of them empty and stored: ... 00 00 ff ff
/// ```
///
/// `RING` bytes of what was inflated are kept for the references of later blocks: a power of two from
/// 2,048 to 32,768. A reference that reaches further back is an error, so a ring smaller than 32 KiB is
/// safe, and long enough for a connection with few streams. `BLOCK` bytes hold one inflated block: that
/// is the bound of what a small block can inflate to. What cannot be inflated ends the stream for good: every
/// later block is an error as well.
pub struct Inflate<const RING: usize = 32_768, const BLOCK: usize = 4096> {
    deflate: DecompressorOxide,
    ring: [u8; RING],
    /// Where the next inflated byte goes, at most `RING`; `BROKEN` once something could not be inflated.
    position: usize,
    /// Whether all of the ring holds inflated bytes.
    wrapped: bool,
    header: ZlibHeader,
    block: [u8; BLOCK],
    length: usize,
    /// The last four compressed bytes of this block.
    tail: u32,
    /// Whether the compressed bytes so far end where a deflate block does.
    at_boundary: bool,
}

/// No position in any ring.
const BROKEN: usize = usize::MAX;

impl<const RING: usize, const BLOCK: usize> Inflate<RING, BLOCK> {
    /// The state of a new connection.
    pub fn new() -> Self {
        const {
            assert!(RING.is_power_of_two() && RING >= 2048 && RING <= 32_768, "RING is not a window size");
            assert!(BLOCK >= 4 && BLOCK <= u32::MAX as usize / 2, "BLOCK does not hold a header count");
        }
        Self {
            deflate: DecompressorOxide::new(),
            ring: [0; RING],
            position: 0,
            wrapped: false,
            header: ZlibHeader::new(),
            block: [0; BLOCK],
            length: 0,
            tail: 0,
            at_boundary: false,
        }
    }

    fn inflate(&mut self, mut compressed: &[u8]) -> Result<(), HeaderBlockError> {
        self.at_boundary = false;
        loop {
            if self.position == RING {
                self.position = 0;
                self.wrapped = true;
            }
            // One byte more than there is room for, to tell a full block from a too long one.
            let room = BLOCK - self.length + 1;
            let flags = self.flags();
            let (status, read, written) = decompress_with_limit(
                &mut self.deflate,
                compressed,
                &mut self.ring,
                self.position,
                room,
                flags,
            );
            self.collect(written)?;
            compressed = compressed.get(read..).ok_or(HeaderBlockError::Corrupt)?;
            match status {
                TINFLStatus::NeedsMoreInput => return Ok(()),
                TINFLStatus::BlockBoundary if compressed.is_empty() => {
                    self.at_boundary = true;
                    return Ok(());
                }
                TINFLStatus::BlockBoundary => {}
                // The end of the ring was reached: go on at its start.
                TINFLStatus::HasMoreOutput if self.position == RING => {}
                TINFLStatus::Done => return Err(HeaderBlockError::StreamEnded),
                _ => return Err(HeaderBlockError::Corrupt),
            }
        }
    }

    /// Until the ring is full for the first time it is treated as flat, because then the decompressor
    /// refuses references to before the first byte.
    const fn flags(&self) -> u32 {
        let flags =
            inflate_flags::TINFL_FLAG_HAS_MORE_INPUT | inflate_flags::TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;
        if self.wrapped { flags } else { flags | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF }
    }

    /// Takes `written` bytes out of the ring into the block.
    fn collect(&mut self, written: usize) -> Result<(), HeaderBlockError> {
        let end = self.position + written;
        let inflated = self.ring.get(self.position..end).ok_or(HeaderBlockError::Corrupt)?;
        let room = self.block.get_mut(self.length..self.length + written);
        room.ok_or(HeaderBlockError::InflatedTooLong { limit: BLOCK as u32 })?.copy_from_slice(inflated);
        self.position = end;
        self.length += written;
        Ok(())
    }

    fn load_dictionary(&mut self) {
        if let Some(room) = self.ring.first_chunk_mut() {
            *room = DICTIONARY;
            self.position = DICTIONARY.len();
        }
    }
}

impl<const RING: usize, const BLOCK: usize> HeaderBlocks for Inflate<RING, BLOCK> {
    fn begin(&mut self) {
        self.length = 0;
        self.tail = !0;
        self.at_boundary = false;
    }

    fn feed(&mut self, compressed: &[u8]) -> Result<(), HeaderBlockError> {
        let last = compressed.iter().skip(compressed.len().saturating_sub(4));
        self.tail = last.fold(self.tail, |tail, byte| tail << 8 | u32::from(*byte));
        let mut compressed = compressed;
        while let Some((byte, rest)) = compressed.split_first().filter(|_| !self.header.is_read()) {
            compressed = rest;
            if self.header.read(*byte)? {
                self.load_dictionary();
            }
        }
        if compressed.is_empty() {
            return Ok(());
        }
        let result = self.inflate(compressed);
        if result.is_err() {
            // What was inflated last is not all in the ring's account: a reference of what follows could lead out of it.
            self.position = BROKEN;
        }
        result
    }

    fn end(&mut self, rules: HeaderRules) -> Result<(), HeaderBlockError> {
        let length = core::mem::take(&mut self.length);
        let inflated = self.block.get(..length).unwrap_or_default();
        HeaderBlock::check(inflated, BLOCK as u32, rules)?;
        // The marker alone could be the inside of a stored block; the boundary alone could lie within a byte,
        // whose rest would then be read with the next block.
        if self.tail != SYNC_FLUSH || !self.at_boundary {
            return Err(HeaderBlockError::NotFlushed);
        }
        self.length = length;
        Ok(())
    }

    fn headers(&self) -> HeaderBlock<'_> {
        HeaderBlock::checked(self.block.get(..self.length).unwrap_or_default())
    }
}

impl<const RING: usize, const BLOCK: usize> Default for Inflate<RING, BLOCK> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const RING: usize, const BLOCK: usize> fmt::Debug for Inflate<RING, BLOCK> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflate").field("length", &self.length).finish_non_exhaustive()
    }
}

/// The end of the empty stored block: LEN and NLEN.
const SYNC_FLUSH: u32 = 0x0000_ffff;

/// The preset dictionary of SPDY/3 (SPDY/3.1 draft section 2.6.10.1).
const DICTIONARY: [u8; 1423] = *include_bytes!("dictionary.bin");
/// Its Adler-32, by which a zlib header names it.
const DICTIONARY_ID: u32 = 0xe3c6_a7c2;

/// The zlib header, as far as it was read: CMF, FLG, and the DICTID if FLG announces it.
struct ZlibHeader {
    bytes: [u8; 2],
    id: u32,
    /// Bytes read; `DONE` when there are no more.
    read: u8,
}

impl ZlibHeader {
    const DONE: u8 = u8::MAX;

    const fn new() -> Self {
        Self { bytes: [0; 2], id: 0, read: 0 }
    }

    const fn is_read(&self) -> bool {
        self.read == Self::DONE
    }

    /// Takes the next byte; true if the dictionary is to be loaded now.
    fn read(&mut self, byte: u8) -> Result<bool, HeaderBlockError> {
        const FDICT: u8 = 0x20;
        match self.read {
            0 => self.bytes = [byte, 0],
            1 => {
                let bytes = [self.bytes[0], byte];
                self.bytes = bytes;
                let deflate = bytes[0] & 0x0f == 8 && bytes[0] >> 4 <= 7;
                if !deflate || !u16::from_be_bytes(bytes).is_multiple_of(31) {
                    return Err(HeaderBlockError::ZlibHeader { bytes });
                }
                if byte & FDICT == 0 {
                    self.read = Self::DONE;
                    return Ok(false);
                }
            }
            _ => self.id = self.id << 8 | u32::from(byte),
        }
        self.read += 1;
        if self.read < 6 {
            return Ok(false);
        }
        self.read = Self::DONE;
        if self.id == DICTIONARY_ID { Ok(true) } else { Err(HeaderBlockError::Dictionary { id: self.id }) }
    }
}

#[cfg(test)]
mod tests;
