use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;
use std::{fs, io, thread};

use serde_json::Value;
use strait_tests::{Running, Shores};

use crate::install::{source, step};
use crate::table::{Cell, Cells, Row, Suite, Table};

/// A browser, which is a client that others program: any page that a person looks at.
pub(crate) const SUITE: Suite = Suite { name: "browser", tables };

const PROTOCOLS: [&str; 5] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "v4.base64.channel.k8s.io",
];

/// What the browser may take from its start to the page's last word.
const PATIENCE: Duration = Duration::from_mins(3);

fn tables(_full: bool) -> Result<Vec<Table>, String> {
    let version =
        step(Command::new("chromium").arg("--version")).map_err(|why| format!("no Chromium: {why}"))?;
    let version = version.split(" built").next().unwrap_or_default().trim().to_owned();
    let fill = |host: &'static str, expects: fn(&str, &Value, &Path) -> bool| {
        move |cells: &Cells<'_>| {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let witness = directory.path().join("witness");
            let seen = look(host, &witness).unwrap_or_else(|error| panic!("{error}"));
            for protocol in PROTOCOLS {
                cells.check(protocol, || {
                    let seen = &seen[protocol];
                    if expects(protocol, seen, &witness) {
                        Cell::Same
                    } else {
                        Cell::Failed(seen.to_string())
                    }
                });
            }
        }
    };
    Ok(vec![Table {
        about:
            "Chromium, headless: pages that open a session with `new WebSocket`, through Strait, translated."
                .into(),
        columns: PROTOCOLS.map(String::from).into(),
        rows: vec![
            Row {
                name: format!("{version}, a page that is allowed"),
                fill: Box::new(fill("127.0.0.1", has_session)),
            },
            Row {
                name: format!("{version}, a page of another origin is refused"),
                fill: Box::new(fill("localhost", is_refused)),
            },
        ],
        notes: Vec::new(),
    }])
}

/// Everything arrived: input there and back, stderr apart, the exit code where the subprotocol has one for a machine, an orderly close.
fn has_session(protocol: &str, seen: &Value, witness: &Path) -> bool {
    let status = seen["channels"]["3"].as_str().unwrap_or_default();
    let is_status = if protocol.starts_with('v') {
        serde_json::from_str(status)
            .is_ok_and(|status: Value| status["details"]["causes"][0]["message"] == "3")
    } else {
        status.starts_with("command terminated with") && status.ends_with(" 3")
    };
    is_status
        && seen["protocol"] == protocol
        && seen["channels"]["1"] == "got grüße von der seite\n"
        && seen["channels"]["2"] == "err\n"
        && seen["code"] == 1000
        && seen["wasClean"] == true
        && witness.exists()
}

/// Nothing was opened, and the command has not run.
fn is_refused(_protocol: &str, seen: &Value, witness: &Path) -> bool {
    seen["opened"] == false
        && seen["code"] == 1006
        && seen["channels"] == serde_json::json!({})
        && !witness.exists()
}

/// Looks at the page as one of `host`; the gateway allows those of 127.0.0.1. What the page told.
fn look(host: &str, witness: &Path) -> io::Result<Value> {
    let (told, results) = mpsc::channel();
    let pages = serve(told)?;
    let shores = Shores::start(&["--allow-origin", &format!("http://{pages}")]);
    let script = format!("touch {}; read line; echo \"got $line\"; echo err >&2; exit 3", witness.display());
    let mut address = url::Url::parse(&format!("http://{host}:{}/", pages.port())).expect("a URL");
    let mut query = address.query_pairs_mut();
    query.append_pair("gateway", &shores.gateway.address().to_string()).append_pair("script", &script);
    for protocol in PROTOCOLS {
        query.append_pair("protocol", protocol);
    }
    drop(query);
    let profile = tempfile::tempdir()?;
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).arg(address.as_str());
    let mut browser = Running::start(command.stdin(Stdio::null()), PATIENCE);
    let result = results.recv_timeout(PATIENCE).map_err(|_| io::Error::other(browser.stderr()));
    browser.kill();
    result
}

/// Serves the page to whoever asks, and takes its result.
fn serve(told: Sender<Value>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let page = fs::read_to_string(source("browser/page.html"))?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (page, told) = (page.clone(), told.clone());
            thread::spawn(move || answer(&connection, &page, &told));
        }
    });
    Ok(address)
}

fn answer(connection: &TcpStream, page: &str, told: &Sender<Value>) -> io::Result<()> {
    let mut lines = BufReader::new(connection);
    let (mut line, mut length) = (String::new(), 0);
    lines.read_line(&mut line)?;
    let is_result = line.starts_with("POST /result ");
    while line.trim() != "" {
        line.clear();
        lines.read_line(&mut line)?;
        let value = line
            .to_ascii_lowercase()
            .strip_prefix("content-length:")
            .and_then(|value| value.trim().parse().ok());
        length = value.unwrap_or(length);
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body)?;
    if is_result {
        // Nobody may wait for it any more.
        let _ = told.send(serde_json::from_slice(&body)?);
    }
    let mut connection = connection;
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
        page.len()
    )
}
