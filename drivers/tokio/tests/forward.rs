//! What other connections of a port-forward keep of their throughput when the reader of one stops.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use strait::Limits;
use strait_tokio::node::Node;
use strait_tokio::port_forward::{self, ForwardError, Forwarder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const STALL: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(5);

/// A node that takes a reader for stopped soon, and a client of it over SPDY.
async fn forwarder(stop: &CancellationToken) -> io::Result<Forwarder> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let limits = Limits { stall: STALL, ..Limits::HOST };
    tokio::spawn(Node::new("demo").with_limits(limits).serve(listener, stop.clone()));
    let mut io = TcpStream::connect(address).await?;
    let head = "POST /portForward/default/demo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                X-Stream-Protocol-Version: portforward.k8s.io\r\nContent-Length: 0\r\n\r\n";
    io.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(io.read_u8().await?);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    let (forwarder, connection) = port_forward::client(io, &[], &Limits::HOST);
    tokio::spawn(connection);
    Ok(forwarder)
}

/// A server that reads all, or nothing.
async fn target(reads: bool) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if reads {
                tokio::spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
            } else {
                kept.push(stream);
            }
        }
    });
    Ok(address)
}

/// Bytes that a connection takes in the time.
async fn throughput(forwarder: &Forwarder, target: SocketAddr) -> io::Result<u64> {
    let mut stream = forwarder.open(target.port()).await.map_err(io::Error::other)?;
    let (piece, started, mut sent) = (vec![7; 64 * 1024], Instant::now(), 0);
    while started.elapsed() < MEASURED {
        stream.write_all(&piece).await?;
        sent += piece.len() as u64;
    }
    Ok(sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_others_keep_half_of_their_throughput_when_one_reader_stops() -> io::Result<()> {
    let stop = CancellationToken::new();
    let forwarder = forwarder(&stop).await?;
    let (sink, deaf) = (target(true).await?, target(false).await?);
    let before = throughput(&forwarder, sink).await?;
    let mut stuck = forwarder.open(deaf.port()).await.map_err(io::Error::other)?;
    let stuck = tokio::spawn(async move {
        let piece = vec![7; 64 * 1024];
        while stuck.write_all(&piece).await.is_ok() {}
        stuck.result().await
    });
    let beside = throughput(&forwarder, sink).await?;
    let after = throughput(&forwarder, sink).await?;
    println!("bytes in {MEASURED:?}: {before} before, {beside} beside a stopped one, {after} after it");
    let Err(ForwardError::Remote(text)) = stuck.await? else { panic!("it is not told") };
    assert!(text.contains("nothing was read of the connection for 1s"), "{text}");
    // The machine has other things to do, too.
    assert!(beside * 2 >= before.min(after));
    stop.cancel();
    Ok(())
}
