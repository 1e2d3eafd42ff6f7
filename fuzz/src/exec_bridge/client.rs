use strait::Role;
use strait::k8s::{Channel, Outcome, TerminalSize};
use strait::ws::Opcode;

use crate::script::{Flow, Wire, payload};
use crate::websocket::{Inbox, encode};

/// A WebSocket client: what it sends, and an independent reader of what it gets.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, of which any combination occurs")]
pub(super) struct Client {
    pub(super) wire: Wire,
    pub(super) input: Flow,
    /// It has half-closed stdin.
    pub(super) input_ended: bool,
    /// It has half-closed the resize channel.
    pub(super) sizes_ended: bool,
    pub(super) size: Option<TerminalSize>,
    /// It has sent a Close.
    pub(super) closed: bool,
    /// It has sent bytes of the script, which may mean anything.
    pub(super) raw: bool,
    /// A message on stdin is not finished.
    unfinished: bool,
    frames: u32,

    pub(super) ready_channel: Channel,
    pub(super) stdout: Flow,
    pub(super) stderr: Flow,
    /// Upstream has sent bytes of the script.
    pub(super) upstream_raw: bool,
    pub(super) status: Option<Vec<u8>>,
    greeted: bool,
    pub(super) inbox: Inbox,
}

impl Client {
    pub(super) fn new(ready_channel: Channel) -> Self {
        Self {
            wire: Wire::default(),
            input: Flow::default(),
            input_ended: false,
            sizes_ended: false,
            size: None,
            closed: false,
            raw: false,
            unfinished: false,
            frames: 0,
            ready_channel,
            stdout: Flow::default(),
            stderr: Flow::default(),
            upstream_raw: false,
            status: None,
            greeted: false,
            inbox: Inbox::new(Role::Server),
        }
    }

    /// True if it has done nothing that ends the session: what it sends counts.
    pub(super) fn is_well(&self) -> bool {
        !self.closed && !self.raw && !self.wire.ends && !self.wire.lost
    }

    pub(super) fn send_input(&mut self, len: usize, unfinished: bool, text: bool) {
        let len = self.wire.allows(len);
        let from = self.input.sent;
        let mut message = vec![];
        let opcode = if self.unfinished {
            Opcode::Continuation
        } else {
            message.push(Channel::STDIN.number());
            if text { Opcode::Text } else { Opcode::Binary }
        };
        message.extend(payload(Channel::STDIN.number(), from..from + len));
        self.unfinished = unfinished;
        self.send(opcode, !unfinished, message);
        if !self.input_ended && self.is_well() {
            self.input.sent += len;
        }
    }

    pub(super) fn send_size(&mut self, columns: u16, rows: u16) {
        self.send_message(
            Channel::RESIZE,
            format!("{{\"Width\":{columns},\"Height\":{rows}}}\n").into_bytes(),
        );
        let size = TerminalSize { columns, rows };
        if !size.is_zero() && !self.sizes_ended && self.is_well() {
            self.size = Some(size);
        }
    }

    pub(super) fn send_other(&mut self, channel: u8, len: u8) {
        let channel = match Channel::new(channel) {
            Channel::STDIN | Channel::RESIZE | Channel::CLOSE => Channel::new(9),
            other => other,
        };
        self.send_message(channel, vec![0; len.into()]);
    }

    pub(super) fn send_ping(&mut self, len: u8, pong: bool) {
        let payload = vec![len; usize::from(len % 126)];
        if !pong && self.is_well() {
            self.inbox.pings.push(len);
        }
        self.send(if pong { Opcode::Pong } else { Opcode::Ping }, true, payload);
    }

    pub(super) fn half_close(&mut self, channel: u8) {
        let channel = Channel::new(channel % 5);
        self.send_message(Channel::CLOSE, vec![channel.number()]);
        self.input_ended |= channel == Channel::STDIN;
        self.sizes_ended |= channel == Channel::RESIZE;
    }

    pub(super) fn close(&mut self, code: Option<u16>) {
        self.send(Opcode::Close, true, code.map(|code| code.to_be_bytes().to_vec()).unwrap_or_default());
        self.closed = true;
    }

    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        self.wire.send(bytes);
        self.raw |= !bytes.is_empty() && !self.wire.ends;
    }

    /// A message of its own, behind the one that is not finished.
    fn send_message(&mut self, channel: Channel, mut payload: Vec<u8>) {
        if self.unfinished {
            self.send_input(0, false, false);
        }
        payload.insert(0, channel.number());
        self.send(Opcode::Binary, true, payload);
    }

    fn send(&mut self, opcode: Opcode, fin: bool, payload: Vec<u8>) {
        self.frames += 1;
        self.wire.send(&encode(Role::Client, opcode, fin, payload, self.frames));
    }

    /// Reads what the bridge has written.
    pub(super) fn get(&mut self, bytes: &[u8]) {
        let mut inbox = std::mem::replace(&mut self.inbox, Inbox::new(Role::Server));
        inbox.receive(bytes, self.raw, |first, payload| match (first, payload) {
            (0x82, [channel, payload @ ..]) => self.read_message(Channel::new(*channel), payload),
            _ => panic!("a frame with first byte {first:#x} and {} bytes", payload.len()),
        });
        self.inbox = inbox;
    }

    fn read_message(&mut self, channel: Channel, payload: &[u8]) {
        assert!(self.status.is_none(), "a message behind the status");
        if !self.greeted {
            assert_eq!((channel, payload), (self.ready_channel, &[][..]), "the greeting comes first");
            self.greeted = true;
            return;
        }
        assert!(!payload.is_empty(), "an empty message on {channel}");
        match channel {
            Channel::STDOUT => self.stdout.arrive(channel.number(), payload, self.upstream_raw),
            Channel::STDERR => self.stderr.arrive(channel.number(), payload, self.upstream_raw),
            Channel::ERROR => {
                assert!(Outcome::parse(payload).is_ok(), "a status that is none: {}", payload.escape_ascii());
                self.status = Some(payload.to_vec());
            }
            _ => panic!("a message on {channel}"),
        }
    }
}
