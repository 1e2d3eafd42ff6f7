//! The engine next to other crates, on the same bytes: frames of a WebSocket client received, and made, and header blocks of SPDY.
//!
//! Each gets its input from a reader that has all of it in memory, up to 64 KiB a read, and hands out every payload, which is
//! counted and its last byte looked at; [`verify`] checks all of it once. What a crate copies on the way is part of what it costs.

mod headers;
mod receive;
mod send;
mod wire;

use std::hint::black_box;
use std::time::{Duration, Instant};

use strait_bench::Record;
use strait_scenarios::{Checksum, fill};

pub use headers::HEADERS;
pub use receive::RECEIVERS;
pub use send::SENDERS;

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

/// Takes frames, and hands out the payload of each.
pub type Receive = fn(&[u8], &mut dyn FnMut(&[u8]));

/// Makes a masked frame of each payload of so many bytes, and hands it out.
pub type Send = fn(&[u8], usize, &mut dyn FnMut(&[u8]));

/// Reads the header blocks of a connection, and tells how many bytes they have inflated to.
pub type Inflate = fn(&[&[u8]]) -> usize;

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
    (SENDERS[0].run)(&payload(size), size, &mut |frame| wire.extend_from_slice(frame));
    wire
}

/// Checks that every peer does what it is measured at.
///
/// # Panics
/// If one does not.
pub fn verify() {
    for size in SIZES {
        let (wire, expected) = (websocket(size), Checksum::of(&payload(size)));
        for peer in &RECEIVERS {
            let mut sum = Checksum::new();
            (peer.run)(&wire, &mut |payload| sum.add(payload));
            assert_eq!(sum, expected, "{} receives {size} bytes", peer.name);
        }
        for peer in &SENDERS {
            let mut sum = Checksum::new();
            (peer.run)(&payload(size), size, &mut |frame| {
                (RECEIVERS[0].run)(frame, &mut |payload| sum.add(payload));
            });
            assert_eq!(sum, expected, "{} sends {size} bytes", peer.name);
        }
    }
    let blocks = headers::blocks();
    let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    let inflated = HEADERS.map(|peer| (peer.run)(&blocks));
    assert!(inflated.iter().all(|&bytes| bytes == inflated[0] && bytes > 0), "{inflated:?}");
}

/// Times of all, in nanoseconds a frame: the least of rounds in which they take turns.
pub fn times(rounds: usize) -> Vec<Record> {
    let mut records = vec![];
    for size in SIZES {
        let (wire, payload) = (websocket(size), payload(size));
        let mut receive: Vec<Box<dyn FnMut()>> = vec![];
        for peer in &RECEIVERS {
            let wire = &wire;
            receive.push(Box::new(move || (peer.run)(black_box(wire), &mut look)));
        }
        records.extend(race(
            &format!("ws/receive/{size}"),
            frames(size),
            RECEIVERS.map(|peer| peer.name),
            receive,
            rounds,
        ));
        let mut send: Vec<Box<dyn FnMut()>> = vec![];
        for peer in &SENDERS {
            let payload = &payload;
            send.push(Box::new(move || (peer.run)(black_box(payload), size, &mut look)));
        }
        records.extend(race(
            &format!("ws/send_masked/{size}"),
            frames(size),
            SENDERS.map(|peer| peer.name),
            send,
            rounds,
        ));
    }
    let blocks = headers::blocks();
    let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    let mut inflate: Vec<Box<dyn FnMut()>> = vec![];
    for peer in &HEADERS {
        let blocks = &blocks;
        inflate.push(Box::new(move || {
            black_box((peer.run)(black_box(blocks)));
        }));
    }
    records.extend(race(
        "spdy/headers/inflate",
        blocks.len(),
        HEADERS.map(|peer| peer.name),
        inflate,
        rounds,
    ));
    records
}

/// What every payload is used for, so that none is left out.
fn look(payload: &[u8]) {
    black_box(payload.last());
}

fn race<const N: usize>(
    scenario: &str,
    count: usize,
    names: [&str; N],
    mut runs: Vec<Box<dyn FnMut() + '_>>,
    rounds: usize,
) -> Vec<Record> {
    let mut least = [Duration::MAX; N];
    for _ in 0..rounds {
        for (run, least) in runs.iter_mut().zip(&mut least) {
            let start = Instant::now();
            run();
            *least = (*least).min(start.elapsed());
        }
    }
    let record = |(name, time): (&str, Duration)| {
        let nanoseconds = time.as_secs_f64() * 1e9 / f64::from(count as u32);
        Record::exact(scenario, name, "time a frame", "ns", nanoseconds)
    };
    names.into_iter().zip(least).map(record).collect()
}
