//! Three clients at a time, attached to one main process, each on a way of its own, which may break.
//!
//! What holds for each: its output is a part of what the process has said, without a gap; all from where it begins, if its session is complete.
//! What holds between them: whatever becomes of the others, a client on whose way nothing breaks gets all, and its exit code.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use strait::k8s::Verb;
use strait_tests::{Random, long_tests_are_wanted};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::exec::{carry, node_session};
use super::random::{any_pace, one_of, seeds};
use super::transport::{Pace, Slow};
use super::{CODE, Case, Ends, LIMITS, Work};
use crate::client::faults::session;
use crate::client::{Exit, Streams};
use crate::main_process::{Keeper, MainProcess};
use crate::process::Exit as ProcessExit;
use crate::process::pretended::{self, Program};
use crate::subject::Aim;

const CLIENTS: usize = 3;

/// Pieces of output, a second apart.
const PIECES: usize = 40;

/// All clients that nothing keeps from it have attached by then.
const START: Duration = Duration::from_secs(30);

/// Those that stop hold the others up for a minute, twice at the most; the last one goes on for [`super::LIMIT`].
const LIMIT: Duration = Duration::from_mins(20);

/// What a client has got.
struct Got {
    stdout: Vec<u8>,
    result: Result<(), String>,
}

async fn client(case: &Case, keeper: &Arc<Keeper>) -> Got {
    let Ends { client, gateway, server } = case.ends().0;
    let mut stdout = Vec::new();
    let running = async {
        let streams = Streams::new().stdin(&case.input[..]).stdout(Slow::new(&mut stdout, case.reader));
        let ([protocol, _], is_websocket) = (case.protocols, case.way.is_websocket_client());
        session(client, protocol, is_websocket, case.streams(), Verb::Attach, LIMITS).run(streams).await
    };
    let between = async {
        if let Some((front, back)) = gateway {
            Box::pin(carry(case, front, back)).await;
        }
    };
    let aim = Aim::Attach(Arc::clone(keeper), case.streams());
    let (result, (), ()) = tokio::join!(running, between, node_session(case, case.protocols[1], server, aim));
    let result =
        result.map_err(|error| error.to_string()).map(|Exit { code }| assert_eq!(code, CODE, "{case}"));
    Got { stdout, result }
}

/// Says its pieces and ends. Returns what it has got.
async fn main_process(program: Program, pieces: &[Vec<u8>]) -> Vec<u8> {
    let Program { mut stdin, mut stdout, stderr, killed, exit } = program;
    let mut input = Vec::new();
    let saying = async {
        sleep(START).await;
        for piece in pieces {
            stdout.write_all(piece).await.expect("the node reads");
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        biased;
        // It fills `input`, which lasts longer than it is polled.
        _ = stdin.read_to_end(&mut input) => unreachable!("the node keeps it open"),
        _ = killed => unreachable!("nobody stops the node"),
        () = saying => {}
    }
    drop((stdout, stderr));
    let _ = exit.send(ProcessExit::Code(CODE.cast_signed()));
    input
}

/// All at once. How many clients got all, and how many an error.
async fn attached(seed: u64) -> [usize; 2] {
    let mut random = Random::new(seed);
    let size = one_of(&[100, 2_000, 60_000], &mut random);
    let pieces: Vec<_> = (0..PIECES).map(|_| random.bytes(size)).collect();
    let said = pieces.concat();
    let cases: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let pace = any_pace(seed * CLIENTS as u64 + number as u64, &mut random);
            // Not so slow that it cannot keep up.
            let pace = match pace {
                Pace::Pieces { seed, most } => Pace::Pieces { seed, most: most.max(size / 10) },
                Pace::Fast => pace,
            };
            let mut case = Case::random(seed, Work::Exec, pace, &mut random);
            let len = 1 + random.below(5_000);
            // So that it is known whose input came.
            case.input = vec![b'a' + number as u8; len];
            if random.below(2) == 0 { case } else { case.broken_within(2 * said.len() as u64, &mut random) }
        })
        .collect();
    let keeper = Arc::new(Keeper::new(MainProcess::new("true")));
    let (process, program) = pretended::process().expect("there are pipes");
    let stop = CancellationToken::new();
    let clients = async {
        // The process has to run by then.
        tokio::task::yield_now().await;
        join_all(cases.iter().map(|case| client(case, &keeper))).await
    };
    let all = async { tokio::join!(keeper.run(process, &stop), main_process(program, &pieces), clients) };
    let ended = timeout(LIMIT, all).await;
    let (_, input, clients) = ended.unwrap_or_else(|_| panic!("seed {seed}: somebody does not end"));
    let mut came = [0; 2];
    for (case, Got { stdout, result }) in cases.iter().zip(clients) {
        let is_all = stdout == said;
        // Pieces are random, so it is clear where they belong.
        let is_part = stdout.is_empty() || said.windows(stdout.len()).any(|part| part == stdout);
        assert!(is_part, "other output: {case}");
        assert!(result.is_err() || said.ends_with(&stdout), "a part of the output and its exit code: {case}");
        let own = input.split(|byte| *byte == case.input[0]).count() - 1;
        assert!(own <= case.input.len(), "input came twice: {case}");
        if case.is_harmless() {
            assert!(is_all && result.is_ok(), "{} of {} bytes, {result:?}: {case}", stdout.len(), said.len());
            assert_eq!(own, case.input.len(), "input is lost: {case}");
        }
        came[usize::from(result.is_err())] += 1;
    }
    came
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_others_who_is_attached_gets_all_or_an_error() {
    let is_long = long_tests_are_wanted("attached clients with random faults of 2,000 seeds, and not of 40,");
    let (mut complete, mut errors) = (0, 0);
    for seed in seeds(if is_long { 2_000 } else { 40 }) {
        let [got_all, got_error] = attached(seed).await;
        (complete, errors) = (complete + got_all, errors + got_error);
    }
    println!("attached clients: {complete} complete, {errors} an error");
    assert!(complete > 0 && errors > 0, "{complete} complete, {errors} an error");
}
