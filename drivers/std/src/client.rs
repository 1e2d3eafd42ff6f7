//! A client of exec, attach and port-forward over blocking sockets: what kubectl has, without an async runtime.
//!
//! An [`Executor`] asks a [`Server`] for an upgrade, over WebSocket first and then, if the server refuses, over SPDY. What comes of it is
//! a [`Process`], whose streams are pipes, or a [`Forwarding`] to a port.
//!
//! ```no_run
//! use strait::k8s::{Pod, StreamSet};
//! use strait_std::client::{Executor, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let executor = Executor::new(Server::new("127.0.0.1:7001"));
//! let pod = Pod { namespace: "default", name: "demo", container: None };
//! let streams = StreamSet { stdout: true, stderr: true, ..StreamSet::default() };
//! let output = executor.exec(&pod, ["uname", "-a"], streams)?.wait_with_output()?;
//! println!("{} exit code {}", String::from_utf8_lossy(&output.stdout), output.exit.code);
//!
//! let local = std::net::TcpListener::bind("127.0.0.1:8080")?;
//! while let Ok((connection, _)) = local.accept() {
//!     executor.port_forward(&pod, 80)?.join(connection)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A session is a thread that sleeps in `poll(2)`. One that ends without an exit status has failed, whatever came before: exit code 0 is never a
//! guess. This crate speaks no TLS and knows no proxies, but takes any connection that its caller makes: [`Server::dialled_by`].

mod connection;
mod control;
mod error;
mod executor;
mod forward;
mod link;
mod process;
mod server;
mod session;

pub use connection::Connection;
pub use control::Control;
pub use error::{ConnectError, Exit, SessionError};
pub use executor::Executor;
pub use forward::{Forwarded, Forwarding, Local};
pub use process::{Output, Process};
pub use server::Server;
pub use strait::k8s::Pod;
pub use strait::upgrade::Transport;
