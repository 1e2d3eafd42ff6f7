//! Channels of a WebSocket message, which are streams on SPDY, and the set of them that a request asks for.
//!
//! | channel | stream type | direction | content |
//! |---|---|---|---|
//! | 0 | `stdin` | client to server | bytes |
//! | 1 | `stdout` | server to client | bytes |
//! | 2 | `stderr` | server to client | bytes; none with a terminal |
//! | 3 | `error` | server to client | [status](super::status) |
//! | 4 | `resize` | client to server | [terminal sizes](super::resize) |
//! | 255 | - | client to server | CLOSE (v5): one byte, the channel to half-close |
//!
//! `websocket-channels.md` section 2, `remotecommand.md` section 1.

use super::subprotocol::Subprotocol;
use core::fmt;

/// The number in front of each WebSocket message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(u8);

impl Channel {
    /// Input of the process.
    pub const STDIN: Self = Self(0);
    /// Output of the process.
    pub const STDOUT: Self = Self(1);
    /// Its output of errors.
    pub const STDERR: Self = Self(2);
    /// How the session ended.
    pub const ERROR: Self = Self(3);
    /// Sizes of the terminal.
    pub const RESIZE: Self = Self(4);
    /// The only channel of a connection that carries one stream of bytes; no message bears its number.
    pub const BYTES: Self = Self(0);
    /// Half-closes another channel (v5).
    pub const CLOSE: Self = Self(255);

    /// The channel of this number.
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The channel of the first byte of a message: a number, or in base64 an ASCII digit.
    pub const fn from_wire(byte: u8, subprotocol: Subprotocol) -> Self {
        Self(if subprotocol.is_base64() { byte.wrapping_sub(b'0') } else { byte })
    }

    /// The first byte of its messages.
    pub const fn to_wire(self, subprotocol: Subprotocol) -> u8 {
        if subprotocol.is_base64() { self.0.wrapping_add(b'0') } else { self.0 }
    }

    /// A name for logs.
    pub const fn name(self) -> &'static str {
        match (self, self.stream_type()) {
            (_, Some(name)) => name,
            (Self::CLOSE, None) => "close",
            _ => "unknown",
        }
    }

    /// True for the five channels of exec and attach.
    pub const fn is_remote_command(self) -> bool {
        self.0 <= Self::RESIZE.0
    }

    /// Value of the header `streamtype` of this channel's SPDY stream.
    pub const fn stream_type(self) -> Option<&'static str> {
        match self {
            Self::STDIN => Some("stdin"),
            Self::STDOUT => Some("stdout"),
            Self::STDERR => Some("stderr"),
            Self::ERROR => Some("error"),
            Self::RESIZE => Some("resize"),
            _ => None,
        }
    }

    /// The channel of an SPDY stream with this `streamtype`, in lower case as it must be sent.
    pub fn from_stream_type(value: &[u8]) -> Option<Self> {
        (Self::STDIN.0..=Self::RESIZE.0)
            .map(Self)
            .find(|channel| channel.stream_type().is_some_and(|name| name.as_bytes() == value))
    }

    /// The payload of the message that half-closes this channel (v5).
    pub const fn close_message(self) -> [u8; 2] {
        [Self::CLOSE.0, self.0]
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of the channels of a RemoteCommand session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ChannelSet(u8);

impl ChannelSet {
    /// Adds a channel; one that no RemoteCommand session has is left out.
    pub fn insert(&mut self, channel: Channel) {
        self.0 |= Self::bit(channel);
    }

    /// Takes a channel out.
    pub fn remove(&mut self, channel: Channel) {
        self.0 &= !Self::bit(channel);
    }

    /// True if the channel is in the set.
    pub fn contains(self, channel: Channel) -> bool {
        self.0 & Self::bit(channel) != 0
    }

    /// True if there is no channel in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True if the set has no channel but this one, or none at all.
    pub fn is_only(self, channel: Channel) -> bool {
        self.0 & !Self::bit(channel) == 0
    }

    /// Those of the set that a client sends on.
    #[must_use]
    pub(crate) const fn of_inputs(self) -> Self {
        Self(self.0 & (1 << Channel::STDIN.0 | 1 << Channel::RESIZE.0))
    }

    /// Those of the set that a client receives on.
    #[must_use]
    pub(crate) const fn of_outputs(self) -> Self {
        Self(self.0 & (1 << Channel::ERROR.0 | 1 << Channel::STDOUT.0 | 1 << Channel::STDERR.0))
    }

    /// Those of the set that carry bytes of the process.
    #[must_use]
    pub const fn of_bytes(self) -> Self {
        Self(self.0 & (1 << Channel::STDIN.0 | 1 << Channel::STDOUT.0 | 1 << Channel::STDERR.0))
    }

    fn bit(channel: Channel) -> u8 {
        if channel.is_remote_command() { 1 << channel.number() } else { 0 }
    }
}

impl FromIterator<Channel> for ChannelSet {
    fn from_iter<I: IntoIterator<Item = Channel>>(channels: I) -> Self {
        let mut set = Self::default();
        for channel in channels {
            set.insert(channel);
        }
        set
    }
}

/// The streams that a request asks for.
///
/// With a terminal there is no stderr stream, whatever `stderr` says: the process writes both to stdout
/// (`remotecommand.md` section 4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "four independent flags of the request")]
pub struct StreamSet {
    /// The client sends input.
    pub stdin: bool,
    /// The client takes output.
    pub stdout: bool,
    /// The client takes the output of errors.
    pub stderr: bool,
    /// The process gets a terminal.
    pub tty: bool,
}

impl StreamSet {
    /// The same without stderr if there is a terminal, as a kubelet takes it.
    #[must_use]
    pub const fn without_stderr_of_tty(self) -> Self {
        Self { stderr: self.stderr && !self.tty, ..self }
    }

    /// True if there is a stream for the process at all: stdin, stdout, or stderr without a terminal.
    pub const fn is_any(self) -> bool {
        self.stdin || self.stdout || (self.stderr && !self.tty)
    }

    /// The SPDY streams of the session, in the order in which a client opens them.
    pub fn channels(self, subprotocol: Subprotocol) -> impl Iterator<Item = Channel> + Clone {
        const IN_ORDER: &[Channel] =
            &[Channel::ERROR, Channel::STDIN, Channel::STDOUT, Channel::STDERR, Channel::RESIZE];
        let set = self.channel_set(subprotocol);
        IN_ORDER.iter().copied().filter(move |&channel| set.contains(channel))
    }

    /// The same as a set.
    pub(crate) const fn channel_set(self, subprotocol: Subprotocol) -> ChannelSet {
        let resize = self.tty && subprotocol.has_resize_on_spdy();
        ChannelSet(
            1 << Channel::ERROR.0
                | (self.stdin as u8) << Channel::STDIN.0
                | (self.stdout as u8) << Channel::STDOUT.0
                | ((self.stderr && !self.tty) as u8) << Channel::STDERR.0
                | (resize as u8) << Channel::RESIZE.0,
        )
    }

    /// How many SPDY streams a server waits for before it starts the command.
    pub fn expected_streams(self, subprotocol: Subprotocol) -> usize {
        self.channels(subprotocol).count()
    }

    /// The channel of the empty message with which a WebSocket server says that it is ready: the lowest that it
    /// writes to (`websocket-channels.md` section 3).
    pub const fn ready_channel(self) -> Channel {
        match self {
            Self { stdout: true, .. } => Channel::STDOUT,
            Self { stderr: true, tty: false, .. } => Channel::STDERR,
            _ => Channel::ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const ALL: StreamSet = StreamSet { stdin: true, stdout: true, stderr: true, tty: false };

    fn opened(streams: StreamSet, subprotocol: Subprotocol) -> Vec<&'static str> {
        streams.channels(subprotocol).map(Channel::name).collect()
    }

    #[test]
    fn stream_types_lead_back_to_their_channel_in_lower_case_only() {
        let names: Vec<_> = (0..=255).filter_map(|number| Channel::new(number).stream_type()).collect();
        assert_eq!(names, ["stdin", "stdout", "stderr", "error", "resize"]);
        for (number, name) in (0..).zip(names) {
            assert_eq!(Channel::from_stream_type(name.as_bytes()), Some(Channel::new(number)));
        }
        for bad in [&b"Stdin"[..], b"STDOUT", b"stdin ", b"", b"close", b"data"] {
            assert_eq!(Channel::from_stream_type(bad), None);
        }
        assert_eq!((Channel::CLOSE.name(), Channel::new(5).name()), ("close", "unknown"));
    }

    #[test]
    fn only_the_first_five_channels_belong_to_exec() {
        let known: Vec<_> = (0..=255).filter(|&number| Channel::new(number).is_remote_command()).collect();
        assert_eq!(known, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_client_sends_on_two_channels_and_receives_on_three_and_three_carry_bytes() {
        let numbers = |set: ChannelSet| -> Vec<u8> {
            (0..=255).filter(|&number| set.contains(Channel::new(number))).collect()
        };
        let all: ChannelSet = (0..=255).map(Channel::new).collect();
        assert_eq!(numbers(all), [0, 1, 2, 3, 4]);
        assert_eq!(numbers(all.of_inputs()), [0, 4]);
        assert_eq!(numbers(all.of_outputs()), [1, 2, 3]);
        assert_eq!(numbers(all.of_bytes()), [0, 1, 2]);
        let none = ChannelSet::default();
        assert!([none.of_inputs(), none.of_outputs(), none.of_bytes()].iter().all(|set| set.is_empty()));
    }

    #[test]
    fn base64_channels_are_digits() {
        assert_eq!(Channel::STDOUT.to_wire(Subprotocol::V4Base64), b'1');
        assert_eq!(Channel::STDOUT.to_wire(Subprotocol::V5), 1);
        for byte in 0..=255 {
            for subprotocol in [Subprotocol::V1Base64, Subprotocol::V4] {
                assert_eq!(Channel::from_wire(byte, subprotocol).to_wire(subprotocol), byte);
            }
        }
    }

    #[test]
    fn streams_open_in_the_order_of_the_go_client() {
        assert_eq!(opened(ALL, Subprotocol::V4), ["error", "stdin", "stdout", "stderr"]);
        let output = StreamSet { stdin: false, ..ALL };
        assert_eq!(opened(output, Subprotocol::V1), ["error", "stdout", "stderr"]);
        assert_eq!(opened(StreamSet::default(), Subprotocol::V4), ["error"]);
    }

    #[test]
    fn a_terminal_drops_stderr_and_adds_resize_from_v3_on() {
        let tty = StreamSet { tty: true, ..ALL };
        for subprotocol in [Subprotocol::V3, Subprotocol::V4, Subprotocol::V5] {
            assert_eq!(opened(tty, subprotocol), ["error", "stdin", "stdout", "resize"]);
            assert_eq!(tty.expected_streams(subprotocol), 4);
        }
        for subprotocol in [Subprotocol::V1, Subprotocol::V2] {
            assert_eq!(tty.expected_streams(subprotocol), 3);
        }
        assert_eq!(tty.without_stderr_of_tty(), StreamSet { stderr: false, ..tty });
        assert_eq!(ALL.without_stderr_of_tty(), ALL);
    }

    #[test]
    fn the_lowest_channel_that_is_written_says_ready() {
        assert_eq!(ALL.ready_channel(), Channel::STDOUT);
        let stderr = StreamSet { stdout: false, ..ALL };
        assert_eq!(stderr.ready_channel(), Channel::STDERR);
        assert_eq!(StreamSet { tty: true, ..stderr }.ready_channel(), Channel::ERROR);
        assert_eq!(StreamSet { stderr: false, ..stderr }.ready_channel(), Channel::ERROR);
    }

    #[test]
    fn a_close_message_names_its_channel() {
        assert_eq!(Channel::STDIN.close_message(), [255, 0]);
        assert_eq!(Channel::RESIZE.close_message(), [255, 4]);
    }
}
