use std::any::Any;
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fmt, io, thread};

use strait_tests::write_down;

/// How many rows run at a time.
const WORKERS: usize = 2;
/// Where the tables are kept.
const DOCUMENT: &str = "PEERS.md";

/// Peers of one kind, by the name that they are run with.
#[derive(Debug)]
pub(crate) struct Suite {
    /// Its name, which is also the one of its section in the document.
    pub(crate) name: &'static str,
    /// Installs the peers and lays out their tables. True asks for all of them, false for what CI has time for. The error says why
    /// there are none.
    pub(crate) tables: fn(full: bool) -> Result<Vec<Table>, String>,
    /// False if it needs more of a machine than others: it is run when it is named, or with `--full`, and where it cannot run, that
    /// is said, and is no failure.
    pub(crate) required: bool,
    /// True if CI takes less than all of it. Only all of it is written down.
    pub(crate) sliced: bool,
}

/// Ways through peers, each of them under the same headings.
pub(crate) struct Table {
    /// What stands above it.
    pub(crate) about: String,
    /// Names of columns.
    pub(crate) columns: Vec<String>,
    /// The ways.
    pub(crate) rows: Vec<Row>,
    /// What stands below it: the explained differences.
    pub(crate) notes: Vec<String>,
}

/// One way: its name and how to fill its cells.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) fill: Box<dyn FnOnce(&Cells<'_>) + Send>,
}

impl Row {
    /// A row whose peer is not there.
    pub(crate) fn not_run(name: String, why: &str) -> Self {
        let why = why.to_owned();
        let fill = move |cells: &Cells<'_>| {
            for column in cells.columns {
                cells.check(column, || Cell::NotRun(why.clone()));
            }
        };
        Self { name, fill: Box::new(fill) }
    }
}

/// The cells of a row that is being filled.
pub(crate) struct Cells<'a> {
    name: &'a str,
    columns: &'a [String],
    done: Mutex<Vec<(usize, Cell)>>,
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    /// As it should be.
    Same,
    /// Otherwise, in the explained way.
    Differs(&'static str),
    /// A value that was checked, told as it is.
    Value(String),
    /// The peer does not have it.
    Absent,
    /// Not as it should be.
    Failed(String),
    /// Not tried, for this reason.
    NotRun(String),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("✓"),
            Self::Differs(note) => write!(f, "✓ ({note})"),
            Self::Value(value) => f.write_str(value),
            Self::Absent => f.write_str("–"),
            Self::Failed(_) => f.write_str("**✗**"),
            Self::NotRun(_) => f.write_str("NOT RUN"),
        }
    }
}

impl Cells<'_> {
    /// Fills the cell of `column`; a panic of `check` is a failure.
    pub(crate) fn check(&self, column: &str, check: impl FnOnce() -> Cell) {
        let started = Instant::now();
        let cell = catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| Cell::Failed(text(&*panic)));
        let time = started.elapsed().as_secs_f32();
        let mut out = io::stdout().lock();
        let _ = match &cell {
            Cell::Absent => Ok(()),
            Cell::Failed(why) => writeln!(out, "FAILED  {}: {column} ({time:.1} s)\n{why}", self.name),
            Cell::NotRun(why) => writeln!(out, "NOT RUN {}: {column}: {why}", self.name),
            _ => writeln!(out, "ok      {}: {column} ({time:.1} s)", self.name),
        };
        let place = self.columns.iter().position(|name| name == column).expect("a column of the table");
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push((place, cell));
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().cloned();
    said.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into())).unwrap_or_default()
}

/// What came of all checks so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failed: Vec<String>,
    /// With the reason, and whether the suite is required.
    not_run: Vec<(String, bool)>,
}

/// A suite whose peers are there, or why not.
pub(crate) struct Installed {
    suite: &'static Suite,
    full: bool,
    tables: Result<Vec<Table>, String>,
    time: Duration,
}

impl Installed {
    /// Installs the peers of a suite.
    pub(crate) fn of(suite: &'static Suite, full: bool) -> Self {
        let started = Instant::now();
        let tables = catch_unwind(AssertUnwindSafe(|| (suite.tables)(full)));
        let tables = tables.unwrap_or_else(|panic| Err(text(&*panic)));
        Self { suite, full, tables, time: started.elapsed() }
    }
}

impl Report {
    /// Runs a suite and writes its tables down.
    pub(crate) fn run(&mut self, installed: Installed) {
        let Installed { suite, full, tables, time } = installed;
        println!("\n== {}, installed in {:.1} s", suite.name, time.as_secs_f32());
        let started = Instant::now();
        let tables = match tables {
            Ok(tables) => tables,
            Err(why) => {
                println!("NOT RUN {}: {why}", suite.name);
                self.not_run.push((format!("{}: {why}", suite.name), suite.required));
                return;
            }
        };
        let section = tables.into_iter().map(|table| self.table(suite, table)).collect::<String>();
        println!("\n{section}\n{}: {:.1} s", suite.name, started.elapsed().as_secs_f32());
        if env::var_os("CI").is_none() && (full || !suite.sliced) {
            write_down(DOCUMENT, suite.name, &section);
        }
    }

    fn table(&mut self, suite: &Suite, table: Table) -> String {
        let columns = table.columns;
        let names: Vec<String> = table.rows.iter().map(|row| row.name.clone()).collect();
        let waiting = Mutex::new(table.rows.into_iter().enumerate());
        let filled: Mutex<Vec<(usize, Vec<Cell>)>> = Mutex::default();
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    loop {
                        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some((place, row)) = next else { return };
                        let cells = fill(row, &columns);
                        filled.lock().unwrap_or_else(PoisonError::into_inner).push((place, cells));
                    }
                });
            }
        });
        let mut filled = filled.into_inner().unwrap_or_else(PoisonError::into_inner);
        filled.sort_by_key(|(place, _)| *place);
        let mut text =
            format!("{}\n\n| |{}|\n|---|{}\n", table.about, columns.join("|"), "---|".repeat(columns.len()));
        for ((_, cells), name) in filled.into_iter().zip(names) {
            for (cell, column) in cells.iter().zip(&columns) {
                let name = format!("{}: {name}: {column}", suite.name);
                self.count(cell, &name, suite.required);
            }
            let cells: Vec<_> = cells.iter().map(Cell::to_string).collect();
            let _ = writeln!(text, "|{name}|{}|", cells.join("|"));
        }
        text.push('\n');
        for note in table.notes {
            let _ = writeln!(text, "* {note}");
        }
        text.push('\n');
        text
    }

    fn count(&mut self, cell: &Cell, name: &str, required: bool) {
        match cell {
            Cell::Same | Cell::Differs(_) | Cell::Value(_) => self.passed += 1,
            Cell::Absent => {}
            Cell::Failed(why) => self.failed.push(format!("{name}\n{why}")),
            Cell::NotRun(why) => self.not_run.push((format!("{name}: {why}"), required)),
        }
    }

    /// Says what came of it all.
    pub(crate) fn end(self) -> ExitCode {
        for failure in &self.failed {
            println!("\nFAILED {failure}");
        }
        for (missing, _) in &self.not_run {
            println!("NOT RUN: {missing}");
        }
        let all = env::var_os("STRAIT_REQUIRE_PEERS").is_some_and(|value| value == "1");
        let missing = self.not_run.iter().filter(|(_, required)| all && *required).count();
        let failed = self.failed.len() + missing;
        println!("\n{} passed, {failed} failed, {} skipped", self.passed, self.not_run.len());
        ExitCode::from(u8::from(failed > 0))
    }
}

fn fill(row: Row, columns: &[String]) -> Vec<Cell> {
    let cells = Cells { name: &row.name, columns, done: Mutex::default() };
    let broken = catch_unwind(AssertUnwindSafe(|| (row.fill)(&cells))).err().map(|panic| text(&*panic));
    let done = cells.done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let nothing = broken.map_or(Cell::Absent, Cell::Failed);
    let mut all = vec![nothing; columns.len()];
    for (place, cell) in done {
        all[place] = cell;
    }
    all
}
