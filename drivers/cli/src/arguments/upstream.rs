use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use strait_tokio::UpstreamKind;
use strait_tokio::gateway::{FeatureGates, UpstreamProtocol};
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

    /// What upstream speaks. `auto` tries WebSocket, then SPDY, and remembers what worked.
    #[arg(long, value_enum, value_name = "PROTOCOL", default_value_t)]
    upstream_protocol: Protocol,

    /// What upstream is, which decides the paths and queries that it gets.
    #[arg(long, value_enum, value_name = "KIND", default_value_t)]
    upstream_kind: Kind,

    /// Feature gates of Kubernetes, as `NAME=true,NAME=false`; all are on.
    ///
    /// `TranslateStreamCloseWebsocketRequests`: off, WebSocket v5 requests are passed on.
    /// `PortForwardWebsockets`: off, port-forward in a tunnel is passed on.
    /// `ExtendWebSocketsToKubelet`: off, `auto` does not ask a kubelet for WebSocket.
    /// `AuthorizePodWebsocketUpgradeCreatePermission`: off, what is translated from WebSocket asks upstream for the
    /// permission that the client's GET asks for, not for `create`. `AllBeta` is for all that are not named.
    #[arg(long, value_name = "GATES", default_value = "", value_parser = gates)]
    feature_gates: FeatureGates,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Protocol {
    Auto,
    #[default]
    Spdy,
    Websocket,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Kind {
    /// An API server, or a strait node: paths and queries are passed on unchanged.
    #[default]
    Api,
    /// A kubelet: `/exec/{ns}/{pod}/{container}?input=1...`.
    Kubelet,
}

fn gates(list: &str) -> Result<FeatureGates, String> {
    FeatureGates::parse(list).map_err(|error| error.to_string())
}

impl UpstreamOptions {
    pub(crate) const fn protocol(&self) -> UpstreamProtocol {
        match self.upstream_protocol {
            Protocol::Auto => UpstreamProtocol::Auto,
            Protocol::Spdy => UpstreamProtocol::Spdy,
            Protocol::Websocket => UpstreamProtocol::WebSocket,
        }
    }

    pub(crate) const fn gates(&self) -> FeatureGates {
        self.feature_gates
    }

    pub(crate) fn open(self) -> anyhow::Result<strait_tokio::Upstream> {
        if self.insecure_upstream_skip_tls_verify {
            tracing::warn!("upstream's certificate is not verified");
        }
        let kind = match self.upstream_kind {
            Kind::Api => UpstreamKind::Api,
            Kind::Kubelet => UpstreamKind::Kubelet,
        };
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
            .map(|upstream| upstream.with_kind(kind))
            .with_context(|| format!("cannot use upstream {}", self.upstream))
    }
}
