use strait::Role;
use strait::bridge::Side;
use strait::k8s::Channel;
use strait::spdy::StreamId;
use strait::spdy::frame::data_header;
use strait::ws::{FrameHeader, Opcode, Sender, mask};
use strait_scenarios::{Checksum, Leg, Pace, Scenario, fill};

use crate::reader::Reader;

/// The stream of stdin of an exec session with stdin and stdout.
pub(crate) const STDIN: u32 = 3;
/// The stream of its stdout.
pub(crate) const STDOUT: u32 = 5;

/// The bytes that one side sends in one run of a scenario.
#[derive(Debug, Clone)]
pub struct Traffic {
    /// As the side writes them.
    pub wire: Vec<u8>,
    /// Frames in `wire`.
    pub frames: usize,
    /// Payload bytes in `wire`.
    pub payload: usize,
    /// Where reads have to end, in order.
    stops: Vec<usize>,
    reader: Reader,
    checksum: Checksum,
}

impl Traffic {
    /// What `from` sends in `scenario`.
    pub fn new(scenario: &Scenario, from: Side) -> Self {
        let reader = Reader { client: scenario.client, upstream: scenario.upstream, from };
        let (mut wire, mut stops, mut checksum, mut place) = (vec![], vec![], Checksum::new(), 0);
        for (number, size) in scenario.frame_sizes().enumerate() {
            let mut payload = vec![0; size];
            fill(place, &mut payload);
            place += size;
            checksum.add(&payload);
            push(&mut wire, scenario, from, number, &payload);
            if scenario.pace == Pace::Alone {
                stops.push(wire.len());
            }
        }
        stops.push(wire.len());
        Self { wire, frames: scenario.frames, payload: place, stops, reader, checksum }
    }

    /// Where the read that begins at `at` ends, at most.
    pub(crate) fn stop(&self, at: usize) -> usize {
        let next = self.stops.partition_point(|&stop| stop <= at);
        self.stops.get(next).copied().unwrap_or(self.wire.len())
    }

    /// Checks `output`, what a bridge wrote to the other side, by a reader of its own.
    ///
    /// # Panics
    /// If it is not the payload that was sent, in good frames.
    pub fn verify_output(&self, output: &[u8]) {
        let mut sum = Checksum::new();
        let mut rest = output;
        while !rest.is_empty() {
            rest = self.reader.frame(rest, &mut sum);
        }
        assert_eq!(sum, self.checksum, "bytes and checksum of the payload");
    }
}

/// Appends one frame, as `from` sends it.
fn push(wire: &mut Vec<u8>, scenario: &Scenario, from: Side, number: usize, payload: &[u8]) {
    let (leg, other) = match from {
        Side::Client => (scenario.client, scenario.upstream),
        Side::Upstream => (scenario.upstream, scenario.client),
    };
    let pair = number.checked_rem(scenario.pairs).unwrap_or(0) as u32;
    let key = (from == Side::Client).then(|| (number as u32).wrapping_mul(0x9e37_79b9).to_be_bytes());
    match (leg, other, from) {
        (Leg::WebSocket, _, Side::Client) => push_websocket(wire, key, &[Channel::STDIN.number()], payload),
        (Leg::WebSocket, _, Side::Upstream) => {
            push_websocket(wire, key, &[Channel::STDOUT.number()], payload);
        }
        (Leg::Tunnel, ..) => push_websocket(wire, key, &[], payload),
        (Leg::Ports, ..) => push_websocket(wire, key, &[2 * pair as u8], payload),
        // A tunnel's upstream is a connection that nobody looks into.
        (Leg::Spdy, Leg::Tunnel, _) => wire.extend_from_slice(payload),
        (Leg::Spdy, Leg::Ports, _) => push_spdy(wire, 4 * pair + 3, payload),
        (Leg::Spdy, _, Side::Client) => push_spdy(wire, STDIN, payload),
        (Leg::Spdy, _, Side::Upstream) => push_spdy(wire, STDOUT, payload),
    }
}

/// Appends a binary message of `head` and `payload`, masked if there is a key.
pub(crate) fn push_websocket(wire: &mut Vec<u8>, key: Option<[u8; 4]>, head: &[u8], payload: &[u8]) {
    let role = if key.is_some() { Role::Client } else { Role::Server };
    let len = (head.len() + payload.len()) as u64;
    let header = Sender::<320>::new(role).data_header(Opcode::Binary, true, len, key.unwrap_or_default());
    let mut bytes = [0; FrameHeader::MAX];
    let size = header.write(&mut bytes);
    wire.extend_from_slice(&bytes[..size]);
    let start = wire.len();
    wire.extend_from_slice(head);
    wire.extend_from_slice(payload);
    if let Some(key) = key {
        mask(key, 0, &mut wire[start..]);
    }
}

/// Appends a DATA frame.
pub(crate) fn push_spdy(wire: &mut Vec<u8>, stream: u32, payload: &[u8]) {
    let stream = StreamId::new(stream).expect("a stream id");
    wire.extend(data_header(stream, false, payload.len() as u32));
    wire.extend_from_slice(payload);
}
