use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Everything that was measured last, of all rigs: the lines of `target/lab/*.jsonl`.
#[derive(Debug, Default)]
pub(crate) struct Records(Vec<Record>);

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) scenario: String,
    pub(crate) target: String,
    pub(crate) figure: String,
    pub(crate) unit: String,
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Records {
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .with_context(|| format!("nothing was measured: no {}", folder.display()))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        // The same report from the same figures.
        files.sort();
        let mut records = Vec::new();
        for path in files {
            for line in fs::read_to_string(&path)?.lines() {
                records.push(Record::parse(line).with_context(|| format!("{}: {line}", path.display()))?);
            }
        }
        Ok(Self(records))
    }

    pub(crate) fn find(&self, scenario: &str, target: &str, figure: &str) -> Option<&Record> {
        self.0
            .iter()
            .find(|record| record.scenario == scenario && record.target == target && record.figure == figure)
    }

    /// Those with this figure.
    pub(crate) fn of<'a>(&'a self, figure: &'a str) -> impl Iterator<Item = &'a Record> {
        self.0.iter().filter(move |record| record.figure == figure)
    }
}

impl Record {
    fn parse(line: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(line)?;
        let text = |name: &str| value[name].as_str().map(String::from).with_context(|| format!("no {name}"));
        let number = |name: &str| value[name].as_f64().with_context(|| format!("no {name}"));
        Ok(Self {
            scenario: text("scenario")?,
            target: text("target")?,
            figure: text("figure")?,
            unit: text("unit")?,
            value: number("value")?,
            low: number("low")?,
            high: number("high")?,
        })
    }
}

#[cfg(test)]
impl From<Vec<Record>> for Records {
    fn from(records: Vec<Record>) -> Self {
        Self(records)
    }
}
