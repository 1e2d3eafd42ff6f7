use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Context as _, Result, bail, ensure};

use super::chart::Chart;

/// What the browser may take, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_mins(2);

/// Charts whose figures are not of the rig.
const ELSEWHERE: [&str; 4] = ["crates-receive", "crates-send", "history", "instructions"];

/// Loads the page in Chromium, headless. Fails if anything is said on its console, or if a chart is not there with all its lines.
pub(crate) fn look(page: &Path, charts: &[Chart]) -> Result<()> {
    if Command::new("chromium").arg("--version").output().is_err() {
        ensure!(!is_demanded(), "no Chromium");
        println!("NOT RUN: the report in a browser: no Chromium");
        return Ok(());
    }
    let (document, console) = load(page)?;
    let said: Vec<_> = console.lines().filter(|line| line.contains("CONSOLE")).collect();
    ensure!(said.is_empty(), "the page's console: {}", said.join("\n"));
    for chart in charts {
        if chart.is_empty() {
            let is_missing = is_demanded() && !ELSEWHERE.contains(&chart.id);
            ensure!(!is_missing, "nothing was measured for the chart {}", chart.id);
            println!("NOT RUN: the chart {}: nothing was measured", chart.id);
            continue;
        }
        let figure =
            document.split("<figure").find(|figure| figure.contains(&format!("id=\"{}\"", chart.id)));
        let figure = figure.with_context(|| format!("no chart {} in the page", chart.id))?;
        let drawn =
            attribute(figure, "data-drawn").with_context(|| format!("{}: no script ran", chart.id))?;
        let lines = chart.lines.iter().filter(|line| !line.points.is_empty()).count();
        ensure!(drawn == format!("{lines}/{lines}"), "{}: {drawn} lines of {lines} are drawn", chart.id);
        println!("{}: {lines} lines", chart.id);
    }
    Ok(())
}

/// The page's document after its scripts have run, and what the browser has logged.
fn load(page: &Path) -> Result<(String, String)> {
    let folder = page.parent().context("a file is in a folder")?.join("browser");
    fs::create_dir_all(&folder)?;
    let [document, log] = ["document.html", "log.txt"].map(|name| folder.join(name));
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]);
    command.args(["--enable-logging=stderr", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", std::path::absolute(folder.join("profile"))?.display()));
    command.arg(format!("file://{}", page.canonicalize()?.display()));
    command.stdout(fs::File::create(&document)?).stderr(fs::File::create(&log)?);
    let mut browser = command.spawn().context("cannot run Chromium")?;
    let begun = Instant::now();
    while browser.try_wait()?.is_none() {
        if begun.elapsed() > PATIENCE {
            browser.kill()?;
            browser.wait()?;
            bail!("Chromium has not loaded the page within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok((fs::read_to_string(document)?, String::from_utf8_lossy(&fs::read(log)?).into_owned()))
}

fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element.split_once(&format!("{name}=\""))?.1.split('"').next()
}

fn is_demanded() -> bool {
    env::var_os("STRAIT_REQUIRE_PEERS").is_some_and(|value| value == "1")
}
