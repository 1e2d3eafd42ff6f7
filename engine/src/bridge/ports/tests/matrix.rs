//! Every legacy client with every upstream, and what can happen to a connection.

use super::*;

const PROTOCOLS: [Subprotocol; 3] = [Subprotocol::V4, Subprotocol::V4Base64, Subprotocol::None];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Echo,
    /// Upstream's target ends its half, and later the rest.
    UpstreamHalfCloses,
    /// The client leaves while upstream still sends.
    ClientLeaves,
    Refused,
    Reset,
    /// A hundred at a time; base64 has channels for 40.
    Many,
}

const CASES: [Case; 6] =
    [Case::Echo, Case::UpstreamHalfCloses, Case::ClientLeaves, Case::Refused, Case::Reset, Case::Many];

fn payload(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8 ^ seed).collect()
}

/// What a target that echoes makes of what it got.
fn echo(pair: &mut Pair, index: u8, bytes: &[u8]) {
    let stream = data_of(index.into());
    pair.client_sends(2 * index, bytes);
    assert!(pair.delivered(stream).ends_with(bytes));
    pair.upstream_sends(&bytes.chunks(3000).flat_map(|chunk| data(stream, chunk)).collect::<Vec<_>>());
    assert!(pair.messages(2 * index).concat().ends_with(bytes));
}

fn assert_cell(shape: (Subprotocol, bool), case: Case, memory: usize, pace: Option<(Dice, usize)>) {
    let name = format!("{shape:?} {case:?} {memory}");
    let count: u8 = match case {
        Case::Many if shape.0.is_base64() => 40,
        Case::Many => 100,
        _ => 2,
    };
    let mut pair = Pair::running(shape, count.into(), memory);
    pair.session.pace = pace;
    // Byte by byte takes long.
    let long = payload(if pair.session.pace.is_some() { 3_500 } else { 10_000 }, 1);
    match case {
        Case::Echo => {
            echo(&mut pair, 0, &long);
            echo(&mut pair, 1, b"keystroke");
        }
        Case::UpstreamHalfCloses => {
            pair.upstream_sends(&[data(data_of(0), &long[..3000]), fin(data_of(0))].concat());
            pair.client_sends(0, &long);
            assert!(pair.delivered(data_of(0)) == long, "{name}: the other half goes on");
            pair.session.after_millis(1_001);
            assert!(pair.upstream_got().contains(&ToUpstream::Fin(data_of(0))), "{name}");
            pair.upstream_sends(&fin(error(0)));
            assert!(pair.messages(0).concat() == long[..3000], "{name}");
            assert_eq!(pair.texts(0), [""; 0], "{name}");
        }
        Case::ClientLeaves => {
            pair.client_sends(0, &long);
            pair.client_closes(1000);
            pair.upstream_sends(&data(data_of(0), b"too late"));
            assert!(pair.delivered(data_of(0)) == long, "{name}");
            assert_eq!(pair.upstream_got().last(), Some(&ToUpstream::GoAway(0)), "{name}");
        }
        Case::Refused | Case::Reset => {
            if case == Case::Reset {
                echo(&mut pair, 0, b"before");
            }
            pair.upstream_sends(&failure(0, b"broken"));
            assert_eq!(pair.texts(0), ["broken"], "{name}");
            assert_eq!(pair.outcome(), None, "{name}");
            echo(&mut pair, 1, &long[..500]);
        }
        Case::Many => {
            let bytes = |index: u8| payload(usize::from(index) * 7 + 1, index);
            for index in 0..count {
                pair.client_sends(2 * index, &bytes(index));
                pair.upstream_sends(&data(data_of(index.into()), &bytes(index)));
            }
            for index in 0..count {
                assert!(pair.delivered(data_of(index.into())) == bytes(index), "{name} {index}");
                assert!(pair.messages(2 * index).concat() == bytes(index), "{name} {index}");
            }
        }
    }
    if case != Case::ClientLeaves {
        // What is left ends in order, and so does the session.
        for index in 0..count.into() {
            pair.upstream_sends(&[fin(data_of(index)), fin(error(index))].concat());
        }
        pair.session.after_millis(1_001);
        assert_eq!(pair.close(), Some(1000), "{name}: {:?}", pair.outcome());
        pair.client_closes(1000);
    }
    assert_eq!(pair.outcome(), Some(Outcome::Completed), "{name}");
    pair.session.upstream_ends();
    assert!(pair.session.bridge.is_finished(), "{name}");
}

#[test]
fn every_client_with_every_upstream() {
    for protocol in PROTOCOLS {
        for is_tunnel in [false, true] {
            for case in CASES {
                for memory in [512, 4096] {
                    assert_cell((protocol, is_tunnel), case, memory, None);
                }
            }
        }
    }
}

#[test]
fn every_client_with_every_upstream_in_small_pieces() {
    for (seed, protocol) in (1..).zip(PROTOCOLS) {
        for is_tunnel in [false, true] {
            for case in CASES {
                for most in if case == Case::Many { vec![40] } else { vec![1, 40] } {
                    assert_cell((protocol, is_tunnel), case, 512, Some((Dice::new(seed), most)));
                }
            }
        }
    }
}
