use strait::bridge::Side;
use strait::k8s::Channel;
use strait_scenarios::{Checksum, Leg};

use crate::traffic::{STDIN, STDOUT};

/// Reads what a bridge has written to the other side, with nothing of the engine's parsers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader {
    pub(crate) client: Leg,
    pub(crate) upstream: Leg,
    /// Who sent what the bridge has translated.
    pub(crate) from: Side,
}

impl Reader {
    /// Adds the payload of the first frame of `bytes` to `sum`, and returns what is behind the frame.
    pub(crate) fn frame<'a>(self, bytes: &'a [u8], sum: &mut Checksum) -> &'a [u8] {
        match (self.from, self.client, self.upstream) {
            (Side::Client, Leg::Tunnel, _) => {
                sum.add(bytes);
                &[]
            }
            (Side::Client, Leg::Ports, _) => spdy(bytes, |stream| stream % 4 == 3, sum),
            (Side::Client, _, Leg::Spdy) => spdy(bytes, |stream| stream == STDIN, sum),
            (Side::Client, ..) => websocket(bytes, Some(|channel| channel == Channel::STDIN.number()), sum),
            (Side::Upstream, Leg::Tunnel, _) => websocket(bytes, None, sum),
            (Side::Upstream, Leg::Ports, _) => websocket(bytes, Some(|channel| channel % 2 == 0), sum),
            (Side::Upstream, Leg::Spdy, _) => spdy(bytes, |stream| stream == STDOUT, sum),
            (Side::Upstream, ..) => {
                websocket(bytes, Some(|channel| channel == Channel::STDOUT.number()), sum)
            }
        }
    }
}

fn spdy<'a>(bytes: &'a [u8], expected: fn(u32) -> bool, sum: &mut Checksum) -> &'a [u8] {
    let (stream, rest) = bytes.split_first_chunk().expect("a stream id");
    assert!(expected(u32::from_be_bytes(*stream)), "DATA of the right stream: {stream:?}");
    let (length, rest) = rest.split_first_chunk::<4>().expect("flags and a length");
    assert_eq!(length[0], 0, "no flags");
    let (payload, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
    sum.add(payload);
    rest
}

fn websocket<'a>(bytes: &'a [u8], channel: Option<fn(u8) -> bool>, sum: &mut Checksum) -> &'a [u8] {
    assert_eq!(bytes[0], 0x82, "a binary message");
    let (header, len) = match bytes[1] & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        127 => (10, u64::from_be_bytes(std::array::from_fn(|at| bytes[2 + at])) as usize),
        len => (2, usize::from(len)),
    };
    let (key, header) = if bytes[1] & 0x80 == 0 {
        ([0; 4], header)
    } else {
        (std::array::from_fn(|at| bytes[header + at]), header + 4)
    };
    let (message, rest) = bytes[header..].split_at(len);
    let message: Vec<u8> = message.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    match channel {
        Some(expected) => {
            assert!(expected(message[0]), "the right channel: {}", message[0]);
            sum.add(&message[1..]);
        }
        None => sum.add(&message),
    }
    rest
}
