use core::fmt;

/// Why the chip cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// No such chip at this address, or its bytes come in another order.
    NotFound {
        /// What its test register reads; it has to be 0x87654321.
        pattern: u32,
    },
    /// A chip of another family.
    Unknown {
        /// Its identity and revision.
        id: u32,
    },
    /// A bit that the chip sets by itself did not change.
    Stuck {
        /// Where the bit is: bytes behind the first register.
        register: u8,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { pattern } => {
                write!(f, "no LAN9118 found: its test register reads {pattern:#010x}")
            }
            Self::Unknown { id } => write!(f, "not a LAN9118: its identity is {id:#010x}"),
            Self::Stuck { register } => write!(f, "the LAN9118 does not answer at register {register:#04x}"),
        }
    }
}

impl core::error::Error for Error {}
