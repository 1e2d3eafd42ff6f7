use std::future::poll_fn;
use std::pin::Pin;

use super::*;

const OUTPUT: StreamSet = StreamSet { stdin: false, stdout: true, stderr: false, tty: false };
const BOTH: StreamSet = StreamSet { stdin: true, ..OUTPUT };

/// A keeper whose process is played by the test, and what the process gets to read.
fn stage() -> (Keeper, mpsc::Receiver<Box<[u8]>>) {
    let keeper = Keeper::new(MainProcess::new("true"));
    let window = Process::spawn(&keeper.process.command).unwrap().window();
    let (stdin, keys) = mpsc::channel(KEYS);
    *keeper.stage() = Some(Stage { stdin, window, audience: Vec::new() });
    (keeper, keys)
}

/// The next output, empty at its end.
async fn next(share: &mut Share) -> Vec<u8> {
    let mut room = vec![0; PIECE];
    let (channel, count) = poll_fn(|cx| share.poll_output(cx, &mut room)).await;
    assert_eq!(channel, Channel::STDOUT);
    room.truncate(count);
    room
}

#[tokio::test]
async fn nobody_gets_what_was_written_before_and_everybody_what_comes_then() {
    let (keeper, _keys) = stage();
    keeper.tell(Channel::STDOUT, b"before").await;
    let (mut one, mut other) = (keeper.attach(OUTPUT).unwrap(), keeper.attach(OUTPUT).unwrap());
    keeper.tell(Channel::STDERR, b"not asked for").await;
    keeper.tell(Channel::STDOUT, b"then").await;
    keeper.close(Exit::Code(7));
    assert!(keeper.attach(OUTPUT).is_none(), "it does not run any more");
    for share in [&mut one, &mut other] {
        assert_eq!(share.end(), None);
        assert_eq!(next(share).await, b"then");
        assert_eq!(next(share).await, b"");
        assert_eq!(share.end(), Some(Ok(Exit::Code(7))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_takes_nothing_is_waited_for_and_then_cut_off() {
    let (keeper, _keys) = stage();
    let (mut deaf, mut other) = (keeper.attach(OUTPUT).unwrap(), keeper.attach(OUTPUT).unwrap());
    let started = Instant::now();
    for _ in 0..=PIECES {
        keeper.tell(Channel::STDOUT, &vec![b'x'; PIECE]).await;
        assert_eq!(next(&mut other).await.len(), PIECE);
    }
    assert_eq!(started.elapsed(), STALL, "only the one that did not fit has waited");
    keeper.tell(Channel::STDOUT, b"on").await;
    assert_eq!(started.elapsed(), STALL, "it is not waited for again");
    assert_eq!(next(&mut other).await, b"on");
    for _ in 0..PIECES {
        assert_eq!(next(&mut deaf).await.len(), PIECE);
    }
    assert_eq!(next(&mut deaf).await, b"");
    assert_eq!(deaf.end(), Some(Err(Stalled)));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_gone_holds_nobody_up() {
    let (keeper, _keys) = stage();
    let full = keeper.attach(OUTPUT).unwrap();
    for _ in 0..PIECES {
        keeper.tell(Channel::STDOUT, b"x").await;
    }
    let started = Instant::now();
    let mut telling = Box::pin(keeper.tell(Channel::STDOUT, b"x"));
    assert!(poll_fn(|cx| std::task::Poll::Ready(telling.as_mut().poll(cx))).await.is_pending());
    drop(full);
    telling.await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    drop(keeper.attach(OUTPUT));
    let _last = keeper.attach(OUTPUT);
    assert_eq!(
        keeper.stage().as_ref().map(|stage| stage.audience.len()),
        Some(1),
        "the others are forgotten"
    );
}

#[tokio::test]
async fn the_exit_reaches_a_session_that_is_full_and_one_without_outputs() {
    let (keeper, _keys) = stage();
    let (mut full, mut deaf) =
        (keeper.attach(OUTPUT).unwrap(), keeper.attach(StreamSet { stdout: false, ..BOTH }).unwrap());
    for _ in 0..PIECES {
        keeper.tell(Channel::STDOUT, b"x").await;
    }
    keeper.close(Exit::Signal(9));
    for _ in 0..PIECES {
        assert_eq!(next(&mut full).await, b"x");
    }
    assert_eq!(next(&mut full).await, b"");
    assert_eq!(full.end(), Some(Ok(Exit::Signal(9))));
    let asked = poll_fn(|cx| std::task::Poll::Ready(deaf.poll_output(cx, &mut [0]))).await;
    assert!(asked.is_pending());
    assert_eq!(deaf.end(), Some(Ok(Exit::Signal(9))));
}

#[tokio::test]
async fn input_is_merged_and_goes_on_after_one_has_ended_its_own() {
    let (keeper, mut keys) = stage();
    let (mut one, mut other) = (keeper.attach(BOTH).unwrap(), keeper.attach(BOTH).unwrap());
    assert_eq!(poll_fn(|cx| one.poll_input(cx, b"a")).await, 1);
    assert_eq!(poll_fn(|cx| other.poll_input(cx, b"b")).await, 1);
    assert!(one.end_input() && !one.end_input());
    assert_eq!(poll_fn(|cx| one.poll_input(cx, b"lost")).await, 0);
    assert_eq!(poll_fn(|cx| other.poll_input(cx, b"c")).await, 1);
    other.last_input(b"d");
    drop((one, other));
    let mut read = Vec::new();
    while let Ok(piece) = keys.try_recv() {
        read.extend_from_slice(&piece);
    }
    assert_eq!(read, b"abcd");
}

/// What a process left in the background writes for ever.
struct Endless;

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        buffer.put_slice(&vec![b'x'; buffer.remaining()]);
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_in_the_background_keeps_nobody_for_ever() {
    let (keeper, _keys) = stage();
    let exited = CancellationToken::new();
    exited.cancel();
    keeper.relay(Some(Endless), Channel::STDOUT, &exited).await;
    let (silent, mut kept_open) = tokio::io::duplex(100);
    kept_open.write_all(b"last words").await.unwrap();
    let mut share = keeper.attach(OUTPUT).unwrap();
    keeper.relay(Some(silent), Channel::STDOUT, &exited).await;
    assert_eq!(next(&mut share).await, b"last words");
}
