use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;

use anyhow::{Result, anyhow, bail, ensure};
use strait::k8s::{Channel, Subprotocol};
use strait::leg::{Close, Event, Framing, Leg as _, SpdyLeg, WebSocketLeg};
use strait::spdy::SkipBlocks;
use strait::ws::{MaskKeys, accept_key, client_key};

use crate::head::Head;
use crate::job::Job;
use crate::link::{LIMITS, Link, Opening, Room};
use crate::traffic::{Verifier, Way};
use crate::upstream::STREAMS;

/// A client's protocol.
pub(crate) trait Client {
    type Leg: Opening + Send + 'static;

    /// A session with the job of this number, as far as the answer to the upgrade.
    fn dial(translator: SocketAddr, number: u64, job: &Job, room: Room) -> Result<Link<Self::Leg>>;
}

/// What is translated.
#[derive(Debug)]
pub(crate) struct WebSocket;

/// What is carried as it is: upstream's own protocol.
#[derive(Debug)]
pub(crate) struct Spdy;

impl Client for WebSocket {
    type Leg = WebSocketLeg<MaskKeys>;

    fn dial(translator: SocketAddr, number: u64, _: &Job, room: Room) -> Result<Link<Self::Leg>> {
        let stream = TcpStream::connect(translator)?;
        let (head, seed) = upgrade_to_websocket(&stream, &target(number), "v5.channel.k8s.io")?;
        let leg = WebSocketLeg::client(Subprotocol::V5, &LIMITS, MaskKeys::new(seed));
        Link::new(stream, leg, &head.behind, room)
    }
}

impl Client for Spdy {
    type Leg = SpdyLeg<SkipBlocks>;

    fn dial(translator: SocketAddr, number: u64, _: &Job, room: Room) -> Result<Link<Self::Leg>> {
        let stream = TcpStream::connect(translator)?;
        let head = upgrade_to_spdy(&stream, &target(number), "v4.channel.k8s.io")?;
        let leg = SpdyLeg::client(STREAMS, Subprotocol::V4, &LIMITS);
        let mut link = Link::new(stream, leg, &head.behind, room)?;
        link.answer()?;
        Ok(link)
    }
}

impl Opening for WebSocketLeg<MaskKeys> {
    fn is_open(&self) -> bool {
        self.is_ready()
    }
}

impl Opening for SpdyLeg<SkipBlocks> {
    fn is_open(&self) -> bool {
        self.is_ready()
    }
}

fn target(number: u64) -> String {
    format!(
        "/api/v1/namespaces/default/pods/rig-{number}/exec?command=rig&container=main&stdin=true&stdout=true"
    )
}

/// The answer to an upgrade, and the seed of the connection's mask keys.
pub(crate) fn upgrade_to_websocket(
    stream: &TcpStream,
    target: &str,
    protocol: &str,
) -> Result<(Head, [u8; 16])> {
    let (mut nonce, mut seed) = ([0; 16], [0; 16]);
    getrandom::fill(&mut nonce)?;
    getrandom::fill(&mut seed)?;
    let key = client_key(nonce);
    let head = Head::ask(
        stream,
        &format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n",
            stream.peer_addr()?,
            str::from_utf8(&key)?
        ),
    )?;
    let accept = accept_key(&key);
    ensure!(head.text.contains(str::from_utf8(&accept)?), "a wrong Sec-WebSocket-Accept: {}", head.text);
    Ok((head, seed))
}

pub(crate) fn upgrade_to_spdy(stream: &TcpStream, target: &str, protocol: &str) -> Result<Head> {
    Head::ask(
        stream,
        &format!(
            "POST {target} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
             X-Stream-Protocol-Version: {protocol}\r\nContent-Length: 0\r\n\r\n",
            stream.peer_addr()?
        ),
    )
}

/// Waits until input may be sent.
pub(crate) fn is_ready(link: &mut Link<impl Opening>, job: &Job) -> Result<()> {
    let nothing_else = |_: &mut _, event, _: &[u8]| match event {
        Event::Accepted(_) => Ok(()),
        // The greeting.
        Event::Data { range, .. } if range.is_empty() => Ok(()),
        event => bail!("{event:?} before the session has begun"),
    };
    link.received(nothing_else)?;
    while !link.leg.is_open() {
        ensure!(link.read(nothing_else)?, "the connection has ended before the session has begun");
    }
    job.has_begun()
}

/// What a client has been told, and has verified.
#[derive(Debug)]
struct Taken {
    verifier: Verifier,
    /// There is a status.
    is_exec: bool,
    status: Vec<u8>,
    error_ended: bool,
    /// The session is over.
    is_told: bool,
}

impl Taken {
    fn of(job: &Job) -> Self {
        let is_exec = job.traffic.pairs() == 0;
        let verifier = Verifier::of(&job.traffic, Way::Down);
        Self { verifier, is_exec, status: Vec::new(), error_ended: !is_exec, is_told: false }
    }

    /// How many bytes of payload came with it.
    fn hear(&mut self, job: &Job, event: Event, input: &[u8]) -> Result<u64> {
        match event {
            Event::Data { channel: Channel::ERROR, range } if self.is_exec => {
                self.status.extend_from_slice(&input[range]);
            }
            Event::Data { channel, range } => {
                return self.verifier.check(&job.traffic, channel, &input[range]);
            }
            Event::HalfClosed(Channel::ERROR) if self.is_exec => self.error_ended = true,
            Event::HalfClosed(channel) => self.verifier.end(channel),
            Event::End { clean: true } if self.is_exec => self.is_told = true,
            _ => {}
        }
        // With SPDY it is the client who leaves.
        self.is_told |= self.verifier.is_ended() && self.error_ended;
        Ok(0)
    }
}

/// Takes output until the session is over or `is_enough`, which is told how much has arrived, all in all. The status, if there is one.
pub(crate) fn take_until(
    link: &mut Link<impl Framing>,
    job: &Job,
    mut is_enough: impl FnMut(u64) -> bool,
) -> Result<String> {
    let (mut taken, mut stalls, mut all) = (Taken::of(job), job.stalls(), 0);
    let (mut is_first, mut has_enough) = (true, false);
    while !taken.is_told && !has_enough {
        let mut count = 0;
        let listen = |_: &mut _, event, input: &[u8]| {
            // An error of the job's: that the connection ends may be what is expected.
            count += taken.hear(job, event, input).inspect_err(|error| job.failed(anyhow!("{error:#}")))?;
            Ok(())
        };
        // What came with the answer to the upgrade.
        let goes_on = if is_first { link.received(listen).map(|()| true)? } else { link.read(listen)? };
        is_first = false;
        all += count;
        job.down.received.fetch_add(count, Ordering::SeqCst);
        if count > 0 {
            has_enough = is_enough(all);
            stalls.took(count);
        }
        ensure!(goes_on || taken.is_told, "the connection has ended in front of the session");
    }
    Ok(String::from_utf8_lossy(&taken.status).into_owned())
}

/// Takes output to the end of the session, which has to be a success.
pub(crate) fn take(link: &mut Link<impl Framing>, job: &Job, mut on: impl FnMut(u64)) -> Result<()> {
    let status = take_until(link, job, |all| {
        on(all);
        false
    })?;
    if job.traffic.pairs() == 0 {
        ensure!(status.contains("\"Success\""), "the session has failed: {status}");
    } else {
        link.leg.close(Close::Normal);
    }
    let _ = link.answer();
    link.shut_down();
    link.drain();
    Ok(())
}
