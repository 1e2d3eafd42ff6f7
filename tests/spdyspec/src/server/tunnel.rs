use super::forward_session::{Port, on_this_host};
use crate::case::{Case, Kind, Seen, Stop, verdict};
use crate::target::Target;
use crate::wire::http;
use crate::wire::spdy::{compress, compressor, data, opening, ping, plain};
use crate::wire::websocket::{self, BINARY, CLOSE, CONTINUATION, FIN, Socket, TEXT, frame};

const KIND: Kind = Kind::Tunnel;
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

/// 11: port-forward as SPDY in a WebSocket.
pub(super) const CASES: &[Case] = &[
    Case::server(
        "11.1",
        KIND,
        "101 with the tunnel's protocol",
        "port-forward.md section 2",
        &["101 SPDY/3.1+portforward.k8s.io"],
        |target| chosen(target, TUNNEL),
    ),
    Case::server(
        "11.2",
        KIND,
        "a tunnel of something unknown is refused",
        "port-forward.md section 2",
        &["400", "403"],
        |target| chosen(target, "SPDY/3.1+v99.k8s.io"),
    ),
    Case::server(
        "11.3",
        KIND,
        "one SPDY frame a message",
        "port-forward.md section 2",
        &["echoed"],
        |target| {
            tunnelled(target, |socket, frames| {
                for frame in frames {
                    socket.send(BINARY, frame);
                }
            })
        },
    ),
    Case::server(
        "11.4",
        KIND,
        "all frames in one message",
        "port-forward.md section 2",
        &["echoed"],
        |target| tunnelled(target, |socket, frames| socket.send(BINARY, &frames.concat())),
    ),
    Case::server(
        "11.5",
        KIND,
        "one byte a message, with empty messages between them",
        "port-forward.md section 2",
        &["echoed"],
        |target| {
            tunnelled(target, |socket, frames| {
                for byte in frames.concat() {
                    socket.send(BINARY, &[byte]);
                    socket.send(BINARY, b"");
                }
            })
        },
    ),
    Case::server("11.6", KIND, "fragmented messages", "port-forward.md section 2", &["echoed"], |target| {
        tunnelled(target, |socket, frames| {
            for bytes in frames {
                let (first, rest) = bytes.split_at(bytes.len() / 2);
                socket.write(&frame(BINARY, true, first));
                socket.write(&frame(CONTINUATION, true, rest));
                socket.write(&frame(FIN | CONTINUATION, true, b""));
            }
        })
    }),
    Case::server(
        "11.7",
        KIND,
        "a SPDY PING is answered through the tunnel",
        "port-forward.md section 2",
        &["answered"],
        |target| {
            let mut tunnel = Tunnel::open(target)?;
            tunnel.socket.send(BINARY, &ping(77));
            tunnel.until(|bytes| contains(bytes, &ping(77)), "answered")
        },
    ),
    Case::server(
        "11.8",
        KIND,
        "a text message ends the connection",
        "port-forward.md section 2",
        &["ends"],
        |target| {
            let mut tunnel = Tunnel::open(target)?;
            tunnel.socket.send(TEXT, b"text");
            tunnel.ends()
        },
    ),
    Case::server(
        "11.9",
        KIND,
        "Close 1000 is the end of the byte stream: the server closes",
        "port-forward.md section 2",
        &["ends"],
        |target| {
            let mut tunnel = Tunnel::open(target)?;
            tunnel.socket.send(CLOSE, &1000_u16.to_be_bytes());
            tunnel.ends()
        },
    ),
];

fn chosen(target: &Target, protocols: &str) -> Seen {
    let request = target.websocket_request(&target.forward, protocols);
    let (_, head, _) = http::ask(&target.address, &request, target.limit)?;
    Ok(match head.status() {
        101 => format!("101 {}", head.get("sec-websocket-protocol").unwrap_or_default()),
        status => status.to_string(),
    })
}

struct Tunnel {
    socket: Socket,
    /// The SPDY connection's bytes.
    bytes: Vec<u8>,
}

impl Tunnel {
    fn open(target: &Target) -> Result<Self, Stop> {
        let request = target.websocket_request(&target.forward, TUNNEL);
        let (socket, _) = Socket::connect(&target.address, &request, target.limit)?;
        Ok(Self { socket, bytes: Vec::new() })
    }

    /// Reads until the bytes are so.
    fn until(&mut self, is_so: impl Fn(&[u8]) -> bool, behaviour: &str) -> Seen {
        while !is_so(&self.bytes) {
            let frame = self.socket.next()?;
            match frame.opcode() {
                CLOSE => return Ok(format!("Close {}", frame.code())),
                websocket::PING => self.socket.send(websocket::PONG, &frame.payload),
                websocket::PONG => {}
                TEXT => return Ok("text".into()),
                _ => self.bytes.extend(frame.payload),
            }
        }
        Ok(behaviour.into())
    }

    fn ends(&mut self) -> Seen {
        let seen = match self.until(|_| false, "") {
            Err(Stop::Saw(end)) => end,
            other => other?,
        };
        verdict(seen == "closed" || seen.starts_with("Close "), "ends", seen)
    }
}

/// Opens a pair to an echo, and sends something through it; `send` sends the frames.
fn tunnelled(target: &Target, send: fn(&mut Socket, &[Vec<u8>])) -> Seen {
    on_this_host(target)?;
    let port = Port::echo()?.port.to_string();
    let mut deflate = compressor(6, 15);
    let mut open = |id, kind| {
        let headers = plain(&[("streamtype", kind), ("port", port.as_str()), ("requestid", "0")]);
        opening(id, 0, &compress(&mut deflate, &headers, flate2::FlushCompress::Sync))
    };
    let frames = [open(1, "error"), data(1, 1, b""), open(3, "data"), data(3, 0, b"through a tunnel")];
    let mut tunnel = Tunnel::open(target)?;
    send(&mut tunnel.socket, &frames);
    tunnel.until(|bytes| contains(bytes, b"through a tunnel"), "echoed")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
