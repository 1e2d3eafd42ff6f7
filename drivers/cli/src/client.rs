//! The commands that kubectl has, too.

mod config;
mod detach;
mod session;
mod stdio;
mod terminal;

pub(crate) use session::{attach, exec};
pub(crate) use stdio::{Input, Output, stdin, stdout};
pub(crate) use terminal::restore_on_panic;

use strait_tokio::client::{PodInfo, Server, Transport};

/// A pod, and a container of it, as the user has named them.
pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) container: String,
    pub(crate) info: PodInfo,
}

/// What kubectl's environment variables say of a transport: anything but `false` means WebSocket, with SPDY to fall back to.
pub(crate) fn transport(variable: &str) -> Transport {
    match std::env::var(variable) {
        Ok(value) if value.eq_ignore_ascii_case("false") => Transport::Spdy,
        _ => Transport::Fallback,
    }
}
