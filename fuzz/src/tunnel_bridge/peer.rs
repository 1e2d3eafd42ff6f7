use strait::Role;
use strait::bridge::Side;
use strait::ws::Opcode;

use crate::script::{Flow, Wire, payload};
use crate::websocket::{Inbox, encode};

/// One end of a tunnel: what it sends, and an independent reader of what it gets.
pub(super) struct Peer {
    role: Role,
    channel: u8,
    pub(super) is_websocket: bool,
    pub(super) wire: Wire,
    /// Bytes of its stream.
    pub(super) sent: usize,
    /// It has sent bytes of the script, which may mean anything.
    pub(super) raw: bool,
    /// A Close that it has sent: true if it says that all is well.
    closed: Option<bool>,
    unfinished: bool,
    frames: u32,

    pub(super) received: Flow,
    pub(super) inbox: Inbox,
}

impl Peer {
    pub(super) fn new(side: Side, is_websocket: bool) -> Self {
        let role = if side == Side::Client { Role::Client } else { Role::Server };
        Self {
            role,
            channel: u8::from(side == Side::Client),
            is_websocket,
            wire: Wire::default(),
            sent: 0,
            raw: false,
            closed: None,
            unfinished: false,
            frames: 0,
            received: Flow::default(),
            inbox: Inbox::new(other(role)),
        }
    }

    /// True if nothing that comes for it counts any more.
    pub(super) const fn has_left(&self) -> bool {
        self.is_websocket && self.end().is_some()
    }

    /// Its end, if there is one: true if all is well.
    pub(super) const fn end(&self) -> Option<bool> {
        match self.closed {
            Some(clean) => Some(clean),
            None if self.wire.ends => Some(!self.is_websocket),
            None => None,
        }
    }

    pub(super) fn send_data(&mut self, len: usize, unfinished: bool) {
        let len = self.wire.allows(len);
        let bytes: Vec<u8> = payload(self.channel, self.sent..self.sent + len).collect();
        if self.end().is_none() && !self.raw {
            self.sent += len;
        }
        if !self.is_websocket {
            self.wire.send(&bytes);
            return;
        }
        let opcode = if self.unfinished { Opcode::Continuation } else { Opcode::Binary };
        self.unfinished = unfinished;
        self.send(opcode, !unfinished, bytes);
    }

    pub(super) fn send_ping(&mut self, len: u8, pong: bool) {
        if !self.is_websocket {
            return;
        }
        if !pong && self.end().is_none() && !self.raw {
            self.inbox.pings.push(len);
        }
        let opcode = if pong { Opcode::Pong } else { Opcode::Ping };
        self.send(opcode, true, vec![len; usize::from(len % 126)]);
    }

    pub(super) fn close(&mut self, code: Option<u16>) {
        if self.is_websocket {
            let payload = code.map(|code| code.to_be_bytes().to_vec()).unwrap_or_default();
            self.send(Opcode::Close, true, payload);
            if self.end().is_none() {
                self.closed = Some(code == Some(1000));
            }
        }
    }

    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        self.raw |= !bytes.is_empty() && !self.wire.ends;
        self.wire.send(bytes);
    }

    fn send(&mut self, opcode: Opcode, fin: bool, payload: Vec<u8>) {
        self.frames += 1;
        self.wire.send(&encode(self.role, opcode, fin, payload, self.frames));
    }

    /// Reads what the bridge has written. `more` may come than was sent where the other peer has sent raw bytes.
    pub(super) fn get(&mut self, bytes: &[u8], more: bool) {
        if !self.is_websocket {
            return self.received.arrive(1 - self.channel, bytes, more);
        }
        let mut inbox = std::mem::replace(&mut self.inbox, Inbox::new(self.role));
        inbox.receive(bytes, self.raw, |first, payload| {
            assert!(first == 0x82 && !payload.is_empty(), "a message with first byte {first:#x}");
            self.received.arrive(1 - self.channel, payload, more);
        });
        self.inbox = inbox;
    }
}

const fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}
