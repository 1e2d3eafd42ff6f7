//! Strait on tokio: the gateway that carries exec sessions between WebSocket and SPDY/3.1, and a node, a
//! streaming server for local processes.

mod answer;
mod head;
mod listener;
mod pool;
mod relay;
mod session;
mod upstream;

pub mod gateway;
pub mod kubernetes_api;
#[cfg(target_os = "linux")]
pub mod node;
#[cfg(target_os = "linux")]
mod node_session;
#[cfg(target_os = "linux")]
pub mod process;

pub use session::Summary;
pub use upstream::{Upstream, UpstreamError};
