//! The legs and the exec bridge against byte vectors that real peers made or accepted.

mod vectors;

use strait::bridge::{Bridge as _, ExecBridge, Lane, Outcome, Side};
use strait::k8s::{Channel, StreamSet, Subprotocol, TerminalSize};
use strait::leg::{Event, Framing as _, Leg, SpdyLeg, WebSocketLeg};
use strait::spdy::SkipBlocks;
use strait::ws::CloseCode;
use strait::{Instant, Limits};

const ALL: StreamSet = StreamSet { stdin: true, stdout: true, stderr: true, tty: false };

fn bytes(id: &str) -> Vec<u8> {
    let found = vectors::all().into_iter().find(|vector| vector.id() == id);
    found.unwrap_or_else(|| panic!("no vector {id}")).bytes("hex")
}

#[test]
fn the_opening_of_a_session_is_the_stored_vectors_in_one_block() {
    let leg = SpdyLeg::client(ALL, Subprotocol::V4, &Limits::HOST);
    let expected =
        ["error", "stdin", "stdout", "stderr"].map(|name| bytes(&format!("spdy.exec.syn.{name}.stored")));
    assert_eq!(leg.pending(), expected.concat());
}

#[test]
fn a_client_reads_the_replies_of_both_writers() {
    for writer in ["go", "stored"] {
        let streams = StreamSet { stderr: false, stdin: false, ..ALL };
        let mut leg = SpdyLeg::client(streams, Subprotocol::V4, &Limits::HOST);
        let mut accepted = Vec::new();
        for number in 1..=3 {
            let mut reply = bytes(&format!("spdy.reply.{number}.{writer}"));
            accepted.extend(leg.receive(&mut reply).unwrap().event);
        }
        assert!(leg.is_ready(), "{writer}: {accepted:?}");
    }
}

/// What one message of a client means.
fn event(id: &str) -> Option<Event> {
    let mut leg = WebSocketLeg::server(Subprotocol::V5, &Limits::HOST);
    let mut frame = bytes(id);
    let step = leg.receive(&mut frame).unwrap();
    assert_eq!(step.consumed, frame.len(), "{id}");
    step.event
}

#[test]
fn messages_of_clients_mean_what_they_say() {
    let size = Some(Event::Resize(TerminalSize { columns: 80, rows: 24 }));
    assert_eq!(event("ws.resize.go"), size);
    assert_eq!(event("ws.resize.js"), size);
    assert_eq!(event("ws.close.stdin"), Some(Event::HalfClosed(Channel::STDIN)));
    assert_eq!(event("ws.close.resize"), Some(Event::HalfClosed(Channel::RESIZE)));
    for id in ["ws.stdin.abc", "ws.stdin.abc.text"] {
        let event = event(id);
        assert!(matches!(event, Some(Event::Data { channel: Channel::STDIN, .. })), "{id}: {event:?}");
    }
    let mut leg = WebSocketLeg::server(Subprotocol::V5, &Limits::HOST);
    let error = leg.receive(&mut bytes("ws.close.bad")).unwrap_err();
    // A Go client would read 1000 without a status as success.
    assert_eq!(error.close().code(), CloseCode::PROTOCOL_ERROR);
}

#[test]
fn a_recorded_session_is_translated_to_the_byte() {
    let mut bridge: ExecBridge<_, SpdyLeg<SkipBlocks>> =
        ExecBridge::new(WebSocketLeg::server(Subprotocol::V5, &Limits::HOST), ALL, &Limits::HOST);
    let mut leg = SpdyLeg::client(ALL, Subprotocol::V4, &Limits::HOST);
    leg.sent(leg.pending().len());
    bridge.connected(leg, Instant::ZERO);
    let (mut up, mut down) = (Lane::<_>::new([0; 1024]), Lane::<_>::new([0; 1024]));

    let fin = |stream: u8| vec![0, 0, 0, stream, 1, 0, 0, 0];
    let status = &bytes("ws.status.exit5")[5..];
    let header = [0, 0, 0, 1, 0, 0, (status.len() >> 8) as u8, status.len() as u8];
    let mut stdout = vec![0, 0, 0, 5, 0, 0, 0, 6];
    stdout.extend(b"hello\n");
    let mut replies = bytes("spdy.reply.1.stored");
    // The replies behind the first differ in the stream id only.
    for stream in [3, 5, 7] {
        let mut reply = bytes("spdy.reply.2.stored");
        reply[11] = stream;
        replies.extend(reply);
    }
    let upstream = [replies, stdout, fin(5), fin(7), [&header, status].concat(), fin(1)].concat();
    let client = [bytes("ws.stdin.abc"), bytes("ws.close.stdin"), bytes("ws.ping")].concat();

    let (mut to_client, mut to_upstream) = (Vec::<u8>::new(), Vec::<u8>::new());
    for (from, sent) in
        [(Side::Upstream, &upstream[..110]), (Side::Client, &client), (Side::Upstream, &upstream[110..])]
    {
        let lane = if from == Side::Client { &mut up } else { &mut down };
        lane.space()[..sent.len()].copy_from_slice(sent);
        lane.received(sent.len());
        for _ in 0..3 {
            bridge.translate(Side::Upstream, &mut down, Instant::ZERO);
            bridge.translate(Side::Client, &mut up, Instant::ZERO);
            for (side, lane, got) in
                [(Side::Client, &mut down, &mut to_client), (Side::Upstream, &mut up, &mut to_upstream)]
            {
                let before = got.len();
                got.extend(bridge.output(side, lane).flatten());
                bridge.written(side, lane, got.len() - before);
            }
        }
    }
    let expected =
        [bytes("ws.pong"), bytes("ws.stdout.hello"), bytes("ws.status.exit5"), bytes("ws.close.1000")];
    assert_eq!(to_client, expected.concat());
    assert_eq!(to_upstream[..20], [bytes("spdy.data.stdin"), bytes("spdy.data.fin")].concat());
    assert_eq!(to_upstream[to_upstream.len() - 16..], bytes("spdy.goaway.client"));
    assert_eq!(bridge.outcome(), Some(Outcome::Completed));
}
