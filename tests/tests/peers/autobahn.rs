use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use serde_json::{Value, json};
use strait_tests::{Running, eventually, peers};

use crate::echo;
use crate::install::{place, source, step};
use crate::table::{Cell, Cells, Row, Suite, Table};

/// The Autobahn suite against the engine's WebSocket layer, as server and as client.
pub(crate) const SUITE: Suite = Suite { name: "autobahn", tables, required: true, sliced: false };

/// Of the suite. 8 and 11 do not exist; 12 and 13 are about compression.
const SECTIONS: [&str; 9] = ["1", "2", "3", "4", "5", "6", "7", "9", "10"];

/// What all cases of one role may take.
const PATIENCE: Duration = Duration::from_mins(8);

/// The verdict of each case.
type Verdicts = BTreeMap<String, String>;

fn tables(_full: bool) -> Result<Vec<Table>, String> {
    let wstest = install()?;
    let client = wstest.clone();
    Ok(vec![Table {
        about: "The engine's WebSocket layer. Cases that behave as recorded, of all, by section of the suite.".into(),
        columns: SECTIONS.map(String::from).into(),
        rows: vec![
            row("server", move || serve(&wstest)),
            row("client", move || connect(&client)),
        ],
        notes: vec![
            "`tests/peers/autobahn/{server,client}.json` have the verdict of each case; `STRAIT_RECORD=1` writes them.".into(),
        ],
    }])
}

fn row(role: &'static str, run: impl FnOnce() -> Result<Verdicts, String> + Send + 'static) -> Row {
    let fill = move |cells: &Cells<'_>| {
        let verdicts = run().unwrap_or_else(|error| panic!("{error}"));
        let recorded = recorded(role, &verdicts);
        for section in SECTIONS {
            cells.check(section, || compare(section, &verdicts, &recorded));
        }
    };
    Row { name: format!("as {role}"), fill: Box::new(fill) }
}

fn compare(section: &str, seen: &Verdicts, recorded: &Verdicts) -> Cell {
    let of_section = |all: &Verdicts| -> Verdicts {
        let cases = all.iter().filter(|(case, _)| case.split('.').next() == Some(section));
        cases.map(|(case, verdict)| (case.clone(), verdict.clone())).collect()
    };
    let (seen, recorded) = (of_section(seen), of_section(recorded));
    if seen != recorded || seen.is_empty() {
        let others = seen.iter().filter(|(case, verdict)| recorded.get(*case) != Some(*verdict));
        return Cell::Failed(format!(
            "{} of {}: {:?}",
            seen.len(),
            recorded.len(),
            others.collect::<Vec<_>>()
        ));
    }
    Cell::Value(format!("{} of {}", seen.len(), recorded.len()))
}

/// What was recorded for a role: verdict by verdict, the cases that got it.
fn recorded(role: &str, seen: &Verdicts) -> Verdicts {
    let path = source("autobahn").join(format!("{role}.json"));
    if env::var_os("STRAIT_RECORD").is_some() {
        let mut lists: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (case, verdict) in seen {
            lists.entry(verdict).or_default().push(case);
        }
        let text = serde_json::to_string_pretty(&lists).expect("JSON");
        fs::write(&path, text + "\n").expect("the record can be written");
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lists: BTreeMap<String, Vec<String>> = serde_json::from_str(&text).expect("lists of cases");
    lists
        .into_iter()
        .flat_map(|(verdict, cases)| cases.into_iter().map(move |case| (case, verdict.clone())))
        .collect()
}

/// Autobahn's suite is Python 2 code.
fn install() -> Result<PathBuf, String> {
    let home = peers().join("autobahn");
    let wstest = home.join("venv/bin/wstest");
    if wstest.exists() {
        return Ok(wstest);
    }
    let python = python_2().ok_or("no Python 2.7 on this machine, which the Autobahn suite is written in")?;
    let home = place("autobahn")?;
    let tool = home.join("virtualenv");
    let verified = ["install", "--quiet", "--no-deps", "--require-hashes", "--requirement"];
    let virtualenv = source("autobahn/virtualenv.txt");
    let mut pip = Command::new(&python);
    step(pip.args(["-m", "pip"]).args(verified).arg(virtualenv).arg("--target").arg(&tool))?;
    let mut create = Command::new(&python);
    step(create.args(["-m", "virtualenv", "--no-download"]).arg(home.join("venv")).env("PYTHONPATH", &tool))?;
    let mut pip = Command::new(home.join("venv/bin/pip"));
    step(pip.args(verified).arg(source("autobahn/requirements.txt")))?;
    Ok(wstest)
}

fn python_2() -> Option<PathBuf> {
    let own = env::home_dir()?.join(".pyenv/versions");
    let versions = fs::read_dir(own).into_iter().flatten().flatten();
    let candidates = versions.filter(|entry| entry.file_name().to_string_lossy().starts_with("2.7"));
    let mut candidates = candidates.map(|entry| entry.path().join("bin/python")).chain(["python2.7".into()]);
    candidates.find(|python| step(Command::new(python).arg("--version")).is_ok())
}

/// The suite as client: it comes to our server.
fn serve(wstest: &Path) -> Result<Verdicts, String> {
    let server = echo::serve().map_err(|error| error.to_string())?;
    let home = place("autobahn/server")?;
    let specification = json!({
        "outdir": "reports", "cases": ["*"], "exclude-cases": ["12.*", "13.*"], "exclude-agent-cases": {},
        "servers": [{"agent": "strait", "url": format!("ws://{server}")}],
    });
    let finished = start(wstest, "fuzzingclient", &home, &specification)?.finish();
    if !finished.status.success() {
        return Err(finished.stderr);
    }
    verdicts(&home)
}

/// The suite as server: our client comes once for each case.
fn connect(wstest: &Path) -> Result<Verdicts, String> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address: SocketAddr = free.map_err(|error| error.to_string())?;
    let home = place("autobahn/client")?;
    let specification = json!({
        "outdir": "reports", "cases": ["*"], "exclude-cases": ["12.*", "13.*"], "exclude-agent-cases": {},
        "url": format!("ws://{address}"),
    });
    let mut suite = start(wstest, "fuzzingserver", &home, &specification)?;
    eventually(Duration::from_secs(30), || TcpStream::connect(address).map_err(|error| error.to_string()));
    let get = |path: &str| echo::connect(address, path).map_err(|error| format!("{path}: {error}"));
    let count = get("/getCaseCount")?;
    let count: u32 = count.parse().map_err(|_| format!("no number of cases: {count:?}"))?;
    for case in 1..=count {
        // How it ends is for the suite to judge.
        let _ = get(&format!("/runCase?case={case}&agent=strait"));
    }
    get("/updateReports?agent=strait")?;
    suite.kill();
    verdicts(&home)
}

fn start(wstest: &Path, mode: &str, home: &Path, specification: &Value) -> Result<Running, String> {
    let file = home.join("specification.json");
    fs::write(&file, specification.to_string()).map_err(|error| error.to_string())?;
    let _ = fs::remove_dir_all(home.join("reports"));
    let mut command = Command::new(wstest);
    command.args(["--mode", mode, "--spec"]).arg(file).current_dir(home).stdin(Stdio::null());
    let mut running = Running::start(&mut command, PATIENCE);
    // It prints a line for each case.
    let mut stdout = running.stdout.take().ok_or("no output")?;
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    Ok(running)
}

fn verdicts(home: &Path) -> Result<Verdicts, String> {
    let index = fs::read(home.join("reports/index.json")).map_err(|error| format!("no report: {error}"))?;
    let index: Value = serde_json::from_slice(&index).map_err(|error| error.to_string())?;
    let cases = index["strait"].as_object().ok_or("a report of somebody else")?;
    let verdict = |case: &Value, name: &str| case[name].as_str().unwrap_or("none").to_owned();
    Ok(cases
        .iter()
        .map(|(case, result)| {
            let (data, close) = (verdict(result, "behavior"), verdict(result, "behaviorClose"));
            (case.clone(), format!("{data}, close {close}"))
        })
        .collect())
}
