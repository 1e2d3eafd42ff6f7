//! Every client with every upstream through every way that a session can go, against rules.
//!
//! The rules are what the protocols can express (`websocket-channels.md` section 1, `remotecommand.md` sections 1
//! and 5, `translator.md` section 3):
//!
//! * A status is JSON and always sent, or text that is sent on failure only, where silence is success. Like goes to
//!   like unchanged.
//! * SPDY ends each stream, a WebSocket server none: its status is its last message, and before v4 its Close
//!   with code 1000 ends the session. SPDY v1 servers reset the error stream before they could use it.
//! * The end of stdin is a FIN or, in v5 only, a CLOSE; other clients cannot tell it, and other upstreams are
//!   not told.
//! * Sizes come and go on every WebSocket and, from v3 on, on SPDY.

use std::format;
use std::string::String;

use super::*;
use crate::bridge::testbed::peers::{Got, Pair, Peer, Wire};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Output,
    InputAndItsEnd,
    Sizes,
    Exit(u32),
    RuntimeError,
    StatusBeforeOutput,
    NoStatus,
    UpstreamFails,
    UpstreamLost,
    ClientLost,
}

const CASES: [Case; 13] = [
    Case::Output,
    Case::InputAndItsEnd,
    Case::Sizes,
    Case::Exit(0),
    Case::Exit(7),
    Case::Exit(255),
    Case::Exit(u32::MAX),
    Case::RuntimeError,
    Case::StatusBeforeOutput,
    Case::NoStatus,
    Case::UpstreamFails,
    Case::UpstreamLost,
    Case::ClientLost,
];

const SIZE: &[u8] = b"{\"Width\":80,\"Height\":24}\n";
const NO_STATUS: &str = "connection to upstream closed before the exit status was received";
const NO_END: &str = "connection to upstream closed before the end of the output was received";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Exit(u32),
    NotFound,
    /// The connection ended first: the gateway says so.
    Cut(&'static str),
}

impl End {
    fn text(self) -> String {
        match self {
            Self::Exit(0) => String::new(),
            Self::Exit(code) => format!("command terminated with non-zero exit code: {code}"),
            Self::NotFound => "container \"x\" not found".into(),
            Self::Cut(why) => format!("Internal error occurred: {why}"),
        }
    }

    fn json(self) -> String {
        match self {
            Self::Exit(0) => r#"{"metadata":{},"status":"Success"}"#.into(),
            Self::Exit(code) => format!(
                r#"{{"metadata":{{}},"status":"Failure","message":"{}","reason":"NonZeroExitCode","details":{{"causes":[{{"reason":"ExitCode","message":"{code}"}}]}}}}"#,
                self.text()
            ),
            Self::NotFound => {
                r#"{"status":"Failure","message":"container \"x\" not found","reason":"NotFound","code":404}"#
                    .into()
            }
            Self::Cut(_) => internal_error(&self.text()),
        }
    }

    /// What `peer` sends, or gets from an upstream that speaks as it does.
    fn as_in(self, wire: Wire) -> Vec<u8> {
        if wire.is_json() { self.json().into_bytes() } else { self.text().into_bytes() }
    }

    /// What the client gets of it.
    fn translated(self, (client, upstream): (Wire, Wire)) -> Vec<u8> {
        let knows_json = upstream.is_json() || matches!(self, Self::Cut(_) | Self::Exit(0));
        if client.is_json() && !knows_json {
            // A message is all that is known of it.
            let message = format!("Internal error occurred: error executing remote command: {}", self.text());
            return internal_error(&message).into_bytes();
        }
        self.as_in(client)
    }
}

fn internal_error(message: &str) -> String {
    let message = message.replace('"', "\\\"");
    format!(
        r#"{{"metadata":{{}},"status":"Failure","message":"{message}","reason":"InternalError","code":500}}"#
    )
}

fn resets_error_stream(upstream: Wire) -> bool {
    upstream == Wire::Spdy(Subprotocol::V1)
}

/// The status that an upstream gets through.
fn told(end: End, upstream: Wire) -> End {
    if resets_error_stream(upstream) && !matches!(end, End::Cut(_)) { End::Exit(0) } else { end }
}

/// What must come of a case.
struct Expected {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    stdin: Vec<u8>,
    stdin_ends: bool,
    sizes: Vec<u8>,
    /// `None` if the client is not there to get it.
    end: Option<End>,
    outcome: Outcome,
}

fn streams_of(case: Case) -> StreamSet {
    if case == Case::Sizes { TTY } else { ALL }
}

/// Plays the case and says what must have come of it.
fn play(case: Case, pair: &mut Pair) -> Expected {
    let (client, upstream) = (pair.client, pair.upstream);
    let ending = |end: End| upstream.ending(&told_bytes(end, upstream));
    let mut expected = Expected {
        stdout: b"some output".to_vec(),
        stderr: Vec::new(),
        stdin: Vec::new(),
        stdin_ends: false,
        sizes: Vec::new(),
        end: Some(told(End::Exit(0), upstream.wire)),
        outcome: Outcome::Completed,
    };
    let session = &mut pair.session;
    session.upstream_sends(&upstream.data(Channel::STDOUT, b"some output"));
    match case {
        Case::Output => {
            expected.stderr = vec![b'e'; 300];
            expected.stdout.extend([b'o'; 700]);
            let frames = [
                upstream.data(Channel::STDERR, &[b'e'; 300]),
                upstream.data(Channel::STDOUT, &[b'o'; 700]),
                ending(End::Exit(0)),
            ];
            session.upstream_sends(&frames.concat());
        }
        Case::InputAndItsEnd => {
            expected.stdin = [&[b'i'; 300][..], b"put"].concat();
            expected.stdin_ends = client.can_end(Channel::STDIN) && upstream.can_end(Channel::STDIN);
            expected.stdout.extend(b", and more");
            let input = [
                client.data(Channel::STDIN, &[b'i'; 300]),
                client.data(Channel::STDIN, b"put"),
                client.end(Channel::STDIN),
            ];
            session.client_sends(&input.concat());
            session.upstream_sends(&upstream.data(Channel::STDOUT, b", and more"));
            session.upstream_sends(&ending(End::Exit(0)));
        }
        Case::Sizes => {
            let has_sizes = |peer: Peer| !peer.wire.is_spdy() || peer.channels().contains(&Channel::RESIZE);
            if has_sizes(client) && has_sizes(upstream) {
                expected.sizes = SIZE.to_vec();
            }
            session.client_sends(&client.data(Channel::RESIZE, b"{\"height\":24,"));
            session.client_sends(&client.data(Channel::RESIZE, b"\"width\":80}"));
            session.upstream_sends(&ending(End::Exit(0)));
        }
        Case::Exit(code) => {
            expected.end = Some(told(End::Exit(code), upstream.wire));
            session.upstream_sends(&ending(End::Exit(code)));
        }
        Case::RuntimeError => {
            expected.end = Some(told(End::NotFound, upstream.wire));
            session.upstream_sends(&ending(End::NotFound));
        }
        Case::StatusBeforeOutput => {
            let status = told_bytes(End::Exit(7), upstream);
            expected.end = Some(told(End::Exit(7), upstream.wire));
            // A JSON status on a WebSocket is the last message.
            if upstream.wire.is_spdy() || !upstream.wire.is_json() {
                expected.stdout.extend(b" late");
            }
            if !status.is_empty() {
                session.upstream_sends(&upstream.data(Channel::ERROR, &status));
            }
            session.upstream_sends(&upstream.data(Channel::STDOUT, b" late"));
            session.upstream_sends(&upstream.ending(b""));
        }
        Case::NoStatus => {
            if upstream.wire.is_json() {
                expected.end = Some(End::Cut(NO_STATUS));
                expected.outcome = Outcome::UpstreamLost;
            }
            session.upstream_sends(&upstream.ending(b""));
        }
        Case::UpstreamFails => {
            expected.end = Some(End::Cut(NO_END));
            expected.outcome = Outcome::UpstreamLost;
            session.upstream_sends(&upstream.close(false));
        }
        Case::UpstreamLost => {
            expected.end = Some(End::Cut(NO_END));
            expected.outcome = Outcome::UpstreamLost;
            session.upstream_ends();
        }
        Case::ClientLost => {
            expected.end = None;
            expected.outcome = Outcome::ClientLost;
            session.client_ends();
        }
    }
    expected
}

/// The bytes of the status that an upstream sends.
fn told_bytes(end: End, upstream: Peer) -> Vec<u8> {
    told(end, upstream.wire).as_in(upstream.wire)
}

/// How the client's session ends: ends of streams, and the status; over WebSocket with a Close. A SPDY client closes
/// the connection itself.
fn last_for_client(client: Peer, status: &[u8]) -> Vec<Got> {
    let status = (!status.is_empty()).then(|| Got::Data(Channel::ERROR, status.to_vec()));
    if !client.wire.is_spdy() {
        return status.into_iter().chain([Got::Close(Some(1000))]).collect();
    }
    let open = client.channels();
    let is_open = |channel: &Channel| open.contains(channel);
    let outputs = [Channel::STDOUT, Channel::STDERR].into_iter().filter(is_open).map(Got::End);
    outputs.chain(status).chain([Got::End(Channel::ERROR)]).collect()
}

/// How upstream's connection ends: streams whose own half is open are reset.
fn last_for_upstream(case: Case, upstream: Peer, expected: &Expected) -> Vec<Got> {
    if !upstream.wire.is_spdy() {
        let code = if case == Case::UpstreamFails { 1011 } else { 1000 };
        return vec![Got::Close(Some(code))];
    }
    // The session is over as soon as the reset of the error stream is there, or in v1 at GOAWAY.
    let ended_in_order = !matches!(case, Case::UpstreamFails | Case::UpstreamLost | Case::ClientLost);
    let was_reset = |channel: Channel| match channel {
        Channel::ERROR => ended_in_order || resets_error_stream(upstream.wire),
        Channel::STDIN => expected.stdin_ends || ended_in_order && resets_error_stream(upstream.wire),
        _ => false,
    };
    let open = upstream.channels().into_iter().filter(|&channel| !was_reset(channel));
    open.map(|channel| Got::Reset(channel, CANCEL_STATUS)).chain([Got::GoAway(0)]).collect()
}

fn is_payload(frame: &Got) -> bool {
    matches!(frame, Got::Data(channel, _) if *channel != Channel::ERROR)
}

/// All that is neither payload nor the opening of streams.
fn without_payload(frames: Vec<Got>) -> Vec<Got> {
    let opening = |frame: &Got| matches!(frame, Got::Opened(_) | Got::Accepted(_));
    frames.into_iter().filter(|frame| !is_payload(frame) && !opening(frame)).collect()
}

fn assert_cell(wires: (Wire, Wire), case: Case, memory: usize, pace: Option<(Dice, usize)>) {
    let name = format!("{wires:?} {case:?} {memory}");
    let mut pair = Pair::new(wires, streams_of(case), memory);
    pair.session.pace = pace;
    pair.open();
    let expected = play(case, &mut pair);

    let got = pair.client_got();
    assert_eq!(pair.session.bridge.outcome(), Some(expected.outcome), "{name}: {got:?}");
    assert_eq!(pair.received(Channel::STDOUT), expected.stdout, "{name}");
    assert_eq!(pair.received(Channel::STDERR), expected.stderr, "{name}");
    if let Some(end) = expected.end {
        let last = last_for_client(pair.client, &end.translated(wires));
        assert_eq!(without_payload(got), last, "{name}");
        assert!(!is_payload(pair.client_got().last().unwrap()), "{name}");
    } else {
        assert_eq!(without_payload(got), [], "{name}");
    }

    assert_eq!(pair.delivered(Channel::STDIN), expected.stdin, "{name}");
    assert_eq!(pair.delivered(Channel::RESIZE), expected.sizes, "{name}");
    let ends = expected.stdin_ends.then_some(Got::End(Channel::STDIN));
    let last: Vec<_> = ends.into_iter().chain(last_for_upstream(case, pair.upstream, &expected)).collect();
    assert_eq!(without_payload(pair.upstream_got()), last, "{name}");
    let before = (pair.client_got(), pair.upstream_got());
    if case != Case::ClientLost {
        pair.session.client_sends(&pair.client.close(true));
    }
    pair.session.client_ends();
    pair.session.upstream_ends();
    assert!(pair.session.bridge.is_finished(), "{name}");
    let (client, upstream) = before;
    let after = pair.client_got().split_off(client.len());
    let is_answer =
        |frame: &Got| matches!(frame, Got::Reset(Channel::STDIN | Channel::RESIZE, _) | Got::GoAway(0));
    // A SPDY client that closes is answered in kind.
    assert!(after.iter().all(|frame| pair.client.wire.is_spdy() && is_answer(frame)), "{name}: {after:?}");
    assert!(pair.upstream_got() == upstream, "{name}: nothing follows the end");
}

/// Covers: KEP4006-3, KEP4006-4
#[test]
fn every_client_with_every_upstream() {
    for wires in Wire::pairs() {
        for case in CASES {
            for memory in [512, 4096] {
                assert_cell(wires, case, memory, None);
            }
        }
    }
}

#[test]
fn every_client_with_every_upstream_in_small_pieces() {
    for (seed, wires) in (1..).zip(Wire::pairs()) {
        for case in CASES {
            for most in [1, 40] {
                assert_cell(wires, case, 512, Some((Dice::new(seed), most)));
            }
        }
    }
}
