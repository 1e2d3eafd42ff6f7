use clap::{Args, Parser, Subcommand, ValueEnum};

/// Kubernetes streams between WebSocket and SPDY/3.1.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) program: Program,

    /// More log on standard error: -v for each session's details, -vv for everything.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,

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
    /// Run commands on this host for kubectl, without a cluster.
    Node(Node),
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
    pub(crate) listen: Listen,

    /// Where requests go, for example `http://127.0.0.1:10250`.
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: String,

    /// Seconds from a connection to the end of its upgrade, for the client and again for upstream.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) handshake_timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Node {
    #[command(flatten)]
    pub(crate) listen: Listen,

    /// Name of the pod that kubectl sees, in the namespace `default`.
    #[arg(long, value_name = "NAME", default_value = "demo")]
    pub(crate) pod: String,
}

#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// Address and port; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: String,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for a person.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
