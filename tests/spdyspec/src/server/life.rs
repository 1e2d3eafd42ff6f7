use std::net::Shutdown;
use std::time::Duration;

use super::session::Session;
use crate::case::{Case, Kind, Seen, Stop, verdict};
use crate::target::Target;
use crate::wire::spdy::{FIN, data, goaway, ping, rst};

const KIND: Kind = Kind::Spdy;

/// 5: PING, GOAWAY and the end of a connection.
pub(super) const CASES: &[Case] = &[
    Case::server(
        "5.1",
        KIND,
        "PING in front of the first stream is answered by the identical frame",
        "SPDY/3.1 draft 2.6.5",
        &["answered"],
        |target| pings(Session::fresh(target)?, &[1]),
    ),
    Case::server("5.2", KIND, "100 PINGs get 100 answers", "SPDY/3.1 draft 2.6.5", &["answered"], |target| {
        pings(Session::cat(target)?, &(0..100).map(|at| 2 * at + 1).collect::<Vec<_>>())
    }),
    Case::server(
        "5.3",
        KIND,
        "PING with the highest odd id is answered",
        "SPDY/3.1 draft 2.6.5",
        &["answered"],
        |target| pings(Session::cat(target)?, &[u32::MAX]),
    ),
    Case::server(
        "5.4",
        KIND,
        "PING with an even id that the server did not send is ignored",
        "SPDY/3.1 draft 2.6.5",
        &["goes on"],
        even_ping,
    ),
    Case::server(
        "5.5",
        KIND,
        "PING is answered while a process takes no input",
        "SPDY/3.1 draft 2.6.5; spdy31.md section 4",
        &["answered"],
        unread_input,
    ),
    Case::server(
        "5.6",
        KIND,
        "GOAWAY of the client ends the session within its time",
        "SPDY/3.1 draft 2.6.6; spdy31.md section 6",
        &["the server closes"],
        client_goes_away,
    ),
    Case::server(
        "5.7",
        KIND,
        "what came in front of GOAWAY counts: input that has ended gives its output",
        "SPDY/3.1 draft 2.6.6 (streams that are open go on)",
        &["output, then the server closes"],
        finished_by_goaway,
    ),
    Case::server(
        "5.8",
        KIND,
        "the end of TCP without a GOAWAY ends the session",
        "SPDY/3.1 draft 2.3.7; spdy31.md section 6",
        &["the server closes"],
        half_closed_tcp,
    ),
    Case::server(
        "5.9",
        KIND,
        "a session error ends in GOAWAY, and nothing comes behind it",
        "SPDY/3.1 draft 2.4.1; spdy31.md section 6",
        &["GOAWAY is the last frame"],
        last_frame,
    ),
    Case::server(
        "5.10",
        KIND,
        "the GOAWAY of a session error names the last stream that was accepted",
        "SPDY/3.1 draft 2.4.1, 2.6.6; spdy31.md section 6",
        &["GOAWAY 1, last good 5"],
        last_good,
    ),
    Case::server(
        "5.11",
        KIND,
        "RST_STREAM is not answered with RST_STREAM",
        "SPDY/3.1 draft 2.4.2",
        &["not answered"],
        no_loop,
    ),
];

fn pings(mut session: Session, ids: &[u32]) -> Seen {
    session.wire.write(&ids.iter().flat_map(|id| ping(*id)).collect::<Vec<u8>>());
    match session.until(|session| session.pongs.len() >= ids.len()) {
        Ok(()) => {
            // Upstream's workers answer in another order, which nobody forbids.
            session.pongs.sort_unstable();
            verdict(session.pongs == ids, "answered", format!("other answers: {:?}", session.pongs))
        }
        Err(Stop::Saw(end)) => Ok(format!("{end} after {} of {} answers", session.pongs.len(), ids.len())),
        Err(other) => Err(other),
    }
}

fn even_ping(target: &Target) -> Seen {
    let mut session = Session::cat(target)?;
    session.wire.write(&ping(0x2000));
    let seen = session.probe();
    // An answer would have come in front of that to the probe.
    verdict(!session.pings.contains(&0x2000), &seen, format!("answered, {seen}"))
}

/// 64 small frames, more than spdystream's queues hold, for a stream that nobody reads: there is no stderr yet that would start it.
fn unread_input(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    let mut frames = session.opening("stdin", 0);
    for _ in 0..64 {
        frames.extend(data(1, 0, &[b'u'; 100]));
    }
    session.wire.write(&frames);
    session.wire.write(&ping(1));
    match session.until(|session| session.pongs.contains(&1)) {
        Ok(()) => Ok("answered".into()),
        Err(Stop::Saw(end)) => Ok(end),
        Err(other) => Err(other),
    }
}

/// What comes until the server closes.
fn to_the_close(session: &mut Session) -> Seen {
    match session.until(|_| false) {
        // In other words than those of a session that did not even begin.
        Err(Stop::Saw(end)) if end == "closed" => Ok("the server closes".into()),
        Err(Stop::Saw(end)) => Ok(end),
        Err(other) => Err(other),
        Ok(()) => unreachable!("nothing is waited for but the end"),
    }
}

fn client_goes_away(target: &Target) -> Seen {
    let mut session = Session::cat(target)?;
    session.wire.write(&goaway(0, 0));
    to_the_close(&mut session)
}

fn finished_by_goaway(target: &Target) -> Seen {
    let mut session = Session::cat(target)?;
    session.wire.write(&[data(3, FIN, b"last words"), goaway(0, 0)].concat());
    let end = to_the_close(&mut session)?;
    let text = session.on("stdout").text();
    let seen = format!("{}, then {end}", if text == "last words" { "output" } else { "no output" });
    Ok(seen)
}

fn half_closed_tcp(target: &Target) -> Seen {
    let mut session = Session::cat(target)?;
    session.wire.io.shutdown(Shutdown::Write)?;
    to_the_close(&mut session)
}

/// A session with output under way, and a frame that is a session error behind its input.
fn broken(target: &Target) -> Result<Session, Stop> {
    let mut session = Session::cat(target)?;
    session.type_in(&vec![b'o'; 64 * 1024], false);
    session.wire.write(&rst(0, 5));
    to_the_close(&mut session)?;
    Ok(session)
}

fn last_frame(target: &Target) -> Seen {
    let session = broken(target)?;
    Ok(match session.kinds.iter().position(|kind| *kind == "GOAWAY") {
        None => "no GOAWAY".into(),
        Some(place) if place + 1 == session.kinds.len() => "GOAWAY is the last frame".into(),
        Some(_) => "more behind GOAWAY".into(),
    })
}

fn last_good(target: &Target) -> Seen {
    Ok(match broken(target)?.goaway {
        Some((last, status)) => format!("GOAWAY {status}, last good {last}"),
        None => "no GOAWAY".into(),
    })
}

fn no_loop(target: &Target) -> Seen {
    let mut session = Session::cat(target)?;
    session.wire.write(&rst(3, 5));
    // Unknown frames are told from answers by a PING behind them.
    session.wire.write(&[rst(99, 1), rst(3, 1), ping(9)].concat());
    session.until(|session| session.pongs.contains(&9))?;
    session.read_for(Duration::from_millis(100)).or_else(|stop| match stop {
        Stop::Saw(end) if end == "closed" => Ok(()),
        other => Err(other),
    })?;
    let answered = [3, 99].iter().any(|id| session.came.get(id).is_some_and(|came| came.rst.is_some()));
    verdict(!answered, "not answered", "answered")
}
