use strait::spdy::frame::{DATA_HEADER, data_header, rst_stream};
use strait::spdy::{HeaderWriter, RstStatus, StreamId};

use super::MOST;
use super::client::Client;
use crate::script::{Wire, payload};
use crate::spdy::{Control, Inbox, word};

/// The longest text that the client gets whole.
const MOST_TEXT: usize = 512;

/// A SPDY server: what it sends, and an independent reader of what it gets.
pub(super) struct Upstream {
    count: usize,
    pub(super) wire: Wire,
    /// By place: the error stream of a port, its data stream, those of the next port.
    streams: Vec<Stream>,
    pub(super) ports: [Port; MOST],
    writer: HeaderWriter,
    pub(super) control: Control,
    /// It has sent bytes of the script, which may mean anything.
    pub(super) raw: bool,
    /// It has sent GOAWAY.
    over: bool,

    got_goaway: bool,
    pub(super) inbox: Inbox,
}

/// What must arrive of a port.
#[derive(Default)]
pub(super) struct Port {
    pub(super) sent: usize,
    pub(super) text: Vec<u8>,
    text_ended: bool,
    data_reset: bool,
}

impl Port {
    pub(super) const fn text_is_whole(&self) -> bool {
        self.text_ended
    }

    pub(super) const fn data_is_reset(&self) -> bool {
        self.data_reset
    }
}

#[derive(Default, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, of which any combination occurs")]
struct Stream {
    opened: bool,
    replied: bool,
    /// Upstream has finished its half.
    finished: bool,
    /// Upstream has reset it.
    reset: bool,
    got_fin: bool,
    got_reset: bool,
}

fn id(place: usize) -> StreamId {
    StreamId::new(2 * place as u32 + 1).expect("an odd number")
}

/// The places of the streams of a port.
const fn error_of(port: usize) -> usize {
    2 * port
}

const fn data_of(port: usize) -> usize {
    2 * port + 1
}

impl Upstream {
    pub(super) fn new(count: usize) -> Self {
        Self {
            count,
            wire: Wire::default(),
            streams: vec![Stream::default(); 2 * count],
            ports: [const { Port { sent: 0, text: vec![], text_ended: false, data_reset: false } }; MOST],
            writer: HeaderWriter::new(),
            control: Control::default(),
            raw: false,
            over: false,
            got_goaway: false,
            inbox: Inbox::default(),
        }
    }

    pub(super) fn has_all_streams(&self) -> bool {
        self.streams.iter().all(|stream| stream.opened)
    }

    /// True if what it says still counts.
    const fn speaks(&self) -> bool {
        !self.wire.ends && !self.over && !self.raw
    }

    pub(super) fn accept(&mut self, place: usize) {
        let speaks = self.speaks();
        let Some(stream) = self.streams.get_mut(place) else { return };
        // A server knows no stream that it was not sent.
        if !speaks || !stream.opened || stream.reset || std::mem::replace(&mut stream.replied, true) {
            return;
        }
        let mut reply = [0; 64];
        let length = self.writer.syn_reply(id(place), &mut reply).expect("a reply is short");
        self.wire.send(&reply[..length]);
    }

    pub(super) fn accept_all(&mut self) {
        for place in 0..2 * self.count {
            self.accept(place);
        }
    }

    pub(super) fn send_output(&mut self, port: usize, len: usize, fin: bool) {
        let len = self.wire.allows(len);
        let from = self.ports[port].sent;
        let output: Vec<u8> = payload(2 * port as u8, from..from + len).collect();
        if self.send(data_of(port), &output, fin) {
            self.ports[port].sent += len;
        }
    }

    pub(super) fn send_text(&mut self, port: usize, len: usize, fin: bool) {
        let from = self.ports[port].text.len();
        let len = len.min(MOST_TEXT - from);
        let text: Vec<u8> = payload(2 * port as u8 + 1, from..from + len).collect();
        if self.send(error_of(port), &text, fin) {
            self.ports[port].text.extend(text);
            self.ports[port].text_ended |= fin;
        }
    }

    pub(super) fn reset(&mut self, place: usize) {
        let speaks = self.speaks();
        let Some(stream) = self.streams.get_mut(place) else { return };
        if !speaks || !stream.opened {
            return;
        }
        self.wire.send(&rst_stream(id(place), RstStatus::CANCEL));
        stream.reset = true;
        let port = &mut self.ports[place / 2];
        if place == error_of(place / 2) {
            port.text_ended = true;
        } else {
            port.data_reset = true;
        }
    }

    pub(super) fn send_control(&mut self, which: u8) {
        if !self.speaks() {
            return;
        }
        let (frame, is_goaway) = self.control.frame(which);
        self.wire.send(&frame);
        self.over |= is_goaway;
    }

    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        self.raw |= !bytes.is_empty() && !self.wire.ends;
        self.wire.send(bytes);
    }

    /// Ends all its streams, and the connection.
    pub(super) fn end(&mut self) {
        self.accept_all();
        for port in 0..self.count {
            self.send_output(port, 0, true);
            self.send_text(port, 0, true);
        }
        self.wire.ends = true;
    }

    /// Sends DATA, if the stream is open. False otherwise.
    fn send(&mut self, place: usize, payload: &[u8], fin: bool) -> bool {
        let speaks = self.speaks();
        let stream = &mut self.streams[place];
        if !speaks || !stream.replied || stream.finished || stream.reset {
            return false;
        }
        stream.finished = fin;
        self.wire.send(&data_header(id(place), fin, payload.len() as u32));
        self.wire.send(payload);
        true
    }

    /// Reads what the bridge has written; `client` knows what it has sent.
    pub(super) fn get(&mut self, bytes: &[u8], client: &mut Client) {
        let mut inbox = std::mem::take(&mut self.inbox);
        inbox.receive(bytes, |header, payload| self.read(header, payload, client));
        self.inbox = inbox;
    }

    fn read(&mut self, header: [u8; DATA_HEADER], payload: &[u8], client: &mut Client) {
        assert!(!self.got_goaway, "frame {header:02x?} behind the GOAWAY");
        match header {
            [0x80, 3, 0, 1, 0, ..] => {
                let place = self.streams.iter().position(|stream| !stream.opened).expect("a stream too many");
                assert_eq!(word(payload, 0), id(place).get(), "streams are opened in order");
                self.streams[place].opened = true;
            }
            [0x80, 3, 0, 3, 0, 0, 0, 8] => {
                let stream = self.stream(word(payload, 0));
                assert!(!stream.got_reset, "a second reset");
                stream.got_reset = true;
            }
            [0x80, 3, 0, 6, 0, 0, 0, 4] => self.control.answered(word(payload, 0), self.raw),
            [0x80, 3, 0, 7, 0, 0, 0, 8] => self.got_goaway = true,
            [0, 0, 0, number, flags @ (0 | 1), ..] => {
                self.read_data(number.into(), flags == 1, payload, client);
            }
            _ => panic!("frame {header:02x?}"),
        }
    }

    fn stream(&mut self, number: u32) -> &mut Stream {
        let stream = self.streams.get_mut(number as usize / 2).filter(|stream| stream.opened);
        stream.unwrap_or_else(|| panic!("a frame of stream {number}, which is not open"))
    }

    fn read_data(&mut self, number: u32, fin: bool, payload: &[u8], client: &mut Client) {
        let stream = self.stream(number);
        assert!(!stream.got_fin, "DATA on {number} behind its end");
        assert!(!stream.got_reset, "DATA on {number} behind its reset");
        assert!(fin || !payload.is_empty(), "an empty frame");
        stream.got_fin = fin;
        let place = number as usize / 2;
        let port = place / 2;
        if place == error_of(port) {
            assert!(fin && payload.is_empty(), "nothing is said on an error stream");
        } else {
            client.input[port].arrive(2 * port as u8, payload, client.raw);
        }
    }
}
