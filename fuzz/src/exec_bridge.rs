//! A session as a sequence of acts, one or more bytes each: the low half of the first byte says what, the high
//! half how, and arguments follow (little-endian).
//!
//! | low half | act | high half | arguments |
//! |---|---|---|---|
//! | 0 | the client sends input | 1 unfinished, 2 text, 4 thrice the length | length u16 |
//! | 1 | the client sends a terminal size | - | columns u16, rows u16 |
//! | 2 | the client sends on another channel | - | channel, length u8 |
//! | 3 | the client sends a ping, or (1) a pong | 1 | length u8 |
//! | 4 | the client half-closes a channel | channel | - |
//! | 5 | the client sends a Close | 1 without a code | - |
//! | 6 | the client sends what follows, as it is | - | length u8, bytes |
//! | 7 | upstream accepts the stream of a channel; 5: all | channel | - |
//! | 8 | upstream sends output | 1 stderr, 2 with FIN, 4 thrice the length | length u16 |
//! | 9 | upstream sends a status | which, 8 with FIN | - |
//! | 10 | upstream resets the stream of a channel | channel | - |
//! | 11 | upstream sends PING, SETTINGS, `WINDOW_UPDATE`, GOAWAY | which | - |
//! | 12 | upstream sends what follows, as it is | - | length u8, bytes |
//! | 13 | the driver translates, reads, writes, or (3) runs until nothing moves | which, 8 client | count u16 |
//! | 14 | an end of a connection, a dial, a shutdown: see `Session::happen` | which, 8 client | - |
//! | 15 | time passes | - | milliseconds u16 |
//!
//! What a peer sends waits until the driver reads it. When the acts are over, all of it is delivered and the
//! session is brought to its end.

mod client;
mod session;
mod upstream;

use strait::bridge::Outcome;
use strait::k8s::StreamSet;

use self::session::Session;

/// A session of an exec bridge between a WebSocket client and a SPDY upstream.
///
/// # Panics
/// If a byte is lost, repeated or misplaced, if a peer gets what breaks its protocol, if the session does not
/// come to rest or does not end, or if the bridge asks for what cannot help.
pub fn exec_bridge(data: &[u8]) {
    play(data);
}

/// What came of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Before the session was brought to its end, if it had not ended by itself.
    pub outcome: Option<Outcome>,
    /// Bytes of input that upstream got.
    pub input: usize,
    /// Bytes of stdout and stderr that the client got.
    pub output: usize,
    /// The status that the client got.
    pub status: Option<Vec<u8>>,
}

/// Like [`exec_bridge`]; tells how far the session came. `None` if there are not even streams.
///
/// # Panics
/// As [`exec_bridge`].
pub fn play(data: &[u8]) -> Option<Report> {
    let &[streams, memory, ref script @ ..] = data else { return None };
    let set = StreamSet {
        stdin: streams & 1 != 0,
        stdout: streams & 2 != 0,
        stderr: streams & 4 != 0,
        tty: streams & 8 != 0,
    };
    if !set.is_any() {
        return None;
    }
    let script = Script(script);
    Some(match memory % 4 {
        0 => Session::<64>::new(set, 64 * 1024).run(script),
        1 => Session::<64>::new(set, 256).run(script),
        2 => Session::<2>::new(set, 600).run(script),
        _ => Session::<4>::new(set, 4096).run(script),
    })
}

/// The bytes that say what happens; zeros behind their end.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// The low and the high half of the next byte, unless the script is over.
    fn act(&mut self) -> Option<(u8, u8)> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some((first & 15, first >> 4))
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn number(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

/// A byte of the payload of a channel, by its place: no two neighbours are alike.
fn payload(channel: u8, range: std::ops::Range<usize>) -> impl Iterator<Item = u8> {
    range.map(move |place| {
        let place = place as u32;
        (place ^ place >> 8).wrapping_mul(37) as u8 ^ channel.wrapping_mul(0x55)
    })
}

/// Payload of one channel on its way: how much must arrive, and how much has.
#[derive(Debug, Default, Clone, Copy)]
struct Flow {
    sent: usize,
    received: usize,
}

impl Flow {
    /// Checks a piece that arrived. `more` allows for more than was sent: the peer has sent raw bytes too.
    fn arrive(&mut self, channel: u8, piece: &[u8], more: bool) {
        let end = self.received + piece.len();
        let known = self.sent.min(end).saturating_sub(self.received);
        assert!(more || end <= self.sent, "channel {channel}: {end} bytes of {} arrive", self.sent);
        let expected = payload(channel, self.received..self.received + known);
        assert!(piece[..known].iter().copied().eq(expected), "channel {channel}: wrong bytes");
        self.received = end;
    }

    fn is_complete(self) -> bool {
        self.received >= self.sent
    }
}

/// What a peer sends, and how far the driver has read it.
#[derive(Debug, Default)]
struct Wire {
    bytes: Vec<u8>,
    read: usize,
    /// The peer ends its half behind that.
    ends: bool,
    /// The bridge was told.
    eof: bool,
    /// The connection is gone.
    lost: bool,
}

impl Wire {
    /// Sends, unless the peer has ended its half.
    fn send(&mut self, bytes: &[u8]) {
        if !self.ends {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn waiting(&self) -> &[u8] {
        &self.bytes[self.read..]
    }

    /// Bounds what one script can make a peer send.
    fn allows(&self, len: usize) -> usize {
        if self.bytes.len() < 1 << 20 { len } else { len % 64 }
    }
}
