//! Sessions of random frames, cut at random, against what must come out.

use std::vec::Vec;

use super::*;
use proptest::prelude::*;

/// What a client may send, and what upstream may send.
#[derive(Debug, Clone)]
enum Act {
    Input { len: usize },
    InputInPieces { lens: Vec<usize> },
    OtherChannel { number: u8, len: usize },
    Ping { len: usize },
    Size { columns: u16, rows: u16 },
    Output { stream: u32, len: usize },
    UpstreamPing,
    Ignored,
    StatusPiece,
    End { stream: u32, reset: bool },
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => 0..=3_usize,
        6 => 100..=140_usize,
        3 => 0..=2000_usize,
        1 => 30_000..=34_000_usize,
        1 => 65_500..=70_000_usize,
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => len().prop_map(|len| Act::Input { len }),
        2 => prop::collection::vec(0..300_usize, 2..5).prop_map(|lens| Act::InputInPieces { lens }),
        1 => (1..=254_u8, 0..500_usize).prop_map(|(number, len)| Act::OtherChannel { number, len }),
        2 => (0..=125_usize).prop_map(|len| Act::Ping { len }),
        1 => (1..=999_u16, 1..=999_u16).prop_map(|(columns, rows)| Act::Size { columns, rows }),
        8 => (prop_oneof![Just(STDOUT), Just(STDERR)], len())
            .prop_map(|(stream, len)| Act::Output { stream, len }),
        1 => Just(Act::UpstreamPing),
        1 => Just(Act::Ignored),
        1 => Just(Act::StatusPiece),
        1 => (prop_oneof![Just(STDOUT), Just(STDERR)], any::<bool>())
            .prop_map(|(stream, reset)| Act::End { stream, reset }),
    ]
}

/// What both peers send, and what has to arrive of it.
#[derive(Default)]
struct Script {
    client: Vec<u8>,
    upstream: Vec<u8>,
    input: Vec<u8>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    pongs: usize,
    answers: usize,
    status_sent: usize,
    ended: Vec<u32>,
}

impl Script {
    fn new(acts: &[Act]) -> Self {
        let mut script = Self::default();
        let mut next = 0_u32;
        let mut bytes = |len: usize| -> Vec<u8> {
            (0..len)
                .map(|_| {
                    next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (next >> 24) as u8
                })
                .collect()
        };
        for act in acts {
            script.take(act, &mut bytes);
        }
        script.client.extend(end_of(Channel::STDIN));
        script
    }

    fn take(&mut self, act: &Act, bytes: &mut impl FnMut(usize) -> Vec<u8>) {
        match act {
            Act::Input { len } => {
                let payload = bytes(*len);
                self.client.extend(stdin(&payload));
                self.input.extend(payload);
            }
            Act::InputInPieces { lens } => {
                let mut opcode = Opcode::Text;
                let mut payload = std::vec![0];
                for (at, &len) in lens.iter().enumerate() {
                    payload.extend(bytes(len));
                    self.input.extend(&payload[usize::from(at == 0)..]);
                    self.client.extend(client_frame(opcode, at + 1 == lens.len(), &payload));
                    opcode = Opcode::Continuation;
                    payload.clear();
                }
            }
            Act::OtherChannel { number, len } if *number != 4 => {
                self.client.extend(message(Channel::new(*number), &bytes(*len)));
            }
            Act::OtherChannel { .. } => {}
            Act::Ping { len } => {
                self.client.extend(client_frame(Opcode::Ping, true, &bytes(*len)));
                self.pongs += 1;
            }
            Act::Size { columns, rows } => {
                let json = std::format!("{{\"Width\":{columns},\"Height\":{rows}}}\n");
                self.client.extend(message(Channel::RESIZE, json.as_bytes()));
            }
            Act::Output { stream, len } => {
                let payload = bytes(*len);
                self.upstream.extend(data(*stream, &payload));
                match *stream {
                    _ if self.ended.contains(stream) => {}
                    STDOUT => self.stdout.extend(payload),
                    _ => self.stderr.extend(payload),
                }
            }
            Act::UpstreamPing => {
                self.upstream.extend(frame::ping(2));
                self.answers += 1;
            }
            Act::Ignored => {
                // SETTINGS and WINDOW_UPDATE.
                self.upstream.extend(b"\x80\x03\0\x04\0\0\0\x0c\0\0\0\x01\0\0\0\x04\0\0\0\x05");
                self.upstream.extend(b"\x80\x03\0\x09\0\0\0\x08\0\0\0\x05\0\0\x10\0");
            }
            Act::StatusPiece => {
                let piece = &EXIT_5[self.status_sent..(self.status_sent + 30).min(EXIT_5.len())];
                self.upstream.extend(data(ERROR, piece));
                self.status_sent += piece.len();
            }
            Act::End { stream, reset } => {
                self.upstream.extend(if *reset { cancel(*stream) } else { fin(*stream) });
                self.ended.push(*stream);
            }
        }
    }

    fn ending(&self) -> Vec<u8> {
        let status = data(ERROR, &EXIT_5[self.status_sent..]);
        [status, fin(STDOUT), fin(STDERR), fin(ERROR), goaway()].concat()
    }
}

fn rehearse(acts: &[Act], memory: usize, seed: u64, most: usize) {
    let script = Script::new(acts);
    let mut session = Session::running(ALL, memory);
    session.pace = Some((Dice::new(seed), most));
    session.queue(&script.client, &script.upstream);
    session.run();
    assert!(session.delivered(STDIN) == script.input, "input");
    assert_eq!(session.upstream_got().iter().filter(|f| matches!(f, ToUpstream::Fin(_))).count(), 1);
    let is_input = |frame: &&ToUpstream| matches!(frame, ToUpstream::Data(..) | ToUpstream::Fin(_));
    let frames = session.upstream_got();
    assert_eq!(frames.iter().rfind(is_input), Some(&ToUpstream::Fin(STDIN)));

    session.upstream_sends(&script.ending());
    session.upstream_ends();
    assert!(session.received(Channel::STDOUT) == script.stdout, "stdout");
    assert!(session.received(Channel::STDERR) == script.stderr, "stderr");
    assert_eq!(session.status().unwrap().as_bytes(), EXIT_5);
    assert_eq!(session.bridge.outcome(), Some(Outcome::Completed));
    let pongs = session.client_got().into_iter().filter(|frame| matches!(frame, ToClient::Pong(_)));
    assert_eq!(pongs.count(), script.pongs);
    let answers = session.upstream_got().into_iter().filter(|frame| *frame == ToUpstream::Ping(2));
    assert_eq!(answers.count(), script.answers);
    session.client_sends(&client_frame(Opcode::Close, true, &[]));
    assert!(session.bridge.is_finished());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_byte_arrives_once_in_order_on_its_stream(
        acts in prop::collection::vec(act(), 0..40),
        memory in prop_oneof![256..600_usize, Just(4096), Just(64 * 1024 + HEADROOM)],
        seed: u64,
        most in prop_oneof![Just(7_usize), Just(200), Just(4000), Just(usize::MAX)],
    ) {
        let bulk: usize = acts.iter().map(|act| match act {
            Act::Input { len } | Act::Output { len, .. } => *len,
            _ => 0,
        }).sum();
        // Byte by byte takes long, and long frames are not what it looks for.
        rehearse(&acts, memory, seed, if bulk > 100_000 { most.max(4000) } else { most });
    }

    #[test]
    fn no_bytes_of_either_peer_break_more_than_the_session(
        client: Vec<u8>,
        upstream: Vec<u8>,
        memory in 256..600_usize,
        seed: u64,
    ) {
        let mut session = Session::running(TTY, memory);
        session.pace = Some((Dice::new(seed), 50));
        session.queue(&[stdin(b"x"), client].concat(), &[data(STDOUT, b"x"), upstream].concat());
        session.run();
        session.client_ends();
        session.upstream_ends();
        session.after_millis(60_000);
        assert!(session.bridge.is_finished());
        assert!(session.bridge.outcome().is_some());
    }
}

/// What both peers got, where adjoining pieces of one stream count as one. Pongs and sizes stand apart: their
/// place among the data depends on what was written when.
#[derive(Debug, PartialEq)]
struct Merged {
    client: Vec<ToClient>,
    pongs: Vec<ToClient>,
    upstream: Vec<ToUpstream>,
    answers: Vec<ToUpstream>,
    sizes: Vec<u8>,
}

impl Merged {
    fn of(session: &Session) -> Self {
        let is_pong = |frame: &ToClient| matches!(frame, ToClient::Pong(_));
        let is_size = |frame: &ToUpstream| matches!(frame, ToUpstream::Data(RESIZE, _));
        let is_answer = |frame: &ToUpstream| matches!(frame, ToUpstream::Ping(_));
        let (pongs, to_client): (Vec<_>, Vec<_>) = session.client_got().into_iter().partition(is_pong);
        let data = session.upstream_got().into_iter().filter(|frame| !is_size(frame));
        let (answers, to_upstream): (Vec<_>, Vec<_>) = data.partition(is_answer);
        let mut client = Vec::new();
        for frame in to_client {
            match (client.last_mut(), frame) {
                (Some(ToClient::Message(channel, bytes)), ToClient::Message(next, more))
                    if *channel == next =>
                {
                    bytes.extend(more);
                }
                (_, frame) => client.push(frame),
            }
        }
        let mut upstream = Vec::new();
        for frame in to_upstream {
            match (upstream.last_mut(), frame) {
                (Some(ToUpstream::Data(stream, bytes)), ToUpstream::Data(next, more)) if *stream == next => {
                    bytes.extend(more);
                }
                (_, frame) => upstream.push(frame),
            }
        }
        Self { client, pongs, upstream, answers, sizes: session.delivered(RESIZE) }
    }
}

#[test]
fn every_split_of_the_input_gives_the_same_session() {
    let client = [
        stdin(b"first"),
        client_frame(Opcode::Ping, true, b"ping"),
        stdin(&[b'a'; 130]),
        message(Channel::RESIZE, b"{\"Width\":80,\"Height\":24}\n"),
        client_frame(Opcode::Text, false, b"\0frag"),
        client_frame(Opcode::Continuation, true, b"ment"),
        client_frame(Opcode::Binary, false, b"\xff"),
        client_frame(Opcode::Continuation, true, b"\0"),
    ]
    .concat();
    let upstream = [
        replies(&[STDOUT, ERROR, RESIZE, STDIN]),
        data(STDOUT, b"hello"),
        frame::ping(2).to_vec(),
        data(STDOUT, &[b'b'; 140]),
        data(ERROR, SUCCESS),
        data(STDOUT, b"bye"),
    ]
    .concat();
    let end = [fin(STDOUT), cancel(ERROR), goaway()].concat();
    let play = |client_cut: usize, upstream_cut: usize, memory: usize| {
        let mut session = Session::opening(TTY, memory);
        session.client_sends(&client[..client_cut]);
        session.upstream_sends(&upstream[..upstream_cut]);
        session.client_sends(&client[client_cut..]);
        session.upstream_sends(&upstream[upstream_cut..]);
        session.upstream_sends(&end);
        session.upstream_ends();
        assert_eq!(session.status().unwrap().as_bytes(), SUCCESS);
        assert_eq!(session.bridge.outcome(), Some(Outcome::Completed));
        Merged::of(&session)
    };
    for memory in [256, 4096] {
        let whole = play(client.len(), upstream.len(), memory);
        for cut in 0..client.len() {
            assert_eq!(play(cut, upstream.len(), memory), whole, "client cut at {cut}");
        }
        for cut in 0..upstream.len() {
            assert_eq!(play(client.len(), cut, memory), whole, "upstream cut at {cut}");
        }
    }
}

#[test]
fn byte_by_byte_is_the_same_session() {
    let acts = [
        Act::Input { len: 3 },
        Act::Output { stream: STDOUT, len: 200 },
        Act::InputInPieces { lens: std::vec![0, 3, 200] },
        Act::StatusPiece,
        Act::Ping { len: 125 },
        Act::Output { stream: STDERR, len: 1 },
        Act::Ignored,
        Act::End { stream: STDERR, reset: true },
    ];
    for memory in [256, 1000] {
        rehearse(&acts, memory, 1, 1);
    }
}
