use super::*;
use strait::spdy::{Event, HeaderWriter, Receiver, SkipBlocks, StreamId};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

const LIMITS: Limits = Limits {
    stream_buffer: 64 * 1024,
    session_buffer: 1024 * 1024,
    stall: Duration::from_secs(2),
    pairs: 16,
    ..Limits::HOST
};

/// Both ends of a connection, each running.
fn connected() -> (Forwarder, Pairs) {
    connected_with(LIMITS)
}

fn connected_with(limits: Limits) -> (Forwarder, Pairs) {
    let (here, there) = duplex(16 * 1024);
    let (opener, connection) = client(here, &[], &limits);
    tokio::spawn(connection);
    let (pairs, connection) = server(there, &[], &limits);
    tokio::spawn(connection);
    (opener, pairs)
}

async fn pair(opener: &Forwarder, pairs: &mut Pairs) -> (Forwarded, Incoming) {
    let (forwarded, incoming) = tokio::join!(opener.open(80), pairs.next());
    (forwarded.unwrap(), incoming.unwrap())
}

/// A server that joins each connection with what `serve` makes.
fn serve(mut pairs: Pairs, target: impl Fn(u16) -> DuplexStream + Send + 'static) {
    tokio::spawn(async move {
        while let Some(incoming) = pairs.next().await {
            let target = target(incoming.port);
            tokio::spawn(async move {
                match incoming.join(target).await {
                    Ok(()) => incoming.finish(),
                    Err(error) => incoming.fail(error).await,
                }
            });
        }
    });
}

/// A target that sends back what it gets.
fn echo() -> DuplexStream {
    let (near, far) = duplex(8 * 1024);
    tokio::spawn(async move {
        let (mut reader, mut writer) = tokio::io::split(far);
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        let _ = writer.shutdown().await;
    });
    near
}

/// A target that reads nothing.
fn deaf() -> DuplexStream {
    let (near, far) = duplex(1);
    tokio::spawn(async move {
        let _far = far;
        pending::<()>().await;
    });
    near
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|index| ((index * 31 + seed) % 251) as u8).collect()
}

#[tokio::test(start_paused = true)]
async fn bytes_and_half_closes_go_both_ways() {
    let (opener, mut pairs) = connected();
    let (mut forwarded, incoming) = pair(&opener, &mut pairs).await;
    assert_eq!((incoming.port, incoming.request), (80, 0));
    let sent = pattern(300_000, 1);
    let (near, mut far) = duplex(1000);
    let joined = tokio::spawn(async move {
        incoming.join(near).await.unwrap();
        incoming.finish();
    });
    let mut got = Vec::new();
    tokio::try_join!(
        async {
            forwarded.write_all(&sent).await?;
            forwarded.shutdown().await
        },
        far.read_to_end(&mut got)
    )
    .unwrap();
    assert_eq!(got, sent);
    // The other half goes on for as long as it takes.
    tokio::time::sleep(Duration::from_secs(100)).await;
    far.write_all(b"late").await.unwrap();
    drop(far);
    let mut late = Vec::new();
    forwarded.read_to_end(&mut late).await.unwrap();
    assert_eq!(late, b"late");
    forwarded.result().await.unwrap();
    joined.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn many_at_a_time_keep_their_bytes_apart() {
    let (opener, pairs) = connected();
    serve(pairs, |_| echo());
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 0..16 {
        let opener = opener.clone();
        tasks.spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(opener.open(80).await.unwrap());
            let (sent, mut got) = (pattern(200_000, seed), Vec::new());
            tokio::try_join!(
                async {
                    writer.write_all(&sent).await?;
                    writer.shutdown().await
                },
                reader.read_to_end(&mut got)
            )
            .unwrap();
            assert!(got == sent);
            reader.unsplit(writer).result().await.unwrap();
        });
    }
    tasks.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_behind_the_data_and_concerns_no_other() {
    let (opener, mut pairs) = connected();
    let (mut other, kept) = pair(&opener, &mut pairs).await;
    let (mut forwarded, incoming) = pair(&opener, &mut pairs).await;
    incoming.data.put(&pattern(50_000, 0)).await.unwrap();
    let failed = tokio::spawn(incoming.fail("connection refused"));
    let mut got = Vec::new();
    let error = forwarded.read_to_end(&mut got).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(got, pattern(50_000, 0));
    let error = forwarded.result().await.unwrap_err();
    assert!(matches!(&error, ForwardError::Remote(text) if text == "connection refused"), "{error:?}");
    failed.await.unwrap();
    kept.data.put(b"fine").await.unwrap();
    let mut four = [0; 4];
    other.read_exact(&mut four).await.unwrap();
    assert_eq!(&four, b"fine");
}

/// As containerd 1.6 does it.
#[tokio::test(start_paused = true)]
async fn a_failure_without_a_reset_ends_what_is_open_at_this_end() {
    let (opener, mut pairs) = connected();
    let (forwarded, incoming) = pair(&opener, &mut pairs).await;
    let (near, mut far) = duplex(1000);
    let joined = tokio::spawn(forwarded.join(near));
    incoming.data.put(&pattern(50_000, 0)).await.unwrap();
    incoming.error.put(b"connection refused").await.unwrap();
    incoming.error.finish();
    incoming.data.finish();
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, pattern(50_000, 0));
    // The connection at this end still stands.
    let error = joined.await.unwrap().unwrap_err();
    assert!(matches!(&error, ForwardError::Remote(text) if text == "connection refused"), "{error:?}");
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connection_is_reset_at_once() {
    let (opener, mut pairs) = connected();
    let (forwarded, incoming) = pair(&opener, &mut pairs).await;
    drop(forwarded);
    assert_eq!(incoming.gone().await, StreamError::Reset(RstStatus::CANCEL));
    let (forwarded, incoming) = pair(&opener, &mut pairs).await;
    drop(incoming);
    forwarded.data.gone().await;
    let error = forwarded.result().await.unwrap_err();
    assert!(matches!(error, ForwardError::Stream(StreamError::Reset(RstStatus::CANCEL))), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_came_in_front_of_a_reset_is_delivered() {
    let (opener, mut pairs) = connected();
    let (mut forwarded, incoming) = pair(&opener, &mut pairs).await;
    forwarded.write_all(&pattern(40_000, 3)).await.unwrap();
    forwarded.data.flushed().await.unwrap();
    drop(forwarded);
    let (near, mut far) = duplex(1000);
    let joined = tokio::spawn(async move { incoming.join(near).await });
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, pattern(40_000, 3));
    assert!(matches!(joined.await.unwrap(), Err(ForwardError::Stream(StreamError::Reset(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_is_reset_alone_and_the_others_go_on() {
    let (opener, pairs) = connected();
    serve(pairs, |port| if port == 80 { echo() } else { deaf() });
    let mut stuck = opener.open(81).await.unwrap();
    let writes = tokio::spawn(async move {
        let bytes = pattern(64 * 1024, 0);
        loop {
            if let Err(error) = stuck.write_all(&bytes).await {
                break (error, stuck.result().await);
            }
        }
    });
    let mut forwarded = opener.open(80).await.unwrap();
    let sent = pattern(30_000, 1);
    let started = tokio::time::Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        forwarded.write_all(&sent).await.unwrap();
        let mut got = vec![0; sent.len()];
        forwarded.read_exact(&mut got).await.unwrap();
        assert!(got == sent);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (error, result) = writes.await.unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let Err(ForwardError::Remote(text)) = result else { panic!("{result:?}") };
    assert!(text.contains("nothing was read of the connection for 2s"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_loses_nothing_and_is_not_reset() {
    const ALL: usize = 2_000_000;
    let (opener, mut pairs) = connected();
    let (_idle, _kept) = pair(&opener, &mut pairs).await;
    let (mut forwarded, mut incoming) = pair(&opener, &mut pairs).await;
    let writer = tokio::spawn(async move {
        forwarded.write_all(&pattern(ALL, 7)).await.unwrap();
        forwarded.shutdown().await.unwrap();
        forwarded
    });
    let (mut got, mut piece) = (Vec::new(), vec![0; 10_000]);
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match incoming.data.read(&mut piece).await.unwrap() {
            0 => break,
            count => got.extend_from_slice(&piece[..count]),
        }
    }
    assert!(got == pattern(ALL, 7));
    drop(writer.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_alone_may_stop_for_long() {
    let (opener, mut pairs) = connected();
    let (mut forwarded, mut incoming) = pair(&opener, &mut pairs).await;
    let writer = tokio::spawn(async move {
        forwarded.write_all(&pattern(500_000, 7)).await.unwrap();
        forwarded.shutdown().await.unwrap();
        forwarded
    });
    tokio::time::sleep(Duration::from_mins(10)).await;
    let mut got = Vec::new();
    incoming.data.read_to_end(&mut got).await.unwrap();
    assert!(got == pattern(500_000, 7));
    drop(writer.await.unwrap());
}

/// A new connection comes through although nobody reads the only one there is, and is served.
#[tokio::test(start_paused = true)]
async fn a_connection_can_be_opened_beside_one_that_nobody_reads() {
    let (opener, mut pairs) = connected();
    let (mut forwarded, unread) = pair(&opener, &mut pairs).await;
    let writer = tokio::spawn(async move { while forwarded.write_all(&pattern(10_000, 0)).await.is_ok() {} });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (_second, incoming) = pair(&opener, &mut pairs).await;
    assert_eq!(incoming.request, 1);
    assert_eq!(unread.gone().await, StreamError::Stalled(LIMITS.stall));
    drop(unread);
    writer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn more_connections_than_the_limit_are_refused() {
    let limits = Limits { pairs: 1, ..LIMITS };
    let (here, there) = duplex(1024);
    let (opener, connection) = client(here, &[], &LIMITS);
    tokio::spawn(connection);
    let (mut pairs, connection) = server(there, &[], &limits);
    tokio::spawn(connection);
    let (first, incoming) = pair(&opener, &mut pairs).await;
    let refused = opener.open(80).await.unwrap_err();
    assert_eq!(refused, OpenError::Refused(RstStatus::REFUSED_STREAM));
    drop((first, incoming));
    tokio::time::sleep(Duration::from_secs(1)).await;
    pair(&opener, &mut pairs).await;

    let (opener, mut pairs) = connected_with(limits);
    let _first = pair(&opener, &mut pairs).await;
    assert_eq!(opener.open(80).await.unwrap_err(), OpenError::TooMany);
}

#[tokio::test(start_paused = true)]
async fn stream_numbers_run_out_and_then_the_connection_ends_with_its_last_stream() {
    let (here, there) = duplex(1024);
    let (opener, connection) = client(here, &[], &LIMITS);
    let client_end = tokio::spawn(connection);
    let (mut pairs, connection) = server(there, &[], &LIMITS);
    let server_end = tokio::spawn(connection);
    opener.shared.lock().set_next_own(StreamId::MAX.get() - 2);
    let (forwarded, incoming) = pair(&opener, &mut pairs).await;
    assert_eq!(opener.open(80).await.unwrap_err(), OpenError::IdsExhausted);
    incoming.data.put(b"goes on").await.unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(!client_end.is_finished() && !server_end.is_finished());
    assert!(forwarded.data.check().is_ok());
    drop(forwarded);
    drop(incoming);
    let ends = (client_end.await.unwrap(), server_end.await.unwrap());
    assert!(
        matches!(ends, (End::Closed, End::Closed | End::Finished) | (End::Finished, End::Closed)),
        "{ends:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_nobody_accepts_times_out() {
    let (here, _there) = duplex(64 * 1024);
    let (opener, connection) = client(here, &[], &Limits { peer_timeout: Duration::ZERO, ..LIMITS });
    tokio::spawn(connection);
    let started = tokio::time::Instant::now();
    assert_eq!(opener.open(80).await.unwrap_err(), OpenError::TimedOut);
    assert_eq!(started.elapsed(), LIMITS.stream_creation);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_an_idle_connection_and_find_a_silent_peer() {
    let (opener, mut pairs) = connected();
    let (forwarded, _incoming) = pair(&opener, &mut pairs).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(forwarded.data.check().is_ok());

    let (here, _there) = duplex(64 * 1024);
    let (opener, connection) = client(here, &[], &LIMITS);
    let (end, pair) = tokio::join!(connection, opener.open(80));
    assert_eq!(end, End::PeerTimeout);
    assert!(pair.is_err());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_what_is_open() {
    let (here, there) = duplex(64 * 1024);
    let (opener, connection) = client(here, &[], &LIMITS);
    let near = tokio::spawn(connection);
    let (mut pairs, connection) = server(there, &[], &LIMITS);
    let far = tokio::spawn(connection);
    let (forwarded, incoming) = pair(&opener, &mut pairs).await;
    opener.close();
    assert_eq!(near.await.unwrap(), End::Closed);
    assert_eq!(far.await.unwrap(), End::Finished);
    assert_eq!(forwarded.data.gone().await, StreamError::Lost);
    assert_eq!(incoming.gone().await, StreamError::Reset(RstStatus::CANCEL));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_cut_is_lost_at_both_ends() {
    let (here, there) = duplex(1024);
    let (opener, connection) = client(here, &[], &LIMITS);
    let near = tokio::spawn(connection);
    let (mut pairs, connection) = server(there, &[], &LIMITS);
    let far = tokio::spawn(connection);
    let (forwarded, incoming) = pair(&opener, &mut pairs).await;
    near.abort();
    assert_eq!(incoming.gone().await, StreamError::Lost);
    assert!(matches!(far.await.unwrap(), End::Lost(_)));
    assert_eq!(forwarded.data.gone().await, StreamError::Lost);
    assert_eq!(opener.open(80).await.unwrap_err(), OpenError::Closed);
    assert!(pairs.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_in_its_time() {
    let limits = Limits { idle: Duration::from_mins(1), ..LIMITS };
    let (here, there) = duplex(1024);
    let (opener, connection) = client(here, &[], &limits);
    let near = tokio::spawn(connection);
    let (mut pairs, connection) = server(there, &[], &LIMITS);
    tokio::spawn(connection);
    let _pair = pair(&opener, &mut pairs).await;
    let started = tokio::time::Instant::now();
    assert_eq!(near.await.unwrap(), End::Idle);
    assert!(started.elapsed() >= Duration::from_mins(1));
}

/// The text of the error stream, and the resets, of a client that opens `stream` and nothing else.
async fn half_a_pair(stream: &str) -> (String, Vec<u32>) {
    let (mut client, there) = duplex(64 * 1024);
    let (mut pairs, connection) = server(there, &[], &Limits { ping_interval: Duration::ZERO, ..LIMITS });
    tokio::spawn(connection);
    let headers = [("streamtype", stream), ("port", "80"), ("requestid", "5")];
    let mut wire = [0; 256];
    let one = StreamId::new(1).unwrap();
    let len = HeaderWriter::new().syn_stream(one, false, &headers, &mut wire).unwrap();
    client.write_all(&wire[..len]).await.unwrap();
    let too_early =
        timeout(LIMITS.stream_creation.saturating_sub(Duration::from_secs(1)), pairs.next()).await;
    assert!(too_early.is_err());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (mut bytes, mut text, mut resets) = (vec![0; 4096], String::new(), Vec::new());
    let len = client.read(&mut bytes).await.unwrap();
    let (mut at, mut receiver) = (0, Receiver::new(Role::Client, &LIMITS, SkipBlocks));
    while at < len {
        let step = receiver.receive(&bytes[at..len]).unwrap();
        match step.event {
            Some(Event::Data { range, .. }) => text.push_str(str::from_utf8(&bytes[at..len][range]).unwrap()),
            Some(Event::RstStream { stream, .. }) => resets.push(stream.get()),
            _ => {}
        }
        at += step.consumed;
    }
    (text, resets)
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_is_not_completed_is_told_so_and_reset() {
    let (text, resets) = half_a_pair("error").await;
    assert!(
        text.starts_with("(conn=0x") && text.ends_with(", request=5) timed out waiting for streams"),
        "{text}"
    );
    assert_eq!(resets, [1]);
    assert_eq!(half_a_pair("data").await, (String::new(), vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_no_answers_is_not_read_either() {
    let (mut client, there) = duplex(1024);
    let (_pairs, connection) = server(there, &[], &LIMITS);
    tokio::spawn(connection);
    let pings = strait::spdy::frame::ping(1).repeat(1000);
    let mut sent = 0;
    while timeout(Duration::from_secs(1), client.write_all(&pings)).await.is_ok() {
        sent += pings.len();
        assert!(sent < 1_000_000);
    }
}
