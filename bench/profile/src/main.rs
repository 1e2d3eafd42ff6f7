//! Where the time of one case goes, as a flame graph: `cargo xtask profile SCENARIO`.
//!
//! perf looks at this program while it runs the case again and again, a thousand times a second; the picture is what it has seen.

use std::env;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use inferno::collapse::Collapse as _;
use inferno::collapse::perf::Folder;
use inferno::flamegraph::{self, Options};
use strait_bench::{Case, cases};

/// With this argument in front of the name, this is the program that perf looks at.
const LOOKED_AT: &str = "--run";

const TIME: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [LOOKED_AT, name] => {
            run(&find(name)?);
            Ok(())
        }
        [name] => draw(&find(name)?),
        _ => bail!("usage: cargo xtask profile SCENARIO, one of\n{}", names()),
    }
}

/// A case, by its name or that of its scenario.
fn find(name: &str) -> Result<Case> {
    let is_it = |case: &Case| case.name == name || case.name.strip_prefix("bridge/") == Some(name);
    cases().into_iter().find(is_it).with_context(|| format!("there is no {name}, but\n{}", names()))
}

fn names() -> String {
    cases().into_iter().map(|case| case.name).collect::<Vec<_>>().join("\n")
}

fn run(case: &Case) {
    let (mut run, begun) = (case.prepare(), Instant::now());
    while begun.elapsed() < TIME {
        black_box(run());
    }
}

fn draw(case: &Case) -> Result<()> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let folder = target.join("lab");
    fs::create_dir_all(&folder)?;
    let file = |ending: &str| folder.join(format!("profile-{}.{ending}", case.name.replace('/', "-")));
    let (samples, script, picture) = (file("perf"), file("txt"), file("svg"));

    let record = Command::new("perf")
        .args(["record", "--quiet", "--freq", "997", "--call-graph", "dwarf,16384", "--output"])
        .arg(&samples)
        .arg(env::current_exe()?)
        .args([LOOKED_AT, &case.name])
        .status()
        .context("NOT RUN: perf is missing. On Debian it is in the package linux-perf")?;
    ensure!(record.success(), "perf record: {record}");
    let read = Command::new("perf")
        .args(["script", "--input"])
        .arg(&samples)
        .stdout(File::create(&script)?)
        .status()?;
    ensure!(read.success(), "perf script: {read}");

    let mut stacks = vec![];
    Folder::default().collapse(BufReader::new(File::open(&script)?), &mut stacks)?;
    // What is made and verified is not what is measured.
    let stacks = String::from_utf8(stacks)?;
    let measured: Vec<_> = stacks.lines().filter(|stack| stack.contains("strait_bench::counted::")).collect();
    ensure!(!measured.is_empty(), "perf has seen nothing of what is measured");
    let mut options = Options::default();
    options.title = format!("{}: what is measured", case.name);
    flamegraph::from_lines(&mut options, measured, BufWriter::new(File::create(&picture)?))?;
    for passing in [samples, script] {
        fs::remove_file(passing)?;
    }
    println!("{}", picture.display());
    Ok(())
}
