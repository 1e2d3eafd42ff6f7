//! The engine next to other crates, on the same bytes: frames of a WebSocket client received, and made, and header blocks of SPDY.
//!
//! Each gets its input from a reader that has all of it in memory, up to 64 KiB a read, and hands out every payload, which is
//! counted and its last byte looked at; [`verify`] checks all of it once. What a crate copies on the way is part of what it costs.

mod headers;
mod receive;
mod send;
mod wire;

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use strait_bench::Record;
use strait_scenarios::{Checksum, fill};

pub use headers::HEADERS;

/// Payload bytes of a frame.
pub const SIZES: [usize; 7] = [16, 80, 125, 1024, 4096, 32 * 1024, 64 * 1024];

/// Bytes of one run, and most frames.
const BYTES: usize = 256 * 1024;
const FRAMES: usize = 256;

/// Who does something, and how: ours is the first of each list.
pub struct Peer<F> {
    /// The crate.
    pub name: &'static str,
    /// What it does in one run.
    pub run: F,
}

/// Someone at something that is measured.
pub struct Case {
    /// What is done.
    pub scenario: String,
    /// By whom.
    pub target: &'static str,
    /// Frames, or header blocks, of one run.
    pub frames: usize,
    run: Box<dyn Fn()>,
}

impl Case {
    fn new(scenario: String, target: &'static str, frames: usize, run: impl Fn() + 'static) -> Self {
        Self { scenario, target, frames, run: Box::new(run) }
    }

    /// Does it once.
    pub fn run(&self) {
        (self.run)();
    }

    /// The same, never inlined, so that a tool can count in here and nowhere else.
    #[inline(never)]
    pub fn run_counted(&self) {
        (self.run)();
    }
}

/// What a crate does with the frames of a WebSocket client: a server takes them, and a client makes them, each with a key of its own.
struct WebSocket {
    name: &'static str,
    receive: Receive,
    /// There may be no such client.
    send: Option<Send>,
}

const WEBSOCKETS: [WebSocket; 7] = [
    WebSocket { name: "strait", receive: receive::strait, send: Some(send::strait) },
    WebSocket { name: "tungstenite", receive: receive::tungstenite, send: Some(send::tungstenite) },
    WebSocket { name: "fastwebsockets", receive: receive::fastwebsockets, send: Some(send::fastwebsockets) },
    WebSocket {
        name: "tokio-websockets",
        receive: receive::tokio_websockets,
        send: Some(send::tokio_websockets),
    },
    WebSocket { name: "ws-framer", receive: receive::ws_framer, send: Some(send::ws_framer) },
    WebSocket { name: "edge-ws", receive: receive::edge_ws, send: Some(send::edge_ws) },
    WebSocket { name: "embedded-websocket", receive: receive::embedded_websocket, send: None },
];

/// Servers that take the frames of a client.
pub fn receivers() -> impl Iterator<Item = Peer<Receive>> {
    WEBSOCKETS.iter().map(|peer| Peer { name: peer.name, run: peer.receive })
}

/// Clients that make frames.
pub fn senders() -> impl Iterator<Item = Peer<Send>> {
    WEBSOCKETS.iter().filter_map(|peer| Some(Peer { name: peer.name, run: peer.send? }))
}

/// Takes frames, and hands out the payload of each.
pub type Receive = fn(&[u8], &mut dyn FnMut(&[u8]));

/// Makes a masked frame of each payload of so many bytes, and hands it out.
pub type Send = fn(&[u8], usize, &mut dyn FnMut(&[u8]));

/// Reads the header blocks of a connection, and tells how many bytes they have inflated to.
pub type Inflate = fn(&[Vec<u8>]) -> usize;

/// How many frames of this size one run has.
pub fn frames(size: usize) -> usize {
    (BYTES / size).clamp(1, FRAMES)
}

/// The payload of one run.
pub fn payload(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size * frames(size)];
    fill(0, &mut bytes);
    bytes
}

/// Masked frames of [`payload`].
pub fn websocket(size: usize) -> Vec<u8> {
    let mut wire = vec![];
    send::strait(&payload(size), size, &mut |frame| wire.extend_from_slice(frame));
    wire
}

/// Checks that every peer does what it is measured at.
///
/// # Panics
/// If one does not.
pub fn verify() {
    for size in SIZES {
        let (wire, expected) = (websocket(size), Checksum::of(&payload(size)));
        for peer in receivers() {
            let mut sum = Checksum::new();
            (peer.run)(&wire, &mut |payload| sum.add(payload));
            assert_eq!(sum, expected, "{} receives {size} bytes", peer.name);
        }
        for peer in senders() {
            let mut sum = Checksum::new();
            (peer.run)(&payload(size), size, &mut |frame| {
                receive::strait(frame, &mut |payload| sum.add(payload));
            });
            assert_eq!(sum, expected, "{} sends {size} bytes", peer.name);
        }
    }
    let blocks = headers::blocks();
    let inflated = HEADERS.map(|peer| (peer.run)(&blocks));
    assert!(inflated.iter().all(|&bytes| bytes == inflated[0] && bytes > 0), "{inflated:?}");
}

/// Everyone at everything, in groups that do the same: ours is the first of each.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for size in SIZES {
        let wire: Rc<[u8]> = websocket(size).into();
        cases.extend(receivers().map(|peer| {
            let wire = Rc::clone(&wire);
            let run = move || (peer.run)(black_box(&wire), &mut look);
            Case::new(format!("ws/receive/{size}"), peer.name, frames(size), run)
        }));
    }
    for size in SIZES {
        let payload: Rc<[u8]> = payload(size).into();
        cases.extend(senders().map(|peer| {
            let payload = Rc::clone(&payload);
            let run = move || (peer.run)(black_box(&payload), size, &mut look);
            Case::new(format!("ws/send_masked/{size}"), peer.name, frames(size), run)
        }));
    }
    let blocks: Rc<[Vec<u8>]> = headers::blocks().into();
    cases.extend(HEADERS.iter().map(|peer| {
        let (blocks, count) = (Rc::clone(&blocks), blocks.len());
        let run = move || {
            black_box((peer.run)(black_box(&blocks)));
        };
        Case::new("spdy/headers/inflate".to_owned(), peer.name, count, run)
    }));
    cases
}

/// What memory allows, on as many bytes: one copy, and one XOR where they lie.
pub fn limits() -> impl Iterator<Item = Case> {
    SIZES.into_iter().flat_map(|size| {
        let limit = |name, work: fn(&mut [u8], &[u8])| {
            let (from, to) = (payload(size), RefCell::new(payload(size)));
            let run = move || {
                for (to, from) in to.borrow_mut().chunks_exact_mut(size).zip(from.chunks_exact(size)) {
                    work(black_box(to), black_box(from));
                }
            };
            Case::new(format!("limit/{size}"), name, frames(size), run)
        };
        [
            limit("memcpy", |to, from| to.copy_from_slice(from)),
            limit("xor", |bytes, _| bytes.iter_mut().for_each(|byte| *byte ^= 0x37)),
        ]
    })
}

/// Times of all, in nanoseconds a frame: the least of rounds in which they take turns.
pub fn times(rounds: usize) -> Vec<Record> {
    let cases = cases();
    cases
        .chunk_by(|one, other| one.scenario == other.scenario)
        .flat_map(|group| race(group, rounds))
        .collect()
}

/// What every payload is used for, so that none is left out.
fn look(payload: &[u8]) {
    black_box(payload.last());
}

fn race(group: &[Case], rounds: usize) -> impl Iterator<Item = Record> {
    let mut least = vec![Duration::MAX; group.len()];
    for _ in 0..rounds {
        for (case, least) in group.iter().zip(&mut least) {
            let start = Instant::now();
            case.run();
            *least = (*least).min(start.elapsed());
        }
    }
    group.iter().zip(least).map(|(case, time)| {
        let nanoseconds = time.as_secs_f64() * 1e9 / f64::from(case.frames as u32);
        Record::exact(&case.scenario, case.target, "time a frame", "ns", nanoseconds)
    })
}
