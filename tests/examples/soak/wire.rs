//! A TCP connection between two programs, with a fault of its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::net::sockopt::set_socket_linger;
use strait_tests::Random;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What is stopped for so long ends; the servers are told to take a silent peer for dead earlier than that.
const LONG_STALL: Duration = Duration::from_secs(12);
/// Bytes of a direction that come in pieces, before it is as fast as any.
const SPLIT: usize = 64 * 1024;
/// Where faults are at the latest.
const REACH: usize = 300_000;

/// What a wire does to its connection.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) fault: Fault,
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    Clean,
    /// Pieces of up to so many bytes, with pauses.
    Pieces(usize),
    /// Behind so many bytes of one direction nothing more of it is passed on for a while.
    Stall(Direction, usize, Duration),
    /// Behind so many bytes both connections end, with RST or with FIN.
    Cut(Direction, usize, bool),
    /// Behind so many bytes of one direction it ends, and what comes later is lost. The other direction goes on.
    HalfClose(Direction, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

impl Plan {
    pub(crate) const CLEAN: Self = Self { fault: Fault::Clean, seed: 0 };

    /// The plan of that number, so that the number can say in a request what a wire is to do.
    pub(crate) fn of(number: u64) -> Self {
        let mut random = Random::new(number);
        let direction = if random.below(2) == 0 { Direction::Up } else { Direction::Down };
        let place = random.length(REACH);
        let fault = match random.below(20) {
            0..8 => Fault::Clean,
            8..12 => Fault::Pieces(1 << (1 + random.below(14))),
            12..14 => Fault::Stall(direction, place, Duration::from_millis(200 + random.below(2500) as u64)),
            14..18 => Fault::Cut(direction, place, random.below(2) == 0),
            18 => Fault::HalfClose(direction, place),
            _ => Fault::Stall(direction, place, LONG_STALL),
        };
        Self { fault, seed: number }
    }

    /// It loses nothing, and takes no longer than anybody bears.
    pub(crate) fn is_harmless(&self) -> bool {
        match self.fault {
            Fault::Clean | Fault::Pieces(_) => true,
            Fault::Stall(_, _, time) => time < LONG_STALL,
            Fault::Cut(..) | Fault::HalfClose(..) => false,
        }
    }
}

/// Listens, and connects whoever comes. Dropping it cuts everybody.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Wire {
    /// In front of one server, with one plan.
    pub(crate) async fn to(server: SocketAddr, plan: Plan) -> Result<Self> {
        Self::start(move |client| {
            let plan = plan.clone();
            async move { relay(client, &[], server, &plan).await }
        })
        .await
    }

    /// To whichever server `route` finds for the head of a request, which also says what is to happen to the connection.
    pub(crate) async fn by_head(
        route: impl Fn(&str) -> (SocketAddr, Plan) + Clone + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start(move |mut client| {
            let route = route.clone();
            async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                    ensure!(client.read_buf(&mut head).await? > 0, "no request");
                }
                let (server, plan) = route(&String::from_utf8_lossy(&head));
                relay(client, &head, server, &plan).await
            }
        })
        .await
    }

    async fn start<F: Future<Output = Result<()>> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(serve(client));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, _tasks: tasks })
    }
}

/// Why a direction has ended.
enum Ended {
    InOrder,
    /// Both directions have to.
    Cut,
}

async fn relay(client: TcpStream, head: &[u8], server: SocketAddr, plan: &Plan) -> Result<()> {
    client.set_nodelay(true)?;
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    server.write_all(head).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = pass(from_client, to_server, Direction::Up, plan);
    let down = pass(from_server, to_client, Direction::Down, plan);
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    // When the first has ended in order the other one goes on; when it is cut, both ends are dropped here.
    tokio::select! {
        ended = &mut up => if matches!(ended?, Ended::InOrder) { down.await?; },
        ended = &mut down => if matches!(ended?, Ended::InOrder) { up.await?; },
    }
    Ok(())
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    plan: &Plan,
) -> Result<Ended> {
    let mut random = Random::new(plan.seed ^ direction as u64);
    let (mut buffer, mut passed, mut is_closed) = (vec![0; 64 * 1024], 0, false);
    loop {
        let limit = match plan.fault {
            Fault::Pieces(most) if passed < SPLIT => 1 + random.below(most),
            Fault::Stall(side, place, _) | Fault::Cut(side, place, _) | Fault::HalfClose(side, place)
                if side == direction && passed < place =>
            {
                (place - passed).min(buffer.len())
            }
            _ => buffer.len(),
        };
        let count = match from.read(&mut buffer[..limit]).await {
            Ok(count @ 1..) => count,
            Ok(0) => {
                to.shutdown().await?;
                return Ok(Ended::InOrder);
            }
            Err(error) if is_reset(&error) => {
                // What was reset on one side is on the other.
                set_socket_linger(to.as_ref(), Some(Duration::ZERO))?;
                return Ok(Ended::Cut);
            }
            Err(_) => return Ok(Ended::Cut),
        };
        if !is_closed {
            to.write_all(&buffer[..count]).await?;
        }
        passed += count;
        match plan.fault {
            Fault::Pieces(_) if passed < SPLIT && random.below(16) == 0 => {
                tokio::time::sleep(Duration::from_millis(random.below(10) as u64)).await;
            }
            Fault::Stall(side, place, time) if side == direction && passed == place => {
                tokio::time::sleep(time).await;
            }
            Fault::Cut(side, place, is_reset) if side == direction && passed == place => {
                if is_reset {
                    set_socket_linger(to.as_ref(), Some(Duration::ZERO))?;
                    set_socket_linger(from.as_ref(), Some(Duration::ZERO))?;
                }
                return Ok(Ended::Cut);
            }
            Fault::HalfClose(side, place) if side == direction && passed == place => {
                to.shutdown().await?;
                is_closed = true;
            }
            _ => {}
        }
    }
}

fn is_reset(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::ConnectionReset
}
