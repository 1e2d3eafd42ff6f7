use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use strait::k8s::{Channel, Subprotocol};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::{End, Said};

/// Kubernetes channels over a WebSocket, from a library that is not ours.
pub(crate) struct WebSocketWire {
    socket: WebSocketStream<TcpStream>,
    protocol: Subprotocol,
}

impl WebSocketWire {
    pub(crate) async fn new(io: TcpStream, behind: Vec<u8>, protocol: Subprotocol) -> Self {
        Self { socket: WebSocketStream::from_partially_read(io, behind, Role::Client, None).await, protocol }
    }

    pub(crate) async fn next(&mut self) -> Result<Said> {
        loop {
            let message = match self.socket.next().await {
                Some(Ok(message)) => message,
                // What the protocol forbids is no end of any kind.
                Some(Err(error @ (Error::Capacity(_) | Error::Utf8(_)))) => return Err(error.into()),
                Some(Err(_)) | None => return Ok(Said::End(End::Cut)),
            };
            match message {
                Message::Close(frame) => {
                    let is_clean = frame.is_some_and(|frame| u16::from(frame.code) == 1000);
                    // Reading on sends the answer.
                    while self.socket.next().await.is_some() {}
                    return Ok(Said::End(if is_clean { End::Clean } else { End::Failed }));
                }
                Message::Binary(bytes) if !self.protocol.is_base64() => return data(&bytes),
                Message::Text(text) if self.protocol.is_base64() => {
                    let (channel, text) = text.split_at_checked(1).context("an empty message")?;
                    let mut bytes = vec![channel.as_bytes()[0].wrapping_sub(b'0')];
                    bytes.extend(STANDARD.decode(text).map_err(|error| anyhow!("{error}: {text:?}"))?);
                    return data(&bytes);
                }
                Message::Binary(_) | Message::Text(_) => bail!("a message of the other kind"),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    pub(crate) async fn send(&mut self, channel: Channel, bytes: &[u8]) -> Result<()> {
        let message = if self.protocol.is_base64() {
            Message::text(format!("{}{}", channel.number(), STANDARD.encode(bytes)))
        } else {
            Message::binary([&[channel.number()], bytes].concat())
        };
        Ok(self.socket.send(message).await?)
    }

    pub(crate) async fn half_close(&mut self, channel: Channel) -> Result<()> {
        Ok(self.socket.send(Message::binary(channel.close_message().to_vec())).await?)
    }

    pub(crate) async fn ping(&mut self) -> Result<()> {
        Ok(self.socket.send(Message::Ping(Vec::new().into())).await?)
    }
}

fn data(message: &[u8]) -> Result<Said> {
    let (&channel, bytes) = message.split_first().context("an empty message")?;
    Ok(Said::Data(Channel::new(channel), bytes.to_vec()))
}
