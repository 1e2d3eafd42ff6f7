use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use strait::k8s::{Channel, ChannelSet, StreamSet, Subprotocol};
use strait::leg::{Close, Event, Framing as _, Leg as _, SpdyLeg};
use strait::spdy::SkipBlocks;
use strait::{Limits, Step};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{End, Opening, Said};

/// Bytes in front of the payload of a DATA frame.
const HEADER: usize = 8;
/// Room for one read.
const READ: usize = 32 * 1024;
/// Of a frame that comes in pieces.
const PIECE: usize = 10;
/// Between two pieces: enough for the server to read them one by one.
const PAUSE: Duration = Duration::from_millis(5);

/// RemoteCommand over SPDY/3.1, by the engine's client leg.
pub(crate) struct SpdyWire {
    io: TcpStream,
    leg: SpdyLeg<SkipBlocks>,
    input: Vec<u8>,
    /// Whole frames, but for the first.
    output: Vec<u8>,
    /// Streams that the server has not ended.
    outputs: ChannelSet,
}

#[derive(Debug)]
enum Came {
    Data(Channel, Vec<u8>),
    Other(Event),
}

impl SpdyWire {
    /// Opens all streams and waits until they are accepted.
    pub(crate) async fn open(
        io: TcpStream,
        behind: Vec<u8>,
        protocol: Subprotocol,
        streams: StreamSet,
        opening: Opening,
    ) -> Result<Self> {
        let leg = SpdyLeg::client(streams, protocol, &Limits::HOST);
        let outputs = [Channel::ERROR, Channel::STDOUT, Channel::STDERR];
        let outputs = streams.channels(protocol).filter(|channel| outputs.contains(channel)).collect();
        let mut wire = Self { io, leg, input: behind, output: Vec::new(), outputs };
        let frames = wire.leg.pending().to_vec();
        wire.leg.sent(frames.len());
        match opening {
            Opening::AtOnce => wire.io.write_all(&frames).await?,
            Opening::OneByOne | Opening::WithInput => {
                let mut input = if opening == Opening::WithInput { "early\n" } else { "" };
                for frame in split(&frames) {
                    wire.io.write_all(frame).await?;
                    wire.accepted().await?;
                    if !input.is_empty() && wire.leg.can_send(Channel::STDIN) {
                        wire.send(Channel::STDIN, std::mem::take(&mut input).as_bytes(), false).await?;
                    }
                    // On a long way the command may have ended meanwhile.
                    tokio::time::sleep(4 * PAUSE).await;
                }
            }
            Opening::InPieces => {
                for frame in split(&frames) {
                    for piece in frame.chunks(PIECE) {
                        wire.io.write_all(piece).await?;
                        tokio::time::sleep(PAUSE).await;
                    }
                    wire.accepted().await?;
                }
            }
        }
        while !wire.leg.is_ready() {
            wire.accepted().await?;
        }
        Ok(wire)
    }

    /// Waits for the answer to a stream that was opened.
    async fn accepted(&mut self) -> Result<()> {
        let came = self.receive().await?.context("the connection ends before all streams are open")?;
        match came {
            Came::Other(Event::Accepted(_)) => Ok(()),
            // A server that is told to stop ends or resets the streams that it has, says why if it can, and closes.
            Came::Other(Event::HalfClosed(Channel::STDOUT | Channel::STDERR) | Event::Reset(..)) => {
                self.ended_early().await
            }
            other => bail!("{other:?} before all streams are open"),
        }
    }

    /// Reads on to the end, which has to come.
    async fn ended_early(&mut self) -> Result<()> {
        loop {
            match self.receive().await? {
                Some(Came::Data(Channel::ERROR, _) | Came::Other(_)) => {}
                Some(Came::Data(channel, _)) => bail!("payload on {channel} before all streams are open"),
                None => bail!("the connection ends before all streams are open"),
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Said> {
        loop {
            match self.receive().await? {
                None => return Ok(Said::End(End::Cut)),
                Some(Came::Data(channel, bytes)) => return Ok(Said::Data(channel, bytes)),
                Some(Came::Other(Event::HalfClosed(channel) | Event::Reset(channel, _))) => {
                    self.outputs.remove(channel);
                    if self.outputs.is_empty() {
                        return Ok(Said::End(self.close().await));
                    }
                }
                Some(Came::Other(Event::End { clean: false })) => return Ok(Said::End(End::Failed)),
                Some(Came::Other(_)) => {}
            }
        }
    }

    /// A client that has all streams closes, and the server has nothing more to say.
    async fn close(&mut self) -> End {
        self.leg.close(Close::Normal);
        // A server that was faster has all it wants.
        let _ = self.flush().await;
        let _ = self.io.shutdown().await;
        while let Ok(Some(came)) = self.receive().await {
            if matches!(came, Came::Other(Event::End { clean: false })) {
                return End::Failed;
            }
        }
        End::Clean
    }

    pub(crate) async fn send(&mut self, channel: Channel, bytes: &[u8], fin: bool) -> Result<()> {
        let mut frame = [&[0; HEADER], bytes].concat();
        let len = frame.len();
        self.leg.frame(channel, fin, &mut frame, HEADER..len).context("the stream takes no data")?;
        self.queue();
        self.output.append(&mut frame);
        self.flush().await
    }

    pub(crate) async fn ping(&mut self) -> Result<()> {
        self.leg.ping();
        self.flush().await
    }

    /// What came next; `None` if the connection has ended. Writes meanwhile.
    async fn receive(&mut self) -> Result<Option<Came>> {
        loop {
            self.queue();
            let Step { consumed, event } = self.leg.receive(&mut self.input)?;
            let came = event.map(|event| match event {
                Event::Data { channel, range } => Came::Data(channel, self.input[range].to_vec()),
                other => Came::Other(other),
            });
            self.input.drain(..consumed);
            if came.is_some() {
                return Ok(came);
            }
            if consumed > 0 {
                continue;
            }
            self.input.reserve(READ);
            let (mut reader, mut writer) = self.io.split();
            tokio::select! {
                count = reader.read_buf(&mut self.input) => match count {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Ok(None),
                },
                count = writer.write(&self.output), if !self.output.is_empty() => match count {
                    Ok(count) => drop(self.output.drain(..count)),
                    // What has come is still read.
                    Err(_) => self.output.clear(),
                },
            }
        }
    }

    /// Queues what the leg has to say.
    fn queue(&mut self) {
        self.output.extend_from_slice(self.leg.pending());
        self.leg.sent(self.leg.pending().len());
    }

    /// Writes all that is queued. What is not written when this is dropped stays queued.
    async fn flush(&mut self) -> Result<()> {
        self.queue();
        while !self.output.is_empty() {
            let count = self.io.write(&self.output).await?;
            self.output.drain(..count);
        }
        Ok(())
    }
}

/// The control frames, one by one.
fn split(mut frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = frames.get(5..8)?.iter().fold(0, |length, byte| (length << 8) + usize::from(*byte));
        let (frame, rest) = frames.split_at_checked(HEADER + length)?;
        frames = rest;
        Some(frame)
    })
}
