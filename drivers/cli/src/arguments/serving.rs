use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use strait::Limits;
use strait_tokio::ServerOptions;
use strait_tokio::tls::{ClientCertificates, Identity, ServerTls};

/// How a server listens, whom it lets in, and how much of it.
#[derive(Debug, Args)]
pub(crate) struct Serving {
    /// Address and port; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", help_heading = "Listening")]
    pub(crate) listen: String,

    /// Certificate of this server, followed by those that lead to its CA. TLS is spoken if there is one.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file", help_heading = "Listening")]
    tls_cert_file: Option<PathBuf>,

    /// Key of that certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file", help_heading = "Listening")]
    tls_private_key_file: Option<PathBuf>,

    /// Certificates of the CAs that sign those of clients.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file", help_heading = "Listening")]
    client_ca_file: Option<PathBuf>,

    /// Whether clients may come without a certificate.
    #[arg(long, value_enum, default_value_t, requires = "client_ca_file", help_heading = "Listening")]
    client_certificates: Demand,

    /// Let web pages of this origin in, for example `https://console.example`; `*` is all. May be given often.
    #[arg(long, value_name = "ORIGIN", help_heading = "Listening")]
    allow_origin: Vec<String>,

    /// Speak without TLS beyond loopback, to clients and to upstream: everything can be read on the way.
    #[arg(long, help_heading = "Listening")]
    insecure_allow_plaintext: bool,

    /// Address and port of /metrics, /healthz and /readyz, in plain text [default: none].
    #[arg(long, value_name = "ADDR", help_heading = "Listening")]
    pub(crate) metrics_listen: Option<String>,

    /// Connections at one time; more have to wait.
    #[arg(long, value_name = "COUNT", default_value_t = 20_000, value_parser = count(), help_heading = "Limits")]
    max_connections: u32,

    /// Sessions at one time; more are answered 503.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = count(), help_heading = "Limits")]
    max_sessions: u32,

    /// Bytes of a request's head; more are answered 431.
    #[arg(long, value_name = "BYTES", default_value_t = 512 * 1024, value_parser = clap::value_parser!(u32).range(1024..=16 * 1024 * 1024), help_heading = "Limits")]
    max_header_bytes: u32,

    /// Bytes of the body of a plain request; more are answered 413.
    #[arg(long, value_name = "BYTES", default_value_t = 64 * 1024 * 1024, help_heading = "Limits")]
    max_body_bytes: u64,

    /// Seconds from a connection to the end of its upgrade, TLS included, for the client and again for upstream.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600), help_heading = "Limits")]
    handshake_timeout: u64,

    /// Seconds that running sessions may go on after SIGTERM, before they are ended with a status.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, help_heading = "Limits")]
    drain_timeout: u32,

    /// Seconds between two heartbeats on each connection of a session; 0 sends none.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, help_heading = "Limits")]
    ping_interval: u32,

    /// Seconds without any byte from a peer after which it is taken for dead; 0 waits for TCP. A peer that has data
    /// of the session to deal with is given any time.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, help_heading = "Limits")]
    peer_timeout: u32,

    /// Seconds without data in either direction after which a session is ended; 0 never ends it.
    #[arg(long, value_name = "SECONDS", default_value_t = 4 * 3600, help_heading = "Limits")]
    idle_timeout: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Demand {
    /// Nobody gets in without.
    #[default]
    Required,
    /// A client may show one, or none; a wrong one is refused.
    Optional,
}

impl Serving {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            head_bytes: self.max_header_bytes as usize,
            handshake: Duration::from_secs(self.handshake_timeout),
            ping_interval: seconds(self.ping_interval),
            peer_timeout: seconds(self.peer_timeout),
            idle: seconds(self.idle_timeout),
            ..Limits::HOST
        }
    }

    pub(crate) fn options(&self) -> ServerOptions {
        let identity = self.tls_cert_file.clone().zip(self.tls_private_key_file.clone());
        let clients = self
            .client_ca_file
            .clone()
            .map(|ca| ClientCertificates { ca, required: self.client_certificates == Demand::Required });
        ServerOptions {
            tls: identity
                .map(|(certificate, key)| ServerTls { identity: Identity { certificate, key }, clients }),
            insecure_allow_plaintext: self.insecure_allow_plaintext,
            allowed_origins: self.allow_origin.clone(),
            max_connections: self.max_connections as usize,
            max_sessions: self.max_sessions as usize,
            max_body_bytes: self.max_body_bytes,
            drain_timeout: Duration::from_secs(self.drain_timeout.into()),
            ..ServerOptions::default()
        }
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

fn count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}
