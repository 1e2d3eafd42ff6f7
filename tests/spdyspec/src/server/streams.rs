use std::time::Duration;

use super::session::Session;
use crate::case::{Case, Kind, Seen, Stop, verdict};
use crate::target::Target;
use crate::wire::spdy::{FIN, data, rst};

const KIND: Kind = Kind::Spdy;

/// 3: streams.
pub(super) const CASES: &[Case] = &[
    Case::server(
        "3.1",
        KIND,
        "each SYN_STREAM gets a SYN_REPLY, in front of all DATA of its stream",
        "SPDY/3.1 draft 2.2.2; spdy31.md section 2",
        &["a SYN_REPLY for each, and no DATA in front of one"],
        replies,
    ),
    Case::server(
        "3.2",
        KIND,
        "the server sends SYN_REPLY, RST_STREAM, PING, GOAWAY and DATA, and opens no stream",
        "spdy31.md section 1",
        &["only what Kubernetes' clients expect"],
        own_frames,
    ),
    Case::server(
        "3.3",
        KIND,
        "ids may leave gaps: 1, 5, 101",
        "SPDY/3.1 draft 2.3.2; spdy31.md section 2",
        &["goes on"],
        gaps,
    ),
    Case::server(
        "3.4",
        KIND,
        "an even id of a client is an error",
        "SPDY/3.1 draft 2.3.2",
        &["RST_STREAM 1 on 6, goes on", "GOAWAY 1, closed"],
        even,
    ),
    Case::server(
        "3.5",
        KIND,
        "stream id 0 is an error",
        "SPDY/3.1 draft 2.3.2",
        &["GOAWAY 1, closed"],
        |target| opened(target, 0),
    ),
    Case::server(
        "3.6",
        KIND,
        "an id lower than an earlier one is an error",
        "SPDY/3.1 draft 2.3.2 (a session error); spdy31.md section 2 (a stream error, upstream's)",
        &["GOAWAY 1, closed", "RST_STREAM 1 on 51, goes on"],
        lower,
    ),
    Case::server(
        "3.7",
        KIND,
        "a second SYN_STREAM for an open stream is a stream error",
        "SPDY/3.1 draft 2.3.2",
        &["RST_STREAM 1 on 1, goes on"],
        |target| opened(target, 1),
    ),
    Case::server(
        "3.8",
        KIND,
        "DATA of a stream that never was is refused or dropped",
        "SPDY/3.1 draft 2.2.2 (INVALID_STREAM); spdy31.md section 2 (dropped, upstream's)",
        &["RST_STREAM 2 on 99, goes on", "goes on"],
        |target| after(target, &[data(99, 0, b"lost")]),
    ),
    Case::server(
        "3.9",
        KIND,
        "RST_STREAM for a stream that never was is no error",
        "SPDY/3.1 draft 2.4.2; spdy31.md section 2",
        &["goes on"],
        |target| after(target, &[rst(99, 5)]),
    ),
    Case::server(
        "3.10",
        KIND,
        "RST_STREAM with a status that nobody knows is one",
        "SPDY/3.1 draft 2.6.3",
        &["the input ends, and the session with it"],
        |target| stdin_ends(target, &[rst(3, 0xffff)], ""),
    ),
    Case::server(
        "3.11",
        KIND,
        "RST_STREAM of stdin is its end",
        "spdy31.md section 2",
        &["the input ends, and the session with it"],
        |target| stdin_ends(target, &[data(3, 0, b"kept"), rst(3, 5)], "kept"),
    ),
    Case::server(
        "3.12",
        KIND,
        "an empty DATA frame with FIN half-closes: output still comes",
        "SPDY/3.1 draft 2.3.6; spdy31.md section 2",
        &["the input ends, and the session with it"],
        |target| stdin_ends(target, &[data(3, 0, b"half"), data(3, FIN, b"")], "half"),
    ),
    Case::server(
        "3.13",
        KIND,
        "FIN on a DATA frame with payload half-closes behind the payload",
        "SPDY/3.1 draft 2.3.6",
        &["the input ends, and the session with it"],
        |target| stdin_ends(target, &[data(3, FIN, b"both")], "both"),
    ),
    Case::server(
        "3.14",
        KIND,
        "FIN on SYN_STREAM half-closes from the start",
        "SPDY/3.1 draft 2.6.1",
        &["the input ends, and the session with it"],
        fin_at_once,
    ),
    Case::server(
        "3.15",
        KIND,
        "FIN on HEADERS half-closes",
        "SPDY/3.1 draft 2.6.7",
        &["the input ends, and the session with it"],
        fin_on_headers,
    ),
    Case::server(
        "3.16",
        KIND,
        "DATA behind FIN is not delivered",
        "SPDY/3.1 draft 2.3.6 (STREAM_ALREADY_CLOSED); spdy31.md section 2 (dropped, upstream's)",
        &["the input ends, and the session with it"],
        |target| stdin_ends(target, &[data(3, FIN, b"in time"), data(3, 0, b" too late")], "in time"),
    ),
    Case::server(
        "3.17",
        KIND,
        "DATA right behind SYN_STREAM, in front of the SYN_REPLY, is delivered",
        "SPDY/3.1 draft 2.3.2; spdy31.md section 2",
        &["delivered"],
        data_at_once,
    ),
    Case::server(
        "3.18",
        KIND,
        "more than 64 KiB is sent both ways without a WINDOW_UPDATE of the client",
        "spdy31.md section 4",
        &["256 KiB"],
        no_window,
    ),
    Case::server(
        "3.19",
        KIND,
        "SYN_REPLY has no headers and no FIN",
        "spdy31.md section 2",
        &["no headers"],
        bare_replies,
    ),
];

fn replies(target: &Target) -> Seen {
    let mut session = Session::cat(target)?;
    session.type_in(b"x", false);
    session.until(|session| !session.on("stdout").data.is_empty())?;
    let good = session.came.values().all(|came| came.replied && !came.early);
    verdict(good, "a SYN_REPLY for each, and no DATA in front of one", format!("{:?}", session.came))
}

fn own_frames(target: &Target) -> Seen {
    let mut session = Session::cat(target)?;
    session.type_in(b"x", true);
    session.read_to_end()?;
    let known = ["SYN_REPLY", "RST_STREAM", "PING", "GOAWAY", "DATA"];
    let mut others: Vec<_> = session.kinds.iter().filter(|kind| !known.contains(kind)).copied().collect();
    others.sort_unstable();
    others.dedup();
    verdict(
        others.is_empty(),
        "only what Kubernetes' clients expect",
        format!("besides {}", others.join(", ")),
    )
}

fn gaps(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    let mut frames = session.opening_as(1, "error", 0, &[]);
    frames.extend(session.opening_as(5, "stdin", 0, &[]));
    frames.extend(session.opening_as(101, "stdout", 0, &[]));
    session.wire.write(&frames);
    session.accepted()?;
    Ok(session.probe())
}

/// Opens a stream with this id besides `cat`'s 1, 3 and 5.
fn opened(target: &Target, id: u32) -> Seen {
    let mut session = Session::cat(target)?;
    let headers = session.headers("stderr", &[]);
    let frame = session.wire.syn_stream(id, 0, &headers);
    session.wire.write(&frame);
    Ok(session.probe())
}

/// Opens stdout as stream 6, and if that is refused as stream 9.
fn even(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    session.open_all(&["error", "stdin"])?;
    let frame = session.opening_as(6, "stdout", 0, &[]);
    session.wire.write(&frame);
    session.accepted()?;
    if session.on("stdout").rst.is_some() {
        let frame = session.opening_as(9, "stdout", 0, &[]);
        session.wire.write(&frame);
        session.accepted()?;
    }
    Ok(session.probe())
}

fn lower(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    let mut frames = session.opening_as(101, "error", 0, &[]);
    frames.extend(session.opening_as(103, "stdin", 0, &[]));
    frames.extend(session.opening_as(105, "stdout", 0, &[]));
    session.wire.write(&frames);
    session.accepted()?;
    let headers = session.headers("stderr", &[]);
    let frame = session.wire.syn_stream(51, 0, &headers);
    session.wire.write(&frame);
    Ok(session.probe())
}

fn after(target: &Target, frames: &[Vec<u8>]) -> Seen {
    let mut session = Session::cat(target)?;
    session.wire.write(&frames.concat());
    Ok(session.probe())
}

fn stdin_ends(target: &Target, frames: &[Vec<u8>], expected: &str) -> Seen {
    let mut session = Session::cat(target)?;
    session.wire.write(&frames.concat());
    input_ended(session, expected)
}

fn input_ended(mut session: Session, expected: &str) -> Seen {
    match session.read_to_end() {
        Ok(()) => {}
        Err(Stop::Saw(end)) => return Ok(format!("{end}, with {:?}", session.on("stdout").text())),
        Err(other) => return Err(other),
    }
    let text = session.on("stdout").text();
    verdict(text == expected, "the input ends, and the session with it", format!("ends with {text:?}"))
}

fn fin_at_once(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    let mut frames = session.opening("error", 0);
    frames.extend(session.opening("stdin", FIN));
    frames.extend(session.opening("stdout", 0));
    session.wire.write(&frames);
    input_ended(session, "")
}

fn fin_on_headers(target: &Target) -> Seen {
    let mut session = Session::cat(target)?;
    let block = session.wire.block(&[("more", "headers")]);
    let payload = [&3_u32.to_be_bytes()[..], &block].concat();
    let frames =
        [data(3, 0, b"headed"), crate::wire::spdy::control(crate::wire::spdy::HEADERS, FIN, &payload)];
    session.wire.write(&frames.concat());
    input_ended(session, "headed")
}

fn data_at_once(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    let mut frames = session.opening("stdin", 0);
    frames.extend(data(1, 0, b"at once"));
    session.wire.write(&frames);
    // So that the server has it while it waits for the others.
    std::thread::sleep(Duration::from_millis(50));
    session.open_all(&["error", "stdout"])?;
    let delivered = |session: &Session| session.on("stdout").text() == "at once";
    match session.until(delivered) {
        Ok(()) => Ok("delivered".into()),
        Err(Stop::Saw(end)) => Ok(format!("{end}, with {:?}", session.on("stdout").text())),
        Err(other) => Err(other),
    }
}

fn no_window(target: &Target) -> Seen {
    let mut session = Session::cat(target)?;
    let piece = [b'w'; 16 * 1024];
    for _ in 0..16 {
        session.type_in(&piece, false);
        let wanted = session.on("stdout").data.len() + piece.len();
        let came = session.until(|session| session.on("stdout").data.len() >= wanted);
        if let Err(Stop::Saw(end)) = came {
            return Ok(format!("{end} after {} KiB", session.on("stdout").data.len() / 1024));
        }
    }
    Ok("256 KiB".into())
}

fn bare_replies(target: &Target) -> Seen {
    let session = Session::cat(target)?;
    let good = session.came.values().all(|came| came.headers == 0 && !came.fin);
    verdict(good, "no headers", "headers or FIN")
}
