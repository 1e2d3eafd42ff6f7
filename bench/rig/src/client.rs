use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;

use anyhow::{Result, bail, ensure};
use strait::k8s::{Channel, Subprotocol};
use strait::leg::{Event, Leg, SpdyLeg, WebSocketLeg};
use strait::spdy::SkipBlocks;
use strait::ws::{MaskKeys, accept_key, client_key};

use crate::head::Head;
use crate::job::Job;
use crate::link::{LIMITS, Link, Room};
use crate::traffic::Verifier;
use crate::upstream::STREAMS;

/// A client's protocol.
pub(crate) trait Client {
    type Leg: Leg + Send + 'static;

    /// A session with the job of this number, as far as the answer to the upgrade.
    fn dial(translator: SocketAddr, job: u64, room: Room) -> Result<Link<Self::Leg>>;
}

/// What is translated.
#[derive(Debug)]
pub(crate) struct WebSocket;

/// What is carried as it is: upstream's own protocol.
#[derive(Debug)]
pub(crate) struct Spdy;

impl Client for WebSocket {
    type Leg = WebSocketLeg<MaskKeys>;

    fn dial(translator: SocketAddr, job: u64, room: Room) -> Result<Link<Self::Leg>> {
        let stream = TcpStream::connect(translator)?;
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        let (nonce, seed) = random.split_at(16);
        let key = client_key(nonce.try_into()?);
        let head = Head::ask(
            &stream,
            &format!(
                "GET {} HTTP/1.1\r\nHost: {translator}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n",
                target(job),
                str::from_utf8(&key)?
            ),
        )?;
        let accept = accept_key(&key);
        ensure!(head.text.contains(str::from_utf8(&accept)?), "a wrong Sec-WebSocket-Accept: {}", head.text);
        let leg = WebSocketLeg::client(Subprotocol::V5, &LIMITS, MaskKeys::new(seed.try_into()?));
        Link::new(stream, leg, &head.behind, room)
    }
}

impl Client for Spdy {
    type Leg = SpdyLeg<SkipBlocks>;

    fn dial(translator: SocketAddr, job: u64, room: Room) -> Result<Link<Self::Leg>> {
        let stream = TcpStream::connect(translator)?;
        let head = Head::ask(
            &stream,
            &format!(
                "POST {} HTTP/1.1\r\nHost: {translator}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                 X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n",
                target(job)
            ),
        )?;
        let leg = SpdyLeg::client(STREAMS, Subprotocol::V4, &LIMITS);
        let mut link = Link::new(stream, leg, &head.behind, room)?;
        link.answer()?;
        Ok(link)
    }
}

fn target(job: u64) -> String {
    format!("/api/v1/namespaces/default/pods/rig/exec?command={job}&container=main&stdin=true&stdout=true")
}

/// Waits until input may be sent.
pub(crate) fn is_ready(link: &mut Link<impl Leg>, job: &Job) -> Result<()> {
    let nothing_else = |_: &mut _, event, _: &[u8]| match event {
        Event::Accepted(_) => Ok(()),
        // The greeting.
        Event::Data { range, .. } if range.is_empty() => Ok(()),
        event => bail!("{event:?} before the session has begun"),
    };
    link.received(nothing_else)?;
    while !link.leg.is_ready() {
        ensure!(link.read(nothing_else)?, "the connection has ended before the session has begun");
    }
    job.has_begun()
}

/// What a client has been told of the end.
#[derive(Debug, Default)]
struct End {
    status: Vec<u8>,
    stdout: bool,
    error: bool,
    is_told: bool,
}

impl End {
    fn hear(&mut self, event: &Event, input: &[u8]) {
        match event {
            Event::Data { channel: Channel::ERROR, range } => {
                self.status.extend_from_slice(&input[range.clone()]);
            }
            Event::HalfClosed(Channel::STDOUT) => self.stdout = true,
            Event::HalfClosed(Channel::ERROR) => self.error = true,
            Event::End { clean: true } => self.is_told = true,
            _ => {}
        }
        // With SPDY it is the client who leaves.
        self.is_told |= self.stdout && self.error;
    }
}

/// Takes stdout to the end of the session, which has to be a success. `on` is told how much has arrived, all in all.
pub(crate) fn take(link: &mut Link<impl Leg>, job: &Job, mut on: impl FnMut(u64)) -> Result<()> {
    let (mut verifier, mut end, mut all) = (Verifier::default(), End::default(), 0);
    let mut hear = |event: Event, input: &[u8], count: &mut u64| {
        if let Event::Data { channel: Channel::STDOUT, range } = &event {
            *count += range.len() as u64;
            verifier.check(&job.traffic, &input[range.clone()])?;
        }
        end.hear(&event, input);
        anyhow::Ok(end.is_told)
    };
    let (mut is_told, mut is_first) = (false, true);
    while !is_told {
        let mut count = 0;
        let listen = |_: &mut _, event, input: &[u8]| {
            is_told = hear(event, input, &mut count)?;
            Ok(())
        };
        // What came with the answer to the upgrade.
        let goes_on = if is_first { link.received(listen).map(|()| true)? } else { link.read(listen)? };
        is_first = false;
        all += count;
        job.down.received.fetch_add(count, Ordering::SeqCst);
        if count > 0 {
            on(all);
        }
        ensure!(goes_on || is_told, "the connection has ended in front of the session");
    }
    let status = String::from_utf8_lossy(&end.status);
    ensure!(status.contains("\"Success\""), "the session has failed: {status}");
    let _ = link.answer();
    link.shut_down();
    link.drain();
    Ok(())
}
