use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use rustix::pipe::fcntl_setpipe_size;
use strait::ws::{Event, FrameHeader, Opcode, Receiver};
use strait::{Limits, Role};

/// The first argument of this program when it is run as the floor.
pub(crate) const FLOOR: &str = "floor";

/// Bytes of one read, and payload of one frame.
const BUFFER: usize = 64 * 1024;
/// What `strait exec` makes of its standard input as well, once much goes through it.
const PIPE: usize = 1024 * 1024;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;

/// As little as a client can do: one thread that reads and writes and waits in both, from a pipe to a socket or back. Its key is zero, so nothing is masked (a server
/// cannot tell), and of what comes it reads the headers only. It answers nobody, and has no time limits.
///
/// Arguments: the server's URL, and the command.
pub(crate) fn run(arguments: &[OsString]) -> io::Result<()> {
    let texts: Option<Vec<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    let Some([url, direction, command @ ..]) = texts.as_deref() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let authority = url.strip_prefix("http://").unwrap_or(url);
    let mut socket = TcpStream::connect(authority)?;
    socket.set_nodelay(true)?;
    let takes_input = *direction == "stdin";
    let mut query = String::new();
    for word in command {
        query += "&command=";
        query += &word.replace('/', "%2F");
    }
    write!(
        socket,
        "GET /api/v1/namespaces/default/pods/demo/exec?stdout=true&stdin={takes_input}{query} HTTP/1.1\r\nHost: {authority}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
    )?;
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
    }
    if takes_input {
        send(&mut socket)?;
    }
    receive(&mut socket)
}

/// A frame for each read, header and channel in front of it, and one write for both; then the end of the channel.
fn send(socket: &mut TcpStream) -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    // May be refused to a user who has many; then it stays as it is.
    let _ = fcntl_setpipe_size(&stdin, PIPE);
    let mut buffer = vec![0; FrameHeader::MAX + 1 + BUFFER];
    loop {
        let (front, payload) = buffer.split_at_mut(FrameHeader::MAX + 1);
        let count = read(&mut stdin, payload)?;
        let message: &[u8] = if count == 0 { &[255, STDIN] } else { &[STDIN] };
        let len = (message.len() + count) as u64;
        let mut header = [0; FrameHeader::MAX];
        let size =
            FrameHeader { fin: true, opcode: Opcode::Binary, mask: Some([0; 4]), len }.write(&mut header);
        if count == 0 {
            return socket.write_all(&[&header[..size], message].concat());
        }
        let start = front.len() - message.len() - size;
        front[start..].copy_from_slice(&[&header[..size], message].concat());
        socket.write_all(&buffer[start..FrameHeader::MAX + 1 + count])?;
    }
}

/// Without the buffer that the standard library has of its own.
fn read(stdin: &mut io::StdinLock<'_>, payload: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(&*stdin, payload)?)
}

/// What comes on stdout is written from where it lies, until the server closes.
fn receive(socket: &mut TcpStream) -> io::Result<()> {
    let stdout = io::stdout().lock();
    let mut receiver = Receiver::new(Role::Client, &Limits::HOST);
    let (mut buffer, mut filled, mut channel) = (vec![0; BUFFER], 0, None);
    loop {
        let count = socket.read(&mut buffer[filled..])?;
        filled += count;
        let mut at = 0;
        while at < filled {
            let step = receiver.receive(&mut buffer[at..filled]).map_err(io::Error::other)?;
            if let Some(Event::Data { range, first, .. }) = &step.event {
                let mut payload = &buffer[at..][range.clone()];
                if *first {
                    channel = payload.split_off_first().copied();
                }
                while channel == Some(STDOUT) && !payload.is_empty() {
                    payload = &payload[rustix::io::write(&stdout, payload)?..];
                }
            }
            let ended = matches!(step.event, Some(Event::Close { .. }));
            if ended {
                return socket.shutdown(Shutdown::Both);
            }
            if step.consumed == 0 {
                break;
            }
            at += step.consumed;
        }
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
}
