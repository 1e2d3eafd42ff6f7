use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::forward_session::{PROTOCOL, Port, dialled, soon};
use super::session::Session;
use crate::case::{Case, Kind, Seen, Stop, verdict};
use crate::target::Target;
use crate::wire::http;
use crate::wire::spdy::{FIN, data, rst};

const KIND: Kind = Kind::Forward;

/// 7: port-forward over SPDY.
pub(super) const CASES: &[Case] = &[
    Case::server(
        "7.1",
        KIND,
        "the upgrade chooses portforward.k8s.io",
        "port-forward.md section 1",
        &["101 portforward.k8s.io"],
        upgrade,
    ),
    Case::server(
        "7.2",
        KIND,
        "a pair carries bytes both ways",
        "port-forward.md section 1",
        &["echoed"],
        |target| echo(target, "error", "data"),
    ),
    Case::server(
        "7.3",
        KIND,
        "the streams of a pair may come in the other order: the request id joins them",
        "port-forward.md section 1",
        &["echoed"],
        |target| echo(target, "data", "error"),
    ),
    Case::server(
        "7.4",
        KIND,
        "pairs whose streams are interleaved are joined by their request ids",
        "port-forward.md section 1",
        &["each its own port"],
        interleaved,
    ),
    Case::server(
        "7.5",
        KIND,
        "64 pairs on one connection, each with its own bytes",
        "port-forward.md section 1",
        &["64 of 64"],
        many,
    ),
    Case::server(
        "7.6",
        KIND,
        "without request ids, error stream k and data stream k + 2 are a pair",
        "port-forward.md section 1",
        &["echoed"],
        without_ids,
    ),
    Case::server(
        "7.7",
        KIND,
        "a client that half-closes gets an answer that takes 1.5 s",
        "port-forward.md section 1 (do: full half-close both ways)",
        &["answered"],
        late_answer,
    ),
    Case::server(
        "7.8",
        KIND,
        "when the target has ended, both streams end with FIN",
        "port-forward.md section 1",
        &["FIN, FIN, no error"],
        target_ends,
    ),
    Case::server(
        "7.9",
        KIND,
        "a refused port is told on the error stream, and the connection goes on",
        "port-forward.md section 1",
        &["error text, then another pair works"],
        refused,
    ),
    Case::server(
        "7.10",
        KIND,
        "no port: RST_STREAM",
        "port-forward.md section 1",
        &["RST_STREAM 5, goes on"],
        |target| bad_stream(target, "data", ""),
    ),
    Case::server(
        "7.11",
        KIND,
        "port 0: RST_STREAM",
        "port-forward.md section 1",
        &["RST_STREAM 5, goes on"],
        |target| bad_stream(target, "data", "0"),
    ),
    Case::server(
        "7.12",
        KIND,
        "port 65536: RST_STREAM",
        "port-forward.md section 1",
        &["RST_STREAM 5, goes on"],
        |target| bad_stream(target, "data", "65536"),
    ),
    Case::server(
        "7.13",
        KIND,
        "another streamtype: RST_STREAM",
        "port-forward.md section 1",
        &["RST_STREAM 5, goes on"],
        |target| bad_stream(target, "stdin", "80"),
    ),
    Case::server(
        "7.14",
        KIND,
        "a second error stream of a request is told on its error stream",
        "port-forward.md section 1",
        &["told"],
        second_error,
    ),
    Case::server(
        "7.15",
        KIND,
        "a data stream that the client resets ends the target's connection",
        "port-forward.md section 1",
        &["the target's connection ends"],
        client_resets,
    ),
    Case::server(
        "7.16",
        KIND,
        "bytes that came in front of a reset reach the target",
        "spdy31.md section 2 (RST_STREAM is end-of-file behind the data)",
        &["all of them"],
        data_then_reset,
    ),
    Case::server(
        "7.17",
        KIND,
        "1 MiB both ways comes as it was sent",
        "port-forward.md section 1",
        &["1 MiB"],
        bulk,
    ),
    Case::server(
        "7.18",
        KIND,
        "a target that reads nothing of 6 MiB does not stop the other pairs",
        "port-forward.md section 1 (never let one stream's back-pressure block the others)",
        &["the other pair works"],
        stopped_target,
    ),
    Case::server(
        "7.19",
        KIND,
        "PING is answered while connections are forwarded",
        "SPDY/3.1 draft 2.6.5",
        &["goes on"],
        |target| {
            let port = Port::echo()?;
            let mut session = Session::forward(target)?;
            session.pair(port.port, "0")?;
            Ok(session.probe_ping())
        },
    ),
];

fn upgrade(target: &Target) -> Seen {
    let request = target.spdy_request(&target.forward, PROTOCOL);
    let (_, head, _) = http::ask(&target.address, &request, target.limit)?;
    Ok(format!("{} {}", head.status(), head.get("x-stream-protocol-version").unwrap_or_default()))
}

/// Sends on a data stream, and waits for the same.
fn echoes(session: &mut Session, id: u32, payload: &[u8]) -> Result<bool, Stop> {
    session.wire.write(&data(id, 0, payload));
    match session
        .until(|session| session.came[&id].data.len() >= payload.len() || session.came[&id].is_over())
    {
        Ok(()) => Ok(session.came[&id].data == payload),
        Err(Stop::Saw(_)) => Ok(false),
        Err(other) => Err(other),
    }
}

fn echo(target: &Target, first: &str, second: &str) -> Seen {
    let port = Port::echo()?;
    let mut session = Session::forward(target)?;
    let number = port.port.to_string();
    let ids = [(first, session.half(first, &number, "0")), (second, session.half(second, &number, "0"))];
    session.accepted()?;
    let data = ids.iter().find(|(kind, _)| *kind == "data").map_or(0, |(_, id)| *id);
    verdict(echoes(&mut session, data, b"there and back")?, "echoed", "not echoed")
}

fn interleaved(target: &Target) -> Seen {
    let greet = |word: &'static str| Port::serve(move |mut stream| drop(stream.write_all(word.as_bytes())));
    let (one, two) = (greet("one")?, greet("two")?);
    let (first, second) = (one.port.to_string(), two.port.to_string());
    let mut session = Session::forward(target)?;
    session.half("error", &first, "11");
    session.half("error", &second, "22");
    let two = session.half("data", &second, "22");
    let one = session.half("data", &first, "11");
    session.until(|session| [one, two].iter().all(|id| session.came[id].data.len() >= 3))?;
    let texts = (session.came[&one].text(), session.came[&two].text());
    verdict(texts == ("one".into(), "two".into()), "each its own port", format!("{texts:?}"))
}

fn many(target: &Target) -> Seen {
    const PAIRS: u32 = 64;
    let port = Port::echo()?;
    let mut session = Session::forward(target)?;
    let mut ids = Vec::new();
    for request in 0..PAIRS {
        let (_, id) = session.pair(port.port, &request.to_string())?;
        session.wire.write(&data(id, FIN, format!("pair {request}").as_bytes()));
        ids.push(id);
    }
    let result = session.until(|session| ids.iter().all(|id| session.came[id].is_over()));
    let good =
        ids.iter().zip(0..).filter(|(id, request)| session.came[*id].text() == format!("pair {request}"));
    let good = format!("{} of {PAIRS}", good.count());
    match result {
        Err(Stop::Saw(end)) => Ok(format!("{end} with {good}")),
        _ => Ok(good),
    }
}

fn without_ids(target: &Target) -> Seen {
    let port = Port::echo()?;
    let mut session = Session::forward(target)?;
    let (_, id) = session.pair(port.port, "")?;
    verdict(echoes(&mut session, id, b"nameless")?, "echoed", "not echoed")
}

fn late_answer(target: &Target) -> Seen {
    let port = Port::serve(|mut stream| {
        let mut asked = String::new();
        let _ = stream.read_to_string(&mut asked);
        std::thread::sleep(Duration::from_millis(1500));
        let _ = write!(stream, "answer to {asked}");
    })?;
    let mut session = Session::forward(target)?;
    let (_, id) = session.pair(port.port, "0")?;
    session.wire.write(&data(id, FIN, b"question"));
    session.until(|session| session.came[&id].is_over())?;
    let text = session.came[&id].text();
    verdict(text == "answer to question", "answered", format!("{text:?}"))
}

fn target_ends(target: &Target) -> Seen {
    let port = Port::serve(|mut stream| {
        let _ = stream.write_all(b"all");
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    })?;
    let mut session = Session::forward(target)?;
    let (error, id) = session.pair(port.port, "0")?;
    session.until(|session| session.came[&id].data == b"all")?;
    session.wire.write(&[data(error, FIN, b""), data(id, FIN, b"")].concat());
    session.until(|session| session.came[&id].is_over() && session.came[&error].is_over())?;
    let end = |id: u32| if session.came[&id].fin { "FIN" } else { "RST_STREAM" };
    let text = session.came[&error].text();
    let text = if text.is_empty() { "no error".to_owned() } else { format!("{text:?}") };
    Ok(format!("{}, {}, {text}", end(error), end(id)))
}

fn refused(target: &Target) -> Seen {
    let port = Port::echo()?;
    let mut session = Session::forward(target)?;
    let (error, id) = session.pair(Port::refused()?, "0")?;
    session.until(|session| session.came[&error].is_over() && session.came[&id].is_over())?;
    if session.came[&error].data.is_empty() {
        return Ok("no error text".into());
    }
    let (_, id) = session.pair(port.port, "1")?;
    let works = echoes(&mut session, id, b"still here")?;
    verdict(works, "error text, then another pair works", "error text, and the next pair fails")
}

fn bad_stream(target: &Target, kind: &str, port: &str) -> Seen {
    let mut session = Session::forward(target)?;
    let id = if port.is_empty() {
        session.came.entry(1).or_default();
        let frame = session.wire.syn_stream(1, 0, &[("streamtype", kind), ("requestid", "0")]);
        session.wire.write(&frame);
        1
    } else {
        session.half(kind, port, "0")
    };
    session.accepted()?;
    let Some(status) = session.came[&id].rst else { return Ok("accepted".into()) };
    session.came.remove(&id);
    Ok(format!("RST_STREAM {status}, {}", session.probe_ping()))
}

fn second_error(target: &Target) -> Seen {
    let mut session = Session::forward(target)?;
    let port = Port::refused()?.to_string();
    // Which of the two is the second is for the server to say: upstream looks at them in parallel.
    let streams = [session.half("error", &port, "5"), session.half("error", &port, "5")];
    let told =
        |session: &Session| streams.iter().any(|id| session.came[id].text().contains("already assigned"));
    match session.until(told) {
        Ok(()) => Ok("told".into()),
        Err(Stop::Saw(end)) => Ok(end),
        Err(other) => Err(other),
    }
}

fn client_resets(target: &Target) -> Seen {
    let ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ended);
    let port = Port::serve(move |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
        seen.store(true, Ordering::Release);
    })?;
    let mut session = Session::forward(target)?;
    let (_, id) = session.pair(port.port, "0")?;
    dialled(&port, target.limit)?;
    session.wire.write(&rst(id, 5));
    let over = soon(target.limit, || ended.load(Ordering::Acquire));
    verdict(over, "the target's connection ends", "the target's connection stays")
}

fn data_then_reset(target: &Target) -> Seen {
    const BYTES: usize = 100_000;
    let (told, result) = std::sync::mpsc::channel();
    let port = Port::serve(move |mut stream| {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = told.send(bytes.len());
    })?;
    let mut session = Session::forward(target)?;
    let (_, id) = session.pair(port.port, "0")?;
    dialled(&port, target.limit)?;
    session.wire.write(&[data(id, 0, &vec![b'd'; BYTES]), rst(id, 5)].concat());
    let count =
        result.recv_timeout(target.limit).map_err(|_| Stop::Saw("the target's connection stays".into()))?;
    verdict(count == BYTES, "all of them", format!("{count} of {BYTES}"))
}

fn bulk(target: &Target) -> Seen {
    let port = Port::echo()?;
    let mut session = Session::forward(target)?;
    let (_, id) = session.pair(port.port, "0")?;
    let piece: Vec<u8> = (0..32_768_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for round in 1..=32 {
        session.wire.write(&data(id, 0, &piece));
        session.until(|session| session.came[&id].data.len() >= round * piece.len())?;
    }
    let good = session.came[&id].data.chunks(piece.len()).all(|back| back == piece);
    verdict(good, "1 MiB", "changed on its way")
}

/// 200 frames of 32 KiB: more than the sockets on the way hold, and than spdystream's queues.
fn stopped_target(target: &Target) -> Seen {
    const FRAMES: usize = 200;
    let stopped = Port::stopped()?;
    let port = Port::echo()?;
    let mut session = Session::forward(target)?;
    let (_, full) = session.pair(stopped.port, "0")?;
    let (_, id) = session.pair(port.port, "1")?;
    let mut writer = session.wire.io.try_clone()?;
    let piece = data(full, 0, &vec![b's'; 32 * 1024]);
    std::thread::spawn(move || {
        for _ in 0..FRAMES {
            if writer.write_all(&piece).is_err() {
                return;
            }
        }
        let _ = writer.write_all(&data(id, 0, b"past the other"));
    });
    let came = session.until(|session| session.came[&id].data == b"past the other");
    let _ = session.wire.io.shutdown(Shutdown::Both);
    match came {
        Ok(()) => Ok("the other pair works".into()),
        Err(Stop::Saw(end)) => Ok(end),
        Err(other) => Err(other),
    }
}
