use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::case::Stop;
use crate::target::{Asked, Target};
use crate::wire::http;
use crate::wire::spdy::{Connection, FIN, Frame, data, ping};

/// What every SPDY session offers unless a case says otherwise.
pub(super) const V4: &str = "v4.channel.k8s.io";

/// Of a PING that asks whether the connection goes on.
const PROBE: u32 = 0x4001;

/// What came on a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Came {
    pub(super) replied: bool,
    /// DATA in front of the `SYN_REPLY`.
    pub(super) early: bool,
    /// Headers of the `SYN_REPLY`.
    pub(super) headers: usize,
    pub(super) data: Vec<u8>,
    pub(super) fin: bool,
    pub(super) rst: Option<u32>,
}

impl Came {
    pub(super) const fn is_over(&self) -> bool {
        self.fin || self.rst.is_some()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }
}

/// A SPDY connection to a server, and all that came on it.
pub(super) struct Session {
    pub(super) wire: Connection,
    /// Of the streams by their types.
    pub(super) ids: BTreeMap<String, u32>,
    pub(super) came: BTreeMap<u32, Came>,
    /// PINGs with odd ids: answers.
    pub(super) pongs: Vec<u32>,
    /// PINGs with even ids: the server's own, which were answered.
    pub(super) pings: Vec<u32>,
    /// Kinds of frames, in the order in which they came.
    pub(super) kinds: Vec<&'static str>,
    /// Last good stream and status of a GOAWAY.
    pub(super) goaway: Option<(u32, u32)>,
    next: u32,
    more_headers: bool,
    limit: Duration,
}

impl Session {
    /// Upgrades a connection and opens no stream.
    pub(super) fn upgrade(target: &Target, path: &str, protocols: &str) -> Result<Self, Stop> {
        let request = target.spdy_request(path, protocols);
        let (io, head, behind) = http::ask(&target.address, &request, target.limit)?;
        if head.status() != 101 {
            return Err(Stop::Saw(head.status().to_string()));
        }
        Ok(Self {
            wire: Connection::new(io, behind),
            ids: BTreeMap::new(),
            came: BTreeMap::new(),
            pongs: Vec::new(),
            pings: Vec::new(),
            kinds: Vec::new(),
            goaway: None,
            next: 1,
            more_headers: target.http_headers,
            limit: target.limit,
        })
    }

    /// A connection for `cat`, without streams.
    pub(super) fn fresh(target: &Target) -> Result<Self, Stop> {
        Self::upgrade(target, &target.exec(Asked::pipe(&["cat"])), V4)
    }

    /// A session with `cat`: error stream 1, stdin 3 and stdout 5, all accepted.
    pub(super) fn cat(target: &Target) -> Result<Self, Stop> {
        Self::start(target, Asked::pipe(&["cat"]), V4)
    }

    /// A session with all its streams accepted.
    pub(super) fn start(target: &Target, asked: Asked<'_>, protocol: &str) -> Result<Self, Stop> {
        let mut session = Self::upgrade(target, &target.exec(asked), protocol)?;
        let resize = !matches!(protocol, "channel.k8s.io" | "v2.channel.k8s.io");
        session.open_all(&asked.streams(resize))?;
        Ok(session)
    }

    /// Opens streams, and waits until they are accepted.
    pub(super) fn open_all(&mut self, streams: &[&str]) -> Result<(), Stop> {
        let frames: Vec<u8> = streams.iter().flat_map(|stream| self.opening(stream, 0)).collect();
        self.wire.write(&frames);
        self.accepted()
    }

    /// The `SYN_STREAM` of the next stream.
    pub(super) fn opening(&mut self, stream: &str, flags: u8) -> Vec<u8> {
        let id = self.next;
        self.opening_as(id, stream, flags, &[])
    }

    /// A `SYN_STREAM` with this id and these headers besides.
    pub(super) fn opening_as(&mut self, id: u32, stream: &str, flags: u8, more: &[(&str, &str)]) -> Vec<u8> {
        self.next = self.next.max(id + 2);
        self.ids.insert(stream.to_owned(), id);
        self.came.entry(id).or_default();
        let headers = self.headers(stream, more);
        self.wire.syn_stream(id, flags, &headers)
    }

    /// Headers of a stream, with those that the target wants besides.
    pub(super) fn headers<'a>(
        &self,
        stream: &'a str,
        more: &[(&'a str, &'a str)],
    ) -> Vec<(&'a str, &'a str)> {
        let mut headers = vec![("streamtype", stream)];
        headers.extend(more);
        if self.more_headers {
            let http = [
                (":method", "POST"),
                (":path", "/"),
                (":version", "HTTP/1.1"),
                (":host", "x"),
                (":scheme", "http"),
            ];
            headers.extend(http);
        }
        headers
    }

    /// The id of a stream.
    pub(super) fn id(&self, stream: &str) -> u32 {
        self.ids[stream]
    }

    /// What came on a stream.
    pub(super) fn on(&self, stream: &str) -> &Came {
        &self.came[&self.ids[stream]]
    }

    /// Waits until all streams are accepted or refused.
    pub(super) fn accepted(&mut self) -> Result<(), Stop> {
        let result =
            self.until(|session| session.came.values().all(|came| came.replied || came.rst.is_some()));
        result.map_err(|stop| match stop {
            Stop::Saw(end) => Stop::Saw(self.told(&end)),
            other @ Stop::NotRun(_) => other,
        })
    }

    /// Sends DATA on stdin.
    pub(super) fn type_in(&mut self, payload: &[u8], fin: bool) {
        let frame = data(self.id("stdin"), if fin { FIN } else { 0 }, payload);
        self.wire.write(&frame);
    }

    /// Reads until it is so.
    pub(super) fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> Result<(), Stop> {
        let deadline = Instant::now() + self.limit;
        while !is_so(self) {
            self.step(deadline)?;
        }
        Ok(())
    }

    /// Reads until stdout, stderr and the error stream are over, or the connection.
    pub(super) fn read_to_end(&mut self) -> Result<(), Stop> {
        let is_output = |name: &str| ["error", "stdout", "stderr"].contains(&name);
        let over = |session: &Self| {
            let mut outputs = session.ids.iter().filter(|(name, _)| is_output(name));
            outputs.all(|(_, id)| session.came[id].is_over())
        };
        match self.until(over) {
            Err(Stop::Saw(end)) if end == "closed" => Ok(()),
            other => other,
        }
    }

    /// Reads for a moment, whatever comes.
    pub(super) fn read_for(&mut self, time: Duration) -> Result<(), Stop> {
        let deadline = Instant::now() + time;
        loop {
            match self.step(deadline) {
                Ok(()) => {}
                Err(Stop::Saw(end)) if end == "silent" => return Ok(()),
                Err(other) => return Err(other),
            }
        }
    }

    fn step(&mut self, deadline: Instant) -> Result<(), Stop> {
        let frame = self.wire.next_until(deadline)?;
        if self.goaway.is_some() {
            self.kinds.push("behind GOAWAY");
        }
        match frame {
            Frame::SynStream { .. } => self.kinds.push("SYN_STREAM"),
            Frame::SynReply { id, headers, .. } => {
                self.kinds.push("SYN_REPLY");
                let came = self.came.entry(id).or_default();
                (came.replied, came.headers) = (true, headers.len());
            }
            Frame::Headers { .. } => self.kinds.push("HEADERS"),
            Frame::Rst { id, status } => {
                self.kinds.push("RST_STREAM");
                self.came.entry(id).or_default().rst = Some(status);
            }
            Frame::Ping(id) => {
                self.kinds.push("PING");
                if id % 2 == 1 {
                    self.pongs.push(id);
                } else {
                    self.pings.push(id);
                    self.wire.write(&ping(id));
                }
            }
            Frame::GoAway { last, status } => {
                self.kinds.push("GOAWAY");
                self.goaway = Some((last, status));
            }
            Frame::WindowUpdate => self.kinds.push("WINDOW_UPDATE"),
            Frame::Settings => self.kinds.push("SETTINGS"),
            Frame::Unknown(_) => self.kinds.push("unknown"),
            Frame::Data { id, fin, bytes } => {
                self.kinds.push("DATA");
                let came = self.came.entry(id).or_default();
                came.early |= !came.replied;
                came.data.extend(bytes);
                came.fin |= fin;
            }
        }
        Ok(())
    }

    /// Whether the session goes on: what is typed in comes out, and a PING is answered. In front of that stand the resets that
    /// came since the streams were accepted.
    pub(super) fn probe(&mut self) -> String {
        self.wire.write(&ping(PROBE));
        let before = self.on("stdout").data.len();
        self.type_in(b"probe", false);
        let passed = |session: &Self| {
            session.pongs.contains(&PROBE) && session.on("stdout").data[before..].ends_with(b"probe")
        };
        let end = match self.until(passed) {
            Ok(()) => "goes on".to_owned(),
            Err(Stop::Saw(end)) if end == "silent" => {
                let answered = self.pongs.contains(&PROBE);
                if answered { "answers PING, stdin or stdout is dead" } else { "stalls" }.into()
            }
            Err(Stop::Saw(end) | Stop::NotRun(end)) => end,
        };
        self.told(&end)
    }

    /// The same for a connection without streams: a PING is answered.
    pub(super) fn probe_ping(&mut self) -> String {
        self.wire.write(&ping(PROBE));
        let end = match self.until(|session| session.pongs.contains(&PROBE)) {
            Ok(()) => "goes on".to_owned(),
            Err(Stop::Saw(end) | Stop::NotRun(end)) => end,
        };
        self.told(&end)
    }

    /// `end` behind what the server said about it. When it closes, it resets all streams, which says nothing.
    fn told(&self, end: &str) -> String {
        let mut told = Vec::new();
        if end != "closed" {
            for (id, came) in &self.came {
                told.extend(came.rst.map(|status| format!("RST_STREAM {status} on {id}")));
            }
        }
        told.extend(self.goaway.map(|(_, status)| format!("GOAWAY {status}")));
        told.push(end.to_owned());
        told.join(", ")
    }
}
