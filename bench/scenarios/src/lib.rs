//! The lab's one list of traffic, as data: what is carried, by which legs, which way, by how many sessions, and what goes wrong.
//!
//! Times and instruction counts of the engine, the load rig that drives whole translators, and the image for a
//! microcontroller take [`SCENARIOS`] from here, so that their figures are about the same thing. Each takes those that
//! it can run and [finds](Scenario::find) them by name.
//!
//! A benchmark is also a test: [`fill`] makes payload that is nowhere the same, and [`Checksum`] tells whether it has arrived.
#![no_std]

mod list;
mod payload;

pub use list::SCENARIOS;
pub use payload::{Checksum, fill};

/// Traffic of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// Names the scenario in results; unique.
    pub name: &'static str,
    /// What the client speaks.
    pub client: Leg,
    /// What upstream is spoken to.
    pub upstream: Leg,
    /// Which way payload goes.
    pub direction: Direction,
    /// When a frame is sent.
    pub pace: Pace,
    /// Payload bytes of the frames, in turn; empty where none are sent.
    pub sizes: &'static [usize],
    /// Frames of one run, in each direction and of each session. A rig that measures for some time repeats the run.
    pub frames: usize,
    /// How many sessions, and when.
    pub sessions: Sessions,
    /// Forwarded TCP connections of a session, which take the frames in turn; 0 for exec.
    pub pairs: usize,
    /// What goes wrong.
    pub faults: &'static [Fault],
}

/// How a peer's stream is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// `v5.channel.k8s.io`: a channel byte and data in WebSocket messages. stdin, stdout and the status.
    WebSocket,
    /// `v4.channel.k8s.io` in SPDY/3.1 streams; for a port-forward, a pair of streams for each connection.
    Spdy,
    /// SPDY/3.1 in WebSocket messages (`SPDY/3.1+portforward.k8s.io`).
    Tunnel,
    /// The legacy port-forward in WebSocket channels, two for each port.
    Ports,
}

/// Which way payload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client: stdin.
    ToUpstream,
    /// To the client: stdout.
    ToClient,
    /// Both at the same time.
    Both,
    /// Each frame from the client comes back before the next one is sent.
    Echo,
}

/// When a frame is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As soon as there is room for it, so a read brings as many as there are.
    Bulk,
    /// When the one before has been taken, so a read brings one.
    Alone,
}

/// How many sessions, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// So many at the same time, open before anything is measured.
    Open(usize),
    /// So many one after the other; setting up and ending them is what is measured.
    InTurn(usize),
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A read brings this many bytes at most, wherever frames end: a TCP segment that travels alone.
    Pieces(usize),
    /// The client's connection is reset where the session would have ended: behind what it has received, or in the middle of the
    /// last frame that it sends.
    ClientLost,
    /// Upstream's connection is reset in the middle of the last frame that it sends.
    UpstreamLost,
    /// Whoever receives reads nothing for this long behind so many bytes, again and again.
    Stalls {
        /// Bytes between two stalls.
        every: usize,
        /// How long one is.
        milliseconds: u64,
    },
    /// A round trip to one of the two ends takes so many milliseconds.
    Far(u64),
}

impl Scenario {
    /// The scenario of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// Payload bytes of the frames of one run, in their order.
    pub fn frame_sizes(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        self.sizes.iter().copied().cycle().take(self.frames)
    }

    /// Bytes that one read brings at most.
    pub fn read_limit(&self) -> usize {
        let limits = self.faults.iter().map(|fault| match *fault {
            Fault::Pieces(bytes) => bytes,
            Fault::ClientLost | Fault::UpstreamLost | Fault::Stalls { .. } | Fault::Far(_) => usize::MAX,
        });
        limits.min().unwrap_or(usize::MAX)
    }
}
