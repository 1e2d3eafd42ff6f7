//! What is the least that could stand in a gateway's place, on the same runtime with the same options of sockets: the relays that it is
//! compared with.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of the buffer of each direction.
const BUFFER: usize = 64 * 1024;

/// Relays every connection to `upstream`, until this program is killed.
pub(crate) fn serve(copies: bool, upstream: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("ready http://{}", listener.local_addr()?);
        loop {
            let (client, _) = listener.accept().await?;
            if copies { spawn(copy(client, upstream)) } else { spawn(relay(client, upstream)) }
        }
    })
}

fn spawn(relaying: impl Future<Output = io::Result<()>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = relaying.await {
            eprintln!("relay: {error}");
        }
    });
}

async fn copy(mut client: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let mut upstream = dial(&client, upstream).await?;
    copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER).await?;
    Ok(())
}

async fn relay(mut client: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let mut upstream = dial(&client, upstream).await?;
    let (from_client, to_client) = client.split();
    let (from_upstream, to_upstream) = upstream.split();
    tokio::try_join!(pass(from_client, to_upstream), pass(from_upstream, to_client)).map(|_| ())
}

async fn dial(client: &TcpStream, upstream: SocketAddr) -> io::Result<TcpStream> {
    client.set_nodelay(true)?;
    let upstream = TcpStream::connect(upstream).await?;
    upstream.set_nodelay(true)?;
    Ok(upstream)
}

async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await? {
            0 => return to.shutdown().await,
            count => to.write_all(&buffer[..count]).await?,
        }
    }
}
