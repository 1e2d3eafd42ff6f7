use std::future::poll_fn;
use std::task::Poll;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::*;

/// Two ends of a connection whose first one has 3 bytes that nobody reads.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (far, near) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (mut far, near) = (far.unwrap(), near.unwrap().0);
    far.write_all(b"abc").await.unwrap();
    (near, far)
}

async fn becomes(io: &TcpStream, peer: Peer) {
    for _ in 0..1000 {
        if io.peer() == peer {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it is {:?}, not {peer:?}", io.peer());
}

#[tokio::test]
async fn a_half_close_behind_data_is_no_loss() {
    let (mut near, mut far) = connection().await;
    assert_eq!(near.peer(), Peer::Connected);
    far.shutdown().await.unwrap();
    becomes(&near, Peer::HalfClosed).await;
    near.write_all(b"ping").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(near.peer(), Peer::HalfClosed, "it reads");
}

#[tokio::test]
async fn a_peer_that_is_gone_shows_when_it_is_asked() {
    let (mut near, far) = connection().await;
    drop(far);
    becomes(&near, Peer::HalfClosed).await;
    near.write_all(b"ping").await.unwrap();
    becomes(&near, Peer::Gone).await;
}

#[tokio::test]
async fn an_aborted_connection_is_gone_at_once() {
    let (near, far) = connection().await;
    far.abort();
    drop(far);
    becomes(&near, Peer::Gone).await;
}

#[derive(Clone, Copy)]
struct Known(Peer);

impl Tcp for Known {
    fn peer(&self) -> Peer {
        self.0
    }
}

/// Looks once, as if woken for it, and returns what was seen `Hangup::INTERVAL` later.
async fn next(watch: &mut Watch, peer: Peer, received: u64, is_read: bool) -> Seen {
    tokio::time::advance(Hangup::INTERVAL + Duration::from_millis(1)).await;
    watch.is_read = is_read;
    poll_fn(|cx| Poll::Ready(watch.poll(cx, &Known(peer), received))).await
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_looked_at_while_nothing_moves() {
    let mut watch = Watch::default();
    assert_eq!(next(&mut watch, Peer::Gone, 7, true).await, Seen::Nothing, "it is read");
    assert_eq!(next(&mut watch, Peer::Gone, 7, false).await, Seen::Nothing, "not for long");
    assert_eq!(next(&mut watch, Peer::Gone, 8, false).await, Seen::Nothing, "something was read");
    assert_eq!(next(&mut watch, Peer::Gone, 8, false).await, Seen::Gone);
    assert_eq!(next(&mut watch, Peer::Gone, 8, true).await, Seen::Nothing, "it is read");
    assert_eq!(next(&mut watch, Peer::Gone, 8, false).await, Seen::Nothing, "not for long");
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_for_the_next_look() {
    let (mut watch, start) = (Watch::default(), Instant::now());
    poll_fn(|cx| match watch.poll(cx, &Known(Peer::Gone), 0) {
        Seen::Gone => Poll::Ready(()),
        _ => Poll::Pending,
    })
    .await;
    assert!((Hangup::INTERVAL..2 * Hangup::INTERVAL).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_half_closed_is_asked_once() {
    let mut watch = Watch::default();
    let mut asked = 0;
    for _ in 0..6 {
        asked += usize::from(next(&mut watch, Peer::HalfClosed, 0, false).await == Seen::Ask);
    }
    assert_eq!(asked, 1);
}
