use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, anyhow};
use strait_tokio::gateway::Gateway;
use strait_tokio::node::{MainProcess, Node};
use strait_tokio::{Exposed, Metrics, Shutdown, operations};
use tokio::net::{TcpListener, lookup_host};

use crate::arguments;

/// Runs a gateway until it has stopped.
pub(crate) async fn gateway(arguments: arguments::Gateway, shutdown: Shutdown) -> anyhow::Result<()> {
    let options = arguments.serving.options();
    let (metrics, scheme) = (options.metrics.clone(), scheme(options.tls.is_some()));
    let (protocol, gates) = (arguments.upstream.protocol(), arguments.upstream.gates());
    let gateway = Gateway::new(arguments.upstream.open()?)
        .with_upstream_protocol(protocol)
        .with_feature_gates(gates)
        .with_limits(arguments.serving.limits())
        .with_options(options)?;
    let operations = Operations::bind(&arguments.serving, metrics).await?;
    let listener = bind(&arguments.serving.listen, |address| gateway.check(address)).await?;
    ready(scheme, &listener)?;
    operations.beside(gateway.serve(listener, shutdown.clone()), shutdown).await
}

/// Runs a node until it has stopped.
pub(crate) async fn node(arguments: arguments::Node, shutdown: Shutdown) -> anyhow::Result<()> {
    let options = arguments.serving.options();
    let (metrics, scheme) = (options.metrics.clone(), scheme(options.tls.is_some()));
    let main = MainProcess::new(arguments.main);
    let main = if arguments.main_tty { main.on_terminal() } else { main };
    let mut node = Node::new(&arguments.pod)
        .with_main_process(main)
        .with_protocols(&arguments.spdy_protocols, &arguments.websocket_protocols)
        .with_limits(arguments.serving.limits())
        .with_options(options)?;
    if let Some(file) = &arguments.token_file {
        node = node.with_token_file(file)?;
    }
    let operations = Operations::bind(&arguments.serving, metrics).await?;
    let listener = bind(&arguments.serving.listen, |address| node.check(address)).await?;
    ready(scheme, &listener)?;
    operations.beside(node.serve(listener, shutdown.clone()), shutdown).await
}

/// The listener for metrics, if there is one.
struct Operations(Option<(TcpListener, Metrics)>);

impl Operations {
    async fn bind(serving: &arguments::Serving, metrics: Metrics) -> anyhow::Result<Self> {
        let Some(address) = &serving.metrics_listen else { return Ok(Self(None)) };
        let plaintext = serving.options().insecure_allow_plaintext;
        let listener = bind(address, |address| operations::check(address, plaintext)).await?;
        tracing::info!(address = %listener.local_addr()?, "metrics");
        Ok(Self(Some((listener, metrics))))
    }

    /// Answers as long as the server runs, and so also while it drains.
    async fn beside(
        self,
        server: impl Future<Output = std::io::Result<()>>,
        shutdown: Shutdown,
    ) -> anyhow::Result<()> {
        let Self(Some((listener, metrics))) = self else { return Ok(server.await?) };
        tokio::select! {
            result = server => Ok(result?),
            result = operations::serve(listener, metrics, shutdown) => Ok(result?),
        }
    }
}

/// Binds a listener, if `check` lets it be bound where `address` says.
async fn bind(
    address: &str,
    check: impl Fn(SocketAddr) -> Result<(), Exposed>,
) -> anyhow::Result<TcpListener> {
    let context = || format!("cannot listen on {address}");
    let addresses: Vec<_> = lookup_host(address).await.with_context(context)?.collect();
    for &address in &addresses {
        check(address).map_err(|exposed| anyhow!("{exposed} ({})", flags(&exposed)))?;
    }
    TcpListener::bind(&addresses[..]).await.with_context(context)
}

/// The flags that help.
const fn flags(exposed: &Exposed) -> &'static str {
    match exposed {
        Exposed::Plaintext(_) => "--tls-cert-file and --tls-private-key-file, or --insecure-allow-plaintext",
        Exposed::Unauthenticated(_) => "--token-file or --client-ca-file",
        Exposed::LentIdentity(_) => "--client-ca-file",
        Exposed::PlaintextUpstream => "--insecure-allow-plaintext",
    }
}

/// Says on standard output that connections are accepted: the one line that scripts wait for.
fn ready(scheme: &str, listener: &TcpListener) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready {scheme}://{address}")
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}

const fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}
