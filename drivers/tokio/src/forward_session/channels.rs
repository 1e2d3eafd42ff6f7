//! The legacy port-forward over WebSocket channels, as the SPDY connection that it could have been.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strait::k8s::ports::{self, port_message};
use strait::k8s::{Channel, PortChannel, PortStream, Ports, Subprotocol};
use strait::spdy::{self, HeaderWriter, SkipBlocks, StreamId, frame};
use strait::ws::{CloseCode, Event, FrameHeader, Opcode, Receiver};
use strait::{Limits, Role};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::message_output::MessageOutput;

/// Bytes of one read.
const INPUT: usize = 64 * 1024;

/// Bytes that wait for the client before more are taken.
const OUTPUT: usize = 64 * 1024;

/// How long a client has to close when it has taken that all its ports have ended.
const LINGER: Duration = Duration::from_secs(2);

/// Makes the channels of a legacy client the bytes of a SPDY client, which opens a pair for each of its ports at once.
///
/// ```text
/// channel 2i       stream 4i + 3, data: DATA both ways
/// channel 2i + 1   stream 4i + 1, error: text to the client
/// ping, pong       PING
/// ```
///
/// There is no half-close in this protocol: a port has ended when its target has, and the session when all ports have
/// (`port-forward.md` section 3).
#[derive(Debug)]
pub(crate) struct ChannelStream<T> {
    io: T,
    ports: Ports,
    protocol: Subprotocol,
    messages: Receiver,
    output: MessageOutput,
    input: Box<[u8]>,
    start: usize,
    end: usize,
    /// Of the message that has begun, if it is known yet.
    channel: Option<Channel>,
    /// Base64 that is not decoded yet.
    text: Vec<u8>,
    /// For the SPDY connection to read.
    inbound: Vec<u8>,
    inbound_read: usize,
    /// What the SPDY connection writes.
    frames: spdy::Receiver<SkipBlocks>,
    written: Vec<u8>,
    /// Payload of a frame that came in pieces.
    payload: Vec<u8>,
    /// Ports that have not ended.
    open: Vec<bool>,
    /// Those of which it was said what went wrong.
    failed: Vec<bool>,
    /// One was reset without a word.
    is_cut: bool,
    /// The client is told that all have ended, and has until then to take that and to close.
    linger: Option<Pin<Box<Sleep>>>,
    /// Bytes that it has not taken.
    left: usize,
    /// How long it may take none of them.
    close: Duration,
    ended: Option<Result<(), io::ErrorKind>>,
}

impl<T> ChannelStream<T> {
    pub(crate) fn new(io: T, behind: &[u8], ports: Ports, protocol: Subprotocol, limits: &Limits) -> Self {
        let mut input = vec![0; INPUT.max(behind.len())].into_boxed_slice();
        input[..behind.len()].copy_from_slice(behind);
        let open = vec![true; ports.as_slice().len()];
        let mut stream = Self {
            io,
            protocol,
            messages: Receiver::new(Role::Server, limits).without_utf8_check(),
            output: MessageOutput::new(Role::Server),
            input,
            start: 0,
            end: behind.len(),
            channel: None,
            text: Vec::new(),
            inbound: open_all(&ports),
            inbound_read: 0,
            frames: spdy::Receiver::new(Role::Client, limits, SkipBlocks),
            written: Vec::new(),
            payload: Vec::new(),
            failed: vec![false; open.len()],
            open,
            is_cut: false,
            linger: None,
            left: 0,
            close: limits.close,
            ended: None,
            ports,
        };
        let begin: Vec<_> = stream.ports.channels().collect();
        for (channel, port) in begin {
            stream.message(channel, &port_message(port));
        }
        stream
    }

    /// Queues a message for the client.
    fn message(&mut self, channel: PortChannel, payload: &[u8]) {
        let number = channel.channel().to_wire(self.protocol);
        let (opcode, payload) = if self.protocol.is_base64() {
            (Opcode::Text, STANDARD.encode(payload).into_bytes())
        } else {
            (Opcode::Binary, payload.to_vec())
        };
        let header = self.output.sender.data_header(opcode, true, payload.len() as u64 + 1, [0; 4]);
        let mut bytes = [0; FrameHeader::MAX];
        let size = header.write(&mut bytes);
        self.output.messages.extend_from_slice(&bytes[..size]);
        self.output.messages.push(number);
        self.output.messages.extend_from_slice(&payload);
    }

    /// Makes frames of what the client has sent.
    fn receive(&mut self) {
        while self.inbound.is_empty() && self.ended.is_none() && self.output.sender.can_answer() {
            let step = match self.messages.receive(&mut self.input[self.start..self.end]) {
                Ok(step) => step,
                Err(error) => {
                    tracing::debug!(%error, "the client broke the protocol");
                    self.ended = Some(Err(io::ErrorKind::InvalidData));
                    let _ = self.output.sender.close(Some(error.close_code()), "", [0; 4]);
                    return;
                }
            };
            let at = self.start;
            self.start += step.consumed;
            match step.event {
                None if step.consumed == 0 => return,
                None => {}
                Some(Event::Data { range, first, last, .. }) => {
                    let piece = self.input[at + range.start..at + range.end].to_vec();
                    self.piece(&piece, first, last);
                }
                Some(Event::Ping { range }) => {
                    // There is room for it.
                    let _ = self.output.sender.pong(&self.input[at + range.start..at + range.end], [0; 4]);
                }
                Some(Event::Pong { range }) => {
                    if let Ok(id) = self.input[at + range.start..at + range.end].try_into() {
                        self.inbound.extend_from_slice(&frame::ping(u32::from_be_bytes(id)));
                    }
                }
                Some(Event::Close { code, .. }) => {
                    self.ended = Some(Ok(()));
                    let _ = self.output.sender.close(code.or(Some(CloseCode::NORMAL)), "", [0; 4]);
                }
            }
        }
    }

    /// A piece of a message: its first byte is the channel.
    fn piece(&mut self, mut piece: &[u8], first: bool, last: bool) {
        if first {
            self.channel = None;
            self.text.clear();
        }
        if self.channel.is_none()
            && let Some((&number, rest)) = piece.split_first()
        {
            self.channel = Some(Channel::from_wire(number, self.protocol));
            piece = rest;
        }
        let Some(stream) = self.channel.and_then(|channel| self.stream(channel)) else { return };
        if !self.protocol.is_base64() {
            return self.data(stream, piece);
        }
        self.text.extend_from_slice(piece);
        let whole = if last { self.text.len() } else { self.text.len() / 4 * 4 };
        match STANDARD.decode(&self.text[..whole]) {
            Ok(bytes) => {
                self.text.drain(..whole);
                self.data(stream, &bytes);
            }
            Err(error) => {
                tracing::debug!(%error, "the client broke the protocol");
                self.ended = Some(Err(io::ErrorKind::InvalidData));
                let _ = self.output.sender.close(Some(CloseCode::INVALID_PAYLOAD), "", [0; 4]);
            }
        }
    }

    /// The data stream of a channel that the client may send on.
    fn stream(&self, channel: Channel) -> Option<StreamId> {
        let (PortChannel { index, stream }, _) = self.ports.find(channel)?;
        let is_open = stream == PortStream::Data && self.open.get(usize::from(index)) == Some(&true);
        StreamId::new(if is_open { number(index, stream) } else { 0 })
    }

    fn data(&mut self, stream: StreamId, payload: &[u8]) {
        if !payload.is_empty() {
            self.inbound.extend_from_slice(&frame::data_header(stream, false, payload.len() as u32));
            self.inbound.extend_from_slice(payload);
        }
    }

    /// Makes messages of what the SPDY connection has written.
    fn translate(&mut self) -> io::Result<()> {
        let mut at = 0;
        loop {
            let input = &self.written[at..];
            let step = self.frames.receive(input).map_err(io::Error::other)?;
            if step.consumed == 0 && step.event.is_none() {
                self.written.drain(..at);
                return Ok(());
            }
            at += step.consumed;
            match step.event {
                Some(spdy::Event::Data { stream, range, fin, last }) => {
                    self.payload.extend_from_slice(&input[range]);
                    if last {
                        let payload = std::mem::take(&mut self.payload);
                        self.came(stream, &payload, fin);
                    }
                }
                Some(spdy::Event::RstStream { stream, .. }) => {
                    self.is_cut |= self.is_cut_by(stream);
                    self.came(stream, &[], true);
                }
                Some(spdy::Event::Ping { id }) => {
                    // Without room there are answers that the client does not read.
                    let _ = self.output.sender.ping(&id.to_be_bytes(), [0; 4]);
                }
                _ => {}
            }
        }
    }

    /// A reset of this stream is no end of a port, and nobody has said why.
    fn is_cut_by(&self, stream: StreamId) -> bool {
        let index = ((stream.get() - 1) / 4) as usize;
        let is_data = stream.get() % 4 == 3;
        is_data && self.open.get(index) == Some(&true) && self.failed.get(index) == Some(&false)
    }

    /// How the session has ended: in front of the end of all ports it is not the end of any.
    fn close_code(&self) -> CloseCode {
        if self.is_cut || self.open.contains(&true) { CloseCode::GOING_AWAY } else { CloseCode::NORMAL }
    }

    /// Something for the client, from a stream.
    fn came(&mut self, stream: StreamId, payload: &[u8], end: bool) {
        let id = stream.get();
        let Ok(index) = u8::try_from((id - 1) / 4) else { return };
        let is_data = id == number(index, PortStream::Data);
        let stream = if is_data { PortStream::Data } else { PortStream::Error };
        if !payload.is_empty() {
            self.message(PortChannel { index, stream }, payload);
            if let Some(failed) = self.failed.get_mut(usize::from(index)) {
                *failed |= !is_data;
            }
        }
        if !end || !is_data {
            return;
        }
        let Some(open) = self.open.get_mut(usize::from(index)) else { return };
        if std::mem::take(open)
            && let Some(data) = StreamId::new(id)
        {
            // The client cannot half-close: what it has sent is all there is.
            self.inbound.extend_from_slice(&frame::rst_stream(data, spdy::RstStatus::CANCEL));
        }
    }

    /// Closes when all ports have ended.
    fn close_when_over(&mut self) {
        if self.linger.is_none() && !self.open.contains(&true) {
            let _ = self.output.sender.close(Some(self.close_code()), "", [0; 4]);
            self.linger = Some(Box::pin(tokio::time::sleep(LINGER)));
            self.left = 0;
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for ChannelStream<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.receive();
            this.close_when_over();
            let was_full = !this.output.sender.can_answer();
            // An error of it is seen by who writes, and soon by who reads.
            let _ = this.output.poll_write(&mut this.io, cx);
            if was_full && this.output.sender.can_answer() {
                continue;
            }
            if this.inbound_read < this.inbound.len() {
                let count = buf.remaining().min(this.inbound.len() - this.inbound_read);
                buf.put_slice(&this.inbound[this.inbound_read..][..count]);
                this.inbound_read += count;
                if this.inbound_read == this.inbound.len() {
                    this.inbound.clear();
                    this.inbound_read = 0;
                }
                return Poll::Ready(Ok(()));
            }
            match this.ended {
                None => {}
                Some(Ok(())) => return Poll::Ready(Ok(())),
                Some(Err(kind)) => return Poll::Ready(Err(kind.into())),
            }
            let left = this.output.waiting() + this.output.sender.outbox().pending().len();
            if let Some(linger) = &mut this.linger {
                if std::mem::replace(&mut this.left, left) != left {
                    let wait = if left > 0 { this.close } else { LINGER };
                    linger.as_mut().reset(tokio::time::Instant::now() + wait);
                }
                if linger.as_mut().poll(cx).is_ready() {
                    this.ended = Some(Ok(()));
                    continue;
                }
            }
            this.input.copy_within(this.start..this.end, 0);
            (this.start, this.end) = (0, this.end - this.start);
            let mut space = ReadBuf::new(&mut this.input[this.end..]);
            if space.remaining() == 0 {
                // The client does not read its answers: it is not read either.
                return Poll::Pending;
            }
            let _: () = ready!(Pin::new(&mut this.io).poll_read(cx, &mut space))?;
            let count = space.filled().len();
            if count == 0 {
                let all_is_said = this.linger.is_some();
                this.ended = Some(if all_is_said { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof) });
            }
            this.end += count;
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ChannelStream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.output.poll_write(&mut this.io, cx)?;
        if written.is_pending() && this.output.waiting() >= OUTPUT {
            return Poll::Pending;
        }
        this.written.extend_from_slice(buf);
        this.translate()?;
        let _ = this.output.poll_write(&mut this.io, cx)?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.output.poll_write(&mut this.io, cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Only the first one is sent.
        let _ = this.output.sender.close(Some(this.close_code()), "", [0; 4]);
        ready!(this.output.poll_write(&mut this.io, cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

/// Number of the stream that a channel stands for.
const fn number(index: u8, stream: PortStream) -> u32 {
    4 * index as u32
        + match stream {
            PortStream::Error => 1,
            PortStream::Data => 3,
        }
}

/// The `SYN_STREAM`s of all pairs.
fn open_all(ports: &Ports) -> Vec<u8> {
    let (mut writer, mut wire) = (HeaderWriter::new(), Vec::new());
    for (index, port) in (0..).zip(ports.as_slice()) {
        let (port, request) = (port.to_string(), index.to_string());
        for stream in [PortStream::Error, PortStream::Data] {
            let headers = [
                (ports::STREAM_TYPE, stream.stream_type()),
                (ports::PORT, port.as_str()),
                (ports::REQUEST_ID, request.as_str()),
            ];
            let mut frame = [0; 256];
            let Some(id) = StreamId::new(number(index, stream)) else { continue };
            let fin = stream == PortStream::Error;
            let len = writer.syn_stream(id, fin, &headers, &mut frame).unwrap_or(0);
            wire.extend_from_slice(&frame[..len]);
        }
    }
    wire
}
