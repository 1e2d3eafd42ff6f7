use std::io::{Read as _, Write as _};
use std::time::Duration;

use super::Client;
use super::peer::{Peer, SUCCESS};
use crate::case::{Case, Kind, Seen, verdict};
use crate::wire::spdy::ping;

const KIND: Kind = Kind::ClientSpdy;
const V4: &str = "v4.channel.k8s.io";

/// 13: a client's upgrade to SPDY.
pub(super) const CASES: &[Case] = &[
    Case::client(
        "13.1",
        KIND,
        "the request is a POST with Connection and Upgrade",
        "http-upgrade.md section 1.1, section 2.1",
        &["POST, Upgrade, SPDY/3.1"],
        request,
    ),
    Case::client(
        "13.2",
        KIND,
        "v4 to v1 are offered, the newest first",
        "http-upgrade.md section 2.1",
        &["v4, v3, v2, v1"],
        protocols,
    ),
    Case::client(
        "13.3",
        KIND,
        "the query names the command and the streams",
        "http-upgrade.md section 1.1",
        &["as asked"],
        query,
    ),
    Case::client(
        "13.4",
        KIND,
        "no SPDY byte is sent before the 101",
        "http-upgrade.md section 2.1",
        &["waits"],
        waits,
    ),
    Case::client(
        "13.5",
        KIND,
        "bytes that come in one segment with the 101 are SPDY",
        "http-upgrade.md section 2.1",
        &["answered"],
        behind_the_head,
    ),
    Case::client(
        "13.6",
        KIND,
        "a 101 that comes byte by byte",
        "RFC 9112 section 2.2",
        &["exit code 0"],
        byte_by_byte,
    ),
    Case::client(
        "13.7",
        KIND,
        "a refusal is a failure that shows its body",
        "http-upgrade.md section 2.3",
        &["fails, and says why"],
        refused,
    ),
    Case::client(
        "13.8",
        KIND,
        "a 101 without Upgrade is a failure",
        "http-upgrade.md section 2.3",
        &["fails"],
        |client| answered(client, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n"),
    ),
    Case::client("13.9", KIND, "a 200 is a failure", "http-upgrade.md section 2.3", &["fails"], |client| {
        answered(client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    }),
    Case::client(
        "13.10",
        KIND,
        "a connection that ends instead of an answer is a failure",
        "http-upgrade.md section 2.3",
        &["fails"],
        |client| answered(client, ""),
    ),
];

fn request(client: &Client) -> Seen {
    let (_, head, _) = client.start(None)?.asked()?;
    let method = head.line.split(' ').next().unwrap_or_default().to_owned();
    let upgrade = if head.has("connection", "upgrade") { "Upgrade" } else { "no Connection" };
    Ok(format!("{method}, {upgrade}, {}", head.get("upgrade").unwrap_or_default()))
}

fn protocols(client: &Client) -> Seen {
    let (_, head, _) = client.start(None)?.asked()?;
    let offered = head.get("x-stream-protocol-version").unwrap_or_default();
    let offered: Vec<_> = offered.split(',').map(str::trim).collect();
    let known = [V4, "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
    // v5 in front is as good: no server takes it (remotecommand.md section 1).
    let rest: Vec<_> = offered.iter().filter(|protocol| **protocol != "v5.channel.k8s.io").copied().collect();
    verdict(rest == known, "v4, v3, v2, v1", offered.join(", "))
}

fn query(client: &Client) -> Seen {
    let (_, head, _) = client.start(None)?.asked()?;
    let on = |name: &str| head.query(name) == ["true"] || head.query(name) == ["1"];
    let good = on("stdin") && on("stdout") && on("stderr") && !head.query("command").is_empty();
    verdict(good, "as asked", &head.line)
}

fn waits(client: &Client) -> Seen {
    let started = client.start(None)?;
    let (mut io, _, behind) = started.asked()?;
    io.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut byte = [0];
    let early = !behind.is_empty() || io.read(&mut byte).is_ok();
    verdict(!early, "waits", "does not wait")
}

fn behind_the_head(client: &Client) -> Seen {
    let started = client.start(None)?;
    let (mut io, head, behind) = started.asked()?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: {V4}\r\n\r\n"
    );
    io.write_all(&[answer.as_bytes(), &ping(2)].concat())?;
    let mut peer = Peer::on(io, head, behind, started.limit);
    peer.until(|peer| peer.pongs.contains(&2))?;
    Ok("answered".into())
}

fn byte_by_byte(client: &Client) -> Seen {
    let started = client.start(Some(b""))?;
    let (mut io, head, behind) = started.asked()?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nUPGRADE: SPDY/3.1\r\nX-Stream-Protocol-Version: {V4}\r\n\r\n"
    );
    for byte in answer.bytes() {
        io.write_all(&[byte])?;
    }
    let mut peer = Peer::on(io, head, behind, started.limit);
    peer.open()?;
    peer.end(SUCCESS);
    let _ = peer.closed();
    drop(peer);
    Ok(started.exit()?.told().into())
}

/// Answers every try with these bytes, and closes.
fn answered(client: &Client, answer: &str) -> Seen {
    let started = client.start(Some(b""))?;
    let (mut io, ..) = started.asked()?;
    io.write_all(answer.as_bytes())?;
    drop(io);
    Ok(started.exit()?.told().into())
}

fn refused(client: &Client) -> Seen {
    let started = client.start(Some(b""))?;
    let (mut io, ..) = started.asked()?;
    io.write_all(
        b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nnot for you",
    )?;
    drop(io);
    let exit = started.exit()?;
    let why = exit.stderr.contains("not for you");
    verdict(why, &format!("{}, and says why", exit.told()), format!("{}: {:?}", exit.told(), exit.stderr))
}
