use std::fmt::Write as _;

use strait_bench::SIZES;

use super::chart::{Axis, Chart, Line, Point, Scale};
use super::goals::INSTRUCTIONS;
use super::page::FRAME_SIZE;
use super::records::Records;

/// Who frames and unmasks: ours first.
const CRATES: [&str; 7] = [
    "strait",
    "tungstenite",
    "fastwebsockets",
    "tokio-websockets",
    "ws-framer",
    "edge-ws",
    "embedded-websocket",
];
/// What memory allows.
const LIMITS: [&str; 2] = ["memcpy", "xor"];
/// Who inflates.
const INFLATERS: [&str; 3] = ["strait", "miniz_oxide", "flate2 with zlib-rs"];

/// What they do, and the scenarios' prefix.
const WAYS: [(&str, &str); 2] = [("receive, masked", "ws/receive"), ("send, masked", "ws/send_masked")];

/// Instructions of the engine and of other crates for a frame, in Markdown: a table for each way, and one for header blocks. Nothing
/// if none were counted.
pub(crate) fn tables(records: &Records) -> Vec<String> {
    let ways = WAYS.into_iter().map(|(name, prefix)| frames(records, name, prefix));
    ways.chain([inflating(records)]).flatten().collect()
}

fn frames(records: &Records, name: &str, prefix: &str) -> Option<String> {
    let mut table = format!("| {name} | {} | {} | |\n", CRATES.join(" | "), LIMITS.join(" | "));
    let _ = writeln!(table, "|{}", "---|".repeat(CRATES.len() + LIMITS.len() + 2));
    let mut is_empty = true;
    for size in SIZES {
        let counts = CRATES.map(|target| count(records, &format!("{prefix}/{size}"), target));
        let limits = LIMITS.map(|target| count(records, &format!("limit/{size}"), target));
        is_empty &= counts.iter().all(Option::is_none);
        let fewest = counts[1..].iter().flatten().copied().reduce(f64::min);
        let ratio =
            counts[0].zip(fewest).map_or("–".into(), |(own, fewest)| format!("{:.1}", fewest / own));
        let cells: Vec<_> = counts.into_iter().chain(limits).map(cell).collect();
        let _ = writeln!(table, "| {} | {} | {ratio} |", bytes(size), cells.join(" | "));
    }
    (!is_empty).then_some(table)
}

fn inflating(records: &Records) -> Option<String> {
    let counts = INFLATERS.map(|target| count(records, "spdy/headers/inflate", target));
    counts.iter().any(Option::is_some).then(|| {
        let [names, line, cells] =
            [INFLATERS.join(" | "), "---|".repeat(INFLATERS.len() + 1), counts.map(cell).join(" | ")];
        format!("| header block | {names} |\n|{line}\n| of a port-forward | {cells} |\n")
    })
}

fn count(records: &Records, scenario: &str, target: &str) -> Option<f64> {
    records.find(scenario, target, INSTRUCTIONS).map(|record| record.value)
}

fn cell(count: Option<f64>) -> String {
    count.map_or("–".into(), |count| format!("{count:.0}"))
}

fn bytes(size: usize) -> String {
    if size < 1024 { format!("{size} B") } else { format!("{} KiB", size / 1024) }
}

/// The same as charts.
pub(crate) fn charts(records: &Records) -> [Chart; 2] {
    [
        chart(records, "crates-receive", "Instructions for a masked frame that is received", WAYS[0].1),
        chart(records, "crates-send", "Instructions for a masked frame that is sent", WAYS[1].1),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "kibibytes")]
fn chart(records: &Records, id: &'static str, title: &'static str, prefix: &str) -> Chart {
    let line = |name: &str, prefix: &str| {
        let place = |size: usize| {
            let y = count(records, &format!("{prefix}/{size}"), name)?;
            Some(Point { x: size as f64, y, low: y, high: y })
        };
        Line { name: name.to_owned(), points: SIZES.into_iter().filter_map(place).collect() }
    };
    let lines = CRATES.map(|name| line(name, prefix)).into_iter().chain([line("xor", "limit")]);
    Chart {
        id,
        title,
        x: FRAME_SIZE,
        y: Axis { name: "instructions", scale: Scale::Logarithmic },
        lines: lines.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::records::Record;

    fn record(scenario: &str, target: &str, value: f64) -> Record {
        let [scenario, target, figure, unit] =
            [scenario, target, INSTRUCTIONS, "instructions"].map(String::from);
        Record { scenario, target, figure, unit, value, low: value, high: value }
    }

    #[test]
    fn crates_stand_beside_ours_with_the_least_of_theirs_to_ours_behind() {
        let records = Records::from(vec![
            record("ws/receive/80", "strait", 100.0),
            record("ws/receive/80", "edge-ws", 450.4),
            record("ws/receive/80", "tungstenite", 800.0),
            record("limit/80", "xor", 20.0),
        ]);
        let tables = tables(&records);
        assert_eq!(tables.len(), 1, "what was not counted is left out");
        assert!(
            tables[0].contains("\n| 80 B | 100 | 800 | – | – | – | 450 | – | – | 20 | 4.5 |\n"),
            "{}",
            tables[0]
        );
        assert_eq!(charts(&records)[0].lines.iter().filter(|line| !line.points.is_empty()).count(), 4);
    }

    #[test]
    fn nothing_was_counted() {
        assert!(tables(&Records::default()).is_empty());
        assert!(charts(&Records::default()).iter().all(Chart::is_empty));
    }
}
