use core::fmt;

use super::frame::{GoawayStatus, StreamId};
use super::header_block::HeaderBlockError;

/// A peer broke the protocol or a limit, and no frame behind this one can be read.
///
/// Upstream then closes TCP without a word; the answer of the draft is a GOAWAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionError {
    /// Offset in the connection, from 0, of the frame that was wrong.
    pub frame: u64,
    /// What was wrong with it.
    pub error: FrameError,
}

impl ConnectionError {
    /// The status of the GOAWAY that answers it.
    pub const fn goaway_status(&self) -> GoawayStatus {
        GoawayStatus::PROTOCOL_ERROR
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SPDY frame at byte {}: {}", self.frame, self.error)
    }
}

impl core::error::Error for ConnectionError {}

/// What is wrong with a received frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// Stream id 0, or one with more than 31 bits (for which upstream has no use either).
    StreamId {
        /// The stream id field.
        id: u32,
    },
    /// A control frame whose length is not that of its type.
    Length {
        /// The type field.
        kind: u16,
        /// The length field.
        length: u32,
    },
    /// A control frame with flags although its type has none.
    Flags {
        /// The type field.
        kind: u16,
        /// The flags field.
        flags: u8,
    },
    /// An `RST_STREAM` without a status.
    RstStatusZero {
        /// Which stream.
        stream: StreamId,
    },
    /// A PING without an id.
    PingIdZero,
    /// A SETTINGS frame that announces more entries than it has room for.
    SettingsCount {
        /// Announced entries.
        count: u32,
        /// The length field.
        length: u32,
    },
    /// A frame whose header block cannot be read.
    HeaderBlock(HeaderBlockError),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::StreamId { id } => write!(f, "{id} is no stream id"),
            Self::Length { kind, length } => {
                write!(f, "length {length} is wrong for control frame type {kind}")
            }
            Self::Flags { kind, flags } => write!(f, "control frame type {kind} has no flags {flags:#04x}"),
            Self::RstStatusZero { stream } => write!(f, "RST_STREAM of stream {stream} with status 0"),
            Self::PingIdZero => f.write_str("PING with id 0"),
            Self::SettingsCount { count, length } => {
                write!(f, "SETTINGS announces {count} entries in {length} bytes")
            }
            Self::HeaderBlock(error) => write!(f, "header block: {error}"),
        }
    }
}

impl core::error::Error for FrameError {}
