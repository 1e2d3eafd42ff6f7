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

const ERROR: &str =
    "an error ends the connection, which its user closes: the GOAWAY is lost, or was never sent";
const LENGTH: &str = "fields are read, and what stands behind them is not looked at";
const WINDOW: &str =
    "it has SPDY's flow control, and waits for WINDOW_UPDATEs, which nobody sends in Kubernetes";
const NAMES: &str = "names are not checked";

const RACE: &str = "of a header block that comes in many pieces, what is inflated last is now and then taken for missing: \"Headers OOB\"";

const DEVIATIONS: &[Deviation] = &[
    Deviation { case: "2.2", seen: &["closed, with \"\""], why: RACE },
    Deviation {
        case: "2.7",
        seen: &["goes on"],
        why: "it looks at the version of the first control frame only",
    },
    Deviation { case: "2.10", seen: &["closed"], why: ERROR },
    Deviation { case: "2.11", seen: &["closed"], why: ERROR },
    Deviation { case: "2.14", seen: &["goes on"], why: LENGTH },
    Deviation { case: "2.15", seen: &["goes on"], why: LENGTH },
    Deviation { case: "2.16", seen: &["goes on"], why: LENGTH },
    Deviation { case: "2.17", seen: &["closed"], why: ERROR },
    Deviation { case: "2.18", seen: &["closed"], why: ERROR },
    Deviation { case: "2.19", seen: &["closed"], why: ERROR },
    Deviation { case: "2.22", seen: &["silent after 65536 of 188548 bytes"], why: WINDOW },
    Deviation { case: "2.23", seen: &["silent after 65536 of 1048576 bytes"], why: WINDOW },
    Deviation { case: "2.24", seen: &["silent after 65536 of 16777215 bytes"], why: WINDOW },
    Deviation { case: "3.2", seen: &["besides SETTINGS, WINDOW_UPDATE"], why: WINDOW },
    Deviation { case: "3.5", seen: &["closed"], why: ERROR },
    Deviation {
        case: "3.6",
        seen: &["goes on"],
        why: "a SYN_STREAM with an id that is not higher is dropped",
    },
    Deviation {
        case: "3.7",
        seen: &["goes on"],
        why: "a SYN_STREAM with an id that is not higher is dropped",
    },
    Deviation { case: "3.15", seen: &["silent, with \"headed\""], why: "FIN on HEADERS is not looked at" },
    Deviation { case: "3.18", seen: &["silent after 64 KiB"], why: WINDOW },
    Deviation {
        case: "3.19",
        seen: &["headers or FIN"],
        why: "SYN_REPLY is an HTTP response here, with `:status` and `:version`",
    },
    Deviation { case: "4.9", seen: &["goes on"], why: NAMES },
    Deviation { case: "4.10", seen: &["goes on"], why: NAMES },
    Deviation { case: "4.11", seen: &["goes on"], why: NAMES },
    Deviation { case: "4.12", seen: &["closed"], why: ERROR },
    Deviation { case: "4.13", seen: &["closed"], why: ERROR },
    Deviation { case: "4.14", seen: &["closed"], why: ERROR },
    Deviation { case: "4.15", seen: &["goes on"], why: "what a block inflates to is not bounded" },
    Deviation { case: "4.16", seen: &["goes on"], why: "bytes behind the last header are dropped" },
    Deviation { case: "4.17", seen: &["closed"], why: ERROR },
    Deviation { case: "4.18", seen: &["closed"], why: ERROR },
    Deviation { case: "4.19", seen: &["closed"], why: ERROR },
    Deviation { case: "4.20", seen: &["closed"], why: ERROR },
    Deviation { case: "5.9", seen: &["no GOAWAY"], why: ERROR },
    Deviation { case: "5.10", seen: &["no GOAWAY"], why: ERROR },
    Deviation {
        case: "5.11",
        seen: &["answered"],
        why: "a stream that the peer has reset is aborted, which resets it once more",
    },
];
