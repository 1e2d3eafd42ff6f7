use std::string::String;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::bridge::testbed::peers::{Pair, Wire};
use crate::bridge::testbed::*;
use crate::bridge::{HEADROOM, Side};
use crate::leg::{Framing as _, SpdyLeg, WebSocketLeg};
use crate::spdy::{ConnectionError, FrameError, GoawayStatus, RstStatus, SkipBlocks, frame};
use crate::ws::{MaskKeys, Opcode, ProtocolError};

mod client_input;
mod cuts;
mod heartbeats;
mod known_failures;
mod matrix;
mod pairs;
mod properties;
mod reverse;
mod time_and_loss;

const MEMORY: usize = 4096;
const CANCEL_STATUS: u32 = RstStatus::CANCEL.0;

/// What upstream gets at the end of a session, behind everything else.
fn closing(streams: &[u32]) -> Vec<ToUpstream> {
    let resets = streams.iter().map(|&stream| ToUpstream::Reset(stream, CANCEL_STATUS));
    resets.chain([ToUpstream::GoAway(0)]).collect()
}

fn assert_failed(session: &Session, outcome: Outcome, message: &str) {
    let status = session.status().expect("a status");
    assert!(status.contains(r#""status":"Failure""#) && status.contains("InternalError"), "{status}");
    assert!(status.contains(message), "{status}");
    assert_eq!(session.bridge.outcome(), Some(outcome));
}

#[test]
fn all_streams_are_opened_in_one_block() {
    let leg = SpdyLeg::client(ALL, Subprotocol::V4, &Limits::HOST);
    let opened = [ERROR, STDIN, STDOUT, STDERR].map(ToUpstream::Open);
    assert_eq!(read_as_upstream(leg.pending()), opened);
    assert!(!leg.is_ready());

    let mut session = Session::opening(ALL, MEMORY);
    session.run();
    assert_eq!(session.upstream_got(), opened);
}

#[test]
fn input_waits_until_all_streams_are_accepted_in_any_order() {
    let mut session = Session::opening(ALL, MEMORY);
    session.client_sends(&stdin(b"hello"));
    session.upstream.got.clear();
    let replies = replies(&[STDERR, STDIN, STDOUT, ERROR]);
    for end in [32, 58, 84, 109] {
        let start = session.upstream_has_sent();
        session.upstream_sends(&replies[start..end]);
        assert_eq!(session.upstream_got(), []);
    }
    session.upstream_sends(&replies[109..]);
    assert_eq!(session.upstream_got(), [ToUpstream::Data(STDIN, b"hello".to_vec())]);
    assert_eq!(session.bridge.deadline(), None);
}

#[test]
fn output_passes_while_other_streams_are_not_accepted_yet() {
    let mut session = Session::opening(ALL, MEMORY);
    let bytes =
        [replies(&[STDOUT]), data(STDOUT, b"early"), data(STDERR, b"lost, as upstream does")].concat();
    session.upstream_sends(&bytes);
    assert_eq!(session.client_got(), [ToClient::Message(Channel::STDOUT, b"early".to_vec())]);
}

/// Covers: K8S-CHANNELS-2
#[test]
fn a_greeting_is_the_first_message() {
    for (streams, channel) in [(ALL, Channel::STDOUT), (StreamSet { stdout: false, ..ALL }, Channel::STDERR)]
    {
        let mut session = Session::dialing(streams, 256);
        session.bridge.greet(&mut session.down);
        session.client.takes = 1;
        session.connect(streams);
        session.upstream_sends(&[replies(&[ERROR, STDIN, STDOUT, STDERR]), data(STDOUT, b"x")].concat());
        session.client.takes = usize::MAX;
        session.run();
        assert_eq!(session.client_got()[0], ToClient::Message(channel, std::vec![]));
    }
}

#[test]
fn input_and_its_end_arrive_in_order() {
    let mut session = Session::running(ALL, MEMORY);
    let big = vec![b'x'; 1000];
    session.client_sends(&[stdin(b"one "), stdin(b"two"), stdin(&big), end_of(Channel::STDIN)].concat());
    assert_eq!(session.delivered(STDIN), [b"one two", &big[..]].concat());
    assert_eq!(session.upstream_got().last(), Some(&ToUpstream::Fin(STDIN)));

    let before = session.upstream_got().len();
    session.client_sends(&[stdin(b"late"), end_of(Channel::STDIN)].concat());
    assert_eq!(session.upstream_got().len(), before, "nothing follows the end");
    session.upstream_sends(&data(STDOUT, b"still here"));
    assert_eq!(session.received(Channel::STDOUT), b"still here", "a half-close is no close");
}

#[test]
fn an_end_of_input_alone_is_an_empty_frame_with_fin() {
    let mut session = Session::running(ALL, MEMORY);
    session.client_sends(&end_of(Channel::STDIN));
    assert_eq!(session.upstream.got, [0, 0, 0, 3, 1, 0, 0, 0]);
}

#[test]
fn outputs_keep_apart() {
    let mut session = Session::running(ALL, MEMORY);
    let frames = [data(STDOUT, b"out"), data(STDERR, b"err"), data(STDERR, b"or"), data(STDOUT, b"put")];
    session.upstream_sends(&frames.concat());
    let expected = [(Channel::STDOUT, "out"), (Channel::STDERR, "error"), (Channel::STDOUT, "put")];
    let expected = expected.map(|(channel, text)| ToClient::Message(channel, text.into()));
    assert_eq!(session.client_got(), expected);
}

#[test]
fn payload_is_counted_by_its_channel_if_it_is_passed_on() {
    let mut session = Session::running(ALL, MEMORY);
    assert_eq!(session.bridge.carried(), Carried::default());
    session.client_sends(&[stdin(b"in"), stdin(b"put")].concat());
    let frames = [data(STDOUT, b"out"), data(STDERR, b"error"), data(STDOUT, b"put!"), data(ERROR, SUCCESS)];
    session.upstream_sends(&frames.concat());
    session.upstream_sends(&cancel(STDIN));
    session.client_sends(&stdin(b"for nobody"));
    let expected = Carried { stdin: 5, stdout: 7, stderr: 5, ..Carried::default() };
    assert_eq!(session.bridge.carried(), expected);
}

/// Covers: KEP4006-9
#[test]
fn the_status_waits_for_the_end_of_all_output() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream_sends(&[data(ERROR, &EXIT_5[..20]), data(ERROR, &EXIT_5[20..])].concat());
    session.upstream_sends(&[cancel(ERROR), data(STDOUT, b"tail"), fin(STDOUT), data(STDERR, b"!")].concat());
    assert_eq!(session.status(), None);
    assert_eq!(session.bridge.outcome(), None);
    session.upstream_sends(&fin(STDERR));
    assert_eq!(session.status().unwrap().as_bytes(), EXIT_5);
    assert_eq!(session.received(Channel::STDOUT), b"tail");
    assert_eq!(session.bridge.outcome(), Some(Outcome::Completed));
    assert_eq!(session.upstream_got(), closing(&[STDIN, STDOUT, STDERR]), "streams that are still open");
}

#[test]
fn a_session_ends_when_both_peers_have_ended() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream_sends(&[data(STDOUT, b"hi"), ending(SUCCESS)].concat());
    assert_eq!(session.status().unwrap().as_bytes(), SUCCESS);
    assert!(!session.bridge.is_finished() && !session.bridge.shutdown_due(Side::Client));
    assert!(session.bridge.shutdown_due(Side::Upstream));
    session.upstream_ends();
    assert!(!session.bridge.is_finished(), "the client has not answered the Close");
    session.client_sends(&client_frame(Opcode::Close, true, &1000_u16.to_be_bytes()));
    assert!(session.bridge.shutdown_due(Side::Client));
    assert!(session.bridge.is_finished());
    assert_eq!(session.bridge.outcome(), Some(Outcome::Completed));
}

/// Covers: SPDY-2.6.6-1
#[test]
fn goaway_ends_output_and_status_in_order() {
    let mut session = Session::running(ALL, MEMORY);
    session
        .upstream_sends(&[data(STDOUT, b"a"), data(ERROR, SUCCESS), goaway(), data(STDOUT, b"b")].concat());
    assert_eq!(session.received(Channel::STDOUT), b"a", "nothing behind GOAWAY counts");
    assert_eq!(session.status().unwrap().as_bytes(), SUCCESS);
    assert_eq!(session.bridge.outcome(), Some(Outcome::Completed));
}

/// Covers: KEP4006-10
#[test]
fn no_status_is_an_error() {
    for end in [goaway(), [fin(STDOUT), fin(STDERR), fin(ERROR)].concat(), cancel_all()] {
        let mut session = Session::running(ALL, MEMORY);
        session.upstream_sends(&end);
        assert_failed(&session, Outcome::UpstreamLost, "closed before the exit status was received");
    }
}

fn cancel_all() -> Vec<u8> {
    [STDOUT, ERROR, STDIN, STDERR].map(cancel).concat()
}

#[test]
fn an_end_of_the_connection_without_status_is_an_error() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream_sends(&[data(STDOUT, b"x"), fin(STDOUT), fin(STDERR)].concat());
    session.upstream_ends();
    assert_failed(&session, Outcome::UpstreamLost, "closed before the exit status was received");
    assert_eq!(session.received(Channel::STDOUT), b"x");
}

#[test]
fn an_end_of_the_connection_is_seen_although_the_client_takes_nothing_of_what_came_before() {
    let mut session = Session::running(ALL, MEMORY);
    session.client.takes = 0;
    let last = data(STDOUT, b"last");
    session.down.space()[..last.len()].copy_from_slice(&last);
    session.down.received(last.len());
    session.bridge.eof(Side::Upstream, session.now);
    session.run();
    assert_eq!(session.bridge.outcome(), Some(Outcome::UpstreamLost));
}

#[test]
fn an_end_of_the_connection_in_the_middle_of_output_is_an_error_even_with_a_status() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream_sends(&[data(ERROR, SUCCESS), fin(STDOUT), data(STDERR, b"x")].concat());
    session.upstream_ends();
    assert_failed(&session, Outcome::UpstreamLost, "closed before the end of the output");
}

#[test]
fn an_end_of_the_connection_behind_output_and_status_is_their_end() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream_sends(&[data(ERROR, EXIT_5), fin(STDOUT), fin(STDERR)].concat());
    assert_eq!(session.status(), None);
    session.upstream_ends();
    assert_eq!(session.status().unwrap().as_bytes(), EXIT_5);
    assert_eq!(session.bridge.outcome(), Some(Outcome::Completed));
}

#[test]
fn a_status_that_is_none_is_replaced() {
    for garbage in [&b"{}"[..], b"exit 1", b"\xff", &SUCCESS[1..], &EXIT_5[..50]] {
        let mut session = Session::running(ALL, MEMORY);
        session.upstream_sends(&ending(garbage));
        assert_failed(&session, Outcome::UpstreamLost, "not a Status");
    }
}

#[test]
fn a_status_that_is_too_long_is_replaced() {
    for (memory, most) in [(64 * 1024, 4096), (2048, 1992), (512, 456)] {
        for early in [false, true] {
            // In front of the output, or behind it.
            let sent = |status: &[u8]| {
                let output = data(STDOUT, &[b'x'; 3000]);
                let status = data(ERROR, status);
                let [first, last] = if early { [status, output] } else { [output, status] };
                [first, last, fin(STDOUT), fin(STDERR), fin(ERROR)].concat()
            };
            let fits = format(most);
            let mut session = Session::running(ALL, memory);
            session.upstream_sends(&sent(&fits));
            assert_eq!(session.status().unwrap().as_bytes(), fits);
            assert_eq!(session.received(Channel::STDOUT).len(), 3000);

            let mut session = Session::running(ALL, memory);
            session.upstream_sends(&sent(&format(most + 1)));
            assert_failed(&session, Outcome::UpstreamLost, "longer than the gateway can hold");
            assert_eq!(session.received(Channel::STDOUT).len(), 3000);
        }
    }
}

#[test]
fn a_status_in_the_way_of_a_whole_frame_is_given_up() {
    let wire = Wire::WebSocket(Subprotocol::V5);
    for (held, is_kept) in [(105, true), (106, false)] {
        let mut pair = Pair::running((wire, wire), ALL, 256);
        let status = format(140);
        let (first, last) = status.split_at(held);
        let upstream = pair.upstream;
        let first = upstream.message(Channel::ERROR, first);
        pair.session.upstream_sends(&upstream.frame(Opcode::Binary, false, &first));
        pair.session.upstream_sends(&upstream.frame(Opcode::Ping, true, &[b'p'; 125]));
        pair.session.upstream_sends(&upstream.frame(Opcode::Continuation, true, last));
        let got = String::from_utf8(pair.received(Channel::ERROR)).unwrap();
        assert_eq!(got.as_bytes() == status, is_kept, "{got}");
        assert_eq!(got.contains("longer than the gateway can hold"), !is_kept, "{got}");
    }
}

/// A status of a failure of so many bytes.
fn format(len: usize) -> Vec<u8> {
    let (head, tail) = (&br#"{"status":"Failure","message":""#[..], &br#""}"#[..]);
    [head, &vec![b'm'; len - head.len() - tail.len()], tail].concat()
}

#[test]
fn a_status_that_does_not_fit_the_lane_is_replaced() {
    let mut session = Session::running(ALL, 256);
    session.upstream_sends(&ending(&format(400)));
    assert_failed(&session, Outcome::UpstreamLost, "longer than the gateway can hold");
}

#[test]
fn a_reset_of_stdin_discards_later_input_and_wedges_nothing() {
    let mut session = Session::running(ALL, 256);
    session.upstream_sends(&cancel(STDIN));
    for _ in 0..50 {
        session.client_sends(&stdin(&[b'x'; 200]));
    }
    session.client_sends(&end_of(Channel::STDIN));
    assert_eq!(session.upstream_got(), []);
    session.client_sends(&client_frame(Opcode::Ping, true, b"?"));
    assert_eq!(session.client_got(), [ToClient::Pong(b"?".to_vec())]);
    session.upstream_sends(&[data(STDOUT, b"done"), ending(SUCCESS)].concat());
    assert_eq!(session.status().unwrap().as_bytes(), SUCCESS);
}

#[test]
fn a_half_close_of_stdin_by_upstream_changes_nothing() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream_sends(&fin(STDIN));
    session.client_sends(&stdin(b"x"));
    assert_eq!(session.delivered(STDIN), b"x");
}

#[test]
fn data_of_upstream_on_input_streams_does_not_reach_the_client() {
    let mut session = Session::running(TTY, MEMORY);
    session.upstream_sends(
        &[data(STDIN, b"?"), data(RESIZE, b"{\"Width\":1,\"Height\":1}"), data(99, b"?")].concat(),
    );
    assert_eq!(session.client_got(), []);
}

#[test]
fn a_client_that_closes_cancels_all_streams() {
    let mut session = Session::running(ALL, MEMORY);
    session
        .client_sends(&[stdin(b"last"), client_frame(Opcode::Close, true, &1001_u16.to_be_bytes())].concat());
    let mut expected = vec![ToUpstream::Data(STDIN, b"last".to_vec())];
    expected.extend(closing(&[ERROR, STDIN, STDOUT, STDERR]));
    assert_eq!(session.upstream_got(), expected);
    assert_eq!(session.client_got(), [ToClient::Close(Some(1001))]);
    assert_eq!(session.bridge.outcome(), Some(Outcome::ClientClosed));
    assert!(session.bridge.shutdown_due(Side::Client) && session.bridge.shutdown_due(Side::Upstream));
    assert!(!session.bridge.is_finished());
    session.upstream_ends();
    assert!(session.bridge.is_finished());
}

#[test]
fn a_client_that_is_lost_cancels_all_streams_in_bounded_time() {
    let mut session = Session::running(ALL, MEMORY);
    session.client_ends();
    assert_eq!(session.upstream_got(), closing(&[ERROR, STDIN, STDOUT, STDERR]));
    assert_eq!(session.bridge.outcome(), Some(Outcome::ClientLost));
    session.upstream_sends(&data(STDOUT, b"goes on"));
    session.after_millis(999);
    assert!(!session.bridge.is_finished());
    session.after_millis(1);
    assert!(session.bridge.is_finished(), "what upstream sends does not extend it");
    assert_eq!(session.bridge.deadline(), None);
}

#[test]
fn a_client_that_closes_while_streams_are_opened_is_seen() {
    for connected in [false, true] {
        let mut session = Session::dialing(ALL, MEMORY);
        if connected {
            session.connect(ALL);
        }
        session.client_sends(&client_frame(Opcode::Ping, true, b"1"));
        assert_eq!(session.client_got(), [ToClient::Pong(b"1".to_vec())]);
        session.client_sends(&client_frame(Opcode::Close, true, &[]));
        assert_eq!(session.client_got().last(), Some(&ToClient::Close(None)));
        assert_eq!(session.bridge.outcome(), Some(Outcome::ClientClosed));
        assert_eq!(session.bridge.is_finished(), !connected);
    }
}

#[test]
fn an_upstream_that_breaks_the_protocol_is_told_and_the_client_gets_what_came_before() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream_sends(&[data(STDOUT, b"good"), frame::ping(0).to_vec(), data(STDOUT, b"bad")].concat());
    assert_eq!(session.received(Channel::STDOUT), b"good");
    let frame = replies(&[1, 3, 5, 7]).len() as u64 + 12;
    let error = LegError::Spdy(ConnectionError { frame, error: FrameError::PingIdZero });
    assert_failed(&session, Outcome::UpstreamError(error), "upstream broke the SPDY/3.1 protocol");
    assert_eq!(session.upstream_got().last(), Some(&ToUpstream::GoAway(GoawayStatus::PROTOCOL_ERROR.0)));
}

/// Covers: SPDY-2.6.5-1, RFC6455-5.5.2-1
#[test]
fn pings_are_answered_while_neither_side_takes_output() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream.takes = 0;
    session.client_sends(&stdin(&[b'x'; 500]));
    session.client_sends(&client_frame(Opcode::Ping, true, b"still there?"));
    assert_eq!(session.client_got(), [ToClient::Pong(b"still there?".to_vec())]);

    let mut session = Session::running(ALL, MEMORY);
    session.client.takes = 0;
    session.upstream_sends(&data(STDOUT, &[b'x'; 500]));
    session.upstream_sends(&frame::ping(2));
    assert_eq!(session.upstream_got(), [ToUpstream::Ping(2)]);
}

#[test]
fn a_ping_flood_stops_itself_and_loses_nothing() {
    let mut session = Session::running(ALL, 512);
    session.client.takes = 0;
    session.upstream.takes = 0;
    let mut flood = Vec::new();
    let mut requests = Vec::new();
    for number in 0..200_u32 {
        flood.extend(client_frame(Opcode::Ping, true, &number.to_be_bytes()));
        requests.extend(frame::ping(2 * number + 2));
    }
    session.queue(&[flood, stdin(b"behind")].concat(), &[requests, data(STDOUT, b"behind")].concat());
    session.run();
    assert!(session.up.has_input() && session.down.has_input(), "not all is received");
    session.client.takes = usize::MAX;
    session.upstream.takes = usize::MAX;
    session.run();
    let pongs: Vec<_> = (0..200_u32).map(|number| ToClient::Pong(number.to_be_bytes().to_vec())).collect();
    let is_pong = |frame: &ToClient| matches!(frame, ToClient::Pong(_));
    assert_eq!(session.client_got().into_iter().filter(is_pong).collect::<Vec<_>>(), pongs);
    assert_eq!(session.received(Channel::STDOUT), b"behind");
    let answers: Vec<_> = (0..200_u32).map(|number| ToUpstream::Ping(2 * number + 2)).collect();
    let is_answer = |frame: &ToUpstream| matches!(frame, ToUpstream::Ping(_));
    assert_eq!(session.upstream_got().into_iter().filter(is_answer).collect::<Vec<_>>(), answers);
    assert_eq!(session.delivered(STDIN), b"behind");
}

#[test]
fn an_end_of_the_connection_behind_input_that_waits_is_not_seen_before_it() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream.takes = 0;
    let mut bytes: Vec<u8> = (1..=60).flat_map(|number| frame::ping(2 * number)).collect();
    bytes.extend([data(STDOUT, b"tail"), ending(EXIT_5)].concat());
    session.upstream_sends(&bytes);
    session.upstream_ends();
    session.upstream.takes = usize::MAX;
    session.run();
    assert_eq!(session.received(Channel::STDOUT), b"tail");
    assert_eq!(session.status().unwrap().as_bytes(), EXIT_5);

    let mut session = Session::running(ALL, MEMORY);
    session.client.takes = 0;
    let pings = client_frame(Opcode::Ping, true, &[b'p'; 100]).repeat(5);
    session.client_sends(&[pings, client_frame(Opcode::Close, true, &[])].concat());
    session.client_ends();
    session.client.takes = usize::MAX;
    session.run();
    assert_eq!(session.bridge.outcome(), Some(Outcome::ClientClosed));
}

#[test]
fn without_room_for_any_status_the_close_says_that_something_failed() {
    let mut session = Session::running(ALL, 100);
    session.upstream_sends(&ending(EXIT_5));
    assert_eq!(session.client_got(), [ToClient::Close(Some(1011))]);
}

#[test]
fn a_client_that_has_closed_is_not_waited_for() {
    let mut session = Session::running(ALL, MEMORY);
    session.client.takes = 0;
    session.upstream_sends(&ending(SUCCESS));
    session.client_sends(&client_frame(Opcode::Close, true, &[]));
    session.after_millis(10_000);
    assert!(session.bridge.is_finished() && !session.bridge.is_writable(Side::Client));
}

#[test]
fn a_close_follows_all_output_although_a_pong_was_begun() {
    let mut session = Session::running(ALL, MEMORY);
    session.client.takes = 3;
    session.client_sends(&client_frame(Opcode::Ping, true, b"long payload"));
    session.upstream_sends(&[data(STDOUT, b"tail"), ending(SUCCESS)].concat());
    session.client.takes = usize::MAX;
    session.run();
    let pong = ToClient::Pong(b"long payload".to_vec());
    assert_eq!(session.client_got()[..2], [pong, ToClient::Message(Channel::STDOUT, b"tail".to_vec())]);
    assert_eq!(session.status().unwrap().as_bytes(), SUCCESS);
}

#[test]
fn goaway_follows_all_input_although_a_ping_was_begun() {
    let mut session = Session::running(ALL, MEMORY);
    session.upstream.takes = 3;
    session.upstream_sends(&frame::ping(2));
    session.client_sends(&[stdin(b"last"), client_frame(Opcode::Close, true, &[])].concat());
    session.upstream.takes = usize::MAX;
    session.run();
    let mut expected = vec![ToUpstream::Ping(2), ToUpstream::Data(STDIN, b"last".to_vec())];
    expected.extend(closing(&[ERROR, STDIN, STDOUT, STDERR]));
    assert_eq!(session.upstream_got(), expected);
}

#[test]
fn a_frame_larger_than_the_lane_passes_piece_by_piece() {
    let big: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
    let mut session = Session::running(ALL, 512);
    session.queue(&stdin(&big), &data(STDOUT, &big));
    session.run();
    session.upstream_sends(&ending(SUCCESS));
    assert!(session.delivered(STDIN) == big);
    assert!(session.received(Channel::STDOUT) == big);
    assert_eq!(session.status().unwrap().as_bytes(), SUCCESS);
}

#[test]
fn a_session_is_small() {
    type Small = ExecBridge<WebSocketLeg, SpdyLeg<SkipBlocks>>;
    type Reverse = ExecBridge<SpdyLeg<SkipBlocks>, WebSocketLeg<MaskKeys>>;
    let (forward, reverse) = (size_of::<Small>(), size_of::<Reverse>());
    std::println!("ExecBridge: {forward} bytes, the other way round {reverse}");
    assert!(forward <= 1088, "{forward}");
    assert!(reverse <= 1120, "{reverse}");
}
