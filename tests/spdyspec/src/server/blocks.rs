use flate2::{Compress, Compression, FlushCompress};

use super::session::Session;
use crate::case::{Case, Kind, Seen, Stop};
use crate::target::Target;
use crate::wire::spdy::{DICTIONARY, HEADERS, compress, compressor, control, opening, plain};

const KIND: Kind = Kind::Spdy;

/// A header block that cannot be read leaves the context unknown: a session error (SPDY/3.1 draft section 2.4.1).
const SESSION_ERROR: &[&str] = &["GOAWAY 1, closed"];

/// 4: header blocks and their compression.
pub(super) const CASES: &[Case] = &[
    Case::server(
        "4.1",
        KIND,
        "blocks of zlib at its best, one context for all",
        "SPDY/3.1 draft 2.6.10.1; spdy31.md section 3",
        &["goes on"],
        |target| level(target, compressor(9, 15)),
    ),
    Case::server(
        "4.2",
        KIND,
        "blocks of zlib at its fastest",
        "spdy31.md section 3",
        &["goes on"],
        |target| level(target, compressor(1, 15)),
    ),
    Case::server("4.3", KIND, "stored blocks", "spdy31.md section 3", &["goes on"], |target| {
        level(target, compressor(0, 15))
    }),
    Case::server(
        "4.4",
        KIND,
        "a window of 2 KiB",
        "RFC 1950 section 2.2 (CINFO); spdy31.md section 3",
        &["goes on"],
        |target| level(target, compressor(6, 11)),
    ),
    Case::server(
        "4.5",
        KIND,
        "a block may refer to one 20 KiB before it",
        "SPDY/3.1 draft 2.6.10.1; spdy31.md section 3",
        &["goes on"],
        far_back,
    ),
    Case::server(
        "4.6",
        KIND,
        "headers that nobody asked for, in any order, mean nothing",
        "spdy31.md section 3",
        &["goes on"],
        more_headers,
    ),
    Case::server(
        "4.7",
        KIND,
        "the block of a HEADERS frame belongs to the context",
        "SPDY/3.1 draft 2.4.1, 2.6.7; spdy31.md section 3",
        &["goes on"],
        |target| {
            between(target, |session| {
                let block = session.wire.block(&[("x-between", "a value that the next block repeats")]);
                control(HEADERS, 0, &[&1_u32.to_be_bytes()[..], &block].concat())
            })
        },
    ),
    Case::server(
        "4.8",
        KIND,
        "the block of a SYN_STREAM that is refused belongs to the context",
        "SPDY/3.1 draft 2.4.1",
        // That it is refused is for 3.7.
        &["RST_STREAM 1 on 1, goes on", "goes on"],
        |target| {
            between(target, |session| {
                let headers =
                    session.headers("none", &[("x-between", "a value that the next block repeats")]);
                let block = session.wire.block(&headers);
                opening(1, 0, &block)
            })
        },
    ),
    Case::server(
        "4.9",
        KIND,
        "an upper-case letter in a name is an error of the stream, or of the connection",
        "SPDY/3.1 draft 2.6.10 (must be lower case); spdy31.md section 3",
        &["RST_STREAM 1 on 5, goes on", "GOAWAY 1, closed"],
        |target| raw(target, &plain(&[("X-Upper", "none")])),
    ),
    Case::server(
        "4.10",
        KIND,
        "an empty name is an error of the stream, or of the connection",
        "SPDY/3.1 draft 2.6.10",
        &["RST_STREAM 1 on 5, goes on", "GOAWAY 1, closed"],
        |target| raw(target, &plain(&[("", "none")])),
    ),
    Case::server(
        "4.11",
        KIND,
        "a name that comes twice is an error of the stream, or of the connection",
        "SPDY/3.1 draft 2.6.10",
        &["RST_STREAM 1 on 5, goes on", "GOAWAY 1, closed"],
        |target| raw(target, &plain(&[("x-twice", "1"), ("x-twice", "2")])),
    ),
    Case::server(
        "4.12",
        KIND,
        "a block that ends within a value",
        "SPDY/3.1 draft 2.6.10, 2.4.1",
        SESSION_ERROR,
        |target| raw(target, b"\0\0\0\x01\0\0\0\x04name\0\0\0\x09value"),
    ),
    Case::server(
        "4.13",
        KIND,
        "2^31 headers, of which there is none",
        "CVE-2026-35469; SPDY/3.1 draft 2.4.1",
        SESSION_ERROR,
        |target| raw(target, b"\x80\0\0\0"),
    ),
    Case::server(
        "4.14",
        KIND,
        "a name of 2^32 - 1 bytes, of which there are four",
        "CVE-2026-35469; SPDY/3.1 draft 2.4.1",
        SESSION_ERROR,
        |target| raw(target, b"\0\0\0\x01\xff\xff\xff\xffname"),
    ),
    Case::server(
        "4.15",
        KIND,
        "a value that inflates to 16 MiB",
        "CVE-2026-35469; spdy31.md section 3 (limits)",
        &["GOAWAY 1, closed", "RST_STREAM 11 on 5, GOAWAY 1, closed"],
        bomb,
    ),
    Case::server(
        "4.16",
        KIND,
        "bytes behind the headers in a block",
        "spdy31.md section 3",
        SESSION_ERROR,
        |target| raw(target, &[plain(&[("x", "y")]), b"more".to_vec()].concat()),
    ),
    Case::server(
        "4.17",
        KIND,
        "a block that is not deflate",
        "SPDY/3.1 draft 2.4.1, 2.6.10.1",
        SESSION_ERROR,
        |target| sent(target, |_| vec![0xff; 40]),
    ),
    Case::server(
        "4.18",
        KIND,
        "another dictionary",
        "SPDY/3.1 draft 2.6.10.1; spdy31.md section 3",
        SESSION_ERROR,
        other_dictionary,
    ),
    Case::server(
        "4.19",
        KIND,
        "a second zlib header where the first stream goes on",
        "SPDY/3.1 draft 2.6.10.1; spdy31.md section 3",
        SESSION_ERROR,
        |target| {
            sent(target, |_| compress(&mut compressor(9, 15), &plain(&[("x", "y")]), FlushCompress::Sync))
        },
    ),
    Case::server(
        "4.20",
        KIND,
        "a block that is cut in the middle",
        "SPDY/3.1 draft 2.6.10.1; spdy31.md section 3",
        SESSION_ERROR,
        |target| {
            sent(target, |session| {
                let block = session.wire.block(&[("x-cut", "in the middle of this value")]);
                block[..block.len() / 2].to_vec()
            })
        },
    ),
    Case::server(
        "4.21",
        KIND,
        "a SYN_STREAM of 8192 bytes is taken",
        "SPDY/3.1 draft 2.2.1",
        &["goes on"],
        long_block,
    ),
];

fn open_in_turn(session: &mut Session) -> Result<(), Stop> {
    for stream in ["error", "stdin", "stdout"] {
        let frame = session.opening(stream, 0);
        session.wire.write(&frame);
    }
    session.accepted()
}

fn level(target: &Target, deflate: Compress) -> Seen {
    let mut session = Session::fresh(target)?;
    session.wire.compress_with(deflate);
    open_in_turn(&mut session)?;
    Ok(session.probe())
}

/// Two long values, alike, and between them 20 KiB that cannot be compressed away, in HEADERS frames.
fn far_back(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    let mark: String = (0..200).map(|at| letter(at, 77)).collect();
    let frame = session.opening_as(1, "error", 0, &[("x-mark", &mark)]);
    session.wire.write(&frame);
    session.accepted()?;
    for salt in 0..7 {
        let filler: String = (0..3000).map(|at| letter(at, salt)).collect();
        let block = session.wire.block(&[("x-filler", &filler)]);
        session.wire.write(&control(HEADERS, 0, &[&1_u32.to_be_bytes()[..], &block].concat()));
    }
    let frame = session.opening_as(3, "stdin", 0, &[("x-mark", &mark)]);
    session.wire.write(&frame);
    session.open_all(&["stdout"])?;
    Ok(session.probe())
}

/// 8192 bytes of frame, which is more than that when inflated.
fn long_block(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    let mut length = 8_000;
    let frame = loop {
        // Measured with a compressor of its own, because the real one goes on from what it has written.
        let filler: String = (0..length).map(|at| letter(at, 5)).collect();
        let headers = session.headers("error", &[("x-filler", &filler)]);
        let block = compress(&mut compressor(9, 15), &plain(&headers), FlushCompress::Sync);
        if opening(1, 0, &block).len() >= 8192 - 40 {
            break session.opening_as(1, "error", 0, &[("x-filler", &filler)]);
        }
        length += 40;
    };
    session.wire.write(&frame);
    session.open_all(&["stdin", "stdout"])?;
    Ok(session.probe())
}

/// A letter that nobody can guess from the ones before.
fn letter(at: u32, salt: u32) -> char {
    let mixed = (at ^ salt.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35) >> 24;
    char::from(b'a' + (mixed % 26) as u8)
}

fn more_headers(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    for (id, stream) in [(1, "stdin"), (3, "stdout"), (5, "error")] {
        let frame =
            session.opening_as(id, stream, 0, &[("x-more", ""), ("accept-ranges", "bytes"), ("z", "1")]);
        session.wire.write(&frame);
    }
    session.accepted()?;
    Ok(session.probe())
}

/// Sends a frame between two openings. The block of the second refers back to that of the frame.
fn between(target: &Target, frame: fn(&mut Session) -> Vec<u8>) -> Seen {
    let mut session = Session::fresh(target)?;
    let mut frames = session.opening("error", 0);
    frames.extend(frame(&mut session));
    frames.extend(session.opening_as(5, "stdin", 0, &[("x-after", "a value that the next block repeats")]));
    frames.extend(session.opening("stdout", 0));
    session.wire.write(&frames);
    let streams = |session: &Session| ["stdin", "stdout"].iter().all(|stream| session.on(stream).replied);
    session.until(streams)?;
    Ok(session.probe())
}

/// Sends a `SYN_STREAM` with this block, compressed.
fn raw(target: &Target, block: &[u8]) -> Seen {
    let mut session = half_open(target)?;
    let mut block = block.to_vec();
    if target.http_headers && block.len() > 4 {
        block = with_http_headers(&session, &block);
    }
    let block = session.wire.compress(&block);
    bad_opening(session, &block)
}

/// A session whose stdout is not open yet: a server that needs no header any more may stop to read them.
fn half_open(target: &Target) -> Result<Session, Stop> {
    let mut session = Session::fresh(target)?;
    session.open_all(&["error", "stdin"])?;
    Ok(session)
}

/// Sends stream 5 with this block, and stdout as stream 7 behind it.
fn bad_opening(mut session: Session, block: &[u8]) -> Seen {
    session.wire.write(&opening(5, 0, block));
    let frame = session.opening_as(7, "stdout", 0, &[]);
    session.wire.write(&frame);
    session.accepted()?;
    Ok(session.probe())
}

/// Puts what a library for HTTP wants in front of a plain block, so that it has nothing else to complain of.
fn with_http_headers(session: &Session, block: &[u8]) -> Vec<u8> {
    let headers = session.headers("none", &[]);
    let (count, rest) = block.split_first_chunk::<4>().expect("a count");
    let count = u32::from_be_bytes(*count).wrapping_add(headers.len() as u32 - 1);
    [&count.to_be_bytes()[..], &plain(&headers[1..])[4..], rest].concat()
}

/// Sends a `SYN_STREAM` with these bytes for a compressed block.
fn sent(target: &Target, block: fn(&mut Session) -> Vec<u8>) -> Seen {
    let mut session = half_open(target)?;
    let block = block(&mut session);
    bad_opening(session, &block)
}

fn bomb(target: &Target) -> Seen {
    let mut session = half_open(target)?;
    let value = "0".repeat(16 << 20);
    let headers = session.headers("none", &[("x-bomb", &value)]);
    let block = session.wire.block(&headers);
    bad_opening(session, &block)
}

fn other_dictionary(target: &Target) -> Seen {
    let mut session = Session::fresh(target)?;
    let mut deflate = Compress::new(Compression::best(), true);
    deflate.set_dictionary(&DICTIONARY[1..]).expect("a new compressor takes a dictionary");
    session.wire.compress_with(deflate);
    let frame = session.opening("error", 0);
    session.wire.write(&frame);
    Ok(session.probe_ping())
}
