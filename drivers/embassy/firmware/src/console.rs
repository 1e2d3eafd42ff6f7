//! The serial line: what the image has to say, one line a message.

use core::fmt::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};

use crate::board::{Register, UART0};

const DATA: Register = Register::of(UART0, 0x00);
const STATE: Register = Register::of(UART0, 0x04);
const CONTROL: Register = Register::of(UART0, 0x08);
const DIVISOR: Register = Register::of(UART0, 0x10);

const FULL: u32 = 1;
const TRANSMIT: u32 = 1;

/// The line, written to by one at a time.
pub(crate) struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            while STATE.read() & FULL != 0 {}
            DATA.write(byte.into());
        }
        Ok(())
    }
}

impl Log for Console {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let now = embassy_time::Instant::now().as_millis();
        let _ = writeln!(Console, "{now:8} {:5} {}", record.level(), record.args());
    }

    fn flush(&self) {}
}

/// Starts the line, and sends it the log.
pub(crate) fn start() {
    // 115,200 baud; QEMU does not care.
    DIVISOR.write(crate::board::CLOCK_HZ / 115_200);
    CONTROL.write(TRANSMIT);
    // SAFETY: called once, in front of everything that could log.
    let _ = unsafe { log::set_logger_racy(&Console) };
    log::set_max_level(LevelFilter::Info);
}
