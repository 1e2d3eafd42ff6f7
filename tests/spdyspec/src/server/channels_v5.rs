use super::exec::told;
use super::socket_session::Channels;
use crate::case::{Case, Kind, Seen, verdict};
use crate::target::{Asked, Target};
use crate::wire::websocket::BINARY;

const KIND: Kind = Kind::V5;
const V5: &str = "v5.channel.k8s.io";

/// 9: what v5 adds.
pub(super) const CASES: &[Case] = &[
    Case::server(
        "9.1",
        KIND,
        "v5 is chosen where it is offered with older ones, as kube-rs, Python and JavaScript do",
        "http-upgrade.md section 3.1",
        &["v5.channel.k8s.io"],
        |target| {
            let channels = Channels::cat(target, "v5.channel.k8s.io, v4.channel.k8s.io, channel.k8s.io")?;
            Ok(channels.head.get("sec-websocket-protocol").unwrap_or_default())
        },
    ),
    Case::server(
        "9.2",
        KIND,
        "CLOSE of stdin is its end; output and status still come",
        "websocket-channels.md section 6",
        &["\"kept\", Success, Close 1000"],
        |target| closed(target, &[&[0, b'k', b'e', b'p', b't'], &[255, 0]]),
    ),
    Case::server(
        "9.3",
        KIND,
        "CLOSE may be repeated",
        "websocket-channels.md section 6",
        &["\"\", Success, Close 1000"],
        |target| closed(target, &[&[255, 0], &[255, 0], &[255, 0]]),
    ),
    Case::server(
        "9.4",
        KIND,
        "what comes on stdin behind its CLOSE is dropped",
        "websocket-channels.md section 6",
        &["\"\", Success, Close 1000"],
        |target| closed(target, &[&[255, 0], &[0, b'l', b'a', b't', b'e']]),
    ),
    Case::server(
        "9.5",
        KIND,
        "CLOSE of the other channels does nothing",
        "websocket-channels.md section 6",
        &["goes on"],
        |target| {
            let mut channels = Channels::cat(target, V5)?;
            for channel in 1..=4 {
                channels.socket.send(BINARY, &[255, channel]);
            }
            Ok(channels.probe())
        },
    ),
    Case::server(
        "9.6",
        KIND,
        "CLOSE without a channel ends the connection",
        "websocket-channels.md section 6",
        &["ends"],
        |target| ends(target, &[255]),
    ),
    Case::server(
        "9.7",
        KIND,
        "CLOSE with two channels ends the connection",
        "websocket-channels.md section 6",
        &["ends"],
        |target| ends(target, &[255, 0, 0]),
    ),
    Case::server(
        "9.8",
        KIND,
        "CLOSE of a channel that does not exist ends the connection",
        "websocket-channels.md section 6",
        &["ends"],
        |target| ends(target, &[255, 5]),
    ),
    Case::server(
        "9.9",
        KIND,
        "the status of a failed command is as with v4",
        "websocket-channels.md section 5",
        &["Failure, NonZeroExitCode, ExitCode 7"],
        |target| {
            let mut channels = Channels::start(target, Asked::output(&["sh", "-c", "exit 7"]), V5)?;
            channels.read_to_close()?;
            Ok(told(&channels.text(3)))
        },
    ),
    Case::server(
        "9.10",
        KIND,
        "a program that does not exist is a Status, not an HTTP error",
        "translator.md section 3",
        &["Failure, InternalError"],
        |target| {
            let mut channels = Channels::start(target, Asked::output(&["/there/is/no/such/program"]), V5)?;
            channels.read_to_close()?;
            Ok(told(&channels.text(3)))
        },
    ),
];

/// Sends these messages to a `cat`; what came out, the status, and the Close.
fn closed(target: &Target, messages: &[&[u8]]) -> Seen {
    let mut channels = Channels::cat(target, V5)?;
    for message in messages {
        channels.socket.send(BINARY, message);
    }
    channels.read_to_close()?;
    let end = channels.closed.map_or_else(|| "no Close".into(), |code| format!("Close {code}"));
    Ok(format!("{:?}, {}, {end}", channels.text(1), told(&channels.text(3))))
}

fn ends(target: &Target, message: &[u8]) -> Seen {
    let mut channels = Channels::cat(target, V5)?;
    channels.socket.send(BINARY, message);
    let seen = channels.probe();
    verdict(seen == "closed" || seen.starts_with("Close "), "ends", seen)
}
