//! What Kubernetes adds to the wire: names, channels, statuses, terminal sizes and request targets.
//!
//! | file | what |
//! |---|---|
//! | [`subprotocol`] | names of the subprotocols, which of them says what, and how one is chosen |
//! | [`channel`] | channel numbers, stream types, and the streams that a request asks for |
//! | [`ports`] | ports of a port-forward: their query, channels and streams |
//! | [`pairs`] | pairs of streams of a port-forward over SPDY: their headers, which is complete, what is told of the others |
//! | [`status`] | the `Status` object that ends exec and attach: writing and reading it |
//! | [`resize`] | terminal sizes: writing one, and reading a stream of them |
//! | [`request`] | request targets of the API server, the kubelet and the CRI streaming server |
//!
//! Nothing here knows WebSocket, SPDY or HTTP: these are the words, not the carriers.

mod json;
mod writer;

pub mod channel;
pub mod pairs;
pub mod ports;
pub mod request;
pub mod resize;
pub mod status;
pub mod subprotocol;

pub use channel::{Channel, ChannelSet, StreamSet};
pub use json::JsonStr;
pub use pairs::{Pair, PairTable, StreamRequest};
pub use ports::{PortChannel, PortStream, Ports};
pub use request::{Pod, RequestError, Server, Target, Verb};
pub use resize::{ResizeParser, TerminalSize};
pub use status::{Failure, Lossy, Outcome, Settled, StatusError};
pub use subprotocol::{Refused, Subprotocol, negotiate};
