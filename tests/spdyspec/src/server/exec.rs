use std::time::Duration;

use serde_json::Value;

use super::session::{Session, V4};
use crate::case::{Case, Kind, Seen, Stop, verdict};
use crate::target::{Asked, Target};
use crate::wire::spdy::{data, rst};

const KIND: Kind = Kind::Exec;
const TERMINAL: Kind = Kind::Terminal;

const SEVEN: &[&str] = &["sh", "-c", "echo out; echo err >&2; exit 7"];

/// 6: RemoteCommand over SPDY.
pub(super) const CASES: &[Case] = &[
    Case::server(
        "6.1",
        KIND,
        "v4: a command that succeeds has the Status Success",
        "remotecommand.md section 1; websocket-channels.md section 5",
        &["Success"],
        |target| status(target, &["true"]),
    ),
    Case::server(
        "6.2",
        KIND,
        "v4: a command that ends with 7 has NonZeroExitCode and the cause ExitCode 7",
        "websocket-channels.md section 5",
        &["Failure, NonZeroExitCode, ExitCode 7"],
        |target| status(target, SEVEN),
    ),
    Case::server(
        "6.3",
        KIND,
        "v4: a command that cannot be started has a Status with InternalError",
        "websocket-channels.md section 5",
        &["Failure, InternalError"],
        |target| status(target, &["/there/is/no/such/program"]),
    ),
    Case::server(
        "6.4",
        KIND,
        "v3: nothing on the error stream of a command that succeeds",
        "remotecommand.md section 1",
        &["empty"],
        |target| text_status(target, "v3.channel.k8s.io", &["true"]),
    ),
    Case::server(
        "6.5",
        KIND,
        "v3: text, not JSON, on the error stream of a command that fails",
        "remotecommand.md section 1, section 6",
        &["text"],
        |target| text_status(target, "v3.channel.k8s.io", SEVEN),
    ),
    Case::server("6.6", KIND, "v2: the same", "remotecommand.md section 1", &["text"], |target| {
        text_status(target, "v2.channel.k8s.io", SEVEN)
    }),
    Case::server(
        "6.7",
        KIND,
        "v1: output comes, although the server resets the error stream at once",
        "remotecommand.md section 1",
        &["out"],
        first_version,
    ),
    Case::server(
        "6.8",
        KIND,
        "stdout and stderr have streams of their own",
        "remotecommand.md section 1",
        &["apart"],
        apart,
    ),
    Case::server(
        "6.9",
        KIND,
        "stdout and stderr end, and the status is whole, before the connection ends",
        "remotecommand.md section 5; spdy31.md section 2 (RST_STREAM is end-of-file)",
        &["FIN, FIN, status", "RST_STREAM, RST_STREAM, status"],
        orderly_end,
    ),
    Case::server(
        "6.10",
        KIND,
        "output that comes behind the end of the input is delivered",
        "remotecommand.md section 2; spdy31.md section 2",
        &["delivered"],
        late_output,
    ),
    Case::server(
        "6.11",
        KIND,
        "the command does not start before all its streams are there",
        "remotecommand.md section 1",
        &["waits for all streams"],
        waits,
    ),
    Case::server(
        "6.12",
        KIND,
        "streams in another order than upstream's",
        "remotecommand.md section 1",
        &["Success"],
        other_order,
    ),
    Case::server(
        "6.13",
        KIND,
        "an unknown streamtype is refused",
        "remotecommand.md section 1 (do: reject)",
        &["RST_STREAM 5"],
        |target| refused(target, &["error", "nonsense"], "nonsense"),
    ),
    Case::server(
        "6.14",
        KIND,
        "a streamtype that comes twice is refused",
        "remotecommand.md section 1 (do: reject)",
        &["RST_STREAM 5"],
        twice,
    ),
    Case::server(
        "6.15",
        KIND,
        "a stream behind a whole set is refused",
        "remotecommand.md section 1 (do: reject)",
        &["RST_STREAM 5"],
        |target| refused(target, &["error", "stdin", "stdout", "resize"], "resize"),
    ),
    Case::server(
        "6.16",
        KIND,
        "a stream without streamtype is refused",
        "remotecommand.md section 1 (do: reject)",
        &["RST_STREAM 5"],
        nameless,
    ),
    Case::server(
        "6.17",
        KIND,
        "1 MiB of output for a client that begins to read late is whole, and so is the status behind it",
        "remotecommand.md section 7.1",
        &["1 MiB and Success"],
        slow_reader,
    ),
    Case::server(
        "6.18",
        KIND,
        "a client that resets stdout still gets the status",
        "spdy31.md section 2",
        &["Success"],
        without_stdout,
    ),
    Case::server(
        "6.19",
        TERMINAL,
        "a size is applied to the terminal",
        "remotecommand.md section 3; websocket-channels.md section 4",
        &["24 80"],
        |target| sized(target, &[b"{\"Width\":80,\"Height\":24}\n"]),
    ),
    Case::server(
        "6.20",
        TERMINAL,
        "keys of a size in any case of letters, unknown keys, and JSON that is split over frames",
        "websocket-channels.md section 4",
        &["33 99"],
        |target| sized(target, &[b"{\"hei", b"ght\":33,\"x\":1,\"wid", b"th\":99}"]),
    ),
    Case::server(
        "6.21",
        TERMINAL,
        "the newest of several sizes in one frame is applied",
        "websocket-channels.md section 4",
        &["25 81"],
        |target| sized(target, &[b"{\"Width\":80,\"Height\":24}{\"Width\":81,\"Height\":25}\n"]),
    ),
    Case::server(
        "6.22",
        TERMINAL,
        "a size that is none harms nothing",
        "websocket-channels.md section 4 (do: drop)",
        &["24 80"],
        |target| {
            sized(target, &[b"{\"Width\":80,\"Height\":24}\n", b"{\"Width\":\"wide\"}\n", b"nonsense\n"])
        },
    ),
    Case::server(
        "6.23",
        TERMINAL,
        "a terminal has no stderr stream: both outputs come on stdout",
        "remotecommand.md section 4",
        &["both on stdout"],
        terminal_output,
    ),
];

/// A Status in a few words.
pub(super) fn told(json: &str) -> String {
    let Ok(status) = serde_json::from_str::<Value>(json) else { return format!("not JSON: {json:?}") };
    let word = |name: &str| status[name].as_str().map(String::from);
    let cause = status["details"]["causes"][0]["reason"].as_str().filter(|reason| *reason == "ExitCode");
    let code = cause
        .and_then(|cause| Some(format!("{cause} {}", status["details"]["causes"][0]["message"].as_str()?)));
    [word("status"), word("reason"), code].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn finished(target: &Target, asked: Asked<'_>, protocol: &str) -> Result<Session, Stop> {
    let mut session = Session::start(target, asked, protocol)?;
    session.read_to_end()?;
    Ok(session)
}

fn status(target: &Target, command: &[&str]) -> Seen {
    let session = finished(target, Asked::output(command), V4)?;
    Ok(told(&session.on("error").text()))
}

fn text_status(target: &Target, protocol: &str, command: &[&str]) -> Seen {
    let text = finished(target, Asked::output(command), protocol)?.on("error").text();
    Ok(match serde_json::from_str::<Value>(&text) {
        Ok(_) => format!("JSON: {text}"),
        Err(_) if text.is_empty() => "empty".into(),
        Err(_) => "text".into(),
    })
}

fn first_version(target: &Target) -> Seen {
    let mut session = Session::start(target, Asked::output(SEVEN), "channel.k8s.io")?;
    session.until(|session| session.on("stdout").is_over())?;
    Ok(session.on("stdout").text().trim_end().to_owned())
}

fn apart(target: &Target) -> Seen {
    let session = finished(target, Asked::output(SEVEN), V4)?;
    let (out, err) = (session.on("stdout").text(), session.on("stderr").text());
    verdict(out == "out\n" && err == "err\n", "apart", format!("{out:?} and {err:?}"))
}

fn orderly_end(target: &Target) -> Seen {
    let session = finished(target, Asked::output(SEVEN), V4)?;
    let (out, err) = (session.on("stdout"), session.on("stderr"));
    let end = |fin: bool| if fin { "FIN" } else { "RST_STREAM" };
    let status = if session.on("error").data.is_empty() { "no status" } else { "status" };
    Ok(format!("{}, {}, {status}", end(out.fin), end(err.fin)))
}

fn late_output(target: &Target) -> Seen {
    let mut session = Session::start(target, Asked::pipe(&["sh", "-c", "cat; sleep 0.3; echo late"]), V4)?;
    session.type_in(b"early\n", true);
    session.read_to_end()?;
    let text = session.on("stdout").text();
    verdict(text == "early\nlate\n", "delivered", format!("{text:?}"))
}

fn waits(target: &Target) -> Seen {
    let mut session = Session::upgrade(target, &target.exec(Asked::output(&["echo", "begun"])), V4)?;
    session.open_all(&["error", "stdout"])?;
    session.read_for(Duration::from_millis(300))?;
    if !session.on("stdout").data.is_empty() {
        return Ok("starts without stderr".into());
    }
    session.open_all(&["stderr"])?;
    session.read_to_end()?;
    let text = session.on("stdout").text();
    verdict(text == "begun\n", "waits for all streams", format!("{text:?} once they are there"))
}

fn other_order(target: &Target) -> Seen {
    let mut session = Session::upgrade(target, &target.exec(Asked::output(&["true"])), V4)?;
    session.open_all(&["stderr", "stdout", "error"])?;
    session.read_to_end()?;
    Ok(told(&session.on("error").text()))
}

/// Opens these streams of a `cat`; how the last of them is answered.
fn refused(target: &Target, streams: &[&str], last: &str) -> Seen {
    let mut session = Session::fresh(target)?;
    session.open_all(streams)?;
    Ok(answer(&session, last))
}

fn answer(session: &Session, stream: &str) -> String {
    session.on(stream).rst.map_or_else(|| "accepted".into(), |status| format!("RST_STREAM {status}"))
}

fn twice(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    session.open_all(&["error", "stdin"])?;
    session.open_all(&["stdin"])?;
    Ok(answer(&session, "stdin"))
}

fn nameless(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    session.open_all(&["error"])?;
    let frame = session.wire.syn_stream(3, 0, &[("x-type", "stdin")]);
    session.came.entry(3).or_default();
    session.wire.write(&frame);
    session.accepted()?;
    Ok(session.came[&3].rst.map_or_else(|| "accepted".into(), |status| format!("RST_STREAM {status}")))
}

fn slow_reader(target: &Target) -> Seen {
    let command = ["sh", "-c", "head -c 1048576 /dev/zero"];
    let mut session = Session::start(target, Asked::output(&command), V4)?;
    std::thread::sleep(Duration::from_millis(500));
    session.read_to_end()?;
    let (size, end) = (session.on("stdout").data.len(), told(&session.on("error").text()));
    verdict(size == 1 << 20, &format!("1 MiB and {end}"), format!("{size} bytes and {end}"))
}

fn without_stdout(target: &Target) -> Seen {
    let mut session = Session::start(target, Asked::pipe(&["cat"]), V4)?;
    let stdout = session.id("stdout");
    session.wire.write(&rst(stdout, 5));
    session.came.entry(stdout).or_default().rst = Some(5);
    session.type_in(b"for nobody", true);
    session.read_to_end()?;
    Ok(told(&session.on("error").text()))
}

/// Sends sizes, and then has the terminal tell its own.
fn sized(target: &Target, sizes: &[&[u8]]) -> Seen {
    let mut session =
        Session::start(target, Asked::terminal(&["sh", "-c", "read x; stty size; read x"]), V4)?;
    let resize = session.id("resize");
    for size in sizes {
        session.wire.write(&data(resize, 0, size));
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(100));
    session.type_in(b"go\n", false);
    let line = |session: &Session| size_line(&session.on("stdout").text());
    match session.until(|session| line(session).is_some()) {
        Ok(()) => Ok(line(&session).unwrap_or_default()),
        Err(Stop::Saw(end)) => Ok(format!("{end}, with {:?}", session.on("stdout").text())),
        Err(other) => Err(other),
    }
}

/// The line that `stty size` has printed.
pub(super) fn size_line(text: &str) -> Option<String> {
    let is_size =
        |line: &&str| line.contains(' ') && line.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ');
    text.split_inclusive("\r\n").filter_map(|line| line.strip_suffix("\r\n")).find(is_size).map(String::from)
}

fn terminal_output(target: &Target) -> Seen {
    let session = finished(target, Asked::terminal(SEVEN), V4)?;
    let text = session.on("stdout").text();
    verdict(text == "out\r\nerr\r\n", "both on stdout", format!("{text:?}"))
}
