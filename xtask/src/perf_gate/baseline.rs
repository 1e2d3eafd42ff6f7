use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail};

use super::measure::Figure;

/// What figures have to be, one a line:
///
/// ```text
/// compiler rustc 1.95.0 (59807616e 2026-04-14)
/// count        143.1 instructions a frame | engine | ws/receive/80
/// exact            0 allocations | gateway | stdin/32KiB
/// cliff         1.04 time / limit/xor/1024 | engine | mask/1024
/// ```
#[derive(Debug, Default)]
pub(super) struct Baseline {
    /// Of what compiler the counts are; empty if that does not matter.
    pub(super) compiler: String,
    figures: BTreeMap<String, (Rule, f64)>,
}

/// How much a figure may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Instructions: one percent is told, two percent is a failure, in either direction.
    Count,
    /// Not at all.
    Exact,
    /// A ratio of times, which varies by two from run to run: no more than three times as much.
    Cliff,
}

/// Below this a count may change by so much, whatever its percentage: memory may lie otherwise on another machine.
const SLACK: f64 = 0.5;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    Same,
    /// Beyond the soft limit.
    Told {
        from: f64,
        to: f64,
    },
    /// Beyond the hard one.
    Changed {
        from: f64,
        to: f64,
    },
    /// It was not measured.
    Missing,
    /// It is not in the baseline.
    New(f64),
    NotCompared,
}

impl Rule {
    /// What figures of this unit are held to; `None` if they are not.
    fn of_unit(unit: &str) -> Option<Self> {
        match unit {
            "instructions" => Some(Self::Count),
            "ratio" => Some(Self::Cliff),
            "allocations" | "calls" => Some(Self::Exact),
            _ => None,
        }
    }

    fn judge(self, from: f64, to: f64) -> Verdict {
        let changed = (to - from).abs();
        let (soft, hard) = match self {
            Self::Count => ((from * 0.01).max(SLACK), (from * 0.02).max(SLACK)),
            Self::Exact => (0.0, 0.0),
            Self::Cliff if to < from => return Verdict::Same,
            Self::Cliff => (from, 2.0 * from),
        };
        if changed > hard {
            Verdict::Changed { from, to }
        } else if changed > soft {
            Verdict::Told { from, to }
        } else {
            Verdict::Same
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Exact => "exact",
            Self::Cliff => "cliff",
        }
    }
}

impl Verdict {
    pub(super) const fn is_failure(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Missing | Self::New(_))
    }
}

impl Baseline {
    /// The baseline that these figures fit.
    pub(super) fn of(compiler: &str, figures: &[Figure]) -> Self {
        let rule =
            |figure: &Figure| Some((figure.name.clone(), (Rule::of_unit(&figure.unit)?, figure.value)));
        Self { compiler: compiler.to_owned(), figures: figures.iter().filter_map(rule).collect() }
    }

    /// Of one scenario alone, and of one rule.
    pub(super) fn only(mut self, rule: Rule, scenario: &str) -> Self {
        self.figures.retain(|name, (own, _)| *own == rule && name.ends_with(&format!("| {scenario}")));
        self
    }

    /// Without `counts`, counts are not compared.
    pub(super) fn compare(&self, figures: &[Figure], counts: bool) -> Vec<(String, Verdict)> {
        let mut measured: BTreeMap<&str, &Figure> =
            figures.iter().map(|figure| (&*figure.name, figure)).collect();
        let mut verdicts = vec![];
        for (name, &(rule, from)) in &self.figures {
            let verdict = match measured.remove(&**name) {
                None => Verdict::Missing,
                Some(_) if rule == Rule::Count && !counts => Verdict::NotCompared,
                Some(figure) => rule.judge(from, figure.value),
            };
            verdicts.push((name.clone(), verdict));
        }
        let new = measured.into_values().filter(|figure| Rule::of_unit(&figure.unit).is_some());
        verdicts.extend(new.map(|figure| (figure.name.clone(), Verdict::New(figure.value))));
        verdicts
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.compiler.is_empty() {
            writeln!(f, "compiler {}", self.compiler)?;
        }
        for (name, (rule, value)) in &self.figures {
            let decimals = match rule {
                Rule::Count => 1,
                Rule::Exact => 0,
                Rule::Cliff => 2,
            };
            writeln!(f, "{} {value:>12.decimals$} {name}", rule.name())?;
        }
        Ok(())
    }
}

impl FromStr for Baseline {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut baseline = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').with_context(|| line.to_owned())?;
            let rule = match word {
                "compiler" => {
                    rest.clone_into(&mut baseline.compiler);
                    continue;
                }
                "count" => Rule::Count,
                "exact" => Rule::Exact,
                "cliff" => Rule::Cliff,
                _ => bail!("{line}: {word} is no rule"),
            };
            let (value, name) = rest.trim_start().split_once(' ').with_context(|| line.to_owned())?;
            let value = value.parse().with_context(|| line.to_owned())?;
            baseline.figures.insert(name.to_owned(), (rule, value));
        }
        Ok(baseline)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("as it was"),
            Self::Told { from, to } => {
                write!(f, "changed  {from:>10.2} -> {to:>10.2}, {}", Percent(*from, *to))
            }
            Self::Changed { from, to } => {
                write!(f, "FAILED   {from:>10.2} -> {to:>10.2}, {}", Percent(*from, *to))
            }
            Self::Missing => f.write_str("FAILED   not measured"),
            Self::New(value) => write!(f, "FAILED   not in the baseline, now {value:.2}"),
            Self::NotCompared => f.write_str("not compared"),
        }
    }
}

/// How much more it is.
struct Percent(f64, f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0.0 {
            f.write_str("from none")
        } else {
            write!(f, "{:+.1} %", (self.1 / self.0 - 1.0) * 100.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, unit: &str, value: f64) -> Figure {
        Figure { name: name.to_owned(), unit: unit.to_owned(), value }
    }

    fn verdict(unit: &str, from: f64, to: f64) -> Verdict {
        let baseline = Baseline::of("", &[figure("it", unit, from)]);
        baseline.compare(&[figure("it", unit, to)], true)[0].1
    }

    #[test]
    fn one_percent_of_instructions_is_told_and_two_are_a_failure_in_either_direction() {
        for (to, told, failed) in [
            (100.9, false, false),
            (101.5, true, false),
            (102.1, false, true),
            (98.5, true, false),
            (97.0, false, true),
        ] {
            let verdict = verdict("instructions", 100.0, to);
            assert_eq!(matches!(verdict, Verdict::Told { .. }), told, "{to}");
            assert_eq!(verdict.is_failure(), failed, "{to}");
        }
        assert_eq!(verdict("instructions", 10.0, 10.4), Verdict::Same, "half an instruction is none");
        assert!(verdict("instructions", 10.0, 11.0).is_failure());
    }

    #[test]
    fn an_exact_figure_may_not_change_at_all() {
        assert_eq!(verdict("allocations", 0.0, 0.0), Verdict::Same);
        assert!(verdict("allocations", 0.0, 1.0).is_failure());
        assert!(verdict("calls", 17.0, 16.0).is_failure(), "better is to be committed as well");
    }

    #[test]
    fn a_figure_that_was_nothing_is_told_without_a_percentage() {
        assert_eq!(
            verdict("allocations", 0.0, 32.0).to_string(),
            "FAILED         0.00 ->      32.00, from none"
        );
        assert_eq!(verdict("calls", 96.0, 128.0).to_string(), "FAILED        96.00 ->     128.00, +33.3 %");
    }

    #[test]
    fn a_part_of_it_is_of_one_rule_and_one_scenario() {
        let figures = [
            figure("instructions a frame | engine | one", "instructions", 1.0),
            figure("allocations | gateway | one", "allocations", 0.0),
            figure("allocations | gateway | stand/one", "allocations", 0.0),
        ];
        let part = Baseline::of("", &figures).only(Rule::Exact, "one");
        assert_eq!(part.to_string(), "exact            0 allocations | gateway | one\n");
    }

    #[test]
    fn a_ratio_of_times_may_triple_and_become_as_small_as_it_likes() {
        for (to, failed) in [(0.1, false), (2.9, false), (3.1, true)] {
            assert_eq!(verdict("ratio", 1.0, to).is_failure(), failed, "{to}");
        }
    }

    #[test]
    fn what_is_measured_and_what_is_committed_have_to_be_the_same_figures() {
        let baseline = Baseline::of("", &[figure("old", "instructions", 1.0)]);
        let verdicts =
            baseline.compare(&[figure("new", "instructions", 2.0), figure("time", "s", 3.0)], true);
        assert_eq!(verdicts, [("old".to_owned(), Verdict::Missing), ("new".to_owned(), Verdict::New(2.0))]);
        assert!(verdicts.iter().all(|(_, verdict)| verdict.is_failure()));
    }

    #[test]
    fn counts_of_another_compiler_are_not_compared_and_all_else_is() {
        let before = [figure("count", "instructions", 1.0), figure("exact", "calls", 1.0)];
        let after = [figure("count", "instructions", 9.0), figure("exact", "calls", 9.0)];
        let verdicts = Baseline::of("", &before).compare(&after, false);
        assert_eq!(verdicts[0].1, Verdict::NotCompared);
        assert!(verdicts[1].1.is_failure());
    }

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        let figures = [
            figure("a | b | c", "instructions", 143.1),
            figure("d", "calls", 7.0),
            figure("e / f", "ratio", 1.25),
            figure("time", "s", 3.0),
        ];
        let text = Baseline::of("rustc 1.95.0", &figures).to_string();
        assert_eq!(
            text,
            "compiler rustc 1.95.0\ncount        143.1 a | b | c\nexact            7 d\ncliff         1.25 e / f\n"
        );
        let read: Baseline = text.parse().unwrap();
        assert_eq!(read.to_string(), text);
        assert!(format!("# why\n\n{text}").parse::<Baseline>().is_ok());
        for bad in ["count", "count x", "count x y", "often 1 x"] {
            assert!(bad.parse::<Baseline>().is_err(), "{bad}");
        }
    }
}
