use std::fmt::Write as _;

use strait_scenarios::{Scenario, Sessions};

use super::chart::{Axis, Chart, Line, Point, Scale, escaped};
use super::crates;
use super::goals::{ENGINE, GOALS, INSTRUCTIONS};
use super::history::Entry;
use super::records::{Record, Records};

/// Targets in the order of their lines.
const TARGETS: [&str; 7] = ["strait", "go", "relay", "copy_bidirectional", "haproxy", "direct", "other"];

/// The script finds what the browser has really drawn; `cargo xtask report --check` reads it.
const SCRIPT: &str = "addEventListener('load', () => {
  for (const chart of document.querySelectorAll('figure')) {
    const lines = [...chart.querySelectorAll('.line')].map((line) => line.getBBox());
    const drawn = lines.filter((box) => box.width > 0 && box.height > 0).length;
    chart.dataset.drawn = `${drawn}/${lines.length}`;
  }
});";

const STYLE: &str = "body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
svg { width: 100%; font-size: 12px } .grid { stroke: #ccc; stroke-width: 0.5; fill: none }
.line { stroke-width: 1.5 } figure { margin: 2rem 0 } figcaption { font-weight: 600 }
table { border-collapse: collapse } td, th { border: 1px solid #ccc; padding: 0.2rem 0.5rem; text-align: left }";

/// All charts, empty ones too.
pub(crate) fn charts(records: &Records, history: &[Entry]) -> [Chart; 10] {
    let [receive, send] = crates::charts(records);
    [
        throughput(records, "throughput-stdin", "Throughput over frame size, stdin", "stdin/"),
        throughput(records, "throughput-stdout", "Throughput over frame size, stdout", "stdout/"),
        throughput(records, "throughput-up", "Throughput over frame size, port-forward, up", "tunnel/up/"),
        throughput(
            records,
            "throughput-down",
            "Throughput over frame size, port-forward, down",
            "tunnel/down/",
        ),
        latency(records),
        memory(records),
        instructions(records),
        receive,
        send,
        over_commits(history),
    ]
}

/// One page that needs nothing else.
pub(crate) fn page<'a>(charts: &[Chart], tables: impl IntoIterator<Item = &'a String>) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Strait's lab</title>\n<style>{STYLE}</style>\n\
         <h1>Strait's lab</h1>\n<p>What each figure means, and how to measure: <code>docs/LAB.md</code>.</p>\n{}",
        tables.into_iter().map(|table| html(table)).collect::<String>()
    );
    for chart in charts.iter().filter(|chart| !chart.is_empty()) {
        let caption = escaped(chart.title);
        let _ = writeln!(
            page,
            "<figure id=\"{}\"><figcaption>{caption}</figcaption>\n{}</figure>",
            chart.id,
            chart.svg()
        );
    }
    let _ = writeln!(page, "<script>{SCRIPT}</script>\n</html>");
    page
}

/// A Markdown table as HTML.
fn html(table: &str) -> String {
    let rows = table.lines().enumerate().filter(|(number, _)| *number != 1).map(|(number, row)| {
        let cell = if number == 0 { "th" } else { "td" };
        let cells = row.trim_matches('|').split('|').map(|text| {
            let text = escaped(text.trim().trim_matches('*'));
            format!("<{cell}>{text}</{cell}>")
        });
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    });
    format!("<table>\n{}</table>\n", rows.collect::<String>())
}

fn point(x: f64, record: &Record) -> Point {
    Point { x, y: record.value, low: record.low, high: record.high }
}

/// A line for each target, of the scenarios that `x` places.
fn lines<'a>(records: &'a Records, figure: &'a str, x: impl Fn(&Scenario) -> Option<f64>) -> Vec<Line> {
    let line = |target: &str| {
        let place = |record: &Record| Some(point(x(Scenario::find(&record.scenario)?)?, record));
        let own = records.of(figure).filter(|record| record.target == target);
        let mut points: Vec<_> = own.filter_map(place).collect();
        points.sort_by(|one, other| one.x.total_cmp(&other.x));
        Line { name: target.to_owned(), points }
    };
    TARGETS.into_iter().chain([ENGINE]).map(line).collect()
}

/// The size of a scenario's frames, if they all have the same.
#[expect(clippy::cast_precision_loss, reason = "kibibytes")]
fn size(scenario: &Scenario) -> Option<f64> {
    match scenario.sizes {
        [size] => Some(*size as f64),
        _ => None,
    }
}

pub(crate) const FRAME_SIZE: Axis = Axis { name: "bytes of payload in a frame", scale: Scale::Logarithmic };

fn throughput(records: &Records, id: &'static str, title: &'static str, prefix: &str) -> Chart {
    let x = |scenario: &Scenario| scenario.name.starts_with(prefix).then(|| size(scenario)).flatten();
    let y = Axis { name: "MB/s", scale: Scale::Logarithmic };
    Chart { id, title, x: FRAME_SIZE, y, lines: lines(records, "throughput", x) }
}

/// Quantiles, so that the right of the chart is about the slowest: each mark is ten times as rare.
fn latency(records: &Records) -> Chart {
    const NAME: &str = "round trip p";
    let place = |percent: f64| -(1.0 - percent / 100.0).log10();
    let marks = [10.0, 50.0, 90.0, 99.0, 99.9].map(|percent: f64| (place(percent), format!("p{percent}")));
    let line = |target: &str| {
        let quantiles = ["10", "25", "50", "75", "90", "95", "99", "99.9"];
        let points = quantiles.into_iter().filter_map(|percent| {
            let record = records.find("echo/keystroke", target, &format!("{NAME}{percent}"))?;
            Some(point(place(percent.parse().ok()?), record))
        });
        Line { name: target.to_owned(), points: points.collect() }
    };
    Chart {
        id: "latency",
        title: "Round trip of one byte, 1,000 times a second",
        x: Axis { name: "share of the messages that took no longer", scale: Scale::Marked(marks.into()) },
        y: Axis { name: "µs", scale: Scale::Logarithmic },
        lines: TARGETS.into_iter().map(line).collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn memory(records: &Records) -> Chart {
    let x = |scenario: &Scenario| match scenario.sessions {
        Sessions::Open(count) if scenario.frames == 0 => Some(count as f64),
        _ => None,
    };
    Chart {
        id: "memory",
        title: "User-space memory over idle sessions",
        x: Axis { name: "sessions", scale: Scale::Logarithmic },
        y: Axis { name: "bytes", scale: Scale::Logarithmic },
        lines: lines(records, "memory", x),
    }
}

fn instructions(records: &Records) -> Chart {
    let line = |(name, prefix): (&str, &str)| {
        let own = records.of(INSTRUCTIONS).filter(|record| record.target == ENGINE);
        let place = |record: &Record| {
            let name = record.scenario.strip_prefix("bridge/").filter(|name| name.starts_with(prefix))?;
            let scenario = Scenario::find(name)?;
            Some(point(size(scenario)?, record))
        };
        let mut points: Vec<_> = own.filter_map(place).collect();
        points.sort_by(|one, other| one.x.total_cmp(&other.x));
        Line { name: name.to_owned(), points }
    };
    let ways = [("WebSocket → SPDY", "stdin/"), ("SPDY → WebSocket", "stdout/")];
    Chart {
        id: "instructions",
        title: "Instructions of the engine for a frame",
        x: FRAME_SIZE,
        y: Axis { name: "instructions", scale: Scale::Logarithmic },
        lines: ways.into_iter().map(line).collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "some commits")]
fn over_commits(history: &[Entry]) -> Chart {
    // Names of more commits than this would stand on each other.
    let step = history.len().div_ceil(8).max(1);
    let marks = history.iter().enumerate().step_by(step);
    let marks = marks.map(|(number, entry)| (number as f64, entry.commit.clone())).collect();
    let line = |goal: &super::goals::Goal| {
        let key = goal.key();
        let measured = history.iter().enumerate().filter_map(|(number, entry)| {
            let y = goal.margin(*entry.figures.get(&key)?);
            Some(Point { x: number as f64, y, low: y, high: y })
        });
        Line { name: key.clone(), points: measured.collect() }
    };
    Chart {
        id: "history",
        title: "Goals over commits: how many times better than the goal",
        x: Axis { name: "commit", scale: Scale::Marked(marks) },
        y: Axis { name: "1 has reached it", scale: Scale::Logarithmic },
        lines: GOALS.iter().map(line).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_its_cells() {
        let table = html("| a | b |\n|---|---|\n| 1 < 2 | **no** |\n");
        assert_eq!(
            table,
            "<table>\n<tr><th>a</th><th>b</th></tr>\n<tr><td>1 &lt; 2</td><td>no</td></tr>\n</table>\n"
        );
    }

    #[test]
    fn charts_without_figures_are_left_out_of_the_page() {
        let page = page(&charts(&Records::default(), &[]), &["| a |\n|---|\n".to_owned()]);
        assert!(!page.contains("<figure"), "{page}");
    }
}
