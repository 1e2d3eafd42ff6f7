use std::io;
use std::net::{SocketAddr, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strait::k8s::{Channel, Subprotocol};
use tokio_tungstenite::tungstenite::client::{IntoClientRequest as _, client};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use crate::pair_client::{PATIENCE, POLL};
use crate::{End, PORT_FORWARD_PATH};

/// A client of the legacy port-forward: two channels a port, over a WebSocket from a library that is not ours.
#[derive(Debug)]
pub struct ChannelClient {
    socket: WebSocket<TcpStream>,
    protocol: Subprotocol,
    ports: Vec<u16>,
    /// What came on each channel behind its port message; `None` before that.
    came: Vec<Option<Vec<u8>>>,
    /// How the session ended, if it has.
    pub end: Option<End>,
}

impl ChannelClient {
    /// Asks for a connection to each of `ports`, offering only `protocol`.
    pub fn connect(server: SocketAddr, protocol: Subprotocol, ports: &[u16]) -> Self {
        let socket = TcpStream::connect(server).expect("the server accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        socket.set_nodelay(true).expect("an option");
        let query = ports.iter().map(|port| format!("ports={port}")).collect::<Vec<_>>().join("&");
        let url = format!("ws://{server}{PORT_FORWARD_PATH}?{query}");
        let mut request = url.into_client_request().expect("a request");
        if protocol != Subprotocol::None {
            let offer = HeaderValue::from_static(protocol.name());
            request.headers_mut().insert("sec-websocket-protocol", offer);
        }
        let (socket, answer) = client(request, socket).expect("the upgrade succeeds");
        let agreed =
            answer.headers().get("sec-websocket-protocol").map_or("", |name| name.to_str().expect("text"));
        assert_eq!(agreed, protocol.name());
        socket.get_ref().set_read_timeout(Some(POLL)).expect("a time-out");
        Self { socket, protocol, ports: ports.to_vec(), came: vec![None; 2 * ports.len()], end: None }
    }

    /// Sends bytes to a port.
    pub fn send(&mut self, index: usize, bytes: &[u8]) {
        let channel = Channel::new(u8::try_from(2 * index).expect("a channel")).to_wire(self.protocol);
        let message = if self.protocol.is_base64() {
            Message::text(format!("{}{}", char::from(channel), STANDARD.encode(bytes)))
        } else {
            Message::binary([&[channel], bytes].concat())
        };
        self.socket.send(message).expect("the server takes it");
    }

    /// What came of a port so far.
    pub fn data(&self, index: usize) -> &[u8] {
        self.came[2 * index].as_deref().unwrap_or_default()
    }

    /// What went wrong with a port so far.
    pub fn error(&self, index: usize) -> &[u8] {
        self.came[2 * index + 1].as_deref().unwrap_or_default()
    }

    /// How many ports there are.
    pub(crate) const fn ports(&self) -> usize {
        self.ports.len()
    }

    /// Reads once, for a moment. Pings are answered.
    pub(crate) fn read(&mut self) {
        match self.socket.read() {
            Ok(Message::Binary(bytes)) if !self.protocol.is_base64() => self.take(&bytes),
            Ok(Message::Text(text)) if self.protocol.is_base64() => {
                let (channel, text) = text.split_at(1);
                let bytes = STANDARD.decode(text).expect("base64");
                self.take(&[channel.as_bytes(), &bytes].concat());
            }
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(Message::Close(frame)) => {
                let is_clean = frame.is_some_and(|frame| u16::from(frame.code) == 1000);
                self.end = Some(if is_clean { End::Clean } else { End::Failed });
            }
            Ok(other) => panic!("a message of another kind: {other:?}"),
            Err(Error::Io(error))
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error @ (Error::Capacity(_) | Error::Utf8(_))) => panic!("not the protocol: {error}"),
            Err(_) => {
                self.end.get_or_insert(End::Cut);
                std::thread::sleep(POLL);
            }
        }
    }

    /// Takes in a message. The first of each channel is its port; channels begin in order.
    fn take(&mut self, message: &[u8]) {
        let (&channel, bytes) = message.split_first().expect("a channel");
        let index = usize::from(Channel::from_wire(channel, self.protocol).number());
        assert!(self.came[..index].iter().all(Option::is_some), "channel {index} before others");
        if let Some(came) = &mut self.came[index] {
            came.extend_from_slice(bytes);
        } else {
            assert_eq!(
                bytes,
                self.ports[index / 2].to_le_bytes(),
                "channel {index} begins with another port"
            );
            self.came[index] = Some(Vec::new());
        }
    }
}
