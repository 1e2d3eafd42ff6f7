use core::fmt;

use super::Side;
use crate::k8s::Channel;
use crate::leg::LegError;

/// What [`Bridge::translate`](super::Bridge::translate) waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// All input that can be understood is consumed: read more.
    NeedInput,
    /// The output, and the pending bytes of both legs, have to be written first.
    NeedWrite,
    /// The other leg is not ready to take data.
    NeedPeer,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was ended in order: upstream's status was passed on, or, of a port-forward, one side closed it.
    Completed,
    /// Upstream refused it, or could not be reached.
    Refused,
    /// The client closed it before it was complete.
    ClientClosed,
    /// The client's connection was cut.
    ClientLost,
    /// Upstream's connection was cut, or it ended the session without a status.
    UpstreamLost,
    /// Upstream did not accept the session's streams in time.
    StreamCreationTimeout,
    /// The client broke its protocol.
    ClientError(LegError),
    /// Upstream broke its protocol.
    UpstreamError(LegError),
    /// The client sent nothing for longer than [`Limits::peer_timeout`](crate::Limits::peer_timeout).
    ClientSilent,
    /// Upstream sent nothing for so long.
    UpstreamSilent,
    /// Neither side sent data for longer than [`Limits::idle`](crate::Limits::idle).
    Idle,
    /// This end shut down.
    Shutdown,
}

impl Outcome {
    /// The peer of `side` ended it before it was complete.
    pub(super) const fn closed_by(side: Side) -> Self {
        match side {
            Side::Client => Self::ClientClosed,
            Side::Upstream => Self::UpstreamLost,
        }
    }

    pub(super) const fn lost(side: Side) -> Self {
        match side {
            Side::Client => Self::ClientLost,
            Side::Upstream => Self::UpstreamLost,
        }
    }

    pub(super) const fn silent(side: Side) -> Self {
        match side {
            Side::Client => Self::ClientSilent,
            Side::Upstream => Self::UpstreamSilent,
        }
    }

    pub(super) const fn failure_of(side: Side, error: LegError) -> Self {
        match side {
            Side::Client => Self::ClientError(error),
            Side::Upstream => Self::UpstreamError(error),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::Refused => f.write_str("refused by upstream"),
            Self::ClientClosed => f.write_str("closed by the client"),
            Self::ClientLost => f.write_str("lost the client"),
            Self::UpstreamLost => f.write_str("lost upstream"),
            Self::StreamCreationTimeout => f.write_str("upstream did not accept the streams in time"),
            Self::ClientError(error) => write!(f, "client error: {error}"),
            Self::UpstreamError(error) => write!(f, "upstream error: {error}"),
            Self::ClientSilent => f.write_str("the client did not answer"),
            Self::UpstreamSilent => f.write_str("upstream did not answer"),
            Self::Idle => f.write_str("idle for too long"),
            Self::Shutdown => f.write_str("shut down"),
        }
    }
}

/// Payload bytes of a session that were passed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// From the client to the command.
    pub stdin: u64,
    /// From the command to the client.
    pub stdout: u64,
    /// From the command to the client, apart from stdout.
    pub stderr: u64,
    /// From the client to forwarded ports; of a tunnel with the frames in it.
    pub to_ports: u64,
    /// From forwarded ports to the client.
    pub from_ports: u64,
}

impl Carried {
    #[inline]
    pub(super) fn add(&mut self, channel: Channel, bytes: usize) {
        let count = match channel {
            Channel::STDIN => &mut self.stdin,
            Channel::STDOUT => &mut self.stdout,
            _ => &mut self.stderr,
        };
        *count = count.wrapping_add(bytes as u64);
    }

    #[inline]
    pub(super) fn add_forwarded(&mut self, from: Side, bytes: usize) {
        let count = match from {
            Side::Client => &mut self.to_ports,
            Side::Upstream => &mut self.from_ports,
        };
        *count = count.wrapping_add(bytes as u64);
    }
}
