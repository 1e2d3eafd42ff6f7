use std::str;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use strait::Role;
use strait::k8s::Subprotocol;
use strait::ws::Opcode;

use super::MOST;
use super::upstream::Upstream;
use crate::script::{Flow, Wire, payload};
use crate::websocket::{Inbox, encode};

/// The ports of a session, as far as it has them.
pub(super) const PORTS: [u16; MOST] = [8000, 8001, 80, 65535];

/// How a text of the bridge itself begins.
const NOTICE: &[u8] = b"error forwarding port ";

/// A legacy WebSocket client: what it sends, and an independent reader of what it gets.
pub(super) struct Client {
    is_base64: bool,
    count: usize,
    pub(super) wire: Wire,
    pub(super) input: [Flow; MOST],
    closed: bool,
    /// It has sent bytes of the script, which may mean anything.
    pub(super) raw: bool,
    frames: u32,

    /// Channels whose port message it has got.
    announced: usize,
    pub(super) output: [Flow; MOST],
    pub(super) texts: [Vec<u8>; MOST],
    pub(super) inbox: Inbox,
}

impl Client {
    pub(super) fn new(protocol: Subprotocol, count: usize) -> Self {
        Self {
            is_base64: protocol.is_base64(),
            count,
            wire: Wire::default(),
            input: [Flow::default(); MOST],
            closed: false,
            raw: false,
            frames: 0,
            announced: 0,
            output: [Flow::default(); MOST],
            texts: [const { vec![] }; MOST],
            inbox: Inbox::new(Role::Server),
        }
    }

    /// True if it has done nothing that ends the session.
    pub(super) const fn is_well(&self) -> bool {
        !self.closed && !self.raw && !self.wire.ends && !self.wire.lost
    }

    pub(super) const fn has_its_ports(&self) -> bool {
        self.announced == 2 * self.count
    }

    pub(super) fn send_input(&mut self, port: usize, len: usize) {
        let len = self.wire.allows(len);
        let channel = 2 * port as u8;
        let from = self.input[port].sent;
        let bytes: Vec<u8> = payload(channel, from..from + len).collect();
        if self.is_well() {
            self.input[port].sent += len;
        }
        self.send_message(channel, &bytes);
    }

    /// On a channel of errors, or on one that no port has.
    pub(super) fn send_other(&mut self, channel: u8, len: u8) {
        self.send_message((channel % 10) | 1, &vec![0; len.into()]);
    }

    pub(super) fn send_ping(&mut self, len: u8, pong: bool) {
        if !pong && self.is_well() {
            self.inbox.pings.push(len);
        }
        let opcode = if pong { Opcode::Pong } else { Opcode::Ping };
        self.send(opcode, vec![len; usize::from(len % 126)]);
    }

    pub(super) fn close(&mut self, code: Option<u16>) {
        self.send(Opcode::Close, code.map(|code| code.to_be_bytes().to_vec()).unwrap_or_default());
        self.closed = true;
    }

    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        self.raw |= !bytes.is_empty() && !self.wire.ends;
        self.wire.send(bytes);
    }

    fn send_message(&mut self, channel: u8, payload: &[u8]) {
        if self.is_base64 {
            let text = format!("{channel}{}", BASE64_STANDARD.encode(payload));
            self.send(Opcode::Text, text.into_bytes());
        } else {
            self.send(Opcode::Binary, [&[channel], payload].concat());
        }
    }

    fn send(&mut self, opcode: Opcode, payload: Vec<u8>) {
        self.frames += 1;
        self.wire.send(&encode(Role::Client, opcode, true, payload, self.frames));
    }

    /// Reads what the bridge has written.
    pub(super) fn get(&mut self, bytes: &[u8], upstream: &Upstream) {
        let mut inbox = std::mem::replace(&mut self.inbox, Inbox::new(Role::Server));
        inbox.receive(bytes, self.raw, |first, payload| match (first, payload) {
            (0x81, [digit @ b'0'..=b'9', text @ ..]) if self.is_base64 => {
                let bytes = BASE64_STANDARD.decode(text).expect("each message is whole base64");
                self.read_message(digit - b'0', &bytes, upstream);
            }
            (0x82, [channel, payload @ ..]) if !self.is_base64 => {
                self.read_message(*channel, payload, upstream);
            }
            _ => panic!("a frame with first byte {first:#x} and {} bytes", payload.len()),
        });
        self.inbox = inbox;
    }

    fn read_message(&mut self, channel: u8, payload: &[u8], upstream: &Upstream) {
        let port = usize::from(channel / 2);
        if !self.has_its_ports() {
            assert_eq!(usize::from(channel), self.announced, "channels are told in order");
            assert_eq!(payload, PORTS[port].to_le_bytes(), "the port of channel {channel}");
            self.announced += 1;
            return;
        }
        assert!(port < self.count, "a message on channel {channel}");
        assert!(!payload.is_empty(), "an empty message on channel {channel}");
        if channel.is_multiple_of(2) {
            self.output[port].sent = upstream.ports[port].sent;
            self.output[port].arrive(channel, payload, upstream.raw);
        } else if payload.starts_with(NOTICE) {
            assert!(str::from_utf8(payload).is_ok_and(|text| text.contains(&PORTS[port].to_string())));
        } else {
            let text = &mut self.texts[port];
            text.extend_from_slice(payload);
            assert!(upstream.raw || upstream.ports[port].text.starts_with(text), "another text");
        }
    }
}
