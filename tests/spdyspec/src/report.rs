use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::profile::{PROFILES, Profile};
use crate::run::{Outcome, Verdict, cases};

/// Headings of the sections.
const SECTIONS: &[(&str, &str)] = &[
    ("1", "Upgrade to SPDY"),
    ("2", "Frames"),
    ("3", "Streams"),
    ("4", "Header blocks"),
    ("5", "PING, GOAWAY and the end of a connection"),
    ("6", "RemoteCommand over SPDY"),
    ("7", "Port-forward over SPDY"),
    ("8", "RemoteCommand over WebSocket"),
    ("9", "RemoteCommand over WebSocket, v5"),
    ("10", "WebSocket"),
    ("11", "Port-forward as SPDY in a WebSocket"),
    ("12", "Port-forward over channels of a WebSocket"),
    ("13", "A client's upgrade to SPDY"),
    ("14", "A client's SPDY"),
    ("15", "A client's RemoteCommand over SPDY"),
    ("16", "A client's RemoteCommand over WebSocket"),
];

/// What came of a run.
#[derive(Debug)]
pub struct Report<'a> {
    /// Who was looked at.
    pub target: &'a str,
    /// What was known of it.
    pub profile: &'static Profile,
    /// Case by case.
    pub outcomes: &'a [Outcome],
}

impl Report<'_> {
    /// How many outcomes are so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.verdict == verdict).count()
    }

    /// What to think of the whole, in a few lines: sections, and all that does not conform.
    pub fn table(&self) -> String {
        let mut text = format!("\n{:<52} conform  known  unexpected  not run\n", self.target);
        for (section, heading) in SECTIONS {
            let of: Vec<_> =
                self.outcomes.iter().filter(|outcome| outcome.case.section() == *section).collect();
            if of.is_empty() {
                continue;
            }
            let count = |verdict| of.iter().filter(|outcome| outcome.verdict == verdict).count();
            let (conform, known) = (count(Verdict::Conforms), count(Verdict::Known));
            let (unexpected, not_run) = (count(Verdict::Unexpected), count(Verdict::NotRun));
            let _ = writeln!(
                text,
                "{section:>3} {heading:<48} {conform:>7}  {known:>5}  {unexpected:>10}  {not_run:>7}"
            );
        }
        text
    }

    /// All of it, for programs.
    pub fn json(&self) -> Value {
        let cases: BTreeMap<_, _> = self
            .outcomes
            .iter()
            .map(|outcome| {
                let verdict = match outcome.verdict {
                    Verdict::Conforms => "conforms",
                    Verdict::Known => "known",
                    Verdict::Unexpected => "unexpected",
                    Verdict::NotRun => "not run",
                };
                let value = json!({
                    "title": outcome.case.title, "source": outcome.case.source, "conforming": outcome.case.conforms,
                    "seen": outcome.seen, "verdict": verdict, "milliseconds": outcome.time.as_millis() as u64,
                });
                (outcome.case.number, value)
            })
            .collect();
        json!({"target": self.target, "profile": self.profile.name, "cases": cases})
    }
}

/// The list of all cases and profiles, in Markdown.
pub fn list() -> String {
    let mut text = String::new();
    for (section, heading) in SECTIONS {
        let _ = write!(
            text,
            "### {section} {heading}\n\n| | expected | seen if it conforms | source |\n|---|---|---|---|\n"
        );
        for case in cases().filter(|case| case.section() == *section) {
            let seen = case.conforms.join("`, or `");
            let _ = writeln!(text, "| {} | {} | `{seen}` | {} |", case.number, case.title, case.source);
        }
        text.push('\n');
    }
    text.push_str("### Profiles\n\n");
    for profile in PROFILES {
        let _ = writeln!(text, "* `{}`: {}.", profile.name, profile.about);
    }
    for profile in PROFILES.iter().filter(|profile| !profile.deviations.is_empty()) {
        let _ = write!(text, "\n#### {}\n\n| case | seen | why |\n|---|---|---|\n", profile.name);
        for deviation in profile.deviations {
            let _ = writeln!(
                text,
                "| {} | `{}` | {} |",
                deviation.case,
                deviation.seen.join("`, or `"),
                deviation.why
            );
        }
    }
    text
}
