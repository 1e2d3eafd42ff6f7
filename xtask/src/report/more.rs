use std::fmt::Write as _;

use super::chart::short;
use super::records::Records;

/// Of whom there are figures.
const TARGETS: [&str; 4] = ["strait", "go", "relay", "direct"];

/// What no goal was set for, in the table's order: its name, its scenario and its figure.
const ROWS: [(&str, &str, &str); 16] = [
    ("port-forward up, 32 KiB frames: CPU", "tunnel/up/32KiB", "CPU"),
    ("port-forward down, 32 KiB frames: CPU", "tunnel/down/32KiB", "CPU"),
    ("port-forward up, 1 KiB frames: CPU", "tunnel/up/1KiB", "CPU"),
    ("port-forward down, 1 KiB frames: CPU", "tunnel/down/1KiB", "CPU"),
    ("16 connections forwarded at once, 4 KiB both ways: CPU", "tunnel/pairs/4KiB", "CPU"),
    ("the same: throughput", "tunnel/pairs/4KiB", "throughput"),
    ("set-up: round trips to the client", "session/far", "round trips to the client"),
    ("an upstream that stalls, stdin, 32 KiB frames: CPU", "stalls/stdin/32KiB", "CPU"),
    ("a client that stalls, stdout, 32 KiB frames: CPU", "stalls/stdout/32KiB", "CPU"),
    ("client lost behind a line: CPU per session", "lost/line", "CPU per session"),
    ("the same: until upstream knows, p50", "lost/line", "time to know p50"),
    ("client lost in the middle of stdin: CPU per session", "lost/stdin/32KiB", "CPU per session"),
    ("the same: upstream is told of it", "lost/stdin/32KiB", "told of a failure"),
    (
        "upstream lost in the middle of stdout: until the client knows, p50",
        "lost/stdout/32KiB",
        "time to know p50",
    ),
    ("the same: the client is told of a failure", "lost/stdout/32KiB", "told of a failure"),
    ("the same: the client is told of a success", "lost/stdout/32KiB", "told of a success"),
];

/// The table of all of them, in Markdown.
pub(crate) fn table(records: &Records) -> String {
    let mut table = String::from("| figure | Strait | Go | relay | nothing |\n|---|---|---|---|---|\n");
    for (name, scenario, figure) in ROWS {
        let cells = TARGETS.map(|target| {
            let record = records.find(scenario, target, figure);
            record.map_or("–".into(), |record| {
                format!("{} {}", short(record.value), record.unit).trim().to_owned()
            })
        });
        let _ = writeln!(table, "| {name} | {} |", cells.join(" | "));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use strait_scenarios::Scenario;

    #[test]
    fn rows_are_about_scenarios_that_there_are() {
        for (name, scenario, _) in ROWS {
            assert!(Scenario::find(scenario).is_some(), "{name}: {scenario}");
        }
        assert_eq!(table(&Records::default()).lines().count(), ROWS.len() + 2);
    }
}
