//! The program `strait`.

mod arguments;
mod demo;
mod logging;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use strait::Limits;
use strait_tokio::Upstream;
use strait_tokio::gateway::Gateway;
use strait_tokio::node::Node;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::arguments::{Arguments, Program};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(arguments.verbose, arguments.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(arguments.program)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(program: Program) -> anyhow::Result<ExitCode> {
    let stop = stop_on_signal()?;
    match program {
        Program::Demo(demo) => return demo::run(demo.once, stop).await,
        Program::Gateway(options) => {
            let upstream = Upstream::parse(&options.upstream)
                .with_context(|| format!("cannot use upstream {}", options.upstream))?;
            let limits = Limits { handshake: Duration::from_secs(options.handshake_timeout), ..Limits::HOST };
            let listener = listen(&options.listen.listen).await?;
            Gateway::new(upstream).with_limits(limits).serve(listener, stop).await?;
        }
        Program::Node(options) => {
            let listener = listen(&options.listen.listen).await?;
            Node::new(&options.pod).serve(listener, stop).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Binds the listener and says so on standard output, the one line that scripts wait for.
async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    anyhow::ensure!(
        address.ip().is_loopback(),
        "{address} is not a loopback address: this version has no TLS and no authentication, so it listens on \
         loopback only"
    );
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready http://{address}")
        .and_then(|()| out.flush())
        .context("cannot write to standard output")?;
    Ok(listener)
}

/// Cancelled by the first SIGINT or SIGTERM; the second ends the program at once.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if token.is_cancelled() {
                std::process::exit(130);
            }
            tracing::info!("stopping");
            token.cancel();
        }
    });
    Ok(stop)
}
