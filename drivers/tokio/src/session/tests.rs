use strait::Limits;
use strait::k8s::{StreamSet, Subprotocol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use strait::bridge::ExecBridge;
use strait::leg::{SpdyLeg, WebSocketLeg};
use strait::spdy::SkipBlocks;

/// As TLS does, a buffered writer keeps what it took until it is flushed.
#[tokio::test]
async fn what_was_written_does_not_wait_in_a_buffer() {
    let (near, mut far) = duplex(1024);
    let streams = StreamSet { stdin: false, stdout: true, stderr: false, tty: false };
    let leg = WebSocketLeg::server(Subprotocol::V5, &Limits::HOST);
    let bridge: ExecBridge<_, SpdyLeg<SkipBlocks>> = ExecBridge::new(leg, streams, &Limits::HOST);
    let dial: Dial<tokio::io::DuplexStream, _> = Box::pin(std::future::pending());
    let stop = CancellationToken::new();
    let session = Session::new(bridge, BufStream::new(near), &[], dial, &Pool::new(0), stop);
    tokio::spawn(session.run());
    let mut ready = [0; 3];
    let read = timeout(Duration::from_secs(10), far.read_exact(&mut ready)).await;
    read.expect("the ready message was not sent").unwrap();
    assert_eq!(ready, [0x82, 1, 1]);
}

/// Its FIN waits behind input, for which there is no upstream yet and no room.
#[tokio::test]
async fn a_client_that_left_behind_input_that_nobody_reads_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (far, near) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (mut far, near) = (far.unwrap(), near.unwrap().0);
    let streams = StreamSet { stdin: true, stdout: true, stderr: false, tty: false };
    let bridge: ExecBridge<_, SpdyLeg<SkipBlocks>> =
        ExecBridge::new(WebSocketLeg::server(Subprotocol::V5, &Limits::HOST), streams, &Limits::HOST);
    let dial: Dial<TcpStream, SpdyLeg<SkipBlocks>> = Box::pin(std::future::pending());
    let session = Session::new(bridge, near, &[], dial, &Pool::new(0), CancellationToken::new());
    let session = tokio::spawn(session.run());
    let header = [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0x86, 0xa0, 0, 0, 0, 0];
    far.write_all(&[&header[..], &vec![0; 100_000]].concat()).await.unwrap();
    // With something unread its system would send an RST at once.
    far.read_exact(&mut [0; 3]).await.unwrap();
    drop(far);
    let summary = timeout(Duration::from_secs(10), session).await.expect("it is not noticed").unwrap();
    assert_eq!(summary.outcome, Outcome::ClientLost);
}
