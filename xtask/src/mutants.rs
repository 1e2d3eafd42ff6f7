mod list;
mod report;
mod switch;
mod tree;
mod trial;

use std::collections::BTreeSet;
use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};

use self::list::Mutant;
use self::report::Report;
use self::tree::Tree;
use self::trial::{Fate, Survey};
use crate::run::{command, target};

/// Which mutants are tried.
#[derive(Debug, clap::Args)]
pub(crate) struct Mutants {
    /// Only those whose names, `FILE:LINE:COLUMN: WHAT in FUNCTION`, have one of these texts in them.
    only: Vec<String>,
    /// Trials at a time.
    #[arg(long, default_value_t = thread::available_parallelism().map_or(2, usize::from))]
    jobs: usize,
    /// Tries those of constants instead, by cargo-mutants, which builds the engine for each.
    #[arg(long)]
    constants: bool,
    /// Writes the table of docs/MUTANTS.md.
    #[arg(long, conflicts_with = "constants")]
    write: bool,
}

/// Breaks the engine in many small ways, and says which of them no test notices.
///
/// cargo-mutants lists the ways. Instead of building the engine for each, all are built at once, each behind a switch, and each is shown only
/// to the tests that come to its place.
pub(crate) fn run(arguments: &Mutants) -> Result<()> {
    let mutants = list::all()?;
    let is_wanted = |mutant: &&Mutant| {
        arguments.only.is_empty() || arguments.only.iter().any(|only| mutant.name.contains(only.as_str()))
    };
    let wanted: Vec<&Mutant> = mutants.iter().filter(is_wanted).collect();
    ensure!(!wanted.is_empty(), "no mutant has such a name");
    let mut tree = Tree::copied()?;
    if arguments.constants {
        let constants = tree.write(&mutants, &mut BTreeSet::new())?;
        return one_by_one(wanted.into_iter().filter(|mutant| constants.contains(&mutant.number)));
    }
    println!("{} mutants; building the tests with all of them", mutants.len());
    let built = tree.build(&mutants)?;
    let begun = Instant::now();
    let survey = Survey::of(&built.binaries, &target().join("mutants/reached"), arguments.jobs)?;
    println!("each test alone: {} s", begun.elapsed().as_secs());

    let is_tried = |mutant: &&&Mutant| {
        !built.unviable.contains(&mutant.number) && !built.constant.contains(&mutant.number)
    };
    let tried: Vec<usize> = wanted.iter().filter(is_tried).map(|mutant| mutant.number).collect();
    let begun = Instant::now();
    let fates = survey.try_all(&tried, arguments.jobs, |number, fate| {
        if let Some(mutant) = mutants.get(number).filter(|_| *fate != Fate::Caught) {
            println!("{fate:?}: {}", mutant.name);
        }
    })?;
    println!("{} trials: {} s", tried.len(), begun.elapsed().as_secs());

    let fates = tried.into_iter().zip(fates).collect();
    let report = Report::new(&wanted, &built, &fates)?;
    report.print();
    if arguments.write {
        ensure!(arguments.only.is_empty(), "a table of some mutants is none of the engine");
        report.write()?;
    }
    Ok(())
}

/// Leaves these mutants to cargo-mutants.
fn one_by_one<'a>(mutants: impl Iterator<Item = &'a Mutant>) -> Result<()> {
    let names = mutants.flat_map(|mutant| ["--re".to_owned(), format!("^{}$", escaped(&mutant.name))]);
    command("cargo")
        .args(["mutants", "--package", "strait", "--no-shuffle", "--jobs", "1", "--timeout", "300"])
        .args(["--baseline", "skip", "--output"])
        .args([target().join("mutants")])
        .args(names)
        .args(["--", "--lib", "--tests"])
        .run()
}

/// As a regular expression that means just this text.
fn escaped(text: &str) -> String {
    let escape = |char| if r"\.+*?()|[]{}^$".contains(char) { vec!['\\', char] } else { vec![char] };
    text.chars().flat_map(escape).collect()
}
