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
    deviations: AS_SERVER,
};

/// client-go.
pub(super) const CLIENT: Profile = Profile {
    name: "go-client",
    about: "upstream's client library (`k8s.io/client-go`): moby/spdystream and gorilla/websocket",
    without: &[],
    http_headers: false,
    deviations: AS_CLIENT,
};

const UNKNOWN: &str = "spdystream closes on a type that it does not know (`spdy31.md` section 1)";
const NO_GOAWAY: &str = "spdystream closes TCP without a GOAWAY (`spdy31.md` section 1)";
const LENGTH: &str =
    "spdystream reads a fixed number of bytes and then goes on at the wrong place (`spdy31.md` section 1)";
const DEAF: &str =
    "spdystream stops to read, and leaves TCP open and its peer without a word (`spdy31.md` section 1)";
const STREAMS: &str = "unknown, second and late streams are accepted; late ones are then in the way (`remotecommand.md` section 1)";
const WORKERS: &str =
    "a stream that nobody reads stops the workers that hand frames out (`spdy31.md` section 4)";
const RESIZE: &str = "nobody reads the resize channel any more, and the loop that reads the connection waits for it (`websocket-channels.md` section 4)";
const FRAMES: &str =
    "x/net/websocket looks at the opcode and the mask alone, not at reserved bits, lengths and fragments";
const CLOSES: &str = "x/net/websocket knows no other Close than 1000 for a client's mistakes but the mask (`websocket-channels.md` section 7)";
const PORTS: &str = "the streaming server takes the ports from the runtime's request and does not look at them; the kubelet's own path does";
const LOST: &str =
    "a connection that is lost looks like a command that succeeded (`remotecommand.md` section 7.3)";

const AS_SERVER: &[Deviation] = &[
    Deviation { case: "2.3", seen: &["closed"], why: UNKNOWN },
    Deviation { case: "2.4", seen: &["closed"], why: UNKNOWN },
    Deviation { case: "2.5", seen: &["closed"], why: UNKNOWN },
    Deviation { case: "2.6", seen: &["closed"], why: UNKNOWN },
    Deviation {
        case: "2.7",
        seen: &["goes on"],
        why: "spdystream does not look at the version (`spdy31.md` section 1)",
    },
    Deviation { case: "2.10", seen: &["closed"], why: NO_GOAWAY },
    Deviation { case: "2.11", seen: &["closed"], why: NO_GOAWAY },
    Deviation { case: "2.14", seen: &["closed"], why: NO_GOAWAY },
    Deviation { case: "2.15", seen: &["stalls"], why: LENGTH },
    Deviation { case: "2.16", seen: &["stalls"], why: LENGTH },
    Deviation { case: "2.17", seen: &["closed"], why: NO_GOAWAY },
    Deviation { case: "2.18", seen: &["closed"], why: NO_GOAWAY },
    Deviation { case: "2.19", seen: &["closed"], why: NO_GOAWAY },
    Deviation {
        case: "3.4",
        seen: &["goes on"],
        why: "spdystream does not look at the parity of ids (`spdy31.md` section 2)",
    },
    Deviation { case: "3.5", seen: &["closed"], why: NO_GOAWAY },
    Deviation {
        case: "3.15",
        seen: &["silent, with \"headed\""],
        why: "spdystream hands HEADERS to a reader of headers, which nobody is: the stream is stuck, FIN or not",
    },
    Deviation { case: "4.9", seen: &["silent"], why: DEAF },
    Deviation {
        case: "4.10",
        seen: &["goes on", "stalls"],
        why: "spdystream takes an empty name; whether the stream, which has no type, is in the way of another is for its workers to say",
    },
    Deviation {
        case: "4.11",
        seen: &["goes on", "stalls"],
        why: "the check of spdystream for a name that comes twice never fires (`spdy31.md` section 3)",
    },
    Deviation { case: "4.12", seen: &["silent"], why: DEAF },
    Deviation { case: "4.13", seen: &["closed"], why: NO_GOAWAY },
    Deviation { case: "4.14", seen: &["closed"], why: NO_GOAWAY },
    Deviation { case: "4.15", seen: &["silent"], why: DEAF },
    Deviation { case: "4.16", seen: &["silent"], why: DEAF },
    Deviation { case: "4.17", seen: &["silent"], why: DEAF },
    Deviation { case: "4.18", seen: &["silent"], why: DEAF },
    Deviation { case: "4.19", seen: &["silent"], why: DEAF },
    Deviation { case: "4.20", seen: &["silent"], why: DEAF },
    Deviation {
        case: "5.5",
        seen: &["silent"],
        why: "PING waits in the queues of spdystream behind DATA that nobody reads (`spdy31.md` section 4)",
    },
    Deviation {
        case: "5.7",
        seen: &["no output, then the server closes"],
        why: "GOAWAY ends all streams at once in spdystream (`spdy31.md` section 6)",
    },
    Deviation { case: "5.9", seen: &["no GOAWAY"], why: NO_GOAWAY },
    Deviation { case: "5.10", seen: &["no GOAWAY"], why: NO_GOAWAY },
    Deviation { case: "6.13", seen: &["accepted"], why: STREAMS },
    Deviation { case: "6.14", seen: &["accepted"], why: STREAMS },
    Deviation {
        case: "6.15",
        seen: &["accepted", "RST_STREAM 5 on 1, RST_STREAM 5 on 5, RST_STREAM 5 on 7, GOAWAY 0, silent"],
        why: STREAMS,
    },
    Deviation { case: "6.16", seen: &["accepted"], why: STREAMS },
    Deviation { case: "7.18", seen: &["silent"], why: WORKERS },
    Deviation { case: "8.27", seen: &["stalls"], why: RESIZE },
    Deviation { case: "8.29", seen: &["silent, with \"\""], why: RESIZE },
    Deviation { case: "10.7", seen: &["goes on"], why: FRAMES },
    Deviation { case: "10.8", seen: &["goes on"], why: FRAMES },
    Deviation { case: "10.9", seen: &["goes on"], why: FRAMES },
    Deviation { case: "10.10", seen: &["goes on"], why: FRAMES },
    Deviation { case: "10.11", seen: &["goes on"], why: FRAMES },
    Deviation {
        case: "10.12",
        seen: &["goes on, with \"one probe\""],
        why: "x/net/websocket takes each frame as a message, so the first byte of a continuation is a channel (`websocket-channels.md` section 2)",
    },
    Deviation { case: "10.13", seen: &["goes on"], why: FRAMES },
    Deviation { case: "10.14", seen: &["goes on"], why: FRAMES },
    Deviation { case: "10.15", seen: &["goes on"], why: FRAMES },
    Deviation { case: "10.16", seen: &["Close 1000"], why: CLOSES },
    Deviation { case: "10.19", seen: &["Close 1000, closed"], why: CLOSES },
    Deviation { case: "10.20", seen: &["Close 1000, closed"], why: CLOSES },
    Deviation { case: "12.8", seen: &["101"], why: PORTS },
    Deviation { case: "12.9", seen: &["101"], why: PORTS },
];

const AS_CLIENT: &[Deviation] = &[
    Deviation {
        case: "13.5",
        seen: &["silent"],
        why: "what stands behind the 101 in one segment stays in the buffer of the HTTP parser: a server has to wait for the client",
    },
    Deviation {
        case: "14.9",
        seen: &["\"\", exit code 0"],
        why: "spdystream closes on a type that it does not know (`spdy31.md` section 1), and the lost connection looks like success",
    },
    Deviation {
        case: "14.11",
        seen: &["does not end"],
        why: "spdystream hands HEADERS to a reader of headers, which nobody is: the stream is stuck, and the session with it",
    },
    Deviation {
        case: "14.17",
        seen: &["exit code 0"],
        why: "spdystream does not check the length, reads on at the wrong place (`spdy31.md` section 1), and waits for the end of the connection, which looks like success",
    },
    Deviation { case: "14.18", seen: &["exit code 0"], why: LOST },
    Deviation { case: "14.19", seen: &["exit code 0"], why: LOST },
    Deviation { case: "15.14", seen: &["exit code 0"], why: LOST },
    Deviation { case: "15.15", seen: &["exit code 0"], why: LOST },
    Deviation { case: "15.16", seen: &["exit code 0"], why: LOST },
    Deviation { case: "15.17", seen: &["exit code 0"], why: LOST },
    Deviation { case: "15.18", seen: &["exit code 0"], why: LOST },
    Deviation { case: "16.13", seen: &["exit code 0"], why: LOST },
];
