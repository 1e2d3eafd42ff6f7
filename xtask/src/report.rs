//! What was measured last as one page with plots, and as the table of the goals.

mod browser;
mod chart;
mod goals;
mod history;
mod page;
mod records;

use std::fs;

use anyhow::{Context as _, Result};

use self::records::Records;
use crate::run::target;

/// Where the table stands between its marks.
const DOCUMENTS: [&str; 2] = ["README.md", "docs/LAB.md"];
const BEGIN: &str = "<!-- goals: cargo xtask report --write -->\n";
const END: &str = "<!-- end of goals -->";

/// What is done with the report besides writing its page.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Looks at the page in a browser: it loads without an error, and all plots are there.
    #[arg(long)]
    check: bool,
    /// Writes the table into README.md and docs/LAB.md.
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
    let (charts, table) = (page::charts(&records, &history::read()?), goals::table(&records));
    let page = folder.join("report.html");
    fs::write(&page, page::page(&charts, &table))?;
    println!("{table}\n{}", page.display());
    if options.write {
        for document in DOCUMENTS {
            let text = fs::read_to_string(document)?;
            let text = with_table(&text, &table).with_context(|| format!("{document} has no marks"))?;
            fs::write(document, text)?;
        }
    }
    if options.check { browser::look(&page, &charts) } else { Ok(()) }
}

/// `text` with another table between the marks.
fn with_table(text: &str, table: &str) -> Option<String> {
    let (front, rest) = text.split_once(BEGIN)?;
    let (_, behind) = rest.split_once(END)?;
    Some(format!("{front}{BEGIN}{table}{END}{behind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_have_marks_and_nothing_else_of_them_changes() {
        for document in DOCUMENTS {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(document);
            let text = fs::read_to_string(path).unwrap();
            let once = with_table(&text, "| a |\n").unwrap_or_else(|| panic!("{document} has no marks"));
            let twice = with_table(&once, "| a |\n").unwrap();
            assert_eq!(once, twice);
            assert_eq!(once.split(BEGIN).next(), text.split(BEGIN).next());
            assert_eq!(once.split(END).nth(1), text.split(END).nth(1));
        }
    }
}
