//! Attacks in a session.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use flate2::{Compress, Compression, FlushCompress};
use strait::spdy::{HeaderWriter, RstStatus, StreamId, frame};
use strait_tests::{Shores, exec_prints};

use crate::bytes::{Ended, PATIENCE, connect, end, flood, spdy, websocket};
use crate::{Attack, Cost, scaled};

/// With which the gateway itself reads what SPDY clients send.
const TRANSLATED_BACK: [&str; 2] = ["--upstream-protocol", "websocket"];
const FLOOD: Duration = Duration::from_secs(2);
const CAT: &str = "command=cat&stdin=true&stdout=true";

pub(crate) const ATTACKS: [Attack; 11] = [
    Attack {
        name: "WebSocket: a frame of 16 MiB to a command that reads",
        bound: "passed on in pieces; two lanes of 64 KiB for each session",
        ..Attack::new(6, large_frames)
    },
    Attack {
        name: "WebSocket: frames of 8 EiB",
        bound: "`Limits::ws_frame_bytes` (32 MiB), by the header alone",
        ..Attack::new(6, endless_frames)
    },
    Attack {
        name: "WebSocket: ping flood of a client that reads nothing",
        bound: "no room for a pong, no further frame is read",
        ..Attack::new(6, websocket_pings)
    },
    Attack {
        name: "WebSocket: fragments of no bytes and of one, without end",
        bound: "nothing is kept of them",
        ..Attack::new(6, tiny_fragments)
    },
    Attack {
        name: "readers that do not read, of output without end",
        bound: "two lanes of 64 KiB for each session",
        ..Attack::new(30, slow_readers)
    },
    Attack {
        name: "SPDY: header blocks that inflate to 16 MiB",
        bound: "4 KiB a block, in fixed memory",
        gateway: &TRANSLATED_BACK,
        ..Attack::new(16, inflate_bombs)
    },
    Attack {
        name: "SPDY: counts of 2^32 headers and 2^24 SETTINGS (CVE-2026-35469)",
        bound: "`Limits::spdy_headers` (64); SETTINGS are skipped",
        gateway: &TRANSLATED_BACK,
        ..Attack::new(16, counts)
    },
    Attack {
        name: "SPDY: control frames of 16 MiB",
        bound: "`Limits::spdy_block_bytes` (64 KiB), by the header alone",
        gateway: &TRANSLATED_BACK,
        ..Attack::new(16, control_frames)
    },
    Attack {
        name: "SPDY: ping flood of a client that reads nothing",
        bound: "no room for a PING, no further frame is read",
        gateway: &TRANSLATED_BACK,
        ..Attack::new(6, spdy_pings)
    },
    Attack {
        name: "SPDY: reset flood: streams opened and reset",
        bound: "a stream table of fixed size; the answers as for pings",
        gateway: &TRANSLATED_BACK,
        ..Attack::new(6, resets)
    },
    Attack {
        name: "SPDY: stream flood",
        bound: "a stream table of fixed size, REFUSED_STREAM; the answers as for pings",
        gateway: &TRANSLATED_BACK,
        ..Attack::new(6, streams)
    },
];

/// The head of a client's frame whose mask changes nothing.
fn frame_head(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..126 => head.push(0x80 | length as u8),
        126..0x1_0000 => {
            head.push(0xfe);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(0xff);
            head.extend(length.to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

fn large_frames(shores: &Shores) -> Cost {
    const SIZE: u64 = 16 << 20;
    let query = format!(
        "command=sh&command=-c&command=head%20-c%20{}%20%7C%20wc%20-c&stdin=true&stdout=true",
        SIZE - 1
    );
    let count = scaled(1, 8);
    for _ in 0..count {
        let mut socket = websocket(shores.gateway.address(), &query);
        socket.write_all(&frame_head(0x82, SIZE)).expect("a header");
        // Channel 0 and zeros.
        let (sent, _) = flood(&mut socket, &vec![0; 65_536], SIZE, 4 * PATIENCE);
        assert_eq!(sent, SIZE, "not all is taken");
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains(&(SIZE - 1).to_string()) {
            let mut buffer = [0; 4096];
            let count = socket.read(&mut buffer).expect("an answer");
            assert!(count > 0, "cut: {}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&buffer[..count]);
        }
    }
    Cost { connections: count, bytes: count as u64 * SIZE, answer: "every byte arrives".into() }
}

fn endless_frames(shores: &Shores) -> Cost {
    let count = scaled(20, 200);
    let attacked = (0..count).map(|_| {
        let mut socket = websocket(shores.gateway.address(), CAT);
        socket.write_all(&frame_head(0x82, i64::MAX as u64)).expect("a header");
        socket
    });
    all_end(attacked.collect());
    Cost { connections: count, bytes: 14 * count as u64, answer: "Close 1009".into() }
}

/// Each connection ends, and not without a word.
fn all_end(sockets: Vec<TcpStream>) {
    for mut socket in sockets {
        assert_eq!(end(&mut socket), Ended::Said);
    }
}

/// Floods and reads nothing, on some connections at a time.
fn deaf_flood(sockets: Vec<TcpStream>, piece: &[u8]) -> u64 {
    thread::scope(|scope| {
        let floods: Vec<_> = sockets
            .into_iter()
            .map(|mut socket| scope.spawn(move || flood(&mut socket, piece, u64::MAX, FLOOD).0))
            .collect();
        floods.into_iter().map(|flood| flood.join().expect("no panic")).sum()
    })
}

fn websocket_pings(shores: &Shores) -> Cost {
    let ping = [&frame_head(0x89, 125)[..], &[b'x'; 125]].concat();
    let sockets: Vec<_> = (0..4).map(|_| websocket(shores.gateway.address(), CAT)).collect();
    let bytes = deaf_flood(sockets, &ping.repeat(500));
    Cost { connections: 4, bytes, answer: "reads no more than its pongs are read".into() }
}

fn tiny_fragments(shores: &Shores) -> Cost {
    let script =
        "command=sh&command=-c&command=wc%20-c%20%3E%2Fdev%2Fnull%3B%20echo%20counted&stdin=true&stdout=true";
    let mut socket = websocket(shores.gateway.address(), script);
    // Channel 0, and a message that never ends.
    socket.write_all(&[&frame_head(0x02, 1)[..], &[0]].concat()).expect("a beginning");
    let piece = [&frame_head(0, 0)[..], &frame_head(0, 1), b"x"].concat();
    let (bytes, goes_on) = flood(&mut socket, &piece.repeat(1000), u64::MAX, FLOOD);
    assert!(goes_on, "fragments are no error");
    Cost { connections: 1, bytes, answer: "passed on as they come".into() }
}

fn slow_readers(shores: &Shores) -> Cost {
    let count = scaled(60, 200);
    let sockets: Vec<_> =
        (0..count).map(|_| websocket(shores.gateway.address(), "command=yes&stdout=true")).collect();
    thread::sleep(FLOOD);
    drop(sockets);
    Cost { connections: count, bytes: 0, answer: "waits; what is not read is not fetched".into() }
}

fn stream(id: u32) -> StreamId {
    StreamId::new(id).expect("a stream id")
}

/// A frame of control, whose length may be a lie.
fn control(kind: u16, length: u32, payload: &[u8]) -> Vec<u8> {
    [&[0x80, 3][..], &kind.to_be_bytes(), &[0], &length.to_be_bytes()[1..], payload].concat()
}

fn inflate_bombs(shores: &Shores) -> Cost {
    const DICTIONARY: &[u8] = include_bytes!("../../../engine/src/spdy/dictionary.bin");
    let mut deflate = Compress::new(Compression::best(), true);
    deflate.set_dictionary(DICTIONARY).expect("a new compressor takes a dictionary");
    let value = vec![b'0'; 16 << 20];
    let raw = [
        &1_u32.to_be_bytes()[..],
        &6_u32.to_be_bytes(),
        b"x-bomb",
        &(value.len() as u32).to_be_bytes(),
        &value,
    ];
    let mut block = Vec::with_capacity(64 * 1024);
    deflate.compress_vec(&raw.concat(), &mut block, FlushCompress::Sync).expect("a compressor does not fail");
    assert!(block.len() < 64 * 1024, "{}", block.len());
    let payload = [&1_u32.to_be_bytes()[..], &[0; 6], &block].concat();
    let bomb = control(1, payload.len() as u32, &payload);
    let count = scaled(40, 400);
    let attacked = (0..count).map(|_| {
        let mut socket = spdy(shores.gateway.address(), CAT);
        // Behind the refusal nothing is read.
        let _ = socket.write_all(&bomb);
        socket
    });
    all_end(attacked.collect());
    Cost { connections: count, bytes: (count * bomb.len()) as u64, answer: "GOAWAY, and closed".into() }
}

fn counts(shores: &Shores) -> Cost {
    // A stored block of deflate that says there are 2^32 - 1 headers: CMF, FLG, no dictionary, then the block.
    let zlib = [&[0x78, 0x01, 0, 4, 0, 0xfb, 0xff][..], &u32::MAX.to_be_bytes()].concat();
    let payload = [&1_u32.to_be_bytes()[..], &[0; 6], &zlib].concat();
    let headers = control(1, payload.len() as u32, &payload);
    let settings = control(4, 12, &[&(1_u32 << 24).to_be_bytes()[..], &[0; 8]].concat());
    let all = [settings.repeat(100), headers].concat();
    let count = scaled(20, 200);
    let attacked = (0..count).map(|_| {
        let mut socket = spdy(shores.gateway.address(), CAT);
        let _ = socket.write_all(&all);
        socket
    });
    all_end(attacked.collect());
    Cost { connections: count, bytes: (count * all.len()) as u64, answer: "GOAWAY, and closed".into() }
}

fn control_frames(shores: &Shores) -> Cost {
    let kinds = [1_u16, 2, 3, 4, 8];
    let bytes = thread::scope(|scope| {
        let floods = kinds.map(|kind| {
            scope.spawn(move || {
                let mut socket = spdy(shores.gateway.address(), CAT);
                socket.write_all(&control(kind, 0xff_ffff, &1_u32.to_be_bytes())).expect("a header");
                // What is said behind the gateway's GOAWAY is read for a moment, and dropped.
                let (sent, goes_on) = flood(&mut socket, &[0; 16_384], u64::MAX, PATIENCE);
                assert!(!goes_on, "a frame of type {kind} with 16 MiB is taken");
                sent
            })
        });
        floods.into_iter().map(|flood| flood.join().expect("it ends")).sum()
    });
    Cost { connections: kinds.len(), bytes, answer: "GOAWAY, and closed".into() }
}

fn spdy_pings(shores: &Shores) -> Cost {
    let sockets: Vec<_> = (0..4).map(|_| spdy(shores.gateway.address(), CAT)).collect();
    let bytes = deaf_flood(sockets, &frame::ping(1).repeat(2000));
    Cost { connections: 4, bytes, answer: "reads no more than its answers are read".into() }
}

/// Streams of the numbers from 1, with what follows each.
fn openings(count: u32, behind: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let mut writer = HeaderWriter::new();
    let mut all = Vec::new();
    for id in (1..2 * count).step_by(2) {
        let mut wire = [0; 256];
        let headers = [("streamtype", if id == 1 { "error" } else { "stdout" })];
        let len = writer.syn_stream(stream(id), false, &headers, &mut wire).expect("it fits");
        all.extend_from_slice(&wire[..len]);
        all.extend(behind(id));
    }
    all
}

fn open_flood(shores: &Shores, flood_bytes: &[u8]) -> u64 {
    let started = Instant::now();
    let mut bytes = 0;
    while started.elapsed() < FLOOD {
        let mut socket = spdy(shores.gateway.address(), CAT);
        let (sent, _) = flood(&mut socket, flood_bytes, flood_bytes.len() as u64, FLOOD);
        bytes += sent;
    }
    exec_prints(shores.gateway.address(), "still-works");
    drop(connect(shores.gateway.address()));
    bytes
}

fn resets(shores: &Shores) -> Cost {
    let all = openings(20_000, |id| frame::rst_stream(stream(id), RstStatus::CANCEL).to_vec());
    let bytes = open_flood(shores, &all);
    Cost { connections: 1, bytes, answer: "refuses what is too much, or stops reading".into() }
}

fn streams(shores: &Shores) -> Cost {
    let bytes = open_flood(shores, &openings(50_000, |_| Vec::new()));
    Cost { connections: 1, bytes, answer: "refuses what is too much, or stops reading".into() }
}
