use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::arguments::LogFormat;

/// Sends the log of a server to standard error. `RUST_LOG` overrides the level.
pub(crate) fn start(verbosity: u8, format: LogFormat) {
    let level = match verbosity {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    log(EnvFilter::builder().with_default_directive(level.into()).from_env_lossy(), format);
}

/// Sends the log of a client to standard error: nothing but warnings, unless kubectl's levels ask for requests. `RUST_LOG` overrides them.
pub(crate) fn start_client(verbosity: u8, format: LogFormat) {
    let directives = match verbosity {
        0..=5 => "warn",
        6 => "warn,strait::request=debug",
        7 | 8 => "warn,strait::request=trace",
        9.. => "warn,strait=trace,strait_tokio=trace,strait::request=trace",
    };
    log(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives)), format);
}

fn log(filter: EnvFilter, format: LogFormat) {
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
}
