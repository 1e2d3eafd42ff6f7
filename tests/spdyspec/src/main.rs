//! The runner of spdyspec. See the library.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, io::Write as _};

use clap::{Parser, ValueEnum};
use spdyspec::{Case, Dialect, Kind, Outcome, Profile, Programs, Report, Target, Verdict};

/// Looks at a server or a client of Kubernetes' streams: SPDY/3.1, RemoteCommand, port-forward, WebSocket.
#[derive(Debug, Parser)]
#[command(name = "spdyspec")]
struct Arguments {
    /// Cases (`3.7`) or sections (`3`); all of them by default.
    cases: Vec<String>,
    /// Prints all cases and profiles in Markdown.
    #[arg(long)]
    list: bool,
    /// What the suite plays: the client of the server at --target, or a server for --client-spdy and --client-websocket.
    #[arg(long, value_enum, default_value = "client")]
    role: Role,
    /// The server, as HOST:PORT.
    #[arg(long)]
    target: Option<String>,
    /// Path of exec.
    #[arg(long, default_value = "/api/v1/namespaces/default/pods/demo/exec")]
    exec_path: String,
    /// Path of port-forward.
    #[arg(long, default_value = "/api/v1/namespaces/default/pods/demo/portforward")]
    port_forward_path: String,
    /// How a query is spelled.
    #[arg(long, value_enum, default_value = "api")]
    query: Dialect,
    /// A header field of each request, for example `Authorization: Bearer TOKEN`; may be repeated.
    #[arg(long)]
    header: Vec<String>,
    /// A command line that runs a client with stdin, stdout and stderr over SPDY; `{server}` is http://HOST:PORT. Words are split at
    /// blanks.
    #[arg(long)]
    client_spdy: Option<String>,
    /// The same over WebSocket.
    #[arg(long)]
    client_websocket: Option<String>,
    /// Clients are started by hand: listens here, and waits a minute for each.
    #[arg(long)]
    listen: Option<String>,
    /// Known quirks of the peer.
    #[arg(long, default_value = "none")]
    profile: String,
    /// What the peer does not have; may be repeated.
    #[arg(long, value_enum)]
    without: Vec<Kind>,
    /// Seconds that an answer may take.
    #[arg(long, default_value_t = 5.0)]
    timeout: f32,
    /// Writes the result here.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Tells of each case, not only of those that do not conform.
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    Client,
    Server,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        print!("{}", spdyspec::list());
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let profile = Profile::named(&arguments.profile).ok_or_else(|| {
        let known: Vec<_> = spdyspec::PROFILES.iter().map(|profile| profile.name).collect();
        format!("no profile is called {}; there are {}", arguments.profile, known.join(", "))
    })?;
    let limit = Duration::try_from_secs_f32(arguments.timeout).map_err(|error| error.to_string())?;
    let as_server = arguments.role == Role::Server;
    let target = arguments.target.as_ref().map(|address| Target {
        address: address.clone(),
        exec: arguments.exec_path.clone(),
        forward: arguments.port_forward_path.clone(),
        dialect: arguments.query,
        fields: arguments.header.clone(),
        http_headers: profile.http_headers,
        limit,
    });
    let programs = Programs {
        spdy: arguments.client_spdy.clone(),
        websocket: arguments.client_websocket.clone(),
        listen: arguments.listen.clone(),
        limit,
    };
    if !as_server && target.is_none() {
        return Err("--target HOST:PORT is missing".into());
    }
    let wanted = wanted(arguments, as_server)?;
    let (wanted, left_out): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|case| !arguments.without.contains(&case.kind));
    let tell = |outcome: &Outcome| tell(outcome, arguments.verbose);
    let outcomes = spdyspec::run(&wanted, target.as_ref(), &programs, profile, tell);
    for case in &left_out {
        println!("NOT RUN    {:<6} {}: --without", case.number, case.title);
    }
    let name = match &target {
        Some(target) if !as_server => target.address.clone(),
        _ => "client".into(),
    };
    let report = Report { target: &name, profile, outcomes: &outcomes };
    println!("{}", report.table());
    let (unexpected, not_run) =
        (report.count(Verdict::Unexpected), report.count(Verdict::NotRun) + left_out.len());
    println!(
        "{} conform, {} differ as the profile {} says, {unexpected} unexpected, {not_run} NOT RUN",
        report.count(Verdict::Conforms),
        report.count(Verdict::Known),
        profile.name
    );
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report.json()).map_err(|error| error.to_string())?;
        fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(ExitCode::from(u8::from(unexpected > 0)))
}

/// The cases that were named, of the role that is played.
fn wanted(arguments: &Arguments, as_server: bool) -> Result<Vec<&'static Case>, String> {
    let named = |case: &Case, word: &str| case.number == word || case.section() == word;
    if let Some(word) = arguments.cases.iter().find(|word| !spdyspec::cases().any(|case| named(case, word))) {
        return Err(format!("there is no case {word}: see --list"));
    }
    let wanted = spdyspec::cases().filter(|case| {
        case.kind.is_client() == as_server
            && (arguments.cases.is_empty() || arguments.cases.iter().any(|word| named(case, word)))
    });
    let wanted: Vec<_> = wanted.collect();
    if wanted.is_empty() {
        return Err("these cases are for the other --role".into());
    }
    Ok(wanted)
}

fn tell(outcome: &Outcome, verbose: bool) {
    let Outcome { case, seen, verdict, time } = outcome;
    let word = match verdict {
        Verdict::Conforms if !verbose => return,
        Verdict::Conforms => "ok",
        Verdict::Known => "known",
        Verdict::Unexpected => "UNEXPECTED",
        Verdict::NotRun => "NOT RUN",
    };
    let mut out = std::io::stdout().lock();
    let _ =
        writeln!(out, "{word:<10} {:<6} {}: {seen} ({:.1} s)", case.number, case.title, time.as_secs_f32());
    if *verdict == Verdict::Unexpected {
        let _ = writeln!(out, "           expected: {} ({})", case.conforms.join(", or: "), case.source);
    }
}
