use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::list::Mutant;
use super::tree::Built;
use super::trial::Fate;

const DOCUMENT: &str = "docs/MUTANTS.md";
const MARKS: [&str; 2] = ["<!-- mutants: cargo xtask mutants --write -->\n", "<!-- end of mutants -->"];

/// Mutants of a hundred that may live.
const GOAL: usize = 3;

/// What became of the mutants, file by file.
pub(crate) struct Report {
    files: BTreeMap<String, Row>,
    /// Those that no test notices and whose key the document does not explain.
    unexplained: Vec<String>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Row {
    caught: usize,
    lived: usize,
    unviable: usize,
    constant: usize,
}

impl Report {
    pub(crate) fn new(mutants: &[&Mutant], built: &Built, fates: &BTreeMap<usize, Fate>) -> Result<Self> {
        let document = fs::read_to_string(DOCUMENT).with_context(|| format!("no {DOCUMENT}"))?;
        let mut report = Self { files: BTreeMap::new(), unexplained: vec![] };
        for mutant in mutants {
            let row = report.files.entry(mutant.file.clone()).or_default();
            match fates.get(&mutant.number) {
                Some(Fate::Caught) => row.caught += 1,
                Some(Fate::Lived | Fate::Unreached) => {
                    row.lived += 1;
                    if !document.contains(&format!("`{}`", mutant.key.replace('|', "\\|"))) {
                        report.unexplained.push(mutant.name.clone());
                    }
                }
                None if built.constant.contains(&mutant.number) => row.constant += 1,
                None => row.unviable += 1,
            }
        }
        Ok(report)
    }

    pub(crate) fn print(&self) {
        println!("\n{}", self.table());
        for name in &self.unexplained {
            println!("lives, and {DOCUMENT} does not say why: {name}");
        }
    }

    /// Writes the table down; an error if too many mutants live.
    pub(crate) fn write(&self) -> Result<()> {
        let text = fs::read_to_string(DOCUMENT)?;
        let (front, rest) = text.split_once(MARKS[0]).with_context(|| format!("{DOCUMENT} has no marks"))?;
        let (_, behind) = rest.split_once(MARKS[1]).with_context(|| format!("{DOCUMENT} has no marks"))?;
        fs::write(DOCUMENT, format!("{front}{}{}{}{behind}", MARKS[0], self.table(), MARKS[1]))?;
        let all = self.all();
        ensure!(all.lived * 100 <= GOAL * (all.caught + all.lived), "more than {GOAL} % of the mutants live");
        Ok(())
    }

    fn all(&self) -> Row {
        self.files.values().fold(Row::default(), |all, row| Row {
            caught: all.caught + row.caught,
            lived: all.lived + row.lived,
            unviable: all.unviable + row.unviable,
            constant: all.constant + row.constant,
        })
    }

    fn table(&self) -> String {
        let mut table = "| file | caught | lived | lived, % | do not compile | in constants |\n|---|--:|--:|--:|--:|--:|\n".to_owned();
        let all = ("all".to_owned(), self.all());
        for (file, row) in self.files.iter().map(|(file, row)| (file.clone(), *row)).chain([all]) {
            let Row { caught, lived, unviable, constant } = row;
            let tenths = (lived * 1000).checked_div(caught + lived).unwrap_or_default();
            let percent = format!("{}.{}", tenths / 10, tenths % 10);
            let _ = writeln!(table, "| {file} | {caught} | {lived} | {percent} | {unviable} | {constant} |");
        }
        table
    }
}
