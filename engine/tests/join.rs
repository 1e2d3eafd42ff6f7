//! Which bridge joins what two connections speak behind their upgrades.

use strait::bridge::Bridge;
use strait::gateway::{Join, Met, Then};
use strait::http::Request;
use strait::k8s::{StreamSet, Subprotocol};
use strait::spdy::SkipBlocks;
use strait::upgrade::Accepted;
use strait::{Instant, Limits};

const PORTS: &[u8] = b"GET /api/v1/namespaces/n/pods/p/portforward?ports=80 HTTP/1.1\r\nHost: a\r\n\r\n";

/// Tells what it was given.
struct Told;

impl Join for Told {
    type Blocks = SkipBlocks;
    type Output = &'static str;

    fn blocks(&mut self) -> SkipBlocks {
        SkipBlocks
    }

    fn run<B>(self, legs: &'static str, mut bridge: B, upstream: B::Upstream) -> &'static str
    where
        B: Bridge + Send + 'static,
        B::Upstream: Send + 'static,
    {
        bridge.connected(upstream, Instant::ZERO);
        assert_eq!(bridge.outcome(), None, "the session goes on");
        legs
    }

    fn pass_on(self) -> &'static str {
        "passed on"
    }
}

fn accepted(protocol: Subprotocol) -> Accepted {
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    let request: Request = Request::parse(head.as_bytes()).unwrap();
    Accepted::websocket(&request, &[protocol]).unwrap()
}

fn joined(
    then: Then,
    agreed: Option<Subprotocol>,
    chosen: Subprotocol,
    request: &[u8],
) -> Option<&'static str> {
    let streams = StreamSet { stdin: true, stdout: true, stderr: false, tty: false };
    let agreed = agreed.map(accepted);
    Met { then, agreed, chosen, streams, request, seed: [1; 16] }.join(&Limits::HOST, Told)
}

#[test]
fn sessions_are_joined_by_what_both_sides_speak() {
    use Subprotocol::{PortForward, TunnelPortForward, V4, V5};
    let joins = [
        (Then::ToSpdy, V5, V4, "WebSocket to SPDY/3.1"),
        (Then::PassOnOrTranslate, V5, V4, "WebSocket to WebSocket"),
        (Then::ToWebSocket, V4, V5, "SPDY/3.1 to WebSocket"),
        (Then::TunnelToSpdy, TunnelPortForward, PortForward, "tunnel to SPDY/3.1"),
        (Then::SpdyToTunnel, PortForward, TunnelPortForward, "SPDY/3.1 to tunnel"),
        (Then::PortsToSpdy, V4, PortForward, "ports to SPDY/3.1"),
        (Then::PortsToTunnel, V4, TunnelPortForward, "ports to tunnel"),
    ];
    for (then, agreed, chosen, legs) in joins {
        assert_eq!(joined(then, Some(agreed), chosen, PORTS), Some(legs));
    }
}

#[test]
fn like_is_passed_on_to_like() {
    use Subprotocol::{V4, V5};
    assert_eq!(joined(Then::PassOn, Some(V5), V4, PORTS), Some("passed on"));
    assert_eq!(joined(Then::PassOnOrTranslate, Some(V5), V5, PORTS), Some("passed on"));
    assert_eq!(joined(Then::PassOnOrTranslate, None, V5, PORTS), Some("passed on"));
}

#[test]
fn ports_have_to_be_named() {
    use Subprotocol::{PortForward, V4};
    let none = b"GET /api/v1/namespaces/n/pods/p/portforward HTTP/1.1\r\nHost: a\r\n\r\n";
    for request in [&none[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"", &PORTS[4..]] {
        assert_eq!(joined(Then::PortsToSpdy, Some(V4), PortForward, request), None);
    }
}
