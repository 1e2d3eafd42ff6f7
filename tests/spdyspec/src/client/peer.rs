use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Client, Exit, Started};
use crate::case::Stop;
use crate::wire::http::Head;
use crate::wire::spdy::{Connection, FIN, Frame, Headers, data, ping, rst};

/// A Status that says that all is well.
pub(super) const SUCCESS: &[u8] = br#"{"metadata":{},"status":"Success"}"#;
/// A Status of a command that has ended with 7.
pub(super) const SEVEN: &[u8] = br#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}"#;

/// Of a PING that asks whether the client is still there.
const PROBE: u32 = 0x4002;

/// A stream that the client has opened.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) id: u32,
    pub(super) associated: u32,
    pub(super) flags: u8,
    pub(super) headers: Headers,
}

/// What came on a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Came {
    pub(super) data: Vec<u8>,
    pub(super) fin: bool,
    /// FIN came on a frame without payload.
    pub(super) empty_fin: bool,
    pub(super) rst: Option<u32>,
}

/// The server's end of a SPDY session with a client.
pub(super) struct Peer {
    pub(super) wire: Connection,
    pub(super) head: Head,
    pub(super) opened: Vec<Opened>,
    pub(super) came: BTreeMap<u32, Came>,
    /// PINGs of ours that were answered.
    pub(super) pongs: Vec<u32>,
    /// How `SYN_STREAM`s are answered.
    pub(super) answer: Answer,
    limit: Duration,
}

/// How a `SYN_STREAM` is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    AtOnce,
    /// Not before this time.
    Late(Duration),
    /// With headers in the reply.
    WithHeaders,
    /// By `RST_STREAM`, if it is stdout.
    RefuseStdout,
    /// When all have come, the last one first; one by one to a client that waits for each.
    Backwards,
}

/// Writes the 101.
pub(super) fn switch(io: &mut TcpStream, protocol: &str) -> Result<(), Stop> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: {protocol}\r\n\r\n"
    );
    Ok(io.write_all(head.as_bytes())?)
}

impl Peer {
    /// Accepts the client's upgrade and all its streams.
    pub(super) fn accept(started: &Started, protocol: &str, answer: Answer) -> Result<Self, Stop> {
        let (mut io, head, behind) = started.asked()?;
        switch(&mut io, protocol)?;
        let mut peer = Self::on(io, head, behind, started.limit);
        peer.answer = answer;
        peer.open()?;
        Ok(peer)
    }

    /// On a connection that was upgraded.
    pub(super) fn on(io: TcpStream, head: Head, behind: Vec<u8>, limit: Duration) -> Self {
        Self {
            wire: Connection::new(io, behind),
            head,
            opened: Vec::new(),
            came: BTreeMap::new(),
            pongs: Vec::new(),
            answer: Answer::AtOnce,
            limit,
        }
    }

    /// Reads until all streams are open that the query asks for.
    pub(super) fn open(&mut self) -> Result<(), Stop> {
        let flag = |name: &str| self.head.query(name).iter().any(|value| value == "true" || value == "1");
        let pairs = [["stdin", "input"], ["stdout", "output"], ["stderr", "error"]];
        let wanted = 1 + pairs.iter().filter(|names| names.iter().any(|name| flag(name))).count();
        if self.answer == Answer::Backwards {
            let deadline = Instant::now() + Duration::from_millis(300);
            while self.opened.len() < wanted && self.step(deadline).is_ok() {}
            for id in self.opened.iter().map(|opened| opened.id).rev().collect::<Vec<_>>() {
                self.reply(id);
            }
            self.answer = Answer::AtOnce;
        }
        self.until(|peer| peer.opened.len() >= wanted)
    }

    /// The id of a stream.
    pub(super) fn id(&self, stream: &str) -> u32 {
        let is_it = |opened: &&Opened| {
            opened.headers.iter().any(|(name, value)| name == "streamtype" && value == stream)
        };
        self.opened.iter().find(is_it).map_or(0, |opened| opened.id)
    }

    /// What came on a stream.
    pub(super) fn on_stream(&self, stream: &str) -> Came {
        self.came.get(&self.id(stream)).cloned().unwrap_or_default()
    }

    /// Sends on a stream.
    pub(super) fn send(&mut self, stream: &str, payload: &[u8], fin: bool) {
        let frame = data(self.id(stream), if fin { FIN } else { 0 }, payload);
        self.wire.write(&frame);
    }

    /// Ends stdout and stderr, and says this on the error stream.
    pub(super) fn end(&mut self, status: &[u8]) {
        self.send("stdout", b"", true);
        self.send("stderr", b"", true);
        self.send("error", status, true);
    }

    /// Reads until it is so.
    pub(super) fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> Result<(), Stop> {
        let deadline = Instant::now() + self.limit;
        while !is_so(self) {
            self.step(deadline)?;
        }
        Ok(())
    }

    /// Waits for an answer to a PING: all that was sent before is read.
    pub(super) fn is_read(&mut self) -> Result<(), Stop> {
        self.wire.write(&ping(PROBE));
        self.until(|peer| peer.pongs.contains(&PROBE))
    }

    /// Reads until the client has closed the connection.
    pub(super) fn closed(&mut self) -> Result<(), Stop> {
        match self.until(|_| false) {
            Err(Stop::Saw(end)) if end == "closed" => Ok(()),
            Err(Stop::Saw(_)) => Err(Stop::Saw("the client does not close".into())),
            other => other,
        }
    }

    fn reply(&mut self, id: u32) {
        let headers: &[(&str, &str)] = match self.answer {
            Answer::WithHeaders => &[("x-more", "headers"), ("status", "200"), ("version", "HTTP/1.1")],
            _ => &[],
        };
        let frame = self.wire.syn_reply(id, 0, headers);
        self.wire.write(&frame);
    }

    fn step(&mut self, deadline: Instant) -> Result<(), Stop> {
        match self.wire.next_until(deadline)? {
            Frame::SynStream { id, associated, flags, headers } => {
                let is_stdout = headers.iter().any(|(_, value)| value == "stdout");
                self.opened.push(Opened { id, associated, flags, headers });
                match self.answer {
                    Answer::Backwards => {}
                    Answer::RefuseStdout if is_stdout => self.wire.write(&rst(id, 5)),
                    Answer::Late(time) => {
                        std::thread::sleep(time);
                        self.reply(id);
                    }
                    _ => self.reply(id),
                }
            }
            Frame::Ping(id) if id % 2 == 0 => self.pongs.push(id),
            Frame::Ping(id) => self.wire.write(&ping(id)),
            Frame::Rst { id, status } => self.came.entry(id).or_default().rst = Some(status),
            Frame::Data { id, fin, bytes } => {
                let came = self.came.entry(id).or_default();
                came.empty_fin |= fin && bytes.is_empty();
                came.fin |= fin;
                came.data.extend(bytes);
            }
            // As a server has to: nothing comes behind it.
            Frame::GoAway { .. } => return Err(Stop::Saw("closed".into())),
            _ => {}
        }
        Ok(())
    }
}

/// One session: what `act` does when all streams are open, until the client has ended. It has no input and keeps it open.
pub(super) fn session(
    client: &Client,
    protocol: &str,
    answer: Answer,
    act: impl FnOnce(&mut Peer) -> Result<(), Stop>,
) -> Result<Exit, Stop> {
    let started = client.start(Some(b""))?;
    let mut peer = Peer::accept(&started, protocol, answer)?;
    act(&mut peer)?;
    // A client that has all it wants may close without waiting, and one that was cut off has nothing to close.
    let _ = peer.closed();
    drop(peer);
    started.exit()
}
