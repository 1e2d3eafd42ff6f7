use std::time::Duration;

use super::socket_session::Channels;
use crate::case::{Case, Kind, Seen, Stop, verdict};
use crate::target::Target;
use crate::wire::websocket::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, frame};

const KIND: Kind = Kind::WebSocket;
const V4: &str = "v4.channel.k8s.io";

/// A connection that failed (RFC 6455 section 7.1.7).
const FAILED: &[&str] = &["Close 1002"];

/// 10: WebSocket frames, as a server of RemoteCommand takes them.
pub(super) const CASES: &[Case] = &[
    Case::server(
        "10.1",
        KIND,
        "a ping is answered with its payload, of 0 and of 125 bytes",
        "RFC 6455 section 5.5.3",
        &["answered"],
        pings,
    ),
    Case::server(
        "10.2",
        KIND,
        "a pong that nobody asked for is ignored",
        "RFC 6455 section 5.5.3",
        &["goes on"],
        |target| sent(target, &frame(FIN | PONG, true, b"unasked")),
    ),
    Case::server(
        "10.3",
        KIND,
        "frames that are split at every byte",
        "RFC 6455 section 5.2",
        &["goes on"],
        byte_by_byte,
    ),
    Case::server(
        "10.4",
        KIND,
        "many messages in one segment",
        "RFC 6455 section 5.2",
        &["all in their order"],
        in_one_segment,
    ),
    Case::server(
        "10.5",
        KIND,
        "messages of 125, 126, 65535, 65536 bytes and 1 MiB",
        "RFC 6455 section 5.2; websocket-channels.md section 2",
        &["as they were sent"],
        sizes,
    ),
    Case::server(
        "10.6",
        KIND,
        "a frame that is not masked fails the connection",
        "RFC 6455 section 5.1",
        FAILED,
        |target| sent(target, &frame(FIN | BINARY, false, b"\0bare")),
    ),
    Case::server(
        "10.7",
        KIND,
        "reserved bits fail the connection",
        "RFC 6455 section 5.2",
        FAILED,
        |target| sent(target, &frame(FIN | 0x40 | BINARY, true, b"\0rsv1")),
    ),
    Case::server(
        "10.8",
        KIND,
        "a reserved data opcode fails the connection",
        "RFC 6455 section 5.2",
        FAILED,
        |target| sent(target, &frame(FIN | 3, true, b"\0three")),
    ),
    Case::server(
        "10.9",
        KIND,
        "a reserved control opcode fails the connection",
        "RFC 6455 section 5.2",
        FAILED,
        |target| sent(target, &frame(FIN | 0x0b, true, b"eleven")),
    ),
    Case::server(
        "10.10",
        KIND,
        "a ping of 126 bytes fails the connection",
        "RFC 6455 section 5.5",
        FAILED,
        |target| sent(target, &frame(FIN | PING, true, &[b'p'; 126])),
    ),
    Case::server(
        "10.11",
        KIND,
        "a fragmented ping fails the connection",
        "RFC 6455 section 5.5",
        FAILED,
        |target| sent(target, &frame(PING, true, b"part")),
    ),
    Case::server(
        "10.12",
        KIND,
        "a fragmented message is one message, whatever stands between its frames",
        "RFC 6455 section 5.4",
        &["one message"],
        fragments,
    ),
    Case::server(
        "10.13",
        KIND,
        "a continuation of nothing fails the connection",
        "RFC 6455 section 5.4",
        FAILED,
        |target| sent(target, &frame(FIN | CONTINUATION, true, b"\0of nothing")),
    ),
    Case::server(
        "10.14",
        KIND,
        "a new message within a fragmented one fails the connection",
        "RFC 6455 section 5.4",
        FAILED,
        |target| {
            sent(target, &[frame(BINARY, true, b"\0begun"), frame(FIN | BINARY, true, b"\0other")].concat())
        },
    ),
    Case::server(
        "10.15",
        KIND,
        "a length of 2^63 fails the connection",
        "RFC 6455 section 5.2 (the highest bit is 0)",
        &["Close 1002", "Close 1009"],
        |target| sent(target, &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
    ),
    Case::server(
        "10.16",
        KIND,
        "a message of 2^40 bytes is refused before it comes",
        "RFC 6455 section 7.4.1 (1009); websocket-channels.md section 2",
        &["Close 1009"],
        |target| sent(target, &[0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
    ),
    Case::server(
        "10.17",
        KIND,
        "a Close is answered by a Close, and TCP ends",
        "RFC 6455 section 5.5.1",
        &["Close 1000, closed"],
        |target| close(target, &1000_u16.to_be_bytes()),
    ),
    Case::server(
        "10.18",
        KIND,
        "so is one without a code",
        "RFC 6455 section 5.5.1",
        &["Close 1005, closed", "Close 1000, closed"],
        |target| close(target, b""),
    ),
    Case::server(
        "10.19",
        KIND,
        "a Close with half a code is an error",
        "RFC 6455 section 5.5.1",
        &["Close 1002, closed"],
        |target| close(target, b"\x03"),
    ),
    Case::server(
        "10.20",
        KIND,
        "a Close with a code that may not be sent is an error",
        "RFC 6455 section 7.4.1",
        &["Close 1002, closed"],
        |target| close(target, &1005_u16.to_be_bytes()),
    ),
    Case::server(
        "10.21",
        KIND,
        "a client whose TCP ends without a Close ends the session",
        "websocket-channels.md section 7; translator.md section 3",
        &["the server closes"],
        cut,
    ),
];

/// Sends these bytes in a session at rest.
fn sent(target: &Target, bytes: &[u8]) -> Seen {
    let mut channels = Channels::cat(target, V4)?;
    channels.socket.write(bytes);
    Ok(channels.probe())
}

fn pings(target: &Target) -> Seen {
    let mut channels = Channels::cat(target, V4)?;
    let payloads = [vec![], vec![b'p'; 125]];
    for payload in &payloads {
        channels.socket.send(PING, payload);
    }
    channels.until(|channels| channels.pongs.len() >= payloads.len() || channels.closed.is_some())?;
    verdict(channels.pongs == payloads, "answered", "other pongs")
}

fn byte_by_byte(target: &Target) -> Seen {
    let mut channels = Channels::cat(target, V4)?;
    let bytes = [frame(FIN | BINARY, true, b"\0slow "), frame(FIN | BINARY, true, &[0; 200])].concat();
    for byte in bytes {
        channels.socket.write(&[byte]);
        std::thread::sleep(Duration::from_micros(200));
    }
    let seen = channels.probe();
    let good = channels.data[1] == [&b"slow "[..], &[0; 199], b"probe"].concat();
    verdict(good, &seen, format!("{seen}, with other bytes"))
}

fn in_one_segment(target: &Target) -> Seen {
    let mut channels = Channels::cat(target, V4)?;
    let words: Vec<String> = (0..100).map(|at| format!("message {at}\n")).collect();
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| frame(FIN | BINARY, true, format!("\0{word}").as_bytes())).collect();
    channels.socket.write(&bytes);
    let all = words.concat();
    channels.until(|channels| channels.data[1].len() >= all.len() || channels.closed.is_some())?;
    verdict(channels.text(1) == all, "all in their order", "other bytes")
}

fn sizes(target: &Target) -> Seen {
    let mut channels = Channels::cat(target, V4)?;
    for (round, size) in [125_usize, 126, 65_535, 65_536, 1 << 20].into_iter().enumerate() {
        let payload = vec![b'a' + round as u8; size - 1];
        let before = channels.data[1].len();
        channels.send(0, &payload);
        let came = channels
            .until(|channels| channels.data[1].len() >= before + payload.len() || channels.closed.is_some());
        let end = match came {
            Ok(()) => channels.closed.map(|code| format!("Close {code}")),
            Err(Stop::Saw(end)) => Some(end),
            Err(other) => return Err(other),
        };
        if let Some(end) = end {
            return Ok(format!("{end} at {size} bytes"));
        }
        if channels.data[1][before..] != payload {
            return Ok(format!("other bytes at {size}"));
        }
    }
    Ok("as they were sent".into())
}

fn fragments(target: &Target) -> Seen {
    let mut channels = Channels::cat(target, V4)?;
    channels.socket.write(&frame(BINARY, true, b"\0one "));
    channels.socket.send(PING, b"between");
    channels.socket.write(&frame(CONTINUATION, true, b""));
    channels.socket.write(&frame(FIN | CONTINUATION, true, b"message "));
    let seen = channels.probe();
    let text = channels.text(1);
    verdict(text == "one message probe", "one message", format!("{seen}, with {text:?}"))
}

fn close(target: &Target, payload: &[u8]) -> Seen {
    let mut channels = Channels::cat(target, V4)?;
    channels.socket.send(CLOSE, payload);
    let told = match channels.until(|channels| channels.closed.is_some()) {
        Ok(()) => format!("Close {}", channels.closed.unwrap_or_default()),
        Err(Stop::Saw(end)) => return Ok(end),
        Err(other) => return Err(other),
    };
    match channels.until(|_| false) {
        Err(Stop::Saw(end)) => Ok(format!("{told}, {end}")),
        Err(other) => Err(other),
        Ok(()) => unreachable!("nothing is waited for but the end"),
    }
}

fn cut(target: &Target) -> Seen {
    let mut channels = Channels::cat(target, V4)?;
    channels.socket.send(TEXT, b"\0last words");
    channels.until(|channels| !channels.data[1].is_empty())?;
    channels.socket.io.shutdown(std::net::Shutdown::Write)?;
    match channels.until(|_| false) {
        Err(Stop::Saw(end)) if end == "closed" => Ok("the server closes".into()),
        Err(Stop::Saw(end)) => Ok(end),
        Err(other) => Err(other),
        Ok(()) => unreachable!("nothing is waited for but the end"),
    }
}
