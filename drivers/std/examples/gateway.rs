//! A gateway without an async runtime. It takes the arguments that `strait gateway` takes, but for those of TLS, metrics and the
//! format of the log: `gateway --listen HOST:PORT --upstream http://HOST:PORT`. SIGTERM drains; SIGINT, or a second signal, ends running
//! sessions with a status; one more ends the program at once.

use std::error::Error;
use std::io::{self, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use clap::{ArgAction, Parser};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use strait::Limits;
use strait::gateway::{FeatureGates, Planner, UpstreamKind, UpstreamProtocol};
use strait_std::{Gateway, ServerOptions, Stop};
use tracing_subscriber::filter::LevelFilter;

#[derive(Parser)]
struct Arguments {
    /// `gateway`, as in `strait gateway`.
    _program: Option<String>,
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    #[arg(long)]
    upstream: String,
    #[arg(long, default_value = "spdy")]
    upstream_protocol: String,
    #[arg(long, default_value = "api")]
    upstream_kind: String,
    #[arg(long, default_value = "")]
    feature_gates: String,
    #[arg(long)]
    allow_origin: Vec<String>,
    #[arg(long)]
    insecure_allow_plaintext: bool,
    #[arg(long, default_value_t = ServerOptions::default().max_connections)]
    max_connections: usize,
    #[arg(long, default_value_t = ServerOptions::default().max_sessions)]
    max_sessions: usize,
    #[arg(long, default_value_t = ServerOptions::default().max_body_bytes)]
    max_body_bytes: u64,
    #[arg(long, default_value_t = Limits::HOST.head_bytes)]
    max_header_bytes: usize,
    #[arg(long, default_value_t = Limits::HOST.handshake.as_secs())]
    handshake_timeout: u64,
    #[arg(long, default_value_t = Limits::HOST.ping_interval.as_secs())]
    ping_interval: u64,
    #[arg(long, default_value_t = Limits::HOST.peer_timeout.as_secs())]
    peer_timeout: u64,
    #[arg(long, default_value_t = Limits::HOST.idle.as_secs())]
    idle_timeout: u64,
    #[arg(long, default_value_t = ServerOptions::default().drain_timeout.as_secs())]
    drain_timeout: u64,
    #[arg(short, action = ArgAction::Count)]
    verbose: u8,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let level = if arguments.verbose > 0 { LevelFilter::DEBUG } else { LevelFilter::INFO };
    tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_ansi(false).init();
    let seconds = Duration::from_secs;
    let planner = Planner {
        protocol: match arguments.upstream_protocol.as_str() {
            "auto" => UpstreamProtocol::Auto,
            "spdy" => UpstreamProtocol::Spdy,
            "websocket" => UpstreamProtocol::WebSocket,
            other => return Err(format!("no upstream protocol {other}").into()),
        },
        kind: match arguments.upstream_kind.as_str() {
            "api" => UpstreamKind::Api,
            "kubelet" => UpstreamKind::Kubelet,
            other => return Err(format!("no upstream kind {other}").into()),
        },
        gates: FeatureGates::parse(&arguments.feature_gates).map_err(|error| error.to_string())?,
        ..Planner::default()
    };
    let limits = Limits {
        head_bytes: arguments.max_header_bytes,
        handshake: seconds(arguments.handshake_timeout),
        ping_interval: seconds(arguments.ping_interval),
        peer_timeout: seconds(arguments.peer_timeout),
        idle: seconds(arguments.idle_timeout),
        ..Limits::HOST
    };
    let options = ServerOptions {
        insecure_allow_plaintext: arguments.insecure_allow_plaintext,
        allowed_origins: arguments.allow_origin,
        max_connections: arguments.max_connections,
        max_sessions: arguments.max_sessions,
        max_body_bytes: arguments.max_body_bytes,
        drain_timeout: seconds(arguments.drain_timeout),
    };
    let authority = arguments.upstream.strip_prefix("http://").ok_or("upstream is not http://HOST:PORT")?;
    let gateway = Gateway::new(authority.trim_end_matches('/'))
        .with_planner(planner)
        .with_limits(limits)
        .with_options(options);

    let stop = stop_on_signal()?;
    let listener = TcpListener::bind(&arguments.listen)?;
    writeln!(io::stdout(), "ready http://{}", listener.local_addr()?)?;
    gateway.serve(listener, &stop)?;
    Ok(())
}

fn stop_on_signal() -> io::Result<Stop> {
    let stop = Stop::new();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let server = stop.clone();
    thread::spawn(move || {
        for (count, signal) in signals.forever().enumerate() {
            if server.is_closing() {
                std::process::exit(130);
            }
            if signal == SIGTERM && count == 0 { server.drain() } else { server.close() }
        }
    });
    Ok(stop)
}
