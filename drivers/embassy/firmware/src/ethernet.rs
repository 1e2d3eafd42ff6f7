//! The board's Ethernet controller.

use embassy_sync::waitqueue::AtomicWaker;
use static_cell::StaticCell;
use strait_lan9118::{Buffers, Error, Lan9118, Registers};

use crate::board::{Interrupt, LAN9118, Register};

static WAKER: AtomicWaker = AtomicWaker::new();
static BUFFERS: StaticCell<Buffers> = StaticCell::new();

/// For a controller without an address of its own: a locally administered one.
const FALLBACK: [u8; 6] = [0x02, 0x53, 0x54, 0x52, 0x41, 0x49];

/// The controller as `embassy-net` knows it.
pub(crate) type Ethernet = Lan9118<'static, Wires>;

/// The controller's registers, on the board's bus.
#[derive(Debug)]
pub(crate) struct Wires(());

impl Registers for Wires {
    fn read(&self, offset: u8) -> u32 {
        Register::of(LAN9118, offset.into()).read()
    }

    fn write(&self, offset: u8, value: u32) {
        Register::of(LAN9118, offset.into()).write(value);
    }

    fn listen(&self) {
        Interrupt::ETHERNET.unmask();
    }
}

/// Starts the controller. Can be called once.
pub(crate) fn start() -> Result<Ethernet, Error> {
    let buffers = BUFFERS.init_with(Buffers::new);
    // What was pending before the line's polarity was set was no interrupt.
    Interrupt::ETHERNET.mask();
    let ethernet = Lan9118::new(Wires(()), buffers, &WAKER, FALLBACK);
    Interrupt::ETHERNET.unpend();
    ethernet
}

/// The controller's interrupt: it stays masked until the driver has looked.
pub(crate) fn on_interrupt() {
    Interrupt::ETHERNET.mask();
    WAKER.wake();
}
