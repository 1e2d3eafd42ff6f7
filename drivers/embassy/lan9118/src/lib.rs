//! A driver of the Ethernet controller LAN9118, which sits on the boards that QEMU emulates, for `embassy-net`.
//!
//! The chip is a memory-mapped pair of FIFOs with a MAC and a PHY behind them (SMSC LAN9118 data sheet, revision 1.5):
//!
//! ```text
//! 0x00 RX data   0x40 RX status   0x54 IRQ_CFG   0x68 FIFO_INT   0x74 HW_CFG        0xa4 MAC_CSR_CMD
//! 0x20 TX data   0x44 RX peek     0x58 INT_STS   0x6c RX_CFG     0x7c RX_FIFO_INF   0xa8 MAC_CSR_DATA
//!                0x48 TX status   0x5c INT_EN    0x70 TX_CFG     0x80 TX_FIFO_INF   0x64 BYTE_TEST
//! ```
//!
//! A received frame is one word of status and its words of data; a frame to send is two words of command and its words
//! of data. The MAC's registers are reached through `MAC_CSR_CMD`, the PHY's through two of the MAC's.
//!
//! How a register is reached is the business of [`Registers`], so this crate has no unsafe code and is tested against
//! a chip in software.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod error;
mod frame;
mod register;
#[cfg(test)]
mod tests;

use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use embassy_sync::waitqueue::AtomicWaker;

pub use self::error::Error;
pub use self::frame::{Buffers, MTU, Receive, Transmit};
pub use self::register::Registers;

use self::register::{
    AFC_CFG, BYTE_TEST, FIFO_INT, HW_CFG, ID_REV, INT_EN, INT_STS, IRQ_CFG, MAC_CSR_CMD, MAC_CSR_DATA,
    PMT_CTRL, RX_CFG, RX_FIFO_INF, RX_STATUS_PEEK, TX_CFG, TX_FIFO_INF, TX_STATUS, interrupt, mac, phy,
};

/// How often a bit that the chip sets is looked at before it is given up: on the real one, longer than the longest time
/// that the data sheet names (a reset takes 100 ms at most).
const PATIENCE: u32 = 1_000_000;

/// What `BYTE_TEST` reads, on a bus that is wired as it should be.
const TEST_PATTERN: u32 = 0x8765_4321;

/// Frames that the receive FIFO holds: a peer may send so many without a pause.
const BURST: usize = 6;

/// The controller, set up and running.
pub struct Lan9118<'a, R> {
    registers: R,
    buffers: &'a mut Buffers,
    interrupt: &'a AtomicWaker,
    address: [u8; 6],
    link: LinkState,
}

impl<'a, R: Registers> Lan9118<'a, R> {
    /// Resets the chip and starts it.
    ///
    /// Its address is the one that its EEPROM has given to it, or `fallback` if there is none. The handler of its
    /// interrupt masks the interrupt and wakes `interrupt`; the driver lets it through again when it has looked
    /// ([`Registers::listen`]).
    pub fn new(
        registers: R,
        buffers: &'a mut Buffers,
        interrupt: &'a AtomicWaker,
        fallback: [u8; 6],
    ) -> Result<Self, Error> {
        let mut chip = Self { registers, buffers, interrupt, address: fallback, link: LinkState::Down };
        chip.reset()?;
        chip.set_address(fallback)?;
        chip.start()?;
        Ok(chip)
    }

    fn reset(&mut self) -> Result<(), Error> {
        // Any write wakes a chip that sleeps.
        self.registers.write(BYTE_TEST, 0);
        self.wait(PMT_CTRL, PMT_READY, PMT_READY)?;
        let pattern = self.registers.read(BYTE_TEST);
        if pattern != TEST_PATTERN {
            return Err(Error::NotFound { pattern });
        }
        self.registers.write(HW_CFG, SOFT_RESET);
        self.wait(HW_CFG, SOFT_RESET, 0)?;
        let id = self.registers.read(ID_REV);
        if !matches!(id >> 16, 0x0115..=0x0118 | 0x115a | 0x117a | 0x118a | 0x9210 | 0x9211 | 0x9220 | 0x9221)
        {
            return Err(Error::Unknown { id });
        }
        Ok(())
    }

    fn set_address(&mut self, fallback: [u8; 6]) -> Result<(), Error> {
        let mut stored = [0; 6];
        let words = [self.read_mac(mac::ADDRL)?, self.read_mac(mac::ADDRH)?].map(u32::to_le_bytes);
        for (to, from) in stored.iter_mut().zip(words.as_flattened()) {
            *to = *from;
        }
        let is_address = stored != [0; 6] && stored[0] & 1 == 0;
        self.address = if is_address { stored } else { fallback };
        let [low @ .., high, highest] = self.address;
        self.write_mac(mac::ADDRL, u32::from_le_bytes(low))?;
        self.write_mac(mac::ADDRH, u32::from_le_bytes([high, highest, 0, 0]))
    }

    fn start(&mut self) -> Result<(), Error> {
        self.write_phy(phy::CONTROL, phy::NEGOTIATE)?;
        self.write_phy(phy::INTERRUPT_MASK, phy::NEGOTIATED | phy::LINK_DOWN)?;
        self.link = self.look_at_link()?;
        self.registers.write(HW_CFG, TX_FIFO_5_KIB | STORE_AND_FORWARD);
        // The high and low marks at which the chip would ask its peer to pause, as the data sheet proposes.
        self.registers.write(AFC_CFG, 0x006e_3740);
        self.registers.write(FIFO_INT, frame::ROOM.div_ceil(64) << 24);
        self.registers.write(RX_CFG, 0);
        self.registers.write(TX_CFG, TX_ON);
        self.write_mac(mac::CR, mac::FULL_DUPLEX | mac::TRANSMIT | mac::RECEIVE)?;
        // Until this is set, the line is active low: a handler that listens before finds an interrupt without end.
        self.registers.write(IRQ_CFG, IRQ_ENABLE | IRQ_ACTIVE_HIGH | IRQ_PUSH_PULL);
        self.registers.write(INT_STS, u32::MAX);
        self.registers.write(INT_EN, interrupt::RX_STATUS | interrupt::PHY);
        self.registers.listen();
        Ok(())
    }

    /// The MAC address that the chip listens to.
    pub const fn address(&self) -> [u8; 6] {
        self.address
    }

    /// Sees to it that the next event wakes the stack.
    fn listen(&mut self, cx: &Context<'_>, also: u32) {
        self.interrupt.register(cx.waker());
        self.registers.write(INT_EN, interrupt::RX_STATUS | interrupt::PHY | also);
        self.registers.write(INT_STS, interrupt::RX_STATUS | also);
        self.registers.listen();
    }

    /// True if a frame waits; those that came broken are thrown away.
    fn has_frame(&mut self) -> bool {
        while self.registers.read(RX_FIFO_INF) & 0x00ff_0000 != 0 {
            if frame::is_good(self.registers.read(RX_STATUS_PEEK)) {
                return true;
            }
            frame::discard(&self.registers);
        }
        false
    }

    /// True if the transmit FIFO has room for any frame.
    fn has_room(&mut self) -> bool {
        let mut fifo = self.registers.read(TX_FIFO_INF);
        // Statuses of frames that were sent stop the chip when nobody reads them.
        for _ in 0..fifo >> 16 & 0xff {
            self.registers.read(TX_STATUS);
        }
        fifo &= 0xffff;
        fifo >= frame::ROOM
    }

    fn look_at_link(&mut self) -> Result<LinkState, Error> {
        // A link that was down is told once, even if it is up again.
        self.read_phy(phy::STATUS)?;
        let is_up = self.read_phy(phy::STATUS)? & phy::LINK_UP != 0;
        Ok(if is_up { LinkState::Up } else { LinkState::Down })
    }

    fn wait(&mut self, register: u8, mask: u32, value: u32) -> Result<(), Error> {
        for _ in 0..PATIENCE {
            if self.registers.read(register) & mask == value {
                return Ok(());
            }
        }
        Err(Error::Stuck { register })
    }

    fn read_mac(&mut self, index: u32) -> Result<u32, Error> {
        self.wait(MAC_CSR_CMD, CSR_BUSY, 0)?;
        self.registers.write(MAC_CSR_CMD, CSR_BUSY | CSR_READ | index);
        self.wait(MAC_CSR_CMD, CSR_BUSY, 0)?;
        Ok(self.registers.read(MAC_CSR_DATA))
    }

    fn write_mac(&mut self, index: u32, value: u32) -> Result<(), Error> {
        self.wait(MAC_CSR_CMD, CSR_BUSY, 0)?;
        self.registers.write(MAC_CSR_DATA, value);
        self.registers.write(MAC_CSR_CMD, CSR_BUSY | index);
        self.wait(MAC_CSR_CMD, CSR_BUSY, 0)
    }

    fn read_phy(&mut self, index: u32) -> Result<u32, Error> {
        self.access_phy(index, 0)?;
        Ok(self.read_mac(mac::MII_DATA)? & 0xffff)
    }

    fn write_phy(&mut self, index: u32, value: u32) -> Result<(), Error> {
        self.write_mac(mac::MII_DATA, value)?;
        self.access_phy(index, mac::MII_WRITE)
    }

    fn access_phy(&mut self, index: u32, write: u32) -> Result<(), Error> {
        self.write_mac(mac::MII_ACC, mac::PHY_ADDRESS | index << 6 | write | mac::MII_BUSY)?;
        for _ in 0..PATIENCE {
            if self.read_mac(mac::MII_ACC)? & mac::MII_BUSY == 0 {
                return Ok(());
            }
        }
        Err(Error::Stuck { register: MAC_CSR_CMD })
    }
}

impl<R: Registers> Driver for Lan9118<'_, R> {
    type RxToken<'a>
        = Receive<'a, R>
    where
        Self: 'a;
    type TxToken<'a>
        = Transmit<'a, R>
    where
        Self: 'a;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let also = if !self.has_room() {
            interrupt::TX_ROOM
        } else if self.has_frame() {
            return Some(frame::tokens(&self.registers, self.buffers));
        } else {
            0
        };
        self.listen(cx, also);
        None
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        if self.has_room() {
            return Some(frame::transmit(&self.registers, self.buffers));
        }
        self.listen(cx, interrupt::TX_ROOM);
        None
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        if self.registers.read(INT_STS) & interrupt::PHY != 0 {
            // Reading the source ends the interrupt. A PHY that does not answer leaves the link as it was.
            let _ = self.read_phy(phy::INTERRUPT_SOURCE);
            self.registers.write(INT_STS, interrupt::PHY);
            self.link = self.look_at_link().unwrap_or(self.link);
        }
        self.interrupt.register(cx.waker());
        self.link
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MTU;
        capabilities.max_burst_size = Some(BURST);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

const PMT_READY: u32 = 1;
const SOFT_RESET: u32 = 1;
const TX_FIFO_5_KIB: u32 = 5 << 16;
const STORE_AND_FORWARD: u32 = 1 << 20;
const TX_ON: u32 = 1 << 1;
const IRQ_PUSH_PULL: u32 = 1;
const IRQ_ACTIVE_HIGH: u32 = 1 << 4;
const IRQ_ENABLE: u32 = 1 << 8;
const CSR_READ: u32 = 1 << 30;
const CSR_BUSY: u32 = 1 << 31;
