use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use strait_tests::{Checksum, Finished, Kubectl, Random, Running, Terminal, checksum_of, copy_paced};

use crate::way::Way;

/// What a session may take.
const PATIENCE: Duration = Duration::from_mins(3);
const BIG: usize = 32 << 20;
/// Bytes a second of a slow reader.
const SLOW: u32 = 24_000_000;
/// What everybody says of a port that nobody listens on.
const REFUSAL: &str = "refused";

/// Something that a person does with a client, whichever way it goes.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Does it. It panics if something does not happen at all.
    pub(crate) run: fn(&Kubectl) -> Seen,
    /// What the person must see.
    pub(crate) expects: fn(&Seen) -> bool,
}

/// What the person saw.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A scenario that ends otherwise on some ways.
pub(crate) struct Difference {
    /// How the table refers to it.
    pub(crate) note: &'static str,
    pub(crate) scenario: &'static str,
    pub(crate) ways: fn(&Way) -> bool,
    /// What is seen instead.
    pub(crate) expects: fn(&Seen) -> bool,
    /// True if there is nothing to be seen: the client does not have this.
    pub(crate) absent: bool,
    pub(crate) why: &'static str,
}

impl Difference {
    pub(crate) fn applies(&self, way: &Way, scenario: &Scenario) -> bool {
        self.scenario == scenario.name && (self.ways)(way)
    }

    /// The notes below a table.
    pub(crate) fn notes(all: &[Self]) -> Vec<String> {
        all.iter()
            .map(|difference| format!("({}) {}: {}", difference.note, difference.scenario, difference.why))
            .collect()
    }
}

impl From<Finished> for Seen {
    fn from(finished: Finished) -> Self {
        Self { code: finished.status.code(), stdout: finished.text(), stderr: finished.stderr }
    }
}

impl Seen {
    /// Success, with this and nothing else on standard output.
    fn is(&self, stdout: &str) -> bool {
        *self == Self { code: Some(0), stdout: stdout.into(), stderr: String::new() }
    }
}

pub(crate) const DATE: Scenario = Scenario {
    name: "date",
    run: |client| client.run(&["exec", "demo", "--", "date", "+%s"]).into(),
    expects: |seen| {
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_secs();
        seen.stdout.trim().parse().is_ok_and(|printed: u64| now.abs_diff(printed) < 60)
            && seen.is(&seen.stdout)
    },
};

pub(crate) const STREAMS: Scenario = Scenario {
    name: "streams apart, exit 7",
    run: |client| client.run(&["exec", "demo", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]).into(),
    expects: |seen| {
        seen.code == Some(7)
            && seen.stdout == "out\n"
            && seen.stderr == "err\ncommand terminated with exit code 7\n"
    },
};

/// The end of the input arrives, and output goes on behind it.
pub(crate) const STDIN: Scenario = Scenario {
    name: "32 MiB in, half-close",
    run: |client| sends(client, "sha256sum; sleep 0.3; echo later"),
    expects: |seen| seen.is("the sum\nlater\n"),
};

/// The same where the end of the input cannot be told.
pub(crate) const COUNTED_STDIN: Scenario = Scenario {
    name: "32 MiB in, counted",
    run: |client| sends(client, &format!("head -c {BIG} | sha256sum; sleep 0.3; echo later")),
    expects: |seen| seen.is("the sum\nlater\n"),
};

/// The tail of the output is still on its way when the process has ended.
pub(crate) const TAIL: Scenario = Scenario {
    name: "32 MiB out, slowly read",
    run: |client| reads_slowly(client, BIG),
    expects: |seen| has_tail(seen, BIG),
};

/// The same for a client whose time for it grows with the square of the length.
pub(crate) const SHORT_TAIL: Scenario = Scenario {
    name: "4 MiB out, slowly read",
    run: |client| reads_slowly(client, BIG / 8),
    expects: |seen| has_tail(seen, BIG / 8),
};

pub(crate) const MISSING: Scenario = Scenario {
    name: "no such program",
    run: |client| client.run(&["exec", "demo", "--", "/no/such/program"]).into(),
    expects: |seen| {
        seen.code == Some(1)
            && seen.stdout.is_empty()
            && seen.stderr.contains("/no/such/program")
            && seen.stderr.contains("no such file or directory")
    },
};

pub(crate) const TERMINAL: Scenario = Scenario {
    name: "terminal, resize, ^C",
    run: |client| {
        let arguments = ["exec", "-it", "demo", "--", "env", "PS1=prompt> ", "sh"];
        let mut terminal = Terminal::start(client, &arguments, (30, 100));
        terminal.reads("prompt> ");
        // Node leaves its terminal's output processing on: to each line feed belongs one more carriage return there.
        terminal.types("echo spo''ken\r");
        terminal.reads("\nspoken\r");
        // Sizes travel beside the keys, so the loops wait for them.
        terminal.types("until [ \"$(stty size)\" = '30 100' ]; do sleep 0.05; done; echo si''zed\r");
        terminal.reads("\nsized\r");
        terminal.resize(41, 123);
        terminal.types("until [ \"$(stty size)\" = '41 123' ]; do sleep 0.05; done; echo re''sized\r");
        terminal.reads("\nresized\r");
        // It says itself that it runs: a shell that is just starting a program may lose the signal.
        terminal.types("sh -c \"echo as''leep; exec sleep 1000\"\r");
        terminal.reads("\nasleep\r");
        terminal.types("\x03");
        terminal.reads("prompt> ");
        terminal.types("exit 42\r");
        Seen { stderr: String::new(), ..terminal.finish().into() }
    },
    expects: |seen| seen.code == Some(42),
};

/// The node's main process sends back what it is sent.
pub(crate) const ATTACH: Scenario = Scenario {
    name: "attach",
    run: |client| {
        let mut running = client.start(&["attach", "-i", "demo"], Stdio::piped(), PATIENCE);
        let mut lines = BufReader::new(running.stdout.take().expect("standard output is a pipe"));
        let mut line = String::new();
        running.write(b"anybody there\n");
        lines.read_line(&mut line).expect("the output can be read");
        Seen { code: Some(0), stdout: line, stderr: String::new() }
    },
    expects: |seen| seen.is("anybody there\n"),
};

/// Two connections at a time, each with a megabyte in both directions and a half-close of its own.
pub(crate) const FORWARD: Scenario =
    Scenario { name: "port-forward", run: |client| forwards(client, true), expects: |seen| seen.is("true") };

/// The same over channels, which have no half-close.
pub(crate) const FORWARD_CHANNELS: Scenario =
    Scenario { name: "port-forward", run: |client| forwards(client, false), expects: |seen| seen.is("true") };

pub(crate) const REFUSED: Scenario = Scenario {
    name: "port-forward, refused",
    run: |client| {
        let (running, local) = forward(client, closed_port());
        let mut socket = TcpStream::connect(("127.0.0.1", local)).expect("the client listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        // The word of it may come behind the end of the connection.
        let (asked, patience) = (Instant::now(), Duration::from_secs(10));
        while !running.stderr().contains(REFUSAL) && asked.elapsed() < patience {
            thread::sleep(Duration::from_millis(10));
        }
        Seen { code: Some(0), stdout: String::from_utf8_lossy(&rest).into(), stderr: running.stderr() }
    },
    expects: |seen| seen.stdout.is_empty() && seen.stderr.contains(REFUSAL),
};

/// A directory with a file goes to the pod, and comes back from there.
pub(crate) const COPY: Scenario = Scenario {
    name: "cp both ways",
    run: |client| {
        let here = tempfile::tempdir().expect("a temporary directory");
        let there = tempfile::tempdir().expect("a temporary directory");
        let mut file = std::fs::File::create(here.path().join("file")).expect("a file");
        let mut data = vec![0; 10_000_000];
        Random::of_this_run().fill(&mut data);
        file.write_all(&data).expect("room for a file");
        drop(file);
        // kubectl takes what stands in front of a colon for a pod, so there are no absolute paths on this side.
        let copy = |from: &str, to: &str| {
            let mut command = client.command(&["cp", from, to]);
            Running::start(command.current_dir(here.path()), PATIENCE).finish()
        };
        let place = there.path().join("file");
        let in_the_pod = format!("demo:{}", place.display());
        let up = copy("file", &in_the_pod);
        let down = copy(&in_the_pod, "back");
        let is_whole = |path: &Path| std::fs::read(path).is_ok_and(|copied| copied == data);
        let stdout = format!("{} {}", is_whole(&place), is_whole(&here.path().join("back")));
        let code = up.status.code().max(down.status.code());
        Seen { code, stdout, stderr: up.stderr + &down.stderr }
    },
    expects: |seen| seen.code == Some(0) && seen.stdout == "true true",
};

/// A port whose connections get back all that they send, up to their half-close.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for connection in listener.incoming().take(2).flatten() {
            thread::spawn(move || {
                let _ = std::io::copy(&mut &connection, &mut &connection);
                let _ = connection.shutdown(Shutdown::Write);
            });
        }
    });
    port
}

fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn sends(client: &Kubectl, script: &str) -> Seen {
    let script = ["exec", "-i", "demo", "--", "sh", "-c", script];
    let mut running = client.start(&script, Stdio::piped(), PATIENCE);
    let (mut random, mut expected) = (Random::of_this_run(), Checksum::new());
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..BIG / buffer.len() {
        random.fill(&mut buffer);
        expected.write_all(&buffer).expect("sha256sum takes input");
        running.write(&buffer);
    }
    let (mut seen, sum) = (Seen::from(running.finish()), expected.finish());
    seen.stdout = seen.stdout.replace(&sum, "the sum\n");
    seen
}

fn reads_slowly(client: &Kubectl, length: usize) -> Seen {
    let numbers = format!("seq 1 9999999 | head -c {length}");
    let script = format!("sleep 0.1; {numbers}; echo end >&2; exit 3");
    let mut running = client.start(&["exec", "demo", "--", "sh", "-c", &script], Stdio::null(), PATIENCE);
    let mut stdout = running.stdout.take().expect("standard output is a pipe");
    let mut sum = Checksum::new();
    let copied = copy_paced(&mut stdout, &mut sum, SLOW).expect("the output can be read");
    let same = if sum.finish() == checksum_of(&numbers) { "the same" } else { "other" };
    Seen { stdout: format!("{copied} bytes, {same}"), ..running.finish().into() }
}

fn has_tail(seen: &Seen, length: usize) -> bool {
    seen.code == Some(3)
        && seen.stdout == format!("{length} bytes, the same")
        && seen.stderr == "end\ncommand terminated with exit code 3\n"
}

fn forwards(client: &Kubectl, half_close: bool) -> Seen {
    let port = echo();
    let (_running, local) = forward(client, port);
    let talkers: Vec<_> =
        (0..2).map(|number| thread::spawn(move || talk(local, number, half_close))).collect();
    let echoed = talkers.into_iter().all(|talker| talker.join().expect("the port echoes"));
    Seen { code: Some(0), stdout: echoed.to_string(), stderr: String::new() }
}

/// Starts forwarding; the port on this side.
fn forward(client: &Kubectl, port: u16) -> (Running, u16) {
    let mut running = client.start(&["port-forward", "demo", &format!(":{port}")], Stdio::null(), PATIENCE);
    let mut lines = BufReader::new(running.stdout.take().expect("standard output is a pipe"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("the output can be read");
    let local = line.strip_prefix("Forwarding from 127.0.0.1:").and_then(|rest| rest.split_once(' '));
    let local = local.and_then(|(port, _)| port.parse().ok());
    let local = local.unwrap_or_else(|| panic!("nothing is forwarded: {line:?} {}", running.stderr()));
    thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    (running, local)
}

fn talk(port: u16, number: u64, half_close: bool) -> bool {
    let socket = TcpStream::connect(("127.0.0.1", port)).expect("the client listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut sent = vec![0; 1 << 20];
    Random::new(number).fill(&mut sent);
    let mut back = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&socket).write_all(&sent).expect("the port takes bytes");
            if half_close {
                socket.shutdown(Shutdown::Write).expect("a half-close");
            }
        });
        let limit = if half_close { u64::MAX } else { sent.len() as u64 };
        (&socket).take(limit).read_to_end(&mut back).expect("the port sends bytes");
    });
    back == sent
}
