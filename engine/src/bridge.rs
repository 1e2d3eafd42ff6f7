//! Bridges: what joins two legs.

mod exec;
mod lane;
mod status;
mod turn;

pub use self::exec::{Carried, ExecBridge, Flow, Outcome};
pub use self::lane::{HEADROOM, Lane, SMALL};
pub use self::turn::Turn;

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

#[cfg(test)]
mod testbed;
