use std::io::Write as _;

use super::forward_session::{Port, on_this_host};
use super::socket_session::Channels;
use crate::case::{Case, Kind, Seen, Stop, verdict};
use crate::target::{Dialect, Target};
use crate::wire::http;

const KIND: Kind = Kind::LegacyForward;
const V4: &str = "v4.channel.k8s.io";

/// 12: port-forward over channels of a WebSocket.
pub(super) const CASES: &[Case] = &[
    Case::server(
        "12.1",
        KIND,
        "each channel's first message is its port, little-endian",
        "port-forward.md section 3",
        &["the ports of both channels"],
        first_messages,
    ),
    Case::server(
        "12.2",
        KIND,
        "channel 0 carries bytes both ways",
        "port-forward.md section 3",
        &["echoed"],
        |target| echo(target, V4),
    ),
    Case::server("12.3", KIND, "the same in base64", "port-forward.md section 3", &["echoed"], |target| {
        echo(target, "v4.base64.channel.k8s.io")
    }),
    Case::server(
        "12.4",
        KIND,
        "the same without a protocol",
        "port-forward.md section 3",
        &["echoed"],
        |target| echo(target, ""),
    ),
    Case::server(
        "12.5",
        KIND,
        "two ports have channels 0 and 2",
        "port-forward.md section 3",
        &["each its own port"],
        two_ports,
    ),
    Case::server(
        "12.6",
        KIND,
        "a port is dialled at once, not with the first byte",
        "port-forward.md section 3",
        &["dialled"],
        dialled_at_once,
    ),
    Case::server(
        "12.7",
        KIND,
        "a refused port is told on its error channel",
        "port-forward.md section 3",
        &["told"],
        refused,
    ),
    Case::server("12.8", KIND, "no port: 400", "port-forward.md section 3", &["400"], |target| {
        status(target, &target.forward)
    }),
    Case::server("12.9", KIND, "port 0: 400", "port-forward.md section 3", &["400"], |target| {
        status(target, &path(target, &[0]))
    }),
    Case::server(
        "12.10",
        KIND,
        "when all ports have ended, Close 1000",
        "port-forward.md section 3",
        &["Close 1000"],
        all_ended,
    ),
];

fn path(target: &Target, ports: &[u16]) -> String {
    let name = if target.dialect == Dialect::Api { "ports" } else { "port" };
    let ports: Vec<String> = ports.iter().map(|port| format!("{name}={port}")).collect();
    format!("{}?{}", target.forward, ports.join("&"))
}

/// Forwards these ports, and reads the first message of each channel.
fn forward(target: &Target, ports: &[u16], protocols: &str) -> Result<Channels, Stop> {
    on_this_host(target)?;
    let mut channels = Channels::at(target, &path(target, ports), protocols)?;
    channels.until(|channels| channels.order.len() >= 2 * ports.len() || channels.closed.is_some())?;
    Ok(channels)
}

fn first_messages(target: &Target) -> Seen {
    let port = Port::echo()?.port;
    let channels = forward(target, &[port], V4)?;
    let expected = port.to_le_bytes();
    let good = channels.data[0] == expected && channels.data[1] == expected;
    verdict(good, "the ports of both channels", format!("{:?} and {:?}", channels.data[0], channels.data[1]))
}

fn echo(target: &Target, protocols: &str) -> Seen {
    let port = Port::echo()?;
    let mut channels = forward(target, &[port.port], protocols)?;
    channels.send(0, b"there and back");
    match channels.until(|channels| channels.data[0].ends_with(b"there and back")) {
        Ok(()) => Ok("echoed".into()),
        Err(Stop::Saw(end)) => Ok(end),
        Err(other) => Err(other),
    }
}

fn two_ports(target: &Target) -> Seen {
    let greet = |word: &'static str| Port::serve(move |mut stream| drop(stream.write_all(word.as_bytes())));
    let (one, two) = (greet("one")?, greet("two")?);
    let mut channels = forward(target, &[one.port, two.port], V4)?;
    channels.until(|channels| channels.data[0].len() >= 5 && channels.data[2].len() >= 5)?;
    let good = channels.data[0].ends_with(b"one") && channels.data[2].ends_with(b"two");
    verdict(good, "each its own port", format!("{:?} and {:?}", channels.text(0), channels.text(2)))
}

fn dialled_at_once(target: &Target) -> Seen {
    let port = Port::echo()?;
    let _channels = forward(target, &[port.port], V4)?;
    super::forward_session::dialled(&port, target.limit)?;
    Ok("dialled".into())
}

fn refused(target: &Target) -> Seen {
    let mut channels = forward(target, &[Port::refused()?], V4)?;
    match channels.until(|channels| channels.data[1].len() > 2 || channels.closed.is_some()) {
        Ok(()) => verdict(channels.text(1).contains("error forwarding port"), "told", channels.text(1)),
        Err(Stop::Saw(end)) => Ok(end),
        Err(other) => Err(other),
    }
}

fn status(target: &Target, path: &str) -> Seen {
    let request = target.websocket_request(path, V4);
    let (_, head, _) = http::ask(&target.address, &request, target.limit)?;
    Ok(head.status().to_string())
}

fn all_ended(target: &Target) -> Seen {
    let port = Port::serve(|mut stream| drop(stream.write_all(b"all")))?;
    let mut channels = forward(target, &[port.port], V4)?;
    match channels.read_to_close() {
        Ok(()) => Ok(channels.closed.map_or_else(|| "no Close".into(), |code| format!("Close {code}"))),
        Err(Stop::Saw(end)) => Ok(end),
        Err(other) => Err(other),
    }
}
