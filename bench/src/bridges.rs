use std::time::Duration;

use strait::Limits;
use strait::bridge::{ExecBridge, PortsBridge, Side, TunnelBridge};
use strait::k8s::{Ports, StreamSet, Subprotocol, Target};
use strait::leg::{Framing, RawLeg, SpdyLeg, SpdyPorts, TunnelLeg, WebSocketLeg, WebSocketPorts};
use strait::spdy::{HeaderWriter, Inflate, SkipBlocks, StreamId};
use strait::ws::MaskKeys;
use strait_scenarios::{Fault, Leg, SCENARIOS, Scenario, Sessions};

use crate::session::Session;
use crate::{Case, Run, Traffic};

/// Heartbeats would stand between the frames that are counted.
const LIMITS: Limits = Limits { ping_interval: Duration::ZERO, idle: Duration::ZERO, ..Limits::HOST };

const STREAMS: StreamSet = StreamSet { stdin: true, stdout: true, stderr: false, tty: false };

/// Most connections of a port-forward.
const PORTS: usize = 16;

/// The bridges, with every scenario that needs no more than one running session, and nobody who is late.
pub(crate) fn cases() -> impl Iterator<Item = Case> {
    let carries = |scenario: &&Scenario| {
        let is_in_step = scenario.faults.iter().all(|fault| matches!(fault, Fault::Pieces(_)));
        scenario.sessions == Sessions::Open(1) && scenario.frames > 0 && is_in_step
    };
    SCENARIOS.iter().filter(carries).map(|scenario| {
        let (client, upstream) = (sent(scenario, Side::Client), sent(scenario, Side::Upstream));
        Case {
            name: format!("bridge/{}", scenario.name),
            count: (client.0 + upstream.0) as u32,
            bytes: client.1 + upstream.1,
            prepare: Box::new(|| prepare(scenario)),
        }
    })
}

/// How many frames, and bytes of payload, `from` sends.
fn sent(scenario: &Scenario, from: Side) -> (usize, usize) {
    use strait_scenarios::Direction::{Both, Echo, ToClient, ToUpstream};
    match (scenario.direction, from) {
        (ToUpstream, Side::Upstream) | (ToClient, Side::Client) => (0, 0),
        (ToUpstream | ToClient | Both | Echo, _) => (scenario.frames, scenario.frame_sizes().sum()),
    }
}

fn prepare(scenario: &'static Scenario) -> Run {
    match (scenario.client, scenario.upstream) {
        (Leg::WebSocket, Leg::Spdy) => run(scenario, websocket_to_spdy(scenario)),
        (Leg::Spdy, Leg::WebSocket) => run(scenario, spdy_to_websocket(scenario)),
        (Leg::Tunnel, Leg::Spdy) => run(scenario, tunnel(scenario)),
        (Leg::Ports, Leg::Spdy) => run(scenario, ports(scenario)),
        pair => panic!("no bridge joins {pair:?}"),
    }
}

fn run<B: strait::bridge::Bridge + 'static>(scenario: &'static Scenario, mut session: Session<B>) -> Run {
    let (client, upstream) = (Traffic::new(scenario, Side::Client), Traffic::new(scenario, Side::Upstream));
    Box::new(move || session.run(scenario, &client, &upstream))
}

fn websocket_to_spdy(scenario: &Scenario) -> Session<ExecBridge<WebSocketLeg, SpdyLeg<SkipBlocks>>> {
    let bridge = ExecBridge::new(WebSocketLeg::server(Subprotocol::V5, &LIMITS), STREAMS, &LIMITS);
    let upstream = SpdyLeg::client(STREAMS, Subprotocol::V4, &LIMITS);
    let mut session = Session::new(bridge, upstream, scenario.read_limit());
    session.receive(Side::Upstream, &replies([1, 3, 5]));
    session
}

fn spdy_to_websocket(
    scenario: &Scenario,
) -> Session<ExecBridge<SpdyLeg<Inflate<2048, 1024>>, WebSocketLeg<MaskKeys>>> {
    let client = SpdyLeg::server(STREAMS, Subprotocol::V4, &LIMITS, Inflate::new());
    let bridge = ExecBridge::new(client, STREAMS, &LIMITS);
    let upstream = WebSocketLeg::client(Subprotocol::V5, &LIMITS, MaskKeys::new([7; 16]));
    let mut session = Session::new(bridge, upstream, scenario.read_limit());
    session.receive(Side::Client, SpdyLeg::client(STREAMS, Subprotocol::V4, &LIMITS).pending());
    session
}

fn tunnel(scenario: &Scenario) -> Session<TunnelBridge<TunnelLeg, RawLeg>> {
    let bridge = TunnelBridge::new(TunnelLeg::server(&LIMITS), &LIMITS);
    Session::new(bridge, RawLeg::new(), scenario.read_limit())
}

fn ports(scenario: &Scenario) -> Session<PortsBridge<SpdyPorts<PORTS>, PORTS>> {
    let numbers: Vec<_> = (0..scenario.pairs).map(|index| format!("port={}", 8000 + index)).collect();
    let target = format!("/portForward/default/demo?{}", numbers.join("&"));
    let target = Target::parse(&target).expect("a good target");
    let ports = Ports::of(&target, Subprotocol::V4).expect("good ports");
    let client = WebSocketPorts::server(Subprotocol::V4, &LIMITS);
    let bridge = PortsBridge::new(client, ports.clone(), &LIMITS);
    let mut session = Session::new(bridge, SpdyPorts::client(ports, &LIMITS), scenario.read_limit());
    let streams: Vec<_> =
        (0..scenario.pairs as u32).flat_map(|index| [4 * index + 1, 4 * index + 3]).collect();
    session.receive(Side::Upstream, &replies(streams));
    session
}

/// The `SYN_REPLY`s of an upstream that accepts all streams.
fn replies(streams: impl IntoIterator<Item = u32>) -> Vec<u8> {
    let (mut writer, mut replies) = (HeaderWriter::new(), vec![]);
    for stream in streams {
        let mut reply = [0; 64];
        let stream = StreamId::new(stream).expect("a stream id");
        let length = writer.syn_reply(stream, &mut reply).expect("a reply is short");
        replies.extend_from_slice(&reply[..length]);
    }
    replies
}
