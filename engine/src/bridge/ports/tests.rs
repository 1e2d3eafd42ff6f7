use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::bridge::testbed::peers::{base64, unbase64, websocket_frames};
use crate::bridge::testbed::{Dice, LIMITS, Session, client_frame, data, fin, id};
use crate::k8s::{Channel, Subprotocol, Target};
use crate::leg::{LegError, SpdyPorts, Tunnelled};
use crate::spdy::{GoawayStatus, HeaderWriter, Inflate, RstStatus, frame};
use crate::ws::{MaskKeys, Opcode};
use crate::{Role, spdy};

mod matrix;
mod properties;

type AnyPorts = Box<dyn PortsLeg>;

impl PortsLeg for AnyPorts {
    fn is_ready(&self) -> bool {
        (**self).is_ready()
    }

    fn half_close(&mut self, channel: Channel) {
        (**self).half_close(channel);
    }

    fn reset(&mut self, channel: Channel) {
        (**self).reset(channel);
    }
}

/// The streams of a port, by its index.
const fn error(index: u32) -> u32 {
    4 * index + 1
}

const fn data_of(index: u32) -> u32 {
    4 * index + 3
}

fn ports(count: u16) -> Ports {
    let list: Vec<_> = (0..count).map(|index| format!("{}", 8000 + index)).collect();
    let target = format!("/portForward/n/p?port={}", list.join(","));
    Ports::of(&Target::parse(&target).unwrap(), Subprotocol::V4).unwrap()
}

/// A session with both of its peers.
struct Pair {
    protocol: Subprotocol,
    is_tunnel: bool,
    session: Session<PortsBridge<AnyPorts>>,
    /// Of the peer at upstream's end.
    writer: HeaderWriter,
}

/// What the client got: what came on each channel, message by message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ToClient {
    Message(u8, Vec<u8>),
    Heartbeat,
    Close(u16),
}

/// What upstream got, frame by frame.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ToUpstream {
    Open { id: u32, headers: String },
    Data(u32, Vec<u8>),
    Fin(u32),
    Reset(u32, u32),
    Ping,
    GoAway(u32),
}

impl Pair {
    /// Upstream has accepted nothing yet.
    fn opening((protocol, is_tunnel): (Subprotocol, bool), count: u16, memory: usize) -> Self {
        Self::limited((protocol, is_tunnel), count, memory, &LIMITS)
    }

    fn limited(
        (protocol, is_tunnel): (Subprotocol, bool),
        count: u16,
        memory: usize,
        limits: &Limits,
    ) -> Self {
        let client = WebSocketPorts::server(protocol, &LIMITS);
        let spdy = SpdyPorts::client(ports(count), &LIMITS);
        let upstream: AnyPorts = if is_tunnel {
            Box::new(Tunnelled::client(spdy, &LIMITS, MaskKeys::new([3; 16])))
        } else {
            Box::new(spdy)
        };
        let mut session = Session::joining(PortsBridge::new(client, ports(count), limits), memory);
        session.bridge.greet(&mut session.down);
        session.bridge.connected(upstream, session.now);
        session.run();
        Self { protocol, is_tunnel, session, writer: HeaderWriter::new() }
    }

    /// All streams are accepted; what the client got until then is forgotten.
    fn running(shape: (Subprotocol, bool), count: u16, memory: usize) -> Self {
        let mut pair = Self::opening(shape, count, memory);
        for index in 0..count {
            pair.accepts(index.into());
        }
        pair.session.client.got.clear();
        pair
    }

    fn accepts(&mut self, index: u32) {
        let replies = [error(index), data_of(index)].map(|stream| {
            let mut reply = [0; 64];
            let len = self.writer.syn_reply(id(stream), &mut reply).unwrap();
            reply[..len].to_vec()
        });
        self.upstream_sends(&replies.concat());
    }

    /// The bytes of a message of the client.
    fn message(&self, channel: u8, payload: &[u8]) -> Vec<u8> {
        if self.protocol.is_base64() {
            let text = [&[b'0' + channel], &base64(payload)[..]].concat();
            return client_frame(Opcode::Text, true, &text);
        }
        client_frame(Opcode::Binary, true, &[&[channel], payload].concat())
    }

    fn client_sends(&mut self, channel: u8, payload: &[u8]) {
        self.session.client_sends(&self.message(channel, payload));
    }

    fn client_closes(&mut self, code: u16) {
        self.session.client_sends(&client_frame(Opcode::Close, true, &code.to_be_bytes()));
    }

    /// What upstream sends, in messages that end wherever it pleases them.
    fn wire(&self, bytes: &[u8]) -> Vec<u8> {
        if !self.is_tunnel {
            return bytes.to_vec();
        }
        let mut dice = Dice::new(bytes.len() as u64 + 1);
        let (mut wire, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let longest = [2, 5, 100, 5000][dice.roll(4)];
            let (piece, behind) = rest.split_at((1 + dice.roll(longest)).min(rest.len()));
            wire.extend(server_frame(0x82, piece));
            rest = behind;
        }
        wire.extend(server_frame(0x82, b""));
        wire
    }

    fn upstream_sends(&mut self, bytes: &[u8]) {
        self.session.upstream_sends(&self.wire(bytes));
    }

    fn client_got(&self) -> Vec<ToClient> {
        let frames = websocket_frames(&self.session.client.got, false).into_iter();
        frames
            .map(|(first, payload)| match first {
                0x81 if self.protocol.is_base64() => {
                    ToClient::Message(payload[0] - b'0', unbase64(&payload[1..]))
                }
                0x82 if !self.protocol.is_base64() => ToClient::Message(payload[0], payload[1..].to_vec()),
                0x88 => ToClient::Close(u16::from_be_bytes([payload[0], payload[1]])),
                0x89 | 0x8a => ToClient::Heartbeat,
                first => panic!("frame with first byte {first:#x}"),
            })
            .collect()
    }

    fn messages(&self, wanted: u8) -> Vec<Vec<u8>> {
        let of_channel = |got| match got {
            ToClient::Message(channel, payload) if channel == wanted => Some(payload),
            _ => None,
        };
        self.client_got().into_iter().filter_map(of_channel).collect()
    }

    fn texts(&self, index: u8) -> Vec<String> {
        let texts = self.messages(2 * index + 1).into_iter();
        texts.map(|text| String::from_utf8(text).unwrap()).collect()
    }

    /// The last frame that the client got, if it is a Close, and that there is no other one.
    fn close(&self) -> Option<u16> {
        let got = self.client_got();
        assert!(got.iter().rev().skip(1).all(|frame| !matches!(frame, ToClient::Close(_))));
        match got.last() {
            Some(ToClient::Close(code)) => Some(*code),
            _ => None,
        }
    }

    fn upstream_got(&self) -> Vec<ToUpstream> {
        let mut bytes = Vec::new();
        if self.is_tunnel {
            for (first, payload) in websocket_frames(&self.session.upstream.got, true) {
                match first {
                    0x82 => bytes.extend(payload),
                    0x88..=0x8a => {}
                    first => panic!("frame with first byte {first:#x}"),
                }
            }
        } else {
            bytes.clone_from(&self.session.upstream.got);
        }
        read_spdy(&bytes)
    }

    fn delivered(&self, stream: u32) -> Vec<u8> {
        let of_stream = |got| match got {
            ToUpstream::Data(id, payload) if id == stream => Some(payload),
            _ => None,
        };
        self.upstream_got().into_iter().filter_map(of_stream).flatten().collect()
    }

    fn outcome(&self) -> Option<Outcome> {
        self.session.bridge.outcome()
    }
}

fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    match u8::try_from(payload.len()) {
        Ok(len) if len < 126 => [&[first, len], payload].concat(),
        _ => [&[first, 126], &(payload.len() as u16).to_be_bytes()[..], payload].concat(),
    }
}

fn read_spdy(bytes: &[u8]) -> Vec<ToUpstream> {
    let inflate: Inflate = Inflate::new();
    let mut receiver = spdy::Receiver::new(Role::Server, &LIMITS, inflate);
    let (mut at, mut got) = (0, Vec::new());
    while at < bytes.len() {
        let step = receiver.receive(&bytes[at..]).unwrap();
        assert!(step.consumed > 0, "whole frames");
        match step.event {
            Some(spdy::Event::SynStream { stream, fin, .. }) => {
                assert!(!fin);
                let text =
                    |(name, value): (&str, &[u8])| format!("{name}={}", String::from_utf8_lossy(value));
                let headers: Vec<_> = receiver.headers().iter().map(text).collect();
                got.push(ToUpstream::Open { id: stream.get(), headers: headers.join(" ") });
            }
            Some(spdy::Event::Data { stream, range, fin, .. }) => {
                if !range.is_empty() {
                    got.push(ToUpstream::Data(stream.get(), bytes[at..][range].to_vec()));
                }
                if fin {
                    got.push(ToUpstream::Fin(stream.get()));
                }
            }
            Some(spdy::Event::RstStream { stream, status }) => {
                got.push(ToUpstream::Reset(stream.get(), status.0));
            }
            Some(spdy::Event::Ping { .. } | spdy::Event::PingReply { .. }) => got.push(ToUpstream::Ping),
            Some(spdy::Event::GoAway { status, .. }) => got.push(ToUpstream::GoAway(status.0)),
            other => panic!("{other:?}"),
        }
        at += step.consumed;
    }
    got
}

fn cancel(stream: u32) -> Vec<u8> {
    frame::rst_stream(id(stream), RstStatus::CANCEL).to_vec()
}

/// How upstream tells that it could not forward.
fn failure(index: u32, text: &[u8]) -> Vec<u8> {
    [data(error(index), text), cancel(data_of(index)), cancel(error(index))].concat()
}

const SPDY: (Subprotocol, bool) = (Subprotocol::V4, false);

#[test]
fn each_channel_begins_with_its_port_before_upstream_is_there() {
    for protocol in [Subprotocol::V4, Subprotocol::V4Base64, Subprotocol::None] {
        let client = WebSocketPorts::server(protocol, &LIMITS);
        let mut session = Session::joining(PortsBridge::<AnyPorts>::new(client, ports(2), &LIMITS), 512);
        session.bridge.greet(&mut session.down);
        session.run();
        let pair = Pair { protocol, is_tunnel: false, session, writer: HeaderWriter::new() };
        let port = |channel, port: u16| ToClient::Message(channel, port.to_le_bytes().to_vec());
        assert_eq!(pair.client_got(), [port(0, 8000), port(1, 8000), port(2, 8001), port(3, 8001)]);
    }
    let raw = Pair::opening(SPDY, 1, 512).session.client.got;
    assert_eq!(raw, b"\x82\x03\x00\x40\x1f\x82\x03\x01\x40\x1f");
}

#[test]
fn a_pair_for_each_port_is_opened_at_once_error_stream_first() {
    for is_tunnel in [false, true] {
        let pair = Pair::opening((Subprotocol::V4, is_tunnel), 2, 512);
        let open = |id, kind, port, request| ToUpstream::Open {
            id,
            headers: format!("streamtype={kind} port={port} requestid={request}"),
        };
        let expected = [
            open(1, "error", 8000, 0),
            ToUpstream::Fin(1),
            open(3, "data", 8000, 0),
            open(5, "error", 8001, 1),
            ToUpstream::Fin(5),
            open(7, "data", 8001, 1),
        ];
        assert_eq!(pair.upstream_got(), expected);
    }
}

#[test]
fn data_goes_ahead_of_its_acceptance_and_never_of_its_stream() {
    for is_tunnel in [false, true] {
        let client = WebSocketPorts::server(Subprotocol::V4, &LIMITS);
        let spdy = SpdyPorts::client(ports(100), &LIMITS);
        let leg: AnyPorts = if is_tunnel {
            Box::new(Tunnelled::client(spdy, &LIMITS, MaskKeys::new([3; 16])))
        } else {
            Box::new(spdy)
        };
        let mut session = Session::joining(PortsBridge::new(client, ports(100), &LIMITS), 4096);
        session.bridge.greet(&mut session.down);
        session.client_sends(&client_frame(Opcode::Binary, true, b"\xc6early"));
        session.bridge.connected(leg, session.now);
        session.run();
        let pair = Pair { protocol: Subprotocol::V4, is_tunnel, session, writer: HeaderWriter::new() };
        let got = pair.upstream_got();
        assert_eq!(got.len(), 301);
        assert_eq!(got.last(), Some(&ToUpstream::Data(data_of(99), b"early".to_vec())));
    }
}

#[test]
fn an_error_is_one_message_and_concerns_its_port_alone() {
    let mut pair = Pair::running(SPDY, 2, 4096);
    let text = b"error forwarding port 8000 to pod p, uid u: connection refused";
    // In two frames, and cut within them.
    let frames = [data(error(0), &text[..30]), data(error(0), &text[30..])].concat();
    pair.upstream_sends(&frames[..20]);
    pair.upstream_sends(&frames[20..]);
    assert_eq!(pair.texts(0), [""; 0]);
    pair.upstream_sends(&[cancel(data_of(0)), cancel(error(0))].concat());
    assert_eq!(pair.texts(0), [String::from_utf8_lossy(text)]);
    assert_eq!(pair.outcome(), None);

    pair.client_sends(0, b"nobody takes it");
    pair.client_sends(2, b"goes on");
    pair.upstream_sends(&data(data_of(1), b"answer"));
    assert_eq!((pair.delivered(data_of(0)), pair.delivered(data_of(1))), (vec![], b"goes on".to_vec()));
    assert_eq!(pair.messages(2), [b"answer"]);
}

#[test]
fn texts_of_two_ports_do_not_mix_and_one_that_does_not_end_is_told_all_the_same() {
    let mut pair = Pair::running(SPDY, 2, 4096);
    pair.upstream_sends(&[data(error(0), b"one"), data(error(1), b"other")].concat());
    assert_eq!((pair.texts(0), pair.texts(1)), (vec![String::from("one")], vec![]));
    assert_eq!(pair.session.bridge.deadline(), Some(Instant::from_millis(1000)));
    pair.session.after_millis(1000);
    assert_eq!(pair.texts(1), ["other"]);
    assert_eq!(pair.outcome(), None);
}

#[test]
fn a_text_that_is_too_long_is_cut() {
    let mut pair = Pair::running((Subprotocol::V4Base64, true), 1, 4096);
    pair.upstream_sends(&failure(0, &[b'x'; 3000]));
    assert_eq!(pair.texts(0), ["x".repeat(crate::leg::MAX_TEXT)]);
    assert_eq!((pair.close(), pair.outcome()), (Some(1000), Some(Outcome::Completed)));
}

#[test]
fn a_reset_without_a_word_is_told() {
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.upstream_sends(&[data(data_of(0), b"last"), cancel(data_of(0)), fin(error(0))].concat());
    assert_eq!(pair.messages(0), [b"last"]);
    assert_eq!(pair.texts(0), ["error forwarding port 8000: upstream has reset the connection"]);
    assert_eq!(pair.close(), Some(1000));
}

#[test]
fn the_clients_half_is_ended_when_it_is_quiet_behind_upstreams_end() {
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.upstream_sends(&fin(data_of(0)));
    for _ in 0..5 {
        pair.session.after_millis(900);
        pair.client_sends(0, b"more ");
    }
    assert_eq!(pair.delivered(data_of(0)), b"more more more more more ");
    pair.session.after_millis(999);
    assert!(!pair.upstream_got().contains(&ToUpstream::Fin(data_of(0))));
    pair.session.after_millis(1);
    assert_eq!(pair.upstream_got().last(), Some(&ToUpstream::Fin(data_of(0))));
    assert_eq!(pair.outcome(), None, "upstream has to end the error stream");
    pair.upstream_sends(&fin(error(0)));
    assert_eq!((pair.close(), pair.outcome()), (Some(1000), Some(Outcome::Completed)));
    assert_eq!(pair.texts(0), [""; 0]);
}

#[test]
fn an_error_stream_that_does_not_end_is_reset() {
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.upstream_sends(&fin(data_of(0)));
    pair.session.after_millis(1000);
    pair.session.after_millis(10_000);
    assert!(pair.upstream_got().contains(&ToUpstream::Reset(error(0), 5)));
    assert_eq!(pair.close(), Some(1000));
}

#[test]
fn streams_that_are_not_accepted_in_time_fail_and_the_others_go_on() {
    let mut pair = Pair::opening((Subprotocol::V4, true), 3, 4096);
    pair.accepts(1);
    assert_eq!(pair.session.bridge.deadline(), Some(Instant::from_millis(30_000)));
    pair.session.client.got.clear();
    pair.session.after_millis(30_000);
    for index in [0, 2] {
        let port = 8000 + u16::from(index);
        let text =
            format!("error forwarding port {port}: timed out waiting for upstream to accept the streams");
        assert_eq!(pair.texts(index), [text]);
    }
    let resets: Vec<_> =
        pair.upstream_got().into_iter().filter(|got| matches!(got, ToUpstream::Reset(..))).collect();
    assert_eq!(resets, [3, 1, 11, 9].map(|stream| ToUpstream::Reset(stream, 5)));
    pair.client_sends(2, b"goes on");
    assert_eq!(pair.delivered(data_of(1)), b"goes on");
    assert_eq!((pair.texts(1), pair.outcome()), (vec![], None));
    assert_eq!(pair.session.bridge.deadline(), None);
}

#[test]
fn a_client_that_leaves_resets_all_streams() {
    for (code, outcome) in
        [(Some(1000), Outcome::Completed), (Some(1001), Outcome::ClientClosed), (None, Outcome::ClientLost)]
    {
        for is_tunnel in [false, true] {
            let mut pair = Pair::running((Subprotocol::V4, is_tunnel), 100, 4096);
            pair.client_sends(0, b"last");
            match code {
                Some(code) => pair.client_closes(code),
                None => pair.session.client_ends(),
            }
            assert_eq!(pair.outcome(), Some(outcome));
            assert_eq!(pair.delivered(data_of(0)), b"last");
            let got = pair.upstream_got();
            let resets = got.iter().filter(|got| matches!(got, ToUpstream::Reset(_, 5))).count();
            assert_eq!((resets, got.last()), (200, Some(&ToUpstream::GoAway(0))));
            assert!(pair.session.bridge.shutdown_due(Side::Upstream));
            assert!(!pair.session.bridge.is_finished());
            pair.session.upstream_ends();
            assert!(pair.session.bridge.is_finished());
        }
    }
}

#[test]
fn a_lost_upstream_is_an_error_of_every_port_that_has_not_ended() {
    for is_tunnel in [false, true] {
        let mut pair = Pair::running((Subprotocol::V4, is_tunnel), 2, 4096);
        pair.upstream_sends(&failure(0, b"refused"));
        pair.upstream_sends(&data(data_of(1), b"last"));
        pair.session.upstream_ends();
        assert_eq!(pair.messages(2), [b"last"]);
        assert_eq!(pair.texts(0), ["refused"]);
        assert_eq!(pair.texts(1), ["error forwarding port 8001: lost connection to upstream"]);
        assert_eq!((pair.close(), pair.outcome()), (Some(1011), Some(Outcome::UpstreamLost)));
        pair.client_closes(1011);
        assert!(pair.session.bridge.is_finished());
    }
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.upstream_sends(&frame::goaway(None, GoawayStatus::OK));
    assert_eq!((pair.close(), pair.outcome()), (Some(1011), Some(Outcome::UpstreamLost)));
    let mut pair = Pair::running(SPDY, 1, 4096);
    // RST_STREAM without a stream: its length has to be 8.
    pair.upstream_sends(b"\x80\x03\0\x03\0\0\0\0");
    assert!(matches!(pair.outcome(), Some(Outcome::UpstreamError(LegError::Spdy(_)))));
    assert_eq!(pair.upstream_got().last(), Some(&ToUpstream::GoAway(1)));
}

#[test]
fn what_a_client_breaks_ends_its_session() {
    let mut pair = Pair::running((Subprotocol::V4Base64, false), 1, 4096);
    pair.session.client_sends(&client_frame(Opcode::Text, true, b"0!"));
    assert_eq!(pair.outcome(), Some(Outcome::ClientError(LegError::Base64)));
    assert_eq!(pair.close(), Some(1007));
    assert_eq!(pair.upstream_got().last(), Some(&ToUpstream::GoAway(0)));
}

#[test]
fn an_upstream_that_ended_in_the_round_that_ends_the_session_is_not_waited_for() {
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.session.bridge.eof(Side::Upstream, pair.session.now);
    pair.session.up.space()[..2].copy_from_slice(b"no");
    pair.session.up.received(2);
    pair.session.bridge.translate(Side::Client, &mut pair.session.up, pair.session.now);
    assert!(matches!(pair.outcome(), Some(Outcome::ClientError(_))));
    pair.session.run();
    assert!(pair.session.bridge.is_finished());
}

#[test]
fn a_client_is_asked_out_of_turn_and_an_upstream_that_takes_nothing_is_still_read() {
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.session.bridge.ask_client();
    pair.session.run();
    assert_eq!(pair.client_got().first(), Some(&ToClient::Heartbeat));
    pair.session.bridge.write_failed(Side::Upstream, pair.session.now);
    assert!(!pair.session.bridge.is_writable(Side::Upstream));
    pair.client_sends(0, b"for nobody");
    pair.upstream_sends(&data(data_of(0), b"last"));
    assert_eq!(pair.messages(0), [b"last"]);
    pair.session.bridge.write_failed(Side::Client, pair.session.now);
    assert_eq!(pair.outcome(), Some(Outcome::ClientLost));
}

#[test]
fn the_end_waits_for_a_slow_reader_but_not_for_one_that_stops() {
    for shape in [SPDY, (Subprotocol::V4Base64, true)] {
        let mut pair = Pair::running(shape, 1, 512);
        pair.session.client.takes = 0;
        pair.upstream_sends(&[data(data_of(0), &[7; 300]), failure(0, b"broken")].concat());
        for _ in 0..12 {
            pair.session.client.takes = 20;
            pair.session.after_millis(9_000);
            assert!(!pair.session.bridge.is_finished());
        }
        pair.session.client.takes = usize::MAX;
        pair.session.run();
        assert_eq!(pair.messages(0).concat(), [7; 300]);
        assert_eq!((pair.texts(0), pair.close()), (vec![String::from("broken")], Some(1000)));
    }
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.session.client.takes = 0;
    pair.upstream_sends(&[data(data_of(0), &[7; 300]), failure(0, b"broken")].concat());
    pair.session.upstream_ends();
    pair.session.after_millis(10_000);
    assert!(pair.session.bridge.is_finished());
    assert_eq!(pair.outcome(), Some(Outcome::ClientLost));
}

#[test]
fn a_shutdown_and_an_idle_end_close_both_sides() {
    let limits = Limits { idle: Duration::from_secs(100), ..LIMITS };
    for is_idle in [false, true] {
        let mut pair = Pair::limited(SPDY, 1, 4096, &limits);
        pair.accepts(0);
        pair.client_sends(0, b"x");
        if is_idle {
            pair.session.after_millis(100_000);
        } else {
            pair.session.bridge.shut_down();
            pair.session.run();
        }
        assert_eq!(pair.close(), Some(1001));
        assert_eq!(pair.upstream_got().last(), Some(&ToUpstream::GoAway(0)));
        assert_eq!(pair.outcome(), Some(if is_idle { Outcome::Idle } else { Outcome::Shutdown }));
        pair.client_closes(1001);
        pair.session.upstream_ends();
        assert!(pair.session.bridge.is_finished());
    }
}

#[test]
fn both_sides_are_pinged_and_given_up_when_they_are_silent() {
    let limits = Limits {
        ping_interval: Duration::from_secs(5),
        peer_timeout: Duration::from_secs(30),
        idle: Duration::ZERO,
        ..LIMITS
    };
    for is_tunnel in [false, true] {
        for silent in [Side::Client, Side::Upstream] {
            let mut pair = Pair::limited((Subprotocol::V4, is_tunnel), 1, 4096, &limits);
            pair.accepts(0);
            let (mut pings, mut outcome) = (0, None);
            while outcome.is_none() {
                pair.session.after_millis(5_000);
                pings += 1;
                match silent {
                    Side::Client => pair.upstream_sends(&frame::ping(2 * pings - 1)),
                    Side::Upstream => pair.session.client_sends(&client_frame(Opcode::Pong, true, b"")),
                }
                outcome = pair.outcome();
                assert!(pings < 10);
            }
            assert_eq!((outcome, pings), (Some(Outcome::silent(silent)), 6));
            assert!(pair.session.bridge.round_trip(silent.other()).is_some());
            assert!(pair.client_got().contains(&ToClient::Heartbeat));
            assert!(pair.upstream_got().contains(&ToUpstream::Ping));
        }
    }
}

#[test]
fn a_refusal_is_told_for_each_port() {
    let client = WebSocketPorts::server(Subprotocol::V4, &LIMITS);
    let mut session = Session::joining(PortsBridge::<AnyPorts>::new(client, ports(1), &LIMITS), 512);
    session.bridge.greet(&mut session.down);
    session.bridge.refused(b"", &mut session.down);
    session.run();
    let pair = Pair { protocol: Subprotocol::V4, is_tunnel: false, session, writer: HeaderWriter::new() };
    assert_eq!(pair.texts(0)[1], "error forwarding port 8000: lost connection to upstream");
    assert_eq!((pair.close(), pair.outcome()), (Some(1011), Some(Outcome::Refused)));
}

#[test]
fn a_session_takes_so_much_memory() {
    assert!(size_of::<PortsBridge<SpdyPorts>>() < 8 * 1024, "{}", size_of::<PortsBridge<SpdyPorts>>());
    assert!(size_of::<PortsBridge<SpdyPorts<1>, 1>>() < 3 * 1024);
}
