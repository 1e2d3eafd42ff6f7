//! What was measured last as one page with plots, and as tables.

mod browser;
mod chart;
mod crates;
mod goals;
mod history;
mod more;
mod page;
mod records;

use std::fs;

use anyhow::{Context as _, Result};

use self::records::Records;
use crate::run::target;

/// Where which table stands between its marks.
const PLACES: [(&str, &str); 4] =
    [("README.md", "goals"), ("docs/LAB.md", "goals"), ("docs/LAB.md", "more"), ("docs/LAB.md", "crates")];

/// What is done with the report besides writing its page.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Looks at the page in a browser: it loads without an error, and all plots are there.
    #[arg(long)]
    check: bool,
    /// Writes the tables into README.md and docs/LAB.md.
    #[arg(long)]
    write: bool,
    /// Appends the goals' figures to bench/history.jsonl, as those of the commit that is checked out.
    #[arg(long)]
    record: bool,
}

/// Writes the page, and looks at it.
pub(crate) fn check() -> Result<()> {
    report(&Options { check: true, ..Options::default() })
}

/// Writes `target/lab/report.html`.
pub(crate) fn report(options: &Options) -> Result<()> {
    let folder = target().join("lab");
    let records = Records::read(&folder)?;
    if options.record {
        history::record(&records)?;
    }
    let charts = page::charts(&records, &history::read()?);
    let (goals, more, crates) = (goals::table(&records), more::table(&records), crates::tables(&records));
    let page = folder.join("report.html");
    let tables = [&goals, &more].into_iter().chain(&crates);
    fs::write(&page, page::page(&charts, tables))?;
    println!("{goals}\n{more}\n{}\n{}", crates.join("\n"), page.display());
    if options.write {
        if records.of("CPU").next().is_some() {
            write("goals", &goals)?;
            write("more", &more)?;
        } else {
            println!("NOT WRITTEN: goals and more, which were not measured: cargo xtask bench");
        }
        if crates.is_empty() {
            println!("NOT WRITTEN: other crates, which were not counted: cargo xtask bench crates");
        } else {
            write("crates", &crates.join("\n"))?;
        }
    }
    if options.check { browser::look(&page, &charts) } else { Ok(()) }
}

/// Writes this table wherever it stands.
fn write(name: &str, table: &str) -> Result<()> {
    for (document, _) in PLACES.iter().filter(|place| place.1 == name) {
        let text = fs::read_to_string(document)?;
        let text =
            with_table(&text, name, table).with_context(|| format!("{document} has no marks of {name}"))?;
        fs::write(document, text)?;
    }
    Ok(())
}

/// `text` with another table between the marks of this name.
fn with_table(text: &str, name: &str, table: &str) -> Option<String> {
    let (begin, end) = (begin(name), end(name));
    let (front, rest) = text.split_once(&begin)?;
    let (_, behind) = rest.split_once(&end)?;
    Some(format!("{front}{begin}{table}{end}{behind}"))
}

fn begin(name: &str) -> String {
    format!("<!-- {name}: cargo xtask report --write -->\n")
}

fn end(name: &str) -> String {
    format!("<!-- end of {name} -->")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_have_marks_and_nothing_else_of_them_changes() {
        for (document, name) in PLACES {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(document);
            let text = fs::read_to_string(path).unwrap();
            let once =
                with_table(&text, name, "| a |\n").unwrap_or_else(|| panic!("{document} has no marks"));
            let twice = with_table(&once, name, "| a |\n").unwrap();
            assert_eq!(once, twice);
            assert_eq!(once.split(&begin(name)).next(), text.split(&begin(name)).next());
            assert_eq!(once.split(&end(name)).nth(1), text.split(&end(name)).nth(1));
        }
    }
}
