use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::Role;
use crate::bridge::testbed::peers::websocket_frames;
use crate::bridge::testbed::{Dice, LIMITS, Session, client_frame};
use crate::leg::{RawLeg, TunnelLeg};
use crate::ws::{MaskKeys, Opcode, Sender};
use proptest::prelude::*;

mod heartbeats;

type AnyStream = Box<dyn ByteStream>;

impl ByteStream for AnyStream {
    fn has_close(&self) -> bool {
        (**self).has_close()
    }
}

/// A peer of the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Peer {
    side: Side,
    is_websocket: bool,
}

const PAIRS: [(bool, bool); 3] = [(true, false), (false, true), (true, true)];

impl Peer {
    /// The leg at the other end of its connection.
    fn leg(self) -> AnyStream {
        match (self.is_websocket, self.side) {
            (false, _) => Box::new(RawLeg::new()),
            (true, Side::Client) => Box::new(TunnelLeg::server(&LIMITS)),
            (true, Side::Upstream) => Box::new(TunnelLeg::client(&LIMITS, MaskKeys::new([5; 16]))),
        }
    }

    fn frame(self, opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
        assert!(self.is_websocket);
        if self.side == Side::Client {
            return client_frame(opcode, fin, payload);
        }
        let mut bytes = [0; crate::ws::FrameHeader::MAX];
        let header = Sender::<320>::new(Role::Server).data_header(opcode, fin, payload.len() as u64, [0; 4]);
        let size = header.write(&mut bytes);
        [&bytes[..size], payload].concat()
    }

    fn data(self, payload: &[u8]) -> Vec<u8> {
        if self.is_websocket { self.frame(Opcode::Binary, true, payload) } else { payload.to_vec() }
    }

    /// What ends its stream, in front of the end of its connection.
    fn close(self, code: u16) -> Vec<u8> {
        if self.is_websocket { self.frame(Opcode::Close, true, &code.to_be_bytes()) } else { Vec::new() }
    }

    fn read(self, bytes: &[u8]) -> Got {
        if !self.is_websocket {
            return Got { bytes: bytes.to_vec(), ..Got::default() };
        }
        let mut got = Got::default();
        for (first, payload) in websocket_frames(bytes, self.side == Side::Upstream) {
            assert_eq!(got.close, None, "nothing follows the Close");
            match first {
                0x82 => {
                    assert!(!payload.is_empty());
                    got.messages.push(payload.len());
                    got.bytes.extend(payload);
                }
                0x88 => got.close = Some(u16::from_be_bytes([payload[0], payload[1]])),
                0x89 => got.pings += 1,
                0x8a => got.pongs.push(payload),
                first => panic!("frame with first byte {first:#x}"),
            }
        }
        got
    }
}

/// What a peer got.
#[derive(Debug, Default, PartialEq)]
struct Got {
    bytes: Vec<u8>,
    messages: Vec<usize>,
    pongs: Vec<Vec<u8>>,
    pings: usize,
    close: Option<u16>,
}

struct Pair {
    client: Peer,
    upstream: Peer,
    session: Session<TunnelBridge<AnyStream, AnyStream>>,
}

impl Pair {
    fn new((client, upstream): (bool, bool), memory: usize) -> Self {
        Self::limited((client, upstream), memory, &LIMITS)
    }

    fn limited((client, upstream): (bool, bool), memory: usize, limits: &Limits) -> Self {
        let client = Peer { side: Side::Client, is_websocket: client };
        let upstream = Peer { side: Side::Upstream, is_websocket: upstream };
        let mut session = Session::joining(TunnelBridge::new(client.leg(), limits), memory);
        session.bridge.connected(upstream.leg(), session.now);
        Self { client, upstream, session }
    }

    fn peer(&self, side: Side) -> Peer {
        if side == Side::Client { self.client } else { self.upstream }
    }

    fn sends(&mut self, side: Side, bytes: &[u8]) {
        match side {
            Side::Client => self.session.client_sends(bytes),
            Side::Upstream => self.session.upstream_sends(bytes),
        }
    }

    fn ends(&mut self, side: Side) {
        match side {
            Side::Client => self.session.client_ends(),
            Side::Upstream => self.session.upstream_ends(),
        }
    }

    /// Sends its Close if it has one, or ends its connection.
    fn closes(&mut self, side: Side, code: u16) {
        self.sends(side, &self.peer(side).close(code));
        if !self.peer(side).is_websocket {
            self.ends(side);
        }
    }

    fn got(&self, side: Side) -> Got {
        let socket = if side == Side::Client { &self.session.client } else { &self.session.upstream };
        self.peer(side).read(&socket.got)
    }
}

fn every_pair(check: impl Fn(Pair, Side)) {
    for pair in PAIRS {
        for side in [Side::Client, Side::Upstream] {
            check(Pair::new(pair, 4096), side);
        }
    }
}

#[test]
fn what_one_read_brings_leaves_as_one_message() {
    let mut pair = Pair::new((true, false), 4096);
    pair.sends(Side::Upstream, &[1; 3000]);
    pair.sends(Side::Upstream, b"small");
    assert_eq!(pair.got(Side::Client).messages, [3000, 5]);
    // Longer than a WebSocket header tells in two bytes.
    let mut pair = Pair::new((true, false), 80_000);
    pair.sends(Side::Upstream, &vec![1; 70_000]);
    assert_eq!(pair.got(Side::Client).messages, [70_000]);
    let mut pair = Pair::new((true, true), 4096);
    // A SYN_STREAM as upstream's tunnel sends it: a message for each field.
    let fields: Vec<u8> =
        [2, 2, 4, 4, 4, 1, 1, 60].iter().flat_map(|&len| pair.client.data(&vec![7; len])).collect();
    pair.sends(Side::Client, &fields);
    assert_eq!(pair.got(Side::Upstream).messages, [78]);
}

#[test]
fn long_messages_stay_in_place_and_pass_in_pieces() {
    for shape in PAIRS {
        let mut pair = Pair::new(shape, 4096);
        let bytes: Vec<u8> = (0..40_000_u32).map(|at| (at % 251) as u8).collect();
        for side in [Side::Client, Side::Upstream] {
            let sent = pair.peer(side).data(&bytes);
            pair.sends(side, &sent);
            let got = pair.got(side.other());
            assert!(got.bytes == bytes, "{shape:?} {side:?}");
            assert!(got.messages.len() < 20, "{:?}", got.messages);
        }
        let (up, down) = (&pair.session.up, &pair.session.down);
        assert!(up.moved + down.moved < 200, "{} and {} bytes moved", up.moved, down.moved);
        let carried = pair.session.bridge.carried();
        assert_eq!((carried.to_ports, carried.from_ports), (40_000, 40_000));
    }
}

#[test]
fn the_end_of_a_stream_follows_all_its_bytes_and_the_other_direction_goes_on() {
    every_pair(|mut pair, side| {
        let other = side.other();
        pair.session.client.takes = 0;
        pair.session.upstream.takes = 0;
        let last = pair.peer(side).data(&[7; 3000]);
        pair.sends(side, &last);
        pair.closes(side, 1000);
        assert_eq!(pair.got(other), Got::default());
        pair.session.client.takes = usize::MAX;
        pair.session.upstream.takes = usize::MAX;
        pair.session.run();
        let got = pair.got(other);
        assert_eq!(got.bytes, [7; 3000]);
        assert_eq!(got.close, pair.peer(other).is_websocket.then_some(1000));
        assert_eq!(pair.session.bridge.shutdown_due(other), !pair.peer(other).is_websocket);

        // A WebSocket that has sent its Close takes nothing any more.
        let answer = pair.peer(other).data(b"answer");
        pair.sends(other, &answer);
        let expected = if pair.peer(side).is_websocket { Vec::new() } else { b"answer".to_vec() };
        assert_eq!(pair.got(side).bytes, expected);
        assert!(!pair.session.bridge.is_finished());
        pair.closes(other, 1000);
        assert!(pair.session.bridge.is_finished());
        assert!(pair.session.bridge.shutdown_due(side) && pair.session.bridge.shutdown_due(other));
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::Completed));
        assert_eq!(pair.session.bridge.deadline(), Some(Instant::from_millis(10_000)));
    });
}

#[test]
fn a_peer_that_does_not_end_its_stream_is_given_up() {
    every_pair(|mut pair, side| {
        pair.closes(side, 1000);
        assert!(!pair.session.bridge.is_finished());
        pair.session.after_millis(9_999);
        // What it sends meanwhile is no reason to wait longer.
        let more = pair.peer(side.other()).data(b"more");
        if pair.peer(side).is_websocket {
            pair.sends(side.other(), &more);
        }
        pair.session.after_millis(1);
        assert!(pair.session.bridge.is_finished());
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::Completed), "it had all");
    });
}

#[test]
fn a_reader_that_is_slow_at_the_end_keeps_the_session_and_one_that_stops_loses_it() {
    every_pair(|mut pair, side| {
        let other = side.other();
        let takes = |pair: &mut Pair, count| match other {
            Side::Client => pair.session.client.takes = count,
            Side::Upstream => pair.session.upstream.takes = count,
        };
        takes(&mut pair, 0);
        let last = pair.peer(side).data(&[7; 3000]);
        pair.sends(side, &last);
        pair.closes(side, 1000);
        for _ in 0..5 {
            takes(&mut pair, 100);
            pair.session.after_millis(9_000);
            assert!(!pair.session.bridge.is_finished());
        }
        pair.session.after_millis(10_000);
        assert!(pair.session.bridge.is_finished());
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::lost(other)));
    });
}

#[test]
fn a_cut_is_an_error_for_the_other_side_behind_what_came_before() {
    for side in [Side::Client, Side::Upstream] {
        let mut pair = Pair::new((true, true), 4096);
        let last = pair.peer(side).data(b"last");
        pair.sends(side, &last);
        pair.ends(side);
        let got = pair.got(side.other());
        assert_eq!((&got.bytes[..], got.close), (&b"last"[..], Some(1011)));
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::lost(side)));
        let bound = if side == Side::Client { 1_000 } else { 10_000 };
        pair.session.after_millis(bound - 1);
        assert!(!pair.session.bridge.is_finished());
        pair.session.after_millis(1);
        assert!(pair.session.bridge.is_finished());
    }
    // A raw connection that is reset has not just ended.
    let mut pair = Pair::new((true, false), 4096);
    pair.session.bridge.lost(Side::Upstream, pair.session.now);
    pair.session.run();
    assert_eq!(pair.got(Side::Client).close, Some(1011));
    pair.sends(Side::Client, &pair.client.close(1011));
    assert!(pair.session.bridge.is_finished());
}

#[test]
fn another_code_than_1000_is_an_error() {
    for (side, outcome) in [(Side::Client, Outcome::ClientClosed), (Side::Upstream, Outcome::UpstreamLost)] {
        let mut pair = Pair::new((true, true), 4096);
        pair.closes(side, 1001);
        assert_eq!(pair.got(side).close, Some(1001), "answered in kind");
        assert_eq!(pair.got(side.other()).close, Some(1011));
        assert_eq!(pair.session.bridge.outcome(), Some(outcome));
    }
}

#[test]
fn a_text_message_ends_the_session() {
    for side in [Side::Client, Side::Upstream] {
        let mut pair = Pair::new((true, true), 4096);
        let bytes =
            [pair.peer(side).data(b"good"), pair.peer(side).frame(Opcode::Text, true, b"bad")].concat();
        pair.sends(side, &bytes);
        assert_eq!(pair.got(side).close, Some(1003));
        let got = pair.got(side.other());
        assert_eq!((&got.bytes[..], got.close), (&b"good"[..], Some(1011)));
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::failure_of(side, LegError::Text)));
    }
}

#[test]
fn pings_are_answered_while_the_other_side_does_not_read() {
    every_pair(|mut pair, side| {
        if !pair.peer(side).is_websocket {
            return;
        }
        pair.session.client.takes = if side == Side::Client { usize::MAX } else { 0 };
        pair.session.upstream.takes = if side == Side::Upstream { usize::MAX } else { 0 };
        let bytes =
            [pair.peer(side).data(b"held"), pair.peer(side).frame(Opcode::Ping, true, b"beat")].concat();
        pair.sends(side, &bytes);
        assert_eq!(pair.got(side).pongs, [b"beat"]);
    });
}

#[test]
fn a_client_is_asked_out_of_turn_and_an_upstream_that_takes_nothing_is_still_read() {
    let mut pair = Pair::new((true, true), 4096);
    pair.session.bridge.ask_client();
    pair.session.run();
    assert_eq!((pair.got(Side::Client).pings, pair.got(Side::Upstream).pings), (1, 0));
    pair.session.bridge.write_failed(Side::Upstream, pair.session.now);
    assert!(!pair.session.bridge.is_writable(Side::Upstream));
    assert!(!pair.session.bridge.is_done_with_upstream());
    let last = pair.upstream.data(b"last");
    pair.sends(Side::Upstream, &last);
    assert_eq!(pair.got(Side::Client).bytes, b"last");
    pair.session.bridge.write_failed(Side::Client, pair.session.now);
    assert!(!pair.session.bridge.is_writable(Side::Client));
    assert_eq!(pair.session.bridge.outcome(), Some(Outcome::ClientLost));
}

/// All in one round, before anything was written.
#[test]
fn a_session_whose_last_bytes_were_not_written_to_a_peer_that_is_lost_is_not_complete() {
    every_pair(|mut pair, side| {
        let other = side.other();
        let end = [pair.peer(side).data(b"last"), pair.peer(side).close(1000)].concat();
        let Session { bridge, up, down, now, .. } = &mut pair.session;
        let lane = if side == Side::Client { up } else { down };
        lane.space()[..end.len()].copy_from_slice(&end);
        lane.received(end.len());
        bridge.eof(side, *now);
        bridge.translate(side, lane, *now);
        assert_eq!(bridge.outcome(), Some(Outcome::Completed));
        bridge.lost(other, *now);
        assert_eq!(bridge.outcome(), Some(Outcome::lost(other)));
    });
}

#[test]
fn a_shutdown_is_told_behind_what_came_before() {
    every_pair(|mut pair, side| {
        let last = pair.peer(side).data(b"last");
        pair.sends(side, &last);
        pair.session.bridge.shut_down();
        pair.session.run();
        let got = pair.got(side.other());
        assert_eq!(got.bytes, b"last");
        assert_eq!(got.close, pair.peer(side.other()).is_websocket.then_some(1001));
        assert_eq!(pair.session.bridge.outcome(), Some(Outcome::Shutdown));
        pair.session.after_millis(10_000);
        assert!(pair.session.bridge.is_finished());
    });
}

#[test]
fn a_refusal_closes_the_client_and_early_bytes_wait_for_upstream() {
    let client = Peer { side: Side::Client, is_websocket: true };
    let dialing = || Session::joining(TunnelBridge::new(client.leg(), &LIMITS), 4096);
    let mut session: Session<TunnelBridge<AnyStream, AnyStream>> = dialing();
    session.client_sends(&[client.data(b"early"), client.frame(Opcode::Ping, true, b"")].concat());
    session.bridge.connected(Peer { side: Side::Upstream, is_websocket: false }.leg(), session.now);
    session.run();
    assert_eq!(session.upstream.got, b"early");

    let mut session: Session<TunnelBridge<AnyStream, AnyStream>> = dialing();
    session.bridge.refused(b"", &mut session.down);
    session.run();
    assert_eq!(client.read(&session.client.got).close, Some(1011));
    assert_eq!(session.bridge.outcome(), Some(Outcome::Refused));
    session.client_sends(&client.close(1011));
    assert!(session.bridge.is_finished());

    let mut session: Session<TunnelBridge<AnyStream, AnyStream>> = dialing();
    session.client_ends();
    assert_eq!(session.bridge.outcome(), Some(Outcome::ClientLost));
    assert!(session.bridge.is_finished());
}

/// Messages of random lengths, cut into fragments, with pings and empty ones between them.
fn messages(peer: Peer, bytes: &[u8], dice: &mut Dice) -> (Vec<u8>, usize) {
    if !peer.is_websocket {
        return (bytes.to_vec(), 0);
    }
    let (mut wire, mut pings, mut rest, mut inside) = (Vec::new(), 0, bytes, false);
    while !rest.is_empty() || inside {
        if dice.roll(4) == 0 {
            wire.extend(peer.frame(Opcode::Ping, true, &rest[..dice.roll(rest.len().min(125))]));
            pings += 1;
        }
        let longest = [1, 10, 200, 70_000][dice.roll(4)];
        let (piece, behind) = rest.split_at(dice.roll(rest.len().min(longest) + 1));
        let opcode = if inside { Opcode::Continuation } else { Opcode::Binary };
        let fin = dice.roll(2) == 0;
        wire.extend(peer.frame(opcode, fin, piece));
        inside = !fin;
        rest = behind;
    }
    (wire, pings)
}

fn rehearse(shape: (bool, bool), lens: (usize, usize), memory: usize, seed: u64, most: usize) {
    let mut dice = Dice::new(seed);
    let mut pair = Pair::new(shape, memory);
    pair.session.pace = Some((Dice::new(seed + 1), most));
    let mut bytes = |len: usize| -> Vec<u8> { (0..len).map(|_| dice.roll(256) as u8).collect() };
    let (up, down) = (bytes(lens.0), bytes(lens.1));
    let (client, pings) = messages(pair.client, &up, &mut dice);
    let (upstream, more) = messages(pair.upstream, &down, &mut dice);
    pair.session.queue(&client, &upstream);
    pair.session.run();
    pair.closes(Side::Client, 1000);
    pair.closes(Side::Upstream, 1000);
    let (to_client, to_upstream) = (pair.got(Side::Client), pair.got(Side::Upstream));
    assert!(to_upstream.bytes == up, "up");
    assert!(to_client.bytes == down, "down");
    assert_eq!((to_client.pongs.len(), to_upstream.pongs.len()), (pings, more));
    assert_eq!(pair.session.bridge.outcome(), Some(Outcome::Completed));
    assert!(pair.session.bridge.is_finished());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_byte_arrives_once_in_order(
        shape in prop::sample::select(&PAIRS[..]),
        lens in prop_oneof![(0..2000_usize, 0..2000_usize), (0..200_000_usize, 0..200_000_usize)],
        memory in prop_oneof![256..600_usize, Just(4096), Just(64 * 1024)],
        seed: u32,
        most in prop_oneof![Just(7_usize), Just(200), Just(4000), Just(usize::MAX)],
    ) {
        let most = if lens.0 + lens.1 > 10_000 { most.max(1000) } else { most };
        rehearse(shape, lens, memory, seed.into(), most);
    }

    #[test]
    fn no_bytes_of_either_peer_break_more_than_the_session(
        shape in prop::sample::select(&PAIRS[..]),
        client: Vec<u8>,
        upstream: Vec<u8>,
        seed: u32,
    ) {
        let mut pair = Pair::new(shape, 300);
        pair.session.pace = Some((Dice::new(seed.into()), 50));
        let good = [pair.client.data(b"x"), pair.upstream.data(b"y")];
        pair.session.queue(&[&good[0], &client[..]].concat(), &[&good[1], &upstream[..]].concat());
        pair.session.run();
        pair.session.client_ends();
        pair.session.upstream_ends();
        pair.session.after_millis(60_000);
        assert!(pair.session.bridge.is_finished());
        assert!(pair.session.bridge.outcome().is_some());
    }
}

#[test]
fn every_split_of_the_input_gives_the_same_streams() {
    for shape in PAIRS {
        for most in [1, 2, 3] {
            rehearse(shape, (300, 300), 256, 3, most);
        }
        let whole = Pair::new(shape, 256);
        let client = [&b"first"[..], &[b'a'; 130], b"last"].map(|bytes| whole.client.data(bytes)).concat();
        let upstream = [&b"hello"[..], &[b'b'; 140], b"bye"].map(|bytes| whole.upstream.data(bytes)).concat();
        let play = |client_cut: usize, upstream_cut: usize| {
            let mut pair = Pair::new(shape, 256);
            pair.sends(Side::Client, &client[..client_cut]);
            pair.sends(Side::Upstream, &upstream[..upstream_cut]);
            pair.sends(Side::Client, &client[client_cut..]);
            pair.sends(Side::Upstream, &upstream[upstream_cut..]);
            pair.closes(Side::Upstream, 1000);
            pair.closes(Side::Client, 1000);
            assert_eq!(pair.session.bridge.outcome(), Some(Outcome::Completed));
            [Side::Client, Side::Upstream].map(|side| Got { messages: Vec::new(), ..pair.got(side) })
        };
        let whole = play(client.len(), upstream.len());
        for cut in 0..client.len() {
            assert_eq!(play(cut, upstream.len()), whole, "client cut at {cut}");
        }
        for cut in 0..upstream.len() {
            assert_eq!(play(client.len(), cut), whole, "upstream cut at {cut}");
        }
    }
}

#[test]
fn nothing_is_left_in_the_lane_behind_the_end() {
    every_pair(|mut pair, side| {
        if !pair.peer(side).is_websocket {
            return;
        }
        let behind = [pair.peer(side).close(1000), vec![0x82; 500]].concat();
        let Session { bridge, up, down, now, .. } = &mut pair.session;
        let lane = if side == Side::Client { up } else { down };
        lane.space()[..behind.len()].copy_from_slice(&behind);
        lane.received(behind.len());
        assert_eq!(bridge.translate(side, lane, *now), Flow::NeedInput);
        // Or a driver might read into no room, and take nothing for the end of the connection.
        assert!(!lane.has_input());
    });
}
