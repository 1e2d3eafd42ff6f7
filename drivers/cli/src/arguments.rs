mod client;
mod serving;
mod upstream;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use strait::k8s::Subprotocol;

use crate::cp::Cp;
use crate::port_forward::PortForward;

pub(crate) use client::{Attach, Exec, ServerOptions};
pub(crate) use serving::Serving;
pub(crate) use upstream::UpstreamOptions;

/// Kubernetes streams between WebSocket and SPDY/3.1.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) program: Program,

    /// More log on standard error. Servers: -v for each session's details, -vv for everything. Clients, as kubectl: -v=6 for requests, -v=7 for
    /// their headers, -v=9 for everything.
    #[arg(short, long, visible_alias = "v", global = true, value_name = "LEVEL", num_args = 0..=1, require_equals = true,
          default_missing_value = "1", action = clap::ArgAction::Append, value_parser = clap::value_parser!(u8).range(..=10))]
    pub(crate) verbose: Vec<u8>,

    /// Form of the log.
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Program {
    /// Run a node and a gateway in this process, push a real command through both, and keep serving.
    Demo(Demo),
    /// Translate between kubectl's WebSocket and the SPDY/3.1 of what is behind.
    Gateway(Gateway),
    /// Run commands on this host for kubectl, without a cluster, and a main process to attach to.
    Node(Node),
    /// Run a command in a container, as kubectl does.
    Exec(Exec),
    /// Join the main process of a container, as kubectl does.
    Attach(Attach),
    /// Copy files and directories to and from a container.
    Cp(Cp),
    /// Forward local ports to ports of a pod.
    PortForward(PortForward),
    /// Print a script that makes a shell complete this program's commands.
    Completion {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory.
    #[command(hide = true)]
    Man {
        /// Where to.
        directory: PathBuf,
    },
}

impl Program {
    /// True if it talks to a server for one user, rather than being one.
    pub(crate) const fn is_client(&self) -> bool {
        matches!(self, Self::Exec(_) | Self::Attach(_) | Self::Cp(_) | Self::PortForward(_))
    }
}

impl Arguments {
    /// How much is logged: each `-v` counts.
    pub(crate) fn verbosity(&self) -> u8 {
        self.verbose.iter().fold(0, |sum, level| sum.saturating_add(*level))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// End after the self-run, with the exit code of its command.
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Gateway {
    #[command(flatten)]
    pub(crate) upstream: UpstreamOptions,

    #[command(flatten)]
    pub(crate) serving: Serving,
}

#[derive(Debug, Args)]
pub(crate) struct Node {
    /// Name of the pod that kubectl sees, in the namespace `default`.
    #[arg(long, value_name = "NAME", default_value = "demo")]
    pub(crate) pod: String,

    /// Command line of the pod's main process, which `kubectl attach` joins; `sh -c` runs it, again and again. The default says
    /// nothing and waits, and sends back what it is sent, to all who are attached.
    #[arg(long, value_name = "COMMAND", default_value = "cat")]
    pub(crate) main: OsString,

    /// Run the main process on a terminal.
    #[arg(long)]
    pub(crate) main_tty: bool,

    /// Demand the bearer token in this file. A client that shows a certificate of --client-ca-file needs no token,
    /// unless certificates are required: then both are.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Subprotocols that are spoken over SPDY; none refuses SPDY.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = spdy_protocol,
          default_value = "v4.channel.k8s.io,v3.channel.k8s.io,v2.channel.k8s.io,channel.k8s.io,portforward.k8s.io")]
    pub(crate) spdy_protocols: Vec<Subprotocol>,

    /// Subprotocols that are spoken over WebSocket; `none` is a client that offers none, and an empty list refuses
    /// WebSocket.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = websocket_protocol,
          default_value = "v5.channel.k8s.io,v4.channel.k8s.io,v4.base64.channel.k8s.io,channel.k8s.io,base64.channel.k8s.io,none,SPDY/3.1+portforward.k8s.io")]
    pub(crate) websocket_protocols: Vec<Subprotocol>,

    #[command(flatten)]
    pub(crate) serving: Serving,
}

/// A subprotocol by its name. An empty word is one that nobody speaks over SPDY, so that a list can be empty.
fn spdy_protocol(name: &str) -> Result<Subprotocol, String> {
    if name.is_empty() { Ok(Subprotocol::None) } else { subprotocol(name) }
}

/// The same for WebSocket, where `none` is spoken.
fn websocket_protocol(name: &str) -> Result<Subprotocol, String> {
    match name {
        "none" => Ok(Subprotocol::None),
        "" => Ok(Subprotocol::PortForward),
        _ => subprotocol(name),
    }
}

fn subprotocol(name: &str) -> Result<Subprotocol, String> {
    Subprotocol::from_name(name).ok_or_else(|| format!("no subprotocol {name}"))
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for a person.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
