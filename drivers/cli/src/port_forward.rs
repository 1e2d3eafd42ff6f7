//! `strait port-forward`: local ports that lead to ports of a pod, for as long as the user wants.
//!
//! All connections share one to the API server. When that is lost, what was forwarded on it is lost, the user is told, and
//! another one is made, with back-off; a connection that comes meanwhile waits for it.

mod ports;
mod statistics;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use strait::k8s::Pod;
use strait_tokio::client::{ConnectError, Executor, Forwarding};
use strait_tokio::port_forward::{ForwardError, Forwarded, Forwarder, OpenError};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::arguments::ServerOptions;
use crate::client::transport;
use ports::Ports;
use statistics::{Counted, Statistics};

/// kubectl's switch between the WebSocket tunnel and SPDY.
const WEBSOCKETS: &str = "KUBECTL_PORT_FORWARD_WEBSOCKETS";

/// How long a connection waits for one to the API server.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pause in front of the first attempt to connect again, which doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct PortForward {
    /// Name of the pod, or `pod/NAME`.
    #[arg(value_name = "POD")]
    pod: String,

    /// `[LOCAL:]REMOTE`: the port here and the port of the pod. Without LOCAL it is the same one, and with `:REMOTE` any free one.
    #[arg(value_name = "PORTS", required = true)]
    ports: Vec<Ports>,

    /// Addresses to listen on, with commas between; `localhost` is 127.0.0.1 and `[::1]`, as far as there are any.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "localhost")]
    address: Vec<String>,

    /// Print errors only.
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    server: ServerOptions,
}

/// What leads to the pod, if the connection stands.
type Road = Option<Forwarder>;

pub(crate) async fn run(arguments: PortForward) -> anyhow::Result<ExitCode> {
    let PortForward { pod, ports, address, quiet, server } = arguments;
    let place = server.find(&pod, None, true).await?;
    ensure!(
        place.info.phase == "Running",
        "unable to forward port because pod is not running. Current status={}",
        place.info.phase
    );
    let executor = Executor::new(place.server.clone()).with_transport(transport(WEBSOCKETS));
    let pod = Pod { container: None, ..place.pod() };
    // Whoever mistypes something wants to know it, rather than that it is tried again.
    let first = executor.port_forward(&pod).await?;
    let statistics = Arc::new(Statistics::default());
    let (roads, road) = watch::channel(None);
    let mut listening = 0;
    for ports in &ports {
        listening += listen(*ports, &address, quiet, &road, &statistics).await?;
    }
    ensure!(listening > 0, "unable to listen on any of the requested ports");
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let result = tokio::select! {
        result = keep_connected(&executor, &pod, first, &roads, quiet, &statistics) => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    if let Some(forwarder) = roads.send_replace(None) {
        forwarder.close();
    }
    if !quiet {
        eprintln!("{statistics}");
    }
    result.map(|()| ExitCode::SUCCESS)
}

/// Runs the connection to the API server, and makes another one when it has ended. It ends when there is none to be had: the pod is gone,
/// or this user may not.
async fn keep_connected(
    executor: &Executor,
    pod: &Pod<'_>,
    first: (Forwarder, Forwarding),
    roads: &watch::Sender<Road>,
    quiet: bool,
    statistics: &Statistics,
) -> anyhow::Result<()> {
    let (mut forwarder, mut connection) = first;
    loop {
        roads.send_replace(Some(forwarder));
        let end = connection.await;
        roads.send_replace(None);
        eprintln!("lost connection to pod: {end}; connecting again");
        let mut pause = FIRST_PAUSE;
        (forwarder, connection) = loop {
            sleep(pause).await;
            match executor.port_forward(pod).await {
                Ok(next) => break next,
                Err(ConnectError::Refused { status: status @ (401 | 403 | 404 | 410), message }) => {
                    bail!("lost connection to pod: {message} (status {status})");
                }
                Err(error) => {
                    pause = LONGEST_PAUSE.min(pause * 2);
                    eprintln!("{error}; next attempt in {:.1} s", pause.as_secs_f64());
                }
            }
        };
        statistics.reconnected();
        if !quiet {
            eprintln!("connected to pod again");
        }
    }
}

/// Listens for one pair of ports on all addresses, and says how many there are.
async fn listen(
    ports: Ports,
    addresses: &[String],
    quiet: bool,
    road: &watch::Receiver<Road>,
    statistics: &Arc<Statistics>,
) -> anyhow::Result<usize> {
    let (mut count, mut local) = (0, ports.local);
    for address in resolve(addresses, local).await? {
        let listener = match TcpListener::bind(SocketAddr::new(address.ip(), local)).await {
            Ok(listener) => listener,
            // kubectl's rule: it is enough that one of the addresses can be listened on.
            Err(error) => {
                eprintln!("unable to listen on {}: {error}", SocketAddr::new(address.ip(), local));
                continue;
            }
        };
        let address = listener.local_addr()?;
        // A free port is to be the same one on all addresses.
        local = address.port();
        if !quiet {
            println!("Forwarding from {address} -> {}", ports.remote);
        }
        tokio::spawn(accept(listener, ports.remote, quiet, road.clone(), Arc::clone(statistics)));
        count += 1;
    }
    ensure!(count > 0, "unable to listen on port {}", ports.local);
    Ok(count)
}

async fn resolve(addresses: &[String], port: u16) -> anyhow::Result<Vec<SocketAddr>> {
    let mut resolved = Vec::new();
    for address in addresses {
        if address == "localhost" {
            resolved.push(SocketAddr::from(([127, 0, 0, 1], port)));
            let six = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port));
            // A system without IPv6 is nothing to warn of.
            if TcpListener::bind(SocketAddr::new(six.ip(), 0)).await.is_ok() {
                resolved.push(six);
            }
            continue;
        }
        let found =
            lookup_host((&**address, port)).await.with_context(|| format!("no address: {address}"))?;
        resolved.extend(found);
    }
    Ok(resolved)
}

async fn accept(
    listener: TcpListener,
    remote: u16,
    quiet: bool,
    road: watch::Receiver<Road>,
    statistics: Arc<Statistics>,
) {
    loop {
        let (local, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("cannot accept a connection: {error}");
                sleep(FIRST_PAUSE).await;
                continue;
            }
        };
        if !quiet && let Ok(address) = local.local_addr() {
            println!("Handling connection for {}", address.port());
        }
        let (road, statistics) = (road.clone(), Arc::clone(&statistics));
        tokio::spawn(async move {
            if let Err(error) = forward(local, remote, road, &statistics).await {
                statistics.failed();
                eprintln!("error forwarding port {remote}: {error:#}");
            }
        });
    }
}

async fn forward(
    mut local: TcpStream,
    remote: u16,
    road: watch::Receiver<Road>,
    statistics: &Statistics,
) -> anyhow::Result<()> {
    let _ = local.set_nodelay(true);
    let forwarded = carry(&mut local, remote, road, statistics).await;
    if forwarded.is_err() {
        // A FIN would tell the local program that it has got all there is.
        let _ = local.set_zero_linger();
    }
    forwarded
}

async fn carry(
    local: &mut TcpStream,
    remote: u16,
    road: watch::Receiver<Road>,
    statistics: &Statistics,
) -> anyhow::Result<()> {
    let pair = timeout(PATIENCE, open(remote, road)).await.context("there is no connection to the pod")??;
    statistics.opened();
    match pair.join(Counted::new(local, statistics)).await {
        // The local program has gone, which is its right.
        Ok(()) | Err(ForwardError::Local(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a connection to the port on the road that there is, or on the next one.
async fn open(remote: u16, mut road: watch::Receiver<Road>) -> anyhow::Result<Forwarded> {
    loop {
        let forwarder = road.wait_for(Option::is_some).await?.clone();
        let Some(forwarder) = forwarder else { continue };
        match forwarder.open(remote).await {
            Err(error @ (OpenError::Closed | OpenError::IdsExhausted)) => {
                if error == OpenError::IdsExhausted {
                    // It goes on for what is open, and ends then.
                    forwarder.drain();
                }
                road.changed().await?;
            }
            other => return Ok(other?),
        }
    }
}
