use std::time::Duration;

use super::Client;
use super::peer::{Answer, Peer, SEVEN, SUCCESS, session};
use crate::case::{Case, Kind, Seen, Stop, verdict};
use crate::wire::spdy::{HEADERS, PING, WINDOW_UPDATE, control, data, ping, rst, settings, words};

const KIND: Kind = Kind::ClientSpdy;
const V4: &str = "v4.channel.k8s.io";

/// What all of these sessions end with.
const WORKS: &[&str] = &["\"output\", exit code 7"];

/// 14: a client's SPDY.
pub(super) const CASES: &[Case] = &[
    Case::client(
        "14.1",
        KIND,
        "streams 1, 3, 5 and 7 are error, stdin, stdout and stderr",
        "remotecommand.md section 1",
        &["1 error, 3 stdin, 5 stdout, 7 stderr"],
        streams,
    ),
    Case::client(
        "14.2",
        KIND,
        "streams have the header streamtype, no flags, and are associated with none",
        "spdy31.md section 2, section 3",
        &["streamtype alone"],
        headers,
    ),
    Case::client(
        "14.3",
        KIND,
        "SYN_REPLYs that take 300 ms each",
        "spdy31.md section 2 (30 s)",
        WORKS,
        |client| plain(client, Answer::Late(Duration::from_millis(300)), |_| {}),
    ),
    Case::client("14.4", KIND, "SYN_REPLYs with headers", "SPDY/3.1 draft 2.6.2", WORKS, |client| {
        plain(client, Answer::WithHeaders, |_| {})
    }),
    Case::client(
        "14.5",
        KIND,
        "SYN_REPLYs in another order, where the client does not wait for each",
        "spdy31.md section 2",
        WORKS,
        |client| plain(client, Answer::Backwards, |_| {}),
    ),
    Case::client(
        "14.6",
        KIND,
        "a stream that is refused fails the session",
        "spdy31.md section 2",
        &["fails"],
        refused,
    ),
    Case::client("14.7", KIND, "PING with an even id is answered", "SPDY/3.1 draft 2.6.5", WORKS, |client| {
        with(client, Peer::is_read)
    }),
    Case::client(
        "14.8",
        KIND,
        "PING with an odd id that the client did not send is ignored",
        "SPDY/3.1 draft 2.6.5",
        WORKS,
        |client| plain(client, Answer::AtOnce, |peer| peer.wire.write(&ping(0x0fff_ffff))),
    ),
    Case::client(
        "14.9",
        KIND,
        "a control frame of an unknown type is skipped",
        "SPDY/2 draft 2.2.1 (the 3.1 draft is silent)",
        WORKS,
        |client| plain(client, Answer::AtOnce, |peer| peer.wire.write(&control(0x0abc, 0, &[0x80; 100]))),
    ),
    Case::client(
        "14.10",
        KIND,
        "SETTINGS and WINDOW_UPDATE are taken",
        "SPDY/3.1 draft 2.6.4, 2.6.8; spdy31.md section 4",
        WORKS,
        |client| {
            plain(client, Answer::AtOnce, |peer| {
                let frames =
                    [settings(1, &[(4, 100)]), words(WINDOW_UPDATE, 0, 9), words(WINDOW_UPDATE, 5, 9)];
                peer.wire.write(&frames.concat());
            })
        },
    ),
    Case::client(
        "14.11",
        KIND,
        "HEADERS of an open stream are taken",
        "SPDY/3.1 draft 2.6.7",
        WORKS,
        |client| {
            plain(client, Answer::AtOnce, |peer| {
                let block = peer.wire.block(&[("x-more", "headers")]);
                let payload = [&5_u32.to_be_bytes()[..], &block].concat();
                peer.wire.write(&control(HEADERS, 0, &payload));
            })
        },
    ),
    Case::client(
        "14.12",
        KIND,
        "DATA and RST_STREAM of streams that do not exist are ignored",
        "spdy31.md section 2",
        WORKS,
        |client| {
            plain(client, Answer::AtOnce, |peer| {
                peer.wire.write(&[data(99, 0, b"lost"), rst(97, 5)].concat());
            })
        },
    ),
    Case::client(
        "14.13",
        KIND,
        "a stream that the server opens harms nothing",
        "spdy31.md section 2 (only the client opens streams)",
        WORKS,
        |client| {
            plain(client, Answer::AtOnce, |peer| {
                let frame = peer.wire.syn_stream(2, 0, &[("streamtype", "stdout")]);
                peer.wire.write(&frame);
            })
        },
    ),
    Case::client(
        "14.14",
        KIND,
        "a zero-length DATA frame is no end",
        "SPDY/3.1 draft 2.2.2",
        WORKS,
        |client| plain(client, Answer::AtOnce, |peer| peer.send("stdout", b"", false)),
    ),
    Case::client(
        "14.15",
        KIND,
        "frames that are split at every byte",
        "SPDY/3.1 draft 2.2",
        WORKS,
        byte_by_byte,
    ),
    Case::client(
        "14.16",
        KIND,
        "a DATA frame of 1 MiB",
        "SPDY/3.1 draft 2.2.2",
        &["as it was sent, exit code 7"],
        large,
    ),
    Case::client(
        "14.17",
        KIND,
        "a PING of another length than 4 ends the session as a failure",
        "SPDY/3.1 draft 2.4.1, 2.6.5",
        &["fails"],
        |client| broken(client, &control(PING, 0, &[0, 0, 0, 2, 0])),
    ),
    Case::client(
        "14.18",
        KIND,
        "SETTINGS that claim more entries than the frame has end the session as a failure",
        "CVE-2026-35469",
        &["fails"],
        |client| broken(client, &settings(u32::MAX, &[])),
    ),
    Case::client(
        "14.19",
        KIND,
        "DATA of stream 0 ends the session as a failure",
        "SPDY/3.1 draft 2.3.2",
        &["fails"],
        |client| broken(client, &data(0, 0, b"nobody's")),
    ),
];

fn streams(client: &Client) -> Seen {
    let started = client.start(None)?;
    let peer = Peer::accept(&started, V4, Answer::AtOnce)?;
    let told = peer.opened.iter().map(|opened| {
        let kind = opened.headers.iter().find(|(name, _)| name == "streamtype");
        format!("{} {}", opened.id, kind.map_or("none", |(_, kind)| kind))
    });
    Ok(told.collect::<Vec<_>>().join(", "))
}

fn headers(client: &Client) -> Seen {
    let started = client.start(None)?;
    let peer = Peer::accept(&started, V4, Answer::AtOnce)?;
    let good = peer.opened.iter().all(|opened| {
        opened.headers.len() == 1
            && opened.headers[0].0 == "streamtype"
            && opened.flags == 0
            && opened.associated == 0
    });
    verdict(good, "streamtype alone", format!("{:?}", peer.opened))
}

/// A session in which something comes in front of the output.
fn plain(client: &Client, answer: Answer, act: impl FnOnce(&mut Peer)) -> Seen {
    ended(client, answer, |peer| {
        act(peer);
        Ok(())
    })
}

fn with(client: &Client, act: impl FnOnce(&mut Peer) -> Result<(), Stop>) -> Seen {
    ended(client, Answer::AtOnce, act)
}

fn ended(client: &Client, answer: Answer, act: impl FnOnce(&mut Peer) -> Result<(), Stop>) -> Seen {
    let exit = session(client, V4, answer, |peer| {
        act(peer)?;
        peer.send("stdout", b"output", false);
        peer.end(SEVEN);
        Ok(())
    })?;
    Ok(format!("{:?}, exit code {}", exit.text(), exit.code))
}

fn refused(client: &Client) -> Seen {
    let started = client.start(Some(b""))?;
    // A client that waits for each stream opens no more; one that does not may wait for the server to close.
    let peer = Peer::accept(&started, V4, Answer::RefuseStdout);
    std::thread::sleep(Duration::from_millis(300));
    drop(peer);
    Ok(started.exit()?.told().into())
}

fn byte_by_byte(client: &Client) -> Seen {
    let exit = session(client, V4, Answer::AtOnce, |peer| {
        let (stdout, error) = (peer.id("stdout"), peer.id("error"));
        let frames = [
            data(stdout, 0, b"output"),
            data(stdout, 1, b""),
            data(peer.id("stderr"), 1, b""),
            data(error, 1, SEVEN),
        ];
        peer.wire.trickle(&frames.concat());
        Ok(())
    })?;
    Ok(format!("{:?}, exit code {}", exit.text(), exit.code))
}

fn large(client: &Client) -> Seen {
    let payload: Vec<u8> = (0..1_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let exit = session(client, V4, Answer::AtOnce, |peer| {
        peer.send("stdout", &payload, false);
        peer.end(SEVEN);
        Ok(())
    })?;
    let told = if exit.stdout == payload { "as it was sent" } else { "changed on its way" };
    Ok(format!("{told}, exit code {}", exit.code))
}

/// Output, bytes that nobody can go on behind, and a status that must not count.
fn broken(client: &Client, bytes: &[u8]) -> Seen {
    let exit = session(client, V4, Answer::AtOnce, |peer| {
        peer.send("stdout", b"output", false);
        peer.wire.write(bytes);
        peer.end(SUCCESS);
        Ok(())
    })?;
    Ok(exit.told().into())
}
