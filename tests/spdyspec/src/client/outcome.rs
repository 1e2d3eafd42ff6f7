use std::time::Duration;

use super::Client;
use super::peer::{Answer, Peer, SEVEN, SUCCESS, session};
use crate::case::{Case, Kind, Seen, Stop, verdict};
use crate::wire::spdy::{goaway, rst};

const KIND: Kind = Kind::ClientSpdy;
const V4: &str = "v4.channel.k8s.io";

/// 15: what a client makes of a session over SPDY.
pub(super) const CASES: &[Case] = &[
    Case::client(
        "15.1",
        KIND,
        "Success is exit code 0",
        "remotecommand.md section 6",
        &["exit code 0"],
        |client| status(client, V4, SUCCESS),
    ),
    Case::client(
        "15.2",
        KIND,
        "ExitCode 7 is exit code 7",
        "remotecommand.md section 6",
        &["exit code 7"],
        |client| status(client, V4, SEVEN),
    ),
    Case::client(
        "15.3",
        KIND,
        "another Failure is exit code 1",
        "remotecommand.md section 6",
        &["exit code 1"],
        |client| {
            status(
                client,
                V4,
                br#"{"status":"Failure","message":"no luck","reason":"InternalError","code":500}"#,
            )
        },
    ),
    Case::client(
        "15.4",
        KIND,
        "a status that is not JSON fails",
        "websocket-channels.md section 5",
        &["exit code 1"],
        |client| status(client, V4, b"no JSON"),
    ),
    Case::client(
        "15.5",
        KIND,
        "NonZeroExitCode without a cause fails",
        "websocket-channels.md section 5",
        &["exit code 1"],
        |client| status(client, V4, br#"{"status":"Failure","reason":"NonZeroExitCode"}"#),
    ),
    Case::client(
        "15.6",
        KIND,
        "v3: text on the error stream fails",
        "remotecommand.md section 6",
        &["exit code 1"],
        |client| status(client, "v3.channel.k8s.io", b"it went wrong"),
    ),
    Case::client(
        "15.7",
        KIND,
        "v3: an empty error stream is success",
        "remotecommand.md section 1",
        &["exit code 0"],
        |client| status(client, "v3.channel.k8s.io", b""),
    ),
    Case::client(
        "15.8",
        KIND,
        "RST_STREAM behind the status is the end of the error stream",
        "spdy31.md section 2",
        &["exit code 7"],
        |client| {
            acted(client, |peer| {
                peer.send("error", SEVEN, false);
                let ids = ["stdout", "stderr", "error"].map(|stream| rst(peer.id(stream), 5));
                peer.wire.write(&ids.concat());
            })
        },
    ),
    Case::client(
        "15.9",
        KIND,
        "output behind the status is not lost",
        "remotecommand.md section 5 (a client must not finish on status alone)",
        &["all of the output, exit code 7"],
        late_output,
    ),
    Case::client(
        "15.10",
        KIND,
        "stdout and stderr go where they belong",
        "remotecommand.md section 1",
        &["apart"],
        apart,
    ),
    Case::client(
        "15.11",
        KIND,
        "the input comes as it is, and its end is an empty DATA frame with FIN",
        "remotecommand.md section 2; spdy31.md section 2",
        &["300000 bytes, then an empty frame with FIN"],
        input,
    ),
    Case::client(
        "15.12",
        KIND,
        "a server that resets stdin harms nothing",
        "remotecommand.md section 2, section 5",
        &["exit code 0"],
        |client| {
            acted(client, |peer| {
                let stdin = peer.id("stdin");
                peer.wire.write(&rst(stdin, 5));
                std::thread::sleep(Duration::from_millis(100));
                peer.end(SUCCESS);
            })
        },
    ),
    Case::client(
        "15.13",
        KIND,
        "the client closes when all has ended, although its own input is still open",
        "remotecommand.md section 5",
        &["closes, exit code 0"],
        closes,
    ),
    Case::client(
        "15.14",
        KIND,
        "a connection that ends without a status fails",
        "remotecommand.md section 7.3 (do: missing status = error)",
        &["fails"],
        |client| lost(client, |peer| drop(peer.wire.io.shutdown(std::net::Shutdown::Both))),
    ),
    Case::client(
        "15.15",
        KIND,
        "so does one that ends in the middle of the output",
        "remotecommand.md section 7.3",
        &["fails"],
        |client| {
            lost(client, |peer| {
                peer.send("stdout", b"half a", false);
                let _ = peer.wire.io.shutdown(std::net::Shutdown::Both);
            })
        },
    ),
    Case::client(
        "15.16",
        KIND,
        "so does one that is reset",
        "remotecommand.md section 7.3",
        &["fails"],
        |client| {
            lost(client, |peer| {
                // What is left behind when it is closed makes TCP reset it.
                let _ = socket2::SockRef::from(&peer.wire.io).set_linger(Some(Duration::ZERO));
            })
        },
    ),
    Case::client(
        "15.17",
        KIND,
        "GOAWAY without a status fails",
        "spdy31.md section 6; remotecommand.md section 7.3",
        &["fails"],
        |client| lost(client, |peer| peer.wire.write(&goaway(7, 0))),
    ),
    Case::client(
        "15.18",
        KIND,
        "an error stream that ends empty fails",
        "remotecommand.md section 6, section 7.3",
        &["fails"],
        |client| lost(client, |peer| peer.end(b"")),
    ),
    Case::client(
        "15.19",
        KIND,
        "a status that is cut off fails",
        "remotecommand.md section 7.3",
        &["fails"],
        |client| {
            lost(client, |peer| {
                peer.send("stdout", b"", true);
                peer.send("stderr", b"", true);
                peer.send("error", &SUCCESS[..20], false);
                let _ = peer.wire.io.shutdown(std::net::Shutdown::Both);
            })
        },
    ),
];

fn status(client: &Client, protocol: &str, status: &[u8]) -> Seen {
    let exit = session(client, protocol, Answer::AtOnce, |peer| {
        peer.end(status);
        Ok(())
    })?;
    Ok(format!("exit code {}", exit.code))
}

fn acted(client: &Client, act: fn(&mut Peer)) -> Seen {
    let exit = session(client, V4, Answer::AtOnce, |peer| {
        act(peer);
        Ok(())
    })?;
    Ok(format!("exit code {}", exit.code))
}

/// A session without a status.
fn lost(client: &Client, act: fn(&mut Peer)) -> Seen {
    let started = client.start(Some(b""))?;
    let mut peer = Peer::accept(&started, V4, Answer::AtOnce)?;
    act(&mut peer);
    drop(peer);
    Ok(started.exit()?.told().into())
}

fn late_output(client: &Client) -> Seen {
    const BYTES: usize = 200_000;
    let exit = session(client, V4, Answer::AtOnce, |peer| {
        peer.send("error", SEVEN, true);
        std::thread::sleep(Duration::from_millis(200));
        peer.send("stdout", &vec![b'o'; BYTES], true);
        peer.send("stderr", b"", true);
        Ok(())
    })?;
    let told = if exit.stdout.len() == BYTES { "all".into() } else { format!("{} bytes", exit.stdout.len()) };
    Ok(format!("{told} of the output, exit code {}", exit.code))
}

fn apart(client: &Client) -> Seen {
    let exit = session(client, V4, Answer::AtOnce, |peer| {
        peer.send("stdout", b"to stdout", false);
        peer.send("stderr", b"to stderr", false);
        peer.end(SUCCESS);
        Ok(())
    })?;
    let good = exit.text() == "to stdout" && exit.stderr.contains("to stderr");
    verdict(good, "apart", format!("{:?} and {:?}", exit.text(), exit.stderr))
}

fn input(client: &Client) -> Seen {
    let payload: Vec<u8> = (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let started = client.start(Some(&payload))?;
    let mut peer = Peer::accept(&started, V4, Answer::AtOnce)?;
    let ended = peer.until(|peer| peer.on_stream("stdin").fin);
    if let Err(Stop::Saw(end)) = ended {
        return Ok(format!("{end} after {} bytes", peer.on_stream("stdin").data.len()));
    }
    let came = peer.on_stream("stdin");
    if came.data != payload {
        return Ok("changed on its way".into());
    }
    let end = if came.empty_fin { "an empty frame with FIN" } else { "FIN on a frame with payload" };
    Ok(format!("{} bytes, then {end}", came.data.len()))
}

fn closes(client: &Client) -> Seen {
    let started = client.start(None)?;
    let mut peer = Peer::accept(&started, V4, Answer::AtOnce)?;
    peer.end(SUCCESS);
    peer.closed()?;
    drop(peer);
    Ok(format!("closes, exit code {}", started.exit()?.code))
}
