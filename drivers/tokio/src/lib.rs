//! Strait on tokio.

pub mod kubernetes_api;
#[cfg(target_os = "linux")]
pub mod process;
