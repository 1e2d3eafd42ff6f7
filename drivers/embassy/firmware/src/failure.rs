//! The end: what happened is written to the serial line, then the board begins anew.

use core::arch::naked_asm;
use core::fmt::Write;
use core::panic::PanicInfo;

use cortex_m::peripheral::SCB;

use crate::console::Console;
use crate::stack;

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    cortex_m::interrupt::disable();
    let _ = writeln!(Console, "PANIC {info}");
    SCB::sys_reset()
}

/// A fault that no handler takes, on whatever is left of the stack: the report gets a new one.
// SAFETY: the name is the one that the vector table refers to.
#[unsafe(export_name = "HardFault")]
#[unsafe(naked)]
extern "C" fn hard_fault() -> ! {
    naked_asm!("mrs r0, msp", "ldr r1, =_stack_start", "msr msp, r1", "b {report}", report = sym report)
}

extern "C" fn report(pointer: usize) -> ! {
    const PROGRAM_COUNTER: usize = 6;
    // SAFETY: the SCB is there, and nobody else is.
    let scb = unsafe { &*SCB::PTR };
    let (status, address) = (scb.cfsr.read(), scb.mmfar.read() as usize);
    let name =
        if stack::is_guarded(address) || stack::is_guarded(pointer) { "STACK OVERFLOW" } else { "FAULT" };
    let _ = write!(Console, "{name} status {status:#010x}, address {address:#010x}, stack {pointer:#010x}");
    if !stack::is_guarded(pointer) && pointer % 4 == 0 {
        let frame = core::ptr::with_exposed_provenance::<u32>(pointer);
        // SAFETY: the processor has put its registers there.
        let pc = unsafe { frame.add(PROGRAM_COUNTER).read_volatile() };
        let _ = write!(Console, ", at {pc:#010x}");
    }
    let _ = writeln!(Console);
    SCB::sys_reset()
}
