use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use spdyspec::{Case, Dialect, Outcome, Profile, Programs, Target, Verdict};
use strait_tests::{EXEC_PATH, PORT_FORWARD_PATH, Server, strait};

use crate::install::{GoPeers, npm, place, source};
use crate::table::{Cell, Cells, Row, Suite, Table};

/// The conformance suite of `tests/spdyspec` against Strait and against others, as server and as client.
pub(crate) const SUITE: Suite = Suite { name: "spdyspec", tables, required: true, sliced: false };

/// What an answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What was seen in each case.
type Record = BTreeMap<String, String>;

fn tables(_full: bool) -> Result<Vec<Table>, String> {
    let go = GoPeers::build("go")?;
    let (transport, version) = npm("spdy-transport", "spdy-transport")?;
    let script = transport.join("server.js");
    fs::copy(source("spdy-transport/server.js"), &script).map_err(|error| format!("server.js: {error}"))?;
    let configuration = place("spdyspec")?.join("kubeconfig");
    fs::write(&configuration, "").map_err(|error| error.to_string())?;

    let server = go.program("server");
    let servers = vec![
        server_row("Strait".into(), "strait", Server::node),
        server_row(format!("Go {}", go.version), "go", move || {
            Server::of(Command::new(server).env("MAIN", "cat"))
        }),
        server_row(format!("spdy-transport {version}"), "spdy-transport", move || {
            Server::of(Command::new("node").arg(script))
        }),
    ];
    let strait = format!(
        "KUBECONFIG={} KUBECTL_REMOTE_COMMAND_WEBSOCKETS={{}} {} exec --server={{server}} -i demo -- cat",
        configuration.display(),
        strait().display()
    );
    let client = go.program("client");
    let client = format!("{} --server={{server}} --transport={{}} exec -i demo -- cat", client.display());
    let clients = vec![
        client_row("Strait".into(), "strait-client", &strait, ["false", "true"]),
        client_row(format!("Go {}", go.version), "go-client", &client, ["spdy", "websocket"]),
    ];
    let known =
        "3+1 of 4: one case differs in a way that the peer's profile explains. –: the peer does not have it.";
    let record =
        "`tests/peers/spdyspec/*.json` have what was seen in each case; `STRAIT_RECORD=1` writes them.";
    Ok(vec![
        table(
            "The cases of [CONFORMANCE.md](CONFORMANCE.md) for servers, by section: those that conform, of all.",
            servers,
            false,
            vec![],
        ),
        table("And for clients.", clients, true, vec![known.into(), record.into()]),
    ])
}

fn table(about: &str, rows: Vec<Row>, of_clients: bool, notes: Vec<String>) -> Table {
    Table { about: about.into(), columns: sections(of_clients), rows, notes }
}

fn cases(of_clients: bool) -> Vec<&'static Case> {
    spdyspec::cases().filter(|case| case.kind.is_client() == of_clients).collect()
}

fn sections(of_clients: bool) -> Vec<String> {
    let mut sections: Vec<String> = cases(of_clients).iter().map(|case| case.section().into()).collect();
    sections.dedup();
    sections
}

fn server_row(name: String, profile: &'static str, start: impl FnOnce() -> Server + Send + 'static) -> Row {
    let fill = move |cells: &Cells<'_>| {
        let profile = Profile::named(profile).expect("a profile");
        let server = start();
        let target = Target {
            address: server.address().to_string(),
            exec: EXEC_PATH.into(),
            forward: PORT_FORWARD_PATH.into(),
            dialect: Dialect::Api,
            fields: Vec::new(),
            http_headers: profile.http_headers,
            limit: LIMIT,
        };
        let outcomes =
            spdyspec::run(&cases(false), Some(&target), &Programs::default(), profile, |_: &Outcome| {});
        check(cells, profile, &outcomes, false);
    };
    Row { name, fill: Box::new(fill) }
}

/// `command` with its transport left out: the words for SPDY and for WebSocket.
fn client_row(name: String, profile: &'static str, command: &str, [spdy, websocket]: [&str; 2]) -> Row {
    let programs = Programs {
        spdy: Some(command.replace("{}", spdy)),
        websocket: Some(command.replace("{}", websocket)),
        listen: None,
        limit: LIMIT,
    };
    let fill = move |cells: &Cells<'_>| {
        let profile = Profile::named(profile).expect("a profile");
        let outcomes = spdyspec::run(&cases(true), None, &programs, profile, |_: &Outcome| {});
        check(cells, profile, &outcomes, true);
    };
    Row { name, fill: Box::new(fill) }
}

fn check(cells: &Cells<'_>, profile: &Profile, outcomes: &[Outcome], of_clients: bool) {
    let record = recorded(profile.name, outcomes);
    for section in sections(of_clients) {
        let of_section: Vec<_> =
            outcomes.iter().filter(|outcome| outcome.case.section() == section).collect();
        cells.check(&section, || cell(profile, &of_section, &record));
    }
}

fn cell(profile: &Profile, outcomes: &[&Outcome], record: &Record) -> Cell {
    let count = |verdict| outcomes.iter().filter(|outcome| outcome.verdict == verdict).count();
    let other = |outcome: &&&Outcome| {
        outcome.verdict == Verdict::Unexpected || !is_as_recorded(profile, outcome, record)
    };
    let others: Vec<_> = outcomes.iter().filter(other).collect();
    if !others.is_empty() {
        let told = others.iter().map(|outcome| {
            let case = outcome.case;
            format!("{} {}: {:?}, not {:?}", case.number, case.title, outcome.seen, record.get(case.number))
        });
        return Cell::Failed(told.collect::<Vec<_>>().join("\n"));
    }
    match (count(Verdict::Conforms), count(Verdict::Known), count(Verdict::NotRun)) {
        (0, 0, _) => Cell::Absent,
        (conform, 0, 0) => Cell::Value(format!("{conform} of {}", outcomes.len())),
        (conform, known, 0) => Cell::Value(format!("{conform}+{known} of {}", outcomes.len())),
        (.., missing) => Cell::NotRun(format!("{missing} of {} cases", outcomes.len())),
    }
}

/// The same was seen, or something else that conforms as well, or another end of a race that the profile knows. A case that the
/// peer passes, but for a deviation that comes now and then, is recorded as passed.
fn is_as_recorded(profile: &Profile, outcome: &Outcome, record: &Record) -> bool {
    let Some(before) = record.get(outcome.case.number) else { return outcome.verdict == Verdict::NotRun };
    let (before, seen) = (before.as_str(), outcome.seen.as_str());
    let conforms = outcome.case.conforms;
    let known = profile.deviation(outcome.case.number).map_or(&[][..], |deviation| deviation.seen);
    before == seen
        || (conforms.contains(&before) && (conforms.contains(&seen) || known.contains(&seen)))
        || (known.contains(&before) && known.contains(&seen))
}

fn recorded(name: &str, outcomes: &[Outcome]) -> Record {
    let path: PathBuf = source("spdyspec").join(format!("{name}.json"));
    if env::var_os("STRAIT_RECORD").is_some() {
        let run = outcomes.iter().filter(|outcome| outcome.verdict != Verdict::NotRun);
        let lines: Vec<String> = run
            .map(|outcome| format!("  \"{}\": {}", outcome.case.number, serde_json::json!(outcome.seen)))
            .collect();
        fs::create_dir_all(source("spdyspec")).expect("a directory");
        fs::write(&path, format!("{{\n{}\n}}\n", lines.join(",\n"))).expect("the record can be written");
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("a behaviour for each case")
}
