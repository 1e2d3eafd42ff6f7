use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use strait_tokio::tls::{ClientTls, Identity};

/// Where requests go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Upstream")]
pub(crate) struct UpstreamOptions {
    /// Where requests go, for example `https://127.0.0.1:10250`.
    #[arg(long, value_name = "URL")]
    upstream: String,

    /// Certificates of the CAs that may have signed upstream's certificate [default: those of this system].
    #[arg(long, value_name = "FILE")]
    upstream_ca_file: Option<PathBuf>,

    /// Name in upstream's certificate, if it is not the host of the URL.
    #[arg(long, value_name = "NAME")]
    upstream_server_name: Option<String>,

    /// Certificate to show to upstream. Every client of the gateway then acts with it.
    #[arg(long, value_name = "FILE", requires = "upstream_client_key")]
    upstream_client_certificate: Option<PathBuf>,

    /// Key of that certificate.
    #[arg(long, value_name = "FILE", requires = "upstream_client_certificate")]
    upstream_client_key: Option<PathBuf>,

    /// Take anybody for upstream: whoever is on the way gets the credentials of all clients.
    #[arg(long, conflicts_with = "upstream_ca_file")]
    insecure_upstream_skip_tls_verify: bool,
}

impl UpstreamOptions {
    pub(crate) fn open(self) -> anyhow::Result<strait_tokio::Upstream> {
        if self.insecure_upstream_skip_tls_verify {
            tracing::warn!("upstream's certificate is not verified");
        }
        let identity = self
            .upstream_client_certificate
            .zip(self.upstream_client_key)
            .map(|(certificate, key)| Identity { certificate, key });
        let tls = ClientTls {
            ca: self.upstream_ca_file,
            identity,
            server_name: self.upstream_server_name,
            insecure_skip_verify: self.insecure_upstream_skip_tls_verify,
        };
        strait_tokio::Upstream::with_tls(&self.upstream, tls)
            .with_context(|| format!("cannot use upstream {}", self.upstream))
    }
}
