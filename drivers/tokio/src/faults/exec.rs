use std::io;
use std::sync::Mutex;

use strait::bridge::ExecBridge;
use strait::k8s::{StreamSet, Subprotocol, Verb};
use strait::leg::{SpdyLeg, WebSocketLeg};
use strait::spdy::{Inflate, LentBlocks, SkipBlocks};
use strait::ws::MaskKeys;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::server::serve;
use super::transport::Faulty;
use super::{Case, Ends, LIMITS, Way, pass, translate};
use crate::client::faults::session;
use crate::client::{Exit, Streams};
use crate::node_session::{NodeSession, SpdyServer};
use crate::pool::Pool;
use crate::process::Exit as ProcessExit;
use crate::process::pretended::{self, Program};
use crate::subject::Aim;

pub(super) const STREAMS: StreamSet = StreamSet { stdin: true, stdout: true, stderr: true, tty: false };

/// The exit code.
pub(super) const CODE: u32 = 5;
/// All of the command's standard error.
pub(super) const ERRORS: &[u8] = b"a warning\n";

/// Runs a session to the end of all its parts.
pub(super) async fn play(case: &Case, ends: Ends) -> Result<(), String> {
    let Ends { client, gateway, server } = ends;
    let way = case.way;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let running = async {
        let streams = Streams::new().stdin(&case.input[..]).stdout(&mut stdout).stderr(&mut stderr);
        let protocol = if way.is_websocket_client() { Subprotocol::V5 } else { Subprotocol::V4 };
        session(client, protocol, way.is_websocket_client(), STREAMS, Verb::Exec, LIMITS).run(streams).await
    };
    let between = async {
        if let Some((front, back)) = gateway {
            Box::pin(carry(way, front, back)).await;
        }
    };
    let serving = async {
        if way.has_gateway() { serve_one(way, server).await } else { node(way, server, &case.input).await }
    };
    let (result, (), received) = tokio::join!(running, between, serving);
    assert!(case.input.starts_with(&stdout), "other output: {case}");
    assert!(ERRORS.starts_with(&stderr), "other errors: {case}");
    assert!(case.input.starts_with(&received), "other input: {case}");
    let Exit { code } = result.map_err(|error| error.to_string())?;
    assert_eq!(code, CODE, "{case}");
    assert!(stdout == case.input && stderr == ERRORS, "a part of the output and its exit code: {case}");
    Ok(())
}

async fn carry(way: Way, front: Faulty, back: Faulty) {
    match way {
        Way::Translated => {
            let leg = WebSocketLeg::server(Subprotocol::V5, &LIMITS);
            let upstream: SpdyLeg<SkipBlocks> = SpdyLeg::client(STREAMS, Subprotocol::V4, &LIMITS);
            let bridge: ExecBridge<_, _> = ExecBridge::new(leg, STREAMS, &LIMITS);
            translate(bridge, upstream, front, back).await;
        }
        Way::TranslatedBack => {
            let leg = SpdyLeg::server(STREAMS, Subprotocol::V4, &LIMITS, blocks());
            let upstream = WebSocketLeg::client(Subprotocol::V5, &LIMITS, MaskKeys::new([7; 16]));
            let bridge: ExecBridge<_, _> = ExecBridge::new(leg, STREAMS, &LIMITS);
            translate(bridge, upstream, front, back).await;
        }
        _ => pass(front, back).await,
    }
}

async fn serve_one(way: Way, io: Faulty) -> Vec<u8> {
    if way.is_websocket_server() {
        serve(io, WebSocketLeg::server(Subprotocol::V5, &LIMITS), &LIMITS).await
    } else {
        serve(io, SpdyLeg::server(STREAMS, Subprotocol::V4, &LIMITS, blocks()), &LIMITS).await
    }
}

fn blocks() -> LentBlocks<Box<Inflate>> {
    LentBlocks(Some(Box::default()))
}

/// The node's own session, whose process has to end with it. What that has got.
async fn node(way: Way, io: Faulty, input: &[u8]) -> Vec<u8> {
    let (process, program) = pretended::process().expect("there are pipes");
    let aim = Aim::Pretended(Mutex::new(Some(Box::new(process))), STREAMS);
    let (pool, stop) = (Pool::new(0), CancellationToken::new());
    let session = async {
        if way.is_websocket_server() {
            let leg = WebSocketLeg::server(Subprotocol::V5, &LIMITS);
            NodeSession::new(io, &[], leg, aim, &LIMITS, &pool, stop).run().await
        } else {
            let leg = SpdyServer::server(STREAMS, Subprotocol::V4, &LIMITS, blocks());
            NodeSession::new(io, &[], leg, aim, &LIMITS, &pool, stop).run().await
        }
    };
    let (_, (received, was_killed)) = tokio::join!(session, command(program));
    assert!(was_killed || received == input, "a process that is not killed took a part of its input for all");
    received
}

/// The command: what it has got, and whether it was killed.
async fn command(program: Program) -> (Vec<u8>, bool) {
    let Program { mut stdin, mut stdout, mut stderr, killed, exit } = program;
    let mut received = Vec::new();
    let running = async {
        let mut buffer = [0; 4096];
        loop {
            let count = stdin.read(&mut buffer).await?;
            if count == 0 {
                return stderr.write_all(ERRORS).await;
            }
            received.extend_from_slice(&buffer[..count]);
            stdout.write_all(&buffer[..count]).await?;
        }
    };
    let ended: Option<io::Result<()>> = tokio::select! {
        biased;
        _ = killed => None,
        ended = running => Some(ended),
    };
    drop((stdin, stdout, stderr));
    // A session that has ended does not hear of it.
    let _ = exit.send(if ended.is_some() {
        ProcessExit::Code(CODE.cast_signed())
    } else {
        ProcessExit::Signal(libc::SIGTERM)
    });
    // Output that nobody takes any more kills, too.
    (received, !matches!(ended, Some(Ok(()))))
}
