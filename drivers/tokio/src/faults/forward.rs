use strait::bridge::TunnelBridge;
use strait::leg::{RawLeg, TunnelLeg};
use strait::ws::MaskKeys;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::transport::{Fault, Faulty, Pace, Wire, wire};
use super::{Case, Ends, LIMITS, Way, pass, translate};
use crate::forward_session::{Named, serve};
use crate::port_forward::{self, Forwarder, OpenError};
use crate::tunnel::TunnelStream;

/// What a target says when it has got all.
const GOODBYE: &[u8] = b"goodbye\n";

/// Connections on one session, and their ports.
const PORTS: [u16; 2] = [80, 81];

/// What a target has got.
struct Heard {
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
            Box::pin(carry(way, front, back)).await;
        }
    };
    let (tell, mut told) = unbounded_channel();
    let pace = case.pace.with(3);
    let serving = async move {
        let named = Named { pod: "pod".into(), uid: "uid".into() };
        let stop = CancellationToken::new();
        let dial = |port| {
            let tell = tell.clone();
            async move { Ok(target(port, pace, tell)) }
        };
        if way.is_websocket_server() {
            let tunnel = TunnelStream::server(server, &[], &LIMITS);
            serve(tunnel, &[], &named, &LIMITS, &stop, dial).await
        } else {
            serve(server, &[], &named, &LIMITS, &stop, dial).await
        }
    };
    // It ends when all targets have.
    let hearing = async {
        let mut all = Vec::new();
        while let Some(heard) = told.recv().await {
            all.push(heard);
        }
        all
    };
    let (results, (), _, all) = tokio::join!(running, between, serving, hearing);
    for Heard { port, received, has_ended } in all {
        assert!(case.input.starts_with(&received), "other input: {case}");
        let result = &results[usize::from(port - PORTS[0])];
        // A stream that its client gives up is reset, which ends the target's connection in order: what came in front of it is delivered.
        let is_given_up = *result == Err(OpenError::TimedOut.to_string());
        let is_all = !has_ended || received == case.input || is_given_up;
        assert!(is_all, "a part of the input for all of it, {result:?}: {case}");
    }
    results.into_iter().collect()
}

async fn carry(way: Way, front: Faulty, back: Faulty) {
    match way {
        Way::Translated => {
            let bridge = TunnelBridge::new(TunnelLeg::server(&LIMITS), &LIMITS);
            translate(bridge, RawLeg::new(), front, back).await;
        }
        Way::TranslatedBack => {
            let bridge = TunnelBridge::new(RawLeg::new(), &LIMITS);
            translate(bridge, TunnelLeg::client(&LIMITS, MaskKeys::new([7; 16])), front, back).await;
        }
        _ => pass(front, back).await,
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

/// A target that sends back what it gets; its connection.
fn target(port: u16, pace: Pace, tell: UnboundedSender<Heard>) -> Faulty {
    let Wire { near, far } = wire(Fault::None, Fault::None, pace);
    tokio::spawn(async move {
        let (mut reader, mut writer) = split(far);
        let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
        let has_ended = loop {
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
