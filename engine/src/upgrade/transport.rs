use core::fmt;

/// What a client asks for to carry its sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// WebSocket, and SPDY if the server has answered, but not with that upgrade (`http-upgrade.md` section 4).
    #[default]
    Fallback,
    /// WebSocket only: v5, or v4, which cannot tell the end of standard input.
    WebSocket,
    /// SPDY/3.1 only.
    Spdy,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fallback => "WebSocket, then SPDY",
            Self::WebSocket => "WebSocket",
            Self::Spdy => "SPDY",
        })
    }
}
