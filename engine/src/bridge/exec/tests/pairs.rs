//! Random sessions between any two legs, cut at random, against what must come out.

use std::vec::Vec;

use super::*;
use crate::bridge::testbed::peers::{Got, Pair, Peer, Wire, merged};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Act {
    Data {
        channel: Channel,
        len: usize,
    },
    /// A message in so many fragments, where there are fragments.
    Fragments {
        channel: Channel,
        lens: Vec<usize>,
    },
    Ping {
        from: Side,
    },
    Size {
        columns: u16,
    },
    /// On a channel that means nothing.
    Unknown {
        len: usize,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let channel = || prop_oneof![Just(Channel::STDIN), Just(Channel::STDOUT), Just(Channel::STDERR)];
    let len =
        prop_oneof![4 => 0..=5_usize, 4 => 100..=140_usize, 3 => 0..=2000_usize, 1 => 30_000..=34_000_usize];
    prop_oneof![
        8 => (channel(), len).prop_map(|(channel, len)| Act::Data { channel, len }),
        3 => (channel(), prop::collection::vec(0..90_usize, 1..5))
            .prop_map(|(channel, lens)| Act::Fragments { channel, lens }),
        1 => prop_oneof![Just(Side::Client), Just(Side::Upstream)].prop_map(|from| Act::Ping { from }),
        1 => (1..=999_u16).prop_map(|columns| Act::Size { columns }),
        1 => (0..300_usize).prop_map(|len| Act::Unknown { len }),
    ]
}

/// What both peers send, and what has to arrive of it.
#[derive(Default)]
struct Script {
    client: Vec<u8>,
    upstream: Vec<u8>,
    payload: [Vec<u8>; 3],
    next: u32,
}

impl Script {
    fn new(acts: &[Act], client: Peer, upstream: Peer) -> Self {
        let mut script = Self::default();
        for act in acts {
            match act {
                Act::Data { channel, len } => {
                    let payload = script.payload(*channel, *len);
                    let from = if *channel == Channel::STDIN { client } else { upstream };
                    script.of(*channel).extend(from.data(*channel, &payload));
                }
                Act::Fragments { channel, lens } => {
                    let payload = script.payload(*channel, lens.iter().sum());
                    let from = if *channel == Channel::STDIN { client } else { upstream };
                    script.of(*channel).extend(from.fragments(*channel, &payload, lens));
                }
                Act::Ping { from: Side::Client } => script.client.extend(client.ping()),
                Act::Ping { from: Side::Upstream } => script.upstream.extend(upstream.ping()),
                Act::Size { columns } => {
                    let json = std::format!("{{\"Width\":{columns},\"Height\":1}}");
                    script.client.extend(client.data(Channel::RESIZE, json.as_bytes()));
                }
                Act::Unknown { len } => {
                    if !client.wire.is_spdy() {
                        script.client.extend(client.data(Channel::new(9), &vec![b'?'; *len]));
                    }
                }
            }
        }
        script.client.extend(client.end(Channel::STDIN));
        script
    }

    /// The bytes of the side that sends on `channel`.
    fn of(&mut self, channel: Channel) -> &mut Vec<u8> {
        if channel == Channel::STDIN { &mut self.client } else { &mut self.upstream }
    }

    fn payload(&mut self, channel: Channel, len: usize) -> Vec<u8> {
        let next = &mut self.next;
        let bytes = (0..len).map(|_| {
            *next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (*next >> 24) as u8
        });
        let bytes: Vec<u8> = bytes.collect();
        self.payload[usize::from(channel.number())].extend(&bytes);
        bytes
    }
}

impl Peer {
    /// `payload` in one message of frames of `lens` bytes; base64 is cut between quanta.
    fn fragments(self, channel: Channel, payload: &[u8], lens: &[usize]) -> Vec<u8> {
        if self.wire.is_spdy() {
            return self.data(channel, payload);
        }
        let is_base64 = self.frame_of_text().is_some();
        let message = self.message(channel, payload);
        let (mut bytes, mut rest) = (Vec::new(), &message[..]);
        let mut opcode = self.frame_of_text().unwrap_or(Opcode::Binary);
        for (at, &len) in lens.iter().enumerate() {
            let unit = if is_base64 { len / 4 * 4 } else { len } + usize::from(at == 0);
            let (piece, left) = rest.split_at(unit.min(rest.len()));
            bytes.extend(self.frame(opcode, false, piece));
            (rest, opcode) = (left, Opcode::Continuation);
        }
        bytes.extend(self.frame(Opcode::Continuation, true, rest));
        bytes
    }

    fn frame_of_text(self) -> Option<Opcode> {
        matches!(self.wire.protocol(), Subprotocol::V1Base64 | Subprotocol::V4Base64).then_some(Opcode::Text)
    }
}

fn wires() -> impl Strategy<Value = (Wire, Wire)> {
    (prop::sample::select(&Wire::CLIENTS[..]), prop::sample::select(&Wire::UPSTREAMS[..]))
}

fn assert_arrived(pair: &Pair, script: &Script) {
    for channel in [Channel::STDOUT, Channel::STDERR] {
        assert!(
            pair.received(channel) == script.payload[usize::from(channel.number())],
            "{channel}: {:?} {:?}",
            pair.received(channel).len(),
            pair.session.bridge.outcome()
        );
    }
    assert!(pair.delivered(Channel::STDIN) == script.payload[0], "stdin");
    let ends = pair.upstream_got().into_iter().filter(|frame| *frame == Got::End(Channel::STDIN)).count();
    let can = pair.client.can_end(Channel::STDIN) && pair.upstream.can_end(Channel::STDIN);
    assert_eq!(ends, usize::from(can));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_byte_arrives_once_in_order_between_any_two(
        wires in wires(),
        acts in prop::collection::vec(act(), 0..30),
        memory in prop_oneof![3 => 512..700_usize, 1 => Just(4096), 1 => Just(64 * 1024)],
        made_for_any_leg: bool,
        seed: u64,
        most in prop_oneof![Just(7_usize), Just(200), Just(4000), Just(usize::MAX)],
    ) {
        let mut pair = Pair::running(wires, ALL, memory);
        if made_for_any_leg {
            pair.session.up = Lane::new(vec![0xee; memory]);
            pair.session.down = Lane::new(vec![0xee; memory]);
        }
        let bulk: usize = acts.iter().map(|act| if let Act::Data { len, .. } = act { *len } else { 0 }).sum();
        let most = if bulk > 60_000 { most.max(4000) } else { most };
        pair.session.pace = Some((Dice::new(seed), most));
        let script = Script::new(&acts, pair.client, pair.upstream);
        pair.session.queue(&script.client, &script.upstream);
        pair.session.run();
        assert_arrived(&pair, &script);
        pair.session.upstream_sends(&pair.upstream.ending(b""));
        assert_arrived(&pair, &script);
        prop_assert!(pair.session.bridge.outcome().is_some());
    }

    #[test]
    fn no_bytes_of_either_peer_break_more_than_the_session_of_any_two(
        wires in wires(),
        client: Vec<u8>,
        upstream: Vec<u8>,
        is_open: bool,
        memory in 256..600_usize,
        seed: u64,
    ) {
        let mut pair = Pair::new(wires, TTY, memory);
        pair.session.pace = Some((Dice::new(seed), 50));
        if is_open {
            pair.open();
        }
        pair.session.queue(&client, &upstream);
        pair.session.run();
        pair.session.client_ends();
        pair.session.upstream_ends();
        for _ in 0..3 {
            pair.session.after_millis(60_000);
        }
        prop_assert!(pair.session.bridge.is_finished());
        prop_assert!(pair.session.bridge.outcome().is_some());
    }
}

/// What both got; sizes stand apart, as their place among the data depends on what was written when.
fn result(pair: &Pair) -> (Vec<Got>, Vec<Got>, Vec<u8>) {
    let mut to_upstream = pair.upstream_got();
    to_upstream.retain(|frame| !matches!(frame, Got::Data(Channel::RESIZE, _)));
    (pair.client_got(), merged(to_upstream), pair.delivered(Channel::RESIZE))
}

#[test]
fn every_split_gives_the_same_session_between_any_two() {
    for wires in Wire::pairs() {
        let play = |client_cut: usize, upstream_cut: usize| {
            let mut pair = Pair::new(wires, TTY, 512);
            let (client, upstream) = (pair.client, pair.upstream);
            let to_bridge = [
                client.open(),
                client.data(Channel::STDIN, b"first"),
                client.ping(),
                client.data(Channel::RESIZE, b"{\"Width\":80,\"Height\":24}"),
                client.fragments(Channel::STDIN, &[b'f'; 20], &[3, 9]),
                client.end(Channel::STDIN),
            ]
            .concat();
            let answers = [
                upstream.open(),
                upstream.data(Channel::STDOUT, b"hello"),
                upstream.ping(),
                upstream.fragments(Channel::STDOUT, &[b'F'; 20], &[8, 0]),
                upstream.data(Channel::STDOUT, &[b'o'; 130]),
            ]
            .concat();
            let (client_cut, upstream_cut) =
                (client_cut.min(to_bridge.len()), upstream_cut.min(answers.len()));
            pair.session.client_sends(&to_bridge[..client_cut]);
            pair.session.upstream_sends(&answers[..upstream_cut]);
            pair.session.client_sends(&to_bridge[client_cut..]);
            pair.session.upstream_sends(&answers[upstream_cut..]);
            let status = if upstream.wire.is_json() { SUCCESS } else { b"" };
            let ending = upstream.ending(status);
            let cut = client_cut.min(ending.len());
            pair.session.upstream_sends(&ending[..cut]);
            pair.session.upstream_sends(&ending[cut..]);
            assert_eq!(pair.session.bridge.outcome(), Some(Outcome::Completed));
            (result(&pair), to_bridge.len(), answers.len())
        };
        let (whole, client_len, upstream_len) = play(usize::MAX, usize::MAX);
        for cut in 0..client_len {
            assert_eq!(play(cut, usize::MAX).0, whole, "{wires:?}: client cut at {cut}");
        }
        for cut in 0..upstream_len {
            assert_eq!(play(usize::MAX, cut).0, whole, "{wires:?}: upstream cut at {cut}");
        }
    }
}
