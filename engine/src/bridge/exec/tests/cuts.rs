//! A short session between every client and every upstream, whose connections are cut at every byte.
//!
//! The rule: the client gets all output and upstream's word on how the command ended, or an error; never silence, never half an
//! output with a success. And whatever is cut where, the bridge ends.

use std::string::String;
use std::vec::Vec;

use super::*;
use crate::bridge::testbed::peers::{Pair, Wire};

const OUT: &[u8] = b"some output\n";
const ERR: &[u8] = b"a warning\n";
const IN: &[u8] = b"some input\n";
const EXIT_5_TEXT: &[u8] = b"command terminated with non-zero exit code: 5";

/// Every byte, but where a processor is emulated.
const STEP: usize = if cfg!(target_os = "none") { 31 } else { 1 };

/// Deadlines that may have to pass: for what is not answered, and for what is not taken.
const DEADLINES: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The peer ends its half.
    End,
    /// The connection is gone.
    Loss,
}

struct Script {
    client: Vec<u8>,
    upstream: Vec<u8>,
}

impl Script {
    fn new(pair: &Pair) -> Self {
        let (client, upstream) = (pair.client, pair.upstream);
        let status = if upstream.wire.is_json() { EXIT_5 } else { EXIT_5_TEXT };
        let input = [client.open(), client.data(Channel::STDIN, IN), client.end(Channel::STDIN)];
        let output = [
            upstream.open(),
            upstream.data(Channel::STDOUT, OUT),
            upstream.data(Channel::STDERR, ERR),
            upstream.ending(status),
        ];
        Self { client: input.concat(), upstream: output.concat() }
    }
}

/// Sends the first `count` bytes of a side, and cuts it behind them.
fn cut(pair: &mut Pair, side: Side, bytes: &[u8], how: Cut) {
    let session = &mut pair.session;
    match side {
        Side::Client => session.client_sends(bytes),
        Side::Upstream => session.upstream_sends(bytes),
    }
    match (how, side) {
        (Cut::End, Side::Client) => session.client_ends(),
        (Cut::End, Side::Upstream) => session.upstream_ends(),
        (Cut::Loss, side) => {
            session.bridge.lost(side, session.now);
            session.run();
        }
    }
}

fn finish(pair: &mut Pair) {
    let session = &mut pair.session;
    for _ in 0..DEADLINES {
        if session.bridge.is_finished() {
            break;
        }
        let deadline = session.bridge.deadline().expect("what has not ended has a deadline");
        session.after_millis(deadline.as_millis().saturating_sub(session.now.as_millis()));
    }
    assert!(session.bridge.is_finished(), "the bridge does not end");
    assert!(session.bridge.outcome().is_some());
}

/// What the client makes of what it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The command has ended; with which code is not always known.
    Ended,
    Error,
}

fn verdict(pair: &Pair) -> Verdict {
    let status = String::from_utf8(pair.received(Channel::ERROR)).unwrap();
    let is_exit = status.contains("exit code: 5") || status.contains(r#""status":"Success""#);
    // Before there was JSON, silence was success.
    let is_silence = status.is_empty() && !pair.client.wire.is_json();
    if is_exit || is_silence {
        return Verdict::Ended;
    }
    // A text has no end of its own: a part of it is an error too.
    let is_part = EXIT_5_TEXT.starts_with(status.as_bytes());
    assert!(is_part || status.contains("Internal error occurred"), "{status:?}");
    Verdict::Error
}

fn every_cut(wires: (Wire, Wire), side: Side, how: Cut, check: impl Fn(&mut Pair, &Script, usize)) {
    let probe = Pair::new(wires, ALL, MEMORY);
    let script = Script::new(&probe);
    let bytes = if side == Side::Client { &script.client } else { &script.upstream };
    for count in (0..=bytes.len()).step_by(STEP) {
        let mut pair = Pair::new(wires, ALL, MEMORY);
        if side == Side::Upstream {
            pair.session.client_sends(&script.client);
        } else {
            pair.session.upstream_sends(&pair.upstream.open());
        }
        cut(&mut pair, side, &bytes[..count], how);
        finish(&mut pair);
        check(&mut pair, &script, count);
    }
}

/// Covers: KEP4006-10, SPDY-2.3.7-1
#[test]
fn upstream_cut_at_every_byte_gives_all_output_and_a_status_or_an_error() {
    for wires in Wire::pairs() {
        for how in [Cut::End, Cut::Loss] {
            every_cut(wires, Side::Upstream, how, |pair, script, count| {
                let verdict = verdict(pair);
                let got = (pair.received(Channel::STDOUT), pair.received(Channel::STDERR));
                let place = std::format!("{wires:?}, {how:?} behind {count} of {}", script.upstream.len());
                assert!(OUT.starts_with(&got.0) && ERR.starts_with(&got.1), "{place}: {got:?}");
                if verdict == Verdict::Ended {
                    assert_eq!(got, (OUT.to_vec(), ERR.to_vec()), "{place}");
                }
                if count == script.upstream.len() && how == Cut::End {
                    assert_eq!(verdict, Verdict::Ended, "{place}");
                }
            });
        }
    }
}

#[test]
fn a_client_cut_at_every_byte_leaves_nothing_behind() {
    for wires in Wire::pairs() {
        for how in [Cut::End, Cut::Loss] {
            every_cut(wires, Side::Client, how, |pair, script, count| {
                let delivered = pair.delivered(Channel::STDIN);
                let place = std::format!("{wires:?}, {how:?} behind {count} of {}", script.client.len());
                assert!(IN.starts_with(&delivered), "{place}: {delivered:?}");
                let outcome = pair.session.bridge.outcome();
                assert!(outcome != Some(Outcome::Completed), "{place}");
            });
        }
    }
}
