//! The stack: guarded at its end, and measured.

use cortex_m::peripheral::MPU;

/// Bytes in front of the statics into which no stack may grow. The MPU wants a power of two, and an address that it divides.
const GUARD: usize = 256;

unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
}

/// The addresses of the stack: its guard, the first byte that may be used, the first byte behind it.
fn bounds() -> (usize, usize, usize) {
    let guard = (&raw const _stack_end).addr().next_multiple_of(GUARD);
    (guard, guard + GUARD, (&raw const _stack_start).addr())
}

/// Makes an overflow a fault: without it, the stack would grow over the statics in silence.
pub(crate) fn guard(mpu: &mut MPU) {
    const ENABLE: u32 = 1;
    const PRIVILEGED_DEFAULT: u32 = 1 << 2;
    const NO_EXECUTE: u32 = 1 << 28;
    let size = GUARD.trailing_zeros() - 1;
    let (guard, ..) = bounds();
    // SAFETY: the region takes memory away from everybody, and nobody has it: it lies between statics and stack.
    unsafe {
        mpu.rnr.write(0);
        mpu.rbar.write(guard as u32);
        mpu.rasr.write(NO_EXECUTE | size << 1 | ENABLE);
        mpu.ctrl.write(PRIVILEGED_DEFAULT | ENABLE);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// True for an address in the guard.
pub(crate) fn is_guarded(address: usize) -> bool {
    let (guard, lowest, _) = bounds();
    (guard..lowest).contains(&address)
}

/// Most bytes of stack that were in use since it was painted, by the startup code or by [`repaint`].
pub(crate) fn high_water() -> usize {
    let (_, lowest, top) = bounds();
    let painted = (lowest..top).step_by(4).take_while(|&address| {
        // SAFETY: aligned addresses of RAM behind the statics, which no Rust object begins at this depth of the stack.
        let word = unsafe { core::ptr::with_exposed_provenance::<u32>(address).read_volatile() };
        word == cortex_m_rt::STACK_PAINT_VALUE
    });
    top - lowest - 4 * painted.count()
}

/// Paints what is below the caller's frame again, so that what the start has taken is not counted.
#[inline(never)]
pub(crate) fn repaint() {
    /// More than this function itself takes.
    const OWN: usize = 256;
    let (_, lowest, _) = bounds();
    let here = (&raw const lowest).addr() - OWN;
    for address in (lowest..here).step_by(4) {
        // SAFETY: aligned addresses of RAM between the guard and this frame, in which nothing is alive; no interrupt handler
        // runs meanwhile, because they are masked.
        unsafe {
            core::ptr::with_exposed_provenance_mut::<u32>(address)
                .write_volatile(cortex_m_rt::STACK_PAINT_VALUE)
        };
    }
}
