//! The legacy port-forward: two channels a port on a WebSocket, from a client that is not ours.

use std::future::pending;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use strait::bridge::PortsBridge;
use strait::k8s::{Ports, Subprotocol, Target};
use strait::leg::{SpdyPorts, Tunnelled, WebSocketPorts};
use strait::ws::MaskKeys;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::forward::{GOODBYE, PORTS, node};
use super::transport::Faulty;
use super::{Case, Ends, LIMITS, Way, Who, pass, translate};
use crate::forward_session::ChannelStream;
use crate::tunnel::TunnelStream;

/// What a server takes.
pub(super) const PROTOCOLS: [Subprotocol; 3] = [Subprotocol::V4, Subprotocol::V4Base64, Subprotocol::None];

/// Runs a session to the end of all its parts.
pub(super) async fn play(case: &Case, ends: Ends) -> Result<(), String> {
    let Ends { client: near, gateway, server } = ends;
    let [protocol, _] = case.protocols;
    let between = async {
        if let Some((front, back)) = gateway {
            Box::pin(carry(case, front, back)).await;
        }
    };
    let serving = async {
        match case.way {
            Way::Translated => node(case, server).await,
            Way::ToTunnel => node(case, TunnelStream::server(server, &[], &LIMITS)).await,
            _ => node(case, ChannelStream::new(server, &[], ports(protocol), protocol, &LIMITS)).await,
        }
    };
    let (result, (), _) = tokio::join!(client(near, case), between, serving);
    result
}

fn ports(protocol: Subprotocol) -> Ports {
    let [one, other] = PORTS;
    let target = format!("/portForward/default/pod?port={one},{other}");
    let target = Target::parse(&target).expect("it is one of a kubelet's");
    Ports::of(&target, protocol).expect("they are two ports")
}

async fn carry(case: &Case, front: Faulty, back: Faulty) {
    let ([protocol, _], stop) = (case.protocols, case.stop_of(Who::Gateway));
    let leg = || WebSocketPorts::server(protocol, &LIMITS);
    let upstream = SpdyPorts::client(ports(protocol), &LIMITS);
    match case.way {
        Way::Translated => {
            let bridge: PortsBridge<_, 128> = PortsBridge::new(leg(), ports(protocol), &LIMITS);
            translate(bridge, upstream, front, back, stop).await;
        }
        Way::ToTunnel => {
            let bridge: PortsBridge<_, 128> = PortsBridge::new(leg(), ports(protocol), &LIMITS);
            let upstream = Tunnelled::client(upstream, &LIMITS, MaskKeys::new([7; 16]));
            translate(bridge, upstream, front, back, stop).await;
        }
        _ => pass(front, back, stop).await,
    }
}

/// What came on both channels of a port.
#[derive(Default)]
struct Port {
    is_begun: [bool; 2],
    data: Vec<u8>,
    error: Vec<u8>,
}

/// How the server has ended the session, if it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Cut,
    Close(u16),
}

/// It sends to both ports at once, and reads until the server has closed.
async fn client(io: Faulty, case: &Case) -> Result<(), String> {
    let [protocol, _] = case.protocols;
    let socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    let (mut sink, mut stream) = socket.split();
    let sending = async {
        for piece in case.input.chunks(1 + case.input.len() / 3) {
            for channel in [0, 2] {
                if sink.send(message(protocol, channel, piece)).await.is_err() {
                    return;
                }
            }
        }
    };
    let mut got: [Port; 2] = Default::default();
    let reading = async {
        let mut end = End::Cut;
        while let Some(Ok(message)) = stream.next().await {
            match message {
                Message::Close(frame) => end = End::Close(frame.map_or(1005, |frame| frame.code.into())),
                Message::Ping(_) | Message::Pong(_) => {}
                message => take(case, &mut got, read(protocol, message)),
            }
        }
        end
    };
    let end = tokio::select! {
        end = reading => end,
        () = async { sending.await; pending().await } => unreachable!("nothing comes of it"),
    };
    let whole = [&case.input[..], GOODBYE].concat();
    for Port { data, error, .. } in &got {
        assert!(whole.starts_with(data), "other output: {case}");
        let is_all = *data == whole || !error.is_empty() || end != End::Close(1000);
        assert!(is_all, "a part of the output, and no error: {case}");
    }
    match got.iter().find(|port| !port.error.is_empty()) {
        Some(Port { error, .. }) => Err(String::from_utf8_lossy(error).into_owned()),
        None if end == End::Close(1000) => Ok(()),
        None => Err(format!("{end:?}")),
    }
}

fn message(protocol: Subprotocol, channel: u8, payload: &[u8]) -> Message {
    if protocol.is_base64() {
        Message::text(format!("{channel}{}", STANDARD.encode(payload)))
    } else {
        Message::binary([&[channel], payload].concat())
    }
}

/// The channel and the payload of a message.
fn read(protocol: Subprotocol, message: Message) -> (u8, Vec<u8>) {
    match message {
        Message::Binary(bytes) if !protocol.is_base64() => (bytes[0], bytes[1..].to_vec()),
        Message::Text(text) if protocol.is_base64() => {
            (text.as_bytes()[0] - b'0', STANDARD.decode(&text.as_bytes()[1..]).expect("base64"))
        }
        other => panic!("a message of another kind: {other:?}"),
    }
}

/// The first message of each channel is its port.
fn take(case: &Case, got: &mut [Port; 2], (channel, payload): (u8, Vec<u8>)) {
    let [index, which] = [channel / 2, channel % 2].map(usize::from);
    let port = got.get_mut(index).expect("a channel of one of the ports");
    if !port.is_begun[which] {
        assert_eq!(
            payload,
            PORTS[index].to_le_bytes(),
            "channel {channel} begins with something else: {case}"
        );
        port.is_begun[which] = true;
        return;
    }
    if which == 0 { &mut port.data } else { &mut port.error }.extend(payload);
}
