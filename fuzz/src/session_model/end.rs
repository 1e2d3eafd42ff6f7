use std::ops::Range;

use strait::k8s::{Channel, StreamSet, Subprotocol, TerminalSize};
use strait::leg::{Close, Event, Framing, Leg, LegError, SpdyLeg, WebSocketLeg};
use strait::spdy::Inflate;
use strait::ws::MaskKeys;
use strait::{Limits, Step};

use crate::script::{Wire, payload};

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    WebSocket(Subprotocol),
    Spdy(Subprotocol),
}

use Speaks::{Spdy, WebSocket};

impl Speaks {
    pub(super) const CLIENTS: [Self; 10] = [
        WebSocket(Subprotocol::V5),
        WebSocket(Subprotocol::V4),
        WebSocket(Subprotocol::None),
        WebSocket(Subprotocol::V1),
        WebSocket(Subprotocol::V1Base64),
        WebSocket(Subprotocol::V4Base64),
        Spdy(Subprotocol::V4),
        Spdy(Subprotocol::V3),
        Spdy(Subprotocol::V2),
        Spdy(Subprotocol::V1),
    ];
    pub(super) const UPSTREAMS: [Self; 9] = [
        Spdy(Subprotocol::V4),
        Spdy(Subprotocol::V3),
        Spdy(Subprotocol::V2),
        Spdy(Subprotocol::V1),
        WebSocket(Subprotocol::V5),
        WebSocket(Subprotocol::V4),
        WebSocket(Subprotocol::V4Base64),
        WebSocket(Subprotocol::V1),
        WebSocket(Subprotocol::V1Base64),
    ];

    pub(super) const fn is_websocket(self) -> bool {
        matches!(self, WebSocket(_))
    }

    /// A server closes the connection behind the status; over SPDY the client does.
    pub(super) const fn closes_first(self) -> bool {
        self.is_websocket()
    }

    const fn protocol(self) -> Subprotocol {
        match self {
            WebSocket(protocol) | Spdy(protocol) => protocol,
        }
    }

    /// The status is JSON.
    pub(super) const fn has_json(self) -> bool {
        matches!(self.protocol(), Subprotocol::V5 | Subprotocol::V4 | Subprotocol::V4Base64)
    }

    pub(super) const fn can_end_stdin(self) -> bool {
        matches!(self, Spdy(_) | WebSocket(Subprotocol::V5))
    }

    pub(super) const fn has_sizes(self) -> bool {
        matches!(self, WebSocket(_) | Spdy(Subprotocol::V3 | Subprotocol::V4))
    }

    /// The client's end of such a connection.
    pub(super) fn client(self, set: StreamSet, limits: &Limits) -> AnyLeg {
        AnyLeg(match self {
            WebSocket(protocol) => Box::new(WebSocketLeg::client(protocol, limits, MaskKeys::new([5; 16]))),
            Spdy(protocol) => Box::new(SpdyLeg::client(set, protocol, limits)),
        })
    }

    /// The server's end of such a connection.
    pub(super) fn server(self, set: StreamSet, limits: &Limits) -> AnyLeg {
        AnyLeg(match self {
            WebSocket(protocol) => Box::new(WebSocketLeg::server(protocol, limits)),
            Spdy(protocol) => Box::new(SpdyLeg::server(set, protocol, limits, Inflate::<32_768>::new())),
        })
    }
}

/// One end of a connection: an application with a leg.
pub(super) struct End {
    leg: AnyLeg,
    pub(super) wire: Wire,
    /// What was received and not consumed.
    inbox: Vec<u8>,
    is_closed: bool,
    pub(super) pings: usize,
    pub(super) pongs: usize,
}

impl End {
    pub(super) fn new(leg: AnyLeg) -> Self {
        let wire = Wire::default();
        let mut end = Self { leg, wire, inbox: vec![], is_closed: false, pings: 0, pongs: 0 };
        end.flush();
        end
    }

    pub(super) fn is_ready(&self) -> bool {
        self.leg.is_ready()
    }

    /// True if what was received last is whole.
    pub(super) const fn is_at_frame(&self) -> bool {
        self.inbox.is_empty()
    }

    const fn may_speak(&self) -> bool {
        !self.wire.ends && !self.is_closed
    }

    /// Sends `len` bytes that show their place. False if it cannot.
    pub(super) fn send(&mut self, channel: Channel, from: usize, len: usize) -> bool {
        let bytes: Vec<u8> = payload(channel.number(), from..from + len).collect();
        self.say(channel, &bytes)
    }

    pub(super) fn say(&mut self, channel: Channel, bytes: &[u8]) -> bool {
        self.may_speak() && self.leg.can_send(channel) && self.frame(channel, false, bytes)
    }

    /// Ends its half of a channel. False if it cannot.
    pub(super) fn end(&mut self, channel: Channel) -> bool {
        self.may_speak() && self.leg.can_half_close(channel) && self.frame(channel, true, &[])
    }

    fn frame(&mut self, channel: Channel, fin: bool, bytes: &[u8]) -> bool {
        // Base64 grows by a third.
        let room = 64 + bytes.len();
        let mut buffer = vec![0xee; room];
        buffer.extend_from_slice(bytes);
        let end = buffer.len();
        let Some(start) = self.leg.frame(channel, fin, &mut buffer, room..end) else { return false };
        self.wire.send(&buffer[start..]);
        true
    }

    pub(super) fn resize(&mut self, (columns, rows): (u16, u16)) -> bool {
        let may = self.may_speak();
        if may {
            self.leg.resize(TerminalSize { columns, rows });
            self.flush();
        }
        may
    }

    pub(super) fn ping(&mut self) {
        if self.may_speak() {
            self.leg.ping();
            self.pings += 1;
            self.flush();
        }
    }

    /// Closes the connection in order. False if it is closed.
    pub(super) fn close(&mut self, reason: Close) -> bool {
        let may = self.may_speak();
        if may {
            self.leg.close(reason);
            self.flush();
            self.is_closed = true;
        }
        may
    }

    /// Reads what the other end has sent, and answers.
    pub(super) fn get(&mut self, bytes: &[u8], mut act: impl FnMut(Event, &[u8])) {
        self.inbox.extend_from_slice(bytes);
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut at = 0;
        loop {
            let step = self.leg.receive(&mut inbox[at..]);
            let Step { consumed, event } =
                step.unwrap_or_else(|error| panic!("our own end refuses: {error}"));
            if consumed == 0 && event.is_none() {
                break;
            }
            if event == Some(Event::Pong) {
                self.pongs += 1;
            }
            if let Some(event) = event {
                let range = if let Event::Data { range, .. } = &event { range.clone() } else { 0..0 };
                let piece = inbox[at + range.start..at + range.end].to_vec();
                act(event, &piece);
            }
            at += consumed;
            self.flush();
        }
        self.inbox = inbox.split_off(at);
    }

    fn flush(&mut self) {
        while !self.leg.pending().is_empty() {
            if !self.is_closed {
                self.wire.send(self.leg.pending());
            }
            self.leg.sent(self.leg.pending().len());
        }
    }
}

/// Any leg of a session.
pub(super) struct AnyLeg(Box<dyn Leg>);

impl Framing for AnyLeg {
    fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, LegError> {
        self.0.receive(input)
    }

    fn can_receive(&self) -> bool {
        self.0.can_receive()
    }

    fn lead(&self, input: &[u8]) -> Option<usize> {
        self.0.lead(input)
    }

    fn header_max(&self, len: usize) -> usize {
        self.0.header_max(len)
    }

    fn headroom(&self, len: usize) -> usize {
        self.0.headroom(len)
    }

    fn frame(
        &mut self,
        channel: Channel,
        fin: bool,
        buffer: &mut [u8],
        payload: Range<usize>,
    ) -> Option<usize> {
        self.0.frame(channel, fin, buffer, payload)
    }

    fn can_send(&self, channel: Channel) -> bool {
        self.0.can_send(channel)
    }

    fn can_half_close(&self, channel: Channel) -> bool {
        self.0.can_half_close(channel)
    }

    fn ping(&mut self) {
        self.0.ping();
    }

    fn close(&mut self, reason: Close) {
        self.0.close(reason);
    }

    fn pending(&self) -> &[u8] {
        self.0.pending()
    }

    fn sent(&mut self, count: usize) {
        self.0.sent(count);
    }
}

impl Leg for AnyLeg {
    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    fn closes_first(&self) -> bool {
        self.0.closes_first()
    }

    fn greets(&self) -> bool {
        self.0.greets()
    }

    fn status_is_json(&self) -> bool {
        self.0.status_is_json()
    }

    fn resize(&mut self, size: TerminalSize) {
        self.0.resize(size);
    }

    fn end_sizes(&mut self) {
        self.0.end_sizes();
    }
}
