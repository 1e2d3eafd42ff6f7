use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::session::read_head;

/// A wire between two servers that can break: it looks at the head of each connection and passes all bytes on.
///
/// A request whose head has the word `refuseNNN` is answered with the status code NNN, and not passed on.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    cuts: broadcast::Sender<String>,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

/// What a proxy does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It passes them on.
    Pass,
    /// It takes them and drops them, and tells nobody of an end before it passes bytes on again.
    Swallow,
    /// It does not take them, and tells nobody of an end: the windows of TCP fill up.
    Stall,
}

impl Proxy {
    /// Starts one in front of `upstream`, on the runtime of the caller, which ends it too.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let (mode, modes) = watch::channel(Mode::Pass);
        let (cuts, _) = broadcast::channel(1000);
        let (heads, mut tasks) = (Arc::<Mutex<Vec<String>>>::default(), JoinSet::new());
        let (order, seen) = (cuts.clone(), Arc::clone(&heads));
        tasks.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let wire = Wire { modes: modes.clone(), cuts: order.subscribe(), heads: Arc::clone(&seen) };
                wires.spawn(async move {
                    // A broken connection is what these are for.
                    let _ = wire.run(client, upstream).await;
                });
            }
        });
        Self { address, mode, cuts, heads, _tasks: tasks }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it does with bytes from now on, on all connections.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Closes both ends of each connection whose head has this word.
    pub fn cut(&self, word: &str) {
        self.cuts.send(word.into()).expect("somebody is connected");
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Wire {
    modes: watch::Receiver<Mode>,
    cuts: broadcast::Receiver<String>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Wire {
    async fn run(mut self, mut client: TcpStream, upstream: SocketAddr) -> Result<()> {
        client.set_nodelay(true)?;
        let (head, behind) = read_head(&mut client).await?;
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
        if let Some(code) = head.split("refuse").nth(1).and_then(|rest| rest.get(..3)) {
            let answer = format!("HTTP/1.1 {code} Refused\r\nContent-Length: 6\r\n\r\nno {code}");
            client.write_all(answer.as_bytes()).await?;
            return Ok(());
        }
        let mut upstream = TcpStream::connect(upstream).await?;
        upstream.set_nodelay(true)?;
        upstream.write_all(head.as_bytes()).await?;
        upstream.write_all(&behind).await?;
        let (from_client, to_client) = client.into_split();
        let (from_upstream, to_upstream) = upstream.into_split();
        let up = pass_on(from_client, to_upstream, self.modes.clone());
        let down = pass_on(from_upstream, to_client, self.modes.clone());
        tokio::select! {
            ended = async { tokio::try_join!(up, down) } => ended.map(|_| ()),
            () = ordered(&mut self.cuts, &head) => Ok(()),
        }
    }
}

/// Waits for the order to cut the connection with this head.
async fn ordered(cuts: &mut broadcast::Receiver<String>, head: &str) {
    loop {
        match cuts.recv().await {
            Ok(word) if head.contains(&word) => return,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut modes: watch::Receiver<Mode>,
) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        modes.wait_for(|mode| *mode != Mode::Stall).await?;
        let count = tokio::select! {
            count = from.read(&mut buffer) => count,
            _ = modes.wait_for(|mode| *mode == Mode::Stall) => continue,
        };
        let is_passed = *modes.borrow() == Mode::Pass;
        match count {
            Ok(count @ 1..) if is_passed => to.write_all(&buffer[..count]).await?,
            Ok(1..) => {}
            // An end is not lost: it comes late.
            Ok(0) => {
                modes.wait_for(|mode| *mode == Mode::Pass).await?;
                return Ok(to.shutdown().await?);
            }
            Err(error) => {
                modes.wait_for(|mode| *mode == Mode::Pass).await?;
                bail!(error);
            }
        }
    }
}
