//! Questions to the emulator (Arm, "Semihosting for AArch32 and AArch64").

/// The number at the end of the command line (`-append`); `None` without one, or without an emulator.
#[cfg(feature = "semihosting")]
pub(crate) fn number_of_the_command_line() -> Option<u16> {
    let mut line = [0u8; 256];
    let mut block = [line.as_mut_ptr().expose_provenance(), line.len()];
    let asked = block.as_mut_ptr().expose_provenance();
    // SAFETY: the call wants the address and the size of a buffer, and both live until it returns.
    let failed = unsafe { cortex_m_semihosting::syscall1(cortex_m_semihosting::nr::GET_CMDLINE, asked) };
    if failed != 0 {
        return None;
    }
    let line = line.split(|&byte| byte == 0).next()?;
    str::from_utf8(line).ok()?.rsplit(' ').next()?.parse().ok()
}

/// See above.
#[cfg(not(feature = "semihosting"))]
pub(crate) fn number_of_the_command_line() -> Option<u16> {
    None
}
