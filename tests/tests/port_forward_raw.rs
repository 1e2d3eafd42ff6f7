//! Port-forward of a client that does what it is told, over SPDY and through the tunnel: what upstream's kubectl would not survive, or not do.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use strait::spdy::RstStatus;
use strait_tests::{Carrier, PairClient, Server, Target, eventually, refused_port, reset};

const CARRIERS: [Carrier; 2] = [Carrier::Spdy, Carrier::Tunnel];
const SOON: Duration = Duration::from_secs(5);

/// A node, and a client of it over each carrier.
fn each(test: impl Fn(&Server, PairClient)) {
    for carrier in CARRIERS {
        let node = Server::node();
        let client = PairClient::connect(node.address(), carrier);
        test(&node, client);
    }
}

/// The pair carries bytes there and back.
#[track_caller]
fn assert_echo(client: &mut PairClient, data: u32, text: &str) {
    let before = client.came(data).data.len();
    client.send(data, text.as_bytes(), false);
    client.until("an echo", |client| client.came(data).data.len() >= before + text.len());
    assert!(client.came(data).text().ends_with(text));
}

#[test]
fn a_port_that_refuses_concerns_its_pair_alone() {
    let (target, refused) = (Target::echo(), refused_port());
    each(|_, mut client| {
        let (_, kept) = client.pair(target.port());
        assert_echo(&mut client, kept, "before");
        let (error, data) = client.pair(refused);
        client
            .until("reset", |client| client.came(error).reset.is_some() && client.came(data).reset.is_some());
        let expected = format!("error forwarding port {refused} to pod demo, uid strait-default-demo: ");
        let told = client.came(error);
        assert!(told.replied && told.text().starts_with(&expected), "{told:?}");
        assert!(told.text().to_lowercase().contains("connection refused"), "{told:?}");
        assert_eq!((told.reset, client.came(data).reset), (Some(RstStatus::CANCEL), Some(RstStatus::CANCEL)));
        assert_echo(&mut client, kept, "after");
        let (_, new) = client.pair(target.port());
        assert_echo(&mut client, new, "new");
    });
}

#[test]
fn a_target_that_resets_concerns_its_pair_alone() {
    let target = Target::echo();
    let resetting = Target::start(|mut stream| {
        let _ = stream.read(&mut [0; 10]);
        let _ = stream.write_all(b"said before");
        // So that it has left.
        thread::sleep(Duration::from_millis(300));
        reset(stream);
    });
    each(|_, mut client| {
        let (_, kept) = client.pair(target.port());
        let (error, data) = client.pair(resetting.port());
        client.send(data, b"x", false);
        client
            .until("reset", |client| client.came(error).reset.is_some() && client.came(data).reset.is_some());
        assert_eq!(client.came(data).text(), "said before");
        let told = client.came(error).text();
        assert!(
            told.starts_with("error forwarding port ") && told.to_lowercase().contains("reset"),
            "{told}"
        );
        assert_echo(&mut client, kept, "after");
    });
}

/// A target that has half-closed is still sent to, for longer than containerd's one second.
#[test]
fn the_half_that_is_open_goes_on() {
    let (texts, text) = mpsc::channel();
    let target = Target::start(move |mut stream| {
        let _ = stream.write_all(b"goodbye");
        let _ = stream.shutdown(Shutdown::Write);
        let mut all = String::new();
        let _ = stream.read_to_string(&mut all);
        let _ = texts.send(all);
    });
    each(|_, mut client| {
        let (error, data) = client.pair(target.port());
        client.until("the target's end", |client| client.came(data).finished);
        assert_eq!(client.came(data).text(), "goodbye");
        for _ in 0..4 {
            client.read_for(Duration::from_millis(700));
            client.send(data, b"more ", false);
        }
        client.send(data, b"end", true);
        assert_eq!(text.recv_timeout(SOON).expect("the target gets all"), "more more more more end");
        client.until("the end of the error stream", |client| client.came(error).finished);
        assert_eq!(client.came(error).text(), "");
        assert_eq!(client.came(data).reset, None);
    });
}

#[test]
fn streams_that_are_none_of_a_port_forward_are_reset_and_the_connection_goes_on() {
    let target = Target::echo();
    let port = target.port().to_string();
    each(|_, mut client| {
        let bad: [&[(&str, &str)]; 9] = [
            &[],
            &[("streamtype", "data"), ("requestid", "0")],
            &[("port", &port), ("requestid", "0")],
            &[("port", &port), ("requestid", "0"), ("streamtype", "stdin")],
            &[("port", "0"), ("requestid", "0"), ("streamtype", "data")],
            &[("port", "65536"), ("requestid", "0"), ("streamtype", "data")],
            &[("port", "http"), ("requestid", "0"), ("streamtype", "data")],
            &[("port", "-1"), ("requestid", "0"), ("streamtype", "data")],
            &[("port", ""), ("requestid", "0"), ("streamtype", "data")],
        ];
        for headers in bad {
            let id = client.open(headers);
            client.until("reset", |client| client.came(id).reset.is_some());
            let came = client.came(id);
            assert_eq!((came.reset, came.replied), (Some(RstStatus::CANCEL), false), "{headers:?}");
        }
        let (_, data) = client.pair(target.port());
        assert_echo(&mut client, data, "goes on");
    });
}

#[test]
fn a_second_stream_of_a_type_is_told_on_the_error_stream() {
    let target = Target::echo();
    let port = target.port().to_string();
    let headers = |stream| [("port", port.as_str()), ("requestid", "7"), ("streamtype", stream)];
    each(|_, mut client| {
        let error = client.open(&headers("error"));
        let second = client.open(&headers("error"));
        client.until("told", |client| !client.came(error).data.is_empty() && client.came(second).is_over());
        let text = "error processing stream for request 7: error stream already assigned";
        assert_eq!(client.came(error).text(), text);
        assert_eq!(client.came(second).reset, Some(RstStatus::CANCEL));
        // The pair is not spoilt.
        let data = client.open(&headers("data"));
        assert_echo(&mut client, data, "works");
    });
}

/// Clients of the oldest versions name no request: the numbers of their streams tell.
#[test]
fn clients_without_request_ids_get_their_pairs() {
    let target = Target::echo();
    let port = target.port().to_string();
    let headers = |stream| [("port", port.as_str()), ("streamtype", stream)];
    each(|_, mut client| {
        for text in ["one", "two", "three"] {
            client.open(&headers("error"));
            let data = client.open(&headers("data"));
            assert_echo(&mut client, data, text);
        }
    });
}

#[test]
fn a_hundred_pairs_at_a_time_keep_their_bytes_apart() {
    let target = Target::echo();
    each(|_, mut client| {
        let pairs: Vec<_> = (0..100).map(|_| client.pair(target.port())).collect();
        for (_, data) in &pairs {
            client.send(*data, format!("pair {data}").as_bytes(), true);
        }
        client.until("all answered", |client| {
            pairs.iter().all(|(error, data)| client.came(*data).finished && client.came(*error).finished)
        });
        for (_, data) in pairs {
            assert_eq!(client.came(data).text(), format!("pair {data}"));
        }
        eventually(SOON, || if target.open() == 0 { Ok(()) } else { Err("connections are left") });
    });
}

/// The client gives a connection up: the target is told, and what was sent before arrives.
#[test]
fn a_pair_that_the_client_resets_ends_at_the_target() {
    let (texts, text) = mpsc::channel();
    let target = Target::start(move |mut stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let _ = texts.send(all.len());
    });
    each(|_, mut client| {
        let (error, data) = client.pair(target.port());
        client.send(data, &vec![7; 100_000], false);
        client.reset(data);
        assert_eq!(text.recv_timeout(SOON).expect("the target sees the end"), 100_000);
        client.until("the end of the error stream", |client| client.came(error).is_over());
        assert_eq!(client.came(error).text(), "");
    });
}

#[test]
fn a_client_that_answers_nothing_is_found_and_its_connections_are_closed() {
    let target = Target::echo();
    for carrier in CARRIERS {
        let node = Server::node_with(&["--ping-interval", "1", "--peer-timeout", "3"]);
        let mut client = PairClient::connect(node.address(), carrier);
        let (_, data) = client.pair(target.port());
        assert_echo(&mut client, data, "x");
        // Idle for longer than the time-out, but alive.
        client.read_for(Duration::from_secs(6));
        assert!(!client.gone && client.pings >= 3, "{} PINGs", client.pings);
        assert_echo(&mut client, data, "y");
        client.read_for(Duration::from_millis(1500));
        // From here on nobody reads: pings of either kind find no answer.
        eventually(Duration::from_secs(15), || match target.open() {
            0 => Ok(()),
            open => Err(format!("{open} connections are left: {}", node.log())),
        });
    }
}

/// The stopped one is reset after the 10 s in which it may go on; until then little passes, and from then on everything.
#[test]
fn a_target_that_stops_reading_holds_up_the_others_for_a_bounded_time() {
    let target = Target::echo();
    let deaf = Target::start(|stream| {
        thread::sleep(Duration::from_secs(40));
        drop(stream);
    });
    let node = Server::node();
    let mut client = PairClient::connect(node.address(), Carrier::Spdy);
    let (_, kept) = client.pair(target.port());
    let (error, data) = client.pair(deaf.port());
    let piece = vec![7; 32 * 1024];
    // More than all that is kept on the way.
    for _ in 0..(16 << 20) / piece.len() {
        client.send(data, &piece, false);
    }
    let started = Instant::now();
    assert!(client.within(Duration::from_secs(30), |client| client.came(data).reset.is_some()));
    let held = started.elapsed();
    assert!(held < Duration::from_secs(25), "{held:?}");
    client.until("told", |client| client.came(error).is_over());
    assert!(client.came(error).text().contains("nothing was read of the connection for 10s"));
    assert_echo(&mut client, kept, "goes on");
}

/// A node that cannot be fed more than it keeps must not grow by what it is sent.
#[test]
fn a_connection_that_nobody_reads_takes_bounded_memory() {
    let deaf = Target::start(|stream| {
        thread::sleep(Duration::from_secs(20));
        drop(stream);
    });
    let node = Server::node();
    let mut client = PairClient::connect(node.address(), Carrier::Spdy);
    let (_, data) = client.pair(deaf.port());
    client.until("open", |client| client.came(data).replied);
    let before = node.resident_kib();
    let piece = vec![7; 1 << 20];
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(8) && client.came(data).reset.is_none() {
        // A write that stands still is what this is about; a part of a frame may have left, so nothing more is sent then.
        if !client.try_write(&data_frame(data, &piece)) {
            break;
        }
    }
    let grown = node.resident_kib().saturating_sub(before);
    assert!(grown < 100 * 1024, "{grown} KiB");
}

fn data_frame(id: u32, payload: &[u8]) -> Vec<u8> {
    let id = strait::spdy::StreamId::new(id).expect("a stream id");
    [&strait::spdy::frame::data_header(id, false, payload.len() as u32)[..], payload].concat()
}

/// Bytes in both directions at once, more than fits into all buffers.
#[test]
fn megabytes_cross_while_others_are_opened() {
    const BYTES: usize = 20_000_000;
    let (sink, echo) = (
        Target::start(|mut stream| {
            let count = io::copy(&mut stream, &mut io::sink()).unwrap_or(0);
            let _ = write!(stream, "{count}");
        }),
        Target::echo(),
    );
    each(|_, mut client| {
        let (_, data) = client.pair(sink.port());
        let piece = vec![7; 100_000];
        for index in 0..BYTES / piece.len() {
            client.send(data, &piece, false);
            if index % 50 == 0 {
                let (_, other) = client.pair(echo.port());
                client.send(other, b"short", true);
                client.until("an echo", |client| client.came(other).finished);
                assert_eq!(client.came(other).text(), "short");
            }
        }
        client.send(data, b"", true);
        client.until("the count", |client| client.came(data).finished);
        assert_eq!(client.came(data).text(), BYTES.to_string());
    });
}
