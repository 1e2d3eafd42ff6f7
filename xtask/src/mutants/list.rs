use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::run::command;

/// One small breakage of the engine, as cargo-mutants names it.
#[derive(Debug)]
pub(crate) struct Mutant {
    /// Its number among all of the engine.
    pub(crate) number: usize,
    pub(crate) file: String,
    /// File, line, column and what is done.
    pub(crate) name: String,
    /// File and what is done, which stays the same when lines are added elsewhere.
    pub(crate) key: String,
    pub(crate) genre: Genre,
    /// What stands for the original.
    pub(crate) replacement: String,
    /// Line and column, from 1.
    pub(crate) start: (usize, usize),
}

/// What is done to the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

/// All mutants of the engine.
pub(crate) fn all() -> Result<Vec<Mutant>> {
    let listed = command("cargo").args(["mutants", "--package", "strait", "--list", "--json"]).output();
    let listed = listed
        .context("NOT RUN: cargo-mutants is missing. Install it: cargo install --locked cargo-mutants")?;
    let listed: Vec<Value> = serde_json::from_str(&listed).context("what cargo-mutants lists")?;
    ensure!(!listed.is_empty(), "cargo-mutants lists no mutants");
    listed.iter().enumerate().map(|(number, value)| Mutant::read(number, value)).collect()
}

impl Mutant {
    fn read(number: usize, value: &Value) -> Result<Self> {
        let text = |name: &str| value[name].as_str().with_context(|| format!("a mutant without {name}"));
        let name = text("name")?.to_owned();
        let (file, done) = (text("file")?.to_owned(), name.splitn(4, ':').nth(3).unwrap_or_default());
        let key = format!("{file}:{done}");
        let start = &value["span"]["start"];
        let start =
            start["line"].as_u64().zip(start["column"].as_u64()).context("a mutant without a place")?;
        Ok(Self {
            number,
            genre: Genre::named(text("genre")?).with_context(|| format!("the genre of {name}"))?,
            replacement: text("replacement")?.to_owned(),
            start: (usize::try_from(start.0)?, usize::try_from(start.1)?),
            file,
            name,
            key,
        })
    }
}

impl Genre {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "FnValue" => Self::FnValue,
            "BinaryOperator" => Self::BinaryOperator,
            "UnaryOperator" => Self::UnaryOperator,
            "MatchArm" => Self::MatchArm,
            "MatchArmGuard" => Self::MatchArmGuard,
            "StructField" => Self::StructField,
            _ => return None,
        })
    }
}
