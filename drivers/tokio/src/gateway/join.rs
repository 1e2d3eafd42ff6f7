use std::pin::Pin;

use strait::bridge::{Bridge, Carried, ExecBridge};
use strait::gateway::{Join, Met, Then};
use strait::k8s::StreamSet;
use strait::spdy::{Inflate, LentBlocks};
use strait::upgrade::Accepted;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::{Gateway, random};
use crate::answer;
use crate::head::Head;
use crate::passthrough;
use crate::session::{Connected, Dial, Session, Summary};
use crate::shutdown::Shutdown;
use crate::stream::Stream;
use crate::upstream::Upgraded;

/// Both ends of a session, as they stand after upstream's upgrade.
pub(super) struct Ends {
    pub(super) client: Stream,
    /// The client's request, and what came behind it.
    pub(super) head: Head,
    pub(super) agreed: Option<Accepted>,
    pub(super) streams: StreamSet,
    pub(super) upgraded: Upgraded,
    pub(super) then: Then,
}

/// What runs the session of two connections, whichever bridge it has.
struct Joining<'a> {
    gateway: &'a Gateway,
    client: Stream,
    /// What the client sent behind its request.
    behind: Vec<u8>,
    agreed: Option<Accepted>,
    io: Stream,
    answer: Head,
    shutdown: &'a Shutdown,
}

impl<'a> Join for Joining<'a> {
    type Blocks = LentBlocks<Box<Inflate>>;
    type Output = Pin<Box<dyn Future<Output = Option<Begun<'a>>> + Send + 'a>>;

    fn blocks(&mut self) -> Self::Blocks {
        LentBlocks(Some(Box::default()))
    }

    fn run<B>(self, legs: &'static str, bridge: B, upstream: B::Upstream) -> Self::Output
    where
        B: Bridge + Send + 'static,
        B::Upstream: Send + 'static,
    {
        let Self { gateway, mut client, behind, agreed, io, answer, shutdown } = self;
        // It moves into the session: the future on the way there is dropped later.
        let bridge = Box::new(bridge);
        Box::pin(async move {
            send(&mut client, &to_101(&agreed?)).await?;
            let dial = connected(io, upstream, answer.behind().to_vec());
            let session = gateway.session(|| *bridge, client, &behind, dial, shutdown);
            Some(Begun { legs, session })
        })
    }

    fn pass_on(self) -> Self::Output {
        let Self { gateway, client, behind, io, answer, shutdown, .. } = self;
        Box::pin(gateway.pass_on(client, behind, io, answer, shutdown))
    }
}

/// A session that has to be run.
pub(super) struct Begun<'a> {
    pub(super) legs: &'static str,
    pub(super) session: Running<'a>,
}

/// Runs a session to its end.
pub(super) type Running<'a> = Pin<Box<dyn Future<Output = Summary> + Send + 'a>>;

/// The legs of a session whose bytes nobody looked at.
pub(super) const PASSED_ON: &str = "passed on";

/// With the room for statuses that is the default.
pub(super) type Exec<A, B> = ExecBridge<A, B>;

impl Gateway {
    /// Answers the client and joins it with upstream. `None` if the client is gone.
    pub(super) async fn join<'a>(&'a self, ends: Ends, shutdown: &'a Shutdown) -> Option<Begun<'a>> {
        let Ends { client, head, agreed, streams, upgraded, then } = ends;
        let Upgraded { io, head: answer, protocol: chosen } = upgraded;
        let behind = head.behind().to_vec();
        let met = Met { then, agreed, chosen, streams, request: head.head(), seed: random() };
        let joining = Joining { gateway: self, client, behind, agreed: met.agreed(), io, answer, shutdown };
        let joined = met.join(&self.limits, joining);
        drop(head);
        joined?.await
    }

    /// A session whose client got its 101, and sent `behind` since its request.
    pub(super) fn session<B>(
        &self,
        bridge: impl FnOnce() -> B,
        client: Stream,
        behind: &[u8],
        dial: Dial<Stream, B::Upstream>,
        shutdown: &Shutdown,
    ) -> Running<'static>
    where
        B: Bridge + Send + 'static,
        B::Upstream: Send + 'static,
    {
        Box::pin(Session::new(bridge(), client, behind, dial, &self.pool, shutdown.closing()).run())
    }

    async fn pass_on<'a>(
        &'a self,
        mut client: Stream,
        behind: Vec<u8>,
        mut io: Stream,
        answer: Head,
        shutdown: &'a Shutdown,
    ) -> Option<Begun<'a>> {
        let started = Instant::now();
        send(&mut client, &[answer.head(), answer.behind()].concat()).await?;
        send(&mut io, &behind).await?;
        let passing = passthrough::pass_on(client, io, self.limits.close, &self.pool, shutdown.closing());
        // Boxed: what a future takes and waits for is in it twice.
        let passing = Box::pin(passing);
        let session = Box::pin(async move {
            let passed = passing.await;
            Summary {
                outcome: passed.outcome,
                from_client: passed.from_client,
                to_client: passed.from_upstream,
                from_upstream: passed.from_upstream,
                to_upstream: passed.from_client,
                duration: started.elapsed(),
                carried: Carried::default(),
                client_round_trip: None,
                upstream_round_trip: None,
            }
        });
        Some(Begun { legs: PASSED_ON, session })
    }
}

/// The 101 of a session that begins.
pub(super) fn to_101(agreed: &Accepted) -> Vec<u8> {
    answer::written(|out| agreed.write(out))
}

/// Sends what comes before a session. `None` if the peer is gone.
pub(super) async fn send(stream: &mut Stream, bytes: &[u8]) -> Option<()> {
    let sent = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    sent.await.inspect_err(|error| tracing::debug!(%error, "peer left before its session")).ok()
}

/// A connection that stands already.
fn connected<L: Send + 'static>(io: Stream, leg: L, behind: Vec<u8>) -> Dial<Stream, L> {
    Box::pin(std::future::ready(Ok(Connected { io, leg, behind })))
}
