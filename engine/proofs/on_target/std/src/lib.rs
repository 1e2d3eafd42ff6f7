//! As much of `std` as the engine's tests use, on a Cortex-M3 in QEMU: the allocating collections, a heap, and a panic
//! that ends the machine with a failure.
#![no_std]
#![feature(lang_items)]
#![allow(internal_features, reason = "this crate stands in for std")]

extern crate alloc as alloc_crate;

pub use alloc_crate::{borrow, boxed, fmt, format, rc, slice, str, string, sync, vec};
pub use core::*;

/// Ordered, so that it needs no randomness.
pub mod collections {
    pub use alloc_crate::collections::{BTreeMap as HashMap, BTreeSet as HashSet, *};
}

pub mod prelude {
    pub mod rust_2024 {
        pub use alloc_crate::borrow::ToOwned;
        pub use alloc_crate::boxed::Box;
        pub use alloc_crate::string::{String, ToString};
        pub use alloc_crate::vec::Vec;
        // The macros of the same names.
        pub use alloc_crate::{format, vec};
        pub use core::prelude::rust_2024::*;
    }
}

#[doc(hidden)]
pub use cortex_m_semihosting::hprintln;

/// Prints through the debugger, as there is nothing else.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => { $crate::hprintln!($($argument)*) };
}

/// The same as [`println!`].
#[macro_export]
macro_rules! eprintln {
    ($($argument:tt)*) => { $crate::hprintln!($($argument)*) };
}

pub mod process {
    use cortex_m_semihosting::debug::{self, EXIT_FAILURE, EXIT_SUCCESS};

    /// Ends the emulator.
    pub fn exit(code: i32) -> ! {
        debug::exit(if code == 0 { EXIT_SUCCESS } else { EXIT_FAILURE });
        loop {}
    }
}

use cortex_m as _;
use cortex_m_rt as _;
use embedded_alloc::LlffHeap;

#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();

/// The board's PSRAM, which nothing else uses.
const HEAP_START: usize = 0x2100_0000;
const HEAP_BYTES: usize = 16 * 1024 * 1024;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    process::exit(1)
}

/// What the compiler calls for a `fn main`.
#[lang = "start"]
fn start<T>(main: fn() -> T, _: isize, _: *const *const u8, _: u8) -> isize {
    // SAFETY: the machine has one thread, which comes here once, and the linker places nothing there.
    unsafe { HEAP.init(HEAP_START, HEAP_BYTES) }
    main();
    process::exit(0)
}
