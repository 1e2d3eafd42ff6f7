use embassy_net_driver::{RxToken, TxToken};

use crate::register::{RX_DATA, RX_STATUS, Registers, TX_DATA};

/// Longest Ethernet frame without its checksum, in bytes.
pub const MTU: usize = 1514;

/// The checksum that the chip leaves behind a received frame.
const FCS: usize = 4;

/// A buffer for one frame, in whole words.
const FRAME: usize = (MTU + FCS).next_multiple_of(4);

/// Bytes that the longest frame takes in the transmit FIFO, with its commands.
pub(crate) const ROOM: u32 = 8 + FRAME as u32;

const FIRST_SEGMENT: u32 = 1 << 13;
const LAST_SEGMENT: u32 = 1 << 12;
const ERROR: u32 = 1 << 15;

/// One frame each way: the stack writes an answer while it reads the question.
#[derive(Debug)]
pub struct Buffers {
    received: [u8; FRAME],
    sent: [u8; FRAME],
}

impl Buffers {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { received: [0; FRAME], sent: [0; FRAME] }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// A frame that waits in the chip.
#[derive(Debug)]
pub struct Receive<'a, R> {
    registers: &'a R,
    buffer: &'a mut [u8; FRAME],
}

/// Room for a frame in the chip.
#[derive(Debug)]
pub struct Transmit<'a, R> {
    registers: &'a R,
    buffer: &'a mut [u8; FRAME],
}

pub(crate) fn tokens<'a, R>(registers: &'a R, buffers: &'a mut Buffers) -> (Receive<'a, R>, Transmit<'a, R>) {
    let Buffers { received, sent } = buffers;
    (Receive { registers, buffer: received }, Transmit { registers, buffer: sent })
}

pub(crate) fn transmit<'a, R>(registers: &'a R, buffers: &'a mut Buffers) -> Transmit<'a, R> {
    Transmit { registers, buffer: &mut buffers.sent }
}

/// True for the status of a frame that arrived whole and fits.
pub(crate) const fn is_good(status: u32) -> bool {
    status & ERROR == 0 && length(status) >= FCS && length(status) <= FRAME
}

/// Takes the first frame out of the FIFO.
pub(crate) fn discard(registers: &impl Registers) {
    let words = length(registers.read(RX_STATUS)).div_ceil(4);
    for _ in 0..words {
        registers.read(RX_DATA);
    }
}

/// Bytes of a received frame, with its checksum.
const fn length(status: u32) -> usize {
    (status >> 16 & 0x3fff) as usize
}

impl<R: Registers> RxToken for Receive<'_, R> {
    fn consume<T, F: FnOnce(&mut [u8]) -> T>(self, f: F) -> T {
        let length = length(self.registers.read(RX_STATUS)).min(FRAME);
        // A slice of words and no `take`: that is half the instructions.
        let words = self.buffer.as_chunks_mut().0;
        for word in words.get_mut(..length.div_ceil(4)).unwrap_or_default() {
            *word = self.registers.read(RX_DATA).to_le_bytes();
        }
        f(self.buffer.get_mut(..length.saturating_sub(FCS)).unwrap_or_default())
    }
}

impl<R: Registers> TxToken for Transmit<'_, R> {
    fn consume<T, F: FnOnce(&mut [u8]) -> T>(self, len: usize, f: F) -> T {
        // The stack asks for no more than it was told that it may.
        let len = len.min(FRAME);
        let result = f(self.buffer.get_mut(..len).unwrap_or_default());
        self.registers.write(TX_DATA, FIRST_SEGMENT | LAST_SEGMENT | len as u32);
        self.registers.write(TX_DATA, len as u32);
        for word in self.buffer.as_chunks().0.get(..len.div_ceil(4)).unwrap_or_default() {
            self.registers.write(TX_DATA, u32::from_le_bytes(*word));
        }
        result
    }
}
