use std::io::Write as _;
use std::time::Duration;

use super::peer::{SEVEN, SUCCESS};
use super::{Client, Exit, Started};
use crate::case::{Case, Kind, Seen, Stop, verdict};
use crate::wire::http::Head;
use crate::wire::websocket::{
    BINARY, CLOSE, CONTINUATION, FIN, Frame, PING, PONG, Socket, accept, frame, from_base64,
};

const KIND: Kind = Kind::ClientWebSocket;
const V5: &str = "v5.channel.k8s.io";
const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

/// 16: what a client makes of a session over WebSocket.
pub(super) const CASES: &[Case] = &[
    Case::client(
        "16.1",
        KIND,
        "the request is a GET with version 13, a key of 16 bytes, and v5",
        "RFC 6455 section 4.1; http-upgrade.md section 3.1",
        &["GET, 13, 16 bytes, v5"],
        request,
    ),
    Case::client(
        "16.2",
        KIND,
        "a wrong accept key fails",
        "RFC 6455 section 4.1; http-upgrade.md section 3.4",
        &["fails"],
        |client| answered(client, |_| accept("another key"), V5),
    ),
    Case::client(
        "16.3",
        KIND,
        "a protocol that was not offered fails",
        "RFC 6455 section 4.1; http-upgrade.md section 3.4",
        &["fails"],
        |client| answered(client, key, "v99.channel.k8s.io"),
    ),
    Case::client(
        "16.4",
        KIND,
        "Success and Close 1000 are exit code 0",
        "websocket-channels.md section 5",
        &["exit code 0"],
        |client| ended(client, |server| server.end(SUCCESS)),
    ),
    Case::client(
        "16.5",
        KIND,
        "ExitCode 7 is exit code 7",
        "websocket-channels.md section 5",
        &["exit code 7"],
        |client| ended(client, |server| server.end(SEVEN)),
    ),
    Case::client(
        "16.6",
        KIND,
        "the ready message is no output; channels 1 and 2 go where they belong",
        "websocket-channels.md section 3",
        &["apart"],
        apart,
    ),
    Case::client(
        "16.7",
        KIND,
        "the input comes as it is in masked, whole, binary messages, and its end is CLOSE of channel 0",
        "websocket-channels.md section 2, section 6; RFC 6455 section 5.3",
        &["300000 bytes, then ff 00"],
        input,
    ),
    Case::client("16.8", KIND, "a ping is answered", "RFC 6455 section 5.5.3", &["answered"], pinged),
    Case::client(
        "16.9",
        KIND,
        "a fragmented message is one message",
        "RFC 6455 section 5.4",
        &["\"one message\", exit code 7"],
        |client| {
            output(client, |server| {
                server.socket.write(&frame(BINARY, false, b"\x01one "));
                server.socket.write(&frame(FIN | PING, false, b"between"));
                server.socket.write(&frame(CONTINUATION, false, b"mess"));
                server.socket.write(&frame(FIN | CONTINUATION, false, b"age"));
            })
        },
    ),
    Case::client(
        "16.10",
        KIND,
        "frames that are split at every byte",
        "RFC 6455 section 5.2",
        &["\"slow\", exit code 7"],
        |client| {
            output(client, |server| {
                for byte in frame(FIN | BINARY, false, b"\x01slow") {
                    server.socket.write(&[byte]);
                    std::thread::sleep(Duration::from_millis(1));
                }
            })
        },
    ),
    Case::client(
        "16.11",
        KIND,
        "a message of 1 MiB",
        "RFC 6455 section 5.2",
        &["1048576 bytes, exit code 7"],
        |client| {
            let exit = finished(client, |server| {
                server.send(1, &vec![b'm'; 1 << 20]);
                server.end(SEVEN);
            })?;
            Ok(format!("{} bytes, exit code {}", exit.stdout.len(), exit.code))
        },
    ),
    Case::client(
        "16.12",
        KIND,
        "a Close is answered",
        "RFC 6455 section 5.5.1; websocket-channels.md section 7",
        &["Close 1000"],
        close_answered,
    ),
    Case::client(
        "16.13",
        KIND,
        "Close 1000 without a status fails",
        "remotecommand.md section 7.3",
        &["fails"],
        |client| failed(client, |server| server.socket.send(CLOSE, &NORMAL)),
    ),
    Case::client(
        "16.14",
        KIND,
        "Close 1011 without a status fails",
        "websocket-channels.md section 7",
        &["fails"],
        |client| failed(client, |server| server.socket.send(CLOSE, &1011_u16.to_be_bytes())),
    ),
    Case::client(
        "16.15",
        KIND,
        "a connection that ends without a Close fails",
        "websocket-channels.md section 7",
        &["fails"],
        |client| failed(client, |server| drop(server.socket.io.shutdown(std::net::Shutdown::Both))),
    ),
    Case::client("16.16", KIND, "a masked frame fails", "RFC 6455 section 5.1", &["fails"], |client| {
        failed(client, |server| {
            server.socket.write(&frame(FIN | BINARY, true, b"\x01masked"));
            server.end(SUCCESS);
        })
    }),
    Case::client("16.17", KIND, "reserved bits fail", "RFC 6455 section 5.2", &["fails"], |client| {
        failed(client, |server| {
            server.socket.write(&frame(FIN | 0x40 | BINARY, false, b"\x01rsv1"));
            server.end(SUCCESS);
        })
    }),
    Case::client("16.18", KIND, "a reserved opcode fails", "RFC 6455 section 5.2", &["fails"], |client| {
        failed(client, |server| {
            server.socket.write(&frame(FIN | 5, false, b"\x01five"));
            server.end(SUCCESS);
        })
    }),
    Case::client("16.19", KIND, "a ping of 126 bytes fails", "RFC 6455 section 5.5", &["fails"], |client| {
        failed(client, |server| {
            server.socket.write(&frame(FIN | PING, false, &[b'p'; 126]));
            server.end(SUCCESS);
        })
    }),
];

/// The server's end of a RemoteCommand session over WebSocket.
struct Server {
    socket: Socket,
    /// What came on channel 0.
    input: Vec<u8>,
    /// Messages on other channels.
    others: Vec<Vec<u8>>,
    pongs: Vec<Vec<u8>>,
    closed: Option<u16>,
    /// Frames that were not masked, not whole, or not binary.
    odd: usize,
}

fn key(head: &Head) -> String {
    accept(&head.get("sec-websocket-key").unwrap_or_default())
}

fn switch(started: &Started, accept: fn(&Head) -> String, protocol: &str) -> Result<Socket, Stop> {
    let (mut io, head, behind) = started.asked()?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n",
        accept(&head)
    );
    io.write_all(answer.as_bytes())?;
    Ok(Socket::accepted(io, behind, started.limit))
}

impl Server {
    fn accept(started: &Started) -> Result<Self, Stop> {
        let socket = switch(started, key, V5)?;
        let mut server =
            Self { socket, input: Vec::new(), others: Vec::new(), pongs: Vec::new(), closed: None, odd: 0 };
        server.send(1, b"");
        Ok(server)
    }

    fn send(&mut self, channel: u8, payload: &[u8]) {
        self.socket.send(BINARY, &[&[channel], payload].concat());
    }

    /// The status, and Close 1000.
    fn end(&mut self, status: &[u8]) {
        self.send(3, status);
        self.socket.send(CLOSE, &NORMAL);
    }

    fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> Result<(), Stop> {
        while !is_so(self) {
            let frame = self.socket.next()?;
            self.take(frame);
        }
        Ok(())
    }

    fn take(&mut self, frame: Frame) {
        self.odd += usize::from(!frame.masked || frame.first & 0xf0 != FIN);
        match frame.opcode() {
            CLOSE => self.closed = Some(frame.code()),
            PING => self.socket.send(PONG, &frame.payload),
            PONG => self.pongs.push(frame.payload),
            opcode => {
                self.odd += usize::from(opcode != BINARY);
                match frame.payload.split_first() {
                    Some((0, payload)) => self.input.extend(payload),
                    _ => self.others.push(frame.payload),
                }
            }
        }
    }
}

fn request(client: &Client) -> Seen {
    let (_, head, _) = client.start(None)?.asked()?;
    let method = head.line.split(' ').next().unwrap_or_default().to_owned();
    let field = |name: &str| head.get(name).unwrap_or_default();
    let key = from_base64(field("sec-websocket-key").as_bytes()).len();
    let v5 = if head.has("sec-websocket-protocol", V5) { "v5" } else { "no v5" };
    Ok(format!("{method}, {}, {key} bytes, {v5}", field("sec-websocket-version")))
}

/// A 101 that is not right; a client that falls back to SPDY is refused there.
fn answered(client: &Client, accept: fn(&Head) -> String, protocol: &str) -> Seen {
    let started = client.start(Some(b""))?;
    let mut socket = switch(&started, accept, protocol)?;
    socket.send(BINARY, &[&[3], SUCCESS].concat());
    socket.send(CLOSE, &NORMAL);
    Ok(started.exit()?.told().into())
}

fn finished(client: &Client, act: impl FnOnce(&mut Server)) -> Result<Exit, Stop> {
    let started = client.start(Some(b""))?;
    let mut server = Server::accept(&started)?;
    act(&mut server);
    // A client that was cut off, or has all it wants, has nothing to close.
    let _ = server.until(|server| server.closed.is_some());
    drop(server);
    started.exit()
}

fn ended(client: &Client, act: fn(&mut Server)) -> Seen {
    Ok(format!("exit code {}", finished(client, act)?.code))
}

fn output(client: &Client, act: fn(&mut Server)) -> Seen {
    let exit = finished(client, |server| {
        act(server);
        server.end(SEVEN);
    })?;
    Ok(format!("{:?}, exit code {}", exit.text(), exit.code))
}

fn failed(client: &Client, act: fn(&mut Server)) -> Seen {
    Ok(finished(client, act)?.told().into())
}

fn apart(client: &Client) -> Seen {
    let exit = finished(client, |server| {
        server.send(1, b"to stdout");
        server.send(2, b"to stderr");
        server.end(SUCCESS);
    })?;
    let good = exit.text() == "to stdout" && exit.stderr.contains("to stderr");
    verdict(good, "apart", format!("{:?} and {:?}", exit.text(), exit.stderr))
}

fn input(client: &Client) -> Seen {
    let payload: Vec<u8> = (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let started = client.start(Some(&payload))?;
    let mut server = Server::accept(&started)?;
    match server.until(|server| !server.others.is_empty()) {
        Ok(()) => {}
        Err(Stop::Saw(end)) => return Ok(format!("{end} after {} bytes", server.input.len())),
        Err(other) => return Err(other),
    }
    if server.input != payload || server.odd > 0 {
        return Ok(format!("changed on its way, or {} frames that are odd", server.odd));
    }
    let end: Vec<String> = server.others[0].iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{} bytes, then {}", server.input.len(), end.join(" ")))
}

fn pinged(client: &Client) -> Seen {
    let started = client.start(None)?;
    let mut server = Server::accept(&started)?;
    server.socket.send(PING, b"are you there");
    server.until(|server| !server.pongs.is_empty())?;
    verdict(server.pongs == [b"are you there".to_vec()], "answered", "another pong")
}

fn close_answered(client: &Client) -> Seen {
    let started = client.start(Some(b""))?;
    let mut server = Server::accept(&started)?;
    server.end(SUCCESS);
    match server.until(|server| server.closed.is_some()) {
        Ok(()) => Ok(format!("Close {}", server.closed.unwrap_or_default())),
        Err(Stop::Saw(end)) => Ok(end),
        Err(other) => Err(other),
    }
}
