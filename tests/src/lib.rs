//! What the tests of whole programs need: the binary `strait`, started and watched, and its real peers.
//!
//! Nothing here waits without a deadline: a program that hangs is killed and fails its test with what it said so far.
//!
//! | environment variable | effect |
//! |---|---|
//! | `STRAIT_BINARY` | test this binary instead of building one |
//! | `STRAIT_GATEWAY` | another program as the gateway, which takes the same arguments: the example of `strait-std` |
//! | `STRAIT_REQUIRE_PEERS=1` | a missing peer program fails the tests that need it, which otherwise skip |
//! | `STRAIT_SEED` | seed of the random data; a failing test prints the one it used |
//! | `STRAIT_FIRMWARE` | the firmware's image, for the tests of it: `cargo xtask firmware test` |
//! | `KUBECTL` | use this kubectl instead of the one in `PATH` |
//! | `KUBECTL_1_20` | use this kubectl 1.20.2 instead of Debian's, which is fetched once into `target/peers` |
#![expect(clippy::missing_panics_doc, reason = "a test harness fails by panicking")]

mod binary;
mod board;
mod channel_client;
mod checksum;
mod counters;
mod document;
mod exec_client;
mod forward_client;
mod forwarding;
mod kubectl;
mod old_kubectl;
mod pair_client;
mod proxy;
mod random;
mod raw;
mod running;
mod script;
mod server;
mod session;
mod spdy_wire;
mod target;
mod terminal;
mod time;
mod websocket_wire;

pub use binary::{gateway, peers, strait};
pub use board::{Board, BoardCounters};
pub use channel_client::ChannelClient;
pub use checksum::{Checksum, checksum_of};
pub use counters::{Counters, Held, is_alive};
pub use document::write_down;
pub use exec_client::{EXEC_PATH, exec_prints, exec_request};
pub use forward_client::{ForwardClient, Forwards};
pub use forwarding::Forwarding;
pub use kubectl::{Kubectl, Rig, missing};
pub use old_kubectl::kubectl_1_20;
pub use pair_client::{Came, Carrier, PORT_FORWARD_PATH, PairClient};
pub use proxy::{Mode, Proxy};
pub use random::Random;
pub use raw::{Reply, exchange, raw_session};
pub use running::{Finished, Running};
pub use script::{Answer, FALLBACK, SPDY_101, Script, websocket_101};
pub use server::{Server, Shores};
pub use session::{Dialect, End, Exec, Opening, Refusal, Said, Session, Transcript};
pub use target::{Target, refused_port, reset};
pub use terminal::Terminal;
pub use time::{copy_paced, eventually, eventually_async, long_tests_are_wanted};
