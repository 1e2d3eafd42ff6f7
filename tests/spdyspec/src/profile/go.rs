use super::{Deviation, Profile};
use crate::case::Kind;

/// moby/spdystream 0.5 below Kubernetes' streaming server.
pub(super) const SERVER: Profile = Profile {
    name: "go",
    about: "upstream's streaming server (`k8s.io/cri-streaming`): moby/spdystream and x/net/websocket",
    without: &[
        (Kind::V5, "v5 is the API server's and the kubelet's, not the streaming server's"),
        (Kind::Tunnel, "the tunnel is the API server's and the kubelet's, not the streaming server's"),
    ],
    http_headers: false,
    deviations: DEVIATIONS,
};

const DEVIATIONS: &[Deviation] = &[];

/// client-go.
pub(super) const CLIENT: Profile = Profile {
    name: "go-client",
    about: "upstream's client library (`k8s.io/client-go`): moby/spdystream and gorilla/websocket",
    without: &[],
    http_headers: false,
    deviations: &[],
};
