//! A client of exec, attach and port-forward: what kubectl has, as a library.
//!
//! An [`Executor`] asks a [`Server`] for an upgrade, over WebSocket first and then, if the server refuses, over SPDY. What comes of it is
//! a [`Session`], which is either [run](Session::run) with readers and writers of the caller's, or
//! [spawned](Session::spawn) as a [`Process`] with streams.
//!
//! ```no_run
//! use strait::k8s::StreamSet;
//! use strait_tokio::client::{Executor, Pod, Server};
//! use tokio::io::AsyncReadExt as _;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let executor = Executor::new(Server::new("http://127.0.0.1:7001")?);
//! let pod = Pod { namespace: "default", name: "demo", container: None };
//! let streams = StreamSet { stdout: true, stderr: true, ..StreamSet::default() };
//! let mut process = executor.exec(&pod, ["uname", "-a"], streams).await?.spawn();
//! let mut text = String::new();
//! process.stdout.take().expect("it was asked for").read_to_string(&mut text).await?;
//! let exit = process.wait().await?;
//! println!("{text} exit code {}", exit.code);
//! # Ok(())
//! # }
//! ```
//!
//! [`Executor::port_forward`] gives a [`Forwarder`](crate::port_forward::Forwarder), which opens connections to ports of a pod.
//!
//! A session that ends without an exit status has failed, whatever came before: exit code 0 is never a guess.
//!
//! With the feature `kube`, [`Server::from_kube`] takes the configuration of the crate `kube`: kubeconfig files, service accounts, exec
//! plugins and all that its users have set up themselves.

mod api;
mod connect;
mod credentials;
mod executor;
mod exit;
#[cfg(test)]
pub(crate) mod faults;
mod forwarding;
#[cfg(feature = "kube")]
mod kube_config;
mod process;
mod proxy;
mod server;
mod session;
mod upgrade;

pub use api::{ApiError, PodInfo};
pub use connect::ConnectError;
pub use executor::Executor;
pub use exit::{Exit, SessionError};
pub use forwarding::Forwarding;
#[cfg(feature = "kube")]
pub use kube_config::KubeError;
pub use process::Process;
pub use server::{Server, ServerError};
pub use session::{Session, Streams};
pub use strait::k8s::Pod;
pub use strait::upgrade::Transport;
