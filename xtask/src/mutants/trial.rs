//! Tests on mutants: which reach one, and whether any of them notices it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::tree::Binary;

/// Tests that are quicker are run together, before all others.
const QUICK: Duration = Duration::from_millis(100);

/// What a trial may take beyond ten times its time without a mutant: one that loops is noticed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Memory of a trial, in KiB: one that fills it is noticed.
const MEMORY: &str = "6000000";

/// One test and what it takes without any mutant.
pub(crate) struct Test<'a> {
    binary: &'a Binary,
    name: String,
    time: Duration,
}

/// All tests, and the mutants that each of them reaches.
pub(crate) struct Survey<'a> {
    tests: Vec<Test<'a>>,
    /// Tests by the number of the mutant, the quickest first.
    reached: BTreeMap<usize, Vec<usize>>,
}

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A test failed, or did not end.
    Caught,
    Lived,
    /// No test comes to its place.
    Unreached,
}

impl<'a> Survey<'a> {
    /// Runs each test alone, without a mutant.
    pub(crate) fn of(binaries: &'a [Binary], log: &Path, jobs: usize) -> Result<Self> {
        let mut names = vec![];
        for binary in binaries {
            let mut list = Command::new(&binary.path);
            let listed = list.args(["--list", "--format", "terse"]).current_dir(&binary.folder).output();
            let listed = listed.with_context(|| format!("cannot run {}", binary.path.display()))?;
            let listed = String::from_utf8_lossy(&listed.stdout);
            let tests = listed.lines().filter_map(|line| line.strip_suffix(": test"));
            names.extend(tests.map(|name| (binary, name.to_owned())));
        }
        let surveyed = in_parallel(jobs, names.len(), |index| {
            let (binary, name) = &names[index];
            let log = log.with_extension(index.to_string());
            let begun = Instant::now();
            let mut command = test_command(binary, &[name]);
            let child = command.env("STRAIT_MUTANTS_REACHED", &log).spawn()?;
            let status = wait(child, Duration::from_mins(10))?;
            ensure!(status.is_some_and(|status| status.success()), "{name} fails without a mutant");
            let reached = fs::read_to_string(&log).unwrap_or_default();
            fs::remove_file(&log).ok();
            Ok((begun.elapsed(), reached))
        })?;
        let mut survey = Self { tests: vec![], reached: BTreeMap::new() };
        for (index, ((binary, name), (time, reached))) in names.into_iter().zip(surveyed).enumerate() {
            survey.tests.push(Test { binary, name, time });
            for mutant in reached.lines().filter_map(|line| line.parse().ok()) {
                survey.reached.entry(mutant).or_default().push(index);
            }
        }
        for tests in survey.reached.values_mut() {
            tests.sort_by_key(|test| survey.tests[*test].time);
        }
        Ok(survey)
    }

    /// Tries these mutants; `told` hears of each.
    pub(crate) fn try_all(
        &self,
        mutants: &[usize],
        jobs: usize,
        told: impl Fn(usize, &Fate) + Sync,
    ) -> Result<Vec<Fate>> {
        in_parallel(jobs, mutants.len(), |index| {
            let fate = self.fate(mutants[index])?;
            told(mutants[index], &fate);
            Ok(fate)
        })
    }

    fn fate(&self, mutant: usize) -> Result<Fate> {
        let Some(reaching) = self.reached.get(&mutant) else { return Ok(Fate::Unreached) };
        for tests in self.rounds(reaching) {
            if is_noticed_by(&tests, mutant)? {
                return Ok(Fate::Caught);
            }
        }
        Ok(Fate::Lived)
    }

    /// The quick tests of each program together, then each of the others.
    fn rounds(&self, tests: &[usize]) -> Vec<Vec<&Test<'a>>> {
        let tests = tests.iter().map(|test| &self.tests[*test]);
        let (quick, slow): (Vec<_>, Vec<_>) = tests.partition(|test| test.time < QUICK);
        let mut together = BTreeMap::<_, Vec<_>>::new();
        for test in quick {
            together.entry(&test.binary.path).or_default().push(test);
        }
        together.into_values().chain(slow.into_iter().map(|test| vec![test])).collect()
    }
}

fn is_noticed_by(tests: &[&Test<'_>], mutant: usize) -> Result<bool> {
    let Some(first) = tests.first() else { return Ok(false) };
    let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
    let time: Duration = tests.iter().map(|test| test.time).sum();
    let child = test_command(first.binary, &names).env("STRAIT_MUTANT", mutant.to_string()).spawn()?;
    Ok(!wait(child, PATIENCE + 10 * time)?.is_some_and(|status| status.success()))
}

/// Only these tests, one after the other, within bounds of memory.
fn test_command(binary: &Binary, names: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"")])
        .arg(&binary.path)
        .args(["--exact", "--test-threads=1"])
        .args(names)
        .current_dir(&binary.folder)
        // As cargo has it for the tests of a package.
        .env("CARGO_MANIFEST_DIR", &binary.folder)
        // The first input that fails is as good as the smallest.
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// How it ended; `None` if it did not in time.
fn wait(mut child: Child, time: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() > time {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// What `work` makes of each number below `count`, by so many threads.
fn in_parallel<T: Send>(
    jobs: usize,
    count: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let result = work(index);
                    if result.is_err() {
                        next.store(count, Ordering::Relaxed);
                    }
                    done.lock().expect("no thread panics").insert(index, result);
                }
            });
        }
    });
    done.into_inner().expect("no thread panics").into_values().collect()
}
