use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// One figure of one run: what [`Record::store`] writes, and reports and gates read.
///
/// As text it is one line of JSON. `low` and `high` are the ends of an interval round the value, and the value itself where
/// every sample is the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Name of a scenario, or of what else was run.
    pub scenario: String,
    /// What ran it: `engine`, a peer, a gateway.
    pub target: String,
    /// What was measured.
    pub figure: String,
    /// In what.
    pub unit: String,
    /// The median, or the count.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// How often it was measured.
    pub samples: usize,
}

/// Where results lie, below the folder that cargo builds in.
const FOLDER: &str = "lab";

impl Record {
    /// A figure that is the same in every run.
    pub fn exact(scenario: &str, target: &str, figure: &str, unit: &str, value: f64) -> Self {
        Self {
            scenario: scenario.to_owned(),
            target: target.to_owned(),
            figure: figure.to_owned(),
            unit: unit.to_owned(),
            value,
            low: value,
            high: value,
            samples: 1,
        }
    }

    /// A figure that varies: the median of `samples` with the quartiles round it. `None` without samples.
    pub fn measured(
        scenario: &str,
        target: &str,
        figure: &str,
        unit: &str,
        mut samples: Vec<f64>,
    ) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        // Between two samples it is as far from one as from the other.
        let at = |quarter: usize| {
            let place = samples.len().checked_sub(1)? * quarter;
            let below = samples.get(place / 4)?;
            let above = samples.get(place.div_ceil(4))?;
            Some(f64::midpoint(*below, *above))
        };
        let (low, value, high) = (at(1)?, at(2)?, at(3)?);
        let exact = Self::exact(scenario, target, figure, unit, value);
        Some(Self { low, high, samples: samples.len(), ..exact })
    }

    /// Writes `records` to `NAME.jsonl` in the folder of results, in place of what was there, and tells where that is.
    pub fn store(name: &str, records: &[Self]) -> io::Result<PathBuf> {
        // Cargo runs benchmarks in the folder of their package.
        let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| workspace.into());
        let folder = Path::new(&target).join(FOLDER);
        fs::create_dir_all(&folder)?;
        let path = folder.join(name).with_extension("jsonl");
        let mut file = File::create(&path)?;
        for record in records {
            writeln!(file, "{record}")?;
        }
        Ok(path)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, target, figure, unit, value, low, high, samples } = self;
        let [scenario, target, figure, unit] = [scenario, target, figure, unit].map(|text| Text(text));
        write!(f, r#"{{"scenario":{scenario},"target":{target},"figure":{figure},"unit":{unit},"#)?;
        write!(f, r#""value":{value},"low":{low},"high":{high},"samples":{samples}}}"#)
    }
}

/// A JSON string.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                '\0'..' ' => write!(f, "\\u{:04x}", u32::from(character))?,
                _ => write!(f, "{character}")?,
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_line_of_json() {
        let mut record = Record::exact("stdin/1KiB", "a \"peer\"", "time", "\n", 2.5);
        record.samples = 3;
        assert_eq!(
            record.to_string(),
            r#"{"scenario":"stdin/1KiB","target":"a \"peer\"","figure":"time","unit":"\u000a","value":2.5,"low":2.5,"high":2.5,"samples":3}"#
        );
    }

    #[test]
    fn samples_are_told_as_median_and_quartiles() {
        let samples = (0..=100).rev().map(f64::from).collect();
        let record = Record::measured("", "", "", "", samples).expect("there are samples");
        assert_eq!((record.low, record.value, record.high, record.samples), (25.0, 50.0, 75.0, 101));
        let record = Record::measured("", "", "", "", vec![4.0, 2.0]).expect("there are samples");
        assert_eq!((record.low, record.value, record.high), (3.0, 3.0, 3.0), "neither is the median");
        assert_eq!(Record::measured("", "", "", "", vec![]), None);
    }
}
