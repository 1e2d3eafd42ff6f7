use super::{Deviation, Profile};

/// Strait's node.
pub(super) const PROFILE: Profile = Profile {
    name: "strait",
    about: "`strait node`, and what its engine does otherwise on purpose",
    without: &[],
    http_headers: false,
    deviations: DEVIATIONS,
};

/// Strait's client.
pub(super) const CLIENT: Profile = Profile {
    name: "strait-client",
    about: "`strait exec`, of which nothing is known that is not as written",
    without: &[],
    http_headers: false,
    deviations: &[],
};

const DEVIATIONS: &[Deviation] = &[
    Deviation {
        case: "2.7",
        seen: &["goes on"],
        why: "the version is not looked at, as upstream: the upgrade has settled it",
    },
    Deviation {
        case: "3.4",
        seen: &["goes on"],
        why: "the parity of ids is not looked at, as upstream: the server opens no stream, so nothing can collide",
    },
    Deviation {
        case: "4.10",
        seen: &["RST_STREAM 5 on 5, goes on"],
        why: "an empty name is a name like any other, as upstream; the stream is refused because it has no type",
    },
    Deviation {
        case: "4.11",
        seen: &["RST_STREAM 5 on 5, goes on"],
        why: "the first one counts; the stream is refused because it has no type",
    },
    Deviation {
        case: "4.21",
        seen: &["GOAWAY 1, closed"],
        why: "one block may inflate to 4096 bytes; Kubernetes needs less than 100, and the bound is the memory of each session",
    },
    Deviation {
        case: "5.7",
        seen: &["no output, then the server closes"],
        why: "a client of Kubernetes sends GOAWAY when it leaves: its process ends",
    },
];
