use super::{Deviation, Profile};
use crate::case::Kind;

const HTTP: &str = "a SPDY library knows nothing of Kubernetes";

/// npm's spdy-transport.
pub(super) const PROFILE: Profile = Profile {
    name: "spdy-transport",
    about: "npm's `spdy-transport` 3.0.0, behind a few lines that join stdin to stdout",
    without: &[
        (Kind::Upgrade, HTTP),
        (Kind::Exec, HTTP),
        (Kind::Terminal, HTTP),
        (Kind::Forward, HTTP),
        (Kind::WebSocket, HTTP),
        (Kind::V5, HTTP),
        (Kind::Tunnel, HTTP),
        (Kind::LegacyForward, HTTP),
    ],
    http_headers: true,
    deviations: DEVIATIONS,
};

const DEVIATIONS: &[Deviation] = &[];
