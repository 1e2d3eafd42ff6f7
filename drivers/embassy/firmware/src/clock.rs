//! Time: a free-running counter to read, and a timer to be woken by.
//!
//! A counted interrupt would lose time whenever it is served late, so the time is read from a counter.

use core::cell::{Cell, RefCell};
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::board::{CLOCK_HZ, FPGAIO, Interrupt, Register, TIMER0};

const COUNTER: Register = Register::of(FPGAIO, 0x18);
const PRESCALE: Register = Register::of(FPGAIO, 0x1c);

const CONTROL: Register = Register::of(TIMER0, 0x00);
const VALUE: Register = Register::of(TIMER0, 0x04);
const RELOAD: Register = Register::of(TIMER0, 0x08);
const INTERRUPT: Register = Register::of(TIMER0, 0x0c);

const ENABLE: u32 = 1;
const INTERRUPT_ENABLE: u32 = 1 << 3;

const MICROS_PER_SECOND: u32 = 1_000_000;

/// Longest sleep, in microseconds. QEMU's user networking stands still while the guest sleeps (half a second at the
/// first connection); a board may sleep until its next deadline, but for at most an hour: the counter overflows.
const LONGEST_SLEEP: u64 = 1000;

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock {
    counted: Mutex::new(Cell::new(0)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

struct Clock {
    /// The last time that was read, in microseconds.
    counted: Mutex<Cell<u64>>,
    queue: Mutex<RefCell<Queue>>,
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|cs| {
            let counted = self.counted.borrow(cs);
            let before = counted.get();
            // The counter has 32 bits; it is read far more often than it overflows (71 minutes).
            let passed = COUNTER.read().wrapping_sub(before as u32);
            counted.set(before + u64::from(passed));
            counted.get()
        })
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        // Whoever sleeps next asks for the earliest deadline.
        critical_section::with(|cs| self.queue.borrow_ref_mut(cs).schedule_wake(at, waker));
    }
}

/// Starts to count, from 0.
pub(crate) fn start() {
    PRESCALE.write(CLOCK_HZ / MICROS_PER_SECOND - 1);
    COUNTER.write(0);
    RELOAD.write(0);
    INTERRUPT.write(1);
    Interrupt::TIMER0.unmask();
}

/// Wakes the tasks whose deadline has passed, and says when the next one is, in microseconds from now.
pub(crate) fn expire() -> u64 {
    let now = CLOCK.now();
    let next = critical_section::with(|cs| CLOCK.queue.borrow_ref_mut(cs).next_expiration(now));
    next.saturating_sub(now)
}

/// Sleeps until an interrupt, at most for so many microseconds. Call it with interrupts masked: what is pending by then
/// ends the sleep at once.
pub(crate) fn sleep(micros: u64) {
    CONTROL.write(0);
    VALUE.write(micros.clamp(1, LONGEST_SLEEP) as u32 * (CLOCK_HZ / MICROS_PER_SECOND));
    CONTROL.write(ENABLE | INTERRUPT_ENABLE);
    cortex_m::asm::wfi();
}

/// The timer's interrupt: its only purpose is to end the sleep.
pub(crate) fn on_interrupt() {
    CONTROL.write(0);
    INTERRUPT.write(1);
}
