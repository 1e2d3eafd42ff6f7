//! An image that links only if nothing in it can panic: the panic handler calls a function that does not exist, and
//! link-time optimisation leaves the handler out only where no path leads to it.
//!
//! It holds all that the engine does behind the handshake, of every leg and bridge, with all inputs and all state
//! unknown to the optimiser. It is not made to run. `cargo xtask proofs` builds it.
#![no_std]
#![no_main]

mod exec;
mod forward;
mod legs;
#[path = "../../sizes.rs"]
mod sizes;

use core::hint::black_box;
use core::panic::PanicInfo;

/// What the world may say next; nothing is known about any of it.
pub struct Peers {
    /// Bytes that a peer sent.
    pub bytes: &'static mut [u8],
    /// A number that somebody chose: a length, an index, a time.
    pub number: usize,
    /// A choice.
    pub flag: bool,
}

impl Peers {
    fn number(&self) -> usize {
        black_box(self.number)
    }

    fn flag(&self) -> bool {
        black_box(self.flag)
    }

    fn bytes(&self) -> &[u8] {
        black_box(&*self.bytes)
    }
}

/// What `cargo xtask size` reads from the image.
// SAFETY: no other symbol of this name is linked.
#[unsafe(no_mangle)]
pub static STRAIT_SIZES: [usize; sizes::SIZES.len()] = {
    let mut bytes = [0; sizes::SIZES.len()];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = sizes::SIZES[at].1;
        at += 1;
    }
    bytes
};

/// Where the image would begin.
// SAFETY: no other symbol of this name is linked.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    let mut peers = Peers { bytes: &mut [], number: black_box(0), flag: black_box(false) };
    black_box(&STRAIT_SIZES);
    loop {
        exec::run(black_box(&peers));
        forward::run(black_box(&peers));
        legs::run(black_box(&mut peers));
        #[cfg(feature = "broken")]
        let _ = peers.bytes()[peers.number()];
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // It is declared as it would be, if there were one.
    unsafe extern "C" {
        fn strait_has_a_path_to_a_panic() -> !;
    }
    // SAFETY: never called: with the function missing the image does not link.
    unsafe { strait_has_a_path_to_a_panic() }
}

#[cfg(feature = "defined")]
// SAFETY: no other symbol of this name is linked.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn strait_has_a_path_to_a_panic() -> ! {
    loop {}
}
