//! Random sessions, cut at random, against what must come out.

use super::*;
use proptest::prelude::*;

fn shape() -> impl Strategy<Value = (Subprotocol, bool)> {
    let protocols = vec![Subprotocol::V4, Subprotocol::V4Base64, Subprotocol::None];
    (prop::sample::select(protocols), any::<bool>())
}

const PORTS: u8 = 3;

fn rehearse(shape: (Subprotocol, bool), lens: &[(usize, usize)], memory: usize, seed: u64, most: usize) {
    let mut dice = Dice::new(seed);
    let mut pair = Pair::running(shape, PORTS.into(), memory);
    pair.session.pace = Some((Dice::new(seed + 1), most));
    let mut expected = vec![(Vec::<u8>::new(), Vec::<u8>::new()); PORTS.into()];
    let (mut up, mut down, mut pings) = (Vec::new(), Vec::new(), 0);
    for &(to_port, from_port) in lens {
        let index = dice.roll(PORTS.into());
        let bytes: Vec<u8> = (0..to_port.max(from_port)).map(|_| dice.roll(256) as u8).collect();
        up.extend(pair.message(2 * index as u8, &bytes[..to_port]));
        expected[index].0.extend(&bytes[..to_port]);
        down.extend(data(data_of(index as u32), &bytes[..from_port]));
        expected[index].1.extend(&bytes[..from_port]);
        if dice.roll(3) == 0 {
            up.extend(client_frame(Opcode::Ping, true, b"beat"));
            down.extend(frame::ping(2));
            pings += 1;
        }
    }
    let refused = dice.roll(PORTS.into()) as u8;
    down.extend(failure(refused.into(), b"broken"));
    let down = pair.wire(&down);
    pair.session.queue(&up, &down);
    pair.session.run();
    for (index, (to_port, from_port)) in (0..PORTS).zip(&expected) {
        let delivered = pair.delivered(data_of(index.into()));
        if index == refused {
            assert!(to_port.starts_with(&delivered), "up {index}");
            assert_eq!(pair.texts(index), ["broken"]);
        } else {
            assert!(&delivered == to_port, "up {index}");
        }
        assert!(&pair.messages(2 * index).concat() == from_port, "down {index}");
    }
    let answered = pair.client_got().into_iter().filter(|got| *got == ToClient::Heartbeat).count();
    assert_eq!(answered, pings);
    assert_eq!(pair.upstream_got().into_iter().filter(|got| *got == ToUpstream::Ping).count(), pings);
    assert_eq!(pair.outcome(), None);
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0..=3_usize, 6 => 100..=140_usize, 3 => 0..=2000_usize, 1 => 30_000..=34_000_usize]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_byte_arrives_once_in_order_on_its_port(
        shape in shape(),
        lens in prop::collection::vec((len(), len()), 0..20),
        memory in prop_oneof![256..600_usize, Just(4096), Just(64 * 1024)],
        seed: u32,
        most in prop_oneof![Just(7_usize), Just(200), Just(4000), Just(usize::MAX)],
    ) {
        let bulk: usize = lens.iter().map(|(up, down)| up + down).sum();
        rehearse(shape, &lens, memory, seed.into(), if bulk > 20_000 { most.max(1000) } else { most });
    }

    #[test]
    fn no_bytes_of_either_peer_break_more_than_the_session(
        shape in shape(), client: Vec<u8>, upstream: Vec<u8>, wrapped: bool, seed: u32,
    ) {
        let mut pair = Pair::running(shape, 2, 300);
        pair.session.pace = Some((Dice::new(seed.into()), 50));
        let client = [pair.message(0, b"x"), client].concat();
        let good = pair.wire(&data(data_of(0), b"y"));
        let upstream = if wrapped { pair.wire(&upstream) } else { upstream };
        pair.session.queue(&client, &[good, upstream].concat());
        pair.session.run();
        pair.session.client_ends();
        pair.session.upstream_ends();
        for _ in 0..4 {
            pair.session.after_millis(30_000);
        }
        assert!(pair.session.bridge.is_finished());
        assert!(pair.outcome().is_some());
    }
}

#[test]
fn byte_by_byte_is_the_same_session() {
    for protocol in [Subprotocol::V4, Subprotocol::V4Base64] {
        for is_tunnel in [false, true] {
            for memory in [256, 1000] {
                rehearse((protocol, is_tunnel), &[(3, 200), (300, 1), (126, 126), (0, 5)], memory, 1, 1);
            }
        }
    }
}

#[test]
fn every_split_of_the_input_gives_the_same_session() {
    for shape in [SPDY, (Subprotocol::V4, true), (Subprotocol::V4Base64, true)] {
        let begun = Pair::opening(shape, 2, 256);
        let client = [
            begun.message(0, b"first"),
            client_frame(Opcode::Ping, true, b"ping"),
            begun.message(2, &[b'a'; 130]),
            begun.message(0, b"last"),
        ]
        .concat();
        let mut writer = HeaderWriter::new();
        let replies = [3, 1, 5, 7].map(|stream| {
            let mut reply = [0; 64];
            let len = writer.syn_reply(id(stream), &mut reply).unwrap();
            reply[..len].to_vec()
        });
        let upstream = [
            replies.concat(),
            data(data_of(0), b"hello"),
            frame::ping(2).to_vec(),
            data(data_of(1), &[b'b'; 140]),
        ]
        .concat();
        let end = [
            data(error(0), b"broken"),
            cancel(data_of(0)),
            data(data_of(1), b"bye"),
            cancel(error(0)),
            fin(data_of(1)),
            fin(error(1)),
        ]
        .concat();
        let (upstream, end) = (begun.wire(&upstream), begun.wire(&end));
        let play = |client_cut: usize, upstream_cut: usize, end_cut: usize| {
            let mut pair = Pair::opening(shape, 2, 256);
            pair.session.client_sends(&client[..client_cut]);
            pair.session.upstream_sends(&upstream[..upstream_cut]);
            pair.session.client_sends(&client[client_cut..]);
            pair.session.upstream_sends(&upstream[upstream_cut..]);
            pair.session.upstream_sends(&end[..end_cut]);
            pair.session.upstream_sends(&end[end_cut..]);
            pair.session.after_millis(1000);
            assert_eq!((pair.close(), pair.outcome()), (Some(1000), Some(Outcome::Completed)));
            assert_eq!(pair.texts(0)[1..], ["broken"]);
            let down = [0, 2].map(|channel| pair.messages(channel)[1..].concat());
            let up = [0, 1].map(|index| pair.delivered(data_of(index)));
            (up, down)
        };
        let whole = play(client.len(), upstream.len(), end.len());
        assert_eq!(whole.0[0], b"firstlast");
        for cut in 0..client.len() {
            assert_eq!(play(cut, upstream.len(), end.len()), whole, "client cut at {cut}");
        }
        for cut in 0..upstream.len() {
            assert_eq!(play(client.len(), cut, end.len()), whole, "upstream cut at {cut}");
        }
        for cut in 0..end.len() {
            assert_eq!(play(client.len(), upstream.len(), cut), whole, "end cut at {cut}");
        }
    }
}
