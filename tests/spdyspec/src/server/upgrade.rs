use std::io::Write as _;

use super::session::V4;
use crate::case::{Case, Kind, Seen, verdict};
use crate::target::{Asked, Target};
use crate::wire::http::{self, Head};

const KIND: Kind = Kind::Upgrade;

/// 1: the upgrade to SPDY.
pub(super) const CASES: &[Case] = &[
    Case::server(
        "1.1",
        KIND,
        "101 with Connection, Upgrade and the chosen X-Stream-Protocol-Version",
        "http-upgrade.md section 2.2",
        &["101 v4.channel.k8s.io"],
        |target| ask(target, "POST", &[V4]),
    ),
    Case::server(
        "1.2",
        KIND,
        "GET is as good as POST",
        "http-upgrade.md section 1.1",
        &["101 v4.channel.k8s.io"],
        |target| ask(target, "GET", &[V4]),
    ),
    Case::server(
        "1.3",
        KIND,
        "the first protocol of the client's list that the server knows is chosen",
        "http-upgrade.md section 2.2",
        &["101 v3.channel.k8s.io"],
        |target| ask(target, "POST", &["v3.channel.k8s.io", V4]),
    ),
    Case::server(
        "1.4",
        KIND,
        "an unknown protocol in front is passed over",
        "http-upgrade.md section 2.2",
        &["101 v4.channel.k8s.io"],
        |target| ask(target, "POST", &["v99.channel.k8s.io", V4]),
    ),
    Case::server(
        "1.5",
        KIND,
        "a list in one header line is a list",
        "http-upgrade.md section 2.2",
        &["101 v2.channel.k8s.io"],
        |target| ask(target, "POST", &["v99.channel.k8s.io, v2.channel.k8s.io,v4.channel.k8s.io"]),
    ),
    Case::server(
        "1.6",
        KIND,
        "no X-Stream-Protocol-Version: 400",
        "http-upgrade.md section 2.2",
        &["400"],
        |target| ask(target, "POST", &[]),
    ),
    Case::server(
        "1.7",
        KIND,
        "an empty X-Stream-Protocol-Version: 400",
        "http-upgrade.md section 2.2",
        &["400"],
        |target| ask(target, "POST", &[""]),
    ),
    Case::server(
        "1.8",
        KIND,
        "no known protocol: 403, and what the server accepts",
        "http-upgrade.md section 2.2",
        &["403 with v4.channel.k8s.io among what is accepted"],
        refused,
    ),
    Case::server("1.9", KIND, "no Upgrade: 400", "http-upgrade.md section 2.2", &["400"], |target| {
        upgrade(target, "Connection: Upgrade\r\n")
    }),
    Case::server("1.10", KIND, "no Connection: 400", "http-upgrade.md section 2.2", &["400"], |target| {
        upgrade(target, "Upgrade: SPDY/3.1\r\n")
    }),
    Case::server(
        "1.11",
        KIND,
        "names and tokens in any case of letters, among others",
        "http-upgrade.md section 2.2",
        &["101 v4.channel.k8s.io"],
        |target| upgrade(target, "CONNECTION: keep-alive, upgrade\r\nUPGRADE: spdy/3.1\r\n"),
    ),
    Case::server(
        "1.12",
        KIND,
        "a request that comes byte by byte",
        "RFC 9112 section 2.2",
        &["101 v4.channel.k8s.io"],
        byte_by_byte,
    ),
];

const FIELDS: &str = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n";

fn date(target: &Target) -> String {
    target.exec(Asked::pipe(&["cat"]))
}

fn told(head: &Head) -> String {
    let protocol = head.get("x-stream-protocol-version").unwrap_or_default();
    match head.status() {
        101 if head.has("connection", "upgrade") && head.has("upgrade", "spdy/3.1") => {
            format!("101 {protocol}")
        }
        101 => "101 without Connection or Upgrade".into(),
        status => status.to_string(),
    }
}

fn ask(target: &Target, method: &str, protocols: &[&str]) -> Seen {
    let lines = protocols.iter().map(|protocol| format!("X-Stream-Protocol-Version: {protocol}\r\n"));
    let fields = format!("{FIELDS}{}", lines.collect::<String>());
    let request = target.request(method, &date(target), &fields);
    let (_, head, _) = http::ask(&target.address, &request, target.limit)?;
    Ok(told(&head))
}

fn upgrade(target: &Target, fields: &str) -> Seen {
    let fields = format!("{fields}X-Stream-Protocol-Version: {V4}\r\nContent-Length: 0\r\n");
    let request = target.request("POST", &date(target), &fields);
    let (_, head, _) = http::ask(&target.address, &request, target.limit)?;
    Ok(told(&head))
}

fn refused(target: &Target) -> Seen {
    let request = target.spdy_request(&date(target), "v99.channel.k8s.io");
    let (_, head, _) = http::ask(&target.address, &request, target.limit)?;
    let accepted = head.has("x-accepted-stream-protocol-versions", V4);
    let expected = "403 with v4.channel.k8s.io among what is accepted";
    verdict(head.status() == 403 && accepted, expected, told(&head))
}

fn byte_by_byte(target: &Target) -> Seen {
    let mut io = http::dial(&target.address, target.limit)?;
    for byte in target.spdy_request(&date(target), V4).bytes() {
        io.write_all(&[byte])?;
    }
    Ok(told(&http::head(&mut io, &mut Vec::new(), target.limit)?))
}
