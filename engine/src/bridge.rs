//! Bridges: what joins two legs.
//!
//! A driver knows a [`Bridge`], whatever it joins:
//!
//! | bridge | joins |
//! |---|---|
//! | [`ExecBridge`] | the channels of an exec or attach session, whatever carries them |
//! | [`TunnelBridge`] | the two ends of a tunnel: a WebSocket and the SPDY connection in it |
//! | [`PortsBridge`] | a legacy port-forward over WebSocket and the pairs of streams of a SPDY one |

mod exec;
mod hangup;
mod joint;
mod lane;
mod liveness;
mod outcome;
mod ports;
mod relief;
mod status;
mod tunnel;
mod turn;

use core::time::Duration;

pub use self::exec::ExecBridge;
pub use self::hangup::{Hangup, Peer, Seen};
pub use self::lane::{HEADROOM, Lane, Memory, SMALL};
pub use self::outcome::{Carried, Flow, Outcome};
pub use self::ports::PortsBridge;
pub use self::relief::Relief;
pub use self::tunnel::TunnelBridge;
pub use self::turn::Turn;

use crate::time::{Instant, Millis};

/// How long a connection that outlived its session is kept for its last bytes once the other one is lost.
const CANCEL: Millis = Millis::of(Duration::from_secs(1));

/// Two connections that are joined: what a driver does with them is the same for every pair of legs.
///
/// The bridge owns both legs and no I/O. Its driver owns two sockets, one [`Lane`] a direction and
/// the clock, and does this until [`is_finished`](Self::is_finished) and all output is written:
///
/// 1. [`translate`](Self::translate) what was read from upstream, **then** what was read from the client: what
///    upstream says may set free what the client has sent;
/// 2. for each side, write its [`output`](Self::output) and tell how much of it was [`written`](Self::written); shut
///    its sending half down when all is written and [`shutdown_due`](Self::shutdown_due);
/// 3. for each side whose translation did not ask for a write, read; tell [`eof`](Self::eof) or
///    [`lost`](Self::lost);
/// 4. begin again if a byte was moved or something was told; otherwise sleep until a socket is ready or the
///    [`deadline`](Self::deadline) has passed, and tell the [`time`](Self::time).
///
/// A bridge begins with its client's connection alone: first comes [`greet`](Self::greet), and then
/// [`connected`](Self::connected) or [`refused`](Self::refused), at once where upstream was asked before.
pub trait Bridge {
    /// The leg of upstream's connection.
    type Upstream;

    /// An empty lane over `memory` for what goes to `side`, with the room in front that its leg wants.
    fn lane_to<B: Memory, const S: usize>(&self, side: Side, memory: B) -> Lane<B, S> {
        let _ = side;
        Lane::new(memory)
    }

    /// Says what a client gets before anything else. Call it first, with the empty lane that carries what is for the
    /// client.
    fn greet<B: Memory, const S: usize>(&mut self, lane: &mut Lane<B, S>);

    /// Upstream has answered the upgrade. If the session has [ended](Self::outcome) meanwhile, `upstream` is dropped:
    /// its connection is not needed any more.
    fn connected(&mut self, upstream: Self::Upstream, now: Instant);

    /// Upstream cannot be reached, or refused: the client is told as far as its protocol can. `status` is a JSON Status of
    /// a failure; `lane` is the one that carries what is for the client.
    fn refused<B: Memory, const S: usize>(&mut self, status: &[u8], lane: &mut Lane<B, S>);

    /// Translates the bytes that came from `from`, which lie in `lane`'s input.
    fn translate<B: Memory, const S: usize>(
        &mut self,
        from: Side,
        lane: &mut Lane<B, S>,
        now: Instant,
    ) -> Flow;

    /// What has to be written to `side` next, in order: the output of `lane`, which carries what is for `side`,
    /// and the control bytes of its leg. Control bytes come between data frames, and last, so that
    /// a Close or a GOAWAY follows all output.
    fn output<'a, B: Memory, const S: usize>(
        &'a self,
        side: Side,
        lane: &'a Lane<B, S>,
    ) -> impl Iterator<Item = &'a [u8]>;

    /// The first `count` bytes of [`output`](Self::output) were written.
    fn written<B: Memory, const S: usize>(&mut self, side: Side, lane: &mut Lane<B, S>, count: usize);

    /// Forgets what is to be written to `side`, which is [no longer writable](Self::is_writable).
    fn discard_output<B: Memory, const S: usize>(&mut self, side: Side, lane: &mut Lane<B, S>);

    /// True if there is something to write to `side`.
    fn has_output<B: Memory, const S: usize>(&self, side: Side, lane: &Lane<B, S>) -> bool;

    /// The peer of `side` ended its sending half, and everything that it sent is translated.
    fn eof(&mut self, side: Side, now: Instant);

    /// The connection of `side` is gone: nothing can be read from it or written to it.
    ///
    /// If only writing failed, tell [`write_failed`](Self::write_failed) instead.
    fn lost(&mut self, side: Side, now: Instant);

    /// Writing to `side` failed. What upstream has sent is still read, until [`eof`](Self::eof) or
    /// [`lost`](Self::lost): it may have closed its connection behind its last word, while input was on its way.
    fn write_failed(&mut self, side: Side, now: Instant);

    /// True if `side` can be written to.
    fn is_writable(&self, side: Side) -> bool;

    /// True if nothing will be written to `side` beyond what is pending: its sending half may be shut
    /// down. A WebSocket client is given the time to answer the Close first (RFC 6455 section 7.1.1).
    fn shutdown_due(&self, side: Side) -> bool;

    /// True if both connections are done with and may be dropped.
    fn is_finished(&self) -> bool;

    /// Payload that was passed on so far.
    fn carried(&self) -> Carried;

    /// How long the peer of `side` took to answer the last heartbeat that it answered, in whole milliseconds.
    fn round_trip(&self, side: Side) -> Option<Duration>;

    /// How the session ended, once it has.
    fn outcome(&self) -> Option<Outcome>;

    /// When [`time`](Self::time) has to be called.
    fn deadline(&self) -> Option<Instant>;

    /// Acts on a deadline that has passed.
    fn time(&mut self, now: Instant);

    /// True if upstream's connection may be dropped although the session is not finished: nothing that comes from it counts, and
    /// nothing can be written to it.
    fn is_done_with_upstream(&self) -> bool {
        false
    }

    /// Asks the client for a sign of life at once, out of turn: one that is gone answers with a reset of its connection. A
    /// protocol without heartbeats leaves it at that.
    fn ask_client(&mut self) {}

    /// Ends the session because this end shuts down, which the client is told.
    fn shut_down(&mut self);
}

/// One of a bridge's two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The connection that was accepted.
    Client,
    /// The connection that was dialled.
    Upstream,
}

impl Side {
    /// The other connection.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

/// What a bridge knows of one of its connections.
#[derive(Debug, Clone, Copy, Default)]
struct SideState {
    /// The peer sends nothing more.
    ended: bool,
    /// The connection is gone, in both directions.
    lost: bool,
    turn: Turn,
}

impl SideState {
    const GONE: Self = Self { ended: true, lost: true, turn: Turn::new() };
}

#[cfg(test)]
mod testbed;
