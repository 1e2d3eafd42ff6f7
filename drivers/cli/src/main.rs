//! The program `strait`.

mod arguments;
mod demo;
mod logging;
mod serve;

use std::process::ExitCode;

use clap::Parser;
use strait_tokio::Shutdown;
use tokio::signal::unix::{SignalKind, signal};

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
    let shutdown = shutdown_on_signal()?;
    match program {
        Program::Demo(demo) => return demo::run(demo.once, shutdown).await,
        Program::Gateway(arguments) => serve::gateway(arguments, shutdown).await?,
        Program::Node(arguments) => Box::pin(serve::node(arguments, shutdown)).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// SIGTERM drains. SIGINT, or any second signal, ends running sessions with a status; one more ends the program at once.
fn shutdown_on_signal() -> anyhow::Result<Shutdown> {
    let shutdown = Shutdown::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let servers = shutdown.clone();
    tokio::spawn(async move {
        loop {
            let drain = tokio::select! {
                _ = interrupt.recv() => false,
                _ = terminate.recv() => !servers.is_draining(),
            };
            if servers.is_closing() {
                std::process::exit(130);
            }
            if drain {
                tracing::info!("draining: no new sessions");
                servers.drain();
            } else {
                tracing::info!("stopping: running sessions are ended");
                servers.close();
            }
        }
    });
    Ok(shutdown)
}
