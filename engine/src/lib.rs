//! Strait's engine: Kubernetes streams between WebSocket and SPDY/3.1, without an allocator.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod limits;
mod outbox;
mod step;
mod time;

pub use limits::Limits;
pub use outbox::{Full, Outbox};
pub use step::{Role, Step};
pub use time::Instant;

pub mod bridge;
pub mod http;
pub mod k8s;
pub mod leg;
pub mod spdy;
pub mod ws;
