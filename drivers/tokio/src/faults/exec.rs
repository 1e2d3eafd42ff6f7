use std::future::poll_fn;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use strait::bridge::ExecBridge;
use strait::k8s::{Channel, Subprotocol, TerminalSize, Verb};
use strait::leg::{Framing as _, Leg as _, SpdyLeg, WebSocketLeg};
use strait::spdy::{Inflate, LentBlocks, SkipBlocks};
use strait::ws::MaskKeys;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::sleep;

use super::server::serve;
use super::transport::{Fault, Faulty, Pace, Slow, Wire, wire};
use super::{Case, Ends, LIMITS, Way, Who, Work, pass, translate};
use crate::client::faults::session;
use crate::client::{Exit, SessionError, Streams};
use crate::link::Link;
use crate::node_session::{NodeSession, SpdyServer};
use crate::pool::Pool;
use crate::process::Exit as ProcessExit;
use crate::process::pretended::{self, Program};
use crate::subject::Aim;

/// All of the command's standard error.
pub(super) const ERRORS: &[u8] = b"a warning\n";

/// Of the client's terminal, a second apart.
pub(super) const SIZES: [TerminalSize; 3] = [
    TerminalSize { columns: 80, rows: 24 },
    TerminalSize { columns: 120, rows: 24 },
    TerminalSize { columns: 120, rows: 40 },
];

/// Runs a session to the end of all its parts.
pub(super) async fn play(case: &Case, ends: Ends) -> Result<(), String> {
    let Ends { client, gateway, server } = ends;
    let way = case.way;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let running = async {
        let streams = Streams::new().stdin(&case.input[..]).stderr(&mut stderr).sizes(sizes());
        let streams = streams.stdout(Slow::new(&mut stdout, case.reader));
        let ([protocol, _], is_websocket) = (case.protocols, way.is_websocket_client());
        session(client, protocol, is_websocket, case.streams(), Verb::Exec, LIMITS).run(streams).await
    };
    let between = async {
        if let Some((front, back)) = gateway {
            Box::pin(carry(case, front, back)).await;
        }
    };
    let serving =
        async { if way.has_gateway() { serve_one(case, server).await } else { node(case, server).await } };
    let (result, (), received) = tokio::join!(running, between, serving);
    let errors = case.errors();
    assert!(case.input.starts_with(&stdout), "other output: {case}");
    assert!(errors.starts_with(&stderr), "other errors: {case}");
    assert!(case.input.starts_with(&received), "other input: {case}");
    settled(case, result)?;
    assert!(stdout == case.input && stderr == errors, "a part of the output and its exit code: {case}");
    Ok(())
}

/// Whether the client knows how the command ended.
fn settled(case: &Case, result: Result<Exit, SessionError>) -> Result<(), String> {
    match result {
        Ok(Exit { code }) => {
            assert_eq!(code, case.code, "{case}");
            Ok(())
        }
        // Where the status is a text it names the code for people.
        Err(SessionError::Failed { message, .. })
            if case.has_text_status() && message.ends_with(&format!("exit code: {}", case.code)) =>
        {
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn sizes() -> watch::Receiver<Option<TerminalSize>> {
    let [first, rest @ ..] = SIZES;
    let (tell, told) = watch::channel(Some(first));
    tokio::spawn(async move {
        for size in rest {
            sleep(Duration::from_secs(1)).await;
            tell.send_replace(Some(size));
        }
    });
    told
}

/// The gateway.
pub(super) async fn carry(case: &Case, front: Faulty, back: Faulty) {
    let (streams, stop) = (case.streams(), case.stop_of(Who::Gateway));
    let [spoken, chosen] = case.protocols;
    match case.way {
        Way::Translated => {
            let leg = WebSocketLeg::server(spoken, &LIMITS);
            let upstream: SpdyLeg<SkipBlocks> = SpdyLeg::client(streams, chosen, &LIMITS);
            let bridge: ExecBridge<_, _> = ExecBridge::new(leg, streams, &LIMITS);
            translate(bridge, upstream, front, back, stop).await;
        }
        Way::TranslatedBack => {
            let leg = SpdyLeg::server(streams, spoken, &LIMITS, blocks());
            let upstream = WebSocketLeg::client(chosen, &LIMITS, MaskKeys::new([7; 16]));
            let bridge: ExecBridge<_, _> = ExecBridge::new(leg, streams, &LIMITS);
            translate(bridge, upstream, front, back, stop).await;
        }
        Way::WebSocketPassedOn if spoken != chosen => {
            let leg = WebSocketLeg::server(spoken, &LIMITS);
            let upstream = WebSocketLeg::client(chosen, &LIMITS, MaskKeys::new([7; 16]));
            let bridge: ExecBridge<_, _> = ExecBridge::new(leg, streams, &LIMITS);
            translate(bridge, upstream, front, back, stop).await;
        }
        _ => pass(front, back, stop).await,
    }
}

async fn serve_one(case: &Case, io: Faulty) -> Vec<u8> {
    let [_, protocol] = case.protocols;
    if case.way.is_websocket_server() {
        serve(case, io, WebSocketLeg::server(protocol, &LIMITS)).await
    } else {
        serve(case, io, SpdyLeg::server(case.streams(), protocol, &LIMITS, blocks())).await
    }
}

pub(super) fn blocks() -> LentBlocks<Box<Inflate>> {
    LentBlocks(Some(Box::default()))
}

/// The node's own session, whose process has to end with it. What that has got.
async fn node(case: &Case, io: Faulty) -> Vec<u8> {
    let (mut process, program) = pretended::process().expect("there are pipes");
    if case.work == Work::Terminal {
        process.stderr = None;
    }
    let aim = Aim::Pretended(Mutex::new(Some(Box::new(process))), case.streams());
    let session = node_session(case, case.protocols[1], io, aim);
    let ((), (received, was_killed)) = tokio::join!(session, command(case, program));
    let is_all = was_killed || received == case.input;
    assert!(is_all, "a process that is not killed took a part of its input for all: {case}");
    received
}

/// Its pings kept the node's session for ever.
#[tokio::test(start_paused = true)]
async fn a_client_that_pings_and_never_closes_is_let_go() {
    let case = Case::new(Work::Exec, Way::SpdyToNode, Vec::new());
    let Wire { near, far } = wire(Fault::None, Fault::None, Pace::Fast);
    let leg: SpdyLeg<SkipBlocks> = SpdyLeg::client(case.streams(), Subprotocol::V4, &LIMITS);
    let client = async {
        let mut link = Link::new(near, leg, &[], || vec![0; 4096], &LIMITS);
        let mut has_ended = false;
        loop {
            while link.has_output() {
                if poll_fn(|cx| link.poll_write(cx)).await.is_err() {
                    return;
                }
            }
            let step = link.leg.receive(link.input.input()).expect("the node keeps to the protocol");
            link.input.consume(step.consumed);
            if !has_ended && link.leg.is_ready() {
                has_ended = true;
                link.output.end_stream(&mut link.leg, Channel::STDIN);
            } else if step.consumed == 0 && step.event.is_none() {
                tokio::select! {
                    read = poll_fn(|cx| link.poll_read(cx)) => if !matches!(read, Ok(1..)) {
                        return;
                    },
                    () = sleep(LIMITS.ping_interval) => link.leg.ping(),
                }
            }
        }
    };
    let both = Box::pin(async { tokio::join!(client, node(&case, far)) });
    tokio::time::timeout(3 * LIMITS.close, both).await.expect("the node's session ends");
}

/// A node's session.
pub(super) async fn node_session(case: &Case, protocol: Subprotocol, io: Faulty, aim: Aim) {
    let (pool, stop) = (Pool::new(0), case.stop_of(Who::Server));
    if case.way.is_websocket_server() {
        let leg = WebSocketLeg::server(protocol, &LIMITS);
        NodeSession::new(io, &[], leg, aim, &LIMITS, &pool, stop).run().await;
    } else {
        let leg = SpdyServer::server(case.streams(), protocol, &LIMITS, blocks());
        NodeSession::new(io, &[], leg, aim, &LIMITS, &pool, stop).run().await;
    }
}

/// The command: what it has got, and whether it was killed.
async fn command(case: &Case, program: Program) -> (Vec<u8>, bool) {
    let Program { mut stdin, mut stdout, mut stderr, killed, exit } = program;
    let mut received = Vec::new();
    let running = async {
        let mut buffer = [0; 4096];
        while !case.is_all_input(received.len()) {
            let count = stdin.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            received.extend_from_slice(&buffer[..count]);
            stdout.write_all(&buffer[..count]).await?;
        }
        sleep(case.pause).await;
        stderr.write_all(case.errors()).await
    };
    let ended: Option<io::Result<()>> = tokio::select! {
        biased;
        _ = killed => None,
        ended = running => Some(ended),
    };
    drop((stdin, stdout, stderr));
    // A session that has ended does not hear of it.
    let _ = exit.send(if ended.is_some() {
        ProcessExit::Code(case.code.cast_signed())
    } else {
        ProcessExit::Signal(libc::SIGTERM)
    });
    // Output that nobody takes any more kills, too.
    (received, !matches!(ended, Some(Ok(()))))
}
