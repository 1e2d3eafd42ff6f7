mod ask;
#[cfg(feature = "port-forward")]
mod forward;
#[cfg(feature = "pass-on")]
mod onward;
mod route;

use core::net::IpAddr;

use embassy_time::Duration;
use embedded_io_async::ErrorKind;
use strait::Limits;
use strait::bridge::{Bridge, ExecBridge, Outcome};
use strait::k8s::StreamSet;
use strait::leg::{SpdyLeg, WebSocketLeg};
use strait::spdy::SkipBlocks;
use strait::upgrade::Accepted;

use self::ask::{Granted, NotGranted, ask};
#[cfg(feature = "port-forward")]
use self::forward::run;
use self::route::{Way, Work, route, to_failed_head};
use crate::connection::{self, Connection};
use crate::head::{Head, read_head};
use crate::pass_on::PassedOn;
use crate::session::{Filled, Session, Summary};
use crate::socket::Dial;
use crate::wait::within;

/// Header lines of a request or an answer that are understood. kubectl sends a dozen, a browser 20.
const HEADERS: usize = 24;

/// How long a peer that was refused may still send before it is cut.
const LINGER: Duration = Duration::from_secs(2);

/// How a gateway treats its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options<'a> {
    /// Upstream's host and port, as it is told in `Host`: `10.0.0.1:10250`.
    pub authority: &'a str,
    /// What stands in front of every path there: nothing, or `/...` without a slash at its end.
    pub prefix: &'a str,
    /// A value for `Authorization` in place of the client's own: every client then acts with it.
    pub authorization: Option<&'a [u8]>,
    /// What peers may send and how long they may take.
    pub limits: Limits,
}

impl<'a> Options<'a> {
    /// A gateway to the upstream of this name, whose clients and upstream speak plain text: for networks on which nobody
    /// listens. TLS is not to be had here yet, because there is no TLS server for microcontrollers.
    pub const fn insecure_plaintext(authority: &'a str) -> Self {
        Self { authority, prefix: "", authorization: None, limits: Limits::MICROCONTROLLER }
    }
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A session whose bytes were translated.
    Session(Summary),
    /// A session whose bytes were passed on as they are.
    PassedOn(PassedOn),
    /// A request that is no upgrade; true if it was answered to its end.
    Plain(bool),
    /// The client was refused, with this HTTP status.
    Refused(u16),
    /// The client left before it had asked for anything.
    Left,
}

/// One connection of a client, from its first byte to its last.
///
/// `up` and `down` are the memory of the two directions. The heads of all messages have to fit into them: a client's head,
/// and about 250 bytes more for upstream's. `stop` becomes ready when sessions have to end.
pub async fn serve<C: Connection, D: Dial>(
    client: &mut C,
    peer: Option<IpAddr>,
    upstream: &mut D,
    memory: (&mut [u8], &mut [u8]),
    options: &Options<'_>,
    stop: impl Future<Output = ()>,
) -> Ended {
    let (up, down) = memory;
    let limits = &options.limits;
    let mut head = Head { len: 0, filled: 0 };
    let way = match read_head(client, up, limits.head_bytes, within(deadline(limits))).await {
        Ok(read) => {
            head = read;
            route(up.get(..head.len).unwrap_or_default(), peer, options, down)
        }
        Err(failure) => match to_failed_head(failure, down) {
            Some(way) => way,
            None => return Ended::Left,
        },
    };
    // Those who are refused meet at the end: each place that waits is code.
    let (status, memory, length) = match way {
        Way::Answer { status, length } => (status, down, length),
        #[cfg(feature = "pass-on")]
        Way::Onward(onward) => match onward.run(client, upstream, up, head, down, options, stop).await {
            Ok(ended) => return ended,
            Err(refused) => refused,
        },
        // Exec and attach: the client is answered, then upstream is asked, and what it says is the session's status.
        Way::Translate { request, work: Work::Exec(streams), agreed, expected } => {
            let mut up = Filled::behind_head(up, head.len, head.filled);
            if welcome(client, &agreed, up.room(), limits).await.is_err() {
                return Ended::Left;
            }
            let asked = ask(upstream, down, request, expected, limits).await;
            // In its place, which is this future; what was asked is gone by now.
            let mut bridge = translator(streams, &agreed, limits);
            let (io, down) = begin(&mut bridge, asked, streams, down, up.room(), limits);
            return Ended::Session(Session::new(&mut bridge, client, io, up, down).run(stop).await);
        }
        // Port-forward: upstream is asked, and the client gets its answer, whatever it is.
        #[cfg(feature = "port-forward")]
        Way::Translate { request, work: Work::Forward(forward), agreed, expected } => {
            let mut behind = Filled::behind_head(&mut *up, head.len, head.filled);
            match ask(upstream, down, request, expected, limits).await {
                Ok(Granted { io, head, .. }) => {
                    if welcome(client, &agreed, behind.room(), limits).await.is_err() {
                        return Ended::Left;
                    }
                    let down = Filled::behind_head(down, head.len, head.filled);
                    return run(client, io, behind, down, forward, &agreed, limits, stop).await;
                }
                Err(refused) => onward::refusal(refused, down, up),
            }
        }
    };
    refuse(client, status, memory, length).await
}

/// Tells the bridge of an exec session that upstream, which has answered into `down`, is there. If it is not, a status of so many
/// bytes says why in `room`.
#[inline(never)]
fn begin<'a, U>(
    bridge: &mut Translator,
    asked: Result<Granted<'a, U>, NotGranted>,
    streams: StreamSet,
    down: &'a mut [u8],
    room: &mut [u8],
    limits: &Limits,
) -> (Result<&'a mut U, usize>, Filled<'a>) {
    match asked {
        Ok(Granted { io, head, protocol }) => {
            connect(bridge, || SpdyLeg::client(streams, protocol, limits));
            (Ok(io), Filled::behind_head(down, head.len, head.filled))
        }
        Err(refused) => {
            let status = refused.in_memory(down).write_status(room).unwrap_or_default();
            (Err(status), Filled::empty(down))
        }
    }
}

/// Tells a client that its upgrade is granted. `room` is for the words.
fn welcome<C: Connection>(
    client: &mut C,
    agreed: &Accepted,
    room: &mut [u8],
    limits: &Limits,
) -> impl Future<Output = Result<(), ErrorKind>> {
    // Without room for the answer nothing is written, which is an error.
    let length = agree(agreed, room);
    connection::write(client, room.get(..length).unwrap_or_default(), within(deadline(limits)))
}

#[inline(never)]
fn agree(agreed: &Accepted, room: &mut [u8]) -> usize {
    agreed.write(room).unwrap_or_default()
}

/// What joins a session of exec or attach.
type Translator = ExecBridge<WebSocketLeg, SpdyLeg<SkipBlocks>>;

// What makes a bridge is a function of its own, so that what it makes is on the stack once, and then in its place only.
#[inline(never)]
fn translator(streams: StreamSet, agreed: &Accepted, limits: &Limits) -> Translator {
    ExecBridge::new(WebSocketLeg::server(agreed.protocol, limits), streams, limits)
}

#[inline(never)]
fn connect<B: Bridge>(bridge: &mut B, leg: impl FnOnce() -> B::Upstream) {
    bridge.connected(leg(), strait::Instant::ZERO);
}

/// Sends the last bytes of a connection so that they arrive: what the peer still sends is read for a while.
async fn refuse(client: &mut impl Connection, status: u16, memory: &mut [u8], length: usize) -> Ended {
    debug!("answer {}", status);
    let until = within(LINGER);
    if connection::write(client, memory.get(..length).unwrap_or_default(), until).await.is_ok() {
        client.end();
        while let Ok(1..) = connection::read(client, memory, until).await {}
    }
    Ended::Refused(status)
}

/// Time for an upgrade.
pub(crate) fn deadline(limits: &Limits) -> Duration {
    millis(limits.handshake)
}

fn millis(duration: core::time::Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 1_000_000))
}

impl Ended {
    /// True for a session that came to its own end.
    pub const fn is_complete(&self) -> bool {
        matches!(self, Self::Session(Summary { outcome: Outcome::Completed, .. }))
    }
}
