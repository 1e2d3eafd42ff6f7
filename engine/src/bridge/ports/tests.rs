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

mod ends;
mod errors;
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
        assert!(session.bridge.has_output(Side::Client, &session.down), "at once");
        session.run();
        let pair = Pair { protocol, is_tunnel: false, session, writer: HeaderWriter::new() };
        let port = |channel, port: u16| ToClient::Message(channel, port.to_le_bytes().to_vec());
        assert_eq!(pair.client_got(), [port(0, 8000), port(1, 8000), port(2, 8001), port(3, 8001)]);
    }
    let raw = Pair::opening(SPDY, 1, 512).session.client.got;
    assert_eq!(raw, b"\x82\x03\x00\x40\x1f\x82\x03\x01\x40\x1f");
}

#[test]
fn each_channel_begins_with_its_port_although_the_client_reads_late() {
    let client = WebSocketPorts::server(Subprotocol::V4, &LIMITS);
    let mut session = Session::joining(PortsBridge::<AnyPorts>::new(client, ports(1), &LIMITS), 512);
    session.client.takes = 0;
    session.bridge.greet(&mut session.down);
    session.bridge.connected(Box::new(SpdyPorts::client(ports(1), &LIMITS)), session.now);
    let mut pair = Pair { protocol: Subprotocol::V4, is_tunnel: false, session, writer: HeaderWriter::new() };
    pair.accepts(0);
    pair.upstream_sends(&data(data_of(0), b"out"));
    assert_eq!(pair.client_got(), []);
    pair.session.client.takes = usize::MAX;
    pair.session.run();
    let message = |channel, payload: &[u8]| ToClient::Message(channel, payload.to_vec());
    let port = 8000_u16.to_le_bytes();
    assert_eq!(pair.client_got(), [message(0, &port), message(1, &port), message(0, b"out")]);
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
fn a_client_is_asked_out_of_turn_and_an_upstream_that_takes_nothing_is_still_read() {
    let mut pair = Pair::running(SPDY, 1, 4096);
    pair.session.bridge.ask_client();
    pair.session.run();
    assert_eq!(pair.client_got().first(), Some(&ToClient::Heartbeat));
    pair.session.bridge.write_failed(Side::Upstream, pair.session.now);
    assert!(!pair.session.bridge.is_writable(Side::Upstream));
    assert!(!pair.session.bridge.is_done_with_upstream());
    pair.client_sends(0, b"for nobody");
    pair.upstream_sends(&data(data_of(0), b"last"));
    assert_eq!(pair.messages(0), [b"last"]);
    pair.session.bridge.write_failed(Side::Client, pair.session.now);
    assert_eq!(pair.outcome(), Some(Outcome::ClientLost));
}

#[test]
fn a_message_of_more_than_64_kib_leaves_in_one_frame() {
    let mut pair = Pair::running(SPDY, 1, 80_000);
    pair.client_sends(0, &vec![7; 70_000]);
    assert_eq!(pair.upstream_got().last(), Some(&ToUpstream::Data(data_of(0), vec![7; 70_000])));
}

#[test]
fn bytes_to_and_from_all_ports_are_counted() {
    let mut pair = Pair::running(SPDY, 2, 4096);
    pair.client_sends(0, b"to");
    pair.client_sends(2, b"ports");
    pair.upstream_sends(
        &[data(data_of(0), b"from"), data(data_of(1), b"ports"), data(error(1), b"?")].concat(),
    );
    let expected = Carried { to_ports: 7, from_ports: 9, ..Carried::default() };
    assert_eq!(pair.session.bridge.carried(), expected);
}

#[test]
fn a_session_takes_so_much_memory() {
    assert!(size_of::<PortsBridge<SpdyPorts>>() < 8 * 1024, "{}", size_of::<PortsBridge<SpdyPorts>>());
    assert!(size_of::<PortsBridge<SpdyPorts<1>, 1>>() < 3 * 1024);
}
