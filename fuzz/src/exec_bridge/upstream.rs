use strait::k8s::{Channel, ResizeParser, StreamSet, Subprotocol, TerminalSize};
use strait::spdy::frame::{DATA_HEADER, data_header, rst_stream};
use strait::spdy::{HeaderWriter, RstStatus, StreamId};

use crate::script::{Flow, Wire, payload};
use crate::spdy::{Control, Inbox, word};

pub(super) const SUCCESS: &[u8] = br#"{"metadata":{},"status":"Success"}"#;
const EXIT_5: &[u8] = br#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: 5","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"5"}]}}"#;
const FAILURE: &[u8] =
    br#"{"metadata":{},"status":"Failure","message":"no such container","reason":"NotFound","code":404}"#;

/// A SPDY server: what it sends, and an independent reader of what it gets.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, of which any combination occurs")]
pub(super) struct Upstream {
    pub(super) wire: Wire,
    pub(super) streams: Vec<Stream>,
    writer: HeaderWriter,
    /// What it has sent on stdout and stderr that must arrive.
    pub(super) stdout: usize,
    pub(super) stderr: usize,
    pub(super) status: Vec<u8>,
    pub(super) control: Control,
    /// It has sent bytes of the script, which may mean anything.
    pub(super) raw: bool,
    /// It has ended the session: what it sends is not part of it any more.
    pub(super) over: bool,

    pub(super) opened: usize,
    /// The client has sent bytes of the script.
    pub(super) client_raw: bool,
    pub(super) size: Option<TerminalSize>,
    sizes: ResizeParser,
    pub(super) got_goaway: bool,
    pub(super) inbox: Inbox,
}

/// The stream of a channel.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, of which any combination occurs")]
pub(super) struct Stream {
    pub(super) channel: Channel,
    id: StreamId,
    pub(super) replied: bool,
    /// Upstream has finished its half.
    finished: bool,
    /// Upstream has reset it.
    pub(super) reset: bool,
    /// The bridge has finished its half.
    pub(super) got_fin: bool,
    got_reset: bool,
}

impl Stream {
    fn ends_output(&self) -> bool {
        !matches!(self.channel, Channel::STDIN | Channel::RESIZE)
    }
}

impl Upstream {
    pub(super) fn new(set: StreamSet) -> Self {
        let stream = |(index, channel)| Stream {
            channel,
            id: StreamId::new(2 * index as u32 + 1).expect("an odd number"),
            replied: false,
            finished: false,
            reset: false,
            got_fin: false,
            got_reset: false,
        };
        Self {
            wire: Wire::default(),
            streams: set.channels(Subprotocol::V4).enumerate().map(stream).collect(),
            writer: HeaderWriter::new(),
            stdout: 0,
            stderr: 0,
            status: vec![],
            control: Control::default(),
            raw: false,
            over: false,
            opened: 0,
            client_raw: false,
            size: None,
            sizes: ResizeParser::new(),
            got_goaway: false,
            inbox: Inbox::default(),
        }
    }

    pub(super) fn stream(&self, channel: Channel) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.channel == channel)
    }

    /// True if it has accepted or refused all streams: the session may run.
    pub(super) fn has_answered(&self) -> bool {
        self.streams.iter().all(|stream| stream.replied || stream.reset)
    }

    pub(super) fn accept(&mut self, channel: Channel) {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.channel == channel) else { return };
        if self.wire.ends || std::mem::replace(&mut stream.replied, true) {
            return;
        }
        let mut reply = [0; 64];
        let length = self.writer.syn_reply(stream.id, &mut reply).expect("a reply is short");
        self.wire.send(&reply[..length]);
    }

    pub(super) fn accept_all(&mut self) {
        for channel in [0, 1, 2, 3, 4] {
            self.accept(Channel::new(channel));
        }
    }

    pub(super) fn send_output(&mut self, channel: Channel, len: usize, fin: bool) {
        let len = self.wire.allows(len);
        let from = if channel == Channel::STDOUT { self.stdout } else { self.stderr };
        let output: Vec<u8> = payload(channel.number(), from..from + len).collect();
        let counts = self.send(channel, &output, fin);
        if counts {
            *(if channel == Channel::STDOUT { &mut self.stdout } else { &mut self.stderr }) += len;
        }
    }

    pub(super) fn send_status(&mut self, which: u8, fin: bool) {
        let status = match which % 8 {
            0 => SUCCESS.to_vec(),
            1 => EXIT_5.to_vec(),
            2 => FAILURE.to_vec(),
            3 => EXIT_5[..40].to_vec(),
            4 => EXIT_5[40..].to_vec(),
            5 => b"exit 1".to_vec(),
            6 => [&br#"{"status":"Failure","message":""#[..], &vec![b'm'; 400], br#""}"#].concat(),
            _ => [&br#"{"status":"Failure","message":""#[..], &vec![b'm'; 700], br#""}"#].concat(),
        };
        if self.send(Channel::ERROR, &status, fin) {
            self.status.extend(status);
        }
    }

    pub(super) fn reset(&mut self, channel: Channel) {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.channel == channel) else { return };
        if self.wire.ends {
            return;
        }
        self.wire.send(&rst_stream(stream.id, RstStatus::CANCEL));
        stream.reset = true;
        self.check_over();
    }

    pub(super) fn send_control(&mut self, which: u8) {
        if self.wire.ends {
            return;
        }
        let (frame, is_goaway) = self.control.frame(which);
        self.wire.send(&frame);
        self.over |= is_goaway;
    }

    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        self.wire.send(bytes);
        self.raw |= !bytes.is_empty() && !self.wire.ends;
    }

    /// Ends all its streams as a kubelet does, and the connection.
    pub(super) fn end(&mut self) {
        for channel in [Channel::STDOUT, Channel::STDERR] {
            self.send(channel, &[], true);
        }
        if self.status.is_empty() {
            self.send_status(0, false);
        }
        self.reset(Channel::ERROR);
        self.send_control(3);
        self.wire.ends = true;
    }

    /// Sends DATA. False if it does not belong to the session.
    fn send(&mut self, channel: Channel, payload: &[u8], fin: bool) -> bool {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.channel == channel) else {
            return false;
        };
        self.wire.send(&data_header(stream.id, fin, payload.len() as u32));
        self.wire.send(payload);
        let counts =
            stream.replied && !stream.finished && !stream.reset && !self.over && !self.raw && !self.wire.ends;
        stream.finished |= fin && stream.replied;
        self.check_over();
        counts
    }

    fn check_over(&mut self) {
        let mut outputs = self.streams.iter().filter(|stream| stream.ends_output());
        self.over |= outputs.all(|stream| stream.finished || stream.reset);
    }

    /// Reads what the bridge has written; `input` is what the client has sent.
    pub(super) fn get(&mut self, bytes: &[u8], input: &mut Flow) {
        let mut inbox = std::mem::take(&mut self.inbox);
        inbox.receive(bytes, |header, payload| self.read(header, payload, input));
        self.inbox = inbox;
    }

    fn read(&mut self, header: [u8; DATA_HEADER], payload: &[u8], input: &mut Flow) {
        assert!(!self.got_goaway, "frame {header:02x?} behind the GOAWAY");
        match header {
            [0x80, 3, 0, 1, 0, ..] => {
                assert_eq!(
                    self.streams.get(self.opened).map(|stream| stream.id.get()),
                    Some(word(payload, 0))
                );
                self.opened += 1;
            }
            [0x80, 3, 0, 3, 0, 0, 0, 8] => {
                let id = word(payload, 0);
                let stream = self.streams.iter_mut().find(|stream| stream.id.get() == id);
                assert!(stream.is_some() || self.raw, "a reset of stream {id}");
                if let Some(stream) = stream {
                    assert!(!stream.got_reset || self.raw, "a second reset of {}", stream.channel);
                    stream.got_reset = true;
                }
            }
            [0x80, 3, 0, 6, 0, 0, 0, 4] => self.control.answered(word(payload, 0), self.raw),
            [0x80, 3, 0, 7, 0, 0, 0, 8] => self.got_goaway = true,
            [0, 0, 0, id, flags @ (0 | 1), ..] => self.read_data(id, flags == 1, payload, input),
            _ => panic!("frame {header:02x?}"),
        }
    }

    fn read_data(&mut self, id: u8, fin: bool, payload: &[u8], input: &mut Flow) {
        let stream = self.streams.iter_mut().find(|stream| stream.id.get() == u32::from(id));
        let stream = stream.unwrap_or_else(|| panic!("DATA on stream {id}"));
        let channel = stream.channel;
        assert!(!stream.got_fin, "DATA on {channel} behind its end");
        assert!(!stream.got_reset, "DATA on {channel} behind its reset");
        assert!(stream.replied || self.raw, "DATA on {channel} before it is accepted");
        assert!(fin || !payload.is_empty(), "an empty frame");
        stream.got_fin = fin;
        match channel {
            Channel::STDIN => input.arrive(channel.number(), payload, self.client_raw),
            Channel::RESIZE => self.size = self.sizes.feed(payload).or(self.size),
            _ => panic!("DATA on {channel}"),
        }
    }
}
