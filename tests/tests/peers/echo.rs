//! Echo end points on the engine's WebSocket layer alone, a server and a client, for suites that test WebSocket itself.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use strait::ws::{self, Event, FrameHeader, Opcode, Receiver, Sender, accept_key, client_key};
use strait::{Limits, Role};
use strait_tests::Random;

/// What a peer may be silent for. Some cases send byte by byte.
const PATIENCE: Duration = Duration::from_secs(30);
const BUFFER: usize = 64 * 1024;

/// A server on a free port, as long as this process lives.
pub(crate) fn serve() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // A suite that does not like an answer goes away: its report says so.
            thread::spawn(move || accept(connection));
        }
    });
    Ok(address)
}

fn accept(mut socket: TcpStream) -> io::Result<()> {
    let (head, behind) = read_head(&mut socket)?;
    let key = value(&head, "sec-websocket-key").ok_or(io::ErrorKind::InvalidData)?;
    let accept = accept_key(key.as_bytes());
    let accept = String::from_utf8_lossy(&accept);
    write!(
        socket,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    echo(socket, Role::Server, behind).map(drop)
}

/// A client that sends back what it gets at `path`. All text that it got.
pub(crate) fn connect(server: SocketAddr, path: &str) -> io::Result<String> {
    let mut socket = TcpStream::connect(server)?;
    let key = client_key([7; 16]);
    let key = String::from_utf8_lossy(&key);
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )?;
    let (head, behind) = read_head(&mut socket)?;
    let accept = accept_key(key.as_bytes());
    if !head.starts_with("HTTP/1.1 101 ")
        || value(&head, "sec-websocket-accept").map(str::as_bytes) != Some(&accept)
    {
        return Err(io::Error::other(head));
    }
    echo(socket, Role::Client, behind)
}

fn read_head(socket: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let behind = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into(), behind));
        }
        let mut piece = [0; 1024];
        let count = socket.read(&mut piece)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}

fn value<'a>(head: &'a str, header: &str) -> Option<&'a str> {
    let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.find_map(|(name, value)| name.eq_ignore_ascii_case(header).then_some(value.trim()))
}

/// Sends back each piece as it comes, up to the end of the connection. All text that came.
fn echo(mut socket: TcpStream, role: Role, mut buffer: Vec<u8>) -> io::Result<String> {
    let limits = Limits { ws_frame_bytes: 1 << 30, ..Limits::HOST };
    let mut receiver = Receiver::new(role, &limits);
    let mut sender: Sender = Sender::new(role);
    let (mut filled, mut text, mut out) = (buffer.len(), Vec::new(), Vec::new());
    let mut keys = Random::new(7);
    let mut key = || keys.number().to_le_bytes()[..4].try_into().expect("four bytes");
    buffer.resize(filled.max(BUFFER), 0);
    loop {
        let mut at = 0;
        while !sender.is_closing() {
            let input = &mut buffer[at..filled];
            let step = match receiver.receive(input) {
                Ok(step) => step,
                Err(error) => {
                    sender.close(Some(error.close_code()), "", key()).expect("an empty outbox has room");
                    flush(&mut sender, &mut out);
                    break;
                }
            };
            at += step.consumed;
            match step.event {
                None if step.consumed == 0 => break,
                Some(Event::Data { opcode, range, first, last }) => {
                    let piece = &mut input[range];
                    if opcode == Opcode::Text {
                        text.extend_from_slice(piece);
                    }
                    let opcode = if first { opcode } else { Opcode::Continuation };
                    let header = sender.data_header(opcode, last, piece.len() as u64, key());
                    let mut bytes = [0; FrameHeader::MAX];
                    let size = header.write(&mut bytes);
                    if let Some(key) = header.mask {
                        ws::mask(key, 0, piece);
                    }
                    out.extend_from_slice(&bytes[..size]);
                    out.extend_from_slice(piece);
                }
                Some(Event::Ping { range }) => {
                    sender.pong(&input[range], key()).expect("the outbox is empty");
                }
                Some(Event::Close { code, .. }) => {
                    sender.close(code, "", key()).expect("the outbox is empty");
                }
                _ => {}
            }
            flush(&mut sender, &mut out);
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
        socket.write_all(&out)?;
        out.clear();
        if sender.is_closing() {
            // A reset is an end here, too, and may have come already.
            let _ = socket.shutdown(Shutdown::Write);
            while socket.read(&mut buffer).is_ok_and(|count| count > 0) {}
            break;
        }
        let count = socket.read(&mut buffer[filled..])?;
        if count == 0 {
            break;
        }
        filled += count;
    }
    Ok(String::from_utf8_lossy(&text).into())
}

fn flush(sender: &mut Sender, out: &mut Vec<u8>) {
    out.extend_from_slice(sender.outbox().pending());
    let count = sender.outbox().pending().len();
    sender.outbox_mut().sent(count);
}
