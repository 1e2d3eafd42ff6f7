//! The executor: polls what was woken, then sleeps with WFI until an interrupt.
//!
//! `embassy-executor`'s own one sleeps with WFE, which QEMU does not sleep on: it would take all of a host's core, and the
//! guest's time would go wrong.

use core::sync::atomic::{AtomicBool, Ordering};

use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

use crate::{clock, stack};

/// Something was woken since the last poll.
static WOKEN: AtomicBool = AtomicBool::new(false);

static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();

// SAFETY: the name is the one that the executor calls, with these arguments.
#[unsafe(export_name = "__pender")]
fn wake(_: *mut ()) {
    WOKEN.store(true, Ordering::Release);
}

/// Runs what `start` spawns, for ever. Can be called once.
pub(crate) fn run(start: impl FnOnce(Spawner)) -> ! {
    let executor = EXECUTOR.init_with(|| raw::Executor::new(core::ptr::null_mut()));
    start(executor.spawner());
    log::info!("started, stack {}", stack::high_water());
    cortex_m::interrupt::free(|_| stack::repaint());
    loop {
        WOKEN.store(false, Ordering::Relaxed);
        // SAFETY: it is polled here only, and not from within.
        unsafe { executor.poll() };
        let next = clock::expire();
        cortex_m::interrupt::free(|_| {
            if !WOKEN.load(Ordering::Acquire) {
                clock::sleep(next);
            }
        });
    }
}
