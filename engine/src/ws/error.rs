use super::{CloseCode, InvalidUtf8, Opcode};
use core::fmt;

/// How a peer broke RFC 6455, or a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// A reserved bit is set in this first byte of a frame, though no extension was agreed on (section 5.2).
    ReservedBits(u8),
    /// This opcode is reserved (section 5.2).
    UnknownOpcode(u8),
    /// This control frame has no FIN (section 5.5).
    FragmentedControl(Opcode),
    /// This control frame has more than 125 bytes of payload (section 5.5).
    LongControl(Opcode),
    /// This length was written in more bytes than it needs (section 5.2).
    LengthNotMinimal(u64),
    /// This length is 2^63 or more (section 5.2).
    LengthTopBit(u64),
    /// A client's frame is not masked (section 5.1).
    Unmasked,
    /// A server's frame is masked (section 5.1).
    Masked,
    /// A continuation frame came though no message was begun (section 5.4).
    UnexpectedContinuation,
    /// This new message came before the one before it had ended (section 5.4).
    UnfinishedMessage(Opcode),
    /// A Close frame has one byte of payload, half a code (section 5.5.1).
    HalfCloseCode,
    /// A Close frame has a code that may not be sent (section 7.4).
    InvalidCloseCode(CloseCode),
    /// A text message or the reason of a Close frame is not UTF-8 (section 8.1).
    InvalidUtf8 {
        /// First byte of what should have been a character.
        lead: u8,
    },
    /// Limit: a frame announces this many bytes of payload, more than
    /// [`Limits::ws_frame_bytes`](crate::Limits::ws_frame_bytes).
    FrameTooLarge(u64),
}

impl ProtocolError {
    /// The code of the Close frame that answers this error.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::FrameTooLarge(_) => CloseCode::TOO_BIG,
            Self::InvalidUtf8 { .. } => CloseCode::INVALID_PAYLOAD,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl From<InvalidUtf8> for ProtocolError {
    fn from(InvalidUtf8 { lead }: InvalidUtf8) -> Self {
        Self::InvalidUtf8 { lead }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits(first) => {
                write!(f, "reserved bits set in first byte 0x{first:02x} of a frame")
            }
            Self::UnknownOpcode(opcode) => write!(f, "reserved opcode {opcode}"),
            Self::FragmentedControl(opcode) => write!(f, "{opcode:?} frame without FIN"),
            Self::LongControl(opcode) => write!(f, "{opcode:?} frame with more than 125 bytes of payload"),
            Self::LengthNotMinimal(len) => write!(f, "frame length {len} written in too many bytes"),
            Self::LengthTopBit(len) => write!(f, "frame length 0x{len:x} is 2^63 or more"),
            Self::Unmasked => f.write_str("frame from a client is not masked"),
            Self::Masked => f.write_str("frame from a server is masked"),
            Self::UnexpectedContinuation => f.write_str("continuation frame outside of a message"),
            Self::UnfinishedMessage(opcode) => write!(f, "{opcode:?} frame inside an unfinished message"),
            Self::HalfCloseCode => f.write_str("Close frame with one byte of payload"),
            Self::InvalidCloseCode(code) => write!(f, "Close frame with code {code}, which may not be sent"),
            Self::InvalidUtf8 { lead } => InvalidUtf8 { lead: *lead }.fmt(f),
            Self::FrameTooLarge(len) => write!(f, "frame of {len} bytes is larger than allowed"),
        }
    }
}

impl core::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    /// Covers: RFC6455-7.4.1-2, RFC6455-8.1-1
    #[test]
    fn the_close_code_names_the_kind_of_fault() {
        assert_eq!(ProtocolError::FrameTooLarge(1).close_code(), CloseCode::TOO_BIG);
        assert_eq!(ProtocolError::InvalidUtf8 { lead: 0xff }.close_code(), CloseCode::INVALID_PAYLOAD);
        assert_eq!(ProtocolError::Unmasked.close_code(), CloseCode::PROTOCOL_ERROR);
    }

    #[test]
    fn messages_name_the_value() {
        assert_eq!(ProtocolError::InvalidCloseCode(CloseCode(1005)).to_string().matches("1005").count(), 1);
        assert_eq!(ProtocolError::LongControl(Opcode::Ping).to_string().matches("Ping").count(), 1);
        assert_eq!(
            ProtocolError::InvalidUtf8 { lead: 0xf4 }.to_string(),
            "text is not UTF-8 from byte 0xf4 on"
        );
    }
}
