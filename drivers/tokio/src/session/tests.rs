use strait::Limits;
use strait::k8s::{StreamSet, Subprotocol};
use tokio::io::{AsyncReadExt as _, BufStream, duplex};
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
