use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use strait_scenarios::{Direction, Fault, Leg, Pace, SCENARIOS, Scenario, Sessions};

use crate::Arguments;
use crate::delay::Delay;
use crate::figures::Figures;
use crate::job::Jobs;
use crate::keeper::Keeper;
use crate::measure::{Run, allocations, bulk, idle, lost, round_trip, sessions, system_calls};
use crate::target::{Kind, Programs, Target};
use crate::upstream::{ServerLeg, Upstream};

/// What the short form measures.
const SHORT: [&str; 11] = [
    "stdin/log_line",
    "stdin/32KiB",
    "stdout/log_line",
    "stdout/32KiB",
    "echo/keystroke",
    "tunnel/up/32KiB",
    "tunnel/down/32KiB",
    "session/short",
    "session/far",
    "lost/stdout/32KiB",
    "idle/100",
];
const SHORT_TARGETS: [Kind; 4] = [Kind::Strait, Kind::Go, Kind::Relay, Kind::Direct];
/// System calls are counted, and allocations, where the size of frames makes the difference.
const COUNTED: [&str; 4] = ["stdin/log_line", "stdin/32KiB", "stdout/log_line", "stdout/32KiB"];
/// The Go translator takes some 700 KB for a session: more would not tell more.
const MOST_OF_GO: usize = 1000;

/// What one scenario measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Figure {
    Bulk,
    RoundTrip,
    Sessions,
    Far,
    Lost,
    Idle,
}

impl Figure {
    /// `None` if the rig cannot run it.
    fn of(scenario: &Scenario) -> Option<Self> {
        match (scenario.client, scenario.upstream) {
            (Leg::WebSocket | Leg::Tunnel, Leg::Spdy) => {}
            _ => return None,
        }
        match scenario.faults {
            [] | [Fault::Stalls { .. }] => {}
            [Fault::ClientLost | Fault::UpstreamLost] => return Some(Self::Lost),
            [Fault::Far(_)] => return Some(Self::Far),
            _ => return None,
        }
        match (scenario.sessions, scenario.direction, scenario.pace) {
            (Sessions::InTurn(_), ..) => Some(Self::Sessions),
            (_, Direction::Echo, _) => Some(Self::RoundTrip),
            _ if scenario.frames == 0 => Some(Self::Idle),
            (_, _, Pace::Bulk) => Some(Self::Bulk),
            (_, _, Pace::Alone) => None,
        }
    }
}

/// All that measurements need besides a target.
struct Rig<'a> {
    programs: Programs,
    jobs: Jobs,
    upstream: Upstream,
    /// Upstream's ends of idle sessions.
    keeper: Keeper<ServerLeg>,
    figures: Figures,
    time: Duration,
    rounds: usize,
    arguments: &'a Arguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // For the targets too, which inherit it.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let (rounds, seconds) = if arguments.short { (2, 0.25) } else { (5, 0.5) };
    let (jobs, keeper) = (Jobs::default(), Keeper::start()?);
    let mut rig = Rig {
        programs: Programs {
            strait: arguments.strait.clone(),
            go: arguments.go.clone(),
            other: arguments.other.split_whitespace().map(String::from).collect(),
        },
        upstream: Upstream::start(jobs.clone(), keeper.clone())?,
        jobs,
        keeper,
        figures: Figures::default(),
        time: Duration::try_from_secs_f64(arguments.seconds.unwrap_or(seconds))?,
        rounds: arguments.rounds.unwrap_or(rounds),
        arguments,
    };
    let scenarios = rig.scenarios()?;
    let mut targets = rig.targets()?;
    for scenario in scenarios {
        rig.measure(scenario, &mut targets)?;
        rig.figures.print(scenario.name);
    }
    println!("{}", rig.figures.store()?.display());
    Ok(())
}

impl Rig<'_> {
    fn scenarios(&self) -> Result<Vec<&'static Scenario>> {
        let known = || SCENARIOS.iter().filter(|scenario| Figure::of(scenario).is_some());
        let is_named = |scenario: &&Scenario| {
            let names = &self.arguments.scenarios;
            if names.is_empty() {
                return !self.arguments.short || SHORT.contains(&scenario.name);
            }
            names.iter().any(|name| scenario.name == name || scenario.name.starts_with(&format!("{name}/")))
        };
        let named: Vec<_> = known().filter(is_named).collect();
        if named.is_empty() {
            let all: Vec<_> = known().map(|scenario| scenario.name).collect();
            bail!("the rig knows no such scenario; there are {}", all.join(", "));
        }
        Ok(named)
    }

    /// Starts all that are wanted and that there are.
    fn targets(&self) -> Result<Vec<Target>> {
        let named = &self.arguments.targets;
        let all = Kind::ALL.into_iter().chain([Kind::Other]);
        let unknown = named.iter().find(|name| !all.clone().any(|kind| kind.name() == **name));
        ensure!(unknown.is_none(), "no target is called {}", unknown.map_or("", |name| name));
        let is_wanted = |kind: &Kind| {
            if *kind == Kind::Other && self.programs.other.is_empty() {
                return false;
            }
            if named.is_empty() {
                !self.arguments.short || SHORT_TARGETS.contains(kind)
            } else {
                named.iter().any(|name| name == kind.name())
            }
        };
        let mut targets = Vec::new();
        for kind in all.filter(is_wanted) {
            match self.start(kind) {
                Ok(target) => targets.push(target),
                // What this project has no part in may be missing.
                Err(error) if matches!(kind, Kind::Go | Kind::HaProxy) && !is_demanded() => {
                    println!("NOT RUN: {kind}: {error:#}");
                }
                Err(error) => return Err(error.context(kind)),
            }
        }
        Ok(targets)
    }

    fn start(&self, kind: Kind) -> Result<Target> {
        Target::start(kind, &self.programs, self.upstream.address)
    }

    fn measure(&mut self, scenario: &'static Scenario, targets: &mut [Target]) -> Result<()> {
        match Figure::of(scenario).context("a scenario that the rig knows")? {
            Figure::Bulk => {
                self.rounds(scenario, targets, bulk::measure)?;
                self.count(scenario, targets)
            }
            Figure::RoundTrip => self.rounds(scenario, targets, round_trip::measure),
            Figure::Sessions => self.rounds(scenario, targets, sessions::measure),
            Figure::Lost => self.rounds(scenario, targets, lost::measure),
            Figure::Far => self.far(scenario, targets),
            Figure::Idle => self.idle(scenario, targets),
        }
    }

    fn rounds(
        &mut self,
        scenario: &'static Scenario,
        targets: &mut [Target],
        measure: impl Fn(Run<'_>) -> Result<()>,
    ) -> Result<()> {
        for _ in 0..self.rounds {
            for target in targets.iter_mut().filter(|target| is_of_interest(scenario, target.kind)) {
                let kind = target.kind;
                measure(self.run(scenario, target))
                    .with_context(|| format!("{} through {kind}", scenario.name))?;
            }
        }
        Ok(())
    }

    fn run<'a>(&'a mut self, scenario: &'static Scenario, target: &'a mut Target) -> Run<'a> {
        Run { jobs: &self.jobs, scenario, target, time: self.time, figures: &mut self.figures }
    }

    fn count(&mut self, scenario: &'static Scenario, targets: &mut [Target]) -> Result<()> {
        if !COUNTED.contains(&scenario.name) {
            return Ok(());
        }
        if targets.iter().any(|target| target.kind == Kind::Strait) {
            let mut counted = self.start(Kind::Counted)?;
            allocations::measure(self.run(scenario, &mut counted)).context("allocations")?;
        }
        if let Some(why) = system_calls::are_uncounted() {
            println!("NOT RUN: system calls in {}: {why}", scenario.name);
            return Ok(());
        }
        for target in targets {
            let kind = target.kind;
            system_calls::measure(self.run(scenario, target))
                .with_context(|| format!("system calls of {kind}"))?;
        }
        Ok(())
    }

    /// Each target has a new process, between two relays that can delay.
    fn far(&mut self, scenario: &'static Scenario, targets: &[Target]) -> Result<()> {
        let to_upstream = Delay::start(self.upstream.address)?;
        let is_wanted = |kind: &Kind| *kind != Kind::Direct && is_of_interest(scenario, *kind);
        for kind in targets.iter().map(|target| target.kind).filter(is_wanted) {
            let mut target = Target::start(kind, &self.programs, to_upstream.address)?;
            let to_client = Delay::start(target.address)?;
            target.address = to_client.address;
            for _ in 0..self.rounds {
                sessions::far(self.run(scenario, &mut target), &to_client, &to_upstream)
                    .with_context(|| format!("{} through {kind}", scenario.name))?;
            }
        }
        Ok(())
    }

    /// Each target has a new process, which remembers nothing of what others needed.
    fn idle(&mut self, scenario: &'static Scenario, targets: &[Target]) -> Result<()> {
        for kind in targets.iter().map(|target| target.kind).filter(|kind| *kind != Kind::Direct) {
            if kind == Kind::Go
                && matches!(scenario.sessions, Sessions::Open(MOST_OF_GO..))
                && scenario.sessions != Sessions::Open(MOST_OF_GO)
            {
                println!(
                    "NOT RUN: {} through {kind}: {MOST_OF_GO} sessions tell enough of it",
                    scenario.name
                );
                continue;
            }
            let (mut target, keeper) = (self.start(kind)?, self.keeper.clone());
            idle::measure(self.run(scenario, &mut target), &keeper)
                .with_context(|| format!("{} through {kind}", scenario.name))?;
        }
        Ok(())
    }
}

/// With faults, and in port-forwards, one relay is as good as another.
fn is_of_interest(scenario: &Scenario, kind: Kind) -> bool {
    let is_plain = scenario.faults.is_empty() && scenario.pairs == 0;
    is_plain || !matches!(kind, Kind::Copy | Kind::HaProxy)
}

fn is_demanded() -> bool {
    std::env::var_os("STRAIT_REQUIRE_PEERS").is_some_and(|value| value == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_carried_by_the_rig_or_by_the_engine_alone() {
        let cases = strait_bench::cases();
        for scenario in SCENARIOS {
            let is_engines = cases.iter().any(|case| case.name == format!("bridge/{}", scenario.name));
            assert!(Figure::of(scenario).is_some() || is_engines, "nobody runs {}", scenario.name);
        }
    }
}
