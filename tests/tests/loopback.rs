//! A WebSocket client, a gateway, a node and `cat`: what goes in comes out, whatever its size and however it is cut.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use strait_tests::{Random, Shores, exec_request};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::{WebSocketStream, client_async};

type Socket = WebSocketStream<TcpStream>;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const ERROR: u8 = 3;
const CLOSE: u8 = 255;

const MEBIBYTE: usize = 1 << 20;
/// What one transfer may take.
const TRANSFER: Duration = Duration::from_mins(1);

/// What came back, in the order in which it came.
#[derive(Debug, Default)]
struct Returned {
    /// How much of the expected data.
    bytes: usize,
    /// Payloads of pongs, and how many bytes had come before each.
    pongs: Vec<(Vec<u8>, usize)>,
    status: Vec<u8>,
    close_code: Option<u16>,
}

#[tokio::test]
async fn every_length_around_a_border_comes_back() {
    let shores = Shores::start(&[]);
    let mut random = Random::of_this_run();
    for length in [0, 1, 2, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537, MEBIBYTE - 1, MEBIBYTE] {
        round_trip(shores.gateway.address(), length, &mut random).await;
    }
}

#[tokio::test]
async fn random_lengths_come_back() {
    let shores = Shores::start(&[]);
    let mut random = Random::of_this_run();
    for _ in 0..20 {
        let length = random.length(8 * MEBIBYTE);
        round_trip(shores.gateway.address(), length, &mut random).await;
    }
}

#[tokio::test]
async fn sixty_four_mebibytes_come_back() {
    let shores = Shores::start(&[]);
    round_trip(shores.gateway.address(), 64 * MEBIBYTE, &mut Random::of_this_run()).await;
}

/// Many clients at a time must not get each other's bytes.
#[tokio::test]
async fn sessions_at_the_same_time_do_not_mix() {
    let shores = Shores::start(&[]);
    let mut random = Random::of_this_run();
    let address = shores.gateway.address();
    let clients = (0..16).map(|_| {
        let mut random = Random::new(random.number());
        tokio::spawn(async move { round_trip(address, 1 + random.below(2 * MEBIBYTE), &mut random).await })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("a transfer does not panic");
    }
}

/// Sends `length` random bytes through `cat`, and checks every byte, pong and the end of the session.
async fn round_trip(gateway: SocketAddr, length: usize, random: &mut Random) {
    let data = random.bytes(length);
    let socket = connect(gateway).await;
    let (to, from) = socket.split();
    let (sent, returned) =
        timeout(TRANSFER, async { tokio::join!(send(to, &data, random), receive(from, &data)) })
            .await
            .unwrap_or_else(|_| panic!("{length} bytes do not come back within {TRANSFER:?}"));
    assert_eq!(returned.bytes, length, "bytes are missing");
    assert_eq!(returned.close_code, Some(1000));
    let status: serde_json::Value = serde_json::from_slice(&returned.status).expect("a status is JSON");
    assert_eq!(status["status"], "Success", "{status}");
    assert_ponged(&sent, &returned, length);
}

/// RFC 6455 section 5.5.3: a pong may answer several pings at once, with the last one's payload.
fn assert_ponged(pings: &[Vec<u8>], returned: &Returned, length: usize) {
    let mut answered = pings.iter();
    for (pong, _) in &returned.pongs {
        assert!(answered.any(|ping| ping == pong), "a pong without a ping: {pong:?}");
    }
    assert_eq!(returned.pongs.last().map(|(payload, _)| payload), pings.last(), "the last ping has no pong");
    // In a short transfer there may be no ping but the last one.
    if length >= 16 * MEBIBYTE {
        let during = returned.pongs.iter().filter(|(_, before)| *before < length).count();
        assert!(during > 0, "no pong came while data flowed");
    }
}

async fn connect(gateway: SocketAddr) -> Socket {
    let socket = TcpStream::connect(gateway).await.expect("the gateway accepts");
    let request = exec_request(gateway, "command=cat&container=main&stdin=true&stdout=true");
    let (mut socket, _) = client_async(request, socket).await.expect("the upgrade succeeds");
    let first = timeout(TRANSFER, socket.next()).await.expect("the session opens in time");
    let first = first.expect("the session goes on").expect("a message");
    assert_eq!(
        first.into_data()[..],
        [STDOUT],
        "the first message is the empty one that says that all is ready"
    );
    socket
}

/// Sends all of `data` in pieces, some of them as fragments with pings between them, and half-closes. The pings' payloads.
async fn send(mut to: SplitSink<Socket, Message>, data: &[u8], random: &mut Random) -> Vec<Vec<u8>> {
    let mut pings = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(random.length(MEBIBYTE).min(rest.len()));
        rest = behind;
        let mut message = vec![STDIN];
        message.extend_from_slice(piece);
        if random.below(4) == 0 {
            send_fragments(&mut to, &message, random, &mut pings).await;
        } else {
            to.send(Message::Binary(message.into())).await.expect("the gateway takes data");
        }
        if random.below(4) == 0 {
            ping(&mut to, random, &mut pings).await;
        }
    }
    ping(&mut to, random, &mut pings).await;
    to.send(Message::Binary(vec![CLOSE, STDIN].into())).await.expect("the gateway takes a half-close");
    pings
}

/// Fragments may be empty, the first one too: then not even the channel is known.
async fn send_fragments(
    to: &mut SplitSink<Socket, Message>,
    message: &[u8],
    random: &mut Random,
    pings: &mut Vec<Vec<u8>>,
) {
    let (mut rest, mut opcode) = (message, Data::Binary);
    for left in (0..=1 + random.below(4)).rev() {
        let count = if left == 0 { rest.len() } else { random.below(rest.len() + 1) };
        let (fragment, behind) = rest.split_at(count);
        let frame = Frame::message(fragment.to_vec(), OpCode::Data(opcode), left == 0);
        to.send(Message::Frame(frame)).await.expect("the gateway takes a fragment");
        (rest, opcode) = (behind, Data::Continue);
        if left > 0 && random.below(2) == 0 {
            ping(to, random, pings).await;
        }
    }
}

async fn ping(to: &mut SplitSink<Socket, Message>, random: &mut Random, pings: &mut Vec<Vec<u8>>) {
    let mut payload = pings.len().to_be_bytes().to_vec();
    let length = random.below(118);
    payload.extend(random.bytes(length));
    to.send(Message::Ping(payload.clone().into())).await.expect("the gateway takes a ping");
    pings.push(payload);
}

/// Compares what comes with `data` as it comes, up to the end of the connection.
async fn receive(mut from: SplitStream<Socket>, data: &[u8]) -> Returned {
    let mut returned = Returned::default();
    while let Some(message) = from.next().await {
        match message.expect("the connection ends with a close") {
            Message::Binary(message) => match message.split_first() {
                Some((&STDOUT, piece)) => {
                    assert!(returned.status.is_empty(), "output behind the status");
                    let expected = data.get(returned.bytes..returned.bytes + piece.len());
                    assert!(
                        expected == Some(piece),
                        "{} bytes differ behind {}",
                        piece.len(),
                        returned.bytes
                    );
                    returned.bytes += piece.len();
                }
                Some((&ERROR, status)) => returned.status.extend_from_slice(status),
                other => panic!("an unexpected message: {:?}", other.map(|(channel, _)| channel)),
            },
            Message::Pong(payload) => returned.pongs.push((payload.to_vec(), returned.bytes)),
            Message::Close(frame) => returned.close_code = frame.map(|frame| frame.code.into()),
            other => panic!("an unexpected message: {other:?}"),
        }
    }
    returned
}
