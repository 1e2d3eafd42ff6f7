//! The suite as client, against a server.

mod blocks;
mod channels;
mod channels_v5;
mod exec;
mod forward;
mod forward_session;
mod frames;
mod frames_ws;
mod legacy;
mod life;
mod session;
mod socket_session;
mod streams;
mod tunnel;
mod upgrade;

use crate::case::Case;

/// All cases, section by section.
pub(crate) const CASES: &[&[Case]] = &[
    upgrade::CASES,
    frames::CASES,
    streams::CASES,
    blocks::CASES,
    life::CASES,
    exec::CASES,
    forward::CASES,
    channels::CASES,
    channels_v5::CASES,
    frames_ws::CASES,
    tunnel::CASES,
    legacy::CASES,
];
