use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::{Case, Run, Stop};
use crate::client::{self, Client, Programs};
use crate::profile::Profile;
use crate::server;
use crate::target::Target;

/// What a whole case may take, in limits of one answer.
const WAITS: u32 = 6;
/// Cases that run at a time: they wait more than they work.
const AT_A_TIME: usize = 6;

/// What came of a case.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// What was seen, or why it was not looked at.
    pub seen: String,
    /// What to think of that.
    pub verdict: Verdict,
    /// How long it took.
    pub time: Duration,
}

/// What to think of what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is as written.
    Conforms,
    /// It is not, but the profile says so.
    Known,
    /// It is neither.
    Unexpected,
    /// It could not be tried.
    NotRun,
}

/// All cases, in their order.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    server::CASES.iter().chain(client::CASES).copied().flatten()
}

/// Runs those cases against a server, or against the client programs, and tells of each outcome as it comes. The result is in the
/// order of the cases.
pub fn run(
    wanted: &[&'static Case],
    target: Option<&Target>,
    programs: &Programs,
    profile: &'static Profile,
    tell: impl Fn(&Outcome) + Sync,
) -> Vec<Outcome> {
    let waiting = Mutex::new(wanted.iter());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME.min(programs.at_a_time()) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(case) = next else { return };
                    let outcome = outcome(case, target, programs, profile);
                    tell(&outcome);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let place = |outcome: &Outcome| wanted.iter().position(|case| case.number == outcome.case.number);
    done.sort_by_key(place);
    done
}

fn outcome(
    case: &'static Case,
    target: Option<&Target>,
    programs: &Programs,
    profile: &'static Profile,
) -> Outcome {
    let started = Instant::now();
    let result = match profile.without(case.kind) {
        Some(why) => Err(Stop::NotRun(why)),
        None => match (case.run, target) {
            (Run::Server(run), Some(target)) => {
                let target = target.clone();
                within(target.limit * WAITS, move || run(&target))
            }
            (Run::Server(_), None) => Err(Stop::NotRun("no target is given".into())),
            (Run::Client(run), _) => Client::new(programs, case.kind)
                .and_then(|client| within(client.limit * WAITS, move || run(&client))),
        },
    };
    let known = profile.deviation(case.number).map(|deviation| deviation.seen);
    let (seen, verdict) = match result {
        Err(Stop::NotRun(why)) => (why, Verdict::NotRun),
        Ok(seen) | Err(Stop::Saw(seen)) => {
            let verdict = if case.conforms.contains(&&*seen) {
                Verdict::Conforms
            } else if known.is_some_and(|known| known.contains(&&*seen)) {
                Verdict::Known
            } else {
                Verdict::Unexpected
            };
            (seen, verdict)
        }
    };
    Outcome { case: *case, seen, verdict, time: started.elapsed() }
}

/// Runs a case in a thread of its own, so that one that hangs in spite of its deadlines is left behind.
fn within(
    limit: Duration,
    run: impl FnOnce() -> Result<String, Stop> + Send + 'static,
) -> Result<String, Stop> {
    let (told, result) = mpsc::channel();
    thread::spawn(move || told.send(run()));
    match result.recv_timeout(limit) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => Err(Stop::Saw("the deadline of the case passed".into())),
        Err(RecvTimeoutError::Disconnected) => Err(Stop::Saw("the case panicked".into())),
    }
}
