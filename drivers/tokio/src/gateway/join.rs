use strait::bridge::{Bridge, Carried, ExecBridge, PortsBridge, TunnelBridge};
use strait::gateway::Then;
use strait::http::Request;
use strait::k8s::{Ports, StreamSet, Subprotocol, Target};
use strait::leg::{RawLeg, SpdyLeg, SpdyPorts, TunnelLeg, Tunnelled, WebSocketLeg, WebSocketPorts};
use strait::spdy::{Inflate, LentBlocks};
use strait::upgrade::Accepted;
use strait::ws::MaskKeys;
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
pub(super) struct Met<'a> {
    pub(super) client: Stream,
    /// The client's request, and what came behind it.
    pub(super) head: &'a Head,
    pub(super) agreed: Option<Accepted>,
    pub(super) streams: StreamSet,
    pub(super) upgraded: Upgraded,
    pub(super) then: Then,
}

/// A session that has ended.
pub(super) struct Ended {
    pub(super) legs: &'static str,
    pub(super) summary: Summary,
}

/// The legs of a session whose bytes nobody looked at.
pub(super) const PASSED_ON: &str = "passed on";

/// With the room for statuses that is the default.
pub(super) type Exec<A, B> = ExecBridge<A, B>;

impl Gateway {
    /// Answers the client and joins it with upstream, to the end of the session. `None` if the client is gone.
    pub(super) async fn join(&self, met: Met<'_>, shutdown: &Shutdown) -> Option<Ended> {
        let Met { mut client, head, agreed, streams, upgraded, then } = met;
        let Upgraded { io, head: answer, protocol } = upgraded;
        let is_passed_on = match (then, agreed) {
            (_, None) | (Then::PassOn, _) => true,
            (Then::PassOnOrTranslate, Some(agreed)) => protocol == agreed.protocol,
            (_, Some(_)) => false,
        };
        let Some(agreed) = agreed.filter(|_| !is_passed_on) else {
            return self.pass_on(client, head, io, &answer, shutdown).await;
        };
        send(&mut client, &to_101(&agreed)).await?;
        let (limits, behind) = (&self.limits, answer.behind().to_vec());
        let keys = MaskKeys::new(random());
        let (legs, summary) = match then {
            Then::ToSpdy => {
                let bridge = Exec::new(WebSocketLeg::server(agreed.protocol, limits), streams, limits);
                let dial = connected(io, SpdyLeg::client(streams, protocol, limits), behind);
                ("WebSocket to SPDY/3.1", self.run(bridge, client, head.behind(), dial, shutdown).await)
            }
            Then::PassOn | Then::PassOnOrTranslate => {
                let bridge = Exec::new(WebSocketLeg::server(agreed.protocol, limits), streams, limits);
                let dial = connected(io, WebSocketLeg::client(protocol, limits, keys), behind);
                ("WebSocket to WebSocket", self.run(bridge, client, head.behind(), dial, shutdown).await)
            }
            Then::ToWebSocket => {
                let blocks = LentBlocks(Some(Box::<Inflate>::default()));
                let leg = SpdyLeg::server(streams, agreed.protocol, limits, blocks);
                let dial = connected(io, WebSocketLeg::client(protocol, limits, keys), behind);
                let bridge = Exec::new(leg, streams, limits);
                ("SPDY/3.1 to WebSocket", self.run(bridge, client, head.behind(), dial, shutdown).await)
            }
            Then::TunnelToSpdy => {
                let bridge = TunnelBridge::new(TunnelLeg::server(limits), limits);
                let dial = connected(io, RawLeg::new(), behind);
                ("tunnel to SPDY/3.1", self.run(bridge, client, head.behind(), dial, shutdown).await)
            }
            Then::SpdyToTunnel => {
                let bridge = TunnelBridge::new(RawLeg::new(), limits);
                let dial = connected(io, TunnelLeg::client(limits, keys), behind);
                ("SPDY/3.1 to tunnel", self.run(bridge, client, head.behind(), dial, shutdown).await)
            }
            Then::PortsToSpdy | Then::PortsToTunnel => {
                let ports = ports(head, agreed.protocol)?;
                let leg = WebSocketPorts::server(agreed.protocol, limits);
                let spdy = SpdyPorts::client(ports.clone(), limits);
                if then == Then::PortsToSpdy {
                    let bridge = PortsBridge::new(leg, ports, limits);
                    let dial = connected(io, spdy, behind);
                    ("ports to SPDY/3.1", self.run(bridge, client, head.behind(), dial, shutdown).await)
                } else {
                    let bridge = PortsBridge::new(leg, ports, limits);
                    let dial = connected(io, Tunnelled::client(spdy, limits, keys), behind);
                    ("ports to tunnel", self.run(bridge, client, head.behind(), dial, shutdown).await)
                }
            }
        };
        Some(Ended { legs, summary })
    }

    /// Runs a session whose client got its 101, and sent `behind` since its request.
    pub(super) async fn run<B: Bridge>(
        &self,
        bridge: B,
        client: Stream,
        behind: &[u8],
        dial: Dial<Stream, B::Upstream>,
        shutdown: &Shutdown,
    ) -> Summary {
        let session = Session::new(bridge, client, behind, dial, &self.pool, shutdown.closing());
        Box::pin(session.run()).await
    }

    async fn pass_on(
        &self,
        mut client: Stream,
        head: &Head,
        mut io: Stream,
        answer: &Head,
        shutdown: &Shutdown,
    ) -> Option<Ended> {
        let started = Instant::now();
        send(&mut client, &[answer.head(), answer.behind()].concat()).await?;
        send(&mut io, head.behind()).await?;
        let passing = passthrough::pass_on(client, io, self.limits.close, &self.pool, shutdown.closing());
        let passed = passing.await;
        let summary = Summary {
            outcome: passed.outcome,
            from_client: passed.from_client,
            to_client: passed.from_upstream,
            from_upstream: passed.from_upstream,
            to_upstream: passed.from_client,
            duration: started.elapsed(),
            carried: Carried::default(),
            client_round_trip: None,
            upstream_round_trip: None,
        };
        Some(Ended { legs: PASSED_ON, summary })
    }
}

/// The ports that a legacy client has named, which its plan has checked.
fn ports(head: &Head, protocol: Subprotocol) -> Option<Ports> {
    let request: Request = Request::parse(head.head()).ok()?;
    Ports::of(&Target::parse(request.target).ok()?, protocol).ok()
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
