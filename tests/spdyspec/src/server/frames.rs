use super::session::Session;
use crate::case::{Case, Kind, Seen, Stop, verdict};
use crate::target::Target;
use crate::wire::spdy::{FIN, GOAWAY, PING, RST_STREAM, WINDOW_UPDATE, control, data, settings, words};

const KIND: Kind = Kind::Spdy;

/// What a session error looks like (SPDY/3.1 draft section 2.4.1).
const SESSION_ERROR: &[&str] = &["GOAWAY 1, closed"];

/// 2: frames.
pub(super) const CASES: &[Case] = &[
    Case::server(
        "2.1",
        KIND,
        "SYN_STREAMs and DATA in one segment",
        "SPDY/3.1 draft 2.2; spdy31.md section 8",
        &["goes on"],
        in_one_segment,
    ),
    Case::server(
        "2.2",
        KIND,
        "frames that are split at every byte",
        "SPDY/3.1 draft 2.2; spdy31.md section 8",
        &["goes on"],
        byte_by_byte,
    ),
    Case::server(
        "2.3",
        KIND,
        "a control frame of an unknown type is skipped with its payload",
        "SPDY/2 draft 2.2.1 (the 3.1 draft is silent)",
        &["goes on"],
        |target| at_rest(target, &control(0x0abc, 0, b"what nobody knows")),
    ),
    Case::server(
        "2.4",
        KIND,
        "the same of 8192 bytes, which every receiver must be able to take",
        "SPDY/3.1 draft 2.2.1",
        &["goes on"],
        |target| at_rest(target, &control(0x7fff, 0xff, &[0x80; 8192])),
    ),
    Case::server(
        "2.5",
        KIND,
        "NOOP, which SPDY/2 had, is skipped",
        "SPDY/2 draft 2.7.5 (the 3.1 draft is silent)",
        &["goes on"],
        |target| at_rest(target, &control(5, 0, &[])),
    ),
    Case::server(
        "2.6",
        KIND,
        "CREDENTIAL, which SPDY/3 had, is skipped",
        "SPDY/3 draft 2.6.9 (the 3.1 draft is silent)",
        &["goes on"],
        |target| at_rest(target, &control(10, 0, &[0, 1, 0, 0, 0, 0])),
    ),
    Case::server(
        "2.7",
        KIND,
        "a SYN_STREAM of another version is not taken for one of this version",
        "SPDY/3.1 draft 2.2.1, 2.6.3 (UNSUPPORTED_VERSION)",
        &["RST_STREAM 4 on 5, goes on", "GOAWAY 1, closed"],
        other_version,
    ),
    Case::server("2.8", KIND, "SETTINGS are taken", "SPDY/3.1 draft 2.6.4", &["goes on"], |target| {
        at_rest(target, &settings(2, &[(4, 100), (7, 0x1_0000)]))
    }),
    Case::server(
        "2.9",
        KIND,
        "SETTINGS with ids that nobody knows are taken",
        "SPDY/3.1 draft 2.6.4 (extensible)",
        &["goes on"],
        |target| at_rest(target, &settings(2, &[(0x00ff_fffe, 1), (0x00ff_ffff, 2)])),
    ),
    Case::server(
        "2.10",
        KIND,
        "SETTINGS that claim more entries than the frame has are an error",
        "SPDY/3.1 draft 2.4.1; CVE-2026-35469",
        SESSION_ERROR,
        |target| at_rest(target, &settings(3, &[(4, 100)])),
    ),
    Case::server(
        "2.11",
        KIND,
        "SETTINGS that claim 2^32 - 1 entries are an error at once",
        "CVE-2026-35469",
        SESSION_ERROR,
        |target| at_rest(target, &settings(u32::MAX, &[])),
    ),
    Case::server(
        "2.12",
        KIND,
        "WINDOW_UPDATE of an open stream is taken",
        "SPDY/3.1 draft 2.6.8; spdy31.md section 4",
        &["goes on"],
        |target| at_rest(target, &words(WINDOW_UPDATE, 5, 1000)),
    ),
    Case::server(
        "2.13",
        KIND,
        "WINDOW_UPDATE of the connection, stream 0, is taken",
        "SPDY/3.1 draft 2.6.8",
        &["goes on"],
        |target| at_rest(target, &words(WINDOW_UPDATE, 0, 1000)),
    ),
    Case::server(
        "2.14",
        KIND,
        "WINDOW_UPDATE of another length than 8 is an error",
        "SPDY/3.1 draft 2.6.8, 2.4.1",
        SESSION_ERROR,
        |target| at_rest(target, &control(WINDOW_UPDATE, 0, &[0, 0, 0, 5, 0, 0, 1, 0, 0])),
    ),
    Case::server(
        "2.15",
        KIND,
        "RST_STREAM of another length than 8 is an error",
        "SPDY/3.1 draft 2.6.3, 2.4.1",
        SESSION_ERROR,
        |target| at_rest(target, &control(RST_STREAM, 0, &[0, 0, 0, 99, 0, 0, 0, 5, 0, 0])),
    ),
    Case::server(
        "2.16",
        KIND,
        "PING of another length than 4 is an error",
        "SPDY/3.1 draft 2.6.5, 2.4.1",
        SESSION_ERROR,
        |target| at_rest(target, &control(PING, 0, &[0, 0, 0, 7, 0])),
    ),
    Case::server(
        "2.17",
        KIND,
        "GOAWAY of another length than 8 is an error",
        "SPDY/3.1 draft 2.6.6, 2.4.1",
        SESSION_ERROR,
        |target| at_rest(target, &control(GOAWAY, 0, &[0; 4])),
    ),
    Case::server(
        "2.18",
        KIND,
        "a SYN_STREAM that is too short for its fields is an error",
        "SPDY/3.1 draft 2.6.1, 2.4.1",
        SESSION_ERROR,
        |target| at_rest(target, &control(1, 0, &[0, 0, 0, 7])),
    ),
    Case::server(
        "2.19",
        KIND,
        "DATA of stream 0 is an error",
        "SPDY/3.1 draft 2.3.2, 2.2.2",
        &["GOAWAY 1, closed", "RST_STREAM 2 on 0, goes on"],
        |target| at_rest(target, &data(0, 0, b"nobody's")),
    ),
    Case::server(
        "2.20",
        KIND,
        "flags of DATA that nobody knows mean nothing",
        "SPDY/3.1 draft 2.2.2; spdy31.md section 1",
        &["goes on"],
        |target| at_rest(target, &data(3, 0xfc & !FIN, b"flags")),
    ),
    Case::server(
        "2.21",
        KIND,
        "a zero-length DATA frame is no end",
        "SPDY/3.1 draft 2.2.2",
        &["goes on"],
        |target| at_rest(target, &data(3, 0, b"")),
    ),
    Case::server(
        "2.22",
        KIND,
        "DATA of 1, 2, 7, 125, 4095, 4096, 16383, 32768, 65535 and 65536 bytes comes as it was sent",
        "SPDY/3.1 draft 2.2.2",
        &["as it was sent"],
        |target| echoed(target, &[1, 2, 7, 125, 4095, 4096, 16383, 32768, 65535, 65536]),
    ),
    Case::server(
        "2.23",
        KIND,
        "one DATA frame of 1 MiB comes as it was sent",
        "SPDY/3.1 draft 2.2.2; spdy31.md section 8",
        &["as it was sent"],
        |target| echoed(target, &[1 << 20]),
    ),
    Case::server(
        "2.24",
        KIND,
        "the largest DATA frame there is, of 2^24 - 1 bytes, comes as it was sent",
        "SPDY/3.1 draft 2.2.2",
        &["as it was sent"],
        |target| echoed(target, &[(1 << 24) - 1]),
    ),
];

/// Sends `bytes` in a session at rest.
fn at_rest(target: &Target, bytes: &[u8]) -> Seen {
    let mut session = Session::cat(target)?;
    session.wire.write(bytes);
    Ok(session.probe())
}

fn openings(session: &mut Session) -> Vec<u8> {
    ["error", "stdin", "stdout"].iter().flat_map(|stream| session.opening(stream, 0)).collect()
}

fn in_one_segment(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    let mut frames = openings(&mut session);
    frames.extend(data(session.id("stdin"), 0, b"early "));
    session.wire.write(&frames);
    let seen = session.probe();
    let text = session.on("stdout").text();
    verdict(text == "early probe", &seen, format!("{seen}, with {text:?}"))
}

fn byte_by_byte(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    let mut frames = openings(&mut session);
    frames.extend(data(session.id("stdin"), 0, b"slow "));
    frames.extend(settings(1, &[(4, 100)]));
    session.wire.trickle(&frames);
    let seen = session.probe();
    let text = session.on("stdout").text();
    verdict(text == "slow probe", &seen, format!("{seen}, with {text:?}"))
}

/// Opens stdout with a frame of version 4, and if that is refused with one of version 3.
fn other_version(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    session.open_all(&["error", "stdin"])?;
    let mut frame = session.opening_as(5, "stdout", 0, &[]);
    frame[1] = 4;
    session.wire.write(&frame);
    session.accepted()?;
    if session.on("stdout").rst.is_some() {
        session.open_all(&["stdout"])?;
    }
    Ok(session.probe())
}

/// Sends frames of these sizes while what comes back is read.
fn echoed(target: &Target, sizes: &[usize]) -> Seen {
    let mut session = Session::cat(target)?;
    let total: usize = sizes.iter().sum();
    let payload: Vec<u8> = (0..total as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut writer = session.wire.io.try_clone()?;
    let stdin = session.id("stdin");
    let came = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rest = &payload[..];
            for size in sizes {
                let (frame, behind) = rest.split_at(*size);
                let sent = std::io::Write::write_all(&mut writer, &data(stdin, 0, frame));
                if sent.is_err() {
                    return;
                }
                rest = behind;
            }
        });
        let came = session.until(|session| session.on("stdout").data.len() >= total);
        // A writer that waits for a server that takes nothing is set free.
        if came.is_err() {
            let _ = session.wire.io.shutdown(std::net::Shutdown::Both);
        }
        came
    });
    match came {
        Ok(()) => verdict(session.on("stdout").data == payload, "as it was sent", "changed on its way"),
        Err(Stop::Saw(end)) => {
            Ok(format!("{end} after {} of {total} bytes", session.on("stdout").data.len()))
        }
        Err(other) => Err(other),
    }
}
