use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// A relay that holds for a while what it passes on, as a long way would. Its connections themselves are made at once.
#[derive(Debug)]
pub(crate) struct Delay {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Nanoseconds of one way.
    way: Arc<AtomicU64>,
}

impl Delay {
    /// A relay to `address`, without a delay so far. It serves as long as this program runs.
    pub(crate) fn start(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let delay = Self { address: listener.local_addr()?, way: Arc::default() };
        let way = Arc::clone(&delay.way);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Err(error) = relay(&client, address, &way) {
                    eprintln!("delay: {error:#}");
                }
            }
        });
        Ok(delay)
    }

    /// From now on a round trip takes so much longer.
    pub(crate) fn set(&self, round_trip: Duration) {
        let nanoseconds = u64::try_from((round_trip / 2).as_nanos()).unwrap_or(u64::MAX);
        self.way.store(nanoseconds, Ordering::SeqCst);
    }
}

fn relay(client: &TcpStream, to: SocketAddr, way: &Arc<AtomicU64>) -> Result<()> {
    let server = TcpStream::connect(to)?;
    for (from, to) in [(client, &server), (&server, client)] {
        to.set_nodelay(true)?;
        let (mut from, to, way) = (from.try_clone()?, to.try_clone()?, Arc::clone(way));
        let (sender, pieces) = mpsc::channel();
        thread::spawn(move || write(to, &pieces));
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let due = Instant::now() + Duration::from_nanos(way.load(Ordering::SeqCst));
                if sender.send((due, buffer[..count].to_vec())).is_err() {
                    break;
                }
            }
        });
    }
    Ok(())
}

/// Writes pieces when they are due, and then the end.
fn write(mut to: TcpStream, pieces: &Receiver<(Instant, Vec<u8>)>) {
    for (due, piece) in pieces {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
