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
//! | 14 | an end of a connection, a dial, a shutdown: see `Rig::happen` | which, 8 client | - |
//! | 15 | time passes | - | milliseconds u16 |
//!
//! What a peer sends waits until the driver reads it. When the acts are over, all of it is delivered and the
//! session is brought to its end.

mod client;
mod session;
mod upstream;

use strait::bridge::Outcome;

use self::session::Session;
use crate::script::{Script, streams};

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
    let &[asked, memory, ref script @ ..] = data else { return None };
    let set = streams(asked)?;
    let script = Script(script);
    Some(match memory % 4 {
        0 => Session::<64>::new(set, 64 * 1024).run(script),
        1 => Session::<64>::new(set, 256).run(script),
        2 => Session::<2>::new(set, 600).run(script),
        _ => Session::<4>::new(set, 4096).run(script),
    })
}
