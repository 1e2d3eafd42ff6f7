use std::fmt::Write as _;

use super::chart::short;
use super::records::{Record, Records};

/// A figure that was set as a goal, and how far it is from it.
#[derive(Debug)]
pub(crate) struct Goal {
    /// What stands in the table.
    name: &'static str,
    wanted: &'static str,
    scenario: &'static str,
    figure: &'static str,
    /// Whose figures are compared.
    target: &'static str,
    bound: Bound,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtLeast(f64, Against),
    AtMost(f64, Against),
}

#[derive(Debug, Clone, Copy)]
enum Against {
    /// The number itself.
    Nothing,
    /// Its ratio to that of this target.
    Target(&'static str),
}

use Against::{Nothing, Target};
use Bound::{AtLeast, AtMost};

const RELAY: Against = Target("relay");
const GO: Against = Target("go");

/// All goals of the gateway, in the table's order.
pub(crate) const GOALS: [Goal; 19] = [
    goal(
        "throughput, stdin, 32 KiB frames",
        "≥ 0.95 of the relay",
        ["stdin/32KiB", "throughput"],
        AtLeast(0.95, RELAY),
    ),
    goal(
        "throughput, stdout, 32 KiB frames",
        "≥ 0.95 of the relay",
        ["stdout/32KiB", "throughput"],
        AtLeast(0.95, RELAY),
    ),
    goal("CPU, stdin, 32 KiB frames", "≤ 1.15 of the relay", ["stdin/32KiB", "CPU"], AtMost(1.15, RELAY)),
    goal("", "≤ 1/8 of Go", ["stdin/32KiB", "CPU"], AtMost(0.125, GO)),
    goal("CPU, stdout, 32 KiB frames", "≤ 1.15 of the relay", ["stdout/32KiB", "CPU"], AtMost(1.15, RELAY)),
    goal("", "≤ 1/4 of Go", ["stdout/32KiB", "CPU"], AtMost(0.25, GO)),
    goal("80-byte messages, stdin", "≥ 20 of Go", ["stdin/log_line", "messages"], AtLeast(20.0, GO)),
    goal("80-byte messages, stdout", "≥ 20 of Go", ["stdout/log_line", "messages"], AtLeast(20.0, GO)),
    goal(
        "round trip p50, one byte",
        "≤ 1.1 of the relay",
        ["echo/keystroke", "round trip p50"],
        AtMost(1.1, RELAY),
    ),
    goal(
        "CPU of a session's set-up and end",
        "≤ 1/20 of Go",
        ["session/short", "CPU per session"],
        AtMost(0.05, GO),
    ),
    // What TCP needs for itself is not in it. They are whole ones: what is beyond them is for whoever is late.
    goal(
        "set-up: round trips to upstream",
        "2: the upgrade, and one behind its 101",
        ["session/far", "round trips to upstream"],
        AtMost(2.5, Nothing),
    ),
    goal(
        "user-space memory of an idle session",
        "≤ 4 KiB",
        ["idle/1000", "memory per session"],
        AtMost(4096.0, Nothing),
    ),
    goal(
        "10,000 idle sessions' heartbeats",
        "≤ 2 % of a core",
        ["idle/10000", "heartbeats"],
        AtMost(2.0, Nothing),
    ),
    goal(
        "allocations after set-up, stdin",
        "0",
        ["stdin/32KiB", "allocations after set-up"],
        AtMost(0.0, Nothing),
    ),
    goal(
        "allocations after set-up, stdout",
        "0",
        ["stdout/32KiB", "allocations after set-up"],
        AtMost(0.0, Nothing),
    ),
    engine(
        "SPDY → WebSocket in the engine, 80 B",
        "≤ 150 instructions a frame",
        "bridge/stdout/log_line",
        150.0,
    ),
    engine(
        "SPDY → WebSocket in the engine, 32 KiB",
        "≤ 150 instructions a frame",
        "bridge/stdout/32KiB",
        150.0,
    ),
    // 200 a frame and 0.15 for each of 32,768 bytes. Nearly every x86-64 has AVX2.
    engine(
        "WebSocket → SPDY in the engine, 32 KiB, AVX2",
        "≤ 200 instructions a frame + 0.15 a byte",
        "avx2/bridge/stdin/32KiB",
        5115.0,
    ),
    engine(
        "WebSocket → SPDY in the engine, 32 KiB, any x86-64",
        "≤ 200 instructions a frame + 0.15 a byte",
        "bridge/stdin/32KiB",
        5115.0,
    ),
];

/// Instructions of one frame, as the engine's benchmarks tell them.
pub(crate) const INSTRUCTIONS: &str = "instructions a frame";
/// Whose they are.
pub(crate) const ENGINE: &str = "engine";

const fn goal(
    name: &'static str,
    wanted: &'static str,
    [scenario, figure]: [&'static str; 2],
    bound: Bound,
) -> Goal {
    Goal { name, wanted, scenario, figure, target: "strait", bound }
}

const fn engine(name: &'static str, wanted: &'static str, scenario: &'static str, most: f64) -> Goal {
    Goal { name, wanted, scenario, figure: INSTRUCTIONS, target: ENGINE, bound: AtMost(most, Nothing) }
}

impl Goal {
    /// Names the goal in the history.
    pub(crate) fn key(&self) -> String {
        let against = match self.bound {
            AtLeast(_, Target(target)) | AtMost(_, Target(target)) => format!(" / {target}"),
            AtLeast(_, Nothing) | AtMost(_, Nothing) => String::new(),
        };
        format!("{} {}{against}", self.scenario, self.figure)
    }

    /// The number or the ratio that is compared, if there is one.
    pub(crate) fn measured(&self, records: &Records) -> Option<f64> {
        let own = self.record(records, self.target)?.value;
        let (AtLeast(_, against) | AtMost(_, against)) = self.bound;
        match against {
            Nothing => Some(own),
            Target(target) => Some(own / self.record(records, target)?.value),
        }
    }

    /// How many times better than the goal `measured` is; 1 has reached it. A goal of nothing is reached or not.
    pub(crate) fn margin(&self, measured: f64) -> f64 {
        match self.bound {
            AtLeast(bound, _) => measured / bound,
            AtMost(0.0, _) => f64::from(u8::from(measured <= 0.0)),
            AtMost(bound, _) => bound / measured,
        }
    }

    fn record<'a>(&self, records: &'a Records, target: &str) -> Option<&'a Record> {
        records.find(self.scenario, target, self.figure)
    }

    fn row(&self, records: &Records) -> String {
        let (AtLeast(_, against) | AtMost(_, against)) = self.bound;
        let own = self.record(records, self.target);
        let cell = |target: &str| {
            let Some(record) = self.record(records, target) else { return "–".to_owned() };
            let Record { value, unit, .. } = record;
            let unit = if unit.is_empty() { "" } else { &format!(" {unit}") };
            // Where it is what is compared, how many times Strait's figure is of it.
            match (against, own) {
                (Target(other), Some(own)) if other == target => {
                    let [low, high] = [own.low / record.high, own.high / record.low].map(short);
                    let ratio = short(own.value / value);
                    format!("{}{unit}, Strait {ratio} of it ({low} to {high})", short(*value))
                }
                _ => format!("{}{unit}", short(*value)),
            }
        };
        let reached = match self.measured(records) {
            None => "not measured",
            Some(measured) if self.margin(measured) >= 1.0 => "yes",
            Some(_) => "**no**",
        };
        let Self { name, wanted, target, .. } = self;
        format!("| {name} | {wanted} | {} | {} | {} | {reached} |", cell(target), cell("go"), cell("relay"))
    }
}

/// The table of all goals, in Markdown.
pub(crate) fn table(records: &Records) -> String {
    let mut table =
        String::from("| figure | goal | Strait | Go | relay | reached |\n|---|---|---|---|---|---|\n");
    for goal in &GOALS {
        let _ = writeln!(table, "{}", goal.row(records));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(target: &str, value: f64) -> Record {
        let [scenario, target, figure, unit] = ["stdin/32KiB", target, "CPU", "s/GB"].map(String::from);
        Record { scenario, target, figure, unit, value, low: value * 0.9, high: value * 1.1 }
    }

    #[test]
    fn a_goal_is_reached_by_the_ratio_to_what_it_names() {
        let records =
            |strait| Records::from(vec![record("strait", strait), record("relay", 0.4), record("go", 4.0)]);
        let reached =
            |strait, row: usize| GOALS[row].row(&records(strait)).rsplit('|').nth(1).map(String::from);
        assert_eq!(reached(0.45, 2).as_deref(), Some(" yes "));
        assert_eq!(reached(0.47, 2).as_deref(), Some(" **no** "));
        assert_eq!(reached(0.47, 3).as_deref(), Some(" yes "));
        assert_eq!(reached(0.51, 3).as_deref(), Some(" **no** "));
        assert_eq!(GOALS[2].row(&Records::default()).rsplit('|').nth(1), Some(" not measured "));
    }

    #[test]
    fn goals_have_keys_of_their_own() {
        let mut keys: Vec<_> = GOALS.iter().map(Goal::key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), GOALS.len());
    }
}
