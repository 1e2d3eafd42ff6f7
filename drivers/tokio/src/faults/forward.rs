use strait::bridge::TunnelBridge;
use strait::leg::{RawLeg, TunnelLeg};
use strait::ws::MaskKeys;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::transport::{Fault, Faulty, Pace, Wire, wire};
use super::{Case, Ends, LIMITS, Way, Who, pass, translate};
use crate::forward_session::{Named, serve};
use crate::port_forward::{self, Forwarder, OpenError};
use crate::tunnel::TunnelStream;

/// What a target says when it has got all.
pub(super) const GOODBYE: &[u8] = b"goodbye\n";

/// Connections on one session, and their ports.
pub(super) const PORTS: [u16; 2] = [80, 81];

/// What a target has got.
pub(super) struct Heard {
    port: u16,
    received: Vec<u8>,
    /// It was told that this is all.
    has_ended: bool,
}

/// Runs a session to the end of all its parts.
pub(super) async fn play(case: &Case, ends: Ends) -> Result<(), String> {
    let Ends { client: near, gateway, server } = ends;
    let way = case.way;
    let running = async {
        if way.is_websocket_client() {
            client(TunnelStream::client(near, &[], [7; 16], &LIMITS), case).await
        } else {
            client(near, case).await
        }
    };
    let between = async {
        if let Some((front, back)) = gateway {
            Box::pin(carry(case, front, back)).await;
        }
    };
    let serving = async {
        if way.is_websocket_server() {
            node(case, TunnelStream::server(server, &[], &LIMITS)).await
        } else {
            node(case, server).await
        }
    };
    let (results, (), all) = tokio::join!(running, between, serving);
    for Heard { port, received, has_ended } in all {
        let result = &results[usize::from(port - PORTS[0])];
        // A stream that its client gives up is reset, which ends the target's connection in order: what came in front of it is delivered.
        let is_given_up = *result == Err(OpenError::TimedOut.to_string());
        let is_all = !has_ended || received == case.input || is_given_up;
        assert!(is_all, "a part of the input for all of it, {result:?}: {case}");
    }
    results.into_iter().collect()
}

/// The node, and what its targets have got when all of them have ended.
pub(super) async fn node(case: &Case, client: impl AsyncRead + AsyncWrite + Unpin) -> Vec<Heard> {
    let (tell, mut told) = unbounded_channel();
    let (pace, most) = (case.pace.with(3), if case.can_half_close() { usize::MAX } else { case.input.len() });
    let serving = async move {
        let named = Named { pod: "pod".into(), uid: "uid".into() };
        let dial = |port| {
            let tell = tell.clone();
            async move { Ok(target(port, pace, most, tell)) }
        };
        serve(client, &[], &named, &LIMITS, &case.stop_of(Who::Server), dial).await
    };
    let hearing = async {
        let mut all = Vec::new();
        while let Some(heard) = told.recv().await {
            assert!(case.input.starts_with(&heard.received), "other input: {case}");
            all.push(heard);
        }
        all
    };
    let (_, all) = tokio::join!(serving, hearing);
    all
}

async fn carry(case: &Case, front: Faulty, back: Faulty) {
    let stop = case.stop_of(Who::Gateway);
    match case.way {
        Way::Translated => {
            let bridge = TunnelBridge::new(TunnelLeg::server(&LIMITS), &LIMITS);
            translate(bridge, RawLeg::new(), front, back, stop).await;
        }
        Way::TranslatedBack => {
            let bridge = TunnelBridge::new(RawLeg::new(), &LIMITS);
            let upstream = TunnelLeg::client(&LIMITS, MaskKeys::new([7; 16]));
            translate(bridge, upstream, front, back, stop).await;
        }
        _ => pass(front, back, stop).await,
    }
}

/// Each connection is complete, or says why it is not.
async fn client(io: impl AsyncRead + AsyncWrite + Unpin, case: &Case) -> [Result<(), String>; 2] {
    let (forwarder, connection) = port_forward::client(io, &[], &LIMITS);
    let both = async {
        let [one, other] = PORTS;
        let both = tokio::join!(exchange(&forwarder, one, case), exchange(&forwarder, other, case));
        forwarder.drain();
        both
    };
    let ((one, other), _) = tokio::join!(both, connection);
    [one, other]
}

/// One connection.
async fn exchange(forwarder: &Forwarder, port: u16, case: &Case) -> Result<(), String> {
    let connection = forwarder.open(port).await.map_err(|error| error.to_string())?;
    let (mut reader, mut writer) = split(connection);
    let sending = async {
        writer.write_all(&case.input).await?;
        writer.shutdown().await
    };
    let mut got = Vec::new();
    let (sent, read) = tokio::join!(sending, reader.read_to_end(&mut got));
    let whole = [&case.input[..], GOODBYE].concat();
    assert!(whole.starts_with(&got), "other output: {case}");
    assert!(read.is_err() || got == whole, "a part of the output and its end: {case}");
    let result = reader.unsplit(writer).result().await;
    sent.and(read).map_err(|error| error.to_string())?;
    result.map_err(|error| error.to_string())
}

/// A target that sends back what it gets, to its end or up to so many bytes; its connection.
fn target(port: u16, pace: Pace, most: usize, tell: UnboundedSender<Heard>) -> Faulty {
    let Wire { near, far } = wire(Fault::None, Fault::None, pace);
    tokio::spawn(async move {
        let (mut reader, mut writer) = split(far);
        let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
        let has_ended = loop {
            if received.len() >= most {
                break true;
            }
            match reader.read(&mut buffer).await {
                Ok(0) => break true,
                Err(_) => break false,
                Ok(count) => {
                    received.extend_from_slice(&buffer[..count]);
                    if writer.write_all(&buffer[..count]).await.is_err() {
                        break false;
                    }
                }
            }
        };
        if has_ended && writer.write_all(GOODBYE).await.is_ok() {
            let _ = writer.shutdown().await;
        }
        // Whoever listens is gone only behind a finding.
        let _ = tell.send(Heard { port, received, has_ended });
    });
    near
}
