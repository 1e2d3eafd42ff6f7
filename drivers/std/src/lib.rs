//! Strait over blocking `std`: for small Linux gateways that want no async runtime.
//!
//! A session is a thread, which sleeps in `poll(2)` until a socket is ready or a deadline has passed. Whatever is said and
//! decided is the engine's: this crate has sockets, a clock and memory, and no TLS.
//!
//! ```no_run
//! use std::net::TcpListener;
//! use strait_std::{Gateway, Stop};
//!
//! let gateway = Gateway::new("127.0.0.1:10250");
//! let listener = TcpListener::bind("127.0.0.1:8090")?;
//! gateway.serve(listener, &Stop::new())?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod answer;
pub mod client;
mod connect;
mod gateway;
mod head;
mod options;
mod overflow;
mod places;
mod relay;
mod session;
mod stop;
mod wait;

pub use gateway::Gateway;
pub use options::ServerOptions;
pub use session::Summary;
pub use stop::Stop;
