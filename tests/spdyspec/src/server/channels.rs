use super::exec::{size_line, told};
use super::socket_session::Channels;
use crate::case::{Case, Kind, Seen, Stop, verdict};
use crate::target::{Asked, Target};
use crate::wire::http;
use crate::wire::websocket::{BINARY, KEY, TEXT, accept};

const KIND: Kind = Kind::WebSocket;
const V4: &str = "v4.channel.k8s.io";
const OLD: &str = "channel.k8s.io";
const BASE64: &str = "base64.channel.k8s.io";
const BASE64_V4: &str = "v4.base64.channel.k8s.io";

const SEVEN: &[&str] = &["sh", "-c", "echo out; echo err >&2; exit 7"];

/// 8: RemoteCommand over WebSocket, below v5.
pub(super) const CASES: &[Case] = &[
    Case::server(
        "8.1",
        KIND,
        "101 with the accept key and the chosen protocol",
        "RFC 6455 section 4.2.2; http-upgrade.md section 3.3",
        &["101 v4.channel.k8s.io"],
        |target| chosen(target, V4),
    ),
    Case::server(
        "8.2",
        KIND,
        "the first protocol of the client's list that the server knows is chosen",
        "http-upgrade.md section 3.3",
        &["101 channel.k8s.io"],
        |target| chosen(target, "v99.channel.k8s.io, channel.k8s.io,v4.channel.k8s.io"),
    ),
    Case::server(
        "8.3",
        KIND,
        "no protocol is offered: 101 without one",
        "http-upgrade.md section 3.3",
        &["101 "],
        |target| chosen(target, ""),
    ),
    Case::server("8.4", KIND, "no known protocol: 403", "http-upgrade.md section 3.3", &["403"], |target| {
        chosen(target, "v99.channel.k8s.io")
    }),
    Case::server(
        "8.5",
        KIND,
        "v2 and v3 do not exist over WebSocket: 403",
        "websocket-channels.md section 1",
        &["403"],
        |target| chosen(target, "v3.channel.k8s.io, v2.channel.k8s.io"),
    ),
    Case::server(
        "8.6",
        KIND,
        "no key: 400",
        "RFC 6455 section 4.2.1; http-upgrade.md section 3.3",
        &["400"],
        |target| odd_request(target, "GET", "Sec-WebSocket-Version: 13\r\n"),
    ),
    Case::server(
        "8.7",
        KIND,
        "another version: 400 or 426, and version 13 is named",
        "RFC 6455 section 4.4; http-upgrade.md section 3.3",
        &["400 with version 13", "426 with version 13"],
        |target| {
            odd_request(
                target,
                "GET",
                "Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            )
        },
    ),
    Case::server("8.8", KIND, "POST: 405", "http-upgrade.md section 3.3", &["405"], |target| {
        odd_request(
            target,
            "POST",
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        )
    }),
    Case::server(
        "8.9",
        KIND,
        "no extension is accepted",
        "websocket-channels.md section 2",
        &["none"],
        extensions,
    ),
    Case::server(
        "8.10",
        KIND,
        "the first message is empty, on stdout: ready",
        "websocket-channels.md section 3",
        &["an empty message on channel 1"],
        |target| ready(target, Asked::output(&["sleep", "0.2"])),
    ),
    Case::server(
        "8.11",
        KIND,
        "without stdout and stderr it is on the error channel",
        "websocket-channels.md section 3",
        &["an empty message on channel 3"],
        |target| ready(target, Asked { stdout: false, ..Asked::pipe(&["sleep", "0.2"]) }),
    ),
    Case::server(
        "8.12",
        KIND,
        "v4: output on channels 1 and 2, and a Status on channel 3",
        "websocket-channels.md section 2, section 5",
        &["out, err; Failure, NonZeroExitCode, ExitCode 7"],
        |target| output(target, V4),
    ),
    Case::server(
        "8.13",
        KIND,
        "v4: a command that succeeds has the Status Success",
        "websocket-channels.md section 5",
        &["Success"],
        |target| Ok(told(&finished(target, Asked::output(&["true"]), V4)?.text(3))),
    ),
    Case::server(
        "8.14",
        KIND,
        "the status is the last message, and Close 1000 is behind it",
        "websocket-channels.md section 5, section 7",
        &["status, Close 1000"],
        order,
    ),
    Case::server(
        "8.15",
        KIND,
        "channel.k8s.io: text on the error channel of a command that fails",
        "websocket-channels.md section 5",
        &["out, err; text"],
        |target| output(target, OLD),
    ),
    Case::server(
        "8.16",
        KIND,
        "channel.k8s.io: nothing on the error channel of a command that succeeds",
        "websocket-channels.md section 5",
        &["nothing"],
        |target| {
            let text = finished(target, Asked::output(&["true"]), OLD)?.text(3);
            verdict(text.is_empty(), "nothing", text)
        },
    ),
    Case::server(
        "8.17",
        KIND,
        "base64.channel.k8s.io: text messages of a digit and base64",
        "websocket-channels.md section 2",
        &["out, err; text"],
        |target| output(target, BASE64),
    ),
    Case::server(
        "8.18",
        KIND,
        "v4.base64.channel.k8s.io: the same with a Status",
        "websocket-channels.md section 2",
        &["out, err; Failure, NonZeroExitCode, ExitCode 7"],
        |target| output(target, BASE64_V4),
    ),
    Case::server(
        "8.19",
        KIND,
        "base64 input is decoded",
        "websocket-channels.md section 2",
        &["goes on"],
        |target| Ok(Channels::cat(target, BASE64_V4)?.probe()),
    ),
    Case::server(
        "8.20",
        KIND,
        "raw protocols send binary messages, base64 ones text, and no frame is masked or fragmented",
        "RFC 6455 section 5.1; websocket-channels.md section 2",
        &["binary, text"],
        opcodes,
    ),
    Case::server(
        "8.21",
        KIND,
        "a text message is taken as input",
        "websocket-channels.md section 2",
        &["goes on"],
        |target| at_rest(target, |channels| channels.socket.send(TEXT, b"\0as text ")),
    ),
    Case::server(
        "8.22",
        KIND,
        "an empty message is ignored",
        "websocket-channels.md section 2",
        &["goes on"],
        |target| at_rest(target, |channels| channels.socket.send(BINARY, b"")),
    ),
    Case::server(
        "8.23",
        KIND,
        "a message with nothing but its channel is no end",
        "websocket-channels.md section 2",
        &["goes on"],
        |target| at_rest(target, |channels| channels.socket.send(BINARY, b"\0")),
    ),
    Case::server(
        "8.24",
        KIND,
        "what a client sends on channels 1, 2 and 3 is dropped",
        "websocket-channels.md section 2",
        &["goes on"],
        |target| at_rest(target, |channels| (1..=3).for_each(|channel| channels.send(channel, b"not yours"))),
    ),
    Case::server(
        "8.25",
        KIND,
        "channels that do not exist are dropped",
        "websocket-channels.md section 2",
        &["goes on"],
        |target| {
            at_rest(target, |channels| [5, 9, 254].iter().for_each(|channel| channels.send(*channel, b"x")))
        },
    ),
    Case::server(
        "8.26",
        KIND,
        "channel 255 is one of these below v5",
        "websocket-channels.md section 6",
        &["goes on"],
        |target| at_rest(target, |channels| channels.socket.send(BINARY, &[255, 0])),
    ),
    Case::server(
        "8.27",
        KIND,
        "a size for a session without a terminal harms nothing",
        "websocket-channels.md section 4 (do: drop)",
        &["goes on"],
        |target| {
            at_rest(target, |channels| {
                for _ in 0..3 {
                    channels.send(4, b"{\"Width\":80,\"Height\":24}\n");
                }
            })
        },
    ),
    Case::server(
        "8.28",
        Kind::Terminal,
        "a size is applied to the terminal",
        "websocket-channels.md section 4",
        &["24 80"],
        |target| sized(target, &[b"{\"Width\":80,\"Height\":24}\n"]),
    ),
    Case::server(
        "8.29",
        Kind::Terminal,
        "sizes that are none harm nothing",
        "websocket-channels.md section 4 (do: drop)",
        &["24 80"],
        |target| {
            sized(target, &[b"{\"Width\":80,\"Height\":24}\n", b"nonsense\n", b"{\"Width\":\"wide\"}", b"[]"])
        },
    ),
];

fn chosen(target: &Target, protocols: &str) -> Seen {
    let request = target.websocket_request(&target.exec(Asked::pipe(&["cat"])), protocols);
    let (_, head, _) = http::ask(&target.address, &request, target.limit)?;
    Ok(match head.status() {
        101 if !head.has("connection", "upgrade") || !head.has("upgrade", "websocket") => {
            "101 without Connection or Upgrade".into()
        }
        101 if head.get("sec-websocket-accept") != Some(accept(KEY)) => "101 with a wrong accept key".into(),
        101 => format!("101 {}", head.get("sec-websocket-protocol").unwrap_or_default()),
        status => status.to_string(),
    })
}

fn odd_request(target: &Target, method: &str, fields: &str) -> Seen {
    let fields = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\nSec-WebSocket-Protocol: {V4}\r\n{fields}"
    );
    let request = target.request(method, &target.exec(Asked::pipe(&["cat"])), &fields);
    let (_, head, _) = http::ask(&target.address, &request, target.limit)?;
    let version = head.get("sec-websocket-version").map(|version| format!(" with version {version}"));
    Ok(format!("{}{}", head.status(), version.unwrap_or_default()))
}

fn extensions(target: &Target) -> Seen {
    let request = target.websocket_request(&target.exec(Asked::pipe(&["cat"])), V4);
    let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    let request = request.trim_end().to_owned() + offer;
    let (_, head, _) = http::ask(&target.address, &request, target.limit)?;
    let accepted = head.get("sec-websocket-extensions");
    Ok(match head.status() {
        101 => accepted.unwrap_or_else(|| "none".into()),
        status => status.to_string(),
    })
}

fn finished(target: &Target, asked: Asked<'_>, protocols: &str) -> Result<Channels, Stop> {
    let mut channels = Channels::start(target, asked, protocols)?;
    channels.read_to_close()?;
    Ok(channels)
}

fn ready(target: &Target, asked: Asked<'_>) -> Seen {
    let mut channels = Channels::start(target, asked, V4)?;
    channels.until(|channels| !channels.order.is_empty())?;
    let (first, filled) = (channels.order[0], channels.data.iter().any(|data| !data.is_empty()));
    verdict(!filled, &format!("an empty message on channel {first}"), format!("data on channel {first}"))
}

fn output(target: &Target, protocols: &str) -> Seen {
    let channels = finished(target, Asked::output(SEVEN), protocols)?;
    let (out, err, end) = (channels.text(1), channels.text(2), channels.text(3));
    let end = match end.as_str() {
        "" => "nothing".into(),
        text if text.starts_with('{') => told(text),
        _ => "text".into(),
    };
    Ok(format!("{}, {}; {end}", out.trim_end(), err.trim_end()))
}

fn order(target: &Target) -> Seen {
    let channels = finished(target, Asked::output(SEVEN), V4)?;
    let last = if channels.order.last() == Some(&3) { "status" } else { "status in front of output" };
    let statuses = channels.order.split(|channel| *channel == 3).count() - 1;
    let end = channels.closed.map_or_else(|| "no Close".into(), |code| format!("Close {code}"));
    verdict(statuses == 1, &format!("{last}, {end}"), format!("{statuses} statuses, {end}"))
}

fn opcodes(target: &Target) -> Seen {
    let kinds = [V4, BASE64_V4].map(|protocol| {
        let channels = finished(target, Asked::output(SEVEN), protocol)?;
        let all = |opcode| channels.opcodes.iter().all(|seen| *seen == opcode);
        Ok::<_, Stop>(match (channels.odd, all(BINARY), all(TEXT)) {
            (1.., ..) => "masked or fragmented",
            (0, true, _) => "binary",
            (0, _, true) => "text",
            _ => "both",
        })
    });
    let [raw, base64] = kinds;
    Ok(format!("{}, {}", raw?, base64?))
}

/// Does this in a v4 session at rest.
fn at_rest(target: &Target, act: fn(&mut Channels)) -> Seen {
    let mut channels = Channels::cat(target, V4)?;
    act(&mut channels);
    Ok(channels.probe())
}

fn sized(target: &Target, sizes: &[&[u8]]) -> Seen {
    let asked = Asked::terminal(&["sh", "-c", "read x; stty size; read x"]);
    let mut channels = Channels::start(target, asked, V4)?;
    channels.until(|channels| !channels.order.is_empty())?;
    for size in sizes {
        channels.send(4, size);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    channels.send(0, b"go\n");
    let line = |channels: &Channels| size_line(&channels.text(1));
    match channels.until(|channels| line(channels).is_some()) {
        Ok(()) => Ok(line(&channels).unwrap_or_default()),
        Err(Stop::Saw(end)) => Ok(format!("{end}, with {:?}", channels.text(1))),
        Err(other) => Err(other),
    }
}
