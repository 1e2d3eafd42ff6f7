//! Fuzz bodies: ordinary functions that take any bytes and panic if the engine breaks a promise.
//!
//! They run in three ways: `cargo test -p strait-fuzz` runs each over its seeds (`corpus/`) and some thousand
//! mutations of them, the same ones every time; `cargo xtask fuzz NAME` searches for inputs that reach new
//! code; a finding is replayed by either once its file lies in the corpus. By hand, from the root:
//!
//! ```text
//! CARGO_PROFILE_RELEASE_LTO=off RUSTC_BOOTSTRAP=1 \
//!     cargo fuzz run --features libfuzzer NAME -- -dict=fuzz/dictionaries/NAME.dict -max_total_time=20
//! ```
//!
//! | body | first bytes | then |
//! |---|---|---|
//! | [`gateway()`] | | acts of a client and of upstream, around the whole gateway of `strait-embassy` |
//! | [`http_differential()`] | | a head as it arrives, also to a second parser |
//! | [`http_head()`] | limit, cuts | a head as it arrives |
//! | [`inflate_differential()`] | cuts | header blocks, also to `flate2` |
//! | [`json_differential()`] | which text | a status or sizes, also to `serde_json` |
//! | [`leg_receiver()`] | leg, cuts | what the peer of any leg sends |
//! | [`ws_differential()`] | role | what a WebSocket peer sends, also to `tungstenite` |
//! | [`ws_receiver()`] | role and options, cuts | what a WebSocket peer sends |
//! | [`spdy_receiver()`] | role and options, cuts | what a SPDY peer sends |
//! | [`session_model()`] | client, upstream, streams, memory | acts of both ends of ours, next to a model of the session |
//! | [`ws_sender()`] | role and by what | acts of a sender, whose bytes `tungstenite` reads |
//! | [`k8s_text()`] | which text, cuts | the text |
//! | [`exec_bridge()`] | streams, memory | acts of both peers, of the driver and of time |
//! | [`ports_bridge()`] | ports and base64, memory | likewise |
//! | [`tunnel_bridge()`] | which ends speak WebSocket, memory | likewise |
//!
//! Cuts: 0 is all at once, 1 byte by byte, any other number the seed of random pieces.

mod exec_bridge;
mod gateway;
mod http_differential;
mod http_head;
mod http_reference;
mod inflate_differential;
mod json_differential;
mod k8s_text;
mod leg_receiver;
mod pieces;
mod ports_bridge;
mod rig;
mod script;
mod session_model;
mod spdy;
mod spdy_receiver;
mod tunnel_bridge;
mod websocket;
mod ws_differential;
mod ws_receiver;
mod ws_sender;

pub use exec_bridge::{Report, exec_bridge, play};
pub use gateway::{gateway, play_gateway};
pub use http_differential::http_differential;
pub use http_head::http_head;
pub use inflate_differential::inflate_differential;
pub use json_differential::json_differential;
pub use k8s_text::k8s_text;
pub use leg_receiver::leg_receiver;
pub use pieces::Dice;
pub use ports_bridge::{play_ports, ports_bridge};
pub use session_model::{play_session, session_model};
pub use spdy_receiver::spdy_receiver;
pub use tunnel_bridge::{play_tunnel, tunnel_bridge};
pub use ws_differential::ws_differential;
pub use ws_receiver::ws_receiver;
pub use ws_sender::ws_sender;

/// A fuzz body by its name, which is also that of its corpus and of its target.
pub type Target = (&'static str, fn(&[u8]));

/// All fuzz bodies.
pub const TARGETS: [Target; 15] = [
    ("exec_bridge", exec_bridge),
    ("gateway", gateway),
    ("http_differential", http_differential),
    ("http_head", http_head),
    ("inflate_differential", inflate_differential),
    ("json_differential", json_differential),
    ("k8s_text", k8s_text),
    ("leg_receiver", leg_receiver),
    ("ports_bridge", ports_bridge),
    ("session_model", session_model),
    ("spdy_receiver", spdy_receiver),
    ("tunnel_bridge", tunnel_bridge),
    ("ws_differential", ws_differential),
    ("ws_receiver", ws_receiver),
    ("ws_sender", ws_sender),
];
