//! The tunnel: a byte stream in the binary messages of a WebSocket, which is how a SPDY connection crosses proxies that
//! know WebSocket only (`SPDY/3.1+portforward.k8s.io`).
//!
//! Message borders mean nothing: the payloads of all messages, fragments and empty ones among them, are the stream. A text message is
//! an error. A Close with 1000 is its end; any other code, or a connection that is cut, is an error (`port-forward.md`
//! section 2).

use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use strait::ws::{CloseCode, Event, FrameHeader, MaskKeys, Masking, Opcode, ProtocolError, Receiver, mask};
use strait::{Limits, Role};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::message_output::MessageOutput;

/// Bytes of one read.
const INPUT: usize = 64 * 1024;

/// Most payload bytes of one message: a burst of the writer leaves in one, if it is not larger.
const MESSAGE: usize = 128 * 1024;

/// A stream of bytes in WebSocket messages, after the upgrade. Each write is one message.
///
/// It answers pings and sends its own while it is read, so one task has to poll both its directions. A shutdown sends Close 1000, and
/// waits for no answer.
#[derive(Debug)]
pub struct TunnelStream<T> {
    io: T,
    receiver: Receiver,
    output: MessageOutput,
    keys: Option<MaskKeys>,
    input: Box<[u8]>,
    start: usize,
    end: usize,
    /// Payload at the front of the input that is not read yet.
    payload: Range<usize>,
    ended: Option<Ended>,
    heartbeat: Option<(Pin<Box<Sleep>>, Duration)>,
}

#[derive(Debug, Clone, Copy)]
enum Ended {
    /// By a Close with 1000, or without a code.
    Well,
    Closed(CloseCode),
    Cut,
    Text,
    Broken(ProtocolError),
}

impl<T> TunnelStream<T> {
    /// The client's end; `behind` is what was received behind the head of the upgrade, and `seed` 16 bytes that nobody can predict.
    pub fn client(io: T, behind: &[u8], seed: [u8; 16], limits: &Limits) -> Self {
        Self::new(io, behind, Role::Client, Some(MaskKeys::new(seed)), limits)
    }

    /// The server's end.
    pub fn server(io: T, behind: &[u8], limits: &Limits) -> Self {
        Self::new(io, behind, Role::Server, None, limits)
    }

    fn new(io: T, behind: &[u8], role: Role, keys: Option<MaskKeys>, limits: &Limits) -> Self {
        strait_simd::install();
        let mut input = vec![0; INPUT.max(behind.len())].into_boxed_slice();
        input[..behind.len()].copy_from_slice(behind);
        let interval = limits.ping_interval;
        let heartbeat = (!interval.is_zero()).then(|| (Box::pin(tokio::time::sleep(interval)), interval));
        Self {
            io,
            receiver: Receiver::new(role, limits),
            output: MessageOutput::new(role),
            keys,
            input,
            start: 0,
            end: behind.len(),
            payload: 0..0,
            ended: None,
            heartbeat,
        }
    }

    fn key(&mut self) -> [u8; 4] {
        self.keys.as_mut().map_or([0; 4], Masking::draw)
    }

    /// Takes frames out of the input until there is payload, or nothing more to take.
    fn receive(&mut self) {
        while self.payload.is_empty() && self.ended.is_none() && self.output.sender.can_answer() {
            let step = match self.receiver.receive(&mut self.input[self.start..self.end]) {
                Ok(step) => step,
                Err(error) => {
                    self.end(Ended::Broken(error), error.close_code());
                    return;
                }
            };
            let at = |range: Range<usize>| self.start + range.start..self.start + range.end;
            let event = step.event.map(|event| match event {
                Event::Data { opcode: Opcode::Text, .. } => Came::Text,
                Event::Data { range, .. } => Came::Payload(at(range)),
                Event::Ping { range } => Came::Ping(at(range)),
                Event::Pong { .. } => Came::Pong,
                Event::Close { code, .. } => Came::Close(code),
            });
            self.start += step.consumed;
            match event {
                None if step.consumed == 0 => return,
                None | Some(Came::Pong) => {}
                Some(Came::Payload(range)) => self.payload = range,
                Some(Came::Ping(range)) => {
                    let key = self.key();
                    // There is room for it.
                    let _ = self.output.sender.pong(&self.input[range], key);
                }
                Some(Came::Text) => self.end(Ended::Text, CloseCode::UNSUPPORTED_DATA),
                Some(Came::Close(code)) => {
                    let ended = match code {
                        None | Some(CloseCode::NORMAL) => Ended::Well,
                        Some(code) => Ended::Closed(code),
                    };
                    self.end(ended, code.unwrap_or(CloseCode::NORMAL));
                }
            }
        }
    }

    fn end(&mut self, ended: Ended, code: CloseCode) {
        self.ended = Some(ended);
        let key = self.key();
        let _ = self.output.sender.close(Some(code), "", key);
    }
}

enum Came {
    Payload(Range<usize>),
    Ping(Range<usize>),
    Pong,
    Text,
    Close(Option<CloseCode>),
}

impl<T: AsyncRead + AsyncWrite + Unpin> TunnelStream<T> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.poll_write(&mut self.io, cx)
    }

    /// Sends a ping when it is due.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) {
        let Some((sleep, interval)) = &mut self.heartbeat else { return };
        while sleep.as_mut().poll(cx).is_ready() {
            sleep.as_mut().reset(Instant::now() + *interval);
            let key = self.keys.as_mut().map_or([0; 4], Masking::draw);
            // Without room there are answers that the peer does not read.
            let _ = self.output.sender.ping(&[], key);
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TunnelStream<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_heartbeat(cx);
        loop {
            this.receive();
            let was_full = !this.output.sender.can_answer();
            // An error of it is seen by who writes, and soon by who reads.
            let _ = this.poll_send(cx);
            if was_full && this.output.sender.can_answer() {
                continue;
            }
            if !this.payload.is_empty() {
                let count = this.payload.len().min(buf.remaining());
                buf.put_slice(&this.input[this.payload.start..][..count]);
                this.payload.start += count;
                return Poll::Ready(Ok(()));
            }
            match this.ended {
                None => {}
                Some(Ended::Well) => return Poll::Ready(Ok(())),
                Some(ended) => return Poll::Ready(Err(ended.into())),
            }
            this.input.copy_within(this.start..this.end, 0);
            (this.start, this.end) = (0, this.end - this.start);
            let mut space = ReadBuf::new(&mut this.input[this.end..]);
            if space.remaining() == 0 {
                // The peer does not read its answers: it is not read either.
                return Poll::Pending;
            }
            let _: () = ready!(Pin::new(&mut this.io).poll_read(cx, &mut space))?;
            let count = space.filled().len();
            if count == 0 {
                this.ended = Some(Ended::Cut);
            }
            this.end += count;
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TunnelStream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        if this.output.sender.is_closing() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let len = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(MESSAGE);
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        let key = this.key();
        let header = this.output.sender.data_header(Opcode::Binary, true, len as u64, key);
        let mut bytes = [0; FrameHeader::MAX];
        let size = header.write(&mut bytes);
        // All that was before it has left.
        let message = &mut this.output.messages;
        message.extend_from_slice(&bytes[..size]);
        for buf in bufs {
            let left = size + len - message.len();
            message.extend_from_slice(&buf[..buf.len().min(left)]);
        }
        if let Some(key) = header.mask {
            mask(key, 0, &mut message[size..]);
        }
        // The message counts as written: what of it does not leave now leaves with the next flush or write.
        match this.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(len)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let key = this.key();
        // Only the first one is sent.
        let _ = this.output.sender.close(Some(CloseCode::NORMAL), "", key);
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl From<Ended> for io::Error {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Well | Ended::Cut => io::ErrorKind::UnexpectedEof.into(),
            Ended::Closed(code) => {
                Self::new(io::ErrorKind::ConnectionAborted, format!("closed with code {code}"))
            }
            Ended::Text => Self::new(io::ErrorKind::InvalidData, "a text message in the tunnel"),
            Ended::Broken(error) => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const QUIET: Limits = Limits { ping_interval: Duration::ZERO, ..Limits::HOST };

    fn server_over(io: DuplexStream) -> TunnelStream<DuplexStream> {
        TunnelStream::server(io, &[], &QUIET)
    }

    /// A masked frame of a client, whose key changes nothing.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
    }

    #[tokio::test]
    async fn bytes_cross_it_both_ways() {
        let (near, far) = duplex(1000);
        let mut ends = (TunnelStream::client(near, &[], [7; 16], &Limits::HOST), server_over(far));
        let sent: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
        for _ in 0..2 {
            let mut got = vec![0; sent.len()];
            let (writer, reader) = (&mut ends.0, &mut ends.1);
            let written = async {
                writer.write_all(&sent).await?;
                writer.flush().await
            };
            tokio::try_join!(written, reader.read_exact(&mut got)).unwrap();
            assert!(got == sent);
            let mut got = vec![0; sent.len()];
            let written = async {
                reader.write_all(&sent).await?;
                reader.flush().await
            };
            tokio::try_join!(written, writer.read_exact(&mut got)).unwrap();
            assert!(got == sent);
        }
        ends.0.shutdown().await.unwrap();
        assert_eq!(ends.1.read(&mut [0; 10]).await.unwrap(), 0, "Close 1000 is the end");
    }

    #[tokio::test]
    async fn fragments_and_empty_messages_are_one_stream_and_pings_are_answered() {
        let (mut near, far) = duplex(1000);
        let mut server = server_over(far);
        let wire = [
            frame(0x82, b""),
            frame(0x02, b"one "),
            frame(0x89, b"ping"),
            frame(0x00, b""),
            frame(0x80, b"two"),
            frame(0x82, b""),
            frame(0x82, b" three"),
        ];
        near.write_all(&wire.concat()).await.unwrap();
        let mut got = [0; 13];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"one two three");
        let mut pong = [0; 6];
        near.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"\x8a\x04ping");
    }

    #[tokio::test]
    async fn a_burst_leaves_in_one_message() {
        let (mut near, far) = duplex(1000);
        let mut server = server_over(far);
        let slices = [IoSlice::new(b"12"), IoSlice::new(b""), IoSlice::new(b"345")];
        assert_eq!(server.write_vectored(&slices).await.unwrap(), 5);
        let mut wire = [0; 7];
        near.read_exact(&mut wire).await.unwrap();
        assert_eq!(&wire, b"\x82\x0512345");
    }

    #[tokio::test]
    async fn only_close_1000_is_a_good_end() {
        for (wire, kind) in [
            (frame(0x88, b"\x03\xe8"), None),
            (frame(0x88, b""), None),
            (frame(0x88, b"\x03\xe9"), Some(io::ErrorKind::ConnectionAborted)),
            (frame(0x81, b"text"), Some(io::ErrorKind::InvalidData)),
            (frame(0x83, b"?"), Some(io::ErrorKind::InvalidData)),
            (Vec::new(), Some(io::ErrorKind::UnexpectedEof)),
        ] {
            let (mut near, far) = duplex(1000);
            let mut server = server_over(far);
            near.write_all(&wire).await.unwrap();
            near.shutdown().await.unwrap();
            let read = server.read(&mut [0; 10]).await;
            assert_eq!(read.as_ref().err().map(io::Error::kind), kind, "{wire:02x?}: {read:?}");
            if !wire.is_empty() {
                let mut close = [0; 2];
                near.read_exact(&mut close).await.unwrap();
                assert_eq!(close[0], 0x88, "it is answered");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_waits_for_nobody_who_reads_or_answers() {
        let (near, far) = duplex(64);
        let mut server = server_over(far);
        let closed = tokio::time::timeout(Duration::from_secs(1), server.shutdown()).await;
        closed.unwrap().unwrap();
        drop(near);
    }

    #[tokio::test(start_paused = true)]
    async fn pings_are_sent_while_it_is_read() {
        let (mut near, far) = duplex(1000);
        let mut server = TunnelStream::server(far, &[], &Limits::HOST);
        let reading = tokio::spawn(async move { server.read(&mut [0; 10]).await });
        let mut ping = [0; 2];
        near.read_exact(&mut ping).await.unwrap();
        assert_eq!(&ping, b"\x89\x00");
        drop(near);
        assert!(reading.await.unwrap().is_err());
    }
}
