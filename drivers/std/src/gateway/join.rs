use std::io;
use std::net::TcpStream;

use strait::bridge::{Bridge, TunnelBridge};
use strait::gateway::{Join, Met, Plan};
use strait::leg::RawLeg;
use strait::spdy::{Inflate, LentBlocks};
use strait::upgrade::Accepted;

use super::dial::Upgraded;
use super::{Gateway, Way, random};
use crate::answer::written;
use crate::head::Head;
use crate::session::{Session, Summary};

/// A session that has ended.
pub(super) struct Ended {
    pub(super) legs: &'static str,
    pub(super) summary: Summary,
}

impl Gateway {
    /// Answers the client and joins it with upstream, to the end of the session.
    pub(super) fn join(
        &self,
        way: Way<'_>,
        plan: &Plan,
        upgraded: Upgraded<'_>,
    ) -> io::Result<Option<Ended>> {
        let Upgraded { io, answer, protocol: chosen, attempt } = upgraded;
        let (then, agreed, streams) = (attempt.then, plan.agreed, plan.streams);
        let met = Met { then, agreed, chosen, streams, request: way.head.head(), seed: random()? };
        let joining = Joining { gateway: self, way, agreed: met.agreed(), io, answer };
        met.join(&self.limits, joining).unwrap_or(Ok(None))
    }
}

/// What runs the session of two connections, whichever bridge it has.
struct Joining<'a> {
    gateway: &'a Gateway,
    way: Way<'a>,
    agreed: Option<Accepted>,
    io: TcpStream,
    answer: Head,
}

impl Join for Joining<'_> {
    type Blocks = LentBlocks<Box<Inflate>>;
    type Output = io::Result<Option<Ended>>;

    fn blocks(&mut self) -> Self::Blocks {
        LentBlocks(Some(Box::default()))
    }

    fn run<B>(self, legs: &'static str, bridge: B, upstream: B::Upstream) -> Self::Output
    where
        B: Bridge + Send + 'static,
        B::Upstream: Send + 'static,
    {
        let Some(agreed) = self.agreed else { return Ok(None) };
        let answer = written(|out| agreed.write(out));
        self.session(legs, bridge, upstream, &answer)
    }

    fn pass_on(self) -> Self::Output {
        let bridge = TunnelBridge::new(RawLeg::new(), &self.gateway.limits);
        let answer = self.answer.head().to_vec();
        self.session("passed on", bridge, RawLeg::new(), &answer)
    }
}

impl Joining<'_> {
    fn session<B: Bridge>(
        self,
        legs: &'static str,
        bridge: B,
        upstream: B::Upstream,
        answer: &[u8],
    ) -> io::Result<Option<Ended>> {
        self.gateway.send(&self.way, answer)?;
        let mut session = Session::new(bridge, self.way.client, self.way.head.behind());
        session.connected(self.io, upstream, self.answer.behind());
        Ok(Some(Ended { legs, summary: session.run(self.way.stop) }))
    }
}
