//! Legs: what turns bytes into stream events and stream events into bytes.
//!
//! A leg is one end of one upgraded connection. All legs speak the vocabulary of [`Event`] and are driven
//! alike (see [`Framing`]), so that a bridge can join any two of them.

mod channels;
mod messages;
mod ports;
mod raw;
mod spdy;
mod tunnel;
mod websocket;

use core::fmt;
use core::ops::Range;

pub use self::ports::{MAX_TEXT, PortsLeg, SpdyPorts, Tunnelled, WebSocketPorts};
pub use self::raw::RawLeg;
pub use self::spdy::SpdyLeg;
pub use self::tunnel::TunnelLeg;
pub use self::websocket::WebSocketLeg;

use crate::k8s::{Channel, ChannelSet, TerminalSize};
use crate::spdy::{ConnectionError, RstStatus};
use crate::step::Step;
use crate::ws::{CloseCode, ProtocolError};

/// One end of an upgraded connection, as frames: what every leg is, whatever its channels mean.
///
/// The run loop is the same for every leg:
///
/// 1. [`receive`](Self::receive) until it needs more bytes, acting on each event;
/// 2. write what [`pending`](Self::pending) holds, between two data frames, and tell with
///    [`sent`](Self::sent) how much of it left;
/// 3. read more.
///
/// A leg whose pending control bytes are not written stops receiving before it would have to drop
/// one of them.
pub trait Framing {
    /// Takes bytes from the front of `input`; see [`Step`]. Payload is unmasked where it lies.
    fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, LegError>;

    /// The short way past [`receive`](Self::receive) for payload that has nothing about it but that it goes on: a piece of one of
    /// `channels`, on which the peer sends [bytes](ChannelSet::of_bytes), at the front of `input`, with at least `lead` bytes of
    /// header in front of it. Has done then what `receive` would have done. `None` has done nothing, and says no more than that
    /// `receive` has to be asked.
    fn pass(&mut self, input: &mut [u8], lead: usize, channels: ChannelSet) -> Option<Payload> {
        let _ = (input, lead, channels);
        None
    }

    /// False if answers wait that must be written before more can be received.
    fn can_receive(&self) -> bool;

    /// Header bytes between the front of `input` and the payload that [`receive`](Self::receive) would
    /// report next. `None` if it would report no payload: there is a control frame, or not enough.
    fn lead(&self, input: &[u8]) -> Option<usize>;

    /// Most bytes that [`frame`](Self::frame) writes in front of a payload of up to `len` bytes.
    fn header_max(&self, len: usize) -> usize;

    /// Room that a lane of `len` bytes must keep in front of what it reads, so that any of it can be framed.
    fn headroom(&self, len: usize) -> usize {
        let _ = len;
        0
    }

    /// Makes `buffer[payload]` a data frame of `channel` by writing its header right in front of it, and
    /// returns where the frame starts; `fin` half-closes the channel with it. Where the peer cannot be told
    /// of a half-close, `fin` means nothing, and an empty payload makes no frame: it starts where it ends.
    ///
    /// `None` if the channel cannot take data (it is not open, or its sending half is closed), if there is no
    /// room, or if payload and half-close cannot be one frame (v5, which wants an empty payload with `fin`).
    fn frame(
        &mut self,
        channel: Channel,
        fin: bool,
        buffer: &mut [u8],
        payload: Range<usize>,
    ) -> Option<usize>;

    /// True if this side's half of `channel` can still carry data.
    fn can_send(&self, channel: Channel) -> bool;

    /// True if this side's half of `channel` can be ended while the connection goes on.
    fn can_half_close(&self, channel: Channel) -> bool;

    /// Queues a heartbeat, unless earlier bytes still wait.
    fn ping(&mut self);

    /// Queues the orderly end of the connection. Nothing may be framed after it.
    fn close(&mut self, reason: Close);

    /// Control bytes that wait to be written.
    fn pending(&self) -> &[u8];

    /// The first `count` pending bytes were written.
    fn sent(&mut self, count: usize);
}

/// One end of a connection that carries the channels of an exec or attach session, with its status and its terminal sizes.
pub trait Leg: Framing {
    /// True if the peer is ready to take data: a stream that needs an answer before it may be used has it.
    fn is_ready(&self) -> bool;

    /// True if the server closes the connection when the session's end is told. Over SPDY the client does: old
    /// clients that read a GOAWAY lose the SYN_REPLYs right in front of it.
    fn closes_first(&self) -> bool {
        false
    }

    /// True if a session on this leg begins with an empty message that says that it is accepted.
    fn greets(&self) -> bool {
        false
    }

    /// True if the session's status is JSON and always sent (v4 and newer). Before it was a text, sent on
    /// failure only.
    fn status_is_json(&self) -> bool;

    /// Queues a new terminal size for the peer. Sizes that find no room are dropped: a later one counts more.
    fn resize(&mut self, size: TerminalSize);

    /// Queues the half-close of the channel of sizes, behind the sizes that wait.
    fn end_sizes(&mut self);
}

/// One end of a connection that carries one stream of bytes, on [`Channel::BYTES`].
pub trait ByteStream: Framing {
    /// True if its protocol has a Close, without which the end of the connection is a failure, and heartbeats. Otherwise
    /// the end of a connection's half is the end of one direction.
    fn has_close(&self) -> bool;
}

/// A piece of payload that is taken off the front of the input, with what stands in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Which channel.
    pub channel: Channel,
    /// Where the payload lies. Its end is how much of the input is consumed.
    pub range: Range<usize>,
}

/// What a leg's peer did. Ranges index into the input that was given to [`Framing::receive`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer opened the channel's stream (SPDY server).
    Opened(Channel),
    /// The peer accepted the stream that this end opened (SPDY client).
    Accepted(Channel),
    /// Payload of a channel.
    Data {
        /// Which channel.
        channel: Channel,
        /// Where the payload lies.
        range: Range<usize>,
    },
    /// The peer will send nothing more on this channel; the other direction goes on.
    HalfClosed(Channel),
    /// The peer ended both directions of this channel. Kubernetes ends sessions that way, so it is no
    /// error by itself (`spdy31.md` section 2).
    Reset(Channel, RstStatus),
    /// The peer's terminal has a new size.
    Resize(TerminalSize),
    /// The peer answered a heartbeat.
    Pong,
    /// The session's status is whole, and all output came before it (a WebSocket server, which ends no streams).
    Status,
    /// The peer ends the connection in order (Close, GOAWAY); it sends nothing more.
    End {
        /// It says that all is well: Close 1000, GOAWAY OK.
        clean: bool,
    },
}

/// Why this end closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The session is complete.
    Normal,
    /// This end is shutting down.
    GoingAway,
    /// The peer broke the protocol; the code is what WebSocket peers are told.
    Protocol(CloseCode),
    /// This end, or what is behind it, failed.
    Internal,
}

impl Close {
    /// The code for a WebSocket peer (RFC 6455 section 7.4.1).
    pub const fn code(self) -> CloseCode {
        match self {
            Self::Normal => CloseCode::NORMAL,
            Self::GoingAway => CloseCode::GOING_AWAY,
            Self::Protocol(code) => code,
            Self::Internal => CloseCode::INTERNAL_ERROR,
        }
    }
}

/// The peer of a leg broke its protocol. The connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegError {
    /// WebSocket framing.
    WebSocket(ProtocolError),
    /// SPDY framing or header blocks.
    Spdy(ConnectionError),
    /// A v5 CLOSE message that does not name exactly one channel from 0 to 4 (its length in bytes, and the
    /// first byte behind the 255).
    CloseSignal {
        /// Payload bytes of the message, 255 included.
        len: usize,
        /// The channel it named.
        channel: Option<u8>,
    },
    /// A message of a base64 protocol that is not base64.
    Base64,
    /// A text message where bytes are carried.
    Text,
}

impl LegError {
    /// What the peer has to be told.
    pub fn close(self) -> Close {
        match self {
            Self::WebSocket(error) => Close::Protocol(error.close_code()),
            Self::Spdy(_) | Self::CloseSignal { .. } => Close::Protocol(CloseCode::PROTOCOL_ERROR),
            Self::Base64 => Close::Protocol(CloseCode::INVALID_PAYLOAD),
            Self::Text => Close::Protocol(CloseCode::UNSUPPORTED_DATA),
        }
    }
}

impl fmt::Display for LegError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WebSocket(error) => write!(f, "WebSocket: {error}"),
            Self::Spdy(error) => write!(f, "SPDY: {error}"),
            Self::CloseSignal { len, channel: Some(channel) } => {
                write!(f, "v5 CLOSE message of {len} bytes names channel {channel}")
            }
            Self::Base64 => f.write_str("WebSocket: message is not base64"),
            Self::Text => f.write_str("WebSocket: text message in a tunnel"),
            Self::CloseSignal { len, channel: None } => {
                write!(f, "v5 CLOSE message of {len} bytes names no channel")
            }
        }
    }
}

impl core::error::Error for LegError {}

impl From<ProtocolError> for LegError {
    fn from(error: ProtocolError) -> Self {
        Self::WebSocket(error)
    }
}

impl From<ConnectionError> for LegError {
    fn from(error: ConnectionError) -> Self {
        Self::Spdy(error)
    }
}

#[cfg(test)]
mod pass_tests;
