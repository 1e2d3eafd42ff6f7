use crate::case::Stop;
use crate::target::{Asked, Target};
use crate::wire::http::Head;
use crate::wire::websocket::{BINARY, CLOSE, CONTINUATION, FIN, Frame, PING, PONG, Socket, TEXT};

/// Of a ping that asks whether the connection goes on.
const PROBE: &[u8] = b"spdyspec";

/// A RemoteCommand session over WebSocket, and all that came on it.
pub(super) struct Channels {
    pub(super) socket: Socket,
    pub(super) head: Head,
    /// What came on channels 0 to 4, decoded if the protocol is base64.
    pub(super) data: [Vec<u8>; 5],
    /// Channels of the messages in their order; 99 for an empty one.
    pub(super) order: Vec<u8>,
    /// Opcodes of data messages.
    pub(super) opcodes: Vec<u8>,
    pub(super) pongs: Vec<Vec<u8>>,
    /// Code of the server's Close.
    pub(super) closed: Option<u16>,
    /// Frames that were masked, fragmented, or had reserved bits.
    pub(super) odd: usize,
    base64: bool,
}

impl Channels {
    /// Starts a session.
    pub(super) fn start(target: &Target, asked: Asked<'_>, protocols: &str) -> Result<Self, Stop> {
        Self::at(target, &target.exec(asked), protocols)
    }

    /// A session with `cat`.
    pub(super) fn cat(target: &Target, protocols: &str) -> Result<Self, Stop> {
        Self::start(target, Asked::pipe(&["cat"]), protocols)
    }

    /// Upgrades a connection.
    pub(super) fn at(target: &Target, path: &str, protocols: &str) -> Result<Self, Stop> {
        let request = target.websocket_request(path, protocols);
        let (socket, head) = Socket::connect(&target.address, &request, target.limit)?;
        let base64 = head.get("sec-websocket-protocol").is_some_and(|chosen| chosen.contains("base64"));
        Ok(Self {
            socket,
            head,
            data: Default::default(),
            order: Vec::new(),
            opcodes: Vec::new(),
            pongs: Vec::new(),
            closed: None,
            odd: 0,
            base64,
        })
    }

    /// Sends a message on a channel.
    pub(super) fn send(&mut self, channel: u8, payload: &[u8]) {
        if self.base64 {
            let text = format!("{channel}{}", crate::wire::websocket::to_base64(payload));
            self.socket.send(TEXT, text.as_bytes());
        } else {
            self.socket.send(BINARY, &[&[channel], payload].concat());
        }
    }

    pub(super) fn text(&self, channel: usize) -> String {
        String::from_utf8_lossy(&self.data[channel]).into_owned()
    }

    /// Reads until it is so.
    pub(super) fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> Result<(), Stop> {
        while !is_so(self) {
            let frame = self.socket.next()?;
            self.take(frame);
        }
        Ok(())
    }

    /// Reads to the server's Close, or to the end of TCP, and answers it as a client has to.
    pub(super) fn read_to_close(&mut self) -> Result<(), Stop> {
        match self.until(|channels| channels.closed.is_some()) {
            Ok(()) => {
                self.socket.send(CLOSE, &1000_u16.to_be_bytes());
                Ok(())
            }
            Err(Stop::Saw(end)) if end == "closed" => Ok(()),
            Err(other) => Err(other),
        }
    }

    fn take(&mut self, frame: Frame) {
        let whole = frame.first & 0xf0 == FIN && frame.opcode() != CONTINUATION;
        self.odd += usize::from(frame.masked || !whole);
        match frame.opcode() {
            CLOSE => self.closed = Some(frame.code()),
            PING => self.socket.send(PONG, &frame.payload),
            PONG => self.pongs.push(frame.payload),
            opcode => {
                self.opcodes.push(opcode);
                let Some((channel, payload)) = frame.payload.split_first() else {
                    self.order.push(99);
                    return;
                };
                let channel = if self.base64 { channel.wrapping_sub(b'0') } else { *channel };
                self.order.push(channel);
                let payload =
                    if self.base64 { crate::wire::websocket::from_base64(payload) } else { payload.to_vec() };
                if let Some(data) = self.data.get_mut(usize::from(channel)) {
                    data.extend(payload);
                }
            }
        }
    }

    /// Whether the session goes on: what is typed in comes out, and a ping is answered.
    pub(super) fn probe(&mut self) -> String {
        self.socket.send(PING, PROBE);
        self.send(0, b"probe");
        let passed = |channels: &Self| {
            channels.pongs.iter().any(|pong| pong == PROBE) && channels.data[1].ends_with(b"probe")
        };
        match self.until(|channels| passed(channels) || channels.closed.is_some()) {
            Ok(()) if passed(self) => "goes on".into(),
            Ok(()) => format!("Close {}", self.closed.unwrap_or_default()),
            Err(Stop::Saw(end)) if end == "silent" => "stalls".into(),
            Err(Stop::Saw(end) | Stop::NotRun(end)) => end,
        }
    }
}
