//! The program `strait`.

mod arguments;
mod client;
mod cp;
mod demo;
mod documents;
mod logging;
mod port_forward;
mod serve;

use std::io;
use std::process::ExitCode;

use clap::Parser;
use strait_tokio::Shutdown;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Arguments, Program};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_client = arguments.program.is_client();
    if is_client {
        logging::start_client(arguments.verbosity(), arguments.log_format);
        client::restore_on_panic();
    } else {
        logging::start(arguments.verbosity(), arguments.log_format);
    }
    let runtime = match runtime(is_client) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(arguments.program));
    // A read of standard input that nobody waits for any more does not keep the program.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, as far as it does not tell them itself.
fn told(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |told, cause| {
        let cause = cause.to_string();
        if told.ends_with(&cause) { told } else { format!("{told}: {cause}") }
    })
}

/// One thread is enough for one session.
fn runtime(is_client: bool) -> io::Result<Runtime> {
    let mut builder = if is_client { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().build()
}

async fn run(program: Program) -> anyhow::Result<ExitCode> {
    match program {
        Program::Demo(demo) => return demo::run(demo.once, shutdown_on_signal()?).await,
        Program::Gateway(arguments) => serve::gateway(arguments, shutdown_on_signal()?).await?,
        Program::Node(arguments) => Box::pin(serve::node(arguments, shutdown_on_signal()?)).await?,
        Program::Exec(arguments) => return client::exec(arguments).await,
        Program::Attach(arguments) => return client::attach(arguments).await,
        Program::Cp(arguments) => return cp::copy(arguments).await,
        Program::PortForward(arguments) => return port_forward::run(arguments).await,
        Program::Completion { shell } => documents::completion(shell),
        Program::Man { directory } => documents::manual(&directory)?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_cause_is_told_once() {
        let cause = Err::<(), _>(io::Error::other("no such file"));
        let error = cause.context("cannot read it: no such file").context("no configuration").unwrap_err();
        assert_eq!(told(&error), "no configuration: cannot read it: no such file");
        let error = anyhow::Error::msg("down").context("cannot connect");
        assert_eq!(told(&error), "cannot connect: down");
    }
}
