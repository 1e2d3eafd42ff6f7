use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;
use std::{fs, io, thread};

use serde_json::Value;
use strait_tests::{Running, Server, Shores, strait};

use crate::install::{npm, source, step};
use crate::table::{Cell, Cells, Row, Suite, Table};

/// A browser, which is a client that others program: any page that a person looks at.
pub(crate) const SUITE: Suite = Suite { name: "browser", tables, required: true, sliced: false };

const PROTOCOLS: [&str; 5] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "v4.base64.channel.k8s.io",
];

/// What the pages are made of, by name.
type Files = HashMap<&'static str, Vec<u8>>;

/// What the browser may take from its start to the page's last word.
const PATIENCE: Duration = Duration::from_mins(3);

/// A page, and what is in front of it.
#[derive(Debug, Clone, Copy)]
struct Visit {
    page: &'static str,
    /// Whose page it is; the gateway allows those of 127.0.0.1.
    host: &'static str,
    command: &'static [&'static str],
    expects: fn(&str, &Value, &Path) -> bool,
}

/// Leaves a witness in its directory, if it runs at all.
const STREAMS: &[&str] = &["sh", "-c", "touch witness; read line; echo \"got $line\"; echo err >&2; exit 3"];

const VISITS: [(&str, Visit); 3] = [
    (
        "a page that is allowed",
        Visit { page: "page.html", host: "127.0.0.1", command: STREAMS, expects: has_session },
    ),
    (
        "a terminal of xterm.js: typed at, resized, exit status shown",
        Visit {
            page: "terminal.html",
            host: "127.0.0.1",
            command: &["env", "PS1=prompt> ", "sh"],
            expects: has_terminal,
        },
    ),
    (
        "a page of another origin is refused",
        Visit { page: "page.html", host: "localhost", command: STREAMS, expects: is_refused },
    ),
];

fn tables(_full: bool) -> Result<Vec<Table>, String> {
    let version =
        step(Command::new("chromium").arg("--version")).map_err(|why| format!("no Chromium: {why}"))?;
    let version = version.split(" built").next().unwrap_or_default().trim().to_owned();
    let (xterm, xterm_version) = npm("browser", "@xterm/xterm")?;
    let rows = VISITS.map(|(name, visit)| {
        let xterm = xterm.clone();
        let fill = move |cells: &Cells<'_>| {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let seen = visit.pay(&xterm, directory.path()).unwrap_or_else(|error| panic!("{error}"));
            for protocol in PROTOCOLS {
                cells.check(protocol, || {
                    let seen = &seen[protocol];
                    if (visit.expects)(protocol, seen, &directory.path().join("witness")) {
                        Cell::Same
                    } else {
                        Cell::Failed(seen.to_string())
                    }
                });
            }
        };
        Row { name: name.into(), fill: Box::new(fill) }
    });
    Ok(vec![Table {
        about: format!(
            "{version}, headless: pages that open a session with `new WebSocket`, through Strait, translated. xterm.js {xterm_version}."
        ),
        columns: PROTOCOLS.map(String::from).into(),
        rows: rows.into(),
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

/// Everything showed that the person in front of it waited for, up to the exit code.
fn has_terminal(_protocol: &str, seen: &Value, _witness: &Path) -> bool {
    seen["status"] == true && seen["wasClean"] == true
}

/// Nothing was opened, and the command has not run.
fn is_refused(_protocol: &str, seen: &Value, witness: &Path) -> bool {
    seen["opened"] == false
        && seen["code"] == 1006
        && seen["channels"] == serde_json::json!({})
        && !witness.exists()
}

impl Visit {
    /// Looks at the page, with a node in `directory`. What the page told.
    fn pay(&self, packages: &Path, directory: &Path) -> io::Result<Value> {
        let (told, results) = mpsc::channel();
        let pages = serve(packages, told)?;
        let allowed = format!("http://{pages}");
        let node = ["node", "--listen", "127.0.0.1:0", "--drain-timeout", "0"];
        let node = Server::of(Command::new(strait()).args(node).current_dir(directory));
        let shores = Shores::behind_gateway(node, &["--allow-origin", &allowed]);
        let mut address = url::Url::parse(&format!("http://{}:{}/{}", self.host, pages.port(), self.page))
            .map_err(io::Error::other)?;
        let mut query = address.query_pairs_mut();
        query.append_pair("gateway", &shores.gateway.address().to_string());
        query.extend_pairs(self.command.iter().map(|word| ("command", word)));
        query.extend_pairs(PROTOCOLS.map(|protocol| ("protocol", protocol)));
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
}

/// Serves the files of a page to whoever asks, and takes its result.
fn serve(packages: &Path, told: Sender<Value>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let xterm = packages.join("node_modules/@xterm/xterm");
    let own = ["page.html", "terminal.html", "channels.js"].map(|name| (name, source("browser").join(name)));
    let theirs = [("xterm.js", xterm.join("lib/xterm.js")), ("xterm.css", xterm.join("css/xterm.css"))];
    let files = own.into_iter().chain(theirs).map(|(name, path)| Ok((name, fs::read(path)?)));
    let files: Arc<Files> = Arc::new(files.collect::<io::Result<_>>()?);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (files, told) = (Arc::clone(&files), told.clone());
            thread::spawn(move || answer(&connection, &files, &told));
        }
    });
    Ok(address)
}

fn answer(connection: &TcpStream, files: &Files, told: &Sender<Value>) -> io::Result<()> {
    let mut lines = BufReader::new(connection);
    let (mut line, mut length) = (String::new(), 0);
    lines.read_line(&mut line)?;
    let path = line.split(['/', '?', ' ']).nth(2).unwrap_or_default().to_owned();
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
    if path == "result" {
        // Nobody may wait for it any more.
        let _ = told.send(serde_json::from_slice(&body)?);
    }
    let kind = match Path::new(&path).extension().and_then(OsStr::to_str) {
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        _ => "text/html",
    };
    let file = files.get(&*path).map(Vec::as_slice).unwrap_or_default();
    let mut connection = connection;
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        file.len()
    )?;
    connection.write_all(file)
}
