//! Requests and answers, as bytes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use crate::case::Stop;

/// The longest head or body that is read.
const LONGEST: usize = 64 * 1024;

/// The head of a request or of an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    /// The first line.
    pub(crate) line: String,
    /// Names in lower case, and values, in their order.
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields =
            fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Self { line, fields }
    }

    /// The status of an answer, or 0.
    pub(crate) fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// All values of a field, joined as one list.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let values = self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
        let values: Vec<_> = values.collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// True if the list in a field has this token, in any case of letters.
    pub(crate) fn has(&self, name: &str, token: &str) -> bool {
        let list = self.get(name).unwrap_or_default();
        list.split(',').any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    /// The values of `name` in the query of a request, percent-decoding left out.
    pub(crate) fn query(&self, name: &str) -> Vec<String> {
        let target = self.line.split(' ').nth(1).unwrap_or_default();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).collect()
    }
}

/// Connects within `limit`.
pub(crate) fn dial(address: &str, limit: Duration) -> Result<TcpStream, Stop> {
    let addresses = address.to_socket_addrs().map_err(|error| Stop::Saw(format!("{address}: {error}")))?;
    let mut last = format!("{address} has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(io) => {
                prepare(&io, limit)?;
                return Ok(io);
            }
            Err(error) => last = format!("cannot connect to {address}: {error}"),
        }
    }
    Err(Stop::Saw(last))
}

/// Sets what each connection of the suite has: no delay, and a limit to every write.
pub(crate) fn prepare(io: &TcpStream, limit: Duration) -> Result<(), Stop> {
    io.set_nodelay(true)?;
    io.set_write_timeout(Some(limit))?;
    Ok(())
}

/// Reads once, until `deadline`. Nothing is the end of the connection.
pub(crate) fn read(io: &mut TcpStream, input: &mut Vec<u8>, deadline: Instant) -> Result<(), Stop> {
    let mut buffer = [0; 16 * 1024];
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Stop::Saw("silent".into()));
    }
    io.set_read_timeout(Some(left))?;
    match io.read(&mut buffer) {
        Ok(0) => Err(Stop::Saw("closed".into())),
        Ok(count) => {
            input.extend_from_slice(&buffer[..count]);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads a head. What came behind it stays in `input`.
pub(crate) fn head(io: &mut TcpStream, input: &mut Vec<u8>, limit: Duration) -> Result<Head, Stop> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = Head::parse(&String::from_utf8_lossy(&input[..end]));
            input.drain(..end + 4);
            return Ok(head);
        }
        if input.len() > LONGEST {
            return Err(Stop::Saw("a head without an end".into()));
        }
        read(io, input, deadline)?;
    }
}

/// Sends a request and reads the head of its answer; what came behind it is the third part.
pub(crate) fn ask(address: &str, request: &str, limit: Duration) -> Result<(TcpStream, Head, Vec<u8>), Stop> {
    let mut io = dial(address, limit)?;
    // What is refused early is answered all the same.
    let _ = io.write_all(request.as_bytes());
    let mut input = Vec::new();
    let head = head(&mut io, &mut input, limit)?;
    Ok((io, head, input))
}
