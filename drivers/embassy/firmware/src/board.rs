//! The board `mps2-an385`: a Cortex-M3 at 25 MHz with an Ethernet controller (Arm application note 385).
//!
//! ```text
//! 0x4000_0000 TIMER0 (interrupt 8)    0x4002_8000 FPGAIO      0xe000_ed9c MPU
//! 0x4000_4000 UART0                   0x4020_0000 LAN9118 (interrupt 13)
//! ```
//!
//! Every access to a device goes through [`Register`].

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

/// Ticks per second of the processor and of its timers.
pub(crate) const CLOCK_HZ: u32 = 25_000_000;

pub(crate) const TIMER0: usize = 0x4000_0000;
pub(crate) const UART0: usize = 0x4000_4000;
pub(crate) const FPGAIO: usize = 0x4002_8000;
pub(crate) const LAN9118: usize = 0x4020_0000;

/// A register of one of the board's devices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Register(usize);

impl Register {
    /// The register at `offset` of the device at `base`, one of the constants above.
    pub(crate) const fn of(base: usize, offset: usize) -> Self {
        Self(base + offset)
    }

    pub(crate) fn read(self) -> u32 {
        // SAFETY: the addresses are aligned and of devices, which no Rust object shares.
        unsafe { core::ptr::with_exposed_provenance::<u32>(self.0).read_volatile() }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: as above; and no device of this board writes memory.
        unsafe { core::ptr::with_exposed_provenance_mut::<u32>(self.0).write_volatile(value) }
    }
}

/// An interrupt of the board.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interrupt(u16);

impl Interrupt {
    pub(crate) const TIMER0: Self = Self(8);
    pub(crate) const ETHERNET: Self = Self(13);

    pub(crate) const fn number(self) -> i16 {
        self.0 as i16
    }

    pub(crate) fn unmask(self) {
        // SAFETY: handlers share state with tasks through atomics and critical sections alone.
        unsafe { NVIC::unmask(self) }
    }

    pub(crate) fn mask(self) {
        NVIC::mask(self);
    }

    /// Forgets that it was pending.
    pub(crate) fn unpend(self) {
        NVIC::unpend(self);
    }
}

// SAFETY: these are numbers of interrupts that the processor has.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self.0
    }
}
