//! Strait on tokio: the gateway that carries exec sessions between WebSocket and SPDY/3.1, a node, which is a
//! streaming server for local processes, both ends of a [port-forward](port_forward), and a [client].
//!
//! The servers are closed by default: [`ServerOptions`] says what opens them, and [`Shutdown`] how they stop.

mod answer;
#[cfg(all(test, target_os = "linux"))]
mod faults;
mod hangup;
mod head;
mod link;
mod listener;
mod message_output;
mod metrics;
mod overflow;
mod passthrough;
mod pool;
mod relay;
mod reload;
mod route;
mod server;
mod session;
mod shutdown;
mod stream;
mod together;
mod token;
mod upstream;

pub mod client;
#[cfg(target_os = "linux")]
mod forward_session;
pub mod gateway;
pub mod kubernetes_api;
#[cfg(target_os = "linux")]
mod main_process;
#[cfg(target_os = "linux")]
pub mod node;
#[cfg(target_os = "linux")]
mod node_session;
pub mod operations;
#[cfg(target_os = "linux")]
pub mod pipe;
pub mod port_forward;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(target_os = "linux")]
mod subject;
pub mod tls;
pub mod tunnel;

pub use metrics::Metrics;
pub use server::{Exposed, ServerOptions};
pub use session::Summary;
pub use shutdown::Shutdown;
pub use strait::gateway::UpstreamKind;
pub use token::TokenError;
pub use upstream::{Upstream, UpstreamError};
