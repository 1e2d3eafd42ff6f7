use std::ops::Range;

use strait::Role;
use strait::k8s::Channel;
use strait::spdy::StreamId;
use strait::spdy::frame::{DATA_HEADER, data_header};
use strait::ws::{FrameHeader, Opcode, Sender, mask};

use strait_scenarios::{Checksum, Direction, Scenario, fill};

/// The stream of stdin of a session with stdin and stdout.
const STDIN: u32 = 3;
/// The stream of its stdout.
const STDOUT: u32 = 5;

/// The bytes of one run of a scenario.
#[derive(Debug, Clone)]
pub struct Traffic {
    /// As its sender writes them.
    pub wire: Vec<u8>,
    /// Frames in `wire`.
    pub frames: usize,
    /// Payload bytes in `wire`, channel bytes not counted.
    pub payload: usize,
    direction: Direction,
    /// Where the payloads lie in `wire`.
    ranges: Vec<Range<usize>>,
    checksum: Checksum,
}

impl Traffic {
    /// Makes the traffic of `scenario`.
    pub fn new(scenario: &Scenario) -> Self {
        let mut traffic = Self {
            wire: vec![],
            frames: scenario.frames,
            payload: 0,
            direction: scenario.direction,
            ranges: vec![],
            checksum: Checksum::new(),
        };
        for (number, size) in scenario.frame_sizes().enumerate() {
            let mut payload = vec![0; size];
            fill(traffic.payload, &mut payload);
            traffic.checksum.add(&payload);
            traffic.payload += size;
            match scenario.direction {
                Direction::ToUpstream => traffic.push_websocket(number, &payload),
                _ => traffic.push_spdy(&payload),
            }
        }
        traffic
    }

    fn push_websocket(&mut self, number: usize, payload: &[u8]) {
        let key = (number as u32).wrapping_mul(0x9e37_79b9).to_be_bytes();
        let message = [&[Channel::STDIN.number()], payload].concat();
        let header =
            Sender::<320>::new(Role::Client).data_header(Opcode::Binary, true, message.len() as u64, key);
        let mut bytes = [0; FrameHeader::MAX];
        let size = header.write(&mut bytes);
        self.wire.extend_from_slice(&bytes[..size]);
        let start = self.wire.len();
        self.wire.extend(message);
        mask(key, 0, &mut self.wire[start..]);
        self.ranges.push(start + 1..self.wire.len());
    }

    fn push_spdy(&mut self, payload: &[u8]) {
        let stream = StreamId::new(STDOUT).expect("a stream id");
        self.wire.extend(data_header(stream, false, payload.len() as u32));
        let start = self.wire.len();
        self.wire.extend_from_slice(payload);
        self.ranges.push(start..self.wire.len());
    }

    /// Checks `received`: `wire` after a receiver went over it, with all payload unmasked where it lay.
    ///
    /// # Panics
    /// If it is not the payload that was sent.
    pub fn verify_in_place(&self, received: &[u8]) {
        let mut sum = Checksum::new();
        for range in &self.ranges {
            sum.add(&received[range.clone()]);
        }
        assert_eq!(sum, self.checksum, "the payload has changed");
    }

    /// Checks `output`, what a bridge wrote to the other side, by a reader of its own.
    ///
    /// # Panics
    /// If it is not the payload that was sent, in good frames.
    pub fn verify_output(&self, output: &[u8]) {
        let mut sum = Checksum::new();
        let mut rest = output;
        while !rest.is_empty() {
            let (piece, behind) = match self.direction {
                Direction::ToUpstream => spdy_frame(rest),
                _ => websocket_frame(rest),
            };
            sum.add(piece);
            rest = behind;
        }
        assert_eq!(sum, self.checksum, "bytes and checksum of the payload");
    }
}

fn spdy_frame(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (header, rest) = bytes.split_at(DATA_HEADER);
    assert_eq!(header[..5], [0, 0, 0, STDIN as u8, 0], "DATA on stdin");
    rest.split_at(u32::from_be_bytes([0, header[5], header[6], header[7]]) as usize)
}

fn websocket_frame(bytes: &[u8]) -> (&[u8], &[u8]) {
    assert_eq!(bytes[0], 0x82, "a binary message");
    let (header, len) = match bytes[1] {
        126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        127 => (10, u64::from_be_bytes(std::array::from_fn(|at| bytes[2 + at])) as usize),
        len => (2, usize::from(len)),
    };
    assert_eq!(bytes[header], Channel::STDOUT.number(), "on stdout");
    let (message, rest) = bytes[header..].split_at(len);
    (&message[1..], rest)
}
