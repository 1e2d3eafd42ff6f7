use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use strait::k8s::{Channel, StreamSet, Subprotocol};
use strait::leg::{Event, Framing, Leg as _, SpdyLeg};
use strait::spdy::{Inflate, LentBlocks};
use strait_scenarios::Direction;

use crate::forward::PortsServer;
use crate::head::Head;
use crate::job::{Job, Jobs, Kind, News};
use crate::keeper::Keeper;
use crate::link::{LIMITS, Link, Opening, Room};
use crate::traffic::{Verifier, Way, encode};

/// Stack of a thread that serves one connection.
const STACK: usize = 256 * 1024;

/// What every session of the rig has.
pub(crate) const STREAMS: StreamSet = StreamSet { stdin: true, stdout: true, stderr: false, tty: false };

/// A server's leg, whose inflater can be dropped once it is not needed any more.
pub(crate) type ServerLeg = SpdyLeg<LentBlocks<Box<Inflate>>>;

type Served = Link<ServerLeg>;

impl Opening for ServerLeg {
    fn is_open(&self) -> bool {
        self.is_ready()
    }
}

/// A server of SPDY/3.1 sessions that does what their jobs say.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
}

impl Upstream {
    /// Serves as long as this program runs.
    pub(crate) fn start(jobs: Jobs, keeper: Keeper<ServerLeg>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        // The default backlog of 128 is less than what is opened at once.
        rustix::net::listen(&listener, 4096)?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (jobs, keeper) = (jobs.clone(), keeper.clone());
                let served = thread::Builder::new().stack_size(STACK).spawn(move || {
                    if let Err(error) = serve(stream, &jobs, &keeper) {
                        eprintln!("upstream: {error:#}");
                    }
                });
                if let Err(error) = served {
                    eprintln!("upstream: no thread: {error}");
                }
            }
        });
        Ok(Self { address })
    }
}

fn serve(stream: TcpStream, jobs: &Jobs, keeper: &Keeper<ServerLeg>) -> Result<()> {
    let head = Head::read(&stream)?;
    let job = job_of(&head.text, jobs)?;
    let served = match job.traffic.pairs() {
        0 => exec(stream, &head, &job, keeper),
        pairs => forward(stream, &head, &job, pairs),
    };
    if let Err(error) = served {
        job.failed(error.context("upstream"));
    }
    Ok(())
}

fn exec(stream: TcpStream, head: &Head, job: &Arc<Job>, keeper: &Keeper<ServerLeg>) -> Result<()> {
    accept(&stream, "v4.channel.k8s.io")?;
    let leg = SpdyLeg::server(STREAMS, Subprotocol::V4, &LIMITS, LentBlocks(Some(Box::default())));
    let room = if matches!(job.kind, Kind::Idle | Kind::Short) { Room::Little } else { Room::Bulk };
    let mut link = Link::new(stream, leg, &head.behind, room)?;
    open(&mut link)?;
    match job.kind {
        Kind::Carry(direction) => carry(link, job, direction),
        Kind::Echo => echo(link, job),
        Kind::Short => short(link, job),
        Kind::ClientLost(direction) => is_left(link, job, direction),
        Kind::UpstreamLost => leave(link, job),
        Kind::Idle => {
            // Most of what it takes.
            link.leg.blocks_mut().0 = None;
            job.begin();
            keeper.keep(link)
        }
    }
}

fn forward(stream: TcpStream, head: &Head, job: &Arc<Job>, pairs: usize) -> Result<()> {
    let Kind::Carry(direction) = job.kind else { bail!("port-forwards carry bulk, and nothing else") };
    accept(&stream, "portforward.k8s.io")?;
    let mut link = Link::new(stream, PortsServer::new(pairs), &head.behind, Room::Bulk)?;
    open(&mut link)?;
    carry(link, job, direction)
}

pub(crate) fn accept(mut stream: &TcpStream, protocol: &str) -> Result<()> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: {protocol}\r\n\r\n"
    );
    Ok(stream.write_all(head.as_bytes())?)
}

/// The job's number is in the pod's name.
fn job_of(head: &str, jobs: &Jobs) -> Result<Arc<Job>> {
    let number = head.split(['/', '?', ' ']).find_map(|word| word.strip_prefix("rig-")?.parse().ok());
    number.and_then(|number| jobs.find(number)).with_context(|| format!("no job: {head}"))
}

/// Waits until the client has opened its streams. It sends nothing on them before it is told to, but for the ends of those for errors.
pub(crate) fn open(link: &mut Link<impl Opening>) -> Result<()> {
    let nothing_else = |_: &mut _, event, _: &[u8]| match event {
        Event::Opened(_) | Event::HalfClosed(_) => Ok(()),
        event => bail!("{event:?} in front of the streams"),
    };
    link.received(nothing_else)?;
    while !link.leg.is_open() {
        ensure!(link.read(nothing_else)?, "the client has left in front of its streams");
    }
    link.answer()
}

fn carry<L: Framing + Send>(mut link: Link<L>, job: &Arc<Job>, direction: Direction) -> Result<()> {
    let run = job.traffic.encode(&mut link.leg, Way::Down)?;
    let end = job.traffic.encode_end(&mut link.leg)?;
    let output = link.output();
    let (sends, takes) = (direction != Direction::ToUpstream, direction != Direction::ToClient);
    job.begin();
    job.go.wait();
    thread::scope(|scope| {
        let mut taking = Some(scope.spawn(move || take(&mut link, job).map(|()| link)));
        while sends && !job.is_stopped() {
            output.write(&run)?;
            job.down.sent.fetch_add(job.traffic.len() as u64, Ordering::SeqCst);
        }
        // The end of the input, if there is one, is the end of the session.
        let link = taking.take_if(|_| takes).map(join).transpose()?;
        output.write(&end)?;
        let mut link = link.map_or_else(|| taking.map(join).transpose(), |link| Ok(Some(link)))?;
        link.iter_mut().for_each(Link::drain);
        Ok(())
    })
}

/// Takes input to its end.
fn take(link: &mut Link<impl Framing>, job: &Job) -> Result<()> {
    let (mut verifier, mut stalls) = (Verifier::of(&job.traffic, Way::Up), job.stalls());
    let mut goes_on = true;
    while goes_on && !verifier.is_ended() {
        let mut count = 0;
        goes_on = link.read(|_, event, input| {
            match event {
                Event::Data { channel, range } => {
                    count += verifier.check(&job.traffic, channel, &input[range])?;
                }
                Event::HalfClosed(channel) => verifier.end(channel),
                _ => {}
            }
            Ok(())
        })?;
        job.up.received.fetch_add(count, Ordering::SeqCst);
        stalls.took(count);
    }
    Ok(())
}

fn echo(mut link: Served, job: &Job) -> Result<()> {
    let output = link.output();
    let (mut frames, mut has_ended, mut goes_on) = (Vec::new(), false, true);
    job.begin();
    while goes_on && !has_ended {
        frames.clear();
        goes_on = link.read(|leg, event, input| match event {
            Event::Data { channel: Channel::STDIN, range } => {
                encode(leg, Channel::STDOUT, false, &input[range], &mut frames)
            }
            Event::HalfClosed(Channel::STDIN) if !has_ended => {
                has_ended = true;
                frames.extend(job.traffic.encode_end(leg)?);
                Ok(())
            }
            _ => Ok(()),
        })?;
        if !frames.is_empty() {
            output.write(&frames)?;
        }
    }
    link.drain();
    Ok(())
}

/// All that it has to say leaves at once.
fn short(mut link: Served, job: &Job) -> Result<()> {
    let mut frames = job.traffic.encode(&mut link.leg, Way::Down)?;
    frames.extend(job.traffic.encode_end(&mut link.leg)?);
    job.down.sent.fetch_add(job.traffic.len() as u64, Ordering::SeqCst);
    link.output().write(&frames)?;
    link.drain();
    Ok(())
}

/// Is left by its client: what came is looked at, and who says so.
fn is_left(mut link: Served, job: &Job, direction: Direction) -> Result<()> {
    job.begin();
    if direction == Direction::ToClient {
        let frames = job.traffic.encode(&mut link.leg, Way::Down)?;
        job.down.sent.fetch_add(job.traffic.len() as u64, Ordering::SeqCst);
        link.output().write(&frames)?;
    }
    let mut verifier = Verifier::of(&job.traffic, Way::Up);
    let (mut is_said, mut goes_on) = (false, true);
    while goes_on && !is_said {
        let (mut count, mut checked) = (0, Ok(()));
        // The connection may end in order or by an RST.
        goes_on = link
            .read(|_, event, input| {
                match event {
                    Event::Data { channel, range } => {
                        match verifier.check(&job.traffic, channel, &input[range]) {
                            Ok(more) => count += more,
                            Err(error) => checked = Err(error),
                        }
                    }
                    Event::Reset(..) | Event::End { .. } => is_said = true,
                    _ => {}
                }
                Ok(())
            })
            .unwrap_or(false);
        checked?;
        job.up.received.fetch_add(count, Ordering::SeqCst);
    }
    job.knows(if is_said { News::Failure } else { News::Nothing });
    let _ = link.answer();
    link.shut_down();
    link.drain();
    Ok(())
}

/// Leaves in the middle of the last frame.
fn leave(mut link: Served, job: &Job) -> Result<()> {
    let frames = job.traffic.encode(&mut link.leg, Way::Down)?;
    job.begin();
    job.down.sent.fetch_add(job.traffic.len() as u64, Ordering::SeqCst);
    link.output().write(job.traffic.without_the_end(&frames))?;
    job.cut();
    link.reset()
}

pub(crate) fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| bail!("a thread has panicked"))
}
