use core::time::Duration;

/// Every bound that the engine sets to what a peer may send, in one value.
///
/// [`Limits::HOST`] suits a server, [`Limits::MICROCONTROLLER`] a machine with some hundred kilobytes
/// of memory. Capacities of tables and buffers are const generics and not found here. Times of a session are kept in whole
/// milliseconds, rounded down, of which 49 days is the most: what is longer ends then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one HTTP head, from the first byte of the start line to the blank line. Bounds the
    /// buffer that a slow or endless head can hold (answer: 431).
    pub head_bytes: usize,
    /// Payload bytes of one WebSocket frame. Frames are streamed, so this bounds no memory: it bounds
    /// how long one frame can keep control frames from being seen (answer: close 1009).
    pub ws_frame_bytes: u64,
    /// Compressed bytes of one SPDY header block. Bounds the work of a header bomb.
    pub spdy_block_bytes: usize,
    /// Headers in one SPDY header block (upstream allows 1,000 since CVE-2026-35469).
    pub spdy_headers: usize,
    /// Time from accepting a connection to the end of its upgrade. Bounds slow heads (answer: 408).
    pub handshake: Duration,
    /// Time for the full set of streams of a session to be opened and accepted
    /// (`remotecommand.md` section 1: 30 s upstream).
    pub stream_creation: Duration,
    /// Time for a peer to finish a close that was begun, without any progress. Long, because what its kernel
    /// holds may be the end of an output that is read slowly.
    pub close: Duration,
    /// Time between two heartbeats on each connection of a session; zero sends none.
    pub ping_interval: Duration,
    /// Time without any byte from a peer after which it is taken for dead; zero waits for TCP. It runs only
    /// while nothing but heartbeats was sent to the peer: one that has data to deal with may be slow.
    pub peer_timeout: Duration,
    /// Time without data in either direction after which a session is ended; zero never ends it. Heartbeats do not
    /// count (4 h upstream, where they do).
    pub idle: Duration,
    /// Connections that one port-forward may have open at a time. Bounds the streams of a session (answer: `RST_STREAM` with
    /// `REFUSED_STREAM`).
    pub pairs: usize,
    /// Bytes of one forwarded connection that may wait for its reader. SPDY has no flow control here: when they are more,
    /// little is read of the whole session until the reader goes on.
    pub stream_buffer: usize,
    /// Bytes of all connections of one port-forward that may wait for their readers. When they are more, nothing is read.
    pub session_buffer: usize,
    /// Time without any progress after which a reader that the other connections of its port-forward wait for is taken for stopped, and its
    /// connection is reset.
    pub stall: Duration,
}

impl Limits {
    /// For servers with an operating system.
    pub const HOST: Self = Self {
        head_bytes: 512 * 1024,
        ws_frame_bytes: 32 * 1024 * 1024,
        spdy_block_bytes: 64 * 1024,
        spdy_headers: 64,
        handshake: Duration::from_secs(30),
        stream_creation: Duration::from_secs(30),
        close: Duration::from_mins(1),
        ping_interval: Duration::from_secs(5),
        peer_timeout: Duration::from_secs(30),
        idle: Duration::from_hours(4),
        pairs: 512,
        stream_buffer: 4 * 1024 * 1024,
        session_buffer: 64 * 1024 * 1024,
        stall: Duration::from_secs(10),
    };

    /// For microcontrollers: the same times, smaller heads and header blocks.
    pub const MICROCONTROLLER: Self = Self {
        head_bytes: 2 * 1024,
        spdy_block_bytes: 1024,
        spdy_headers: 16,
        pairs: 4,
        stream_buffer: 4 * 1024,
        session_buffer: 16 * 1024,
        ..Self::HOST
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::HOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a peer may rely on: less would end sessions that are served today.
    #[test]
    fn a_peer_may_send_so_much_and_less_to_a_microcontroller() {
        let sizes = |limits: Limits| {
            [limits.head_bytes, limits.spdy_block_bytes, limits.stream_buffer, limits.session_buffer]
        };
        assert_eq!(sizes(Limits::default()), [524_288, 65_536, 4_194_304, 67_108_864]);
        assert_eq!(sizes(Limits::MICROCONTROLLER), [2048, 1024, 4096, 16_384]);
        let counts = |limits: Limits| [limits.spdy_headers, limits.pairs];
        assert_eq!(counts(Limits::HOST), [64, 512]);
        assert_eq!(counts(Limits::MICROCONTROLLER), [16, 4]);
        for limits in [Limits::HOST, Limits::MICROCONTROLLER] {
            assert_eq!(limits.ws_frame_bytes, 33_554_432);
        }
    }
}
