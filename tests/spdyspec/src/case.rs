use std::io::ErrorKind;
use std::{fmt, io};

use crate::client::Client;
use crate::target::Target;

/// One behaviour that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Section and number, for example `3.7`.
    pub number: &'static str,
    /// What is expected, in words.
    pub title: &'static str,
    /// Where that is written.
    pub source: &'static str,
    /// What may be seen, the best first.
    pub conforms: &'static [&'static str],
    /// What the peer has to have for it.
    pub kind: Kind,
    pub(crate) run: Run,
}

/// What a peer can be without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// A server's upgrade to SPDY with the answers of Kubernetes.
    Upgrade,
    /// A server that carries stdin to stdout over SPDY.
    Spdy,
    /// A server that runs commands: `sh` and `cat`.
    Exec,
    /// The same with a terminal: `stty`.
    Terminal,
    /// Port-forward over SPDY, to this host.
    Forward,
    /// RemoteCommand over WebSocket.
    #[value(name = "websocket")]
    WebSocket,
    /// The same with `v5.channel.k8s.io`.
    V5,
    /// Port-forward as SPDY in a WebSocket.
    Tunnel,
    /// Port-forward over channels of a WebSocket.
    LegacyForward,
    /// A client that speaks SPDY.
    ClientSpdy,
    /// A client that speaks WebSocket.
    #[value(name = "client-websocket")]
    ClientWebSocket,
}

impl Kind {
    /// True if the suite listens for it.
    pub const fn is_client(self) -> bool {
        matches!(self, Self::ClientSpdy | Self::ClientWebSocket)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Run {
    /// The suite is the client.
    Server(fn(&Target) -> Seen),
    /// The suite is the server.
    Client(fn(&Client) -> Seen),
}

impl Case {
    /// A case for a server.
    pub(crate) const fn server(
        number: &'static str,
        kind: Kind,
        title: &'static str,
        source: &'static str,
        conforms: &'static [&'static str],
        run: fn(&Target) -> Seen,
    ) -> Self {
        Self { number, title, source, conforms, kind, run: Run::Server(run) }
    }

    /// A case for a client.
    pub(crate) const fn client(
        number: &'static str,
        kind: Kind,
        title: &'static str,
        source: &'static str,
        conforms: &'static [&'static str],
        run: fn(&Client) -> Seen,
    ) -> Self {
        Self { number, title, source, conforms, kind, run: Run::Client(run) }
    }

    /// The number in front of the dot.
    pub fn section(&self) -> &'static str {
        self.number.split('.').next().unwrap_or_default()
    }
}

/// The behaviour that was seen, in the words of [`Case::conforms`] if it is one of those.
pub(crate) type Seen = Result<String, Stop>;

/// Why a case did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The peer did this instead.
    Saw(String),
    /// It could not be tried.
    NotRun(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Saw(match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "silent".into(),
            // Whether a close comes as an end or as a reset depends on what is under way.
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                "closed".into()
            }
            _ => error.to_string(),
        })
    }
}

/// `seen` as a behaviour, if it holds; otherwise what was seen instead.
#[expect(clippy::unnecessary_wraps, reason = "the last expression of a case")]
pub(crate) fn verdict(holds: bool, behaviour: &str, instead: impl fmt::Display) -> Seen {
    Ok(if holds { behaviour.to_owned() } else { instead.to_string() })
}
